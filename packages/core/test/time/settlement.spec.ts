/** `settledUpTo`: parked events hold it, stragglers do not, it never goes back, and a restart changes nothing. Completeness says why it stands. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { aggregateKeyText } from '../../src/model/event.js';
import { completenessOf } from '../../src/time/completeness.js';
import { Settlement } from '../../src/time/settlement.js';
import { SourceTable } from '../../src/time/source-table.js';
import { amendment, event, holds, Notes, said, START } from './support.js';

const parcel = (id: string): string => aggregateKeyText('', 'parcel', id);

describe('a settlement', () => {
  it('is as far as the sources, but not at a parked event until its release', () => {
    const settlement = new Settlement();
    expect(settlement.settledUpTo).toBe(-Infinity);
    expect(settlement.advance(1_000)).toBe(1_000);
    settlement.hold('a', 1_500);
    settlement.hold('b', 1_200);
    settlement.hold('b', 1_900);
    settlement.hold('a', 1_300);
    expect(settlement.advance(5_000)).toBe(1_199);
    settlement.release('b');
    expect(settlement.advance(5_000)).toBe(1_299);
    settlement.release('a');
    settlement.release('never held');
    expect(settlement.advance(4_000)).toBe(4_000);
    expect(settlement.advance(3_000)).toBe(4_000);
  });

  it('is neither held nor moved by a straggler, which is listed while it waits', () => {
    const settlement = new Settlement();
    settlement.advance(START);
    expect(settlement.isStraggler(event('s', START))).toBe(true);
    expect(settlement.isStraggler(event('s', START + 1))).toBe(false);
    expect(settlement.isStraggler(amendment('s', START + 100, START - 1, START))).toBe(true);
    settlement.hold('a', START);
    settlement.hold('a', START - 5);
    expect(settlement.advance(START + 100)).toBe(START + 100);
    expect(settlement.parked()).toEqual([{ aggregate: 'a', holdsAt: null, stragglerAt: START - 5 }]);
    settlement.hold('a', START + 200);
    expect(settlement.advance(START + 900)).toBe(START + 199);
  });

  it('is held by what the parking withdrew, too', () => {
    const settlement = new Settlement();
    settlement.advance(START);
    settlement.holdAll('a', [event('s', START - 10), event('s', START + 10), event('s', START + 50)]);
    expect(settlement.advance(START + 900)).toBe(START + 9);
  });

  it('never passes a hold, never goes back, and is the same after any restarts', () => {
    const call = fc.record({
      kind: fc.constantFrom('hold', 'release', 'advance', 'restart'),
      aggregate: fc.constantFrom('a', 'b', 'c'),
      time: fc.nat({ max: 100 }),
    });
    holds(
      'settlement',
      fc.property(fc.array(call), (calls) => {
        const held = new Map<string, number[]>();
        const whole = new Settlement();
        let settlement = new Settlement();
        const notes = new Notes();
        let input = -Infinity;
        let expected = -Infinity;
        for (const { kind, aggregate, time } of calls) {
          if (kind === 'hold') {
            settlement.hold(aggregate, time);
            whole.hold(aggregate, time);
            if (time > expected) held.set(aggregate, [...(held.get(aggregate) ?? []), time]);
          } else if (kind === 'release') {
            settlement.release(aggregate);
            whole.release(aggregate);
            held.delete(aggregate);
          } else if (kind === 'advance') {
            input = Math.max(input, time);
            expected = Math.max(expected, Math.min(input, ...[...held.values()].flat().map((one) => one - 1)));
            expect(settlement.advance(input)).toBe(expected);
            whole.advance(input);
          } else {
            notes.write(settlement.changes());
            settlement.saved();
            expect(settlement.changes()).toEqual([]);
            settlement = new Settlement(notes.read());
          }
          expect(settlement.settledUpTo).toBe(expected);
          expect(settlement.parked()).toEqual(whole.parked());
        }
      }),
      1_000,
    );
  });
});

describe('completeness', () => {
  it('says what holds and why, in plain data', () => {
    const table = new SourceTable(
      { boundMs: 99, expected: ['never'], sources: [{ match: 'n*', sequenced: { from: 1 } }] },
      { statistics: true },
    );
    const settlement = new Settlement();
    const facts = [
      event('fresh', START + 5_000),
      event('gone', START),
      event('numbered', START + 5_000, START + 5_000, { sequence: 3 }),
      said.idle('proven', START + 100),
      said.retire('old', START + 100),
      event('wrong', Date.UTC(2099, 0, 1), START + 5_000),
    ];
    for (const fact of facts) table.take(fact);
    settlement.hold(parcel('p1'), START + 7);
    settlement.advance(table.inputWatermark);
    const found = completenessOf(table, settlement, { now: START + 10_000, silentAfterMs: 6_000 });
    expect(found).toEqual({
      settledUpTo: null,
      inputWatermark: null,
      holding: [{ stream: 'never', channel: '', why: 'never reported', watermark: null, since: null }],
      silent: [
        { stream: 'gone', channel: '', since: START },
        { stream: 'never', channel: '', since: null },
      ],
      gaps: [{ stream: 'numbered', missing: [[1, 2]], count: 2, upTo: 3 }],
      future: [{ stream: 'wrong', channel: '', count: 1 }],
      parked: [{ aggregate: { tenant: '', type: 'parcel', id: 'p1' }, holdsAt: START + 7, stragglerAt: null }],
      stragglers: [],
      idle: [{ stream: 'proven', channel: '', provenAt: START + 100 }],
      retired: [{ stream: 'old', channel: '' }],
      expected: [{ stream: 'never', channel: '', reported: false }],
    });
    expect(JSON.parse(JSON.stringify(found))).toEqual(found);
    table.take(said.retire('never', START + 200));
    settlement.advance(table.inputWatermark);
    settlement.hold(parcel('p2'), START - 200);
    const later = completenessOf(table, settlement, { now: START + 10_000, silentAfterMs: 6_000 });
    expect(later).toMatchObject({
      settledUpTo: START - 100,
      holding: [{ stream: 'gone', why: 'silent', since: START, watermark: START - 100 }],
      stragglers: [{ aggregate: { id: 'p2' }, stragglerAt: START - 200, holdsAt: null }],
    });
    expect(completenessOf(table, settlement)).toMatchObject({ silent: [], holding: [{ why: 'watermark' }] });
  });

  it('says that a proof of idleness holds when no source is active', () => {
    const table = new SourceTable({ boundMs: 99 });
    table.take(event('s', START));
    table.take(said.idle('s', START + 50));
    expect(completenessOf(table, new Settlement())).toMatchObject({
      inputWatermark: START - 50,
      holding: [{ stream: 's', why: 'idle' }],
    });
  });
});
