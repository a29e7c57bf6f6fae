/** Facts about sources: built, admitted by the receiver in exactly one shape, read back; and names with $ kept from users. */
import { describe, expect, it } from 'vitest';
import { Aggregate, Event } from '../../src/mapping/decorators.js';
import { EventRegistry } from '../../src/mapping/event-registry.js';
import { ConfigurationError } from '../../src/model/errors.js';
import { toEventJson } from '../../src/model/event-json.js';
import type { EventInput } from '../../src/model/event-input.js';
import { isReserved, readSourceFact, sourceFactOf, sourceFacts } from '../../src/time/source-facts.js';
import { refusalOf } from '../model/refusal.js';
import { world } from '../pipeline/support.js';

const T = Date.UTC(2026, 0, 1);

describe('a fact about a source', () => {
  it('says what it was built from', () => {
    const read = (input: EventInput) => readSourceFact(sourceFactOf(input));
    const common = { stream: 's', channel: '', at: T, lastSequence: -1, upTo: undefined };
    expect(read(sourceFacts.complete('s', { upTo: T, lastSequence: 7 }))).toEqual({
      ...common,
      kind: 'complete',
      lastSequence: 7,
    });
    expect(read(sourceFacts.heartbeat('s', { at: new Date(T), channel: 'c' }))).toEqual({
      ...common,
      kind: 'heartbeat',
      channel: 'c',
    });
    expect(read(sourceFacts.idle('', { provenAt: T }))).toEqual({ ...common, kind: 'idle', stream: '' });
    expect(read(sourceFacts.declare('s', { at: T }))).toEqual({ ...common, kind: 'declare' });
    expect(read(sourceFacts.retire('s', { upTo: T }))).toEqual({ ...common, kind: 'retire', upTo: T });
    expect(read(sourceFacts.retire('s', { at: T + 5, upTo: T }))).toEqual({
      ...common,
      kind: 'retire',
      at: T + 5,
      upTo: T,
    });
    expect(read(sourceFacts.rejoin('s', { at: T }))).toEqual({ ...common, kind: 'rejoin' });
  });

  it('is refused with code and fix when it is none', () => {
    expect(refusalOf(() => sourceFacts.complete('s', { upTo: Number.NaN })).code).toBe('INVALID_TIME');
    expect(refusalOf(() => sourceFacts.complete('s', { upTo: T, lastSequence: -1 })).code).toBe('INVALID_EVENT');
    expect(refusalOf(() => sourceFacts.complete('s\0', { upTo: T })).code).toBe('INVALID_ID');
    expect(refusalOf(() => sourceFacts.heartbeat('s', { at: T, channel: '\0' })).code).toBe('INVALID_ID');
    expect(refusalOf(() => sourceFacts.heartbeat('x'.repeat(257), { at: T })).code).toBe('LIMIT_EXCEEDED');
    expect(refusalOf(() => sourceFacts.retire('s', {})).code).toBe('INVALID_EVENT');
    const good = sourceFacts.complete('s', { upTo: T });
    const bad: readonly (readonly [string, Partial<Record<keyof EventInput, unknown>>])[] = [
      ['INVALID_EVENT', { aggregateType: '$other' }],
      ['INVALID_EVENT', { name: '$settle' }],
      ['INVALID_EVENT', { name: 'complete' }],
      ['INVALID_EVENT', { name: 7 }],
      ['INVALID_EVENT', { version: '1' }],
      ['INVALID_EVENT', { tenant: 't' }],
      ['INVALID_EVENT', { sequence: 1 }],
      ['INVALID_ID', { aggregateId: 's' }],
      ['INVALID_ID', { aggregateId: 7 }],
      ['INVALID_ID', { streamId: 7 }],
      ['INVALID_TIME', { at: '2026-02-30T00:00:00Z' }],
      ['INVALID_EVENT', { parameters: [] }],
      ['INVALID_EVENT', { parameters: { upTo: T } }],
      ['INVALID_EVENT', { parameters: { lastSequence: '1' } }],
      ['INVALID_EVENT', { name: '$retire', parameters: { upTo: '2026-01-01T00:00:00Z' } }],
      ['INVALID_EVENT', { metadata: { channel: 7 } }],
    ];
    for (const [code, change] of bad) {
      expect(refusalOf(() => sourceFactOf({ ...good, ...change } as EventInput)).code, JSON.stringify(change)).toBe(
        code,
      );
    }
  });

  it('is recorded like an event, and the same marker twice is one', async () => {
    const { bus, store } = world();
    const marker = sourceFacts.complete('carrier', { upTo: T, channel: 'p0' });
    expect(await bus.record([marker, sourceFacts.complete('carrier', { upTo: T })])).toMatchObject({ recorded: 2 });
    expect(await bus.record(marker)).toMatchObject({ repeated: 1 });
    expect(store.facts.map(readSourceFact)).toMatchObject([
      { kind: 'complete', stream: 'carrier', channel: 'p0' },
      { kind: 'complete', stream: 'carrier', channel: '' },
    ]);
    const text = toEventJson(store.facts[0]!);
    const bytes = new TextEncoder().encode(typeof text === 'string' ? text : JSON.stringify(text));
    expect(await bus.record({ bytes } as never)).toMatchObject({ repeated: 1 });
  });

  it('is the only thing that comes in under a type with $', async () => {
    const { bus, store } = world();
    const marker = sourceFacts.complete('carrier', { upTo: T });
    const summary = await bus.record([
      { ...marker, name: 'received' },
      { ...marker, aggregateType: '$parcel' },
      { ...marker, parameters: { depot: 'x' } },
    ]);
    expect(summary.rejections.map(({ code }) => code)).toEqual(['INVALID_EVENT', 'INVALID_EVENT', 'INVALID_EVENT']);
    expect(store.facts).toEqual([]);
  });
});

describe('a name with $', () => {
  it('is reserved', () => {
    expect(['$source', '$', '$x'].map(isReserved)).toEqual([true, true, true]);
    expect(['source', '', 'a$'].map(isReserved)).toEqual([false, false, false]);
  });

  it('INVALID_OPTION: is refused to a user’s aggregate and event', () => {
    @Event()
    class Fine {}
    @Event({ name: '$fine' })
    class Dollar {}
    @Aggregate('$parcel')
    class Parcel {
      static readonly events = { Fine };
    }
    @Aggregate('parcel')
    class Lists {
      static readonly events = { Dollar };
    }
    for (const [cls, text] of [
      [Parcel, 'aggregate type of Parcel is "$parcel"'],
      [Lists, 'event name of Dollar is "$fine"'],
    ] as const) {
      try {
        new EventRegistry('', [cls]);
        expect.fail('accepted');
      } catch (error) {
        expect(error).toBeInstanceOf(ConfigurationError);
        expect(error).toMatchObject({ code: 'INVALID_OPTION', reason: expect.stringContaining(text) as string });
      }
    }
  });
});
