/**
 * One aggregate as one context knows it: its events, their ranks, and the fold of a history to a state.
 * Used at stop 13 (projections) and stop 14 (states) of the walk. Nothing here looks at processing time (law 4).
 */
import type { ConflictPolicy } from '../model/effective-facts.js';
import { ConfigurationError, InvalidEventError } from '../model/errors.js';
import { Fact, INITIAL, TERMINAL } from '../model/event.js';
import { compareFold, compareKey, RANK_INITIAL, RANK_PLAIN, RANK_TERMINAL } from '../model/event-order.js';
import { handlersOf } from './decorators.js';
import type { AggregateMeta } from './decorators.js';
import type { AggregateClass, AggregateLike, EventClass } from './event-class.js';
import { nameOf } from './event-class.js';
import { contextOf } from './event-context.js';
import type { EventContext } from './event-context.js';
import type { EventModel } from './event-model.js';
import { foldDefinitionOf } from './fold-aggregate.js';
import type { FoldFunction } from './fold-aggregate.js';

/** What a history folds to: an instance of the aggregate class, or the state of a pure fold. */
export type FoldState = object;

/** What is odd about a history, beside the state it folds to. Counts depend on the set of events only. */
export interface FoldInfo {
  readonly events: number;
  /** True when the aggregate declares an initial event and none has come. */
  readonly incomplete: boolean;
  /** Initial events beyond the first; they are kept and fold right after it. */
  readonly secondInitial: number;
  /** Events that happened later than the first terminal one. They are kept, and fold by rank: plain ones still before it. */
  readonly afterTerminal: number;
  /** Events of a name or version the aggregate does not know; they leave the state as it is. */
  readonly unknown: number;
  /** The greatest event time; undefined for an empty history. */
  readonly lastEventTime: number | undefined;
}

type Method = (this: object, event: object, context: EventContext) => unknown;

interface Route {
  readonly event: EventModel;
  /** Handlers of an aggregate class, in their order; empty when the event leaves the state as it is. */
  readonly methods: readonly Method[];
  readonly fold: FoldFunction | undefined;
}

export class AggregateModel<A extends AggregateLike = AggregateLike> {
  readonly type: string;
  /** The reducer version. */
  readonly version: number;
  readonly conflicts: ConflictPolicy;
  readonly hasInitial: boolean;
  readonly hasTerminal: boolean;
  /** By event name, in the order they are declared. */
  readonly events: ReadonlyMap<string, EventModel>;
  /** By the keys of the aggregate's `events`, which `when` and emitters use. */
  readonly eventsByKey: ReadonlyMap<string, EventModel>;
  private readonly byPrototype = new Map<object, EventModel>();
  private readonly routes = new Map<string, Route>();
  private readonly make: () => FoldState;
  private readonly compare: (a: Fact, b: Fact) => number;
  /** True when no event of the aggregate declares a rank. */
  private readonly unranked: boolean;

  /** @throws ConfigurationError `STATE_NOT_PLAIN`, `AGGREGATE_CONSTRUCTOR` when a new state cannot be made */
  constructor(
    /** The aggregate class, or what `defineAggregate` returned. */
    readonly target: A,
    meta: AggregateMeta,
    eventsByKey: ReadonlyMap<string, EventModel>,
  ) {
    this.type = meta.type;
    this.version = meta.version;
    this.conflicts = meta.conflicts;
    this.eventsByKey = eventsByKey;
    const events = [...eventsByKey.values()];
    this.events = new Map(events.map((event) => [event.name, event]));
    this.hasInitial = events.some((event) => (event.characteristics & INITIAL) !== 0);
    this.hasTerminal = events.some((event) => (event.characteristics & TERMINAL) !== 0);
    this.unranked = events.every((event) => event.rank === RANK_PLAIN);
    const definition = foldDefinitionOf(target);
    const handlers = definition === undefined ? handlersOf(target) : [];
    for (const [key, event] of eventsByKey) {
      this.byPrototype.set(event.cls.prototype as object, event);
      const methods = handlers
        .filter((handler) => handler.event === event.cls)
        .map((handler) => (target as unknown as { prototype: Record<string, Method> }).prototype[handler.method]!);
      this.routes.set(event.name, { event, methods, fold: definition?.fold[key] });
    }
    this.compare = compareFold((fact) => this.rankOf(fact));
    const initial = definition?.initial;
    if (definition === undefined) this.make = () => new (target as AggregateClass)();
    else if (typeof initial === 'function') this.make = initial as () => object;
    else this.make = () => copyPlain(initial) as object;
    this.checkState(definition === undefined || typeof initial === 'function' ? this.make : () => initial);
  }

  /** A fresh state for one fold. */
  newState(): FoldState {
    return this.make();
  }

  /** Where a fact folds among the others: by its class, or for an unknown name by its characteristics. */
  rankOf(fact: Fact): number {
    if (this.unranked && fact.characteristics === 0) return RANK_PLAIN;
    const route = this.routes.get(fact.name);
    if (route !== undefined) return route.event.rank;
    return (fact.characteristics & INITIAL) !== 0
      ? RANK_INITIAL
      : (fact.characteristics & TERMINAL) !== 0
        ? RANK_TERMINAL
        : RANK_PLAIN;
  }

  /** Whether these facts, given in key order, are in fold order and none is a correction: so for most, and cheaply known. */
  foldsAsItComes(facts: readonly Fact[]): boolean {
    if (!this.unranked) return false;
    let bits = 0;
    for (let i = 0; i < facts.length; i++) bits |= facts[i]!.characteristics;
    return bits === 0;
  }

  /** Whether the aggregate knows the fact's name and can read its version. */
  knows(fact: Fact): boolean {
    return this.routes.get(fact.name)?.event.accepts(fact.version) ?? false;
  }

  /**
   * The state after one more fact; facts must come in fold order. An event without a handler, of an unknown name or of an
   * unreadable version leaves the state as it is. A class state is changed in place and returned.
   * @throws whatever the handler throws; InvalidEventError or HandlerError from hydration
   */
  apply(state: FoldState, fact: Fact): FoldState {
    const route = this.routes.get(fact.name);
    if (route === undefined) return state;
    const { event, methods, fold } = route;
    if (fact.version !== event.version && !event.accepts(fact.version)) return state;
    if (fold !== undefined) return fold(state, event.hydrate(fact), contextOf(fact));
    for (let i = 0; i < methods.length; i++) methods[i]!.call(state, event.hydrate(fact), contextOf(fact));
    return state;
  }

  /** Whether folding a fact looks at its parameters. */
  private readonly reads = ({ name, version }: Fact): boolean => {
    const route = this.routes.get(name);
    if (route === undefined || (route.fold === undefined && route.methods.length === 0)) return false;
    return version === route.event.version || route.event.accepts(version);
  };

  /** `apply`, for one fact after the other. */
  applyAll(state: FoldState, facts: readonly Fact[]): FoldState {
    Fact.readMany(facts, this.reads);
    for (let i = 0; i < facts.length; i++) state = this.apply(state, facts[i]!);
    return state;
  }

  /** Sorts facts of one aggregate into fold order, in place. Already sorted ones cost one pass. */
  sortFold(facts: Fact[]): Fact[] {
    for (let i = 1; i < facts.length; i++) {
      const before = facts[i - 1]!;
      const after = facts[i]!;
      const byRank = this.rankOf(before) - this.rankOf(after);
      if (byRank > 0 || (byRank === 0 && compareKey(before, after) > 0)) return facts.sort(this.compare);
    }
    return facts;
  }

  /** Folds a whole history, given in fold order (see `sortFold`). */
  foldAll(facts: readonly Fact[]): { readonly state: FoldState; readonly info: FoldInfo } {
    let state = this.make();
    let initials = 0;
    let unknown = 0;
    let lastEventTime: number | undefined;
    for (let i = 0; i < facts.length; i++) {
      const fact = facts[i]!;
      if (this.rankOf(fact) === RANK_INITIAL) initials++;
      if (!this.knows(fact)) unknown++;
      if (lastEventTime === undefined || fact.eventTime > lastEventTime) lastEventTime = fact.eventTime;
      state = this.apply(state, fact);
    }
    return {
      state,
      info: {
        events: facts.length,
        incomplete: this.hasInitial && initials === 0,
        secondInitial: Math.max(0, initials - 1),
        afterTerminal: this.afterTerminal(facts),
        unknown,
        lastEventTime,
      },
    };
  }

  /**
   * The model of an event instance or class.
   * @throws InvalidEventError `UNKNOWN_EVENT_TYPE` when the aggregate does not list it
   */
  eventOf(event: object | EventClass): EventModel {
    const prototype: object | null =
      typeof event === 'function'
        ? ((event as EventClass).prototype as object)
        : (Object.getPrototypeOf(event) as object | null);
    const model = prototype === null ? undefined : this.byPrototype.get(prototype);
    if (model !== undefined) return model;
    const name =
      typeof event === 'function'
        ? nameOf(event)
        : ((prototype?.constructor as { name?: string } | undefined)?.name ?? 'an object without a class');
    throw new InvalidEventError(
      'UNKNOWN_EVENT_TYPE',
      `${name} is no event of ${this.type}, which knows ${[...this.eventsByKey.keys()].join(', ')}.`,
      {
        fix: `Add it to the \`events\` of ${nameOf(this.target)}, or emit it for the aggregate that lists it.`,
        details: { aggregateType: this.type },
      },
    );
  }

  private afterTerminal(facts: readonly Fact[]): number {
    let first = Number.POSITIVE_INFINITY;
    for (let i = 0; i < facts.length; i++) {
      const fact = facts[i]!;
      const bits = this.routes.get(fact.name)?.event.characteristics ?? fact.characteristics;
      if ((bits & TERMINAL) !== 0 && fact.eventTime < first) first = fact.eventTime;
    }
    if (first === Number.POSITIVE_INFINITY) return 0;
    let after = 0;
    for (let i = 0; i < facts.length; i++) if (facts[i]!.eventTime > first) after++;
    return after;
  }

  /** A value is checked before it is copied: the copy would be plain already. */
  private checkState(make: () => unknown): void {
    let state: unknown;
    try {
      state = make();
    } catch (cause) {
      throw new ConfigurationError(
        'AGGREGATE_CONSTRUCTOR',
        `A new state of ${nameOf(this.target)} cannot be made: its constructor or field initialisers threw.`,
        {
          fix: 'A state must be made without anything from outside.',
          cause,
        },
      );
    }
    const isClass = typeof this.target === 'function';
    const flaw =
      typeof state !== 'object' || state === null
        ? `is ${state === null ? 'null' : `of type ${typeof state}`}`
        : flawIn(state, '', isClass, 0);
    if (flaw !== undefined) {
      throw new ConfigurationError('STATE_NOT_PLAIN', `The new state of ${nameOf(this.target)} ${flaw}.`, {
        fix: 'Keep plain data in it: text, numbers, booleans, null, Date, arrays and plain objects. Functions belong on the class as methods.',
      });
    }
  }
}

/** What in a state is no plain data, or undefined. The root may be an instance of the aggregate class. */
function flawIn(value: unknown, path: string, root: boolean, depth: number): string | undefined {
  const at = path === '' ? 'itself' : `at ${path}`;
  if (typeof value === 'function') return `holds a function ${at}`;
  if (typeof value === 'symbol') return `holds a symbol ${at}`;
  if (typeof value !== 'object' || value === null || value instanceof Date) return undefined;
  if (depth > 64) return `is nested deeper than 64 levels ${at.slice(0, 80)}`;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const flaw = flawIn(value[i], `${path}[${i}]`, false, depth + 1);
      if (flaw !== undefined) return flaw;
    }
    return undefined;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (!root && prototype !== Object.prototype && prototype !== null) {
    return `holds a ${(value.constructor as { name?: string } | undefined)?.name ?? 'class instance'} ${at}`;
  }
  for (const key of Object.keys(value)) {
    const flaw = flawIn(
      (value as Record<string, unknown>)[key],
      path === '' ? key : `${path}.${key}`,
      false,
      depth + 1,
    );
    if (flaw !== undefined) return flaw;
  }
  return undefined;
}

function copyPlain(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(copyPlain);
  if (value instanceof Date) return new Date(value.getTime());
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value)) copy[key] = copyPlain((value as Record<string, unknown>)[key]);
  return copy;
}
