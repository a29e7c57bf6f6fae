/**
 * Constructors for the shapes that parameters and states come in: each assigns a known list of keys by name, which V8
 * compiles to as many plain stores, where a copy key by key looks every one of them up. For whatever is copied again and
 * again: what the receiver takes, instances of events, states of folds and out of snapshots.
 */
import { isForbiddenKey } from './canonical-json.js';
import type { Parameters } from './wire-value.js';

/** Makes an instance that has its own copy of these parameters: without a `check`, none of them may be an array or object. */
export type ShapeMaker = new (parameters: Parameters, tally?: unknown) => object;

/** One list of keys, and how its instances are made. */
export interface Shape {
  readonly keys: readonly string[];
  /** Of all keys together. */
  readonly characters: number;
  readonly Maker: ShapeMaker;
  /** What the makers asked last make of instances of this one: it need not be looked for. */
  next: Shape | undefined;
  nextOf: ShapeMakers | undefined;
}

/** Shapes of one class that are compiled; events of further ones are copied key by key. */
const SHAPES_MAX = 4;
const KEYS_MAX = 64;
/**
 * Events of one class after which its shapes are worth compiling. That takes some 30 µs each, and V8 interprets the code until
 * it has run some thousand times, slower than a copy: of 500 classes each of which comes now and then, all would be interpreted.
 */
const WARM_EVENTS = 10_000;
/** Keys come from senders and from what is stored: only these, but those that reach a prototype, are ever written into code. */
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
   * @param check each value goes through it, with what the maker is given beside the parameters; undefined: values are kept as they are
   * @param warm instances after which a shape is compiled: fewer where the other way to make one is slow
   */
  constructor(
    private readonly prototype: object,
    private readonly assigned: (keys: readonly string[]) => readonly string[],
    private readonly check?: (value: unknown, tally: never) => unknown,
    private readonly warm = WARM_EVENTS,
  ) {}

  /**
   * The shape of these parameters; undefined when they are to be copied key by key.
   * @param parameters without a key that could reach a prototype
   */
  of(parameters: Parameters): Shape | undefined {
    return this.find(parameters) ?? this.learn(parameters);
  }

  /** The same as `of`, for parameters that were made by another list of makers in this shape. */
  ofMade(parameters: Parameters, made: Shape): Shape | undefined {
    if (made.nextOf === this) return made.next;
    const shape = this.of(parameters);
    if (shape !== undefined) {
      made.next = shape;
      made.nextOf = this;
    }
    return shape;
  }

  /** The shape of these parameters, which may have any keys, if it is compiled. */
  find(parameters: Parameters): Shape | undefined {
    const { shapes } = this;
    for (let s = 0; s < shapes.length; s++) {
      const { keys } = shapes[s]!;
      let i = 0;
      for (const key in parameters) {
        if (key !== keys[i]) {
          i = -1;
          break;
        }
        i++;
      }
      if (i === keys.length) return shapes[s];
    }
    return undefined;
  }

  /** Takes note of a shape that is not compiled; the shape, when this compiled it. The keys are as `of` says. */
  learn(parameters: Parameters): Shape | undefined {
    if (this.closed || ++this.seen < this.warm) return undefined;
    return this.compile(Object.keys(parameters));
  }

  private compile(keys: readonly string[]): Shape | undefined {
    if (keys.length > KEYS_MAX || !keys.every((key) => IDENTIFIER.test(key) && !isForbiddenKey(key))) {
      this.closed = true;
      return undefined;
    }
    let Maker: ShapeMaker;
    try {
      const { check } = this;
      const stores = this.assigned(keys).map((key) =>
        check === undefined ? `this.${key} = parameters.${key};` : `this.${key} = check(parameters.${key}, tally);`,
      );
      // Nothing but names that passed the pattern is written into it, so no stored text is ever run.
      const text = `'use strict'; return function (parameters, tally) { ${stores.join(' ')} };`;
      // eslint-disable-next-line typescript/no-implied-eval
      Maker = (new Function('check', text) as (check: unknown) => ShapeMaker)(check);
    } catch {
      this.closed = true;
      return undefined;
    }
    (Maker as { prototype: object }).prototype = this.prototype;
    const shape: Shape = { keys, characters: keys.join('').length, Maker, next: undefined, nextOf: undefined };
    this.shapes.push(shape);
    if (this.shapes.length === SHAPES_MAX) this.closed = true;
    return shape;
  }
}
