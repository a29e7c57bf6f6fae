/** The small memory of where histories end: what it tells was put there, and what it forgets is only looked up again. */
import { Fact } from '@concursus/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Directory } from '../src/bucket-growth.js';
import { EndTable } from '../src/end-table.js';
import { HistoryEnds } from '../src/history-ends.js';
import { Placement } from '../src/placement.js';

const HOUR_MS = 3_600_000;

function factAt(id: string, eventTime: number, streamId = ''): Fact {
  const identity = {
    aggregateType: 'lamp',
    aggregateId: id,
    name: 'on',
    version: '0',
    eventTime,
    streamId,
    sequence: -1,
  };
  return new Fact({ tenant: '', ...identity, characteristics: 0, content: '{}' });
}

describe('EndTable', () => {
  const step = fc.record({
    name: fc.integer({ min: 0, max: 40 }).map((n) => `name ${n}`),
    era: fc.integer({ min: 0, max: 2 }),
    time: fc.integer({ min: -5_000, max: 5_000 }),
    removed: fc.boolean(),
  });

  it('tells the time that was put last, or nothing', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const table = new EndTable(16);
        const last = new Map<string, { readonly era: number; readonly time: number }>();
        for (const { name, era, time, removed } of steps) {
          if (removed) {
            table.remove(name);
            last.delete(name);
          } else {
            table.put(name, era, time);
            last.set(name, { era, time });
            expect(table.find(name, era)).toBe(time);
          }
          for (const [known, put] of last) expect([put.time, undefined]).toContain(table.find(known, put.era));
          for (const known of last.keys()) expect(table.find(known, 3)).toBeUndefined();
          expect(table.find('never put', era)).toBeUndefined();
        }
      }),
    );
  });

  it('remembers all but few of as many names as half its places', () => {
    const table = new EndTable(4_096);
    for (let i = 0; i < 2_048; i++) table.put(`name ${i}`, 1, i);
    let known = 0;
    for (let i = 0; i < 2_048; i++) if (table.find(`name ${i}`, 1) === i) known++;
    expect(known).toBeGreaterThan(2_000);
  });
});

describe('HistoryEnds', () => {
  const placement = new Placement('bench', { bucketMs: HOUR_MS });
  const directory = (width: number, bucket = 0): Directory =>
    new Map([[bucket, { width, listed: undefined, filled: undefined }]]);
  const known = (width: number): HistoryEnds => {
    const ends = new HistoryEnds(placement, 1, 16);
    ends.note('a', directory(width), factAt('a', 1_000), 5);
    // The second one takes the only place of those of which everything is kept.
    ends.note('b', directory(1), factAt('b', 1_000), 5);
    return ends;
  };

  it('knows a history that was not recorded to for long behind the time of its last fact', () => {
    const history = known(1).find('a', 'lamp', [factAt('a', 1_001)], 5);
    expect(history?.directory).toEqual(directory(1));
    expect(history?.isBehind(factAt('a', 1_001))).toBe(false);
  });

  it.each([
    ['of that very time', factAt('a', 1_000, 'z'), 5],
    ['before it', factAt('a', 999), 5],
    ['of another bucket', factAt('a', HOUR_MS), 5],
    ['once somebody else recorded', factAt('a', 1_001), 6],
  ])('looks a fact up that is %s', (_, fact, era) => {
    expect(known(1).find('a', 'lamp', [factAt('a', 1_002), fact], era)).toBeUndefined();
  });

  it('looks a fact up whose bucket has several partitions', () => {
    expect(known(2).find('a', 'lamp', [factAt('a', 1_001)], 5)).toBeUndefined();
  });

  it('never takes a fact for new that is not behind all that was noted, however many come and go', () => {
    const step = fc.record({ id: fc.integer({ min: 0, max: 12 }), by: fc.integer({ min: 1, max: 400_000 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), fc.integer({ min: 1, max: 8 }), (steps, endsMax) => {
        const ends = new HistoryEnds(placement, endsMax, 16);
        const last = new Map<string, number>();
        for (const { id, by } of steps) {
          const text = String(id);
          const before = last.get(text) ?? 0;
          const at = before + by;
          expect(ends.find(text, 'lamp', [factAt(text, before)], 5)).toBeUndefined();
          const known = ends.find(text, 'lamp', [factAt(text, at)], 5);
          if (!last.has(text)) expect(known).toBeUndefined();
          ends.note(text, directory(1, Math.floor(at / HOUR_MS)), factAt(text, at), 5);
          last.set(text, at);
          expect(ends.find(text, 'lamp', [factAt(text, at + 1, 'z')], 5)).toBeDefined();
        }
      }),
    );
  });

  it('takes the later end when a history was recorded to again', () => {
    const ends = known(1);
    ends.note('a', directory(1), factAt('a', 2_000), 5);
    ends.note('c', directory(1), factAt('c', 1), 5);
    expect(ends.find('a', 'lamp', [factAt('a', 1_500)], 5)).toBeUndefined();
    expect(ends.find('a', 'lamp', [factAt('a', 2_001)], 5)).toBeDefined();
  });
});
