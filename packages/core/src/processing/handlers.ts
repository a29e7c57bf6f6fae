/** What the runner runs: the handlers that share one name, with their schedule and bounds. Made at start-up from `@EventHandler` and `@CorrectionHandler`. */
import type { RetryPolicy } from '../mapping/decorators.js';
import type { CorrectionContext, EffectContext } from '../mapping/event-context.js';
import type { EventModel } from '../mapping/event-registry.js';
import { correctionOf, isCorrection } from '../model/correction.js';
import type { Fact } from '../model/event.js';
import type { ViewRef } from '../ports/view-store.js';
import { RETRY_DEFAULTS } from './retry-policy.js';

/** One method for one event. */
export interface HandlerMethod {
  readonly model: EventModel;
  readonly handle: (event: object, context: EffectContext) => unknown;
}

/** One method for corrections of one event. */
export interface CorrectionMethod {
  readonly model: EventModel;
  readonly handle: (before: object | null, after: object | null, context: CorrectionContext) => unknown;
}

/** All durable, or all persistent, handlers of one name. */
export interface HandlerConsumer {
  /** Its state is kept under this name. */
  readonly name: string;
  readonly schedule: 'durable' | 'persistent';
  /** One for an event at most: the ledger and the idempotency key know (name, event). */
  readonly handlers: readonly HandlerMethod[];
  readonly corrections?: readonly CorrectionMethod[];
  readonly from?: 'end' | 'beginning';
  readonly retry?: RetryPolicy;
  readonly inFlightMax?: number;
  readonly across?: 'aggregate' | 'context';
}

/** A consumer with its defaults, and who handles what. */
export class HandlerModel {
  readonly name: string;
  readonly schedule: 'durable' | 'persistent';
  readonly fromBeginning: boolean;
  readonly retry: Required<RetryPolicy>;
  readonly inFlightMax: number;
  readonly oneLane: boolean;
  readonly view: ViewRef;
  /** The owner row whose epoch each commit carries. */
  readonly ownerName: string;
  private readonly handlers = new Map<string, HandlerMethod>();
  private readonly corrections = new Map<string, CorrectionMethod>();

  constructor(consumer: HandlerConsumer) {
    this.name = consumer.name;
    this.schedule = consumer.schedule;
    this.fromBeginning = consumer.from === 'beginning';
    this.retry = { ...RETRY_DEFAULTS, ...consumer.retry };
    this.oneLane = consumer.across === 'context';
    this.inFlightMax = this.oneLane ? 1 : (consumer.inFlightMax ?? 16);
    this.view = viewOfHandler(consumer.name);
    this.ownerName = `handler:${consumer.name}`;
    for (const method of consumer.handlers)
      this.handlers.set(typeKey(method.model.aggregateType, method.model.name), method);
    for (const method of consumer.corrections ?? []) {
      this.corrections.set(typeKey(method.model.aggregateType, method.model.name), method);
    }
  }

  /** Who handles an event. The library's own facts, of types and names that begin with `$`, reach nobody. */
  handlerOf(fact: Fact): HandlerMethod | undefined {
    return this.handlers.get(typeKey(fact.aggregateType, fact.name));
  }

  /** Who is told that an event of this kind was corrected. */
  correctionOf(aggregateType: string, name: string): CorrectionMethod | undefined {
    return this.corrections.get(typeKey(aggregateType, name));
  }

  /** What a fact of the feed is to this handler. */
  kindOf(fact: Fact): 'event' | 'correction' | undefined {
    if (isCorrection(fact)) {
      const handled = this.handlers.has(typeKey(fact.aggregateType, correctionOf(fact).target.name));
      return handled ? 'correction' : undefined;
    }
    return this.handlers.has(typeKey(fact.aggregateType, fact.name)) ? 'event' : undefined;
  }
}

/** The view that holds everything a handler name knows. */
export function viewOfHandler(name: string): ViewRef {
  return { name: `.handler.${name}`, version: 1, slice: -1 };
}

function typeKey(aggregateType: string, name: string): string {
  return `${aggregateType}\u0000${name}`;
}
