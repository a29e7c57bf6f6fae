/** The service for people who look after what is parked of handlers, and of what settles. Works in any process of the context. */
import type { AggregateKey } from '../model/event.js';
import { InvalidEventError, UnavailableError } from '../model/errors.js';
import type { ViewStore } from '../ports/view-store.js';
import type { ConsumerModel } from './consumer-model.js';
import type { HandlerRunner, HandlerState } from './handler-runner.js';
import type { ParkedRequest } from './parked-mailbox.js';
import { readDiscarded, readParked, textOf, type DiscardedEvent, type ParkedEvent } from './parking.js';

/** A page of a list, and where to go on. */
export interface ParkedPage<T> {
  readonly events: readonly T[];
  /** Pass it as `after`; undefined when this was the last page. */
  readonly next: string | undefined;
}

export interface ParkedListOptions {
  readonly after?: string;
  /** 1 to 1,000. Default 100. */
  readonly limit?: number;
}

/** An aggregate by type and id; tenant `''` unless told. */
export type ParkedAggregateRef = Pick<AggregateKey, 'type' | 'id'> & Partial<Pick<AggregateKey, 'tenant'>>;

export interface DiscardDecision {
  readonly reason: string;
  /** Who decided. */
  readonly by: string;
}

/** How long an answer of the process that runs the handler is waited for, unless told. */
const TIMEOUT_MS = 30_000;

/** Lists, retries and discards parked events. Injectable per context. */
export class ParkedEvents {
  constructor(
    private readonly views: ViewStore,
    private readonly runner: () => HandlerRunner | undefined,
  ) {}

  /** How each handler name of this context is doing, as this process sees it. */
  states(): HandlerState[] {
    return this.running().states();
  }

  /**
   * What is parked of a handler, by aggregate and in order within each: the first of an aggregate has the error, the others wait behind it.
   * @throws InvalidEventError `INVALID_ARGUMENT` (no handler of that name, or the limit)
   */
  async list(name: string, options: ParkedListOptions = {}): Promise<ParkedPage<ParkedEvent>> {
    const [model, limit] = this.check(name, options.limit);
    const events = await readParked(this.views, model.view, {
      limit,
      ...(options.after === undefined ? {} : { after: options.after }),
    });
    return { events, next: events.length < limit ? undefined : events.at(-1)!.cursor };
  }

  /** What was discarded of a handler, with who decided it, when and why. @throws InvalidEventError `INVALID_ARGUMENT` */
  async discarded(name: string, options: ParkedListOptions = {}): Promise<ParkedPage<DiscardedEvent>> {
    const [model, limit] = this.check(name, options.limit);
    const events = await readDiscarded(this.views, model.view, {
      limit,
      ...(options.after === undefined ? {} : { after: options.after }),
    });
    return { events, next: events.length < limit ? undefined : events.at(-1)!.idempotencyKey };
  }

  /**
   * Tries what is parked again, of one aggregate or of all: in order, each once, read anew from the store through the upcasters
   * of now. An aggregate stops at the first that fails again; others go on. Resolves to how many were handled, once that is saved.
   * When another process runs the handler it is asked, and answers within `timeoutMs`.
   * @throws InvalidEventError `INVALID_ARGUMENT` · UnavailableError `TIMEOUT`, `OVERLOADED`, `SHUTTING_DOWN`
   */
  retry(name: string, aggregate?: ParkedAggregateRef, timeoutMs: number = TIMEOUT_MS): Promise<number> {
    return this.ask(name, { kind: 'retry', which: whichOf(aggregate), by: '', reason: '' }, timeoutMs);
  }

  /**
   * Takes a parked event, or all of an aggregate, out for good: the handler is never called for it, and the decision is kept
   * with who, when and why. What waits behind a discarded event stays parked until `retry`. Resolves to how many it was.
   * @throws InvalidEventError `INVALID_ARGUMENT` · UnavailableError `TIMEOUT`, `OVERLOADED`, `SHUTTING_DOWN`
   */
  discard(
    name: string,
    which: string | ParkedAggregateRef,
    decision: DiscardDecision,
    timeoutMs: number = TIMEOUT_MS,
  ): Promise<number> {
    const { by, reason } = decision;
    const selection = typeof which === 'string' ? { idempotencyKey: which } : whichOf(which);
    return this.ask(name, { kind: 'discard', which: selection, by, reason }, timeoutMs);
  }

  private async ask(name: string, request: ParkedRequest, timeoutMs: number): Promise<number> {
    this.check(name, undefined);
    const runner = this.running();
    return await (runner.serve(name, request) ?? runner.mailbox.ask(name, request, timeoutMs));
  }

  private running(): HandlerRunner {
    const runner = this.runner();
    if (runner !== undefined) return runner;
    throw new UnavailableError('SHUTTING_DOWN', 'The context is not initialised.', {
      fix: 'Ask after the application’s init.',
    });
  }

  private check(name: string, limit: number | undefined): readonly [ConsumerModel, number] {
    const { models } = this.running();
    const model = models.find((one) => one.name === name);
    if (model === undefined) {
      throw new InvalidEventError('INVALID_ARGUMENT', `No durable or persistent handler is named "${name}".`, {
        fix: `Use one of: ${models.map((model) => model.name).join(', ') || '(there is none)'}.`,
      });
    }
    if (limit === undefined) return [model, 100];
    if (Number.isInteger(limit) && limit >= 1 && limit <= 1_000) return [model, limit];
    throw new InvalidEventError('INVALID_ARGUMENT', `The limit is ${limit}.`, { fix: 'Pass 1 to 1,000.' });
  }
}

function whichOf(aggregate: ParkedAggregateRef | undefined): { readonly aggregateText?: string } {
  if (aggregate === undefined) return {};
  return { aggregateText: textOf({ tenant: '', ...aggregate }) };
}
