/** Goal: one text for equal values, as RFC 8785 has it, so that a digest means the same in every language. */
import { createHash } from 'node:crypto';
import { runInNewContext } from 'node:vm';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson, isForbiddenKey } from '../../src/model/canonical-json.js';
import { digestOf } from '../../src/model/digest.js';
import { limits } from '../../src/model/limits.js';
import { refusalOf } from './refusal.js';

/** The number whose IEEE 754 bits these are: the form of RFC 8785, appendix B. */
function double(hex: string): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, BigInt(`0x${hex}`));
  return view.getFloat64(0);
}

describe('canonicalJson', () => {
  it('writes the example of RFC 8785 §3.2.2 (numbers, text and literals)', () => {
    const input =
      '{"numbers":[333333333.33333329,4.50,2e-3,0.000000000000000000000000001],"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}';
    expect(canonicalJson(JSON.parse(input))).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
  });

  it('sorts keys by UTF-16 units, as the example of RFC 8785 §3.2.3', () => {
    const input = { '\u20ac': 1, '\r': 2, '\ufb33': 3, '1': 4, '\ud83d\ude00': 5, '\u0080': 6, '\u00f6': 7 };
    expect(Object.values(JSON.parse(canonicalJson(input)) as object)).toHaveLength(7);
    expect(canonicalJson(input)).toBe('{"\\r":2,"1":4,"\u0080":6,"ö":7,"€":1,"😀":5,"\ufb33":3}');
  });

  it.each([
    ['0000000000000000', '0'],
    ['8000000000000000', '0'],
    ['0000000000000001', '5e-324'],
    ['8000000000000001', '-5e-324'],
    ['41b3de4355555553', '333333333.3333332'],
    ['41b3de4355555554', '333333333.33333325'],
    ['41b3de4355555555', '333333333.3333333'],
    ['41b3de4355555556', '333333333.3333334'],
    ['41b3de4355555557', '333333333.33333343'],
    ['becbf647612f3696', '-0.0000033333333333333333'],
    ['3eb0c6f7a0b5ed8d', '0.000001'],
    ['3eb0c6f7a0b5ed8c', '9.999999999999997e-7'],
    ['433fffffffffffff', '9007199254740991'],
    ['c33fffffffffffff', '-9007199254740991'],
  ])('writes the number %s of RFC 8785 appendix B as %s', (hex, text) => {
    expect(canonicalJson(double(hex))).toBe(text);
  });

  it.each([
    ['7fefffffffffffff'],
    ['ffefffffffffffff'],
    ['4340000000000000'],
    ['c340000000000000'],
    ['4430000000000000'],
    ['44b52d02c7e14af5'],
    ['444b1ae4d6e2ef50'],
    ['7fffffffffffffff'],
    ['7ff0000000000000'],
  ])('refuses the number %s: an integer that not every reader holds, or none at all', (hex) => {
    expect(refusalOf(() => canonicalJson({ a: [double(hex)] })).code).toBe('PARAMETER_TYPE');
  });

  it.each<[string, unknown, string, string]>([
    ['undefined', { a: undefined }, 'PARAMETER_TYPE', 'a'],
    ['a hole in an array', { a: [1].concat(new Array<number>(2)) }, 'PARAMETER_TYPE', 'a[1]'],
    ['a function', { a: { b: () => 1 } }, 'PARAMETER_TYPE', 'a.b'],
    ['a symbol', [Symbol('s')], 'PARAMETER_TYPE', '[0]'],
    ['a bigint', { a: 1n }, 'PARAMETER_TYPE', 'a'],
    ['a Date', { a: new Date(0) }, 'PARAMETER_TYPE', 'a'],
    ['a Map', { a: new Map() }, 'PARAMETER_TYPE', 'a'],
    ['bytes', { a: new Uint8Array(1) }, 'PARAMETER_TYPE', 'a'],
    ['a boxed number', { a: Object(1) }, 'PARAMETER_TYPE', 'a'],
    ['an instance of a class', { a: new (class Amount {})() }, 'PARAMETER_TYPE', 'a'],
    ['a lone surrogate', { a: 'x\ud800' }, 'INVALID_TEXT', 'a'],
    ['a lone surrogate in a key', { a: { '\udc00': 1 } }, 'INVALID_TEXT', 'a.\udc00'],
    ['__proto__', JSON.parse('{"a":{"__proto__":{"x":1}}}'), 'FORBIDDEN_KEY', 'a.__proto__'],
    ['constructor', { constructor: 1 }, 'FORBIDDEN_KEY', 'constructor'],
    ['prototype', { a: [{ prototype: 1 }] }, 'FORBIDDEN_KEY', 'a[0].prototype'],
  ])('refuses %s with its path', (_, value, code, path) => {
    let refusal: { code?: unknown; details?: unknown } = {};
    try {
      canonicalJson(value);
    } catch (error) {
      refusal = error as typeof refusal;
    }
    expect(refusal).toMatchObject({ code, details: { path } });
  });

  it('refuses cycles and what is nested too deep', () => {
    const cycle: Record<string, unknown> = {};
    cycle['a'] = { b: [cycle] };
    expect(refusalOf(() => canonicalJson(cycle)).code).toBe('LIMIT_EXCEEDED');
    const nested = (levels: number): unknown => {
      let value: unknown = 1;
      for (let i = 0; i < levels; i++) value = [value];
      return value;
    };
    expect(canonicalJson(nested(limits.parametersDepth))).toContain('1');
    expect(refusalOf(() => canonicalJson(nested(limits.parametersDepth + 2))).code).toBe('LIMIT_EXCEEDED');
  });

  it('takes plain objects without a prototype and of other realms', () => {
    expect(canonicalJson(Object.assign(Object.create(null) as object, { b: 1, a: 2 }))).toBe('{"a":2,"b":1}');
    expect(canonicalJson(runInNewContext('({ b: [1, { c: null }], a: "x" })'))).toBe('{"a":"x","b":[1,{"c":null}]}');
    expect(refusalOf(() => canonicalJson({ a: runInNewContext('new Date(0)') as unknown })).code).toBe(
      'PARAMETER_TYPE',
    );
  });

  it('keeps nothing of the value it was given', () => {
    const value = { a: [1] };
    const text = canonicalJson(value);
    value.a.push(2);
    expect(text).toBe('{"a":[1]}');
  });

  const anyJson = fc
    .jsonValue({ stringUnit: 'binary', maxDepth: 6 })
    .filter((value) => !/"(__proto__|constructor|prototype)":/.test(JSON.stringify(value)))
    .map(
      (value) =>
        JSON.parse(JSON.stringify(value), (_, v: unknown) =>
          Number.isInteger(v) && !Number.isSafeInteger(v) ? 1.5 : v,
        ) as unknown,
    );

  it('reads back equal, and is a fixed point', () => {
    fc.assert(
      fc.property(anyJson, (value) => {
        const text = canonicalJson(value);
        expect(JSON.parse(text)).toEqual(value);
        expect(canonicalJson(JSON.parse(text))).toBe(text);
      }),
      { numRuns: 2_000 },
    );
  });

  it('does not depend on the order of keys', () => {
    const reversed = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(reversed);
      if (typeof value !== 'object' || value === null) return value;
      return Object.fromEntries(
        Object.entries(value)
          .toReversed()
          .map(([key, one]) => [key, reversed(one)]),
      );
    };
    fc.assert(
      fc.property(anyJson, (value) => canonicalJson(reversed(value)) === canonicalJson(value)),
      { numRuns: 1_000 },
    );
  });
});

describe('isForbiddenKey', () => {
  it('knows the keys that reach a prototype', () => {
    expect(['__proto__', 'constructor', 'prototype', 'proto', ''].map(isForbiddenKey)).toEqual([
      true,
      true,
      true,
      false,
      false,
    ]);
  });
});

describe('digestOf', () => {
  it('is the SHA-256 of the canonical form of name, parameters and version', () => {
    const content = canonicalJson({ text: 'café 📦', a: 0.1 });
    const whole = '{"name":"näme \\"q\\"","parameters":{"a":0.1,"text":"café 📦"},"version":"0"}';
    expect(whole).toBe(canonicalJson({ version: '0', name: 'näme "q"', parameters: JSON.parse(content) }));
    expect(digestOf('näme "q"', '0', content)).toBe(createHash('sha256').update(whole, 'utf8').digest('hex'));
  });

  it('has the digest that another implementation gives for an empty event', () => {
    expect(digestOf('delivered', '0', '{}')).toBe(
      createHash('sha256').update('{"name":"delivered","parameters":{},"version":"0"}').digest('hex'),
    );
  });
});
