/** The list that an in-memory log keeps: nothing is lost or doubled where one block ends and the next begins. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Fact } from '../../src/model/event.js';
import { RecordedFacts } from '../../src/memory/recorded-facts.js';

function factOf(sequence: number): Fact {
  return new Fact({
    tenant: '',
    aggregateType: 'lamp',
    aggregateId: 'a',
    name: 'lit',
    version: '0',
    eventTime: sequence,
    streamId: 's',
    sequence,
    characteristics: 0,
    content: '{}',
  });
}

describe('recorded facts', () => {
  it('are found and sliced as in one list, across the ends of blocks', () => {
    const all = Array.from({ length: 3 * 1024 + 1 }, (_, i) => factOf(i));
    const facts = new RecordedFacts();
    for (let i = 0; i < all.length; i++) {
      expect(facts.length).toBe(i);
      facts.push(all[i]!);
      expect(facts.at(i)).toBe(all[i]);
    }
    const sequences = (some: readonly Fact[]): number[] => some.map((fact) => fact.sequence);
    const ordinal = fc.integer({ min: 0, max: all.length });
    fc.assert(
      fc.property(ordinal, ordinal, (a, b) => {
        const [start, end] = [Math.min(a, b), Math.max(a, b)];
        expect(sequences(facts.slice(start, end))).toEqual(sequences(all.slice(start, end)));
      }),
    );
    for (const end of [0, 1, 1023, 1024, 1025, 2048])
      expect(sequences(facts.slice(0, end))).toEqual(sequences(all.slice(0, end)));
  });
});
