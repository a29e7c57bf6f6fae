/** Whether the constructor that copies an event's parameters was compiled or not, the instance is the same. */
import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import type { FieldMeta } from '../../src/mapping/decorators.js';
import { Hydrator } from '../../src/mapping/hydration.js';
import { ShapeMakers } from '../../src/model/shape-makers.js';
import type { Parameters } from '../../src/model/event.js';

const WARM = 10_000;
const NONE: ReadonlyMap<string, FieldMeta> = new Map();

class Lamp {
  text(): string {
    return 'a lamp';
  }
}

const keys = fc.oneof(
  fc.constantFrom('a', 'b', 'class', 'text', '$x', '_', 'with space', 'a-b', '0', "'];throw 1;//", 'toString'),
  fc.string({ maxLength: 6 }).filter((key) => !['__proto__', 'constructor', 'prototype'].includes(key)),
);
const shapes = fc.array(
  fc.uniqueArray(fc.tuple(keys, fc.oneof(fc.string(), fc.integer(), fc.constant(null), fc.boolean())), {
    selector: ([key]) => key,
    maxLength: 6,
  }),
  { minLength: 1, maxLength: 7 },
);

function seen(instance: object): unknown {
  return [
    Object.getPrototypeOf(instance) === Lamp.prototype,
    Object.getOwnPropertyDescriptors(instance),
    Object.keys(instance),
  ];
}

describe('the makers of an event class', () => {
  it('give what a copy key by key gives, for any keys and shapes', () => {
    fc.assert(
      fc.property(shapes, fc.boolean(), (lists, declares) => {
        const declared = declares ? new Set(['b', 'a', 'text', 'missing']) : undefined;
        const many = lists.map((entries) => Object.fromEntries(entries) as Parameters);
        // One that stays cold, by taking each shape once, and one that is warmed up by the first shapes.
        const warm = new Hydrator(Lamp as never, NONE, declared);
        for (let i = 0; i < WARM; i++) warm.hydrate(many[i % many.length]!, true);
        for (const parameters of many) {
          const cold = new Hydrator(Lamp as never, NONE, declared).hydrate(parameters, true);
          const one = warm.hydrate(parameters, true);
          const other = warm.hydrate(parameters, true);
          expect(seen(one)).toEqual(seen(cold));
          expect(other).not.toBe(one);
        }
      }),
    );
  });

  it('compile the shapes that come often, a few of them, and no key that is no plain name', () => {
    const makers = new ShapeMakers(Lamp.prototype, (all) => all);
    for (let i = 0; i < WARM; i++) makers.of({ a: i });
    expect(makers.of({ a: 1 })).toBeDefined();
    expect(makers.of({ a: 1, b: 2 })).toBeDefined();
    expect(makers.of({ c: 1 })).toBeDefined();
    expect(makers.of({ d: 1 })).toBeDefined();
    expect(makers.of({ e: 1 })).toBeUndefined();
    expect(makers.of({ a: 1 })).toBe(makers.of({ a: 2 }));
    expect(makers.of({ b: 1, a: 2 })).toBeUndefined();
    const others = new ShapeMakers(Lamp.prototype, (all) => all);
    for (let i = 0; i < WARM; i++) expect(others.of({ "a'];b": i })).toBeUndefined();
    const reaching = new ShapeMakers(Lamp.prototype, (all) => all);
    const own = JSON.parse('{"__proto__":1}') as Parameters;
    for (let i = 0; i <= WARM; i++) expect(reaching.of(own)).toBeUndefined();
  });

  it('are left out where code may not be made of text', () => {
    const { Function: allowed } = globalThis;
    const makers = new ShapeMakers(Lamp.prototype, (all) => all);
    globalThis.Function = function () {
      throw new EvalError('Code generation from strings disallowed for this context');
    } as never;
    try {
      for (let i = 0; i < WARM; i++) expect(makers.of({ a: i })).toBeUndefined();
    } finally {
      globalThis.Function = allowed;
    }
    expect(makers.of({ a: 1 })).toBeUndefined();
  });
});
