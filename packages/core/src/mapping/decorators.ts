/**
 * The decorators of events and aggregates, and their readers. Before stop 1 of the walk: a decorator only records, on
 * the class itself and nowhere else; the explorer finds, the registry checks. There is no process-global list, so a
 * module evaluated twice, or two installed versions of this package, do not disturb each other.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { Codec } from '../model/codecs.js';
import type { ConflictPolicy } from '../model/effective-facts.js';
import { ConfigurationError } from '../model/errors.js';
import type { AggregateClass, AggregateLike, EventClass } from './event-class.js';
import { nameOf } from './event-class.js';
import type { CorrectionContext, EffectContext, EventContext } from './event-context.js';

const EVENT = Symbol.for('concursus.event');
const AGGREGATE = Symbol.for('concursus.aggregate');
const HANDLERS = Symbol.for('concursus.handlers');
const CORRECTIONS = Symbol.for('concursus.corrections');
const FIELDS = Symbol.for('concursus.fields');

/** Records under a symbol of the class itself: a subclass starts with nothing of its own. */
function ownRecord<T extends object>(target: object, key: symbol, make: () => T): T {
  if (!Object.hasOwn(target, key)) Object.defineProperty(target, key, { value: make() });
  return (target as Record<symbol, T>)[key]!;
}

function readOwn<T>(target: unknown, key: symbol): T | undefined {
  if ((typeof target !== 'function' && typeof target !== 'object') || target === null) return undefined;
  return Object.hasOwn(target, key) ? (target as Record<symbol, T>)[key] : undefined;
}

export interface EventOptions {
  /** Default: the class name with its first letter in lower case. */
  readonly name?: string;
  /** Default '0'. */
  readonly version?: string;
  /** The event that begins a history; it folds first. A history without it is marked incomplete. */
  readonly initial?: boolean;
  /** The event that ends a history; it folds last. */
  readonly terminal?: boolean;
  /** A causal rank among the events of its aggregate: folds after the initial event and before plain ones, by this number. */
  readonly order?: number;
  /** Validates the parameters, in place of class-validator. */
  readonly schema?: StandardSchemaV1;
  /** What becomes of keys the class does not declare: dropped and listed in the outcome (default), or the event rejected with `PARAMETER_UNDECLARED`. */
  readonly onUndeclared?: 'drop' | 'reject';
}

/** What `@Event` and its companions recorded, with defaults filled in. */
export interface EventMeta {
  readonly name: string;
  readonly version: string;
  readonly initial: boolean;
  readonly terminal: boolean;
  readonly order: number | undefined;
  readonly schema: StandardSchemaV1 | undefined;
  readonly onUndeclared: 'drop' | 'reject';
}

interface EventRecorded {
  declared: boolean;
  options: EventOptions;
}

function recordEvent(target: object, options: EventOptions, declared: boolean): void {
  const recorded = ownRecord<EventRecorded>(target, EVENT, () => ({ declared: false, options: {} }));
  recorded.options = { ...recorded.options, ...options };
  recorded.declared ||= declared;
}

/** Marks a class as an event. Its data are its own properties; its constructor is never run on foreign data. */
export function Event(options: EventOptions = {}) {
  return (target: EventClass): void => recordEvent(target, options, true);
}

/** The same as `@Event({ initial: true })`, beside `@Event()`. */
export function Initial() {
  return (target: EventClass): void => recordEvent(target, { initial: true }, false);
}

/** The same as `@Event({ terminal: true })`, beside `@Event()`. */
export function Terminal() {
  return (target: EventClass): void => recordEvent(target, { terminal: true }, false);
}

/** The same as `@Event({ order: n })`, beside `@Event()`. */
export function Ordered(n: number) {
  return (target: EventClass): void => recordEvent(target, { order: n }, false);
}

/** What was recorded on this very class, or undefined: a subclass of an event is no event until it says so. */
export function eventMetaOf(cls: unknown): EventMeta | undefined {
  const recorded = readOwn<EventRecorded>(cls, EVENT);
  if (recorded === undefined || !recorded.declared || typeof cls !== 'function') return undefined;
  const { name, version, initial, terminal, order, schema, onUndeclared } = recorded.options;
  return {
    name: name ?? cls.name.charAt(0).toLowerCase() + cls.name.slice(1),
    version: version ?? '0',
    initial: initial ?? false,
    terminal: terminal ?? false,
    order,
    schema,
    onUndeclared: onUndeclared ?? 'drop',
  };
}

export interface AggregateOptions {
  /** The reducer version: raise it when the fold, an upcaster or the conflict policy changes. Default 1. */
  readonly version?: number;
  /**
   * What becomes of several contents under one identity: `both` fold, in digest order (default) · `neither` folds, until a
   * correction leaves one · a pure function of the set of contents, given in digest order, that returns those that fold.
   */
  readonly conflicts?: ConflictPolicy;
}

/** What `@Aggregate` recorded, with defaults filled in. */
export interface AggregateMeta {
  readonly type: string;
  readonly version: number;
  readonly conflicts: ConflictPolicy;
}

/** Records an aggregate on a class or token. @internal */
export function recordAggregate(target: object, type: string, options: AggregateOptions): void {
  const meta: AggregateMeta = { type, version: options.version ?? 1, conflicts: options.conflicts ?? 'both' };
  Object.defineProperty(target, AGGREGATE, { value: meta });
}

/**
 * Marks a class as an aggregate: the state its history folds to, and the handlers that fold it. Each fold starts from a
 * fresh `new Class()`, so the constructor takes no parameters, and the state is plain data.
 */
export function Aggregate(type: string, options: AggregateOptions = {}) {
  return <A extends AggregateClass>(target: A): void => recordAggregate(target, type, options);
}

/** What `@Aggregate` or `defineAggregate` recorded on this very target, or undefined. */
export function aggregateMetaOf(target: unknown): AggregateMeta | undefined {
  return readOwn<AggregateMeta>(target, AGGREGATE);
}

/** How often, and when, a durable or persistent handler that threw is called again before its event is parked. */
export interface RetryPolicy {
  /** Calls that may fail before the event is parked, 1 to 1,000. Default 5. */
  readonly attempts?: number;
  /** Milliseconds before the second call; doubles with each failure. 1 to `maxMs`. Default 100. */
  readonly firstMs?: number;
  /** Milliseconds between two calls at most, up to 86,400,000. Default 30,000. */
  readonly maxMs?: number;
  /** The part of a wait that is random, on both sides: 0.2 makes 100 ms 80 to 120. 0 to 1. Default 0.2. */
  readonly jitter?: number;
}

export interface EventHandlerOptions {
  /** Whose events: needed where several aggregates list the event. */
  readonly of?: AggregateLike;
  /** The handler's guarantee, for handlers of ordinary providers. Default 'transient'. */
  readonly schedule?: 'transient' | 'durable' | 'persistent';
  /** The name under which progress is kept; needed by durable and persistent handlers. Methods that share one share its state and its options. */
  readonly name?: string;
  /** Where a name that was never seen begins: at what is recorded from now on (default), or at the first fact of all. */
  readonly from?: 'end' | 'beginning';
  /** What becomes of a call that throws. */
  readonly retry?: RetryPolicy;
  /** Calls of one name under way together, hence calls repeated after a crash, at most. 1 to 1,000. Default 16. */
  readonly inFlightMax?: number;
  /** Persistent handlers only: in order within each aggregate (default), or one at a time over all aggregates of the context. */
  readonly across?: 'aggregate' | 'context';
}

/** The options of a handler whose progress is kept. */
export interface EffectHandlerOptions extends EventHandlerOptions {
  readonly schedule: 'durable' | 'persistent';
}

/** One method that `@EventHandler` marked. */
export interface HandlerMeta {
  readonly method: string;
  readonly event: EventClass;
  readonly options: EventHandlerOptions;
}

/** What `@EventHandler` returns: it stands on a method that takes the event and may take the context. */
export type HandlerDecorator<E extends EventClass, C> = <M extends (event: InstanceType<E>, context: C) => unknown>(
  target: object,
  method: string,
  descriptor: TypedPropertyDescriptor<M>,
) => void;

/**
 * Marks a method as the handler of an event: in an aggregate it folds, in a projection it adds rows, in any other
 * provider it reacts. The method's first parameter must take that event, its second may be an `EventContext`; of durable
 * and persistent handlers an `EffectContext`.
 * @throws ConfigurationError `INVALID_OPTION` on a static method
 */
export function EventHandler<E extends EventClass>(
  event: E,
  options: EffectHandlerOptions,
): HandlerDecorator<E, EffectContext>;
export function EventHandler<E extends EventClass>(
  event: E,
  options?: EventHandlerOptions,
): HandlerDecorator<E, EventContext>;
export function EventHandler<E extends EventClass>(event: E, options: EventHandlerOptions = {}) {
  return (target: object, method: string): void => {
    refuseStatic('EventHandler', target, method);
    const handlers = ownRecord<HandlerMeta[]>(target.constructor, HANDLERS, () => []);
    handlers.push({ method, event, options });
  };
}

export interface CorrectionHandlerOptions {
  /** The name of the durable or persistent handler of this event whose doings are corrected. */
  readonly name: string;
  /** Whose events: needed where several aggregates list the event. */
  readonly of?: AggregateLike;
}

/** One method that `@CorrectionHandler` marked. */
export interface CorrectionMeta {
  readonly method: string;
  readonly event: EventClass;
  readonly options: CorrectionHandlerOptions;
}

/**
 * Marks a method `(before, after, context)` that is called when a correction changes what an event means which the handler
 * of that name has done: `after` is null for a retracted one, `before` for a reinstated one. Once for each correction and
 * event, in recorded order of the aggregate, with the retries, the ledger and the parking of that handler.
 * @throws ConfigurationError `INVALID_OPTION` on a static method
 */
export function CorrectionHandler<E extends EventClass>(event: E, options: CorrectionHandlerOptions) {
  return <
    M extends (before: InstanceType<E> | null, after: InstanceType<E> | null, context: CorrectionContext) => unknown,
  >(
    target: object,
    method: string,
    _descriptor: TypedPropertyDescriptor<M>,
  ): void => {
    refuseStatic('CorrectionHandler', target, method);
    const handlers = ownRecord<CorrectionMeta[]>(target.constructor, CORRECTIONS, () => []);
    handlers.push({ method, event, options });
  };
}

function refuseStatic(decorator: string, target: object, method: string): void {
  if (typeof target !== 'function') return;
  throw new ConfigurationError(
    'INVALID_OPTION',
    `@${decorator} stands on the static method ${nameOf(target)}.${method}.`,
    {
      fix: 'Put it on an instance method.',
    },
  );
}

/** The chain of classes from the root to this one, so that a subclass has the last word. */
function lineage(cls: unknown): object[] {
  const chain: object[] = [];
  for (let c: unknown = cls; typeof c === 'function' && c !== Function.prototype; c = Object.getPrototypeOf(c))
    chain.unshift(c);
  return chain;
}

/** Own and inherited handlers, base class first, in the order they are written. A method marked again for the same event counts once. */
export function handlersOf(cls: unknown): readonly HandlerMeta[] {
  return marked<HandlerMeta>(cls, HANDLERS);
}

/** Own and inherited correction methods, as `handlersOf` has handlers. */
export function correctionHandlersOf(cls: unknown): readonly CorrectionMeta[] {
  return marked<CorrectionMeta>(cls, CORRECTIONS);
}

function marked<T extends { readonly method: string; readonly event: EventClass }>(cls: unknown, key: symbol): T[] {
  const found: T[] = [];
  for (const one of lineage(cls)) {
    for (const handler of readOwn<T[]>(one, key) ?? []) {
      const at = found.findIndex((other) => other.method === handler.method && other.event === handler.event);
      if (at === -1) found.push(handler);
      else found[at] = handler;
    }
  }
  return found;
}

/** What was recorded on a property of an event class. */
export interface FieldMeta {
  readonly wireName?: string;
  readonly codec?: Codec<unknown>;
  readonly indexed?: boolean;
  /** The narrative threads that the property's value belongs to. */
  readonly threads?: readonly string[];
}

function recordField(target: object, property: string, meta: FieldMeta): void {
  const fields = ownRecord(target.constructor, FIELDS, () => new Map<string, FieldMeta>());
  const before = fields.get(property);
  const threads = [...(before?.threads ?? []), ...(meta.threads ?? [])];
  fields.set(property, { ...before, ...meta, ...(threads.length > 0 ? { threads } : {}) });
}

/** The property has another name in wire form, and so in the store. */
export function WireName(name: string) {
  return (target: object, property: string): void => recordField(target, property, { wireName: name });
}

/** The property's values travel through a codec: `Date`, bigint, bytes or a type of your own. The codec must be of the property's type. */
export function Coded<T>(codec: Codec<T>) {
  return <K extends string>(target: { readonly [P in K]?: T }, property: K): void =>
    recordField(target, property, { codec: codec as Codec<unknown> });
}

/** The property can be searched by value over time. It also declares the key. */
export function Indexed() {
  return (target: object, property: string): void => recordField(target, property, { indexed: true });
}

/** Events of many aggregates that share this property's value form a narrative thread of that name. It also declares the key. */
export function Thread(name: string) {
  return (target: object, property: string): void => recordField(target, property, { threads: [name] });
}

/** The marked properties of an event class, inherited ones included. */
export function fieldsOf(cls: unknown): ReadonlyMap<string, FieldMeta> {
  const found = new Map<string, FieldMeta>();
  for (const one of lineage(cls)) {
    for (const [property, meta] of readOwn<Map<string, FieldMeta>>(one, FIELDS) ?? []) {
      found.set(property, { ...found.get(property), ...meta });
    }
  }
  return found;
}
