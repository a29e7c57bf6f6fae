/** Goal: dates, bigints and bytes come back equal, have one text each, and anything else is refused with its path. */
import { Buffer } from 'node:buffer';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromBase64, toBase64 } from '../../src/model/base64.js';
import { bigintCodec, bytesCodec, dateCodec, epochMsCodec, listCodec, nullableCodec } from '../../src/model/codecs.js';
import type { Codec } from '../../src/model/codecs.js';
import type { WireValue } from '../../src/model/event.js';
import { refusalOf } from './refusal.js';

describe('codecs', () => {
  it.each<[Codec<never>, unknown, WireValue]>([
    [dateCodec as Codec<never>, new Date(1_476_262_800_123), '2016-10-12T09:00:00.123Z'],
    [epochMsCodec as Codec<never>, new Date(1_476_262_800_123), 1_476_262_800_123],
    [bigintCodec as Codec<never>, 9_007_199_254_740_993n, '9007199254740993'],
    [bigintCodec as Codec<never>, -1n, '-1'],
    [bigintCodec as Codec<never>, 0n, '0'],
    [bytesCodec as Codec<never>, new Uint8Array([1, 2, 255]), 'AQL/'],
    [bytesCodec as Codec<never>, new Uint8Array(0), ''],
    [listCodec(bigintCodec) as Codec<never>, [1n, 2n], ['1', '2']],
    [nullableCodec(dateCodec) as Codec<never>, null, null],
    [nullableCodec(dateCodec) as Codec<never>, new Date(0), '1970-01-01T00:00:00.000Z'],
  ])('%o writes %o and reads it back', (codec, value, wire) => {
    expect(codec.toWire(value as never, 'p')).toEqual(wire);
    expect(codec.fromWire(wire, 'p')).toEqual(value);
  });

  it.each<[Codec<never>, unknown]>([
    [dateCodec as Codec<never>, 'text'],
    [dateCodec as Codec<never>, new Date(Number.NaN)],
    [dateCodec as Codec<never>, new Date(8.64e15)],
    [epochMsCodec as Codec<never>, 5],
    [bigintCodec as Codec<never>, 5],
    [bigintCodec as Codec<never>, 10n ** 5_000n],
    [bytesCodec as Codec<never>, [1, 2]],
    [listCodec(bigintCodec) as Codec<never>, 5n],
  ])('%o refuses to write %s', (codec, value) => {
    const refusal = refusalOf(() => codec.toWire(value as never, 'a.b'));
    expect(refusal.code).toBe('PARAMETER_TYPE');
    expect(refusal.details).toEqual({ path: 'a.b' });
  });

  it.each<[Codec<never>, WireValue]>([
    [dateCodec as Codec<never>, 5],
    [dateCodec as Codec<never>, '2016-03-38T00:00:00Z'],
    [dateCodec as Codec<never>, '2016-03-08'],
    [dateCodec as Codec<never>, null],
    [epochMsCodec as Codec<never>, 1.5],
    [epochMsCodec as Codec<never>, '5'],
    [bigintCodec as Codec<never>, ''],
    [bigintCodec as Codec<never>, ' 1'],
    [bigintCodec as Codec<never>, '01'],
    [bigintCodec as Codec<never>, '-0'],
    [bigintCodec as Codec<never>, '+1'],
    [bigintCodec as Codec<never>, '0x10'],
    [bigintCodec as Codec<never>, '1n'],
    [bigintCodec as Codec<never>, 1.5],
    [bigintCodec as Codec<never>, 2 ** 53],
    [bigintCodec as Codec<never>, '9'.repeat(5_000)],
    [bytesCodec as Codec<never>, 'AQL'],
    [bytesCodec as Codec<never>, 'AQL_'],
    [bytesCodec as Codec<never>, 'AQ L/'],
    [bytesCodec as Codec<never>, 'AR=='],
    [bytesCodec as Codec<never>, 'AQJ='],
    [bytesCodec as Codec<never>, 'A==='],
    [bytesCodec as Codec<never>, '===='],
    [bytesCodec as Codec<never>, '=AQL'],
    [bytesCodec as Codec<never>, 'AQ=='.repeat(2)],
    [bytesCodec as Codec<never>, 'AQLé'],
    [bytesCodec as Codec<never>, 5],
    [listCodec(bigintCodec) as Codec<never>, '5'],
  ])('%o refuses to read %j', (codec, wire) => {
    expect(refusalOf(() => codec.fromWire(wire, 'a.b')).code).toBe('PARAMETER_TYPE');
  });

  it('names the element of a list', () => {
    expect(refusalOf(() => listCodec(bigintCodec).fromWire(['1', 'x'], 'amounts')).details).toEqual({
      path: 'amounts[1]',
    });
  });

  it('reads small integers as bigint, as the original writes them', () => {
    expect(bigintCodec.fromWire(42, 'p')).toBe(42n);
  });

  it('does not keep the bytes it was given', () => {
    const bytes = new Uint8Array([1, 2, 3]);
    const text = bytesCodec.toWire(bytes, 'p');
    bytes[0] = 9;
    expect(bytesCodec.fromWire(text, 'p')).toEqual(new Uint8Array([1, 2, 3]));
  });
});

describe('base64', () => {
  it('writes as the platform does, and reads it back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const text = toBase64(bytes);
        expect(text).toBe(Buffer.from(bytes).toString('base64'));
        expect(fromBase64(text)).toEqual(new Uint8Array(bytes));
      }),
      { numRuns: 2_000 },
    );
  });

  it('reads exactly the texts it would write', () => {
    const unit = fc.constantFrom(...'ABQRgwx/+9=_- \n'.split(''));
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 12 }), (text) => {
        const bytes = fromBase64(text);
        expect(bytes !== undefined).toBe(Buffer.from(text, 'base64').toString('base64') === text);
        if (bytes !== undefined) expect(toBase64(bytes)).toBe(text);
      }),
      { numRuns: 5_000 },
    );
  });
});
