/**
 * Stop 5 of the walk, only with a transient cache: what is known to be *recorded* need not wait for the store again.
 * Look up, record, *then* mark: a mark before the record would lose the event in a crash between the two.
 *
 * A hit is answered at once and handed to the store behind the answer, to count the repeat beside the event. So the
 * cache saves waiting, never decides: had it been wrong, the store would record the event then.
 */
import { aggregateKeyText } from '../model/event.js';
import type { Fact } from '../model/event.js';
import type { Position } from '../model/position.js';
import type { CheckpointStore } from '../ports/checkpoint-store.js';
import type { Clock } from '../ports/clock.js';
import type { Append, EventStore } from '../ports/event-store.js';
import type { TransientCache } from '../ports/transient-cache.js';
import type { Batch, BatchItem } from './batch.js';

export interface DeduplicatorOptions {
  readonly cache: TransientCache;
  readonly store: EventStore;
  readonly clock: Clock;
  readonly context: string;
  /** Reads a position back from its stored form: `EventFeed.parsePosition`. */
  readonly parsePosition: (text: string) => Position;
  /** Default one hour: repeats come soon or hardly ever. */
  readonly ttlMs?: number;
  /** Repeats waiting to be counted, at most; beyond it they go through the store as without a cache. Default 10,000. */
  readonly repeatsMax?: number;
  readonly onError: (error: unknown, where: string) => void;
}

/**
 * The name of this filling of a store, kept in the store itself: emptied, it gets another one, and marks of the old one
 * in a shared cache mean nothing.
 */
export async function incarnationOf(checkpoints: CheckpointStore, clock: Clock): Promise<string> {
  const name = 'concursus.incarnation';
  const known = await checkpoints.read(name);
  if (known !== undefined) return known;
  const fresh = Buffer.from(clock.randomBytes(16)).toString('hex');
  try {
    await checkpoints.save(name, fresh, { epoch: 0, expected: undefined });
    return fresh;
  } catch (error) {
    const other = await checkpoints.read(name); // another process was faster
    if (other === undefined) throw error;
    return other;
  }
}

export class Deduplicator {
  /** Cache hits since the start. */
  hits = 0;
  private failing = false;
  private incarnation: string | undefined = undefined;
  private toCount: Fact[] = [];
  private counting: Promise<void> | undefined = undefined;
  private readonly ttlMs: number;
  private readonly repeatsMax: number;

  constructor(private readonly options: DeduplicatorOptions) {
    this.ttlMs = options.ttlMs ?? 3_600_000;
    this.repeatsMax = options.repeatsMax ?? 10_000;
  }

  /** Learns which filling of the store this is; until then nothing is looked up or marked. */
  async open(checkpoints: CheckpointStore): Promise<void> {
    this.incarnation = await incarnationOf(checkpoints, this.options.clock);
  }

  /** Decides pending items that are known to be recorded as `repeated`. A failing cache is reported once and changes nothing. */
  async lookUp(batch: Batch): Promise<void> {
    if (this.incarnation === undefined) return;
    const items: BatchItem[] = [];
    const keys: string[] = [];
    for (const item of batch.pending()) {
      items.push(item);
      keys.push(this.keyOf(item.fact!));
    }
    if (items.length === 0 || this.toCount.length + items.length > this.repeatsMax) return;
    try {
      const values = await this.options.cache.getMany(keys);
      for (let i = 0; i < items.length; i++) {
        const value = values[i];
        if (value === undefined) continue;
        const position = this.options.parsePosition(Buffer.from(value).toString('utf8'));
        batch.position = batch.position === undefined ? position : batch.position.join(position);
        items[i]!.outcome = 'repeated';
        this.toCount.push(items[i]!.fact!);
        this.hits++;
      }
      this.failing = false;
    } catch (error) {
      this.reportOnce(error);
    }
    if (this.toCount.length > 0) this.counting ??= this.countRepeats();
  }

  /** Marks what the store has. Called after the append, never before; nobody waits for it. */
  mark(batch: Batch): void {
    const position = batch.position;
    if (position === undefined || this.incarnation === undefined) return;
    const value = Buffer.from(position.toString(), 'utf8');
    const entries: { key: string; value: Uint8Array }[] = [];
    for (let i = 0; i < batch.items.length; i++) {
      const item = batch.items[i]!;
      if (item.outcome === 'recorded' || item.outcome === 'conflicting' || item.outcome === 'repeated') {
        entries.push({ key: this.keyOf(item.fact!), value });
      }
    }
    this.options.cache.setMany(entries, this.ttlMs).catch((error: unknown) => this.reportOnce(error));
  }

  /** Resolves when every repeat answered so far is counted. */
  async idle(): Promise<void> {
    while (this.counting !== undefined) await this.counting;
  }

  private async countRepeats(): Promise<void> {
    while (this.toCount.length > 0) {
      const facts = this.toCount;
      this.toCount = [];
      const receivedAt = this.options.clock.now();
      const appends: Append[] = facts.map((fact) => ({ facts: [fact], receivedAt }));
      try {
        await this.options.store.append(appends);
      } catch (error) {
        // The events are stored and acknowledged; only their count is short.
        this.options.onError(error, `counting ${facts.length} repeats`);
      }
    }
    this.counting = undefined;
  }

  private keyOf(fact: Fact): string {
    const { context } = this.options;
    const aggregate = aggregateKeyText(fact.tenant, fact.aggregateType, fact.aggregateId);
    return `${context}\u0000${this.incarnation}\u0000${aggregate}\u0000${fact.eventTime}\u0000${fact.streamId}\u0000${fact.sequence}\u0000${fact.name}\u0000${fact.digest}`;
  }

  private reportOnce(error: unknown): void {
    if (this.failing) return;
    this.failing = true;
    this.options.onError(error, 'the transient cache; events take the way without it');
  }
}
