/** Snapshots on LMDB: beside each aggregate's reducer version in the order of their fold keys. They only save work. */
import { SnapshotStore } from '@concursus/core';
import type { AggregateKey, Snapshot } from '@concursus/core';
import { after, KeyWriter } from './keys.js';
import type { Session } from './session.js';

/** The first line of the stored text; the content is the rest, as it is. */
type Head = readonly [eventTimeMax: number, ms: number, tick: number, events: number, checksum: string];

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
    const { eventTimeMax, recordedMax, events, content, checksum } = snapshot;
    const head: Head = [eventTimeMax, recordedMax.ms, recordedMax.tick, events, checksum];
    const text = `${JSON.stringify(head)}\n${content}`;
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
      const head = headOf(value);
      if (head === undefined) continue;
      const [eventTimeMax, ms, tick, events, checksum] = head;
      const content = value.slice(value.indexOf('\n') + 1);
      const foldKey = bytes.toString('utf8', prefix.length);
      const recordedMax = { ms, tick };
      found.push({ aggregate, reducerVersion, foldKey, eventTimeMax, recordedMax, events, content, checksum });
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

  async removeEach(aggregate: AggregateKey, reducerVersion: number, foldKeys: readonly string[]): Promise<void> {
    if (foldKeys.length === 0) return;
    const { database } = this;
    const keys = foldKeys.map((foldKey) => this.of(aggregate, reducerVersion).tail(foldKey).copy());
    await this.session.env.queue.run(
      () => {
        for (const key of keys) database.removeSync(key);
      },
      { durable: false, grows: false },
    );
  }
}

/** Undefined for what another form or a fault left behind: it is made again. */
function headOf(text: string): Head | undefined {
  try {
    const head = JSON.parse(text.slice(0, Math.max(0, text.indexOf('\n')))) as Head;
    return Array.isArray(head) && head.length === 5 ? head : undefined;
  } catch {
    return undefined;
  }
}
