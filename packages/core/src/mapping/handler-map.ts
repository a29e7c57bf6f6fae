/**
 * From an event to the code for its class, without forgetting one: `when` for an event in hand, `handlerFor` for the
 * facts of a history or subscription. Stops 10 and 14 of the walk.
 */
import { InvalidEventError } from '../model/errors.js';
import type { Fact } from '../model/event.js';
import type { AggregateModel } from './aggregate-model.js';
import type { AggregateLike, EventClass, EventOf, EventsOf } from './event-class.js';
import { nameOf } from './event-class.js';
import { contextOf } from './event-context.js';
import type { EventContext } from './event-context.js';
import type { HandlerCases } from './fold-aggregate.js';

export { contextOf, type EventContext } from './event-context.js';

/** One function an event of `Ev`, and none besides. */
type Exactly<C, Keys extends PropertyKey> = { readonly [K in Exclude<keyof C, Keys>]: never };

/** The cases of `when`: each event of the aggregate, by its key. */
export type WhenCases<A extends AggregateLike> = {
  readonly [K in keyof EventsOf<A>]: (event: InstanceType<EventsOf<A>[K]>) => unknown;
};

/** Which key of an aggregate's events a class stands under; kept per `events` object, so that it dies with it. */
const keysByPrototype = new WeakMap<object, ReadonlyMap<object, string>>();

function keysOf(events: Readonly<Record<string, EventClass>>): ReadonlyMap<object, string> {
  let keys = keysByPrototype.get(events);
  if (keys === undefined) {
    keys = new Map(Object.entries(events).map(([key, cls]) => [cls.prototype as object, key]));
    keysByPrototype.set(events, keys);
  }
  return keys;
}

/**
 * Picks the case for an event instance and returns what it returns. A missing case, or one too many, does not compile.
 * @throws InvalidEventError `UNKNOWN_EVENT_TYPE` when the event is none of the aggregate's, `INVALID_ARGUMENT` when its case is missing
 *
 * @example
 * const text = when(Parcel, event, {
 *   ReceivedAtDepot: (e) => `at ${e.depotId}`,
 *   LoadedOntoTruck: (e) => `on ${e.truckId}`,
 *   Delivered: () => 'delivered',
 * });
 */
export function when<A extends AggregateLike, const C extends WhenCases<A>>(
  aggregate: A,
  event: EventOf<A>,
  cases: C & Exactly<C, keyof EventsOf<A>>,
): ReturnType<C[keyof EventsOf<A> & keyof C]> {
  const prototype =
    typeof event === 'object' && event !== null ? (Object.getPrototypeOf(event) as object | null) : null;
  const key = prototype === null ? undefined : keysOf(aggregate.events).get(prototype);
  if (key === undefined) {
    const name = nameOf(prototype?.constructor ?? event);
    throw new InvalidEventError('UNKNOWN_EVENT_TYPE', `${name} is no event of ${nameOf(aggregate)}.`, {
      fix: `Pass an event made by one of ${Object.keys(aggregate.events).join(', ')}.`,
    });
  }
  return caseOf(cases, key, nameOf(aggregate))(event) as ReturnType<C[keyof EventsOf<A> & keyof C]>;
}

function caseOf(cases: object, key: string, where: string): (...args: unknown[]) => unknown {
  const found: unknown = Object.hasOwn(cases, key) ? (cases as Record<string, unknown>)[key] : undefined;
  if (typeof found === 'function') return found as (...args: unknown[]) => unknown;
  throw new InvalidEventError('INVALID_ARGUMENT', `The cases for ${where} miss ${key}.`, {
    fix: `Add a function for ${key}.`,
  });
}

/**
 * A handler of facts made of one function an event: each gets an instance of its own and the context. The result is what
 * the function returns, so it serves subscriptions, histories and topics alike.
 * @throws InvalidEventError `INVALID_ARGUMENT` at once when a case is missing; on a call `UNKNOWN_AGGREGATE` for a fact of another
 * aggregate and `UNKNOWN_EVENT_TYPE` for an unknown name, unless `otherwise` is given, or for an unreadable version
 */
export function handlerFor<A extends AggregateLike, const C extends HandlerCases<EventsOf<A>, unknown>, O = never>(
  model: AggregateModel<A>,
  cases: C & Exactly<C, keyof EventsOf<A>>,
  otherwise?: (fact: Fact) => O,
): (fact: Fact) => ReturnType<C[keyof EventsOf<A> & keyof C]> | O {
  type R = ReturnType<C[keyof EventsOf<A> & keyof C]> | O;
  const byName = new Map<string, (event: object, context: EventContext) => R>();
  for (const [key, event] of model.eventsByKey) {
    byName.set(event.name, caseOf(cases, key, model.type) as (event: object, context: EventContext) => R);
  }
  return (fact) => {
    const handle = fact.aggregateType === model.type ? byName.get(fact.name) : undefined;
    if (handle !== undefined) return handle(model.events.get(fact.name)!.hydrate(fact), contextOf(fact));
    if (otherwise !== undefined) return otherwise(fact);
    if (fact.aggregateType !== model.type) {
      throw new InvalidEventError(
        'UNKNOWN_AGGREGATE',
        `A handler of ${model.type} got an event of ${fact.aggregateType}.`,
        {
          fix: 'Subscribe it to its own aggregate, or give it an `otherwise`.',
        },
      );
    }
    throw new InvalidEventError('UNKNOWN_EVENT_TYPE', `${model.type} has no event "${fact.name}".`, {
      fix: 'Add its class to the aggregate, or give the handler an `otherwise`.',
    });
  };
}
