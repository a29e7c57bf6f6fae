/** Snapshots on LMDB: beside each aggregate's reducer version in the order of their fold keys. They only save work. */
import { SnapshotStore } from '@concursus/core';
import type { AggregateKey, ProcessingTime, Snapshot, WireValue } from '@concursus/core';
import { after, KeyWriter } from './keys.js';
import type { Session } from './session.js';

type SnapshotText = readonly [eventTimeMax: number, ms: number, tick: number, events: number, state: WireValue];

export class LmdbSnapshotStore extends SnapshotStore {
  private readonly keys = new KeyWriter();

  constructor(private readonly session: Session) {
    super();
  }

  private get database() {
    return this.session.env.texts(this.session.context, 'snapshots');
  }

  private of(aggregate: AggregateKey, reducerVersion: number): KeyWriter {
    return this.keys.start().text(aggregate.tenant).text(aggregate.type).text(aggregate.id).uint32(reducerVersion);
  }

  async save(snapshot: Snapshot): Promise<void> {
    const { database } = this;
    const key = this.of(snapshot.aggregate, snapshot.reducerVersion).tail(snapshot.foldKey).copy();
    const { eventTimeMax, recordedMax, events, state } = snapshot;
    const value: SnapshotText = [eventTimeMax, recordedMax.ms, recordedMax.tick, events, state];
    const text = JSON.stringify(value);
    await this.session.env.queue.run(
      () => {
        database.putSync(key, text);
      },
      { durable: false, bytes: text.length },
    );
  }

  async read(aggregate: AggregateKey, reducerVersion: number, limit: number): Promise<readonly Snapshot[]> {
    const prefix = this.of(aggregate, reducerVersion).copy();
    const found: Snapshot[] = [];
    for (const { key, value } of this.database.getRange({
      start: after(prefix),
      end: prefix,
      inclusiveEnd: true,
      reverse: true,
    })) {
      const bytes = Buffer.from(key as Uint8Array);
      // Backwards LMDB begins at the bound itself, which may be another version's first key.
      if (bytes.compare(prefix, 0, prefix.length, 0, prefix.length) !== 0) continue;
      if (found.length >= limit) break;
      const [eventTimeMax, ms, tick, events, state] = JSON.parse(value) as SnapshotText;
      const recordedMax: ProcessingTime = { ms, tick };
      const foldKey = bytes.toString('utf8', prefix.length);
      found.push({ aggregate, reducerVersion, foldKey, eventTimeMax, recordedMax, events, state });
    }
    return found;
  }

  async remove(aggregate: AggregateKey, reducerVersion: number, foldKey: string): Promise<void> {
    const { database } = this;
    const prefix = this.of(aggregate, reducerVersion).copy();
    const start = this.of(aggregate, reducerVersion).tail(foldKey).copy();
    const end = after(prefix);
    await this.session.env.queue.run(
      () => {
        for (const key of [...database.getKeys({ start, end })] as Uint8Array[]) database.removeSync(key);
      },
      { durable: false, grows: false },
    );
  }
}
