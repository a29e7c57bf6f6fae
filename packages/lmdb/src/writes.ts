/** What a group is going to write, gathered while it is decided and put into the transaction at once. */
import type { Bytes } from './environment.js';

interface Write {
  readonly database: Bytes;
  readonly key: Buffer;
  /** Undefined: removed. */
  readonly value: Buffer | undefined;
  readonly version: number | undefined;
}

export class Writes {
  private readonly all: Write[] = [];

  get isEmpty(): boolean {
    return this.all.length === 0;
  }

  /** @param key and value stay as they are until the group is done: the driver's thread reads them */
  put(database: Bytes, key: Buffer, value: Buffer, version?: number): void {
    this.all.push({ database, key, value, version });
  }

  remove(database: Bytes, key: Buffer): void {
    this.all.push({ database, key, value: undefined, version: undefined });
  }

  /** Inside a transaction it writes at once; inside a conditional block the driver's thread does, later. */
  apply(): void {
    for (const { database, key, value, version } of this.all) {
      if (value === undefined) void database.remove(key);
      else if (version === undefined) void database.put(key, value);
      else void database.put(key, value, version);
    }
  }

  clear(): void {
    this.all.length = 0;
  }
}
