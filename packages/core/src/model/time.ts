/**
 * Event time at the border: what callers write becomes epoch milliseconds or is refused, and ranges say whether their
 * ends belong to them. Processing time as a bound (`knownAt`) is read here too. No clock: nothing here knows "now".
 */
import { InvalidEventError } from './errors.js';
import { limits } from './limits.js';
import { isProcessingId, parseProcessingId } from './processing-id.js';
import type { ProcessingTime } from './processing-id.js';

const MS_PER_MINUTE = 60_000;
const MS_PER_DAY = 86_400_000;
/** 719,468: days from 0000-03-01 to 1970-01-01. Years that start in March put the leap day last, so no table is needed. */
const DAYS_TO_1970 = 719_468;
const LAST_TICK = 9_999;
const FIX = 'Send an ISO date-time with its zone such as 2013-01-01T10:15:00.000Z, or whole epoch milliseconds.';

/** What `readIso` found: milliseconds, or one of these (all NaN-free and outside the range of event time). */
const NOT_ISO = Number.NEGATIVE_INFINITY;
const IMPOSSIBLE = Number.POSITIVE_INFINITY;
const TOO_FINE = -Number.MAX_VALUE;

/** Two digits as a number, -1 when they are none. */
function two(text: string, at: number): number {
  const a = text.charCodeAt(at) - 48;
  const b = text.charCodeAt(at + 1) - 48;
  return a >= 0 && a <= 9 && b >= 0 && b <= 9 ? a * 10 + b : -1;
}

function daysOfMonth(year: number, month: number): number {
  if (month !== 2) return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
}

/** Days from 1970-01-01 in the proleptic Gregorian calendar. */
function daysFrom1970(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - DAYS_TO_1970;
}

/** By digits instead of `Date.parse`, which takes 2016-02-30 for March 1st and a text without zone for local time; also twice as fast. */
function readIso(text: string): number {
  const length = text.length;
  const century = two(text, 0);
  const yearOfCentury = two(text, 2);
  const month = two(text, 5);
  const day = two(text, 8);
  const hour = two(text, 11);
  const minute = two(text, 14);
  if (
    (century | yearOfCentury | month | day | hour | minute) < 0 ||
    text.charCodeAt(4) !== 0x2d ||
    text.charCodeAt(7) !== 0x2d ||
    text.charCodeAt(10) !== 0x54 ||
    text.charCodeAt(13) !== 0x3a
  ) {
    return NOT_ISO;
  }
  let at = 16;
  let second = 0;
  let ms = 0;
  let tooFine = false;
  if (text.charCodeAt(at) === 0x3a) {
    second = two(text, 17);
    if (second < 0) return NOT_ISO;
    at = 19;
    if (text.charCodeAt(at) === 0x2e) {
      const start = ++at;
      for (let weight = 100; at < length; at++, weight /= 10) {
        const digit = text.charCodeAt(at) - 48;
        if (digit < 0 || digit > 9) break;
        if (at - start < 3) ms += digit * weight;
        else if (digit !== 0) tooFine = true;
      }
      if (at === start) return NOT_ISO;
    }
  }
  let offset = 0;
  const zone = text.charCodeAt(at);
  if (zone === 0x5a) at += 1;
  else if (zone === 0x2b || zone === 0x2d) {
    const hours = two(text, at + 1);
    const minutes = two(text, at + 4);
    if (hours < 0 || minutes < 0 || text.charCodeAt(at + 3) !== 0x3a) return NOT_ISO;
    if (hours > 23 || minutes > 59) return IMPOSSIBLE;
    offset = (zone === 0x2b ? 1 : -1) * (hours * 60 + minutes);
    at += 6;
  } else return NOT_ISO;
  if (at !== length) return NOT_ISO;
  const year = century * 100 + yearOfCentury;
  if (month < 1 || month > 12 || day < 1 || day > daysOfMonth(year, month)) return IMPOSSIBLE;
  if (hour > 23 || minute > 59 || second > 59) return IMPOSSIBLE;
  if (tooFine) return TOO_FINE;
  return (
    daysFrom1970(year, month, day) * MS_PER_DAY + (hour * 60 + minute - offset) * MS_PER_MINUTE + second * 1_000 + ms
  );
}

const within = (ms: number): boolean => ms >= limits.eventTimeMin && ms <= limits.eventTimeMax;

/**
 * What is wrong with a value that should be a time, for a message; undefined when it is one. Texts are cut and made
 * well-formed: a reason is shown and stored.
 */
export function whyNoTime(value: unknown): string | undefined {
  if (typeof value === 'string') {
    const shown = `"${value.slice(0, 40).toWellFormed()}${value.length > 40 ? '…' : ''}"`;
    const ms = readIso(value);
    if (ms === IMPOSSIBLE) return `${shown} is a date or time that does not exist`;
    if (ms === TOO_FINE) return `${shown} is finer than 1 ms`;
    if (ms !== NOT_ISO) return within(ms) ? undefined : `${shown} is outside the years 1 to 9999`;
    if (/^\d{4}-\d\d-\d\d$/.test(value)) return `${shown} is a date without a time`;
    if (/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?$/.test(value)) return `${shown} has no zone`;
    return `${shown} is no ISO date-time`;
  }
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) return `${value} is no time`;
    if (!within(value)) return `${value} ms is outside the years 1 to 9999`;
    return Number.isInteger(value) ? undefined : `${value} ms is finer than 1 ms`;
  }
  if (value instanceof Date) {
    const ms = value.getTime();
    if (Number.isNaN(ms)) return 'an invalid Date is no time';
    return within(ms) ? undefined : `${value.toISOString()} is outside the years 1 to 9999`;
  }
  return `${value === null ? 'null' : `a value of type ${typeof value}`} is no time`;
}

/**
 * Epoch milliseconds of an event time: whole milliseconds, a Date, or an ISO date-time with `Z` or `±hh:mm` (seconds
 * may be left out). Digits behind the third of a fraction must be zeros.
 * @throws InvalidEventError `INVALID_TIME`: not such a text, a date that does not exist (2016-03-38, hour 24, second
 * 60), no zone, finer than 1 ms, or outside 0001-01-01T00:00:00.000Z to 9999-12-31T23:59:59.999Z.
 */
export function parseEventTime(value: number | string | Date): number {
  let ms: number;
  if (typeof value === 'string') ms = readIso(value);
  else if (typeof value === 'number') ms = Number.isInteger(value) ? value + 0 : Number.NaN;
  else ms = value instanceof Date ? value.getTime() : Number.NaN;
  if (within(ms)) return ms;
  throw new InvalidEventError('INVALID_TIME', `The time is refused: ${whyNoTime(value) ?? 'it is no time'}.`, {
    fix: whyNoTime(value)?.endsWith('finer than 1 ms') === true ? `${FIX} Put what is finer into the sequence.` : FIX,
  });
}

/** ISO text in UTC with three digits of a second. `parseEventTime` reads it back. */
export function formatTime(ms: number): string {
  return new Date(ms).toISOString();
}

/**
 * The processing time that `knownAt` means, inclusive: a time in milliseconds covers its whole millisecond; the id of
 * a recorded event is its exact time.
 * @throws InvalidEventError `INVALID_TIME`
 */
export function parseProcessingBound(value: number | string | Date): ProcessingTime {
  if (typeof value === 'string' && isProcessingId(value)) return parseProcessingId(value);
  return { ms: parseEventTime(value), tick: LAST_TICK };
}

/** A range of event time. Bounds are inclusive unless they say otherwise; an absent one is open. */
export interface TimeRange {
  readonly from?: number;
  readonly fromExclusive?: boolean;
  readonly to?: number;
  readonly toExclusive?: boolean;
}

type Time = number | string | Date;

/** Makes ranges from times as `parseEventTime` takes them, with its refusals. */
export const TimeRange = {
  /** Everything. */
  all: {} as TimeRange,
  /** At `from` or later. */
  from: (from: Time): TimeRange => ({ from: parseEventTime(from) }),
  /** Later than `from`. */
  after: (from: Time): TimeRange => ({ from: parseEventTime(from), fromExclusive: true }),
  /** At `to` or earlier. */
  to: (to: Time): TimeRange => ({ to: parseEventTime(to) }),
  /** Earlier than `to`. */
  before: (to: Time): TimeRange => ({ to: parseEventTime(to), toExclusive: true }),
  /** From `from` to `to`, both inclusive unless said otherwise. @throws InvalidEventError `INVALID_ARGUMENT` when it ends before it starts */
  between(
    from: Time,
    to: Time,
    ends: { readonly fromExclusive?: boolean; readonly toExclusive?: boolean } = {},
  ): TimeRange {
    const start = parseEventTime(from);
    const end = parseEventTime(to);
    if (start > end) {
      throw new InvalidEventError('INVALID_ARGUMENT', `The range ends at ${formatTime(end)}, before its start.`, {
        fix: 'Pass the earlier time first.',
      });
    }
    return {
      from: start,
      fromExclusive: ends.fromExclusive ?? false,
      to: end,
      toExclusive: ends.toExclusive ?? false,
    };
  },
  contains(range: TimeRange, ms: number): boolean {
    const { from, to } = range;
    if (from !== undefined && (range.fromExclusive === true ? ms <= from : ms < from)) return false;
    return to === undefined || (range.toExclusive === true ? ms < to : ms <= to);
  },
} as const;
