/** Goal: a time that does not exist, or is not exact, never becomes an event time. */
import { describe, expect, it } from 'vitest';
import { limits } from '../../src/model/limits.js';
import { formatProcessingId } from '../../src/model/processing-id.js';
import { formatTime, parseEventTime, parseProcessingBound, TimeRange } from '../../src/model/time.js';
import { refusalOf } from './refusal.js';

describe('parseEventTime', () => {
  it.each([
    ['2013-01-01T10:15:00.000Z', 1_357_035_300_000],
    ['2016-10-12T09:06:31.432Z', 1_476_263_191_432],
    ['2013-01-01T10:15:00Z', 1_357_035_300_000],
    ['2013-01-01T10:15Z', 1_357_035_300_000],
    ['2013-01-01T10:15+00:00', 1_357_035_300_000],
    ['2013-01-01T10:15-00:00', 1_357_035_300_000],
    ['2013-01-01T12:15:00.000+02:00', 1_357_035_300_000],
    ['2013-01-01T05:15:00-05:00', 1_357_035_300_000],
    ['2013-01-01T15:45:00+05:30', 1_357_035_300_000],
    ['2012-12-31T23:59:59.9-00:01', 1_356_998_459_900],
    ['1970-01-01T00:00:00.05Z', 50],
    ['1969-12-31T23:59:59.999Z', -1],
    ['2016-02-29T00:00:00Z', Date.UTC(2016, 1, 29)],
    ['2000-02-29T00:00:00Z', Date.UTC(2000, 1, 29)],
    ['2013-01-01T10:15:00.123000Z', 1_357_035_300_123],
    ['2013-01-01T10:15:00.120000000+00:00', 1_357_035_300_120],
    ['0001-01-01T00:00:00.000Z', limits.eventTimeMin],
    ['9999-12-31T23:59:59.999Z', limits.eventTimeMax],
  ])('reads %s', (text, ms) => {
    expect(parseEventTime(text)).toBe(ms);
  });

  it.each([
    ['2016-03-38T00:00:00Z', 'does not exist'],
    ['2016-02-30T00:00:00Z', 'does not exist'],
    ['2015-02-29T00:00:00Z', 'does not exist'],
    ['1900-02-29T00:00:00Z', 'does not exist'],
    ['2016-04-31T00:00:00Z', 'does not exist'],
    ['2016-13-01T00:00:00Z', 'does not exist'],
    ['2016-00-01T00:00:00Z', 'does not exist'],
    ['2016-01-00T00:00:00Z', 'does not exist'],
    ['2016-01-01T24:00:00Z', 'does not exist'],
    ['2016-01-01T25:00:00Z', 'does not exist'],
    ['2016-01-01T00:60:00Z', 'does not exist'],
    ['2016-12-31T23:59:60Z', 'does not exist'],
    ['2016-01-01T00:00:00+24:00', 'does not exist'],
    ['2016-01-01T00:00:00+01:60', 'does not exist'],
    ['2016-01-01T00:00:00.0001Z', 'finer than 1 ms'],
    ['2016-01-01T00:00:00.123456789Z', 'finer than 1 ms'],
    ['2016-01-01', 'without a time'],
    ['2016-01-01T00:00:00', 'no zone'],
    ['2016-01-01T00:00:00.000', 'no zone'],
    ['2016-01-01T00:00', 'no zone'],
    ['0000-12-31T23:59:59.999Z', 'outside the years'],
    ['9999-12-31T23:59:59.999-00:01', 'outside the years'],
    ['0001-01-01T00:00:00+00:01', 'outside the years'],
    ['+275760-09-13T00:00:00.000Z', 'no ISO date-time'],
    ['-000001-01-01T00:00:00Z', 'no ISO date-time'],
    ['2016-01-01 00:00:00Z', 'no ISO date-time'],
    ['2016-01-01t00:00:00z', 'no ISO date-time'],
    ['2016-01-01T00:00:00.Z', 'no ISO date-time'],
    ['2016-01-01T00:00:00,5Z', 'no ISO date-time'],
    ['2016-01-01T00:00:00Z ', 'no ISO date-time'],
    ['2016-01-01T00:00:00+0100', 'no ISO date-time'],
    ['2016-01-01T00:00:00+01', 'no ISO date-time'],
    ['2016-1-1T00:00:00Z', 'no ISO date-time'],
    ['20160101T000000Z', 'no ISO date-time'],
    ['1476262800123', 'no ISO date-time'],
    ['٢016-01-01T00:00:00Z', 'no ISO date-time'],
    ['', 'no ISO date-time'],
    ['yesterday', 'no ISO date-time'],
    [`\ud800${'x'.repeat(10_000)}`, 'no ISO date-time'],
  ])('refuses %s', (text, why) => {
    const refusal = refusalOf(() => parseEventTime(text));
    expect(refusal.code).toBe('INVALID_TIME');
    expect(refusal.reason).toContain(why);
    expect(refusal.reason.length).toBeLessThan(200);
  });

  it('takes whole milliseconds and Dates', () => {
    expect(parseEventTime(1_476_262_800_123)).toBe(1_476_262_800_123);
    expect(Object.is(parseEventTime(-0), 0)).toBe(true);
    expect(parseEventTime(new Date(7))).toBe(7);
  });

  it.each([
    [Number.NaN],
    [Number.POSITIVE_INFINITY],
    [1.5],
    [limits.eventTimeMin - 1],
    [limits.eventTimeMax + 1],
    [8.64e15],
    [new Date(Number.NaN)],
    [new Date(8.64e15)],
    [null as unknown as number],
    [undefined as unknown as number],
    [10n as unknown as number],
    [{} as unknown as number],
  ])('refuses the value %s', (value) => {
    expect(refusalOf(() => parseEventTime(value)).code).toBe('INVALID_TIME');
  });

  it('says where what is finer than a millisecond can go', () => {
    expect(refusalOf(() => parseEventTime('2016-01-01T00:00:00.0001Z')).fix).toContain('sequence');
  });
});

describe('parseProcessingBound', () => {
  it('covers the whole millisecond of a time', () => {
    expect(parseProcessingBound('2013-01-01T10:15:00Z')).toEqual({ ms: 1_357_035_300_000, tick: 9_999 });
    expect(parseProcessingBound(5)).toEqual({ ms: 5, tick: 9_999 });
    expect(parseProcessingBound(new Date(5))).toEqual({ ms: 5, tick: 9_999 });
  });

  it('takes the exact time of a processing id', () => {
    const time = { ms: 1_357_035_300_000, tick: 42 };
    expect(parseProcessingBound(formatProcessingId(time, 3, '010203040506'))).toEqual(time);
  });

  it.each(['', 'soon', '00000000-0000-4000-8000-000000000001', '2016-03-38T00:00:00Z'])('refuses "%s"', (text) => {
    expect(refusalOf(() => parseProcessingBound(text)).code).toBe('INVALID_TIME');
  });
});

describe('TimeRange', () => {
  const around = (range: TimeRange): boolean[] => [9, 10, 11, 19, 20, 21].map((ms) => TimeRange.contains(range, ms));

  it('says for each end whether it belongs to the range', () => {
    expect(around(TimeRange.all)).toEqual([true, true, true, true, true, true]);
    expect(around(TimeRange.from(10))).toEqual([false, true, true, true, true, true]);
    expect(around(TimeRange.after(10))).toEqual([false, false, true, true, true, true]);
    expect(around(TimeRange.to(20))).toEqual([true, true, true, true, true, false]);
    expect(around(TimeRange.before(20))).toEqual([true, true, true, true, false, false]);
    expect(around(TimeRange.between(10, 20))).toEqual([false, true, true, true, true, false]);
    const open = { fromExclusive: true, toExclusive: true };
    expect(around(TimeRange.between(10, 20, open))).toEqual([false, false, true, true, false, false]);
  });

  it('takes times as events do, and refuses a range that ends before it starts', () => {
    expect(TimeRange.from('1970-01-01T00:00:00.010Z').from).toBe(10);
    expect(refusalOf(() => TimeRange.between(20, 10)).code).toBe('INVALID_ARGUMENT');
    expect(refusalOf(() => TimeRange.from('1970-01-01')).code).toBe('INVALID_TIME');
    expect(around(TimeRange.between(10, 10))).toEqual([false, true, false, false, false, false]);
  });
});

describe('formatTime', () => {
  it('writes four digits of a year and three of a second', () => {
    expect(formatTime(limits.eventTimeMin)).toBe('0001-01-01T00:00:00.000Z');
    expect(formatTime(0)).toBe('1970-01-01T00:00:00.000Z');
  });
});
