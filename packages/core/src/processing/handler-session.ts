/**
 * One handler name while this process owns it. Each round: take in what finished, read ahead, choose what to call next,
 * commit all of it at once, and only then call. So what is called is known to the store as attempted, what is done is
 * known before its place is given to another, and a kill or a loss of power repeats at most `inFlightMax` calls.
 */
import { ConflictError, UnavailableError } from '../model/errors.js';
import type { Clock } from '../ports/clock.js';
import type { EventFeed } from '../ports/event-feed.js';
import type { EventStore } from '../ports/event-store.js';
import type { LayerLogger } from '../ports/layer.js';
import type { ViewStore } from '../ports/view-store.js';
import { EffectLedger } from './effect-ledger.js';
import type { ConsumerModel } from './consumer-model.js';
import { EffectPlan } from './effect-plan.js';
import { EffectWindow } from './effect-window.js';
import type { Call, Entry, Plan } from './entry.js';
import { WorkModel } from './work-model.js';
import { FeedIntake, type Intake } from './feed-intake.js';
import type { FeedReader } from './feed-pages.js';
import { HandlerModel } from './handlers.js';
import { ParkedRetry } from './parked-retry.js';
import { Parking } from './parking.js';
import { PersistentQueue } from './persistent-queue.js';
import { isPassing, waitMs } from './retry-policy.js';
import type { WatermarkFactory, WatermarkSource } from './watermark-source.js';

export interface SessionParts {
  readonly store: EventStore;
  readonly feed: EventFeed;
  /** Where it reads the feed. */
  readonly pages: FeedReader;
  readonly views: ViewStore;
  readonly clock: Clock;
  readonly logger: LayerLogger;
  /** The bounded context: part of every idempotency key. */
  readonly context: string;
  readonly watermarks: WatermarkFactory;
  /** Parked events of one handler name; at the bound it calls nothing more. */
  readonly parkedMax: number;
}

interface Outcome {
  readonly entry: Entry;
  readonly call: Call;
  readonly error: unknown;
  readonly failed: boolean;
}

/** While too much is parked, how often it is looked again. */
const HALTED_MS = 1_000;
/** Rounds between two turns of the rest of the process. */
const TURN_ROUNDS = 16;

export class HandlerSession {
  readonly window = new EffectWindow();
  private readonly running = new Set<Promise<void>>();
  private finished: Outcome[] = [];
  private ending: 'stop' | 'lost' | undefined;
  private readonly stopping = new AbortController();
  private resting: AbortController | undefined;
  private saidHalted = false;
  private ledger!: EffectLedger;
  private plan!: Plan;
  private intake!: Intake & { readonly uncorrected: number };
  private retry!: ParkedRetry;
  parking!: Parking;

  private constructor(
    private readonly parts: SessionParts,
    readonly model: ConsumerModel,
    readonly epoch: number,
  ) {}

  /** Reads everything the handler's view keeps. */
  static async open(
    parts: SessionParts,
    model: ConsumerModel,
    epoch: number,
    checkpoint: string,
  ): Promise<HandlerSession> {
    const session = new HandlerSession(parts, model, epoch);
    const { views, feed, pages, store, context } = parts;
    const ledger = await EffectLedger.open(parts, model, epoch, checkpoint);
    const parking = await Parking.open(views, feed, model.view, ledger);
    const accept = (entry: Entry): void => session.accept(entry);
    session.ledger = ledger;
    session.parking = parking;
    session.retry = new ParkedRetry(parking, session.window, parts.clock, model.inFlightMax, () => session.wake());
    const watermark = async (): Promise<WatermarkSource> => {
      const notes = await views.readNotes(model.view, 'w');
      return parts.watermarks(notes.map(({ key, value }) => ({ key: key.slice(1), value })));
    };
    if (model instanceof WorkModel) {
      const { window } = session;
      const { logger } = parts;
      const opened = {
        store,
        feed,
        pages,
        views,
        context,
        logger,
        ledger,
        window,
        accept,
        watermark: await watermark(),
      };
      const work = await model.open(opened);
      session.plan = work.plan;
      session.intake = work.intake;
      return session;
    }
    if (!(model instanceof HandlerModel)) throw new TypeError(`"${model.name}" is no consumer that can be run.`);
    const [start] = await views.readNotes(model.view, 'start');
    const plan = new EffectPlan({
      store,
      context,
      model,
      start: start === undefined ? undefined : feed.parsePosition(start.value as string),
      isDiscarded: (key) => parking.isDiscarded(key),
    });
    session.plan = plan;
    if (model.schedule === 'durable') {
      session.intake = new FeedIntake(feed, pages, context, model, ledger, session.window, accept);
    } else {
      const queueParts = { store, feed, pages, views, context, watermark: await watermark(), plan };
      session.intake = await PersistentQueue.open(queueParts, model, ledger, session.window, accept);
    }
    return session;
  }

  get inFlight(): number {
    return this.running.size;
  }

  /** Corrections that nothing was called for, because there is no method for them. */
  get uncorrected(): number {
    return this.intake.uncorrected;
  }

  /** Too much is parked: nothing new is called until some of it is retried or discarded. */
  get isHalted(): boolean {
    return this.parking.total >= this.parts.parkedMax;
  }

  get requests(): ParkedRetry {
    return this.retry;
  }

  /** `stop`: what is under way is finished and saved · `lost`: nothing more is called, nothing saved. */
  end(how: 'stop' | 'lost'): void {
    this.ending ??= how;
    this.stopping.abort();
    this.wake();
  }

  /** Until it is told to end. @throws ConflictError the name is another process's */
  async run(): Promise<void> {
    let failures = 0;
    for (let round = 1; this.ending === undefined; round++) {
      try {
        await this.round();
        failures = 0;
      } catch (error) {
        if (error instanceof ConflictError) {
          this.end('lost');
          await Promise.all(this.running);
          this.retry.end(error);
          throw error;
        }
        if (this.ending !== undefined) break;
        const wait = waitMs(this.model.retry, ++failures, this.parts.clock);
        this.parts.logger.warn(
          `The handler "${this.model.name}" could not go on, trying again in ${wait} ms: ${String(error)}`,
        );
        await this.parts.clock.sleep(wait, this.stopping.signal);
      }
      if (round % TURN_ROUNDS === 0) await nextTurn();
    }
    await this.drain();
  }

  private async drain(): Promise<void> {
    await Promise.all(this.running);
    try {
      if (this.ending === 'stop') {
        this.settle();
        await this.save(true);
      }
    } finally {
      this.retry.end(
        new UnavailableError('SHUTTING_DOWN', `The handler "${this.model.name}" is given up by this process.`, {
          fix: 'Ask again; whoever runs it next will answer.',
        }),
      );
    }
  }

  private async round(): Promise<void> {
    this.settle();
    if (!this.isHalted) await this.intake.fill();
    const starts = await this.take();
    // The attempts of what is called next, and all that is done: one commit, on disk before the calls. Without calls it need
    // not be: what is lost with it is what was done since, at most `inFlightMax`, as the next calls wait for a durable one.
    try {
      await this.save(starts.length > 0 || this.retry.isAnswering);
    } catch (error) {
      // None of them was called: each is still the head of its lane, and chosen anew.
      for (const [entry] of starts) this.window.again(entry);
      throw error;
    }
    if (this.ending !== undefined) return;
    for (const [entry, call] of starts) this.call(entry, call);
    await this.retry.serve();
    const more = (!this.isHalted && this.intake.more) || this.ledger.isDirty;
    const canTake = this.window.isReady && this.unsaved < this.model.inFlightMax;
    if (!more && !canTake) await this.rest();
  }

  private async save(durable: boolean): Promise<void> {
    this.intake.beforeSave();
    await this.ledger.save(this.stopping.signal, durable);
    this.intake.saved();
    this.retry.saved();
  }

  /** A new entry: behind what is parked of its aggregate, else into the window. */
  private accept(entry: Entry): void {
    if (this.parking.has(entry.aggregateText)) this.putAside(entry, undefined);
    else this.window.push(entry);
  }

  /** Calls that would be repeated after a kill: under way, or done and not in the ledger. */
  private get unsaved(): number {
    return this.running.size + this.finished.length;
  }

  /** As many entries as there are free places, each marked with its attempt. */
  private async take(): Promise<(readonly [Entry, Call])[]> {
    const starts: (readonly [Entry, Call])[] = [];
    const now = this.parts.clock.monotonicMs();
    while (this.unsaved + starts.length < this.model.inFlightMax && this.ending === undefined) {
      const entry = this.window.next(now);
      if (entry === undefined) break;
      if (this.isHalted && !this.retry.owns(entry)) {
        this.sayHalted();
        this.window.delay(entry, now + HALTED_MS);
        continue;
      }
      try {
        entry.calls ??= await this.plan.of(entry);
      } catch (error) {
        this.failed(entry, error);
        continue;
      }
      for (const { key } of entry.calls) {
        if (entry.done.has(key) || !this.ledger.holdsCall(key)) continue;
        entry.done.add(key);
        entry.origin.called(entry, key);
      }
      const call = entry.calls.find(({ key }) => !entry.done.has(key));
      if (call === undefined) {
        this.complete(entry);
        continue;
      }
      entry.attempt++;
      this.ledger.mark(entry.key, entry.attempt, entry.failures);
      starts.push([entry, call]);
    }
    return starts;
  }

  private call(entry: Entry, call: Call): void {
    const late = entry.late === undefined ? undefined : { settledUpTo: entry.late };
    const run = async (): Promise<void> => {
      let outcome: Outcome;
      try {
        await call.run({ attempt: entry.attempt, late });
        // Done only once the handler has answered: what is in the ledger was done.
        outcome = { entry, call, error: undefined, failed: false };
      } catch (error) {
        outcome = { entry, call, error, failed: true };
      }
      this.finished.push(outcome);
      this.running.delete(running);
      this.wake();
    };
    const running: Promise<void> = Promise.resolve().then(run);
    this.running.add(running);
  }

  /** Stages what finished calls came to. */
  private settle(): void {
    const { finished } = this;
    this.finished = [];
    for (const { entry, call, error, failed } of finished) {
      if (failed) this.failed(entry, error);
      else {
        call.done?.();
        entry.done.add(call.key);
        if (entry.calls!.every(({ key }) => entry.done.has(key))) this.complete(entry);
        else {
          entry.origin.called(entry, call.key);
          entry.attempt = 0;
          entry.failures = 0;
          this.ledger.unmark(entry.key);
          this.window.again(entry);
        }
      }
    }
  }

  private complete(entry: Entry): void {
    entry.origin.leave(entry, 'done');
    this.ledger.unmark(entry.key);
    this.window.done(entry);
  }

  private failed(entry: Entry, error: unknown): void {
    const { clock, logger } = this.parts;
    const { name, retry } = this.model;
    const passing = isPassing(error);
    if (!passing) entry.failures++;
    if (!passing && this.retry.owns(entry)) {
      entry.origin.failedAgain?.(entry, error);
      this.ledger.unmark(entry.key);
      this.retry.gaveUp(entry);
      return;
    }
    const what = `${entry.aggregate.type} ${entry.aggregate.id}, "${entry.fact[3]}"`;
    if (!passing && entry.failures >= retry.attempts) {
      logger.error(
        `The handler "${name}" failed ${entry.failures} times for ${what} and parked it; later events of ${entry.aggregate.id} wait behind it: ${String(error)}`,
        error instanceof Error ? error.stack : undefined,
      );
      this.window.done(entry);
      this.putAside(entry, error);
      for (const other of this.window.evict(entry.lane, entry.aggregateText)) this.putAside(other, undefined);
      return;
    }
    if (entry.attempt > 0) this.ledger.mark(entry.key, entry.attempt, entry.failures);
    const wait = waitMs(retry, passing ? Math.max(1, entry.attempt) : entry.failures, clock);
    logger.warn(`The handler "${name}" failed for ${what} and is tried again in ${wait} ms: ${String(error)}`);
    this.window.delay(entry, clock.monotonicMs() + wait);
  }

  /** Parks an entry that is out of the window. */
  private putAside(entry: Entry, error: unknown): void {
    this.parking.park(entry, error, this.parts.clock.now());
    entry.origin.leave(entry, 'parked');
    this.ledger.unmark(entry.key);
    this.sayHalted();
  }

  private sayHalted(): void {
    if (!this.isHalted) {
      this.saidHalted = false;
      return;
    }
    if (this.saidHalted) return;
    this.saidHalted = true;
    this.parts.logger.error(
      `The handler "${this.model.name}" has ${this.parking.total} parked events and calls nothing more: correct it, then retry or discard them (ParkedEvents). Nothing is lost meanwhile.`,
    );
  }

  private wake(): void {
    this.resting?.abort();
  }

  /** Until a call finishes, a fact may have come, a wait is over, or somebody wants something. */
  private async rest(): Promise<void> {
    if (this.finished.length > 0 || this.ending !== undefined || this.retry.isWaiting) return;
    const ended = new AbortController();
    const { signal } = ended;
    this.resting = ended;
    const waits: Promise<void>[] = [
      new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true })),
    ];
    if (this.intake.atEnd && !this.isHalted) waits.push(this.parts.feed.wait(this.intake.position, signal));
    const due = this.window.nextDueMs;
    if (due !== undefined)
      waits.push(this.parts.clock.sleep(Math.max(1, due - this.parts.clock.monotonicMs()), signal));
    try {
      await Promise.race(waits);
    } finally {
      this.resting = undefined;
      ended.abort();
    }
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
