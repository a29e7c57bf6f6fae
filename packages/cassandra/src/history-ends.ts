/**
 * Where histories end, of those recorded to last, by this process and by others whose logs it reads. A fact behind the end
 * of its history is new and not late, and nothing has to be read to know it. Of histories that were not recorded to for long
 * only the time of the last fact is kept, so that appends cost the same among a thousand of them and a million.
 */
import { compareIdentity, type Fact, type IdentityKey } from '@concursus/core';
import { textOf } from './append-decision.js';
import type { Directory } from './bucket-growth.js';
import { EndTable } from './end-table.js';
import type { LoggedFact } from './feed-row.js';
import { KnownHistory } from './known-facts.js';
import type { Placement } from './placement.js';

/** Of some 400 bytes each, in two generations. */
const ENDS_MAX = 50_000;
/** Of the elder generation, with each that is noted: they are through before the younger one is full. */
const FORGOTTEN_A_NOTE = 2;

interface End {
  readonly era: number;
  readonly directory: Directory;
  /** Of the last. */
  readonly bucket: number;
  readonly last: IdentityKey;
}

export class HistoryEnds {
  /**
   * Two generations, so that nothing is ever taken out of a map: one whose first entry goes with each that comes is walked
   * over from its beginning, past all that went.
   */
  private younger = new Map<string, End>();
  private elder: ReadonlyMap<string, End> = new Map();
  private leaving: Iterator<[string, End]> = this.elder.entries();
  /** Of those that went. Where it knows a history, the partition of its last fact is the only one of its bucket. */
  private readonly times: EndTable;

  /** @param endsMax of which everything is kept @param timesMax of which the time is kept, a power of two */
  constructor(
    private readonly placement: Placement,
    private readonly endsMax = ENDS_MAX,
    timesMax?: number,
  ) {
    this.times = new EndTable(timesMax);
  }

  /** The history as far as it matters to these facts, when all of them are behind its end; else undefined. */
  find(text: string, type: string, facts: readonly Fact[], era: number): KnownHistory | undefined {
    const end = this.knownEnd(text, era);
    if (end === undefined) return this.findByTime(text, type, facts, era);
    for (const fact of facts) if (compareIdentity(end.last, fact) >= 0) return undefined;
    const history = new KnownHistory(this.placement, new Map(end.directory));
    history.reach(this.placement.bucketOf(type, end.last.eventTime), end.last);
    return history;
  }

  /** The same from the time of the last fact: facts of that very time, or of another bucket, are looked up. */
  private findByTime(text: string, type: string, facts: readonly Fact[], era: number): KnownHistory | undefined {
    const last = this.times.find(text, era);
    if (last === undefined) return undefined;
    const bucket = this.placement.bucketOf(type, last);
    for (const fact of facts) {
      if (fact.eventTime <= last || this.placement.bucketOf(type, fact.eventTime) !== bucket) return undefined;
    }
    return new KnownHistory(this.placement, new Map([[bucket, { width: 1, listed: undefined, filled: undefined }]]));
  }

  /** The last fact of a history, if it is known. */
  lastOf(text: string, era: number): IdentityKey | undefined {
    return this.knownEnd(text, era)?.last;
  }

  /**
   * Notes the buckets that a history has, and its last fact: the one known before when none is given.
   * @param era in which all that others recorded until now was learnt
   */
  note(text: string, directory: Directory, fact: Fact | undefined, era: number): void {
    const end = fact === undefined ? this.knownEnd(text, era) : this.endOf(fact);
    if (end !== undefined) this.put(text, { era, directory, bucket: end.bucket, last: end.last });
  }

  /** Notes the ends of histories that were just recorded to. @param era in which all of it happened */
  noteAll(logged: readonly LoggedFact[], directories: ReadonlyMap<string, Directory>, era: number): void {
    const lasts = new Map<string, LoggedFact>();
    for (const each of logged) {
      const text = textOf(each.fact);
      const last = lasts.get(text);
      if (last === undefined || compareIdentity(last.fact, each.fact) < 0) lasts.set(text, each);
    }
    for (const [text, { fact, late }] of lasts) {
      const directory = directories.get(text);
      // Behind a late one stands something else.
      if (directory !== undefined) this.note(text, directory, late ? undefined : fact, era);
    }
  }

  /** Another writer recorded, or may have recorded, a fact here: a history that is known ends there now, or behind it. */
  learn(text: string, type: string, place: IdentityKey, era: number): void {
    const bucket = this.placement.bucketOf(type, place.eventTime);
    const end = this.knownEnd(text, era);
    if (end !== undefined) {
      if (compareIdentity(end.last, place) < 0) this.put(text, { era, directory: end.directory, bucket, last: place });
      return;
    }
    const last = this.times.find(text, era);
    if (last === undefined || place.eventTime <= last) return;
    if (this.placement.bucketOf(type, last) === bucket) this.times.put(text, era, place.eventTime);
    else this.times.remove(text);
  }

  private put(text: string, end: End): void {
    this.younger.set(text, end);
    this.forget(FORGOTTEN_A_NOTE);
    if (this.younger.size * 2 < this.endsMax) return;
    this.forget(Number.POSITIVE_INFINITY);
    this.elder = this.younger;
    this.leaving = this.elder.entries();
    this.younger = new Map();
  }

  private knownEnd(text: string, era: number): End | undefined {
    const end = this.younger.get(text) ?? this.elder.get(text);
    return end?.era === era ? end : undefined;
  }

  private endOf(fact: Fact): Pick<End, 'bucket' | 'last'> {
    const { eventTime, streamId, sequence, name } = fact;
    const bucket = this.placement.bucketOf(fact.aggregateType, eventTime);
    return { bucket, last: { eventTime, streamId, sequence, name } };
  }

  /** So many of the elder ones: all but their times, where that is enough to know where their next facts go. */
  private forget(count: number): void {
    for (let i = 0; i < count; i++) {
      const next = this.leaving.next();
      if (next.done === true) return;
      const [text, { era, directory, bucket, last }] = next.value;
      if (this.younger.has(text)) continue;
      if (directory.get(bucket)?.width === 1) this.times.put(text, era, last.eventTime);
      else this.times.remove(text);
    }
  }
}
