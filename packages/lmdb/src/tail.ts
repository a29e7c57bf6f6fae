/**
 * The facts that the feed holds and the histories do not yet: each process keeps them in memory, by aggregate and in key
 * order, and reads them again from the feed when it opens the environment or when another process appended.
 */
import { compareIdentity } from '@concursus/core';
import type { Fact, IdentityKey } from '@concursus/core';
import type { Entry } from './entry.js';
import { lowerBound, type Owner } from './segment.js';

/** Large facts fill the tail as several small ones do: one for each so many characters. */
const CHARACTERS_A_WEIGHT = 2_048;

export function weightOf(fact: Fact): number {
  return 1 + Math.floor(fact.content.length / CHARACTERS_A_WEIGHT);
}

/** What is known of the last segment of a history. */
export interface Head {
  /** Event time of the last fact in the history; -Infinity without any. */
  readonly maxTime: number;
  /** Undefined without any. */
  readonly key: Buffer | undefined;
  readonly count: number;
  readonly bytes: number;
  /** Valid while the index counts the same. */
  readonly era: number;
}

const NONE: readonly Entry[] = Object.freeze([]);

/** The facts of one aggregate. */
export class AggregateTail implements Owner {
  /** In key order; of one identity in the order of arrival. */
  readonly entries: Entry[] = [];
  head: Head | undefined;

  constructor(
    readonly tenant: string,
    readonly type: string,
    readonly id: string,
  ) {}

  /** Those of one identity. */
  of(identity: IdentityKey): readonly Entry[] {
    const { entries } = this;
    const last = entries.length - 1;
    if (last < 0 || entries[last]!.fact.eventTime < identity.eventTime) return NONE;
    const from = lowerBound(entries, identity, compareIdentity);
    let to = from;
    while (to < entries.length && compareIdentity(entries[to]!.fact, identity) === 0) to++;
    return entries.slice(from, to);
  }
}

export class Tail {
  /** Facts before this one are committed; those from here on belong to the group in hand. */
  end = 0;
  /** Of all facts in it, see `weightOf`. */
  weight = 0;
  /** Grows with every change. */
  changes = 0;
  private readonly types = new Map<string, Map<string, Map<string, AggregateTail>>>();

  private ids(tenant: string, type: string): Map<string, AggregateTail> {
    let types = this.types.get(tenant);
    if (types === undefined) this.types.set(tenant, (types = new Map()));
    let ids = types.get(type);
    if (ids === undefined) types.set(type, (ids = new Map()));
    return ids;
  }

  /** What is kept of an aggregate; an empty one, not kept, when there is nothing. */
  of(tenant: string, type: string, id: string): AggregateTail {
    return this.find(tenant, type, id) ?? new AggregateTail(tenant, type, id);
  }

  find(tenant: string, type: string, id: string): AggregateTail | undefined {
    return this.types.get(tenant)?.get(type)?.get(id);
  }

  *all(): Generator<AggregateTail> {
    for (const types of this.types.values()) for (const ids of types.values()) yield* ids.values();
  }

  add(aggregate: AggregateTail, entry: Entry): void {
    const { entries } = aggregate;
    if (entries.length === 0) this.ids(aggregate.tenant, aggregate.type).set(aggregate.id, aggregate);
    this.changes++;
    this.weight += weightOf(entry.fact);
    let at = entries.length;
    while (at > 0 && at > entries.length - 4 && compareIdentity(entries[at - 1]!.fact, entry.fact) > 0) at--;
    if (at > 0 && compareIdentity(entries[at - 1]!.fact, entry.fact) > 0) {
      // Later than a few: of one identity it still goes behind those that came before.
      at = lowerBound(entries, entry.fact, (a, b) => (compareIdentity(a, b) <= 0 ? -1 : 1));
    }
    if (at === entries.length) entries.push(entry);
    else entries.splice(at, 0, entry);
  }

  remove(aggregate: AggregateTail, entry: Entry): void {
    const at = aggregate.entries.lastIndexOf(entry);
    if (at < 0) return;
    aggregate.entries.splice(at, 1);
    this.changes++;
    this.weight -= weightOf(entry.fact);
    if (aggregate.entries.length === 0) this.forget(aggregate);
  }

  /** Removes an aggregate's facts before an ordinal. */
  removeBefore(aggregate: AggregateTail, ordinal: number): void {
    const { entries } = aggregate;
    let kept = 0;
    for (const entry of entries) {
      if (entry.ordinal < ordinal) this.weight -= weightOf(entry.fact);
      else entries[kept++] = entry;
    }
    if (kept === entries.length) return;
    this.changes++;
    entries.length = kept;
    if (kept === 0) this.forget(aggregate);
  }

  private forget(aggregate: AggregateTail): void {
    const types = this.types.get(aggregate.tenant);
    const ids = types?.get(aggregate.type);
    if (ids?.get(aggregate.id) !== aggregate) return;
    ids.delete(aggregate.id);
    if (ids.size > 0) return;
    types!.delete(aggregate.type);
    if (types!.size === 0) this.types.delete(aggregate.tenant);
  }
}
