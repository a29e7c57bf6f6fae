/** Aggregates as pure folds: the same as an aggregate class, for those who prefer `state → state`. Before stop 1 of the walk. */
import type { Cases, EventRecord, FoldAggregate } from './event-class.js';
import type { EventContext } from './event-context.js';
import type { ConflictPolicy } from '../model/effective-facts.js';
import { aggregateMetaOf, recordAggregate } from './decorators.js';

const FOLD = Symbol.for('concursus.fold');

/** A fold of one event. It must not change the state it is given. */
export type FoldFunction = (state: object, event: object, context: EventContext) => object;

/** What `defineAggregate` keeps for the registry. */
export interface FoldDefinition {
  readonly initial: object | (() => object);
  readonly fold: Readonly<Record<string, FoldFunction>>;
}

/** A case of a fold: the state before and an event in, the state after out. */
export type FoldCases<Ev extends EventRecord, S extends object> = {
  readonly [K in keyof Ev]: (state: S, event: InstanceType<Ev[K]>, context: EventContext) => S;
};

/**
 * An aggregate as a pure fold: a state to begin with and one function an event, each returning the next state.
 * The result stands wherever an aggregate class does.
 *
 * @example
 * const Parcel = defineAggregate('parcel', {
 *   events: { ReceivedAtDepot, Delivered },
 *   initial: { status: 'expected' },
 *   fold: {
 *     ReceivedAtDepot: (state, event) => ({ status: `at ${event.depotId}` }),
 *     Delivered: () => ({ status: 'delivered' }),
 *   },
 * });
 */
export function defineAggregate<Ev extends EventRecord, S extends object>(
  type: string,
  definition: {
    /** The reducer version: raise it when the fold changes. Default 1. */
    readonly version?: number;
    readonly conflicts?: ConflictPolicy;
    readonly events: Ev;
    /** A value, copied for each fold, or a function that makes one. */
    readonly initial: S | (() => S);
    readonly fold: FoldCases<Ev, S>;
  },
): FoldAggregate<Ev, S> {
  const token = { type, version: definition.version ?? 1, events: definition.events };
  recordAggregate(token, type, { version: token.version, conflicts: definition.conflicts ?? 'both' });
  const kept: FoldDefinition = {
    initial: definition.initial,
    // The compiler has checked each case against its event; from here on they are looked up by key.
    fold: definition.fold as unknown as Readonly<Record<string, FoldFunction>>,
  };
  Object.defineProperty(token, FOLD, { value: kept });
  return Object.freeze(token);
}

/** The fold of a token made by `defineAggregate`, or undefined. */
export function foldDefinitionOf(target: unknown): FoldDefinition | undefined {
  if (typeof target !== 'object' || aggregateMetaOf(target) === undefined) return undefined;
  return (target as Record<symbol, FoldDefinition | undefined>)[FOLD];
}

/** For the compiler: the cases of a handler over an aggregate's events. */
export type HandlerCases<Ev extends EventRecord, R> = Cases<Ev, [context: EventContext], R>;
