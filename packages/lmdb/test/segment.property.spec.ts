/** Goal: what is read from a segment is what was written, and its head tells the truth. Method: generated facts of one aggregate. */
import { compareKey, Fact, formatProcessingId } from '@concursus/core';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Entry } from '../src/entry.js';
import { decodeSegment, encodeSegment, headOfSegment } from '../src/segment.js';

const text = fc.oneof(
  fc.constantFrom('', 'a', 'lamp', 'x'.repeat(200)),
  fc.string({ unit: 'binary', maxLength: 60 }).map((s) => s.toWellFormed().replaceAll('\u0000', '')),
);
const owner = { tenant: 't', type: 'lamp', id: 'a:\u00e9' };
const entries = fc
  .array(
    fc.record({
      name: fc.constantFrom('on', 'off', 'größer'),
      version: fc.constantFrom('0', '1'),
      eventTime: fc.integer({ min: -62_135_596_800_000, max: 253_402_300_799_999 }),
      streamId: text,
      sequence: fc.oneof(fc.constant(-1), fc.maxSafeNat()),
      characteristics: fc.integer({ min: 0, max: 7 }),
      content: fc.jsonValue({ maxDepth: 2 }).map((value) => JSON.stringify(value).toWellFormed()),
      metadata: fc.option(fc.dictionary(fc.constantFrom('receivedAt', 'k', 'é'), text), { nil: undefined }),
      ordinal: fc.integer({ min: 0, max: 2 ** 47 }),
      ms: fc.integer({ min: 0, max: 4_000_000_000_000 }),
      tick: fc.integer({ min: 0, max: 9_999 }),
      index: fc.integer({ min: 0, max: 9_999 }),
      node: fc.constantFrom('a1b2c3d4e5f6', '0123456789ab'),
    }),
    { minLength: 1, maxLength: 70 },
  )
  .map((all) =>
    all
      .map(({ ordinal, ms, tick, index, node, ...init }) => {
        const id = formatProcessingId({ ms, tick }, index, node);
        const whose = { tenant: owner.tenant, aggregateType: owner.type, aggregateId: owner.id };
        return new Entry(new Fact({ ...init, ...whose }, id, ms), ordinal, ms, tick, index, node);
      })
      .sort((a, b) => compareKey(a.fact, b.fact)),
  );

describe('segments', () => {
  it('give back every fact with its place in the feed and its processing id', () => {
    fc.assert(
      fc.property(entries, (given) => {
        const bytes = encodeSegment(given);
        const { count, maxTime } = headOfSegment(bytes);
        const found = decodeSegment(bytes, owner);
        expect([count, maxTime]).toEqual([given.length, given.at(-1)!.fact.eventTime]);
        const plain = (all: readonly Entry[]): object[] =>
          // Ids that nobody asked for are not texts yet.
          all.map(({ fact, ...place }) => ({
            ...place,
            fact: Object.assign({}, fact, { hash: undefined, id: fact.processingId, number: 0 }),
          }));
        expect(plain(found)).toEqual(plain(given));
      }),
      { numRuns: 300 },
    );
  });
});
