/** Goal: a key's bytes sort as its parts do, for any parts. Method: pairs of generated parts, compared both ways. */
import { compareIdentity, compareText } from '@concursus/core';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { after, KeyWriter } from '../src/keys.js';

const plain = fc.string({ unit: 'binary', maxLength: 12 }).map((s) => s.toWellFormed().replaceAll('\u0000', ''));
const any = fc.string({ unit: fc.constantFrom('\u0000', '\u0001', '\u0002', 'a', 'é', '😀'), maxLength: 8 });
const integer = fc.oneof(fc.maxSafeInteger(), fc.integer({ min: -3, max: 3 }));

describe('keys', () => {
  it('sort as identities do', () => {
    const keys = new KeyWriter();
    const identity = fc.record({ eventTime: integer, streamId: plain, sequence: integer, name: plain });
    fc.assert(
      fc.property(identity, identity, (a, b) => {
        const [x, y] = [a, b].map((i) =>
          keys.start().signed(i.eventTime).text(i.streamId).signed(i.sequence).text(i.name).copy(),
        );
        expect(Math.sign(x!.compare(y!))).toBe(Math.sign(compareIdentity(a, b)));
      }),
      { numRuns: 1_000 },
    );
  });

  it('keep apart and in order texts that hold NUL', () => {
    const keys = new KeyWriter();
    fc.assert(
      fc.property(any, any, any, any, (a, b, c, d) => {
        const x = keys.start().anyText(a).tail(b).copy();
        const y = keys.start().anyText(c).tail(d).copy();
        expect(Math.sign(x.compare(y))).toBe(Math.sign(compareText(a, c) || compareText(b, d)));
      }),
      { numRuns: 1_000 },
    );
  });

  it('end a prefix range above everything that begins with it', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 6, max: 254 }),
        fc.uint8Array({ maxLength: 6 }),
        (p, rest) => {
          expect(after(p).compare(Buffer.concat([p, rest]))).toBe(1);
        },
      ),
    );
  });
});
