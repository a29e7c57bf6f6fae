/** Goal: the hand-written reader of times agrees with the platform wherever the platform is exact, and refuses the rest. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { limits } from '../../src/model/limits.js';
import { formatTime, parseEventTime } from '../../src/model/time.js';

const anyMs = fc.integer({ min: limits.eventTimeMin, max: limits.eventTimeMax });
const pad = (n: number, digits = 2): string => String(n).padStart(digits, '0');

describe('parseEventTime', () => {
  it('reads back what formatTime writes', () => {
    fc.assert(
      fc.property(anyMs, (ms) => parseEventTime(formatTime(ms)) === ms),
      { numRuns: 5_000 },
    );
  });

  it('takes a zone for what it is', () => {
    const minutes = fc.integer({ min: -14 * 60, max: 14 * 60 });
    fc.assert(
      fc.property(fc.integer({ min: -6e13, max: 2e14 }), minutes, (ms, offset) => {
        const local = formatTime(ms + offset * 60_000).slice(0, -1);
        const zone = `${offset < 0 ? '-' : '+'}${pad(Math.floor(Math.abs(offset) / 60))}:${pad(Math.abs(offset) % 60)}`;
        expect(parseEventTime(local + zone)).toBe(ms);
      }),
      { numRuns: 2_000 },
    );
  });

  it('accepts exactly the dates of the calendar', () => {
    const fields = fc.tuple(
      fc.integer({ min: 1, max: 9_999 }),
      fc.integer({ min: 0, max: 14 }),
      fc.integer({ min: 0, max: 33 }),
      fc.integer({ min: 0, max: 26 }),
      fc.integer({ min: 0, max: 62 }),
      fc.integer({ min: 0, max: 62 }),
    );
    fc.assert(
      fc.property(fields, ([year, month, day, hour, minute, second]) => {
        const text = `${pad(year, 4)}-${pad(month)}-${pad(day)}T${pad(hour)}:${pad(minute)}:${pad(second)}Z`;
        const date = new Date(0);
        date.setUTCFullYear(year, month - 1, day);
        date.setUTCHours(hour, minute, second, 0);
        // The platform rolls impossible fields over into other ones, so the text comes back changed.
        const exists = `${date.toISOString().slice(0, 19)}Z` === text;
        if (exists) expect(parseEventTime(text)).toBe(date.getTime());
        else expect(() => parseEventTime(text)).toThrow(/does not exist/);
      }),
      { numRuns: 5_000 },
    );
  });

  it('refuses any other text with INVALID_TIME, and never returns a number out of range', () => {
    const nearly = fc.tuple(anyMs, fc.nat(23), fc.string({ maxLength: 2 })).map(([ms, at, other]) => {
      const text = formatTime(ms);
      return text.slice(0, at) + other + text.slice(at + 1);
    });
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), nearly), (text) => {
        let ms = 0;
        try {
          ms = parseEventTime(text);
        } catch (error) {
          expect(error).toMatchObject({ name: 'InvalidEventError', code: 'INVALID_TIME' });
        }
        expect(Number.isInteger(ms) && ms >= limits.eventTimeMin && ms <= limits.eventTimeMax).toBe(true);
      }),
      { numRuns: 5_000 },
    );
  });
});
