/**
 * One life of this layer's writer: the processing times it gives, what is under way, and so what it may promise. No I/O.
 *
 * A unit is under way from the moment it has its times until all it writes is written. What is closed stays below the
 * first unit under way, so a reader that takes everything up to there misses nothing.
 */
import { nextProcessingTime, type ProcessingTime } from '@concursus/core';
import { ROWS_UNDER_WAY_MAX } from './feed-log.js';
import { BEFORE_ALL, isAfter, justBefore, later } from './processing-times.js';

/** Appends that are logged together, wholly or not at all. */
export interface Unit {
  readonly first: ProcessingTime;
  readonly last: ProcessingTime;
  readonly fromSeq: number;
  readonly toSeq: number;
  /** Rows from `fromSeq` up to before this one are in the log. */
  loggedTo: number;
}

/** What a beat publishes. */
export interface Promised {
  readonly closed: ProcessingTime;
  readonly issued: ProcessingTime;
  readonly floor: ProcessingTime;
  readonly closedSeq: number;
}

export class Epoch {
  /** The number of its last beat. */
  beat = 0;
  /** Sealed by another, or given up: it gives no times any more. */
  lost = false;
  /** The last processing time that was acknowledged. */
  acknowledged: ProcessingTime = BEFORE_ALL;
  started: ProcessingTime = BEFORE_ALL;
  private issued: ProcessingTime = BEFORE_ALL;
  private floor: ProcessingTime = BEFORE_ALL;
  private closed: ProcessingTime = BEFORE_ALL;
  /** As others may know it. */
  published: Promised = { closed: BEFORE_ALL, issued: BEFORE_ALL, floor: BEFORE_ALL, closedSeq: -1 };
  private nextSeq = 0;
  private readonly underWay = new Set<Unit>();
  private waiting: (() => void)[] = [];

  constructor(readonly node: string) {}

  /** Nothing is given at or below it any more. */
  raise(floor: ProcessingTime): void {
    this.floor = later(this.floor, floor);
  }

  /** The processing time of the next append. */
  next(receivedAt: number): ProcessingTime {
    return (this.issued = nextProcessingTime(later(this.issued, this.floor), receivedAt));
  }

  /** Takes the sequences of a unit whose times were just given. */
  begin(first: ProcessingTime, last: ProcessingTime, rows: number): Unit {
    const fromSeq = this.nextSeq;
    this.nextSeq += rows;
    const unit: Unit = { first, last, fromSeq, toSeq: fromSeq + rows - 1, loggedTo: fromSeq };
    this.underWay.add(unit);
    return unit;
  }

  /** Resolves when so many more rows may be under way: who looks behind the last row it sees must find them. */
  async room(rows: number): Promise<void> {
    for (;;) {
      let first = this.nextSeq;
      for (const unit of this.underWay) {
        if (unit.loggedTo > unit.toSeq) continue;
        first = unit.loggedTo;
        break;
      }
      if (first === this.nextSeq || this.nextSeq + rows - first <= ROWS_UNDER_WAY_MAX) return;
      await this.change();
    }
  }

  /** Rows of a unit up to before `seq` are in the log. */
  logged(unit: Unit, seq: number): void {
    unit.loggedTo = seq;
    this.wake();
  }

  /** All that a unit writes is written, or it will never count. */
  end(unit: Unit): void {
    this.underWay.delete(unit);
    this.wake();
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    while (this.underWay.size > 0) await this.change();
  }

  /** What may be promised now. */
  promise(): Promised {
    let closedSeq = this.nextSeq - 1;
    let closed = later(this.issued, this.floor);
    // Units begin in the order of their times.
    for (const unit of this.underWay) {
      closedSeq = unit.fromSeq - 1;
      closed = justBefore(unit.first);
      break;
    }
    this.closed = later(this.closed, closed);
    return { closed: this.closed, issued: this.issued, floor: this.floor, closedSeq };
  }

  /** True when a beat would let readers come further. */
  get hasNews(): boolean {
    return isAfter(this.promise().closed, this.published.closed);
  }

  private change(): Promise<void> {
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  private wake(): void {
    for (const wake of this.waiting.splice(0)) wake();
  }
}
