/**
 * How far rows reach in event time, where that is far ahead: an event of a wrong clock, dated years from now. A row's `through`
 * only grows, as what is settled passes it soon. What is settled never passes such an event, so these are kept by aggregate,
 * and go when their aggregate is withdrawn, put right, or leaves the row.
 */
import { isCorrection, reachTimeOf } from '../model/correction.js';
import type { Fact } from '../model/event.js';
import type { AheadReach, StoredRow } from '../ports/view-store.js';

/**
 * What is later than when it was recorded by more than this is far ahead. As `TimeOptions.maxSkewMs` by default; whatever
 * that is set to: what is nearer is passed within this time and its source's bound, and what is farther is kept exactly.
 */
export const AHEAD_MS = 60_000;

/** Aggregates of one row that are kept, and characters of their keys: some ten kilobytes of a row at most. */
export const AHEAD_MAX = 64;
const AHEAD_CHARACTERS_MAX = 8_192;

/**
 * The latest event time of an aggregate's history as it counts: of all its events, or of each row of its contribution the
 * latest event that adds to it.
 */
export type Reach = number | readonly (number | undefined)[];

/** The latest of them is last. */
export function latestAhead({ ahead }: Pick<StoredRow, 'ahead'>): number {
  return ahead?.at(-1)?.[1] ?? Number.NEGATIVE_INFINITY;
}

/** Whether the row holds anything later than this. */
export function reachesBeyond(row: Pick<StoredRow, 'through' | 'ahead'>, time: number): boolean {
  return (row.through ?? Number.NEGATIVE_INFINITY) > time || latestAhead(row) > time;
}

export function isFarAhead(fact: Fact): boolean {
  return reachTimeOf(fact) > fact.processedAt + AHEAD_MS;
}

/** What the new facts of one aggregate say of rows, in one pass; used again for the next, as it is asked for each step. */
export class Bearing {
  /** The latest time of those that are not far ahead. */
  near = Number.NEGATIVE_INFINITY;
  /** When the last of them was recorded. */
  recordedAt = Number.NEGATIVE_INFINITY;
  /** All rows of the aggregate are looked at, though it may add what it added: how far it reaches may be less than before, or far ahead. */
  everywhere = false;

  /** @param now where there is no fact, as of a parked aggregate that is tried again */
  of({ facts, judged }: { readonly facts: readonly Fact[]; readonly judged?: boolean | undefined }, now: number): this {
    this.near = Number.NEGATIVE_INFINITY;
    this.recordedAt = facts.length === 0 ? now : Number.NEGATIVE_INFINITY;
    this.everywhere = judged === true;
    for (let i = 0; i < facts.length; i++) {
      const fact = facts[i]!;
      const time = reachTimeOf(fact);
      if (fact.processedAt > this.recordedAt) this.recordedAt = fact.processedAt;
      if (time > fact.processedAt + AHEAD_MS) this.everywhere = true;
      else if (time > this.near) this.near = time;
      if (isCorrection(fact)) this.everywhere = true;
    }
    return this;
  }
}

/** One row's aggregates that reach far ahead, while a step changes them. */
export class RowAhead {
  private readonly entries: Map<string, number>;
  private recordedAt = Number.NEGATIVE_INFINITY;

  constructor(stored: readonly AheadReach[] | undefined) {
    this.entries = new Map(stored);
  }

  /**
   * @param reach how far it reaches in this row now; undefined when it adds nothing to it any more
   * @param whole whether that is all of its history, and not only what is new
   */
  take(aggregate: string, reach: number | undefined, whole: boolean, recordedAt: number): void {
    if (recordedAt > this.recordedAt) this.recordedAt = recordedAt;
    const known = this.entries.get(aggregate);
    if (reach !== undefined && reach > recordedAt + AHEAD_MS) {
      this.entries.set(aggregate, whole || known === undefined ? reach : Math.max(known, reach));
    } else if (whole) this.entries.delete(aggregate);
  }

  /** The row's `through` and what is beyond it. What time has come near to is as any other; of too many the least are, too. */
  kept(through: number): { readonly through: number; readonly ahead: readonly AheadReach[] | undefined } {
    const near = this.recordedAt + AHEAD_MS;
    const all = [...this.entries].sort((a, b) => a[1] - b[1] || (a[0] < b[0] ? -1 : 1));
    let first = all.length;
    let characters = 0;
    while (first > 0) {
      const [aggregate, reach] = all[first - 1]!;
      characters += aggregate.length;
      if (reach <= near || all.length - first === AHEAD_MAX || characters > AHEAD_CHARACTERS_MAX) break;
      first--;
    }
    const reached = first === 0 ? through : Math.max(through, all[first - 1]![1]);
    const ahead = all.slice(first).filter((entry) => entry[1] > reached);
    return { through: reached, ahead: ahead.length === 0 ? undefined : ahead };
  }
}

/** How far an aggregate reaches in the row at a place of its contribution, which has `width` fields. */
export function reachAt(reach: Reach | undefined, at: number, width: number): number | undefined {
  return typeof reach === 'object' ? reach[(at - 1) / (width + 1)] : reach;
}

export function sameAhead(a: readonly AheadReach[] | undefined, b: readonly AheadReach[] | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined || a.length !== b.length) return false;
  return a.every((one, i) => one[0] === b[i]![0] && one[1] === b[i]![1]);
}

/** The row with how far it reaches. */
export function rowReaching(
  row: Pick<StoredRow, 'key' | 'revision' | 'contributors' | 'fields'>,
  through: number,
  ahead: readonly AheadReach[] | undefined,
): StoredRow {
  const { key, revision, contributors, fields } = row;
  return {
    key,
    revision,
    contributors,
    fields,
    ...(through === Number.NEGATIVE_INFINITY ? {} : { through }),
    ...(ahead === undefined ? {} : { ahead }),
  };
}
