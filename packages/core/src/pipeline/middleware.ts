/**
 * `@Middleware` and the chain it joins: around the stages of the road, a middleware sees whole batches and may change
 * metadata, add, drop, refuse or time them. The decorator only records; the explorer finds, the bus runs.
 */
import { ConfigurationError, HandlerError } from '../model/errors.js';
import type { Batch } from './batch.js';

/** `receive`: around everything after validation · `log`: around stamping and storing · `publish`: around the hand-over to transient subscribers. */
export type Stage = 'receive' | 'log' | 'publish';

export interface BatchMiddleware {
  /**
   * Call `next()` once to hand the batch on; it resolves when the rest of the road is done. Not calling it drops the batch (`publish`: withholds it).
   * Throwing refuses the whole batch to its sender while nothing of it is stored, also when an outer middleware catches it; afterwards the error is reported and the answer stands.
   */
  handle(batch: Batch, next: () => Promise<void>): Promise<void> | void;
}

export interface MiddlewareOptions {
  readonly stage: Stage;
  /** Lower is further out. Equal ones run in the order in which they were found. Default 0. */
  readonly order?: number;
  /** The context whose batches it sees. Default: the default context. */
  readonly context?: string;
}

/** What `@Middleware` records. */
export interface MiddlewareMeta {
  readonly stage: Stage;
  readonly order: number;
  readonly context: string | undefined;
}

const STAGES: readonly string[] = ['receive', 'log', 'publish'] satisfies Stage[];
const META = Symbol.for('concursus.middleware');

type MiddlewareClass = abstract new (...dependencies: never[]) => BatchMiddleware;

/** Marks a provider as a middleware. Dependencies are injected as in any provider. @throws ConfigurationError `INVALID_OPTION` */
export function Middleware(options: MiddlewareOptions): (target: MiddlewareClass) => void {
  if (!STAGES.includes(options.stage) || !Number.isFinite(options.order ?? 0)) {
    throw new ConfigurationError(
      'INVALID_OPTION',
      `@Middleware got the stage "${options.stage}", order ${options.order}.`,
      {
        fix: `Choose a stage of ${STAGES.join(', ')} and a finite order.`,
      },
    );
  }
  return (target) => {
    const meta: MiddlewareMeta = { stage: options.stage, order: options.order ?? 0, context: options.context };
    Object.defineProperty(target, META, { value: meta });
  };
}

/** What `@Middleware` recorded on this very class; undefined for others, also for its subclasses. */
export function middlewareMetaOf(target: object): MiddlewareMeta | undefined {
  return Object.getOwnPropertyDescriptor(target, META)?.value as MiddlewareMeta | undefined;
}

interface Entry {
  readonly middleware: BatchMiddleware;
  readonly order: number;
}

/** The middleware of one stage, in order. */
export class MiddlewareChain {
  private entries: readonly Entry[] = [];

  /** True when there is none: the bus then calls the stage itself, without a promise for this. */
  get empty(): boolean {
    return this.entries.length === 0;
  }

  use(middleware: BatchMiddleware, order: number): void {
    this.entries = [...this.entries, { middleware, order }].sort((a, b) => a.order - b.order);
  }

  /**
   * Runs the chain around `inner`. Resolves when every step has ended, also those that a middleware started and did not wait for;
   * rejects with the first error of any of them. True when `inner` was reached.
   */
  async run(batch: Batch, inner: () => Promise<void>): Promise<boolean> {
    const entries = this.entries;
    const steps: Promise<void>[] = [];
    let failed = false;
    let failure: unknown;
    let reached = false;
    let over = false;

    const fail = (error: unknown): void => {
      if (failed) return;
      failed = true;
      failure = error;
    };
    const step = async (index: number): Promise<void> => {
      try {
        if (index === entries.length) {
          reached = true;
          await inner();
          return;
        }
        let called = false;
        await entries[index]!.middleware.handle(batch, () => {
          if (called || over) {
            const error = nextCalledWrongly(entries[index]!.middleware, called);
            fail(error);
            return Promise.reject(error);
          }
          called = true;
          const next = step(index + 1);
          next.catch(ignore); // `fail` has it already: a middleware that does not wait must not end the process
          steps.push(next);
          return next;
        });
      } catch (error) {
        fail(error);
        throw error;
      }
    };

    steps.push(step(0));
    for (let i = 0; i < steps.length; i++) await steps[i]!.catch(ignore);
    over = true;
    if (failed) throw failure;
    return reached;
  }
}

function ignore(): void {}

function nextCalledWrongly(middleware: BatchMiddleware, twice: boolean): HandlerError {
  const name = middleware.constructor.name;
  return new HandlerError(
    'HANDLER_FAILED',
    twice ? `${name} called next() twice.` : `${name} called next() after its batch had ended.`,
    { fix: 'Call next() once, and return or await what it returns.' },
  );
}
