/** Instances out of foreign data: no user code runs, nothing reaches a prototype, and nobody sees another's changes. */
import { describe, expect, it } from 'vitest';
import { IsOptional, IsString } from 'class-validator';
import * as classValidator from 'class-validator';
import { Aggregate, Coded, Event, Indexed, Thread, WireName } from '../../src/mapping/decorators.js';
import type { EventClass } from '../../src/mapping/event-class.js';
import { EventRegistry } from '../../src/mapping/event-registry.js';
import type { EventModel } from '../../src/mapping/event-registry.js';
import { Upcast } from '../../src/mapping/upcaster.js';
import { bigintCodec, bytesCodec, dateCodec, nullableCodec } from '../../src/model/codecs.js';
import { Fact } from '../../src/model/event.js';
import type { Parameters, WireValue } from '../../src/model/event.js';
import { contextOf } from '../../src/mapping/event-context.js';
import { Delivered, fact, LoadedOntoTruck, registry } from './parcels.js';

function modelOf(cls: EventClass): EventModel {
  @Aggregate('lamp')
  class Lamp {
    static readonly events = { cls };
  }
  return [...new EventRegistry('', [Lamp], { classValidator }).aggregate(Lamp).events.values()][0]!;
}

/** A fact whose content skipped the checks of the border, as another program could have stored it. */
function stored(content: string, version = '0'): Fact {
  const init = fact('x', 0);
  return new Fact({ ...init, tenant: '', version, content } as never);
}

describe('hydrating', () => {
  it('makes an instance of the class with its methods and data', () => {
    @Event()
    class Greeted {
      constructor(readonly name: string) {}
      text() {
        return `hello ${this.name}`;
      }
    }
    const event = modelOf(Greeted).hydrate(stored('{"name":"you"}'));
    expect(event).toBeInstanceOf(Greeted);
    expect(event.constructor).toBe(Greeted);
    expect((event as Greeted).text()).toBe('hello you');
    expect(Object.keys(event)).toEqual(['name']);
  });

  it('never runs the constructor, field initialisers or setters', () => {
    let ran = 0;
    @Event()
    class Nosy {
      readonly made = ++ran;
      constructor(readonly name: string) {
        ran++;
      }
      set level(_value: number) {
        ran++;
      }
      get locked() {
        return 'by the class';
      }
    }
    const event = modelOf(Nosy).hydrate(stored('{"level":3,"locked":"no","name":"x"}'));
    expect(ran).toBe(0);
    expect(Object.getOwnPropertyDescriptor(event, 'level')).toMatchObject({
      value: 3,
      writable: true,
      enumerable: true,
    });
    expect(event).not.toHaveProperty('made');
    expect((event as Nosy).locked).toBe('no');
  });

  it('takes no __proto__, constructor or prototype at any depth', () => {
    @Event()
    class Open {
      readonly deep!: { ok: number };
    }
    const event = modelOf(Open).hydrate(
      stored(
        '{"__proto__":{"admin":true},"constructor":{"x":1},"prototype":{"y":1},"deep":{"__proto__":{"admin":true},"list":[{"constructor":1,"fine":2}],"ok":1}}',
      ),
    );
    expect(Object.keys(event)).toEqual(['deep']);
    expect((event as unknown as { admin?: boolean }).admin).toBeUndefined();
    expect(event.constructor).toBe(Open);
    const deep = (event as Open).deep as unknown as { admin?: boolean; list: object[] };
    expect(deep.admin).toBeUndefined();
    expect(deep).toEqual({ ok: 1, list: [{ fine: 2 }] });
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
  });

  it('takes names that every object inherits as data only when they are sent', () => {
    @Event()
    class Odd {
      @IsOptional() @IsString() readonly toString!: () => string;
      @IsOptional() @IsString() readonly valueOf!: () => object;
    }
    const event = modelOf(Odd).hydrate(stored('{"toString":"text"}'));
    expect(Object.getOwnPropertyDescriptor(event, 'toString')?.value).toBe('text');
    expect(Object.hasOwn(event, 'valueOf')).toBe(false);
    @Event()
    class Unchecked {}
    expect(
      Object.getOwnPropertyDescriptor(modelOf(Unchecked).hydrate(stored('{"toString":"t"}')), 'toString')?.value,
    ).toBe('t');
  });

  it('gives each handler its own copy of nested values', () => {
    @Event()
    class Listed {
      readonly items!: { n: number }[];
    }
    const model = modelOf(Listed);
    const one = stored('{"items":[{"n":1}]}');
    const first = model.hydrate(one) as { items: { n: number }[] };
    first.items[0]!.n = 99;
    first.items.push({ n: 2 });
    expect(model.hydrate(one)).toEqual({ items: [{ n: 1 }] });
    expect(one.parameters).toEqual({ items: [{ n: 1 }] });
  });

  it('drops undeclared keys of a class that declares some, and takes all of one that does not', () => {
    expect(
      Object.keys(registry.aggregate('parcel').events.get('loadedOntoTruck')!.hydrate(stored('{"a":1,"truckId":"T"}'))),
    ).toEqual(['truckId']);
    expect(
      Object.keys(registry.aggregate('parcel').events.get('delivered')!.hydrate(stored('{"a":1,"destinationId":"T"}'))),
    ).toEqual(['a', 'destinationId']);
    @Event()
    class Marked {
      @Indexed() readonly watts!: number;
      @Thread('room') readonly room!: string;
      readonly note!: string;
    }
    const event = modelOf(Marked).hydrate(stored('{"note":"x","room":"r","watts":60}'));
    expect(event).toEqual({ watts: 60, room: 'r' });
  });

  it('gives the context of the fact, with metadata nobody else can be changed through', () => {
    const one = new Fact(
      { ...fact('delivered', 7, {}, { stream: 's', sequence: 2 }), metadata: { traceparent: 'x' } } as never,
      'id',
      9,
    );
    const context = contextOf(one);
    expect(context).toMatchObject({
      tenant: '',
      aggregateType: 'parcel',
      aggregateId: 'p1',
      name: 'delivered',
      at: 7,
      streamId: 's',
      sequence: 2,
      processedAt: 9,
      processingId: 'id',
    });
    expect(context.digest).toBe(one.digest);
    expect(() => ((context.metadata as Record<string, string>)['traceparent'] = 'y')).toThrow(TypeError);
    expect(one.metadata).toEqual({ traceparent: 'x' });
  });
});

describe('wire names and codecs', () => {
  @Event()
  class Scanned {
    @Coded(dateCodec) @WireName('seen') readonly seenAt!: Date;
    @WireName('by') readonly scanner!: string;
  }
  const model = modelOf(Scanned);

  it('go out and come back', () => {
    const wire = model.wire({ seenAt: new Date(0), scanner: 'S7', note: 'n' });
    expect(wire).toEqual({ seen: '1970-01-01T00:00:00.000Z', by: 'S7', note: 'n' });
    expect(model.hydrate(stored(JSON.stringify(wire)))).toEqual({ seenAt: new Date(0), scanner: 'S7', note: 'n' });
    expect(model.unchecked).toBe(true);
  });

  it('take null only through a codec that does', () => {
    @Event()
    class Sent {
      @Coded(nullableCodec(dateCodec)) readonly sentAt!: Date | null;
      @Coded(bigintCodec) readonly cents!: bigint;
      @Coded(bytesCodec) readonly image!: Uint8Array;
    }
    const sent = modelOf(Sent);
    const payload = { sentAt: null, cents: 2n ** 64n, image: new Uint8Array([1, 2]) };
    const wire = sent.wire(payload);
    expect(wire).toEqual({ sentAt: null, cents: '18446744073709551616', image: 'AQI=' });
    expect(sent.hydrate(stored(JSON.stringify(wire)))).toEqual(payload);
    expect(() => sent.wire({ cents: null })).toThrow(/PARAMETER_TYPE.*cents/);
    expect(model.validate({ seen: null })).toMatchObject({ ok: false, code: 'PARAMETER_TYPE', path: 'seen' });
  });

  it('do not let a property in under its own name', () => {
    expect(model.hydrate(stored('{"scanner":"smuggled"}'))).toEqual({});
  });

  it('refuse by validation, with the path in wire form', () => {
    expect(model.validate({ seen: 'yesterday' })).toMatchObject({ ok: false, code: 'PARAMETER_TYPE', path: 'seen' });
    expect(model.validate({ seen: '1970-01-01T00:00:00.000Z' })).toEqual({ ok: true, undeclared: [] });
  });
});

describe('going to wire form', () => {
  it('leaves out undefined where the class declares its keys, and keeps it for refusal elsewhere', () => {
    const events = registry.aggregate('parcel').events;
    expect(
      events
        .get('loadedOntoTruck')!
        .wire(Object.assign(Object.create(LoadedOntoTruck.prototype) as object, { truckId: 'T', bay: undefined })),
    ).toEqual({ truckId: 'T' });
    expect(Object.keys(events.get('delivered')!.wire(new Delivered(undefined as unknown as string)))).toEqual([
      'destinationId',
    ]);
  });

  it('refuses keys that could change a prototype', () => {
    const payload = JSON.parse('{"__proto__":{"admin":true}}') as object;
    expect(() => registry.aggregate('parcel').events.get('delivered')!.wire(payload)).toThrow(/FORBIDDEN_KEY/);
  });
});

describe('upcasting', () => {
  @Event({ version: '2' })
  class Moved {
    @IsString() readonly to!: string;
    @IsString() readonly by!: string;

    @Upcast(Moved, { from: '0' }) static renamed({ dest, ...rest }: Parameters): Parameters {
      return { ...rest, to: dest as WireValue };
    }
    @Upcast(Moved, { from: '1' }) static added(parameters: Parameters): Parameters {
      (parameters as Record<string, WireValue>)['by'] = 'unknown';
      return parameters;
    }
  }
  const model = modelOf(Moved);

  it('goes step by step to the current version before validation and hydration', () => {
    expect(model.hydrate(stored('{"dest":"x"}', '0'))).toEqual({ to: 'x', by: 'unknown' });
    expect(model.hydrate(stored('{"to":"x"}', '1'))).toEqual({ to: 'x', by: 'unknown' });
    expect(model.validate({ dest: 'x' }, '0')).toEqual({ ok: true, undeclared: [] });
    expect(model.validate({ dest: 7 }, '0')).toMatchObject({ ok: false, code: 'PARAMETER_TYPE', path: 'to' });
    expect(['0', '1', '2', '3'].map((version) => model.accepts(version))).toEqual([true, true, true, false]);
  });

  it('never changes what is stored', () => {
    const one = stored('{"to":"x"}', '1');
    model.hydrate(one);
    expect(one.parameters).toEqual({ to: 'x' });
  });

  it('refuses a version that nothing leads from', () => {
    expect(model.validate({ to: 'x', by: 'y' }, '9')).toMatchObject({ ok: false, code: 'UNKNOWN_EVENT_TYPE' });
    expect(() => model.hydrate(stored('{}', '9'))).toThrow(/UNKNOWN_EVENT_TYPE.*"9"[\s\S]*@Upcast\(Moved/);
  });

  it('says which step threw or returned no object', () => {
    @Event({ version: '2' })
    class Bad {
      @Upcast(Bad, { from: '0', to: '2' }) static throws(): Parameters {
        throw new Error('no');
      }
      @Upcast(Bad, { from: '1' }) static returnsNothing(): Parameters {
        return undefined as unknown as Parameters;
      }
    }
    expect(() => modelOf(Bad).hydrate(stored('{}', '0'))).toThrow(/HANDLER_FAILED.*Bad\.throws/);
    expect(() => modelOf(Bad).hydrate(stored('{}', '1'))).toThrow(/HANDLER_FAILED.*Bad\.returnsNothing/);
    expect(modelOf(Bad).validate({}, '0')).toMatchObject({ ok: false, code: 'INVALID_EVENT' });
  });
});
