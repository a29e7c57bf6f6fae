/** What people ask of the process that runs a handler: try parked events again, in order per aggregate, or discard them. */
import type { Clock } from '../ports/clock.js';
import type { EffectWindow } from './effect-window.js';
import type { Entry } from './entry.js';
import type { Parking } from './parking.js';

const LANE = '\u0000retry\u0000';
/** Parked events of one aggregate in memory. */
const PAGE = 50;

/** Which parked events are meant. */
export interface ParkedSelection {
  readonly aggregateText?: string;
  readonly idempotencyKey?: string;
}

interface Asked {
  readonly kind: 'retry' | 'discard';
  readonly which: ParkedSelection;
  readonly by: string;
  readonly reason: string;
  readonly done: (count: number) => void;
  readonly failed: (error: unknown) => void;
}

interface Job {
  readonly asked: Asked;
  readonly pending: string[];
  /** Aggregates being tried, and behind which entry the next are read. */
  readonly active: Map<string, string | undefined>;
  handled: number;
}

export class ParkedRetry {
  private readonly asked: Asked[] = [];
  private job: Job | undefined;
  /** Done, and to be answered when it is stored. */
  private readonly answers: { readonly asked: Asked; readonly count: number }[] = [];

  constructor(
    private readonly parking: Parking,
    private readonly window: EffectWindow,
    private readonly clock: Clock,
    private readonly aggregatesMax: number,
    private readonly wake: () => void,
  ) {}

  /** Resolves, once it is saved, to how many were handled or discarded. */
  ask(kind: 'retry' | 'discard', which: ParkedSelection, by = '', reason = ''): Promise<number> {
    return new Promise((done, failed) => {
      this.asked.push({ kind, which, by, reason, done, failed });
      this.wake();
    });
  }

  /** Whether something asked for could begin now. */
  get isWaiting(): boolean {
    return this.job === undefined && this.asked.length > 0;
  }

  /** Whether somebody is answered when the next commit is stored. */
  get isAnswering(): boolean {
    return this.answers.length > 0;
  }

  owns(entry: Entry): boolean {
    return entry.lane.startsWith(LANE);
  }

  /** An entry failed again: its aggregate stays parked from there on, others go on. */
  gaveUp(entry: Entry): void {
    this.window.done(entry);
    this.window.evict(entry.lane, entry.aggregateText);
    this.job?.active.delete(entry.aggregateText);
  }

  /** Goes on with what was asked; call it right after a commit, so that reads see all that is staged. */
  async serve(): Promise<void> {
    if (this.job === undefined) {
      const next = this.asked.shift();
      if (next === undefined) return;
      if (next.kind === 'discard') return await this.discard(next);
      const { aggregateText } = next.which;
      const pending = aggregateText === undefined ? this.parking.aggregates : [aggregateText];
      this.job = { asked: next, pending, active: new Map(), handled: 0 };
    }
    const { job } = this;
    for (const [aggregate, after] of job.active) {
      if (this.window.has(LANE + aggregate)) continue;
      if (this.parking.has(aggregate)) await this.load(job, aggregate, after);
      else job.active.delete(aggregate);
    }
    while (job.active.size < this.aggregatesMax && job.pending.length > 0) {
      const aggregate = job.pending.shift()!;
      if (!this.parking.has(aggregate)) continue;
      job.active.set(aggregate, undefined);
      await this.load(job, aggregate, undefined);
    }
    if (job.active.size > 0) return;
    this.job = undefined;
    job.asked.done(job.handled);
  }

  private async discard(asked: Asked): Promise<void> {
    const { which, by, reason } = asked;
    try {
      const count = await this.parking.discard(which, { by, reason, discardedAt: this.clock.now() });
      // Nothing to be stored: nothing to wait for.
      if (count === 0) asked.done(0);
      else this.answers.push({ asked, count });
    } catch (error) {
      asked.failed(error);
    }
  }

  private async load(job: Job, aggregate: string, after: string | undefined): Promise<void> {
    const entries = await this.parking.load(aggregate, LANE + aggregate, after, PAGE, () => job.handled++);
    for (const entry of entries) {
      this.window.push(entry);
      job.active.set(aggregate, entry.order);
    }
  }

  /** What was staged is stored. */
  saved(): void {
    for (const { asked, count } of this.answers.splice(0)) asked.done(count);
  }

  /** Nobody is served any more. */
  end(error: unknown): void {
    for (const { asked } of this.answers.splice(0)) asked.failed(error);
    for (const { failed } of this.asked.splice(0)) failed(error);
    this.job?.asked.failed(error);
    this.job = undefined;
  }
}
