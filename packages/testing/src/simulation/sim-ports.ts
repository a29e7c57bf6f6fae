/**
 * Ports as one process reaches them over a bad network: each call is done some time later, and is refused, done without an
 * answer, done twice, or never done, as chance has it. What was done is on the disk, whatever becomes of who asked.
 */
import { EventStore, UnavailableError, type ViewCommit } from '@concursus/core';
import type { Random } from './random.js';
import type { Life, Scheduler } from './scheduler.js';

/** What the network does to calls; changed for good when the world calms down. */
export interface Weather {
  latencyMs: number;
  failRate: number;
  lostAckRate: number;
  twiceRate: number;
}

/** Told of each call, and may end the process then. */
export type Watcher = (life: Life, method: string, phase: 'before' | 'done' | 'answered') => void;
/** Told what a port really did. */
export type Witness = (method: string, args: readonly unknown[], result: unknown) => void;

type Method = (...args: never[]) => unknown;
/** Why a wait ended: an error made each time costs more than the wait. */
const OVER = new Error('the wait is over');

interface Outcome {
  readonly value?: unknown;
  readonly error?: unknown;
}

/** Asked for something that changes nothing: there is no difference between not done and not answered. */
const READS = /^(?:read|find|get|list|last|end|versions|lag)/;
/** Done again later, these are refused or change nothing: only such calls may come twice. */
const REPEATABLE = new Set([
  'append',
  'commit',
  'save',
  'keepFloor',
  'setMany',
  'deleteMany',
  'renew',
  'claim',
  'release',
]);

/** Answered in pages. */
const STREAMS = new Set(['scanContributions', 'scanIndexes']);

/** Answered in the asking process, without a promise. */
const SYNCHRONOUS = new Set(['start', 'parsePosition']);

export class Network {
  constructor(
    private readonly scheduler: Scheduler,
    private readonly random: Random,
    readonly weather: Weather,
    private readonly pageMax: number,
    private readonly watch: Watcher,
  ) {}

  /** The port for one process. */
  wrap<P extends object>(port: P, life: Life, witness?: Witness): P {
    const wrapped = Object.create(port) as Record<string, unknown>;
    for (let proto: object = port; proto !== Object.prototype; proto = Object.getPrototypeOf(proto) as object) {
      for (const name of Object.getOwnPropertyNames(proto)) {
        const method: unknown = Object.getOwnPropertyDescriptor(proto, name)?.value;
        if (typeof method !== 'function' || name === 'constructor' || Object.hasOwn(wrapped, name)) continue;
        const bound = (method as Method).bind(port) as (...args: unknown[]) => unknown;
        if (name.startsWith('wait')) {
          wrapped[name] = (...args: unknown[]) => this.wait(life, bound as never, args);
        } else if (STREAMS.has(name) || (name === 'read' && port instanceof EventStore)) {
          wrapped[name] = (...args: unknown[]) => this.stream(life, name, bound as never, this.paged(args));
        } else if (!SYNCHRONOUS.has(name)) {
          wrapped[name] = (...args: unknown[]) =>
            this.call(
              life,
              name,
              async () => {
                const result = await bound(...(name === 'read' ? this.shorter(args) : args));
                witness?.(name, args, result);
                return result;
              },
              false,
              isRepeatable(name, args),
            );
        }
      }
    }
    return wrapped as P;
  }

  /** One call, done and answered when its events come. */
  call(life: Life, method: string, work: () => Promise<unknown>, page = false, repeatable = false): Promise<unknown> {
    if (life.dead) return new Promise(() => undefined);
    const { random, weather, scheduler } = this;
    // Most reads are near: nothing comes between their question and their answer.
    if (!page && READS.test(method) && random.chance(0.6)) return work();
    const failed = random.chance(weather.failRate);
    const unanswered = !failed && random.chance(weather.lostAckRate);
    const twice = random.chance(weather.twiceRate) && repeatable;
    const survives = random.chance(0.5);
    const apart = random.chance(0.3) ? this.travelMs() : 0;
    life.outstanding++;
    if (life.outstanding > life.outstandingMax) life.outstandingMax = life.outstanding;
    return new Promise((resolve, reject) => {
      const answer = (outcome: Outcome): void => {
        const deliver = (): void => {
          life.outstanding--;
          if ('error' in outcome) reject(outcome.error);
          else resolve(outcome.value);
          this.watch(life, method, 'answered');
        };
        if (apart === 0 && !life.paused) {
          if (!life.dead) deliver();
        } else scheduler.after(apart, deliver, life);
      };
      scheduler.after(this.travelMs(), async () => {
        if (life.dead && !survives) return;
        this.watch(life, method, 'before');
        if (life.dead && !survives) return;
        if (failed || (unanswered && READS.test(method))) {
          answer({ error: unreachable(method) });
          return;
        }
        const outcome = await outcomeOf(work);
        if (twice) scheduler.after(this.travelMs() * 4, () => outcomeOf(work).then(() => undefined));
        this.watch(life, method, 'done');
        answer(unanswered ? { error: unreachable(method) } : outcome);
      });
    });
  }

  private async *stream(
    life: Life,
    method: string,
    work: (...args: unknown[]) => AsyncIterable<unknown>,
    args: unknown[],
  ): AsyncGenerator {
    const pages = work(...args)[Symbol.asyncIterator]();
    for (;;) {
      const page = (await this.call(life, method, () => pages.next(), true)) as IteratorResult<unknown>;
      if (page.done === true) return;
      yield page.value;
    }
  }

  /** A wait ends late by up to 20 ms, and now and then without a reason. */
  private wait(
    life: Life,
    work: (from: unknown, ...rest: unknown[]) => Promise<void>,
    args: readonly unknown[],
  ): Promise<void> {
    const signal = args.at(-1) as AbortSignal;
    if (signal.aborted) return Promise.resolve();
    const ended = new AbortController();
    return new Promise((resolve) => {
      const finish = (): void => {
        signal.removeEventListener('abort', finish);
        ended.abort(OVER);
        resolve();
      };
      signal.addEventListener('abort', finish, { once: true });
      const [from, ...rest] = args.slice(0, -1);
      void work(from, ...rest, ended.signal).then(() => this.scheduler.after(this.random.real() * 20, finish, life));
      if (this.random.chance(0.02)) this.scheduler.after(this.random.real() * 500, finish, life);
    });
  }

  private travelMs(): number {
    const { random, weather } = this;
    const ms = random.real() * weather.latencyMs;
    return random.chance(0.02) ? ms * 20 : ms;
  }

  /** A page may always be shorter than asked for. */
  private shorter(args: unknown[]): unknown[] {
    return typeof args[1] === 'number' && args.length === 2
      ? [args[0], Math.min(args[1], this.pageMax), ...args.slice(2)]
      : args;
  }

  private paged(args: unknown[]): unknown[] {
    const options = (args[1] ?? {}) as { readonly pageSize?: number };
    return [args[0], { ...options, pageSize: Math.min(options.pageSize ?? 1_000, this.pageMax) }];
  }
}

/** A commit that leaves its checkpoint where it is would not be recognised when it came again. */
function isRepeatable(method: string, args: readonly unknown[]): boolean {
  if (method !== 'commit') return REPEATABLE.has(method);
  const { expected, checkpoint } = args[0] as ViewCommit;
  return expected !== checkpoint;
}

async function outcomeOf(work: () => Promise<unknown>): Promise<Outcome> {
  try {
    return { value: await work() };
  } catch (error) {
    if (error instanceof Error && error.name === 'Violation') throw error;
    return { error };
  }
}

function unreachable(method: string): UnavailableError {
  return new UnavailableError('STORE_UNREACHABLE', `${method}: the network failed on purpose.`, {
    fix: 'Try again: it fails by chance.',
  });
}
