/**
 * Where histories end, of those recorded to last. As long as nobody else records, a fact behind the end of its history is
 * new and not late, and nothing has to be read to know it. Of histories that were not recorded to for long only the time
 * of the last fact is kept, so that appends cost the same among a thousand of them and a million.
 */
import { compareIdentity, type Fact, type IdentityKey } from '@concursus/core';
import type { Directory } from './bucket-growth.js';
import { EndTable } from './end-table.js';
import { KnownHistory } from './known-facts.js';
import type { Placement } from './placement.js';

/** Of some 400 bytes each. */
const ENDS_MAX = 50_000;

interface End {
  readonly era: number;
  readonly directory: Directory;
  /** Of the last. */
  readonly bucket: number;
  readonly last: IdentityKey;
}

export class HistoryEnds {
  /** The longest unused first. */
  private readonly ends = new Map<string, End>();
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
    const end = this.ends.get(text);
    if (end === undefined || end.era !== era) return this.findByTime(text, type, facts, era);
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

  /** Notes the last fact of a history, and the buckets it has. @param era in which nobody else recorded, until now */
  note(text: string, directory: Directory, last: Fact, era: number): void {
    this.ends.delete(text);
    const { eventTime, streamId, sequence, name } = last;
    const bucket = this.placement.bucketOf(last.aggregateType, eventTime);
    this.ends.set(text, { era, directory, bucket, last: { eventTime, streamId, sequence, name } });
    if (this.ends.size > this.endsMax) for (const [oldest, end] of this.ends) return this.forget(oldest, end);
  }

  /** All but its time, if that is enough to know where its next fact goes. */
  private forget(text: string, { era, directory, bucket, last }: End): void {
    this.ends.delete(text);
    if (directory.get(bucket)?.width === 1) this.times.put(text, era, last.eventTime);
    else this.times.remove(text);
  }
}
