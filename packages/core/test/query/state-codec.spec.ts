/** States as text: what comes back is exactly what went in, or the state is refused. */
import { describe, expect, it } from 'vitest';
import { Aggregate, defineAggregate, Event, EventHandler, EventRegistry, type AggregateModel } from '@concursus/core';
import { decodeState, encodeState, StateMould, Unfit } from '../../src/query/state-codec.js';

@Event()
class Happened {}

@Aggregate('box')
class Box {
  static made = 0;
  static readonly events = { Happened };
  content: unknown = undefined;
  constructor() {
    Box.made++;
  }
  @EventHandler(Happened) happened(): void {}
  describe(): string {
    return `a box of ${String(this.content)}`;
  }
}

@Aggregate('safe')
class Safe {
  static readonly events = { Happened };
  #code = 1;
  @EventHandler(Happened) happened(): void {
    this.#code++;
  }
  get code(): number {
    return this.#code;
  }
}

const modelOf = (target: object): AggregateModel =>
  new EventRegistry('spec', [target as never]).aggregate(target) as unknown as AggregateModel;
const box = modelOf(Box);
const fold = modelOf(
  defineAggregate('fold', { events: { Happened }, initial: { a: 1 } as object, fold: { Happened: (state) => state } }),
);
const shared = {};
const boxOf = (content: unknown): Box => Object.assign(new Box(), { content });

describe('a state as text', () => {
  it.each([
    [
      'text, numbers, booleans and null',
      ['a', '', '\u{1f600}', '\ud800', 1, -0, 1e21, Number.NaN, Infinity, true, null],
    ],
    ['what JSON lacks', { a: undefined, b: new Date(5), c: new Date(Number.NaN), d: 12n, e: -Infinity }],
    ['objects that look like the codec’s own', { $: ['date', 5], a: { $: 1, b: new Date(7) }, '"$"': 1 }],
    ['objects without a prototype', Object.assign(Object.create(null), { a: 1, b: undefined })],
    ['keys in their order', { z: 1, a: 2, '10': 3, '2': 4, constructor: 5, toString: 6 }],
    ['nesting', [[[{ a: [{}] }]], [], {}]],
  ])('brings back %s', (_, content) => {
    const state = boxOf(content);
    const back = decodeState(box, encodeState(box, state));
    expect(back).toStrictEqual(state);
    expect(JSON.stringify(Object.keys((back as Box).content as object))).toBe(JSON.stringify(Object.keys(content)));
    expect(encodeState(box, back)).toBe(encodeState(box, state));
  });

  it.each([
    ['of values alone', { z: 1, a: 'x', text: null, made: false }],
    ['with one in it that JSON lacks', { at: new Date(5), none: undefined }],
    ['with a list in it', { list: [1] }],
  ])('comes out of a mould as it comes from the text, however often: a state %s', (_, fields) => {
    for (const [model, state] of [
      [box, Object.assign(new Box(), fields)],
      [box, Object.assign(Object.create(Box.prototype) as object, fields)],
      [fold, { ...fields }],
    ] as const) {
      const text = encodeState(model, state);
      const mould = new StateMould(model, text);
      // Often enough that its constructor is compiled.
      for (let i = 0; i < 200; i++) {
        const made = mould.make() as Record<string, unknown>;
        if (i % 50 === 0) {
          expect(made).toStrictEqual(decodeState(model, text));
          expect(encodeState(model, made)).toBe(text);
        }
        made['a'] = 'another';
        (made['list'] as number[] | undefined)?.push(2);
      }
    }
  });

  it('gives a class state its methods back and runs no constructor', () => {
    const text = encodeState(box, boxOf(1));
    const { made } = Box;
    const back = decodeState(box, text) as Box;
    expect(back).toBeInstanceOf(Box);
    expect(back.describe()).toBe('a box of 1');
    expect(Box.made).toBe(made);
  });

  it('makes a state of its own each time', () => {
    const text = encodeState(box, boxOf({ list: [1] }));
    const one = decodeState(box, text) as { content: { list: number[] } };
    one.content.list.push(2);
    expect((decodeState(box, text) as typeof one).content.list).toEqual([1]);
    const pure = encodeState(fold, { a: [1] });
    (decodeState(fold, pure) as { a: number[] }).a.push(2);
    expect(decodeState(fold, pure)).toEqual({ a: [1] });
  });

  it.each([
    ['a function', () => () => 1],
    ['a symbol', () => Symbol('a')],
    ['a map', () => new Map()],
    ['another class', () => new (class Other {})()],
    ['one object at two places', () => [shared, shared]],
    ['a cycle', () => ((x: unknown[]) => (x.push(x), x))([])],
    ['an array with a hole', () => new Array(3)],
    [
      'a computed property',
      () => ({
        get a() {
          return 1;
        },
      }),
    ],
    ['a hidden property', () => Object.defineProperty({}, 'a', { value: 1 })],
    ['a key that is a symbol', () => ({ [Symbol('a')]: 1 })],
    ['a key __proto__', () => JSON.parse('{"__proto__":{"admin":true}}') as object],
  ])('refuses %s', (_, content) => {
    expect(() => encodeState(box, boxOf(content()))).toThrow(Unfit);
  });

  it('refuses a state that is no instance of its class, and one with private fields', () => {
    expect(() => encodeState(box, { content: 1 })).toThrow(Unfit);
    expect(() => encodeState(modelOf(Safe), new Safe())).toThrow(/private/);
  });

  it('never lets a stored text change a prototype', () => {
    const hostile = '{"__proto__":{"admin":true}}';
    for (const text of [hostile, `{"content":${hostile}}`, `{"content":{"a":{"$":["object",${hostile}]}}}`]) {
      expect(() => decodeState(box, text)).toThrow(Unfit);
    }
  });
});
