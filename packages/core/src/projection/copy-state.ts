/** Copies of folded states: plain data below an instance of the aggregate's class (boot checks that it is no more). */

import type { Parameters } from '../model/event.js';
import { ShapeMakers } from '../model/shape-makers.js';

/** What makes the copies of one class. */
interface Maker {
  /** Runs nothing: its copies share the layout that V8 gave to the first. */
  readonly Empty: new () => Record<string, unknown>;
  readonly shapes: ShapeMakers;
}

/** By prototype. */
const makers = new WeakMap<object, Maker>();
let lastPrototype: object | undefined;
let lastMaker: Maker | undefined;

function makerOf(prototype: object): Maker {
  if (prototype === lastPrototype) return lastMaker!;
  let maker = makers.get(prototype);
  if (maker === undefined) {
    const Empty = function () {} as unknown as Maker['Empty'];
    (Empty as { prototype: object }).prototype = prototype;
    maker = { Empty, shapes: new ShapeMakers(prototype, (keys) => keys, copyState) };
    makers.set(prototype, maker);
  }
  lastPrototype = prototype;
  lastMaker = maker;
  return maker;
}

/** A deep copy of plain data that keeps each object's class. */
export function copyState<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(copyState) as T;
  if (value instanceof Date) return new Date(value.getTime()) as T;
  const prototype: object | null = Object.getPrototypeOf(value) as object | null;
  if (prototype === Object.prototype) return copyInto({}, value) as T;
  if (prototype === null) return copyInto(Object.create(null) as Record<string, unknown>, value) as T;
  const { Empty, shapes } = makerOf(prototype);
  const shape = shapes.of(value as unknown as Parameters);
  return (shape === undefined ? copyInto(new Empty(), value) : new shape.Maker(value as unknown as Parameters)) as T;
}

function copyInto(copy: Record<string, unknown>, value: object): object {
  const from = value as Record<string, unknown>;
  for (const key of Object.keys(from)) {
    const field = from[key];
    copy[key] = typeof field === 'object' ? copyState(field) : field;
  }
  return copy;
}

/** About what a state takes on the heap. */
export function stateBytes(value: unknown): number {
  if (typeof value === 'string') return 16 + value.length;
  if (typeof value !== 'object' || value === null) return 8;
  let bytes = 32;
  if (Array.isArray(value)) for (const one of value as unknown[]) bytes += 8 + stateBytes(one);
  else for (const key of Object.keys(value)) bytes += 8 + stateBytes((value as Record<string, unknown>)[key]);
  return bytes;
}
