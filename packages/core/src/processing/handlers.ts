/** What the runner runs: the handlers that share one name, with their schedule and bounds. Made at start-up from `@EventHandler` and `@CorrectionHandler`. */
import type { RetryPolicy } from '../mapping/decorators.js';
import type { CorrectionContext, EffectContext } from '../mapping/event-context.js';
import type { EventModel } from '../mapping/event-registry.js';
import { correctionOf, isCorrection } from '../model/correction.js';
import type { Fact } from '../model/event.js';
import type { ViewRef } from '../ports/view-store.js';
import { ConsumerModel } from './consumer-model.js';

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
export class HandlerModel extends ConsumerModel {
  override readonly schedule: 'durable' | 'persistent';
  readonly oneLane: boolean;
  private readonly handlers = new Map<string, HandlerMethod>();
  private readonly corrections = new Map<string, CorrectionMethod>();

  constructor(consumer: HandlerConsumer) {
    const oneLane = consumer.across === 'context';
    const view = viewOfHandler(consumer.name);
    super(oneLane ? { ...consumer, inFlightMax: 1 } : consumer, view, `handler:${consumer.name}`);
    this.schedule = consumer.schedule;
    this.oneLane = oneLane;
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
