/** Snapshots on Cassandra: one partition an aggregate and reducer version, the greatest fold key first. They only save work. */
import { SnapshotStore } from '@concursus/core';
import type { AggregateKey, Snapshot } from '@concursus/core';
import type { Session } from './session.js';

/** The first line of the stored text; the content is the rest, as it is. One cell, so that no half of it is ever read. */
type Head = readonly [eventTimeMax: number, ms: number, tick: number, events: number, checksum: string];

const OF = 'context = ? AND tenant = ? AND type = ? AND id = ? AND reducer = ?';
const SAVE = `INSERT INTO snapshot (context, tenant, type, id, reducer, fold_key, content) VALUES (?, ?, ?, ?, ?, ?, ?)`;
const READ = `SELECT fold_key, content FROM snapshot WHERE ${OF} LIMIT ?`;
const REMOVE = `DELETE FROM snapshot WHERE ${OF} AND fold_key >= ?`;
const REMOVE_EACH = `DELETE FROM snapshot WHERE ${OF} AND fold_key IN ?`;

export class CassandraSnapshotStore extends SnapshotStore {
  constructor(private readonly session: Session) {
    super();
  }

  private of({ tenant, type, id }: AggregateKey, reducerVersion: number): unknown[] {
    return [this.session.context, tenant, type, id, reducerVersion];
  }

  async save(snapshot: Snapshot): Promise<void> {
    const { eventTimeMax, recordedMax, events, content, checksum } = snapshot;
    const head: Head = [eventTimeMax, recordedMax.ms, recordedMax.tick, events, checksum];
    const key = this.of(snapshot.aggregate, snapshot.reducerVersion);
    await this.session.execute(SAVE, [...key, snapshot.foldKey, `${JSON.stringify(head)}\n${content}`]);
  }

  async read(aggregate: AggregateKey, reducerVersion: number, limit: number): Promise<readonly Snapshot[]> {
    const rows = await this.session.rows(READ, [...this.of(aggregate, reducerVersion), limit]);
    const found: Snapshot[] = [];
    for (const row of rows) {
      const text = row.get('content') as string;
      const head = headOf(text);
      if (head === undefined) continue;
      const [eventTimeMax, ms, tick, events, checksum] = head;
      found.push({
        aggregate,
        reducerVersion,
        foldKey: row.get('fold_key') as string,
        eventTimeMax,
        recordedMax: { ms, tick },
        events,
        content: text.slice(text.indexOf('\n') + 1),
        checksum,
      });
    }
    return found;
  }

  async remove(aggregate: AggregateKey, reducerVersion: number, foldKey: string): Promise<void> {
    await this.session.execute(REMOVE, [...this.of(aggregate, reducerVersion), foldKey]);
  }

  async removeEach(aggregate: AggregateKey, reducerVersion: number, foldKeys: readonly string[]): Promise<void> {
    this.session.checkOpen();
    if (foldKeys.length === 0) return;
    await this.session.execute(REMOVE_EACH, [...this.of(aggregate, reducerVersion), [...foldKeys]]);
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
