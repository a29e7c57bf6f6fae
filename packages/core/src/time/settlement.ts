/**
 * Up to when a projection is settled: the least of the input watermark and the time before the first event that is not
 * applied because its aggregate is parked. Derived page by page like the source table, and saved in the same transaction.
 */
import { effectTimeOf } from '../model/correction.js';
import type { Fact, WireValue } from '../model/event.js';
import type { TimeNote } from './source.js';

const NEVER = Number.NEGATIVE_INFINITY;
const FREE = Number.POSITIVE_INFINITY;
/** How the notes of a settlement begin: `settled/` itself says how far, `settled/` and an aggregate what it holds. */
export const SETTLEMENT_NOTES = 'settled/';

/** A parked aggregate as `settledUpTo` sees it. */
export interface SettlementHold {
  /** The aggregate's key text. */
  readonly aggregate: string;
  /** The first of its events that was above `settledUpTo` when received: it holds the line just before. Null when it only waits as a straggler. */
  readonly holdsAt: number | null;
  /** The earliest of its events that was at or below `settledUpTo` when received; null when there is none. */
  readonly stragglerAt: number | null;
}

interface Hold {
  at: number;
  straggler: number;
}

/**
 * The settlement of one projection. For each page: ask `isStraggler` and call `hold` for what cannot be applied, let the source
 * table take the page, call `advance`, commit `changes()`, then `saved()`. Whoever cannot commit loads it again.
 */
export class Settlement {
  private upTo = NEVER;
  private upToSaved = NEVER;
  private readonly holds = new Map<string, Hold>();
  /** Of what is held, the least; -Infinity when it must be looked for. */
  private least = FREE;
  private readonly dirty = new Set<string>();

  /** @param notes those of a former settlement, all whose keys begin with `SETTLEMENT_NOTES`; others are passed over */
  constructor(notes: readonly TimeNote[] = []) {
    for (const { key, value } of notes) {
      if (value === null || !key.startsWith(SETTLEMENT_NOTES)) continue;
      if (key === SETTLEMENT_NOTES) this.upTo = this.upToSaved = value as number;
      else {
        const { at, straggler } = value as { at?: number; straggler?: number };
        this.holds.set(key.slice(SETTLEMENT_NOTES.length), { at: at ?? FREE, straggler: straggler ?? FREE });
      }
    }
    this.least = NEVER;
  }

  /**
   * Every event at or before it that was recorded by then is applied, stragglers apart. Inclusive; -Infinity before anything
   * settled. It never goes back.
   */
  get settledUpTo(): number {
    return this.upTo;
  }

  /** Whether a fact comes too late to be waited for: it stands at or below what is settled. Ask before the step that takes it advances. */
  isStraggler(fact: Fact): boolean {
    return effectTimeOf(fact) <= this.upTo;
  }

  /**
   * An event of a parked aggregate is not applied: nothing settles at or after it until the release. At or below what is settled it
   * is a straggler and holds nothing. Call it for every such event: also for those applied before the parking withdrew them.
   */
  hold(aggregate: string, eventTime: number): void {
    let hold = this.holds.get(aggregate);
    if (hold === undefined) this.holds.set(aggregate, (hold = { at: FREE, straggler: FREE }));
    else if (eventTime <= this.upTo ? eventTime >= hold.straggler : eventTime >= hold.at) return;
    if (eventTime <= this.upTo) hold.straggler = Math.min(hold.straggler, eventTime);
    else {
      hold.at = eventTime;
      if (eventTime < this.least) this.least = eventTime;
    }
    this.dirty.add(aggregate);
  }

  /** `hold` for each of the facts of one aggregate: its whole history when it is parked. */
  holdAll(aggregate: string, facts: Iterable<Fact>): void {
    for (const fact of facts) this.hold(aggregate, effectTimeOf(fact));
  }

  /** The aggregate is applied again, with all its events. Without effect for one that is not held. */
  release(aggregate: string): void {
    const hold = this.holds.get(aggregate);
    if (hold === undefined) return;
    this.holds.delete(aggregate);
    this.dirty.add(aggregate);
    if (hold.at === this.least) this.least = NEVER;
  }

  /** Everything up to a page's end is applied or held, and this is the input watermark there. Returns `settledUpTo`. */
  advance(inputWatermark: number): number {
    if (this.least === NEVER) this.least = this.leastHeld();
    const next = Math.min(inputWatermark, this.least - 1);
    if (next > this.upTo) this.upTo = next;
    return this.upTo;
  }

  /** What is parked, ordered by aggregate. */
  parked(): readonly SettlementHold[] {
    return [...this.holds]
      .map(([aggregate, { at, straggler }]) => ({
        aggregate,
        holdsAt: at === FREE ? null : at,
        stragglerAt: straggler === FREE ? null : straggler,
      }))
      .sort((a, b) => (a.aggregate < b.aggregate ? -1 : 1));
  }

  /** What changed since the last `saved()`: one note on how far it is, and one for each aggregate held or (null) released. */
  changes(): readonly TimeNote[] {
    const notes: TimeNote[] = [];
    if (this.upTo !== this.upToSaved) notes.push({ key: SETTLEMENT_NOTES, value: this.upTo });
    for (const aggregate of this.dirty) notes.push(this.noteOf(aggregate));
    return notes;
  }

  /** What `changes` gave was committed, and nothing was called since. */
  saved(): void {
    this.upToSaved = this.upTo;
    this.dirty.clear();
  }

  private noteOf(aggregate: string): TimeNote {
    const key = SETTLEMENT_NOTES + aggregate;
    const hold = this.holds.get(aggregate);
    if (hold === undefined) return { key, value: null };
    const value: Record<string, WireValue> = {};
    if (hold.at !== FREE) value['at'] = hold.at;
    if (hold.straggler !== FREE) value['straggler'] = hold.straggler;
    return { key, value };
  }

  private leastHeld(): number {
    let least = FREE;
    for (const { at } of this.holds.values()) if (at < least) least = at;
    return least;
  }
}
