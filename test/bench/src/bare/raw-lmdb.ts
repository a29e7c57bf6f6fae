/**
 * Bare part: a change needs its reason in the same commit. What a careful user of lmdb would write: an entry an event
 * under (aggregate, time, stream), its JSON as the value; with two indexes also the log's order. Acknowledged = flushed.
 */
import { join } from 'node:path';
import { open } from 'lmdb';
import type { Database } from 'lmdb';
import { AGGREGATES, idAt, recordOf, type LampRecord } from '../model.js';

const binary = { keyEncoding: 'binary', encoding: 'binary' } as const;
const STREAM = Buffer.from('hall');
const aggregateBytes = Array.from({ length: AGGREGATES }, (_, a) => Buffer.from(idAt(a).replaceAll('-', ''), 'hex'));

function keyOf(aggregate: number, at: number): Buffer {
  const key = Buffer.allocUnsafe(28);
  aggregateBytes[aggregate]!.copy(key, 0);
  key.writeUInt32BE(Math.floor(at / 4_294_967_296), 16);
  key.writeUInt32BE(at >>> 0, 20);
  STREAM.copy(key, 24);
  return key;
}

function sequenceKey(i: number): Buffer {
  const key = Buffer.allocUnsafe(8);
  key.writeUInt32BE(0, 0);
  key.writeUInt32BE(i, 4);
  return key;
}

function bound(aggregate: number, edge: boolean): Buffer {
  const key = Buffer.alloc(edge ? 29 : 16, 0xff);
  aggregateBytes[aggregate]!.copy(key, 0);
  return key;
}

function decode(bytes: Uint8Array): LampRecord {
  return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()) as LampRecord;
}

export class RawLmdb {
  private readonly root;
  private readonly events: Database<Uint8Array, Uint8Array>;
  private readonly log: Database<Uint8Array, Uint8Array> | undefined;

  constructor(folder: string, twoIndexes: boolean) {
    this.root = open<Uint8Array, Uint8Array>({ path: join(folder, 'raw.mdb'), noSubdir: true, maxDbs: 4, ...binary });
    this.events = this.root.openDB<Uint8Array, Uint8Array>('events', binary);
    this.log = twoIndexes ? this.root.openDB<Uint8Array, Uint8Array>('log', binary) : undefined;
  }

  private put(i: number): Promise<boolean> {
    const aggregate = i % AGGREGATES;
    const record = recordOf(i, aggregate);
    const key = keyOf(aggregate, record.eventTimestamp);
    if (this.log !== undefined) void this.log.put(sequenceKey(i), key);
    return this.events.put(key, Buffer.from(JSON.stringify(record)));
  }

  /** One event, on disk when it resolves. */
  async appendOne(i: number): Promise<void> {
    await this.put(i);
    await this.root.flushed;
  }

  /** Events `from` to `to - 1` in one transaction. */
  async appendMany(from: number, to: number): Promise<void> {
    await this.root.transaction(() => {
      for (let i = from; i < to; i++) void this.put(i);
    });
    await this.root.flushed;
  }

  /** Events `from` to `to - 1` at once, each with a promise of its own. */
  async flight(from: number, to: number): Promise<void> {
    const puts: Promise<boolean>[] = [];
    for (let i = from; i < to; i++) puts.push(this.put(i));
    await Promise.all(puts);
    await this.root.flushed;
  }

  /** All events of one aggregate, decoded. */
  read(aggregate: number): LampRecord[] {
    const found: LampRecord[] = [];
    for (const { value } of this.events.getRange({ start: bound(aggregate, false), end: bound(aggregate, true) }))
      found.push(decode(value));
    return found;
  }

  /** Every event, decoded. @returns how many, and a sum of what was in them */
  scan(): readonly [events: number, wattage: number] {
    let events = 0;
    let wattage = 0;
    for (const { value } of this.events.getRange({})) {
      events++;
      wattage += decode(value).parameters.wattage;
    }
    return [events, wattage];
  }

  close(): Promise<void> {
    return this.root.close();
  }
}
