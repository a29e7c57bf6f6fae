/** Every wiring mistake in events and aggregates, one subject: it shows when the registry is built, with its code, the class and the fix. */
import { describe, expect, it } from 'vitest';
import { IsString, ValidateNested } from 'class-validator';
import * as classValidator from 'class-validator';
import {
  Aggregate,
  aggregateMetaOf,
  Event,
  EventHandler,
  eventMetaOf,
  fieldsOf,
  handlersOf,
  Indexed,
  Initial,
  Ordered,
  Terminal,
  Thread,
  WireName,
} from '../../src/mapping/decorators.js';
import { EventRegistry } from '../../src/mapping/event-registry.js';
import { defineAggregate } from '../../src/mapping/fold-aggregate.js';
import { Upcast } from '../../src/mapping/upcaster.js';
import { ConfigurationError, InvalidEventError } from '../../src/model/errors.js';
import type { Parameters } from '../../src/model/event.js';
import { Delivered, LoadedOntoTruck, Parcel, ReceivedAtDepot, registry } from './parcels.js';

function mistake(aggregates: readonly unknown[], options: object = {}): ConfigurationError {
  try {
    new EventRegistry('lamps', aggregates as never, options);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigurationError);
    expect((error as ConfigurationError).fix).not.toBe('');
    return error as ConfigurationError;
  }
  throw new Error('The registry accepted it.');
}

@Event()
class ScrewedIn {}
@Event()
class Switched {}

describe('what decorators record', () => {
  it('names an event by its class, in version 0', () => {
    expect(eventMetaOf(ReceivedAtDepot)).toMatchObject({
      name: 'receivedAtDepot',
      version: '0',
      initial: true,
      terminal: false,
    });
  });

  it('takes the companions of @Event in any order', () => {
    @Initial()
    @Event({ name: 'first' })
    class A {}
    @Event()
    @Terminal()
    class B {}
    @Ordered(7)
    @Event({ version: '2' })
    class C {}
    expect(eventMetaOf(A)).toMatchObject({ name: 'first', initial: true });
    expect(eventMetaOf(B)).toMatchObject({ name: 'b', terminal: true });
    expect(eventMetaOf(C)).toMatchObject({ version: '2', order: 7 });
  });

  it('keeps a subclass of an event from being that event', () => {
    class Refined extends Delivered {}
    @Event()
    class Own extends Delivered {}
    expect(eventMetaOf(Refined)).toBeUndefined();
    expect(eventMetaOf(Own)).toMatchObject({ name: 'own', terminal: false });
  });

  it('does not take a companion alone for an event', () => {
    @Initial()
    class Lonely {}
    expect(eventMetaOf(Lonely)).toBeUndefined();
  });

  it('gives a subclass the handlers of its base, its own word last', () => {
    class Base {
      @EventHandler(Switched) switched() {}
      @EventHandler(ScrewedIn) screwed() {}
    }
    class Derived extends Base {
      @EventHandler(Switched, { name: 'again' }) override switched() {}
      @EventHandler(Delivered) delivered() {}
    }
    expect(handlersOf(Base).map((handler) => handler.method)).toEqual(['switched', 'screwed']);
    expect(handlersOf(Derived).map((handler) => [handler.method, handler.options.name])).toEqual([
      ['switched', 'again'],
      ['screwed', undefined],
      ['delivered', undefined],
    ]);
  });

  it('refuses a handler on a static method', () => {
    expect(() => {
      class Wrong {
        @EventHandler(Switched) static switched() {}
      }
      return Wrong;
    }).toThrow(/INVALID_OPTION.*Wrong\.switched/);
  });

  it('gathers field markers along the classes', () => {
    @Event()
    class Base {
      @Thread('truck') @Thread('fleet') readonly truckId!: string;
    }
    @Event()
    class Derived extends Base {
      @Indexed() @WireName('w') readonly watts!: number;
    }
    expect([...fieldsOf(Derived)]).toEqual([
      ['truckId', { threads: ['fleet', 'truck'] }],
      ['watts', { wireName: 'w', indexed: true }],
    ]);
    expect(fieldsOf(Base).has('watts')).toBe(false);
  });

  it('adds nothing to a class that can be listed', () => {
    expect(Object.keys(Parcel)).toEqual(['events']);
    expect(Object.keys(Delivered)).toEqual([]);
  });
});

describe('the registry of a context', () => {
  it('finds an aggregate by class and by type, and the aggregates of an event', () => {
    expect(registry.aggregate(Parcel)).toBe(registry.aggregate('parcel'));
    expect(registry.has(Parcel) && registry.has('parcel')).toBe(true);
    expect(registry.aggregatesOf(Delivered)).toEqual([registry.aggregate(Parcel)]);
    expect(registry.aggregatesOf(Switched)).toEqual([]);
    expect(registry.aggregates.map((model) => model.type)).toEqual(['parcel']);
    expect([...registry.aggregate('parcel').events.keys()]).toEqual([
      'receivedAtDepot',
      'loadedOntoTruck',
      'deliveryFailed',
      'delivered',
    ]);
  });

  it('counts a class given twice once', () => {
    expect(new EventRegistry('', [Parcel, Parcel]).aggregates).toHaveLength(1);
  });

  it('shares no list between contexts: the same classes may be in both', () => {
    const one = new EventRegistry('one', [Parcel]);
    const two = new EventRegistry('two', [Parcel]);
    expect(one.aggregate(Parcel)).not.toBe(two.aggregate(Parcel));
  });

  it('lets two aggregates list one event', () => {
    @Aggregate('lamp')
    class Lamp {
      static readonly events = { Switched };
    }
    @Aggregate('socket')
    class Socket {
      static readonly events = { Switched };
    }
    const both = new EventRegistry('', [Lamp, Socket]);
    expect(both.aggregatesOf(Switched).map((model) => model.type)).toEqual(['lamp', 'socket']);
    expect([...both.aggregate(Socket).events.values()][0]!.aggregateType).toBe('socket');
  });

  it('refuses an unregistered aggregate and names the way to register it', () => {
    @Aggregate('lamp')
    class Lamp {
      static readonly events = { Switched };
    }
    const ask = () => registry.aggregate(Lamp);
    expect(ask).toThrow(InvalidEventError);
    expect(ask).toThrow(/UNKNOWN_AGGREGATE.*Lamp[\s\S]*forFeature\(\[Lamp\]\)/);
    expect(() => registry.aggregate('lamp')).toThrow(/UNKNOWN_AGGREGATE.*"lamp"; it has parcel/);
    expect(registry.has(Lamp)).toBe(false);
  });

  it('lists an aggregate of which nothing is checked', () => {
    const events = registry.aggregate('parcel').events;
    expect(events.get('delivered')!.unchecked).toBe(true);
    expect(events.get('loadedOntoTruck')!.unchecked).toBe(false);
    expect([...events.get('loadedOntoTruck')!.declaredKeys!].sort()).toEqual(['bay', 'truckId']);
  });
});

describe('a wiring mistake', () => {
  it('NOT_AN_AGGREGATE: an undecorated class, also a subclass of an aggregate', () => {
    class Lamp {
      static readonly events = { Switched };
    }
    class Subclass extends Parcel {}
    expect(mistake([Lamp])).toMatchObject({
      code: 'NOT_AN_AGGREGATE',
      reason: expect.stringContaining('Lamp') as string,
    });
    expect(mistake([Subclass]).code).toBe('NOT_AN_AGGREGATE');
    expect(aggregateMetaOf(Subclass)).toBeUndefined();
    expect(mistake([undefined]).code).toBe('NOT_AN_AGGREGATE');
  });

  it('DUPLICATE_AGGREGATE: one type of two classes', () => {
    @Aggregate('parcel')
    class Letter {
      static readonly events = { Switched };
    }
    expect(mistake([Parcel, Letter])).toMatchObject({
      code: 'DUPLICATE_AGGREGATE',
      reason: expect.stringMatching(/Parcel and Letter/) as string,
    });
  });

  it('AGGREGATE_WITHOUT_EVENTS: no events, or none in them', () => {
    @Aggregate('lamp')
    class Empty {
      static readonly events = {};
    }
    class Missing {}
    Aggregate('lamp')(Missing as never);
    expect(mistake([Empty])).toMatchObject({
      code: 'AGGREGATE_WITHOUT_EVENTS',
      reason: expect.stringContaining('Empty') as string,
    });
    expect(mistake([Missing]).code).toBe('AGGREGATE_WITHOUT_EVENTS');
  });

  it('NOT_AN_EVENT: a listed or handled class without @Event', () => {
    class Plain {}
    @Aggregate('lamp')
    class Lists {
      static readonly events = { Plain };
    }
    @Aggregate('lamp')
    class Handles {
      static readonly events = { Switched };
      @EventHandler(Plain) plain() {}
    }
    expect(mistake([Lists])).toMatchObject({
      code: 'NOT_AN_EVENT',
      reason: expect.stringMatching(/Lists.*Plain/) as string,
    });
    expect(mistake([Handles])).toMatchObject({
      code: 'NOT_AN_EVENT',
      reason: expect.stringMatching(/Handles\.plain/) as string,
    });
  });

  it('EVENT_NOT_LISTED: a handler of an event that `events` misses', () => {
    @Aggregate('lamp')
    class Lamp {
      static readonly events = { Switched };
      @EventHandler(ScrewedIn) screwed() {}
    }
    const error = mistake([Lamp]);
    expect(error).toMatchObject({
      code: 'EVENT_NOT_LISTED',
      reason: expect.stringMatching(/screwed\(\).*Lamp.*ScrewedIn/) as string,
    });
    expect(error.fix).toContain('ScrewedIn');
  });

  it('DUPLICATE_EVENT_TYPE: one name of two classes, or one class twice', () => {
    @Event({ name: 'switched', version: '1' })
    class SwitchedAgain {}
    @Aggregate('lamp')
    class Two {
      static readonly events = { Switched, SwitchedAgain };
    }
    @Aggregate('lamp')
    class Twice {
      static readonly events = { Switched, Other: Switched };
    }
    expect(mistake([Two])).toMatchObject({
      code: 'DUPLICATE_EVENT_TYPE',
      reason: expect.stringMatching(/Two.*Switched and as SwitchedAgain/) as string,
    });
    expect(mistake([Twice]).code).toBe('DUPLICATE_EVENT_TYPE');
  });

  it('AGGREGATE_CONSTRUCTOR: parameters, or a constructor that throws', () => {
    class Lamp {
      static readonly events = { Switched };
      constructor(readonly watts: number) {}
    }
    Aggregate('lamp')(Lamp as never);
    @Aggregate('lamp')
    class Throws {
      static readonly events = { Switched };
      readonly host = (undefined as unknown as { name: string }).name;
    }
    expect(mistake([Lamp])).toMatchObject({
      code: 'AGGREGATE_CONSTRUCTOR',
      reason: expect.stringContaining('Lamp has 1 constructor parameter') as string,
    });
    expect(mistake([Throws])).toMatchObject({
      code: 'AGGREGATE_CONSTRUCTOR',
      cause: expect.any(TypeError) as TypeError,
    });
  });

  it.each([
    ['a Map', () => new Map()],
    ['a Set', () => new Set()],
    ['a function', () => () => 1],
    ['a class instance', () => new Delivered('x')],
    ['a deep function', () => [{ a: () => 1 }]],
    ['a promise', () => Promise.resolve()],
    ['bytes', () => new Uint8Array(1)],
    ['a symbol', () => Symbol('x')],
  ])('STATE_NOT_PLAIN: %s in a new state', (_what, value) => {
    @Aggregate('lamp')
    class Lamp {
      static readonly events = { Switched };
      odd: unknown = value();
    }
    expect(mistake([Lamp])).toMatchObject({
      code: 'STATE_NOT_PLAIN',
      reason: expect.stringMatching(/Lamp holds a .* at odd/) as string,
    });
    expect(
      mistake([
        defineAggregate('lamp', { events: { Switched }, initial: { odd: value() }, fold: { Switched: (s) => s } }),
      ]).code,
    ).toBe('STATE_NOT_PLAIN');
  });

  it('takes plain states: values, arrays, objects, Date, undefined', () => {
    @Aggregate('lamp')
    class Lamp {
      static readonly events = { Switched };
      a?: string;
      b = [1, { c: null }];
      d = new Date(0);
      e = Object.create(null) as object;
    }
    expect(() => new EventRegistry('', [Lamp])).not.toThrow();
  });

  it('INVALID_OPTION: names, versions, orders and wire names that cannot stand', () => {
    @Event({ name: '' })
    class Nameless {}
    @Event({ version: 'a\u0000b' })
    class Nul {}
    @Event({ order: 1.5 })
    class Fraction {}
    @Event({ order: 2 ** 31 })
    class Huge {}
    @Event({ order: 1, initial: true })
    class TwoRanks {}
    @Event()
    class SameWire {
      @WireName('x') @IsString() readonly a!: string;
      @Indexed() readonly x!: string;
    }
    @Event()
    class ProtoWire {
      @WireName('__proto__') readonly a!: string;
    }
    for (const cls of [Nameless, Nul, Fraction, Huge, TwoRanks, SameWire, ProtoWire]) {
      @Aggregate('lamp')
      class Lamp {
        static readonly events = { cls };
      }
      expect(mistake([Lamp]).code, cls.name).toBe('INVALID_OPTION');
    }
    @Aggregate('x'.repeat(129))
    class Long {
      static readonly events = { Switched };
    }
    @Aggregate('lamp', { version: 0 })
    class Zero {
      static readonly events = { Switched };
    }
    expect(mistake([Long]).code).toBe('INVALID_OPTION');
    expect(mistake([Zero]).code).toBe('INVALID_OPTION');
  });

  it('INVALID_OPTION: nested validation, which would see no instance', () => {
    @Event()
    class Nested {
      @ValidateNested() readonly at!: LoadedOntoTruck;
    }
    @Aggregate('lamp')
    class Lamp {
      static readonly events = { Nested };
    }
    expect(mistake([Lamp], { classValidator })).toMatchObject({
      code: 'INVALID_OPTION',
      reason: expect.stringContaining('Nested.at') as string,
    });
  });

  it('a fold that misses a case or has one too many', () => {
    const events = { Switched, ScrewedIn };
    const missing = defineAggregate('lamp', { events, initial: {}, fold: { Switched: (s: object) => s } as never });
    const extra = defineAggregate('lamp', {
      events: { Switched },
      initial: {},
      fold: { Switched: (s: object) => s, ScrewedIn: (s: object) => s } as never,
    });
    expect(mistake([missing])).toMatchObject({
      code: 'INVALID_OPTION',
      reason: expect.stringContaining('ScrewedIn') as string,
    });
    expect(mistake([extra]).code).toBe('EVENT_NOT_LISTED');
  });

  it('UPCASTER_CHAIN: two steps, a gap, a circle, a step from the current version', () => {
    const step = (from: string, to?: string) => {
      class Steps {
        static up(parameters: Parameters): Parameters {
          return parameters;
        }
      }
      const descriptor = Object.getOwnPropertyDescriptor(Steps, 'up')! as TypedPropertyDescriptor<
        (p: Parameters) => Parameters
      >;
      Upcast(Third, to === undefined ? { from } : { from, to })(Steps, 'up', descriptor);
      return Steps;
    };
    @Event({ version: '2' })
    class Third {}
    @Aggregate('lamp')
    class Lamp {
      static readonly events = { Third };
    }
    const chain = (...upcasters: object[]) => mistake([Lamp], { upcasters });
    expect(chain(step('0'), step('0'), step('1'))).toMatchObject({
      code: 'UPCASTER_CHAIN',
      reason: expect.stringContaining('two steps from version "0"') as string,
    });
    expect(chain(step('0'))).toMatchObject({
      code: 'UPCASTER_CHAIN',
      reason: expect.stringContaining('from version "0" to "1"') as string,
    });
    expect(chain(step('0', '1'), step('1', '0'))).toMatchObject({
      code: 'UPCASTER_CHAIN',
      reason: expect.stringContaining('circle') as string,
    });
    expect(chain(step('2'))).toMatchObject({
      code: 'UPCASTER_CHAIN',
      reason: expect.stringContaining('current version') as string,
    });
    expect(() => new EventRegistry('', [Lamp], { upcasters: [step('0'), step('1')] })).not.toThrow();
  });

  it('EVENT_NOT_LISTED: an upcaster on an aggregate that does not list its event', () => {
    @Aggregate('lamp')
    class Lamp {
      static readonly events = { Switched };
      @Upcast(Delivered, { from: 'x', to: '0' }) static up(parameters: Parameters): Parameters {
        return parameters;
      }
    }
    expect(mistake([Lamp]).code).toBe('EVENT_NOT_LISTED');
  });
});
