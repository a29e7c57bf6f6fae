/** What of a history settles and when. Method: small histories by hand, and properties over random event times. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../src/model/canonical-json.js';
import { Fact, TERMINAL } from '../../src/model/event.js';
import { regroup, settlingItems, type Settling } from '../../src/time/settled-items.js';

const fact = (eventTime: number, name = 'moved', characteristics = 0): Fact =>
  new Fact({
    tenant: '',
    aggregateType: 'thing',
    aggregateId: '1',
    name,
    version: '0',
    eventTime,
    streamId: '',
    sequence: -1,
    characteristics,
    content: canonicalJson({}),
  });
const facts = (...times: number[]): Fact[] => times.map((time) => fact(time));
const shown = (settling: Settling, given: readonly Fact[]): string[] =>
  settlingItems(settling, given).map(
    (item) => `[${item.from},${item.to}) at ${item.settlesAt}: ${item.facts.map((one) => one.eventTime).join(' ')}`,
  );

describe('a history', () => {
  it('settles at its first terminal event', () => {
    const given = [fact(5), fact(9, 'ended', TERMINAL), fact(12, 'ended', TERMINAL)];
    expect(shown({ kind: 'history', quietMs: 100 }, given)).toEqual(['[5,13) at 9: 5 9 12']);
  });

  it('settles a quiet time after its last event when it has no terminal one, and never without a quiet time', () => {
    expect(shown({ kind: 'history', quietMs: 100 }, facts(5, 9))).toEqual(['[5,10) at 109: 5 9']);
    expect(shown({ kind: 'history', quietMs: undefined }, facts(5, 9))).toEqual([]);
    expect(shown({ kind: 'history', quietMs: 100 }, [])).toEqual([]);
  });
});

describe('windows', () => {
  it('stand side by side, also before the epoch, and settle with their last millisecond', () => {
    expect(shown({ kind: 'tumbling', sizeMs: 10, offsetMs: 0 }, facts(-1, 0, 9, 10))).toEqual([
      '[-10,0) at -1: -1',
      '[0,10) at 9: 0 9',
      '[10,20) at 19: 10',
    ]);
    expect(shown({ kind: 'tumbling', sizeMs: 10, offsetMs: 3 }, facts(2, 3))).toEqual([
      '[-7,3) at 2: 2',
      '[3,13) at 12: 3',
    ]);
  });

  it('slide, so that an event stands in several', () => {
    expect(shown({ kind: 'sliding', sizeMs: 10, everyMs: 5, offsetMs: 0 }, facts(7, 12))).toEqual([
      '[0,10) at 9: 7',
      '[5,15) at 14: 7 12',
      '[10,20) at 19: 12',
    ]);
  });

  it('hold every event exactly size / every times', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -50, max: 50 })), fc.integer({ min: 1, max: 4 }), (times, n) => {
        const given = facts(...times.sort((a, b) => a - b));
        const items = settlingItems({ kind: 'sliding', sizeMs: 3 * n, everyMs: 3, offsetMs: 0 }, given);
        expect(items.flatMap((item) => item.facts)).toHaveLength(given.length * n);
        for (const item of items)
          for (const one of item.facts) expect(one.eventTime >= item.from && one.eventTime < item.to).toBe(true);
      }),
    );
  });

  it('refuse to be more than ten thousand in one history', () => {
    const given = facts(...Array.from({ length: 10_001 }, (_, i) => i));
    expect(() => settlingItems({ kind: 'tumbling', sizeMs: 1, offsetMs: 0 }, given)).toThrow(RangeError);
  });
});

describe('sessions', () => {
  const settling: Settling = { kind: 'session', gapMs: 10 };

  it('end where nothing came for the gap', () => {
    expect(shown(settling, facts(0, 9, 19, 30))).toEqual([
      '[0,19) at 18: 0 9',
      '[19,29) at 28: 19',
      '[30,40) at 39: 30',
    ]);
  });

  it('are merged by an event between them: one group of all the old ones', () => {
    const told = settlingItems(settling, facts(0, 12, 24, 60));
    const now = settlingItems(settling, facts(0, 6, 12, 18, 24, 60));
    const groups = regroup(settling, told, now);
    expect(groups.map((group) => [group.old.length, group.now.length])).toEqual([
      [3, 1],
      [1, 1],
    ]);
  });

  it('are parted by an event that is withdrawn, and what was never told is no group', () => {
    const told = settlingItems(settling, facts(0, 6, 12));
    const groups = regroup(settling, told, settlingItems(settling, facts(0, 12, 100)));
    expect(groups.map((group) => [group.old.length, group.now.length])).toEqual([[1, 2]]);
  });
});

describe('a deadline', () => {
  const settling: Settling = { kind: 'deadline', after: new Set(['left']), withinMs: 20, unless: new Set(['came']) };

  it('stands while what should come did not', () => {
    expect(shown(settling, [fact(5, 'left')])).toEqual(['[5,25) at 25: 5']);
    expect(shown(settling, [fact(5, 'left'), fact(9, 'came')])).toEqual([]);
    expect(shown(settling, [fact(5, 'left'), fact(99, 'came')])).toEqual([]);
  });

  it('is not met by what came before it began', () => {
    expect(shown(settling, [fact(4, 'came'), fact(5, 'left')])).toEqual(['[5,25) at 25: 5']);
    expect(shown(settling, [fact(1, 'left'), fact(4, 'came'), fact(5, 'left')])).toEqual(['[5,25) at 25: 5']);
    expect(shown(settling, [fact(5, 'came'), fact(5, 'left')])).toEqual([]);
  });
});
