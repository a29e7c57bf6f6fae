/**
 * The types of the mapping: what an event class, an aggregate and a payload are to the compiler. Before stop 1 of the
 * walk: everything a user declares is described here, so that a mistake in it does not compile.
 */

/** A class marked with `@Event`. Its constructor may take anything: it is only called by the user, never on foreign data. */
export type EventClass<T extends object = object> = abstract new (...args: never[]) => T;

/** The events of an aggregate, by the names that `when`, folds and emitters use for them: usually the class names. */
export type EventRecord = Readonly<Record<string, EventClass>>;

/** A class marked with `@Aggregate`: made anew for each fold, hence without constructor parameters. */
export type AggregateClass = (new () => object) & { readonly events: EventRecord };

declare const STATE: unique symbol;

/** An aggregate as a pure fold, made by `defineAggregate`; it stands wherever an aggregate class does. */
export interface FoldAggregate<Ev extends EventRecord = EventRecord, S extends object = object> {
  readonly type: string;
  readonly version: number;
  readonly events: Ev;
  /** For the compiler only. */
  readonly [STATE]?: S;
}

/** An aggregate in either form: a class of `@Aggregate`, or what `defineAggregate` returned. */
export type AggregateLike = AggregateClass | FoldAggregate;

/** The event classes an aggregate lists, by their keys. */
export type EventsOf<A extends AggregateLike> = A['events'];

/** Any event of an aggregate, as its handlers get it. */
export type EventOf<A extends AggregateLike> = InstanceType<EventsOf<A>[keyof EventsOf<A>]>;

/** What an aggregate's history folds to. */
export type StateOf<A extends AggregateLike> = A extends new () => infer S
  ? S
  : A extends FoldAggregate<EventRecord, infer S>
    ? S
    : never;

type DataKeys<T> = {
  [K in keyof T]-?: Exclude<T[K], undefined> extends (...args: never[]) => unknown ? never : K;
}[keyof T];

/** The data of an event without its methods: what an emitter takes in place of an instance. */
export type PayloadOf<T extends object> = [DataKeys<T>] extends [never]
  ? Readonly<Record<string, never>>
  : Pick<T, DataKeys<T>>;

/** One function an event: exhaustive, since each key of the aggregate's events is required. */
export type Cases<Ev extends EventRecord, Rest extends readonly unknown[], R> = {
  readonly [K in keyof Ev]: (event: InstanceType<Ev[K]>, ...rest: Rest) => R;
};

/** How an aggregate or class is called in messages. */
export function nameOf(target: unknown): string {
  if (typeof target === 'function') return target.name === '' ? 'an unnamed class' : target.name;
  if (typeof target === 'object' && target !== null && 'type' in target && typeof target.type === 'string') {
    return `defineAggregate("${target.type}")`;
  }
  return target === null
    ? 'null'
    : typeof target === 'string'
      ? `"${target.slice(0, 120)}"`
      : `a value of type ${typeof target}`;
}
