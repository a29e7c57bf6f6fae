/** Goal: a slice stays what it is for ever. The vectors were made by another implementation of MurmurHash3, in another language. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { SLICES, sliceOf } from '../../src/model/slices.js';

interface Vector {
  readonly context: string;
  readonly tenant: string;
  readonly type: string;
  readonly id: string;
  readonly slice: number;
}

const vectors = JSON.parse(readFileSync(new URL('slice-vectors.json', import.meta.url), 'utf8')) as readonly Vector[];

describe('sliceOf', () => {
  it.each(vectors)('puts $context/$tenant/$type/$id into $slice', (vector) => {
    expect(sliceOf(vector.context, vector.tenant, vector.type, vector.id)).toBe(vector.slice);
  });

  it('has 1,024 slices, for ever', () => {
    expect(SLICES).toBe(1_024);
  });

  it.each([
    ['flight ids', (i: number) => `2013-01-${String(1 + (i % 28)).padStart(2, '0')}/UA${i}/EWR-0515`],
    ['counted ids', (i: number) => `parcel-${i}`],
    ['bare numbers', (i: number) => String(i)],
    ['random-looking ids', (i: number) => ((i * 2_654_435_761) % 4_294_967_296).toString(16)],
  ])('spreads %s evenly', (_, idOf) => {
    const perSlice = 200;
    const counts = new Uint32Array(SLICES);
    for (let i = 0; i < SLICES * perSlice; i++) {
      const slice = sliceOf('flights', '', 'flight', idOf(i));
      counts[slice] = counts[slice]! + 1;
    }
    let chiSquare = 0;
    for (const count of counts) chiSquare += (count - perSlice) ** 2 / perSlice;
    // 1,023 degrees of freedom: mean 1,023, standard deviation 45; five of them would be no accident.
    expect(chiSquare).toBeLessThan(1_023 + 5 * 45);
    expect(Math.max(...counts)).toBeLessThan(perSlice * 1.45);
  });

  it('counts a lone surrogate as U+FFFD instead of failing', () => {
    for (const lone of ['\ud800', '\udc00', '\ud800x', 'x\ud83d', '\udc00\ud800']) {
      expect(sliceOf('', '', 't', lone)).toBe(sliceOf('', '', 't', lone.toWellFormed()));
    }
  });
});
