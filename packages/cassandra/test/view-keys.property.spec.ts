/** Goal: records of a view sort as the port says, and no range holds another's. Method: pairs of generated texts, compared as Cassandra does. */
import { compareText } from '@concursus/core';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  above,
  aggregateOf,
  allParts,
  contributionPlace,
  fieldPlace,
  justAbove,
  notePlace,
  rowPlace,
} from '../src/view-keys.js';

const text = fc
  .array(
    fc.constantFrom('\u0000', '\u0001', '\u0002', 'a', 'b', 'é', '\ud7ff', '\ue000', '\uffff', '😀', '\u{10ffff}'),
    {
      maxLength: 6,
    },
  )
  .map((characters) => characters.join(''));
const plain = text.map((each) => each.replaceAll('\u0000', ''));

/** As text columns are ordered. */
const compareBytes = (a: string, b: string): number => Math.sign(Buffer.from(a).compare(Buffer.from(b)));

describe('keys of a view', () => {
  it('are ordered by the server as compareText orders them', () => {
    fc.assert(
      fc.property(text, text, (a, b) => {
        expect(compareBytes(a, b)).toBe(Math.sign(compareText(a, b)));
      }),
    );
  });

  it('end a prefix exactly: what begins with it is below, all else above the prefix is not', () => {
    fc.assert(
      fc.property(text, text, (prefix, other) => {
        const high = above(prefix);
        const inside = compareBytes(other, prefix) >= 0 && (high === undefined || compareBytes(other, high) < 0);
        expect(inside).toBe(other.startsWith(prefix));
        if (high !== undefined) expect(high.isWellFormed()).toBe(true);
      }),
      { numRuns: 5_000 },
    );
  });

  it('leave no text between one and the one just above it', () => {
    fc.assert(
      fc.property(text, text, (one, other) => {
        expect(compareBytes(other, justAbove(one)) < 0).toBe(compareBytes(other, one) <= 0);
      }),
    );
  });

  it('keep entries of rows and fields apart and each field’s in order, whatever their texts hold', () => {
    fc.assert(
      fc.property(text, text, text, text, text, text, (r1, f1, o1, r2, f2, o2) => {
        const [p, q] = [fieldPlace(r1, f1), fieldPlace(r2, f2)];
        const [x, y] = [p.base + o1, q.base + o2];
        const expected = compareText(r1, r2) || compareText(f1, f2) || compareText(o1, o2);
        expect(compareBytes(x, y)).toBe(Math.sign(expected));
        if (r1 === r2 && f1 === f2) expect(p.part).toBe(q.part);
        expect(x.startsWith(q.base)).toBe(r1 === r2 && f1 === f2);
      }),
      { numRuns: 5_000 },
    );
  });

  it('sort contributions by tenant, type and id, and give them back', () => {
    const key = fc.record({ tenant: plain, type: plain, id: plain });
    fc.assert(
      fc.property(key, key, (a, b) => {
        const [x, y] = [contributionPlace('c', a), contributionPlace('c', b)];
        const expected = compareText(a.tenant, b.tenant) || compareText(a.type, b.type) || compareText(a.id, b.id);
        expect(compareBytes(x.key, y.key)).toBe(Math.sign(expected));
        expect(aggregateOf(x.key)).toEqual(a);
      }),
    );
  });

  it('stand in parts that a drop knows', () => {
    const parts = new Set(allParts);
    fc.assert(
      fc.property(text, text, (a, b) => {
        const id = { tenant: '', type: a, id: b };
        for (const place of [rowPlace(a), notePlace(a.length), fieldPlace(a, b), contributionPlace('c', id)]) {
          expect(parts.has(place.part)).toBe(true);
        }
      }),
    );
  });
});
