/** A typed call becomes complete events, and the consumer may be anything: an array, a promise, another handler. */
import { describe, expect, it } from 'vitest';
import { handlerFor, when } from '../../src/mapping/handler-map.js';
import { at, emitEach, emitterFor, make } from '../../src/mapping/typed-emitter.js';
import { InvalidEventError } from '../../src/model/errors.js';
import type { EventInput } from '../../src/model/event-input.js';
import { Delivered, fact, LoadedOntoTruck, Parcel, ReceivedAtDepot, registry } from './parcels.js';

const model = registry.aggregate(Parcel);

function collecting() {
  const batches: (readonly EventInput[])[] = [];
  const emitter = emitterFor(model, 'p1', (events) => batches.push(events));
  return { batches, emitter };
}

describe('make', () => {
  it('makes an instance without running the constructor', () => {
    const loaded = make(LoadedOntoTruck, { truckId: 'T' });
    expect(loaded).toBeInstanceOf(LoadedOntoTruck);
    expect(Object.keys(loaded)).toEqual(['truckId']);
  });

  it('refuses keys that could change a prototype', () => {
    expect(() => make(Delivered, JSON.parse('{"__proto__":{}}') as never)).toThrow(/FORBIDDEN_KEY/);
  });
});

describe('an emitter', () => {
  it('delivers all events of a call as one batch, complete and in order', () => {
    const { batches, emitter } = collecting();
    expect(
      emitter.record(
        at(1, new ReceivedAtDepot('L')),
        at('2016-10-12T09:06:31.432Z', make(LoadedOntoTruck, { truckId: 'T' }), {
          stream: 's',
          sequence: 4,
          metadata: { a: 'b' },
        }),
      ),
    ).toBe(1);
    expect(batches).toEqual([
      [
        {
          tenant: '',
          aggregateType: 'parcel',
          aggregateId: 'p1',
          name: 'receivedAtDepot',
          version: '0',
          at: 1,
          streamId: '',
          sequence: -1,
          parameters: { depotId: 'L' },
          metadata: undefined,
        },
        {
          tenant: '',
          aggregateType: 'parcel',
          aggregateId: 'p1',
          name: 'loadedOntoTruck',
          version: '0',
          at: '2016-10-12T09:06:31.432Z',
          streamId: 's',
          sequence: 4,
          parameters: { truckId: 'T' },
          metadata: { a: 'b' },
        },
      ],
    ]);
  });

  it('emits one event by its key, from data or an instance', () => {
    const { batches, emitter } = collecting();
    emitter.emit.Delivered({ destinationId: 'x' }, { at: 5, stream: 'scanner-7' });
    emitter.emit.Delivered(new Delivered('x'), { at: 5, stream: 'scanner-7' });
    expect(batches[0]).toEqual(batches[1]);
    expect(batches[0]).toMatchObject([
      { name: 'delivered', at: 5, streamId: 'scanner-7', sequence: -1, parameters: { destinationId: 'x' } },
    ]);
    expect(Object.keys(emitter.emit)).toEqual(['ReceivedAtDepot', 'LoadedOntoTruck', 'DeliveryFailed', 'Delivered']);
  });

  it('carries the tenant of the call', () => {
    const got: EventInput[] = [];
    emitterFor(model, 'p1', (events) => got.push(...events), { tenant: 'acme' }).emit.Delivered(
      { destinationId: 'x' },
      { at: 0 },
    );
    expect(got[0]!.tenant).toBe('acme');
  });

  it('refuses an event of another class, and then delivers nothing', () => {
    const { batches, emitter } = collecting();
    const foreign = { depotId: 'L', truckId: 'T', reason: 'x', destinationId: 'x' };
    expect(() => emitter.record(at(1, new Delivered('x')), at(1, foreign as never))).toThrow(
      /UNKNOWN_EVENT_TYPE.*Object is no event of parcel/,
    );
    expect(() => emitter.emit.Delivered(new ReceivedAtDepot('L') as never, { at: 0 })).toThrow(/UNKNOWN_EVENT_TYPE/);
    class Subclass extends Delivered {}
    expect(() => emitter.record(at(1, new Subclass('x')))).toThrow(InvalidEventError);
    expect(batches).toEqual([]);
  });

  it('returns what its consumer returns, a promise too', async () => {
    const emitter = emitterFor(model, 'p1', (events) => Promise.resolve(events.length));
    await expect(emitter.record(at(1, new Delivered('x')))).resolves.toBe(1);
  });
});

describe('events of one call that share an instant and a name', () => {
  const numbers = (...events: Parameters<ReturnType<typeof collecting>['emitter']['record']>) => {
    const { batches, emitter } = collecting();
    emitter.record(...events);
    return batches[0]!.map((event) => event.sequence);
  };
  const load = (truckId: string) => make(LoadedOntoTruck, { truckId });

  it('are numbered 0, 1, 2 by position, however the instant is written', () => {
    expect(numbers(at(0, load('a')), at('1970-01-01T00:00:00.000Z', load('b')), at(new Date(0), load('c')))).toEqual([
      0, 1, 2,
    ]);
  });

  it('do not number a lone event, another instant or another name', () => {
    expect(numbers(at(0, load('a')))).toEqual([-1]);
    expect(numbers(at(0, load('a')), at(1, load('b')), at(0, new Delivered('x')))).toEqual([-1, -1, -1]);
    expect(numbers(at(1, load('a')), at(0, load('b')), at(0, new Delivered('x')), at(0, load('c')))).toEqual([
      -1, 0, -1, 1,
    ]);
  });

  it('keep numbers given by hand, which are not given again', () => {
    expect(numbers(at(0, load('a'), { sequence: 7 }), at(0, load('b')))).toEqual([7, -1]);
    expect(numbers(at(0, load('a'), { sequence: 0 }), at(0, load('b')), at(0, load('c')))).toEqual([0, 1, 2]);
  });
});

describe('a consumer of single events', () => {
  it('gets them one after the other, each awaited', async () => {
    const log: string[] = [];
    const emitter = emitterFor(
      model,
      'p1',
      emitEach(async (event) => {
        log.push(`${event.name} in`);
        await Promise.resolve();
        log.push(`${event.name} out`);
      }),
    );
    await emitter.record(at(1, new ReceivedAtDepot('L')), at(2, new Delivered('x')));
    expect(log).toEqual(['receivedAtDepot in', 'receivedAtDepot out', 'delivered in', 'delivered out']);
  });

  it('makes no promise where it returns none', () => {
    const names: string[] = [];
    const emitter = emitterFor(
      model,
      'p1',
      emitEach((event) => void names.push(event.name)),
    );
    expect(emitter.record(at(1, new ReceivedAtDepot('L')), at(2, new Delivered('x')))).toBeUndefined();
    expect(names).toEqual(['receivedAtDepot', 'delivered']);
  });

  it('stops at a failure', async () => {
    const seen: string[] = [];
    const emitter = emitterFor(
      model,
      'p1',
      emitEach((event) => {
        seen.push(event.name);
        return Promise.reject(new Error('full'));
      }),
    );
    await expect(emitter.record(at(1, new ReceivedAtDepot('L')), at(2, new Delivered('x')))).rejects.toThrow('full');
    expect(seen).toEqual(['receivedAtDepot']);
  });
});

describe('when', () => {
  const cases = {
    ReceivedAtDepot: (e: ReceivedAtDepot) => e.depotId,
    LoadedOntoTruck: (e: LoadedOntoTruck) => e.truckId,
    DeliveryFailed: () => '',
    Delivered: () => 'end',
  };

  it('picks the case of the event and returns its result', () => {
    expect(when(Parcel, new ReceivedAtDepot('L'), cases)).toBe('L');
    expect(when(Parcel, make(LoadedOntoTruck, { truckId: 'T' }), cases)).toBe('T');
    expect(
      when(
        Parcel,
        model.events.get('delivered')!.hydrate(fact('delivered', 1, { destinationId: 'x' })) as Delivered,
        cases,
      ),
    ).toBe('end');
  });

  it('refuses an event of nobody and a missing case', () => {
    expect(() => when(Parcel, { depotId: 'x' } as ReceivedAtDepot, cases)).toThrow(/UNKNOWN_EVENT_TYPE.*Parcel/);
    expect(() => when(Parcel, null as never, cases)).toThrow(/UNKNOWN_EVENT_TYPE/);
    expect(() => when(Parcel, new Delivered('x'), {} as typeof cases)).toThrow(/INVALID_ARGUMENT.*Delivered/);
  });
});

describe('a typed handler', () => {
  const cases = {
    ReceivedAtDepot: (e: ReceivedAtDepot) => e.depotId,
    LoadedOntoTruck: (e: LoadedOntoTruck) => e.truckId,
    DeliveryFailed: () => '',
    Delivered: (_e: Delivered, context: { at: number }) => `end ${context.at}`,
  };
  const handle = handlerFor(model, cases);

  it('gives each fact to the function of its event', () => {
    expect(handle(fact('loadedOntoTruck', 1, { truckId: 'T' }))).toBe('T');
    expect(handle(fact('delivered', 7, {}))).toBe('end 7');
  });

  it('refuses foreign and unknown facts, unless it has an otherwise', () => {
    expect(() => handle(fact('lost', 1))).toThrow(/UNKNOWN_EVENT_TYPE/);
    expect(() => handle(fact('delivered', 1, {}, { type: 'lamp' }))).toThrow(/UNKNOWN_AGGREGATE/);
    expect(handlerFor(model, cases, (one) => one.name)(fact('lost', 1))).toBe('lost');
  });

  it('refuses missing cases when it is made', () => {
    expect(() => handlerFor(model, { Delivered: () => '' } as unknown as typeof cases)).toThrow(/INVALID_ARGUMENT/);
  });
});
