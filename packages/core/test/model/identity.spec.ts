/** Goal: an id that a store could not keep, or could confuse with another, is refused at the border with its code. */
import { describe, expect, it } from 'vitest';
import { Fact } from '../../src/model/event.js';
import {
  checkAggregateId,
  checkContext,
  checkMetadata,
  checkName,
  checkSequence,
  checkStreamId,
  checkTenant,
  identityKey,
  identityText,
} from '../../src/model/identity.js';
import { refusalOf } from './refusal.js';

describe('ids', () => {
  it.each([
    'a',
    'a:b',
    'a/b',
    ' ',
    '../..',
    'größe',
    '📦',
    'tab\tinside',
    'x'.repeat(512),
    'é'.repeat(256),
    '📦'.repeat(128),
  ])('takes the aggregate id %j', (id) => {
    expect(() => checkAggregateId(id)).not.toThrow();
  });

  it.each([
    ['', 'INVALID_ID'],
    ['a\u0000b', 'INVALID_ID'],
    ['\ud800', 'INVALID_ID'],
    ['📦\udce6', 'INVALID_ID'],
    ['x'.repeat(513), 'LIMIT_EXCEEDED'],
    ['é'.repeat(257), 'LIMIT_EXCEEDED'],
    [`${'📦'.repeat(128)}x`, 'LIMIT_EXCEEDED'],
    ['x'.repeat(10_240), 'LIMIT_EXCEEDED'],
    [`${'x'.repeat(39)}${'📦'.repeat(1_000)}`, 'LIMIT_EXCEEDED'],
    [42, 'INVALID_ID'],
    [null, 'INVALID_ID'],
    [undefined, 'INVALID_ID'],
  ])('refuses the aggregate id %j', (id, code) => {
    const refusal = refusalOf(() => checkAggregateId(id));
    expect(refusal.code).toBe(code);
    expect(refusal.reason.length).toBeLessThan(200);
  });

  it('takes an empty stream and refuses one beyond 256 bytes', () => {
    expect(() => checkStreamId('')).not.toThrow();
    expect(() => checkStreamId('x'.repeat(256))).not.toThrow();
    expect(refusalOf(() => checkStreamId('x'.repeat(257))).code).toBe('LIMIT_EXCEEDED');
    expect(refusalOf(() => checkStreamId('\u0000')).code).toBe('INVALID_ID');
  });
});

describe('names', () => {
  it.each(['line\nbreak', 'tab\t', '\u0000', '\u007f', '', '\udfff', 7])('refuses %j as an event name', (name) => {
    expect(refusalOf(() => checkName('event name', name)).code).toBe('INVALID_ID');
  });

  it('bounds names to 128 bytes, tenants and contexts to 64', () => {
    expect(() => checkName('aggregate type', 'paket größe 📦')).not.toThrow();
    expect(() => checkName('version', 'x'.repeat(128))).not.toThrow();
    expect(refusalOf(() => checkName('version', 'x'.repeat(129))).code).toBe('LIMIT_EXCEEDED');
    expect(() => checkTenant('')).not.toThrow();
    expect(() => checkContext('')).not.toThrow();
    expect(() => checkTenant('x'.repeat(64))).not.toThrow();
    expect(refusalOf(() => checkTenant('x'.repeat(65))).code).toBe('LIMIT_EXCEEDED');
    expect(refusalOf(() => checkContext('a\nb')).code).toBe('INVALID_ID');
  });
});

describe('checkSequence', () => {
  it.each([-1, 0, 1, Number.MAX_SAFE_INTEGER])('takes %d', (sequence) => {
    expect(() => checkSequence(sequence)).not.toThrow();
  });

  it.each([-2, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, '1', null, undefined, 1n])(
    'refuses %s',
    (sequence) => {
      expect(refusalOf(() => checkSequence(sequence)).code).toBe('INVALID_SEQUENCE');
    },
  );
});

describe('checkMetadata', () => {
  it('takes up to 16 texts', () => {
    const most = Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`k${i}`, 'é'.repeat(512)]));
    expect(() => checkMetadata(most)).not.toThrow();
    expect(() => checkMetadata({})).not.toThrow();
    expect(refusalOf(() => checkMetadata({ ...most, more: '' })).code).toBe('LIMIT_EXCEEDED');
  });

  it.each([
    [[], 'INVALID_EVENT'],
    ['text', 'INVALID_EVENT'],
    [null, 'INVALID_EVENT'],
    [{ a: 1 }, 'INVALID_EVENT'],
    [{ a: undefined }, 'INVALID_EVENT'],
    [{ a: '\ud800' }, 'INVALID_TEXT'],
    [{ '': 'a' }, 'INVALID_ID'],
    [{ 'a\u0000': 'a' }, 'INVALID_ID'],
    [{ ['x'.repeat(129)]: 'a' }, 'LIMIT_EXCEEDED'],
    [{ a: 'x'.repeat(1_025) }, 'LIMIT_EXCEEDED'],
    [{ a: 'é'.repeat(513) }, 'LIMIT_EXCEEDED'],
    [JSON.parse('{"__proto__":"a"}'), 'FORBIDDEN_KEY'],
    [{ constructor: 'a' }, 'FORBIDDEN_KEY'],
  ])('refuses %j', (metadata, code) => {
    expect(refusalOf(() => checkMetadata(metadata)).code).toBe(code);
  });
});

describe('the texts of an identity', () => {
  const fact = (change: Partial<ConstructorParameters<typeof Fact>[0]> = {}): Fact =>
    new Fact({
      tenant: '',
      aggregateType: 'parcel',
      aggregateId: 'p1',
      name: 'loadedOntoTruck',
      version: '0',
      eventTime: 1_476_262_800_123,
      streamId: 'depot',
      sequence: -1,
      characteristics: 0,
      content: '{}',
      ...change,
    });

  it('reads as type/id@time#name', () => {
    expect(identityText(fact())).toBe('parcel/p1@2016-10-12T09:00:00.123Z#loadedOntoTruck');
  });

  it('has one key for one identity, whatever its content and version', () => {
    expect(identityKey(fact())).toBe(identityKey(fact({ content: '{"a":1}', version: '1', characteristics: 1 })));
  });

  it('has another key when any part differs, however the parts are cut', () => {
    const keys = [
      fact(),
      fact({ tenant: 'acme' }),
      fact({ aggregateType: 'parcelp', aggregateId: '1' }),
      fact({ aggregateId: 'p2' }),
      fact({ eventTime: 1_476_262_800_124 }),
      fact({ streamId: '' }),
      fact({ streamId: 'depot-1' }),
      fact({ streamId: 'depot', sequence: 1 }),
      fact({ sequence: 0 }),
      fact({ name: 'delivered' }),
    ].map(identityKey);
    expect(new Set(keys).size).toBe(keys.length);
  });
});
