/** Which numbers of a sequenced stream are missing: an exact set of ranges, however the numbers arrive. */
import type { WireValue } from '../model/event.js';

/** A stream with more holes than this has another problem; 10,000 ranges are 160 kB. */
export const RANGES_MAX = 10_000;

/** What is missing of one stream, plain data. */
export interface Gaps {
  /** Missing numbers as [first, last], ascending, both inclusive. */
  readonly missing: readonly (readonly [number, number])[];
  /** How many numbers are missing in all. */
  readonly count: number;
  /** The greatest number that came, or that a marker said was given; -1 before any. */
  readonly upTo: number;
  /**
   * Present when there were more than 10,000 ranges: `missing` is exact below `from`, and of the numbers from there to
   * `upTo` only the count is known, each arrival there counted as one that was missing.
   */
  readonly tail?: { readonly from: number; readonly count: number };
}

export class SequenceGaps {
  /** [first, last, first, last …], ascending, never touching. */
  private ranges: number[] = [];
  private low: number;
  private high: number;
  private tailFrom = -1;
  private tailCount = 0;

  /** @param from the first number there is; -1: the lowest that came */
  constructor(
    private readonly from: number,
    private readonly rangesMax = RANGES_MAX,
  ) {
    this.low = from;
    this.high = from === -1 ? -1 : from - 1;
  }

  /** A number came. True when it changed what is missing, or the greatest. */
  add(n: number): boolean {
    if (n > this.high) {
      if (this.low === -1) this.low = n;
      else if (n > this.high + 1) this.miss(this.high + 1, n - 1);
      this.high = n;
      return true;
    }
    if (n < this.low) {
      // Only without a known first number: the numbers began lower than was seen.
      if (this.from !== -1) return false;
      // The lowest number may be missing itself, when a marker was all that named it.
      if (this.ranges[0] === this.low) this.ranges[0] = n + 1;
      else if (n + 1 < this.low) this.insert(0, n + 1, this.low - 1);
      this.low = n;
      return true;
    }
    if (this.tailFrom !== -1 && n >= this.tailFrom) {
      if (this.tailCount === 0) return false;
      this.tailCount--;
      return true;
    }
    return this.fill(n);
  }

  /** A marker said that `n` was the last number given: what is between is missing until it comes. */
  expect(n: number): boolean {
    if (this.from === -1 && n < this.low) {
      if (this.ranges[0] === this.low) this.ranges[0] = n;
      else this.insert(0, n, this.low - 1);
      this.low = n;
      return true;
    }
    if (n <= this.high) return false;
    if (this.low === -1) this.low = n;
    this.miss(this.high === -1 && this.from === -1 ? n : this.high + 1, n);
    this.high = n;
    return true;
  }

  read(): Gaps {
    const missing: [number, number][] = [];
    let count = this.tailCount;
    for (let i = 0; i < this.ranges.length; i += 2) {
      missing.push([this.ranges[i]!, this.ranges[i + 1]!]);
      count += this.ranges[i + 1]! - this.ranges[i]! + 1;
    }
    const gaps = { missing, count, upTo: this.high < this.low ? -1 : this.high };
    return this.tailFrom === -1 ? gaps : { ...gaps, tail: { from: this.tailFrom, count: this.tailCount } };
  }

  toNote(): WireValue {
    return [this.low, this.high, this.tailFrom, this.tailCount, this.ranges];
  }

  /** What `toNote` gave; when the first number was configured anew since, counting begins anew. */
  static from(from: number, note: WireValue): SequenceGaps {
    const gaps = new SequenceGaps(from);
    const [low, high, tailFrom, tailCount, ranges] = note as [number, number, number, number, number[]];
    if (from !== -1 && low !== from) return gaps;
    gaps.low = low;
    gaps.high = high;
    gaps.tailFrom = tailFrom;
    gaps.tailCount = tailCount;
    gaps.ranges = [...ranges];
    return gaps;
  }

  /** Numbers above all others are missing. */
  private miss(first: number, last: number): void {
    if (this.tailFrom !== -1) this.tailCount += last - first + 1;
    else if (this.ranges.at(-1) === first - 1) this.ranges[this.ranges.length - 1] = last;
    else this.insert(this.ranges.length, first, last);
  }

  private insert(at: number, first: number, last: number): void {
    this.ranges.splice(at, 0, first, last);
    if (this.ranges.length <= this.rangesMax * 2) return;
    const end = this.ranges.pop()!;
    this.tailFrom = this.ranges.pop()!;
    this.tailCount += end - this.tailFrom + 1;
  }

  private fill(n: number): boolean {
    const ranges = this.ranges;
    let from = 0;
    let to = ranges.length / 2;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (ranges[middle * 2 + 1]! < n) from = middle + 1;
      else to = middle;
    }
    const at = from * 2;
    if (at === ranges.length || ranges[at]! > n) return false;
    const first = ranges[at]!;
    const last = ranges[at + 1]!;
    if (first === last) ranges.splice(at, 2);
    else if (n === first) ranges[at] = n + 1;
    else if (n === last) ranges[at + 1] = n - 1;
    else {
      ranges[at + 1] = n - 1;
      this.insert(at + 2, n + 1, last);
    }
    return true;
  }
}
