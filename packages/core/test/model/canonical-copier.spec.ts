/** Parameters copied and checked in one pass: what parsing their canonical text would give, or nothing. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CanonicalCopier } from '../../src/model/canonical-copier.js';
import { canonicalJson } from '../../src/model/canonical-json.js';
import { limits } from '../../src/model/limits.js';

/** Events of a class after which its keys are compiled. */
const WARM = 10_000;

describe('CanonicalCopier', () => {
  const json = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3, noUnicodeString: false }));

  it('gives what parsing the canonical text gives, keys in the same order, and nothing of the original', () => {
    const copier = new CanonicalCopier();
    fc.assert(
      fc.property(json, (value) => {
        const copy = copier.copy(value, limits.parametersBytes);
        if (copy === undefined) return; // the text decides
        const parsed = JSON.parse(canonicalJson(value)) as object;
        expect(JSON.stringify(copy)).toBe(JSON.stringify(parsed));
        expect(canonicalJson(copy)).toBe(canonicalJson(value));
        expect(copier.flat).toBe(!Object.values(value).some((part) => typeof part === 'object' && part !== null));
        for (const key of Object.keys(copy)) {
          if (typeof copy[key] === 'object' && copy[key] !== null) expect(copy[key]).not.toBe(value[key]);
        }
      }),
    );
  });

  it('copies what is in order, also when keys come in another order than before', () => {
    const copier = new CanonicalCopier();
    const copyOf = (value: object) => copier.copy(value, limits.parametersBytes);
    expect(Object.keys(copyOf({ b: 1, a: -0 })!)).toEqual(['a', 'b']);
    expect(Object.is(copyOf({ b: 1, a: -0 })!['a'], 0)).toBe(true);
    expect(copyOf({ a: [1, { d: null, c: 'x' }], b: true })).toEqual({ a: [1, { c: 'x', d: null }], b: true });
    expect(copyOf({})).toEqual({});
  });

  it('gives the same, and refuses the same, once the keys of its events are compiled', () => {
    const key = fc.constantFrom('b', 'a', 'note', 'toString', '$x');
    const part = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.double(),
      fc.boolean(),
      fc.constant(null),
      json,
      fc.constant(undefined),
    );
    const warm = new CanonicalCopier();
    const shapes: readonly object[] = [{ b: 1, a: 'x' }, { a: 1 }, {}, { note: [], toString: 1, $x: null }];
    for (let i = 0; i < 4 * WARM; i++) warm.copy(shapes[i % shapes.length]!, limits.parametersBytes);
    fc.assert(
      fc.property(fc.oneof(fc.dictionary(key, part), fc.record({ b: part, a: part })), (value) => {
        const cold = new CanonicalCopier();
        for (const bytesMax of [limits.parametersBytes, 40, 70]) {
          const copy = warm.copy(value, bytesMax);
          const other = cold.copy(value, bytesMax);
          expect(copy).toStrictEqual(other);
          expect(JSON.stringify(copy)).toBe(JSON.stringify(other));
          if (copy === undefined) continue;
          expect(Object.getPrototypeOf(copy)).toBe(Object.prototype);
          expect(copy).not.toBe(value);
          expect(warm.flat).toBe(cold.flat);
          if (warm.shape !== undefined) expect(JSON.stringify(copy)).toBe(canonicalJson(value));
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('says of flat parameters whose keys are compiled that they are written as they are', () => {
    const copier = new CanonicalCopier();
    const told = (value: object): boolean => {
      copier.copy(value, limits.parametersBytes);
      return copier.shape !== undefined;
    };
    expect(told({ b: 1, a: 'x' })).toBe(false);
    for (let i = 0; i < WARM; i++) told({ b: 1, a: 'x' });
    expect(told({ b: 1, a: 'x' })).toBe(true);
    expect(told({ b: [1], a: 'x' })).toBe(false);
    expect(told({ 10: 1, 9: 2 })).toBe(false);
  });

  it('takes no key that every object inherits from a program that changed what all inherit', () => {
    const copier = new CanonicalCopier();
    for (let i = 0; i < 2 * WARM; i++) copier.copy({ a: 1, b: 2 }, limits.parametersBytes);
    // oxlint-disable-next-line no-extend-native
    Object.defineProperty(Object.prototype, 'b', { value: 2, writable: true, enumerable: true, configurable: true });
    try {
      expect(Object.keys(copier.copy({ a: 1 }, limits.parametersBytes)!)).toEqual(['a']);
    } finally {
      delete (Object.prototype as { b?: number }).b;
    }
  });

  it.each([
    ['undefined', { a: undefined }],
    ['a function', { a: () => 1 }],
    ['a number that JSON has no form for', { a: Number.NaN }],
    ['an integer outside the safe range', { a: 2 ** 53 }],
    ['a lone surrogate', { a: '\ud800' }],
    ['a lone surrogate in a key', { '\ud800': 1 }],
    ['a forbidden key', JSON.parse('{"__proto__":1}') as object],
    ['a forbidden key further down', { a: [JSON.parse('{"constructor":1}')] }],
    ['a class instance', { a: new Date(0) }],
    ['a hole', { a: Array.from({ length: 2 }).concat([1]) }],
    ['an instance as a whole', new Map()],
    ['more than the text may have', { a: 'x'.repeat(limits.parametersBytes) }],
  ])('leaves %s to the text', (_, value) => {
    expect(new CanonicalCopier().copy(value, limits.parametersBytes)).toBeUndefined();
  });

  it('leaves cycles and what is nested too deep to the text', () => {
    const cycle: Record<string, unknown> = {};
    cycle['a'] = { cycle };
    expect(new CanonicalCopier().copy(cycle, limits.parametersBytes)).toBeUndefined();
  });
});
