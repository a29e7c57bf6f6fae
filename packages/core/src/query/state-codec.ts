/**
 * States as text and back, for snapshots. What comes back equals what went in exactly: prototype, key order, `undefined`,
 * `-0`, dates, bigints. A state of which that cannot be said is refused, never approximated.
 */
import type { AggregateModel, FoldState } from '../mapping/event-registry.js';
import type { Parameters } from '../model/event.js';
import { ShapeMakers } from '../model/shape-makers.js';

/** Why a state cannot be kept as text. */
export class Unfit extends Error {}

/** `{ "$": [kind, value] }` stands for what JSON lacks; an object with a key `$` of its own is put into one. */
const TAG = '$';
const DEPTH_MAX = 200;

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/**
 * The text of a state.
 * @throws Unfit for functions, symbols, accessors, foreign prototypes, holes, cycles, and for one object at two places: a
 * handler that changes it there would not change both in a copy
 */
export function encodeState(model: AggregateModel, state: FoldState): string {
  const prototype = prototypeOf(model);
  const seen = new Set<object>();
  if (prototype !== undefined) {
    if (Object.getPrototypeOf(state) !== prototype) throw new Unfit('it is no instance of its aggregate class');
    if (hasPrivateFields(model)) throw new Unfit('its class has private fields, which no copy can carry');
    seen.add(state);
    return JSON.stringify(fieldsOf(state, '', seen, 0));
  }
  return JSON.stringify(encode(state, '', seen, 0));
}

/** A fresh state: nothing of it is shared with any other. No constructor runs. @throws SyntaxError, Unfit for text that is no state */
export function decodeState(model: AggregateModel, text: string): FoldState {
  const json = JSON.parse(text) as Json;
  const tagged = text.includes(`"${TAG}"`) || text.includes('"__proto__"');
  const prototype = prototypeOf(model);
  if (prototype === undefined) {
    const state = tagged ? decode(json) : json;
    if (typeof state !== 'object' || state === null) throw new Unfit('the text is no state');
    return state;
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new Unfit('the text is no state');
  const state = Object.create(prototype) as Record<string, unknown>;
  for (const key of Object.keys(json)) put(state, key, tagged ? decode(json[key]!) : json[key]);
  return state;
}

/** States out of snapshots after which their copies are compiled: to read one from its text takes far longer than code that is interpreted still. */
const WARM_STATES = 64;

/** `decodeState` of one text that is asked for again and again: a state of values alone is copied from one read before. */
export class StateMould {
  /** Undefined when the state is to be read from its text each time. */
  private readonly flat: Parameters | undefined;
  private readonly makers: ShapeMakers | undefined;

  constructor(
    private readonly model: AggregateModel,
    private readonly text: string,
  ) {
    const json = JSON.parse(text) as Json;
    if (!isFlat(json) || text.includes(`"${TAG}"`) || text.includes('"__proto__"')) return;
    this.flat = json;
    const prototype = prototypeOf(model);
    if (prototype === undefined) return;
    this.makers = makers.get(model) ?? new ShapeMakers(prototype, (keys) => keys, undefined, WARM_STATES);
    makers.set(model, this.makers);
  }

  /** A fresh state, as `decodeState` makes it. */
  make(): FoldState {
    const { flat } = this;
    if (flat === undefined) return decodeState(this.model, this.text);
    if (this.makers === undefined) return { ...flat };
    const shape = this.makers.of(flat);
    return shape === undefined ? decodeState(this.model, this.text) : new shape.Maker(flat);
  }
}

/** By aggregate, so that the states of all its snapshots share one layout. */
const makers = new WeakMap<AggregateModel, ShapeMakers>();

function isFlat(json: Json): json is Exclude<Json, Json[]> & Parameters {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return false;
  return Object.values(json).every((value) => typeof value !== 'object' || value === null);
}

/** The prototype of a class state; undefined for a pure fold. */
function prototypeOf(model: AggregateModel): object | undefined {
  return typeof model.target === 'function' ? (model.target.prototype as object) : undefined;
}

const privates = new WeakMap<object, boolean>();

function hasPrivateFields(model: AggregateModel): boolean {
  let known = privates.get(model);
  if (known === undefined) {
    known = false;
    for (let cls: unknown = model.target; typeof cls === 'function'; cls = Object.getPrototypeOf(cls)) {
      if (/\.#[A-Za-z_$]/.test(Function.prototype.toString.call(cls))) known = true;
    }
    privates.set(model, known);
  }
  return known;
}

/** A key like `__proto__` would change the prototype where it is assigned. */
function put(target: Record<string, unknown>, key: string, value: unknown): void {
  if (key === '__proto__') throw new Unfit('it has a key __proto__');
  target[key] = value;
}

function encode(value: unknown, path: string, seen: Set<object>, depth: number): Json {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0)
        ? value
        : { [TAG]: ['number', Object.is(value, -0) ? '-0' : String(value)] };
    case 'undefined':
      return { [TAG]: ['undefined'] };
    case 'bigint':
      return { [TAG]: ['bigint', String(value)] };
    case 'function':
    case 'symbol':
      throw new Unfit(`it holds a ${typeof value} at ${path}`);
    case 'object':
      if (value === null) return null;
  }
  const object = value as object;
  if (depth > DEPTH_MAX) throw new Unfit(`it is nested too deep at ${path.slice(0, 80)}`);
  if (seen.has(object)) throw new Unfit(`one object is at two places, one of them ${path}`);
  seen.add(object);
  const prototype: unknown = Object.getPrototypeOf(object);
  if (object instanceof Date) {
    if (prototype !== Date.prototype || Reflect.ownKeys(object).length > 0) throw new Unfit(`an odd date at ${path}`);
    const ms = object.getTime();
    return { [TAG]: ['date', Number.isNaN(ms) ? null : ms] };
  }
  if (Array.isArray(object)) {
    if (prototype !== Array.prototype || Reflect.ownKeys(object).length !== object.length + 1) {
      throw new Unfit(`an array with holes or keys at ${path}`);
    }
    return object.map((item, i) => encode(item, `${path}[${i}]`, seen, depth + 1));
  }
  if (prototype !== null && prototype !== Object.prototype) {
    throw new Unfit(`it holds an instance of a class at ${path}`);
  }
  const fields = fieldsOf(object, path, seen, depth + 1);
  if (prototype === null) return { [TAG]: ['bare', fields] };
  return Object.hasOwn(fields, TAG) ? { [TAG]: ['object', fields] } : fields;
}

function fieldsOf(object: object, path: string, seen: Set<object>, depth: number): { [key: string]: Json } {
  const keys = Reflect.ownKeys(object);
  const fields: { [key: string]: Json } = {};
  for (const key of keys) {
    const at = path === '' ? String(key) : `${path}.${String(key)}`;
    const own = Object.getOwnPropertyDescriptor(object, key)!;
    if (typeof key === 'symbol' || own.enumerable !== true || !('value' in own)) {
      throw new Unfit(`it has a hidden or computed property at ${at}`);
    }
    put(fields, key, encode(own.value, at, seen, depth));
  }
  return fields;
}

function decode(json: Json): unknown {
  if (typeof json !== 'object' || json === null) return json;
  if (Array.isArray(json)) return json.map(decode);
  const tag = json[TAG];
  if (tag === undefined) return decodeFields(json, {});
  if (!Array.isArray(tag)) throw new Unfit('the text is no state');
  const [kind, value] = tag;
  switch (kind) {
    case 'undefined':
      return undefined;
    case 'number':
      return Number(value);
    case 'bigint':
      return BigInt(value as string);
    case 'date':
      return new Date(value === null ? Number.NaN : (value as number));
    case 'object':
      return decodeFields(value as { [key: string]: Json }, {});
    case 'bare':
      return decodeFields(value as { [key: string]: Json }, Object.create(null) as Record<string, unknown>);
    default:
      throw new Unfit('the text is no state');
  }
}

function decodeFields(json: { [key: string]: Json }, into: Record<string, unknown>): Record<string, unknown> {
  for (const key of Object.keys(json)) put(into, key, decode(json[key]!));
  return into;
}
