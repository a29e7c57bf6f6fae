/**
 * Where histories end, of those recorded to last. As long as nobody else records, a fact behind the end of its history is
 * new and not late, and nothing has to be read to know it.
 */
import { compareIdentity, type Fact, type IdentityKey } from '@concursus/core';
import type { Directory } from './bucket-growth.js';
import { KnownHistory } from './known-facts.js';
import type { Placement } from './placement.js';

/** Of some 400 bytes each. */
const ENDS_MAX = 50_000;

interface End {
  readonly era: number;
  readonly directory: Directory;
  readonly last: IdentityKey;
}

export class HistoryEnds {
  /** The longest unused first. */
  private readonly ends = new Map<string, End>();

  constructor(private readonly placement: Placement) {}

  /** The history as far as it matters to these facts, when all of them are behind its end; else undefined. */
  find(text: string, type: string, facts: readonly Fact[], era: number): KnownHistory | undefined {
    const end = this.ends.get(text);
    if (end === undefined || end.era !== era) return undefined;
    for (const fact of facts) if (compareIdentity(end.last, fact) >= 0) return undefined;
    const history = new KnownHistory(this.placement, new Map(end.directory));
    history.reach(this.placement.bucketOf(type, end.last.eventTime), end.last);
    return history;
  }

  /** The last fact of a history, if it is known. */
  lastOf(text: string, era: number): IdentityKey | undefined {
    const end = this.ends.get(text);
    return end?.era === era ? end.last : undefined;
  }

  /**
   * Notes the buckets that a history has, and its last fact: the one known before when none is given.
   * @param era in which nobody else recorded, until now
   */
  note(text: string, directory: Directory, fact: Fact | undefined, era: number): void {
    const last = fact ?? this.lastOf(text, era);
    if (last === undefined) return;
    this.ends.delete(text);
    const { eventTime, streamId, sequence, name } = last;
    this.ends.set(text, { era, directory, last: { eventTime, streamId, sequence, name } });
    if (this.ends.size > ENDS_MAX) for (const [oldest] of this.ends) return void this.ends.delete(oldest);
  }
}
