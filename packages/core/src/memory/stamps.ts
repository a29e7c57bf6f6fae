/**
 * The processing times of one in-memory log. An append draws a time; its facts keep a millisecond, which they share with
 * all others of it, and a number: the text of an id is put together when somebody asks for it, which most never do.
 */
import {
  formatProcessingId,
  formatProcessingIdLow,
  nextProcessingTime,
  processingIdLow,
  processingIdPrefix,
  TICKS_PER_MS,
  type IdStamp,
} from '../model/processing-id.js';

/** Below the 429.5 s after which the first 8 digits of ids come round: within it the others change only when those do. */
const SLOW_PART_MS = 429_000;
/** The first 8 digits of an id, as a number, are below it. */
const LOW_END = 4_294_967_296;
/** Bits of an event's place in its append. */
const PLACE_BITS = 14;

/** What all ids of some seven minutes share: the ends behind their first 8 digits, one for each place in an append. */
class IdEnds {
  private readonly ends: string[] = [];

  constructor(
    private readonly slow: string,
    readonly node: string,
  ) {}

  at(place: number): string {
    return (this.ends[place] ??= [this.slow, (0x8000 | place).toString(16), '-', this.node].join(''));
  }
}

/** One millisecond. A number of it says which tick, and which place in the append of this tick. */
class Millisecond implements IdStamp {
  private readonly low: number;
  // Readers go through appends in order: the digits of one are put together once.
  private tick = -1;
  private digits = '';

  /** @throws InvalidEventError `INVALID_TIME` when ids cannot hold it */
  constructor(
    readonly ms: number,
    readonly ends: IdEnds,
  ) {
    this.low = processingIdLow({ ms, tick: 0 });
  }

  idOf(number: number): string {
    const tick = number >> PLACE_BITS;
    const place = number & ((1 << PLACE_BITS) - 1);
    // The digits come round within this very millisecond: nothing of it is shared.
    if (this.low + TICKS_PER_MS > LOW_END) return formatProcessingId({ ms: this.ms, tick }, place, this.ends.node);
    if (tick !== this.tick) {
      this.digits = formatProcessingIdLow(this.low + tick);
      this.tick = tick;
    }
    return this.digits + this.ends.at(place);
  }
}

export class Stamps {
  /** Of the last append: its millisecond and tick. */
  ms = Number.NEGATIVE_INFINITY;
  private tick = 0;
  private endsSinceMs = Number.NEGATIVE_INFINITY;
  private ends: IdEnds | undefined = undefined;
  /** The millisecond of the last append. */
  current: IdStamp = { idOf: () => '' };
  /** The millisecond that `current` is of: a floor may have moved the time on. */
  private stamped = Number.NaN;

  constructor(private readonly node: string) {}

  /** Draws the time of the next append. @returns the number of its first fact; those of the others follow it */
  next(nowMs: number): number {
    // Mostly the next tick of the same millisecond.
    if (nowMs <= this.ms && this.stamped === this.ms && this.tick + 1 < TICKS_PER_MS) this.tick += 1;
    else {
      const { ms, tick } = nextProcessingTime({ ms: this.ms, tick: this.tick }, nowMs);
      this.turnTo(ms);
      this.ms = ms;
      this.tick = tick;
    }
    return this.tick << PLACE_BITS;
  }

  /** Afterwards nothing is stamped at or below `ms`. */
  keepFloor(ms: number): void {
    if (ms < this.ms) return;
    this.ms = ms;
    this.tick = TICKS_PER_MS - 1;
  }

  private turnTo(ms: number): void {
    if (ms === this.stamped) return;
    const low = processingIdLow({ ms, tick: 0 });
    const prefix = processingIdPrefix({ ms, tick: 0 });
    if (
      this.ends === undefined ||
      low < processingIdLow({ ms: this.endsSinceMs, tick: 0 }) ||
      !(ms - this.endsSinceMs < SLOW_PART_MS)
    ) {
      this.ends = new IdEnds(prefix.slice(8), this.node);
      this.endsSinceMs = ms;
    }
    this.current = new Millisecond(ms, this.ends);
    this.stamped = ms;
  }
}
