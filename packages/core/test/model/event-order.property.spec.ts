/** Goal: the orders of a history are total and free of arrival (law 4), and text orders as its UTF-8 bytes do. */
import { Buffer } from 'node:buffer';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Fact, INITIAL, sameContent, TERMINAL } from '../../src/model/event.js';
import {
  compareFold,
  compareIdentity,
  compareKey,
  RANK_INITIAL,
  RANK_PLAIN,
  RANK_TERMINAL,
} from '../../src/model/event-order.js';
import { identityKey } from '../../src/model/identity.js';
import { compareText, utf8Length } from '../../src/model/text.js';

/** Few values of each part, so that ties are common. */
const anyFact = fc
  .record({
    eventTime: fc.constantFrom(-1, 0, 1, 253_402_300_799_999, -62_135_596_800_000),
    streamId: fc.constantFrom('', 'a', 'b', '\uffff', '\u{1f600}'),
    sequence: fc.constantFrom(-1, 0, 1, Number.MAX_SAFE_INTEGER),
    name: fc.constantFrom('received', 'loaded', 'delivered'),
    version: fc.constantFrom('0', '1'),
    content: fc.constantFrom('{}', '{"a":1}', '{"a":2}'),
    processedAt: fc.nat(5),
  })
  .map(
    (part) =>
      new Fact(
        {
          tenant: '',
          aggregateType: 'parcel',
          aggregateId: 'p1',
          name: part.name,
          version: part.version,
          eventTime: part.eventTime,
          streamId: part.streamId,
          sequence: part.sequence,
          characteristics: part.name === 'received' ? INITIAL : part.name === 'delivered' ? TERMINAL : 0,
          content: part.content,
        },
        '',
        part.processedAt,
      ),
  );

const rankOf = (fact: Fact): number =>
  fact.characteristics === INITIAL ? RANK_INITIAL : fact.characteristics === TERMINAL ? RANK_TERMINAL : RANK_PLAIN;

const RUNS = { numRuns: 3_000 };

describe.each([
  ['key order', compareKey],
  ['fold order', compareFold(rankOf)],
])('%s', (_, compare) => {
  it('is antisymmetric, and equal only for one fact', () => {
    fc.assert(
      fc.property(anyFact, anyFact, (a, b) => {
        expect(Math.sign(compare(a, b)) + Math.sign(compare(b, a))).toBe(0);
        expect(compare(a, b) === 0).toBe(identityKey(a) === identityKey(b) && sameContent(a, b));
        expect(compare(a, b) === 0).toBe(identityKey(a) === identityKey(b) && a.digest === b.digest);
      }),
      RUNS,
    );
  });

  it('is transitive', () => {
    fc.assert(
      fc.property(anyFact, anyFact, anyFact, (a, b, c) => {
        if (compare(a, b) <= 0 && compare(b, c) <= 0) expect(compare(a, c)).toBeLessThanOrEqual(0);
      }),
      RUNS,
    );
  });

  it('gives one sequence for every order of arrival', () => {
    const text = (fact: Fact): string => `${identityKey(fact)} ${fact.digest}`;
    const delivered = fc
      .array(anyFact, { maxLength: 12 })
      .chain((facts) => fc.tuple(fc.constant(facts), fc.shuffledSubarray(facts, { minLength: facts.length })));
    fc.assert(
      fc.property(delivered, ([one, other]) => {
        expect([...one].sort(compare).map(text)).toEqual([...other].sort(compare).map(text));
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('compareIdentity', () => {
  it('is 0 exactly for one identity', () => {
    fc.assert(
      fc.property(anyFact, anyFact, (a, b) => (compareIdentity(a, b) === 0) === (identityKey(a) === identityKey(b))),
      RUNS,
    );
  });
});

describe('fold order', () => {
  it('puts initial events first and terminal ones last, whatever their time', () => {
    fc.assert(
      fc.property(fc.array(anyFact, { maxLength: 12 }), (facts) => {
        const ranks = [...facts].sort(compareFold(rankOf)).map(rankOf);
        expect(ranks).toEqual([...ranks].sort((a, b) => a - b));
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('compareText', () => {
  const anyText = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 6 }),
    fc.string({
      unit: fc.constantFrom('a', '\u00e9', '\ud7ff', '\ue000', '\uffff', '\u{10000}', '\u{1f600}', '\u{10ffff}'),
      maxLength: 4,
    }),
  );

  it('orders as UTF-8 bytes do', () => {
    fc.assert(
      fc.property(anyText, anyText, (a, b) => {
        expect(Math.sign(compareText(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
      }),
      { numRuns: 5_000 },
    );
  });

  it('counts UTF-8 bytes', () => {
    fc.assert(
      fc.property(anyText, (text) => utf8Length(text) === Buffer.byteLength(text)),
      RUNS,
    );
  });
});
