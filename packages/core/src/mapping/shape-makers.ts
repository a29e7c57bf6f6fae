/**
 * Constructors for the shapes that an event's parameters come in: each assigns a known list of keys by name, which V8
 * compiles to as many plain stores, where a copy key by key looks every one of them up. Used by hydration.ts.
 */
import type { Parameters } from '../model/event.js';

/** Makes an instance that has its own copy of these parameters, none of which is an array or object. */
export type ShapeMaker = new (parameters: Parameters) => object;

interface Shape {
  readonly keys: readonly string[];
  readonly Maker: ShapeMaker;
}

/** Shapes of one class that are compiled; events of further ones are copied key by key. */
const SHAPES_MAX = 4;
const KEYS_MAX = 64;
/**
 * Events of one class after which its shapes are worth compiling. That takes some 30 µs each, and V8 interprets the code until
 * it has run some thousand times, slower than a copy: of 500 classes each of which comes now and then, all would be interpreted.
 */
const WARM_EVENTS = 10_000;
/** Keys come from stored events: only these are ever written into code. */
const IDENTIFIER = /^[A-Za-z_$][\w$]{0,63}$/;

/** The makers of one class. Where code may not be made of text (a page's policy, a runtime's flag) there are none. */
export class ShapeMakers {
  private readonly shapes: Shape[] = [];
  private seen = 0;
  /** No further shape is compiled: there are enough, or one cannot be. */
  private closed = false;

  /**
   * @param prototype one that intercepts no store
   * @param assigned of the keys of some parameters, those that an instance gets, in its order
   */
  constructor(
    private readonly prototype: object,
    private readonly assigned: (keys: readonly string[]) => readonly string[],
  ) {}

  /**
   * The maker for the keys of these parameters; undefined when they are to be copied key by key.
   * @param parameters without a key that could reach a prototype
   */
  of(parameters: Parameters): ShapeMaker | undefined {
    const { shapes } = this;
    for (let s = 0; s < shapes.length; s++) {
      const { keys, Maker } = shapes[s]!;
      let i = 0;
      for (const key in parameters) {
        if (key !== keys[i]) {
          i = -1;
          break;
        }
        i++;
      }
      if (i === keys.length) return Maker;
    }
    if (this.closed || ++this.seen < WARM_EVENTS) return undefined;
    return this.compile(Object.keys(parameters));
  }

  private compile(keys: readonly string[]): ShapeMaker | undefined {
    if (keys.length > KEYS_MAX || !keys.every((key) => IDENTIFIER.test(key))) {
      this.closed = true;
      return undefined;
    }
    let Maker: ShapeMaker;
    try {
      const stores = this.assigned(keys).map((key) => `this.${key} = parameters.${key};`);
      // Nothing but names that passed the pattern is written into it, so no stored text is ever run.
      // eslint-disable-next-line typescript/no-implied-eval
      Maker = new Function('parameters', `'use strict'; ${stores.join(' ')}`) as unknown as ShapeMaker;
    } catch {
      this.closed = true;
      return undefined;
    }
    (Maker as { prototype: object }).prototype = this.prototype;
    this.shapes.push({ keys, Maker });
    if (this.shapes.length === SHAPES_MAX) this.closed = true;
    return Maker;
  }
}
