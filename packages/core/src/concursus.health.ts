/**
 * How one context is doing, told once for people and for machines: whether its store answers, how far its views and what
 * leaves and enters it are behind, what is parked. `terminus.ts` makes a health indicator of it.
 */
import type { BufferState } from './pipeline/buffer.js';
import type { RelayState } from './pipeline/relay.js';
import type { CheckpointStore } from './ports/checkpoint-store.js';
import type { Clock } from './ports/clock.js';
import type { EventFeed } from './ports/event-feed.js';
import type { ViewStore } from './ports/view-store.js';
import { ConcursusError, InvalidEventError, UnavailableError } from './model/errors.js';
import type { HandlerState } from './processing/handler-runner.js';
import type { Projections } from './projection/projections.js';
import type { Concursus } from './concursus.runtime.js';

export interface HealthOptions {
  /** How far a view, a handler, a relay may be behind before it counts as a problem, 1 ms to a day. Default 60,000. */
  readonly lagMsMax?: number;
  /** How long the whole look may take, 1 ms to a minute; a store that has not answered by then is down. Default 5,000. */
  readonly timeoutMs?: number;
}

export interface ViewHealth {
  readonly name: string;
  /** How long ago what it takes next was recorded; 0 when it has taken everything. */
  readonly lagMs: number;
  /** Aggregates that it could not handle. */
  readonly parked: number;
  /** Whether this process runs it, or one of its shares. */
  readonly here: boolean;
}

/** A handler, or what settles under a name; of one that another process runs (`elsewhere`) only the lag is known here. */
export interface HandlerHealth extends HandlerState {
  /**
   * How long ago was recorded what its checkpoint has not passed; 0 when nothing stands behind it. A durable handler's passes what
   * is done or parked; a persistent one's, and that of what settles, what is kept in its queue: waiting there is no lag.
   */
  readonly lagMs: number;
}

export interface HealthReport {
  readonly context: string;
  /** `up`: nothing to tell. `degraded`: it takes events and answers, but see `problems`. `down`: the store or the buffer does not answer. */
  readonly status: 'up' | 'degraded' | 'down';
  /** What is wrong, in words, the worst first; at most 100. Names and figures only: nothing of events or settings. */
  readonly problems: readonly string[];
  readonly views: readonly ViewHealth[];
  readonly handlers: readonly HandlerHealth[];
  /** Relays, as this process sees them. The error itself is in the log. */
  readonly relays: readonly Omit<RelayState, 'error' | 'position'>[];
  /** Undefined without a `durable` slot. */
  readonly buffer: BufferState | undefined;
}

/** What it asks; made by the module. */
export interface HealthParts {
  readonly concursus: Concursus;
  readonly projections: Projections;
  readonly checkpoints: CheckpointStore;
  readonly viewStore: ViewStore;
  readonly feed: EventFeed;
  readonly clock: Clock;
}

const LAG_MS_MAX = 60_000;
const TIMEOUT_MS = 5_000;
const PROBLEMS_MAX = 100;
/** Pages without facts that are passed on the way to the next one. */
const PAGES_MAX = 16;
/** Never written: reading it asks the store whether it answers. */
const PROBE = 'health/probe';

/** Looks when it is asked, and keeps nothing: call it as often as a load balancer does. */
export class ConcursusHealth {
  constructor(private readonly parts: HealthParts) {}

  get context(): string {
    return this.parts.concursus.context;
  }

  /**
   * One look. Costs a read of the store, and two of each view and handler. What does not answer is told, not thrown.
   * @throws InvalidEventError `INVALID_ARGUMENT` for an option out of its bounds
   */
  async report(options: HealthOptions = {}): Promise<HealthReport> {
    const lagMsMax = within('lagMsMax', options.lagMsMax ?? LAG_MS_MAX, 86_400_000);
    const timeoutMs = within('timeoutMs', options.timeoutMs ?? TIMEOUT_MS, 60_000);
    const { concursus, clock } = this.parts;
    const relays = concursus.relays().map(({ name, state, published, lagMs }) => ({ name, state, published, lagMs }));
    const problems: string[] = [];
    let status: HealthReport['status'] = 'up';
    let views: readonly ViewHealth[] = [];
    let handlers: readonly HandlerHealth[] = [];
    let buffer: BufferState | undefined;
    const ended = new AbortController();
    try {
      [views, handlers, buffer] = await Promise.race([
        Promise.all([this.views(), this.handlers(), concursus.buffer(), this.parts.checkpoints.read(PROBE)]),
        clock.sleep(timeoutMs, ended.signal).then(() => {
          throw new UnavailableError('TIMEOUT', `No answer within ${timeoutMs} ms.`, { fix: 'See what it waits for.' });
        }),
      ]);
    } catch (error) {
      status = 'down';
      problems.push(
        `does not answer: ${ConcursusError.isInstance(error) ? `${error.code}: ${error.message}` : 'see the log'}`,
      );
    } finally {
      ended.abort();
    }
    const wrong = [
      ...viewProblems(views, lagMsMax),
      ...handlerProblems(handlers, lagMsMax),
      ...relayProblems(relays, lagMsMax),
    ];
    if (buffer?.problem !== undefined) wrong.unshift(`buffer: ${buffer.problem}`);
    if (wrong.length > 0 && status === 'up') status = 'degraded';
    problems.push(...wrong);
    return {
      context: this.context,
      status,
      problems: problems.slice(0, PROBLEMS_MAX),
      views,
      handlers,
      relays,
      buffer,
    };
  }

  private views(): Promise<ViewHealth[]> {
    const { projections } = this.parts;
    return Promise.all(
      projections.names.map(async (name) => {
        const [positions, parked] = await Promise.all([projections.positions(name), projections.parked(name)]);
        const lags = await Promise.all(positions.map((position) => this.lagBehind(position)));
        return { name, lagMs: Math.max(0, ...lags), parked: parked.length, here: projections.runsHere(name) };
      }),
    );
  }

  private async handlers(): Promise<HandlerHealth[]> {
    const { concursus, viewStore } = this.parts;
    const runner = concursus.handlerRunner;
    if (runner === undefined) return [];
    const states = runner.states();
    return Promise.all(
      runner.models.map(async ({ view }, i) => {
        const checkpoint = await viewStore.readCheckpoint(view);
        // Where a new name begins is kept when it is first run: before that it is behind nothing.
        return { ...states[i]!, lagMs: checkpoint === undefined ? 0 : await this.lagBehind(checkpoint) };
      }),
    );
  }

  private async lagBehind(position: string | undefined): Promise<number> {
    const { feed, clock } = this.parts;
    let from = position === undefined ? feed.start() : feed.parsePosition(position);
    for (let page = 0; page < PAGES_MAX; page++) {
      const { facts, next } = await feed.read(from, 1);
      if (facts.length > 0) return Math.max(0, clock.now() - facts[0]!.processedAt);
      if (from.covers(next)) break;
      // Only repeats stood there.
      from = next;
    }
    return 0;
  }
}

function within(name: string, value: number, most: number): number {
  if (Number.isFinite(value) && value >= 1 && value <= most) return value;
  throw new InvalidEventError('INVALID_ARGUMENT', `${name} is ${value}.`, { fix: `Give 1 to ${most}.` });
}

function viewProblems(views: readonly ViewHealth[], lagMsMax: number): string[] {
  return views.flatMap(({ name, lagMs, parked }) => [
    ...(lagMs > lagMsMax ? [`view ${name} is ${lagMs} ms behind`] : []),
    ...(parked > 0 ? [`view ${name} has ${parked} parked aggregates`] : []),
  ]);
}

function handlerProblems(handlers: readonly HandlerHealth[], lagMsMax: number): string[] {
  return handlers.flatMap(({ name, state, parked, lagMs }) => [
    ...(lagMs > lagMsMax ? [`handler ${name} is ${lagMs} ms behind`] : []),
    ...(state === 'halted' ? [`handler ${name} is halted: too much is parked`] : []),
    ...(parked > 0 ? [`handler ${name} has ${parked} parked events`] : []),
  ]);
}

function relayProblems(relays: HealthReport['relays'], lagMsMax: number): string[] {
  return relays.flatMap(({ name, state, lagMs = 0 }) => [
    ...(state === 'failing' ? [`relay ${name} is failing`] : []),
    ...(lagMs > lagMsMax ? [`relay ${name} is ${lagMs} ms behind`] : []),
  ]);
}
