/** A state is a function of the set of facts: any order of arrival sorts to one fold order, and folds to one state. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Fact } from '../../src/model/event.js';
import { fact, Parcel, registry } from './parcels.js';

const model = registry.aggregate(Parcel);

const facts = fc.array(
  fc.record({
    name: fc.constantFrom('receivedAtDepot', 'loadedOntoTruck', 'deliveryFailed', 'delivered', 'unknown'),
    time: fc.integer({ min: 0, max: 3 }),
    stream: fc.constantFrom('', 'a', '\u{1F600}', '\uFB01'),
    sequence: fc.integer({ min: -1, max: 1 }),
    truckId: fc.constantFrom('x', 'y'),
  }),
  { maxLength: 12 },
);

interface Made {
  readonly name: string;
  readonly time: number;
  readonly stream: string;
  readonly sequence: number;
  readonly truckId: string;
}

/** An unknown name ranks by its characteristics: here those of a terminal event, for one of the contents. */
const made = (list: readonly Made[]) =>
  list.map((one) => {
    const { name, time, stream, sequence, truckId } = one;
    const bits = name === 'unknown' && truckId === 'y' ? { characteristics: 2 } : {};
    return fact(name, time, { truckId }, { stream, sequence, ...bits });
  });

const text = (sorted: readonly Fact[]) =>
  sorted.map(
    (one) => `${one.eventTime} ${one.streamId} ${one.sequence} ${one.name} ${one.digest} ${one.characteristics}`,
  );

describe('fold order', () => {
  it('is the same for every order of arrival, and so are state and flags', () => {
    fc.assert(
      fc.property(
        facts.chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length }))),
        ([list, shuffled]) => {
          const one = model.sortFold(made(list));
          const other = model.sortFold(made(shuffled));
          expect(text(other)).toEqual(text(one));
          const a = model.foldAll(one);
          const b = model.foldAll(other);
          expect(b.info).toEqual(a.info);
          expect(b.state).toEqual(a.state);
          for (let i = 1; i < one.length; i++)
            expect(model.rankOf(one[i - 1]!)).toBeLessThanOrEqual(model.rankOf(one[i]!));
        },
      ),
      { numRuns: 1_000 },
    );
  });
});
