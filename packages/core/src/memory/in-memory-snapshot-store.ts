/** Snapshots in memory: per aggregate and reducer version, sorted by fold key. */
import { aggregateKeyText, type AggregateKey } from '../model/event.js';
import { compareText } from '../model/text.js';
import { SnapshotStore, type Snapshot } from '../ports/snapshot-store.js';
import type { MemorySession } from './session.js';

export class InMemorySnapshotStore extends SnapshotStore {
  /** The greatest fold key first. */
  private readonly byAggregate = new Map<string, readonly Snapshot[]>();

  constructor(private readonly session: MemorySession) {
    super();
  }

  async save(snapshot: Snapshot): Promise<void> {
    this.session.checkOpen();
    const { tenant, type, id } = snapshot.aggregate;
    const kept: Snapshot = Object.freeze({
      aggregate: Object.freeze({ tenant, type, id }),
      reducerVersion: snapshot.reducerVersion,
      foldKey: snapshot.foldKey,
      eventTimeMax: snapshot.eventTimeMax,
      recordedMax: Object.freeze({ ms: snapshot.recordedMax.ms, tick: snapshot.recordedMax.tick }),
      events: snapshot.events,
      content: snapshot.content,
      checksum: snapshot.checksum,
    });
    const key = keyOf(snapshot.aggregate, snapshot.reducerVersion);
    const others = (this.byAggregate.get(key) ?? []).filter((other) => other.foldKey !== snapshot.foldKey);
    this.byAggregate.set(
      key,
      [...others, kept].sort((a, b) => compareText(b.foldKey, a.foldKey)),
    );
  }

  async read(aggregate: AggregateKey, reducerVersion: number, limit: number): Promise<readonly Snapshot[]> {
    this.session.checkOpen();
    return (this.byAggregate.get(keyOf(aggregate, reducerVersion)) ?? []).slice(0, limit);
  }

  async remove(aggregate: AggregateKey, reducerVersion: number, foldKey: string): Promise<void> {
    this.session.checkOpen();
    const key = keyOf(aggregate, reducerVersion);
    const left = (this.byAggregate.get(key) ?? []).filter((each) => compareText(each.foldKey, foldKey) < 0);
    this.keep(key, left);
  }

  async removeEach(aggregate: AggregateKey, reducerVersion: number, foldKeys: readonly string[]): Promise<void> {
    this.session.checkOpen();
    const key = keyOf(aggregate, reducerVersion);
    this.keep(
      key,
      (this.byAggregate.get(key) ?? []).filter((each) => !foldKeys.includes(each.foldKey)),
    );
  }

  private keep(key: string, left: readonly Snapshot[]): void {
    if (left.length === 0) this.byAggregate.delete(key);
    else this.byAggregate.set(key, left);
  }
}

function keyOf(aggregate: AggregateKey, reducerVersion: number): string {
  return `${aggregateKeyText(aggregate.tenant, aggregate.type, aggregate.id)}\u0000${reducerVersion}`;
}
