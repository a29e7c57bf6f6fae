/** One digest, whoever computes it. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { portableSha256Hex, sha256Hex } from '../../src/model/digest.js';

describe('sha256Hex', () => {
  it('is SHA-256', () => {
    expect(sha256Hex('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  });

  it('is the same by the runtime and without it, for every text, also one that is not well-formed', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 300 }),
        fc.constantFrom('', '\ud800', '\udc00x'),
        (text, odd) => {
          expect(sha256Hex(text + odd)).toBe(portableSha256Hex(text + odd));
        },
      ),
    );
  });
});
