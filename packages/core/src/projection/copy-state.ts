/** Copies of folded states: plain data below an instance of the aggregate's class (boot checks that it is no more). */

/** By prototype, a constructor that runs nothing: its copies share the layout that V8 gave to the first. */
const makers = new WeakMap<object, new () => Record<string, unknown>>();
let lastPrototype: object | undefined;
let lastMaker: (new () => Record<string, unknown>) | undefined;

function makerOf(prototype: object): new () => Record<string, unknown> {
  if (prototype === lastPrototype) return lastMaker!;
  let maker = makers.get(prototype);
  if (maker === undefined) {
    maker = function () {} as unknown as new () => Record<string, unknown>;
    (maker as { prototype: object }).prototype = prototype;
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
  const copy: Record<string, unknown> =
    prototype === Object.prototype
      ? {}
      : prototype === null
        ? (Object.create(null) as Record<string, unknown>)
        : new (makerOf(prototype))();
  const from = value as Record<string, unknown>;
  for (const key of Object.keys(from)) {
    const field = from[key];
    copy[key] = typeof field === 'object' ? copyState(field) : field;
  }
  return copy as T;
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
