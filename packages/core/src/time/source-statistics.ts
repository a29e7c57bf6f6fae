/** What is counted of one source beside its watermark: how many, how late, how fast. A pure function of the feed, like the table. */
import type { WireValue } from '../model/event.js';

/** Half of what a bucket may be wrong by, with room for rounding: 4.9 %. */
const ERROR = 0.049;
const GROWTH = (1 + ERROR) / (1 - ERROR);
const PER_LOG = 1 / Math.log(GROWTH);
const HOUR_MS = 3_600_000;

/** How late the events of a source came: processing time minus event time, milliseconds. Quantiles are within 5 % of the exact ones, `max` is exact; null before any. */
export interface Lateness {
  readonly p50: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
  readonly max: number | null;
}

/** Durations in logarithmic buckets: each is known within 5 %, in at most some 650 counters for any duration there is. */
export class LatenessHistogram {
  private readonly buckets: number[] = [];
  /** Those not later than they happened: a clock ahead of ours. */
  private early = 0;
  private count = 0;
  private greatest = Number.NEGATIVE_INFINITY;

  add(ms: number): void {
    this.count++;
    if (ms > this.greatest) this.greatest = ms;
    if (ms <= 0) {
      this.early++;
      return;
    }
    const bucket = Math.ceil(Math.log(ms) * PER_LOG);
    while (this.buckets.length <= bucket) this.buckets.push(0);
    this.buckets[bucket]!++;
  }

  /** The duration that a share `q` of all does not exceed, within 5 %; 0 for those that came early. Undefined before any. */
  quantile(q: number): number | undefined {
    if (this.count === 0) return undefined;
    let left = Math.max(1, Math.ceil(q * this.count)) - this.early;
    if (left <= 0) return Math.min(0, this.greatest);
    for (let i = 0; i < this.buckets.length; i++) {
      left -= this.buckets[i]!;
      if (left <= 0) return Math.min(this.greatest, (2 * GROWTH ** i) / (GROWTH + 1));
    }
    return this.greatest;
  }

  read(): Lateness {
    const at = (q: number): number | null => {
      const value = this.quantile(q);
      return value === undefined ? null : Math.round(value * 10) / 10;
    };
    return { p50: at(0.5), p95: at(0.95), p99: at(0.99), max: this.count === 0 ? null : this.greatest };
  }

  toNote(): WireValue {
    const sparse: number[] = [];
    for (let i = 0; i < this.buckets.length; i++) if (this.buckets[i]! > 0) sparse.push(i, this.buckets[i]!);
    return [this.early, this.count, this.count === 0 ? null : this.greatest, sparse];
  }

  static from(note: WireValue): LatenessHistogram {
    const histogram = new LatenessHistogram();
    const [early, count, greatest, sparse] = note as [number, number, number | null, number[]];
    histogram.early = early;
    histogram.count = count;
    histogram.greatest = greatest ?? Number.NEGATIVE_INFINITY;
    for (let i = 0; i < sparse.length; i += 2) {
      while (histogram.buckets.length <= sparse[i]!) histogram.buckets.push(0);
      histogram.buckets[sparse[i]!] = sparse[i + 1]!;
    }
    return histogram;
  }
}

/** Statistics of one source, plain data; times in epoch milliseconds, null before any event. */
export interface SourceStatisticsView {
  /** Its facts, future and late ones included. */
  readonly count: number;
  readonly firstProcessedAt: number | null;
  readonly lastProcessedAt: number | null;
  /** Of events that are not future. */
  readonly newestEventTime: number | null;
  readonly lateness: Lateness;
  /** Events an hour of processing time between its first and its last; null when there is no time between them. */
  readonly ratePerHour: number | null;
  /** How many stood at or below the input watermark when they came. */
  readonly lateAtReceipt: number;
}

export class SourceStatistics {
  dirty = false;
  private count = 0;
  private first = Number.NEGATIVE_INFINITY;
  private last = Number.NEGATIVE_INFINITY;
  private newest = Number.NEGATIVE_INFINITY;
  private late = 0;
  private lateness = new LatenessHistogram();

  take(processedAt: number, eventTime: number, future: boolean, late: boolean): void {
    this.dirty = true;
    if (this.count++ === 0) this.first = processedAt;
    if (processedAt > this.last) this.last = processedAt;
    if (late) this.late++;
    if (!future && eventTime > this.newest) this.newest = eventTime;
    this.lateness.add(processedAt - eventTime);
  }

  read(): SourceStatisticsView {
    const hours = (this.last - this.first) / HOUR_MS;
    return {
      count: this.count,
      firstProcessedAt: this.count === 0 ? null : this.first,
      lastProcessedAt: this.count === 0 ? null : this.last,
      newestEventTime: this.newest === Number.NEGATIVE_INFINITY ? null : this.newest,
      lateness: this.lateness.read(),
      ratePerHour: hours > 0 ? Math.round((this.count / hours) * 1_000) / 1_000 : null,
      lateAtReceipt: this.late,
    };
  }

  toNote(): WireValue {
    const newest = this.newest === Number.NEGATIVE_INFINITY ? null : this.newest;
    return [this.count, this.first, this.last, newest, this.late, this.lateness.toNote()];
  }

  static from(note: WireValue): SourceStatistics {
    const statistics = new SourceStatistics();
    const [count, first, last, newest, late, lateness] = note as [
      number,
      number,
      number,
      number | null,
      number,
      WireValue,
    ];
    statistics.count = count;
    statistics.first = first;
    statistics.last = last;
    statistics.newest = newest ?? Number.NEGATIVE_INFINITY;
    statistics.late = late;
    statistics.lateness = LatenessHistogram.from(lateness);
    return statistics;
  }
}
