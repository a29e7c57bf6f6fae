/** Bare part: a change needs its reason in the same commit. The physical limit: the events as lines of JSON, one write and one fdatasync for all. */
import { closeSync, fdatasync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { recordOf } from '../model.js';

const flush = promisify(fdatasync);

export class PlainFile {
  private readonly file: number;

  constructor(folder: string) {
    this.file = openSync(join(folder, 'events.ndjson'), 'a');
  }

  /** Events `from` to `to - 1`, on disk when it resolves. */
  async append(from: number, to: number): Promise<void> {
    let lines = '';
    for (let i = from; i < to; i++) lines += `${JSON.stringify(recordOf(i))}\n`;
    writeSync(this.file, lines);
    await flush(this.file);
  }

  close(): void {
    closeSync(this.file);
  }
}
