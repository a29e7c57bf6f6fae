/** Processing times as this package counts with them, and the position that is one of them. No clock. */
import {
  compareProcessingTime,
  InvalidEventError,
  parseProcessingId,
  type Fact,
  type Position,
  type ProcessingTime,
} from '@concursus/core';

/** The last 100 ns of a millisecond. */
const LAST_TICK = 9_999;

/** Before every processing time: the first instant that an id can hold. */
export const BEFORE_ALL: ProcessingTime = { ms: -12_219_292_800_000, tick: 0 };

/** The last processing time of a millisecond. */
export const endOf = (ms: number): ProcessingTime => ({ ms, tick: LAST_TICK });

export const isAfter = (a: ProcessingTime, b: ProcessingTime): boolean =>
  a.ms > b.ms || (a.ms === b.ms && a.tick > b.tick);

export const later = (a: ProcessingTime, b: ProcessingTime): ProcessingTime => (isAfter(a, b) ? a : b);

/** True when a fact was recorded after this time. */
export function isRecordedAfter(fact: Fact, { ms, tick }: ProcessingTime): boolean {
  return fact.processedAt > ms || (fact.processedAt === ms && parseProcessingId(fact.processingId).tick > tick);
}

/** The greatest processing time below this one. */
export function justBefore(time: ProcessingTime): ProcessingTime {
  return time.tick > 0 ? { ms: time.ms, tick: time.tick - 1 } : endOf(time.ms - 1);
}

export const timeText = (time: ProcessingTime): string => `${time.ms}.${time.tick}`;

/** Reads what `timeText` wrote. */
export function timeOf(text: string): ProcessingTime {
  const dot = text.indexOf('.');
  return { ms: Number(text.slice(0, dot)), tick: Number(text.slice(dot + 1)) };
}

const POSITION = /^t1:(-?[1-9]\d{0,14}|0)\.(0|[1-9]\d{0,3})$/;

/** A place in the feed: everything with a processing time at or below it is before it. Totally ordered. */
export class TimePosition implements Position {
  constructor(readonly time: ProcessingTime) {}

  covers(other: Position): boolean {
    return compareProcessingTime(this.time, TimePosition.of(other).time) >= 0;
  }

  join(other: Position): Position {
    return this.covers(other) ? this : other;
  }

  toString(): string {
    return `t1:${timeText(this.time)}`;
  }

  static of(position: Position): TimePosition {
    return position instanceof TimePosition ? position : TimePosition.parse(position.toString());
  }

  /** @throws InvalidEventError `INVALID_POSITION` when the text is not a position of this kind */
  static parse(text: string): TimePosition {
    const match = POSITION.exec(text);
    if (match === null) {
      throw new InvalidEventError('INVALID_POSITION', `"${text.slice(0, 80)}" is not a position of this store.`, {
        fix: 'Pass a position that this store returned; positions of one store mean nothing to another.',
      });
    }
    return new TimePosition({ ms: Number(match[1]), tick: Number(match[2]) });
  }
}
