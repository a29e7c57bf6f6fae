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

/** What a chain stands around, the same for every batch: nothing of it is made anew for one. */
export interface ChainHost {
  /** The rest of the road. */
  readonly inner: (batch: Batch) => Promise<void>;
  /** Told of an error that nobody can be answered with any more. */
  readonly report: (error: unknown) => void;
}

/** The middleware of one stage, in order. */
export class MiddlewareChain {
  private entries: readonly Entry[] = [];

  constructor(private readonly host: ChainHost) {}

  /** True when there is none: the bus then calls the stage itself, without a promise for this. */
  get empty(): boolean {
    return this.entries.length === 0;
  }

  use(middleware: BatchMiddleware, order: number): void {
    this.entries = [...this.entries, { middleware, order }].sort((a, b) => a.order - b.order);
  }

  /** Starts the chain on its way around the rest of the road. */
  start(batch: Batch): ChainRun {
    return new ChainRun(this.entries, batch, this.host);
  }
}

/**
 * One batch on its way through a chain. It has ended when `first` has, and then `rest`; then `failure` has the first
 * error of any step. A middleware that hands back what `next()` gave it costs no promise.
 */
export class ChainRun {
  /** The outermost step. */
  readonly first: Promise<void>;
  /**
   * True when `first` is the promise of the rest of the road itself: it ends as that does, and there is nothing to judge.
   * What a middleware does wrong afterwards is reported.
   */
  readonly handedBack: boolean = false;
  failure: { readonly error: unknown } | undefined = undefined;
  /** Steps that a middleware did not hand back: it may not wait for them. */
  private apart: Promise<void>[] | undefined = undefined;
  private over = false;
  /** True as long as every middleware handed back what `next()` gave it. */
  private straight = true;

  constructor(
    private readonly entries: readonly Entry[],
    private readonly batch: Batch,
    private readonly host: ChainHost,
  ) {
    this.first = this.step(0);
    this.handedBack = this.straight && this.failure === undefined;
  }

  /** Only the first one counts. */
  fail(error: unknown): void {
    if (this.handedBack) this.host.report(error);
    else this.failure ??= { error };
  }

  /** To be called when `first` has ended: a promise only while other steps go on. */
  rest(): Promise<void> | undefined {
    if (this.apart !== undefined) return this.waitForRest(this.apart);
    this.over = true;
    return undefined;
  }

  private async waitForRest(apart: readonly Promise<void>[]): Promise<void> {
    for (let i = 0; i < apart.length; i++) await apart[i]!.catch(ignore);
    this.over = true;
  }

  private step(index: number): Promise<void> {
    if (index === this.entries.length) return this.host.inner(this.batch);
    const { middleware } = this.entries[index]!;
    let next: Promise<void> | undefined;
    let returned = false;
    const handOn = (): Promise<void> => {
      if (next !== undefined || this.over) {
        const error = nextCalledWrongly(middleware, next !== undefined);
        this.fail(error);
        return Promise.reject(error);
      }
      next = this.step(index + 1);
      if (returned) this.keep(next);
      return next;
    };
    try {
      const handled = middleware.handle(this.batch, handOn);
      returned = true;
      if (next !== undefined) {
        if (handled === next) return next;
        this.keep(next);
      }
      this.straight = false;
      return handled === undefined ? Promise.resolve() : this.ended(handled);
    } catch (error) {
      returned = true;
      this.straight = false;
      if (next !== undefined) this.keep(next);
      this.fail(error);
      return Promise.reject(error);
    }
  }

  /** Waits for whatever a middleware returned, and keeps its error: an outer middleware may catch it. */
  private async ended(handled: Promise<void>): Promise<void> {
    try {
      await handled;
    } catch (error) {
      this.fail(error);
      throw error;
    }
  }

  /** A middleware that does not wait for its next step must not end the process. */
  private keep(step: Promise<void>): void {
    this.straight = false;
    (this.apart ??= []).push(step);
    step.catch((error: unknown) => this.fail(error));
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
