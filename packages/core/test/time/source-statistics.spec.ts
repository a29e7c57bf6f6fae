/** Statistics of sources against plain counting: quantiles within 5 %, the maximum exact, and exactly the numbers that are missing. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SequenceGaps } from '../../src/time/sequence-gaps.js';
import { SourceTable } from '../../src/time/source-table.js';
import { LatenessHistogram } from '../../src/time/source-statistics.js';
import { event, holds, START } from './support.js';

describe('lateness', () => {
  it('is within 5 % of the exact quantile, its maximum exact, also after a restart', () => {
    const durations = fc.array(
      fc.oneof(
        fc.integer({ min: 1, max: 100 }),
        fc.integer({ min: 1, max: 6e13 }),
        fc.integer({ min: -1_000, max: 0 }),
      ),
      { minLength: 1, maxLength: 200 },
    );
    holds(
      'lateness',
      fc.property(durations, fc.double({ min: 0, max: 1, noNaN: true }), (values, q) => {
        let histogram = new LatenessHistogram();
        for (const value of values) {
          histogram.add(value);
          if (value % 5 === 0)
            histogram = LatenessHistogram.from(JSON.parse(JSON.stringify(histogram.toNote())) as never);
        }
        const sorted = [...values].sort((a, b) => a - b);
        const exact = sorted[Math.max(1, Math.ceil(q * values.length)) - 1]!;
        const found = histogram.quantile(q)!;
        if (exact <= 0) expect(found).toBe(Math.min(0, sorted.at(-1)!));
        else expect(Math.abs(found - exact)).toBeLessThanOrEqual(exact * 0.05);
        expect(histogram.read().max).toBe(sorted.at(-1));
      }),
    );
  });

  it('is nothing before the first event', () => {
    expect(new LatenessHistogram().read()).toEqual({ p50: null, p95: null, p99: null, max: null });
  });
});

describe('statistics of a source', () => {
  it('count its events, their rate and those that came late', () => {
    const table = new SourceTable({ boundMs: 999 }, { statistics: true });
    for (let i = 0; i <= 10; i++) table.take(event('s', START + i * 360_000, START + i * 360_000 + 200));
    table.take(event('s', START, START + 3_600_200));
    table.take(event('s', Date.UTC(2099, 0, 1), START + 3_600_200));
    expect(table.sources()[0]).toMatchObject({
      future: 1,
      statistics: {
        count: 13,
        firstProcessedAt: START + 200,
        lastProcessedAt: START + 3_600_200,
        newestEventTime: START + 3_600_000,
        ratePerHour: 13,
        lateAtReceipt: 1,
        lateness: { max: 3_600_200 },
      },
    });
    expect(Math.abs(table.sources()[0]!.statistics!.lateness.p50! - 200)).toBeLessThanOrEqual(10);
  });
});

describe('gaps of a sequenced stream', () => {
  it('are exactly the numbers that did not come, in any order, with markers and restarts', () => {
    const from = fc.constantFrom(-1, 0, 5);
    holds(
      'sequence gaps',
      fc.property(
        from,
        fc.array(fc.nat({ max: 80 })),
        fc.option(fc.nat({ max: 90 })),
        fc.nat(),
        (from, numbers, end, at) => {
          let gaps = new SequenceGaps(from);
          const came = new Set<number>();
          let high = -1;
          numbers.forEach((n, i) => {
            if (i === at % (numbers.length + 1) && end !== null) gaps.expect(end);
            gaps.add(n);
            came.add(n);
            if (i % 3 === 0) gaps = SequenceGaps.from(from, JSON.parse(JSON.stringify(gaps.toNote())) as never);
          });
          if (end !== null) gaps.expect(end);
          high = Math.max(end ?? -1, ...came);
          const low = from === -1 ? Math.min(end ?? Infinity, ...came) : from;
          const missing: number[] = [];
          for (let n = low; n <= high; n++) if (!came.has(n)) missing.push(n);
          const read = gaps.read();
          const found = read.missing.flatMap(([a, b]) => Array.from({ length: b - a + 1 }, (_, i) => a + i));
          expect(found).toEqual(missing);
          expect(read.count).toBe(missing.length);
          expect(read.upTo).toBe(high < low ? -1 : high);
          for (let i = 1; i < read.missing.length; i++) {
            expect(read.missing[i]![0]).toBeGreaterThan(read.missing[i - 1]![1] + 1);
          }
        },
      ),
      1_000,
    );
  });

  it('are summarised beyond so many ranges: exact below, counted above, and said so', () => {
    const gaps = new SequenceGaps(0, 3);
    for (let n = 1; n <= 19; n += 2) gaps.add(n);
    expect(gaps.read()).toEqual({
      missing: [
        [0, 0],
        [2, 2],
        [4, 4],
      ],
      count: 10,
      upTo: 19,
      tail: { from: 6, count: 7 },
    });
    gaps.add(2);
    gaps.add(8);
    expect(gaps.read()).toMatchObject({ count: 8, tail: { from: 6, count: 6 } });
    const wide = new SequenceGaps(0, 2);
    wide.expect(100);
    wide.add(50);
    wide.add(20);
    expect(wide.read()).toEqual({
      missing: [
        [0, 19],
        [21, 49],
      ],
      count: 99,
      upTo: 100,
      tail: { from: 51, count: 50 },
    });
    for (let n = 60; n < 200; n++) wide.add(n);
    expect(wide.read().count).toBe(58);
  });
});
