/** Parameters are judged by class-validator's decorators or a Standard Schema, with code, path and fix. */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { describe, expect, it } from 'vitest';
import { Allow, IsString, Validate, ValidatorConstraint, type ValidatorConstraintInterface } from 'class-validator';
import * as classValidator from 'class-validator';
import { Aggregate, Event, WireName } from '../../src/mapping/decorators.js';
import type { EventClass } from '../../src/mapping/event-class.js';
import { EventRegistry } from '../../src/mapping/event-registry.js';
import type { EventModel } from '../../src/mapping/event-registry.js';
import { Fact } from '../../src/model/event.js';
import { fact, registry } from './parcels.js';

function modelOf(cls: EventClass): EventModel {
  @Aggregate('lamp')
  class Lamp {
    static readonly events = { cls };
  }
  return [...new EventRegistry('', [Lamp], { classValidator }).aggregate(Lamp).events.values()][0]!;
}

const loaded = registry.aggregate('parcel').events.get('loadedOntoTruck')!;
const failed = registry.aggregate('parcel').events.get('deliveryFailed')!;

describe('class-validator', () => {
  it('passes what the class declares', () => {
    expect(loaded.validate({ truckId: 'T' })).toEqual({ ok: true, undeclared: [] });
    expect(loaded.validate({ truckId: 'T', bay: 9 })).toEqual({ ok: true, undeclared: [] });
    expect(loaded.validate({ truckId: 'T', bay: null })).toEqual({ ok: true, undeclared: [] });
  });

  it('names what is missing and what is of another type', () => {
    expect(loaded.validate({})).toMatchObject({
      ok: false,
      code: 'PARAMETER_MISSING',
      path: 'truckId',
      reason: expect.stringContaining('truckId must be a string') as string,
    });
    expect(loaded.validate({ truckId: 7 })).toMatchObject({ ok: false, code: 'PARAMETER_TYPE', path: 'truckId' });
    expect(loaded.validate({ truckId: 'T', bay: 10 })).toMatchObject({
      ok: false,
      code: 'PARAMETER_TYPE',
      path: 'bay',
    });
    expect(failed.validate({ reason: 'rain' })).toMatchObject({ ok: false, path: 'reason' });
  });

  it('lists undeclared keys, or refuses them where the class says so', () => {
    expect(loaded.validate({ truckId: 'T', colour: 'red', driver: 1 })).toEqual({
      ok: true,
      undeclared: ['colour', 'driver'],
    });
    @Event({ onUndeclared: 'reject' })
    class Strict {
      @Allow() readonly a!: unknown;
    }
    expect(modelOf(Strict).validate({ a: 1 })).toEqual({ ok: true, undeclared: [] });
    expect(modelOf(Strict).validate({ a: 1, b: 2 })).toMatchObject({
      ok: false,
      code: 'PARAMETER_UNDECLARED',
      path: 'b',
    });
  });

  it('does not refuse a class without decorators, and does not see them without the library', () => {
    const delivered = registry.aggregate('parcel').events.get('delivered')!;
    expect(delivered.validate({ anything: [1] })).toEqual({ ok: true, undeclared: [] });
    @Event()
    class Typed {
      @IsString() readonly a!: string;
    }
    @Aggregate('lamp')
    class Lamp {
      static readonly events = { Typed };
    }
    const bare = new EventRegistry('', [Lamp]).aggregate(Lamp).events.get('typed')!;
    expect(bare.unchecked).toBe(true);
    expect(bare.validate({ a: 1 })).toMatchObject({ ok: true });
  });

  it('speaks of wire names', () => {
    @Event()
    class Renamed {
      @WireName('w') @IsString() readonly watts!: string;
    }
    const renamed = modelOf(Renamed);
    expect(renamed.validate({ w: 'x' })).toEqual({ ok: true, undeclared: [] });
    expect(renamed.validate({ watts: 'x' })).toMatchObject({ ok: false, code: 'PARAMETER_MISSING', path: 'w' });
    expect([...renamed.declaredKeys!]).toEqual(['w']);
  });

  it('waits for asynchronous constraints instead of skipping them', async () => {
    @ValidatorConstraint({ async: true })
    class Known implements ValidatorConstraintInterface {
      validate(value: unknown) {
        return Promise.resolve(value === 'known');
      }
    }
    @Event()
    class Checked {
      @Validate(Known) readonly id!: string;
    }
    const checked = modelOf(Checked);
    await expect(checked.validate({ id: 'known' })).resolves.toEqual({ ok: true, undeclared: [] });
    await expect(checked.validate({ id: 'other' })).resolves.toMatchObject({
      ok: false,
      code: 'PARAMETER_TYPE',
      path: 'id',
    });
  });

  it('answers when a validator throws', () => {
    @ValidatorConstraint()
    class Throws implements ValidatorConstraintInterface {
      validate(): boolean {
        throw new Error('broken rule');
      }
    }
    @Event()
    class Broken {
      @Validate(Throws) readonly id!: string;
    }
    expect(modelOf(Broken).validate({ id: 'x' })).toMatchObject({
      ok: false,
      code: 'INVALID_EVENT',
      reason: expect.stringContaining('broken rule') as string,
    });
  });

  it('answers parameters that are no object', () => {
    for (const odd of [null, [], 'text', 7]) {
      expect(loaded.validate(odd as never)).toMatchObject({ ok: false, code: 'PARAMETER_TYPE', path: '' });
    }
  });
});

/** A schema by hand: `watts` a number, other keys dropped. */
function wattsSchema(asynchronous: boolean): StandardSchemaV1 {
  const judge = (value: unknown): StandardSchemaV1.Result<unknown> => {
    const watts = (value as { watts?: unknown }).watts;
    return typeof watts === 'number'
      ? { value: { watts } }
      : { issues: [{ message: 'Expected number', path: [{ key: 'watts' }] }] };
  };
  return {
    '~standard': {
      version: 1,
      vendor: 'by hand',
      validate: (value) => (asynchronous ? Promise.resolve(judge(value)) : judge(value)),
    },
  };
}

describe('a Standard Schema', () => {
  @Event({ schema: wattsSchema(false) })
  class Switched {
    @WireName('w') readonly watts!: number;
  }
  const switched = modelOf(Switched);

  it('judges data under property names and answers in wire names', () => {
    expect(switched.validate({ w: 60 })).toEqual({ ok: true, undeclared: [] });
    expect(switched.validate({ w: 'x' })).toMatchObject({
      ok: false,
      code: 'PARAMETER_TYPE',
      path: 'w',
      reason: expect.stringContaining('Expected number') as string,
    });
    expect(switched.validate({})).toMatchObject({ ok: false, code: 'PARAMETER_MISSING', path: 'w' });
    expect(switched.unchecked).toBe(false);
  });

  it('drops and lists the keys its output has not', () => {
    expect(switched.validate({ w: 60, extra: 1 })).toEqual({ ok: true, undeclared: ['extra'] });
    const stored = new Fact({ ...fact('switched', 0), content: '{"extra":1,"w":60}' } as never);
    expect(switched.hydrate(stored)).toEqual({ watts: 60 });
    @Event({ schema: wattsSchema(false), onUndeclared: 'reject' })
    class Strict {}
    expect(modelOf(Strict).validate({ watts: 1, extra: 1 })).toMatchObject({
      ok: false,
      code: 'PARAMETER_UNDECLARED',
      path: 'extra',
    });
  });

  it('keeps every key of an event stored before the schema was tightened', () => {
    const stored = new Fact({ ...fact('switched', 0), content: '{"w":"sixty"}' } as never);
    expect(switched.hydrate(stored)).toEqual({ watts: 'sixty' });
  });

  it('may be asynchronous', async () => {
    @Event({ schema: wattsSchema(true) })
    class Later {}
    const later = modelOf(Later);
    await expect(later.validate({ watts: 1, x: 1 })).resolves.toEqual({ ok: true, undeclared: ['x'] });
    await expect(later.validate({})).resolves.toMatchObject({ ok: false, code: 'PARAMETER_MISSING' });
  });
});
