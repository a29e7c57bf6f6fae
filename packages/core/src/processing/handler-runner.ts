/**
 * Runs the durable and persistent handlers, and what settles, whose owner rows this process holds. One name is run by one process at a time;
 * the epoch of its owner row, checked in each commit, refuses a former one. Stop 11 of the walk for side effects.
 */
import { setMaxListeners } from 'node:events';
import { ConflictError } from '../model/errors.js';
import type { CheckpointStore } from '../ports/checkpoint-store.js';
import { ConsumerModel, type Schedule } from './consumer-model.js';
import { FeedPages } from './feed-pages.js';
import { HandlerModel, type HandlerConsumer } from './handlers.js';
import { HandlerSession, type SessionParts } from './handler-session.js';
import { Ownership, type OwnershipOptions } from './ownership.js';
import { Mailbox, type ParkedRequest } from './parked-mailbox.js';
import { nothingSettles, type WatermarkFactory } from './watermark-source.js';

export interface HandlerRunnerParts extends Omit<SessionParts, 'watermarks' | 'parkedMax' | 'pages'> {
  readonly checkpoints: CheckpointStore;
  /** A name no other process has. */
  readonly process: string;
  /** How persistent handlers learn what is settled. Without it nothing settles. */
  readonly watermarks?: WatermarkFactory;
  /** Pages of this feed that others of the process read, too. Without it they are shared by these names. */
  readonly pages?: FeedPages | undefined;
}

export interface HandlerRunnerOptions extends OwnershipOptions {
  /** Parked events of one handler name, at which it calls nothing more. Default 100,000: some 60 MB in its view. */
  readonly parkedMax?: number;
}

/** How one handler name is doing, as this process sees it. */
export interface HandlerState {
  readonly name: string;
  readonly schedule: Schedule;
  /** `elsewhere`: another process runs it, or nobody yet · `halted`: too much is parked, nothing more is called. */
  readonly state: 'running' | 'elsewhere' | 'halted';
  /** Events read ahead and not done. */
  readonly waiting: number;
  readonly inFlight: number;
  readonly parked: number;
  /** Corrections of what was handled, or had settled, for which there is no method, since this process runs it. */
  readonly uncorrected: number;
}

const IDLE_MS = 1_000;
const BACK_OFF_MS = 100;
const BACK_OFF_MAX_MS = 30_000;
/** Between two looks at what other processes ask for. */
const MAILBOX_MS = 500;

export class HandlerRunner {
  readonly models: readonly ConsumerModel[];
  readonly mailbox: Mailbox;
  private readonly ownership: Ownership;
  private readonly sessions = new Map<string, HandlerSession>();
  private readonly stopping: AbortController;
  private readonly running: Promise<void>[] = [];
  /** What is run under each name now, until it is saved. */
  private readonly working = new Map<string, Promise<void>>();
  /** Aborted when an owner row was won or lost, and for good when all stops: one signal, since a lasting one would remember every wait. */
  private changed: AbortController;
  private readonly session: Omit<SessionParts, 'pages'>;
  private readonly pages: FeedPages;

  constructor(
    private readonly parts: HandlerRunnerParts,
    consumers: readonly (HandlerConsumer | ConsumerModel)[],
    options: HandlerRunnerOptions = {},
  ) {
    const { watermarks = nothingSettles } = parts;
    this.session = { ...parts, watermarks, parkedMax: options.parkedMax ?? 100_000 };
    this.pages = parts.pages ?? new FeedPages(parts.feed, parts.clock);
    this.models = consumers.map((one) => (one instanceof ConsumerModel ? one : new HandlerModel(one)));
    this.stopping = this.awaited();
    this.changed = this.awaited();
    this.mailbox = new Mailbox(parts.checkpoints, parts.clock);
    this.ownership = new Ownership(
      parts.checkpoints,
      parts.clock,
      parts.logger,
      parts.process,
      () => this.wakeAll(),
      options,
    );
    for (const model of this.models)
      this.ownership.watch(model.ownerName, { group: model.ownerName, letGo: () => this.letGo(model) });
  }

  async start(): Promise<void> {
    if (this.models.length === 0) return;
    // A new name starts where the feed stands now, whoever will own it.
    for (const model of this.models) await this.begin(model, 0);
    await this.ownership.start();
    for (const model of this.models) this.running.push(this.run(model));
    this.running.push(this.attend());
  }

  /** Finishes what is under way, saves what is done and gives the names up. */
  async stop(): Promise<void> {
    this.stopping.abort();
    for (const session of this.sessions.values()) session.end('stop');
    this.changed.abort();
    await Promise.all(this.running);
    await this.ownership.stop();
  }

  /** The state of each name, for health checks. */
  states(): HandlerState[] {
    return this.models.map(({ name, schedule }) => {
      const session = this.sessions.get(name);
      return {
        name,
        schedule,
        state: session === undefined ? 'elsewhere' : session.isHalted ? 'halted' : 'running',
        waiting: session?.window.size ?? 0,
        inFlight: session?.inFlight ?? 0,
        parked: session?.parking.total ?? 0,
        uncorrected: session?.uncorrected ?? 0,
      };
    });
  }

  /** Does what is asked when this process runs the handler; undefined when it does not. */
  serve(name: string, request: ParkedRequest): Promise<number> | undefined {
    const { kind, which, by, reason } = request;
    return this.sessions.get(name)?.requests.ask(kind, which, by, reason);
  }

  /** Every name may wait for it at once: as many as that are no leak to warn of. */
  private awaited(): AbortController {
    const controller = new AbortController();
    setMaxListeners(this.models.length + 1, controller.signal);
    return controller;
  }

  private wakeAll(): void {
    for (const [name, session] of this.sessions) {
      const held = this.ownership.held(session.model.ownerName);
      if (held?.epoch !== session.epoch) {
        this.sessions.delete(name);
        session.end('lost');
      }
    }
    const waited = this.changed;
    if (!this.stopping.signal.aborted) this.changed = this.awaited();
    waited.abort();
  }

  /** Keeps where a name begins, when it is new. */
  private async begin(model: ConsumerModel, epoch: number): Promise<void> {
    const { views, feed } = this.parts;
    if ((await views.readCheckpoint(model.view)) !== undefined) return;
    const start = model.fromBeginning ? feed.start() : await feed.end();
    try {
      await views.commit({
        view: model.view,
        owner: model.ownerName,
        epoch,
        expected: undefined,
        checkpoint: start.toString(),
        rows: [],
        contributions: [],
        forget: [],
        indexAdd: [],
        indexRemove: [],
        changes: [],
        notes: model.fromBeginning ? [] : [{ key: 'start', value: start.toString() }],
        // Begun anew at a later end, it would pass over what was recorded in between.
        durable: true,
      });
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error; // another process began it
    }
  }

  private async run(model: ConsumerModel): Promise<void> {
    let failures = 0;
    while (!this.stopping.signal.aborted) {
      const held = this.ownership.held(model.ownerName);
      if (held === undefined) {
        await this.parts.clock.sleep(IDLE_MS, this.changed.signal);
        continue;
      }
      const work = this.runOwned(model, held.epoch);
      this.working.set(model.name, work);
      try {
        await work;
        failures = 0;
      } catch (error) {
        if (error instanceof ConflictError) {
          this.ownership.lost(model.ownerName);
          continue;
        }
        const waitMs = Math.min(BACK_OFF_MS * 2 ** Math.min(failures++, 10), BACK_OFF_MAX_MS);
        this.parts.logger.error(
          `The handler "${model.name}" could not be run, trying again in ${waitMs} ms: ${String(error)}`,
          error instanceof Error ? error.stack : undefined,
        );
        await this.parts.clock.sleep(waitMs, this.stopping.signal);
      } finally {
        this.working.delete(model.name);
      }
    }
  }

  /** Calls nothing more, and waits until what is under way is finished and saved. */
  private async letGo(model: ConsumerModel): Promise<void> {
    const session = this.sessions.get(model.name);
    this.sessions.delete(model.name);
    session?.end('stop');
    // What it throws is the loop's to tell.
    await this.working.get(model.name)?.catch(() => undefined);
  }

  private async runOwned(model: ConsumerModel, epoch: number): Promise<void> {
    const { views } = this.parts;
    await this.begin(model, epoch);
    const checkpoint = await views.readCheckpoint(model.view);
    if (checkpoint === undefined) return; // the name was lost meanwhile
    const pages = this.pages.reader();
    let session: HandlerSession | undefined;
    try {
      session = await HandlerSession.open({ ...this.session, pages }, model, epoch, checkpoint);
      if (this.stopping.signal.aborted || this.ownership.held(model.ownerName)?.epoch !== epoch) return;
      this.sessions.set(model.name, session);
      await session.run();
    } finally {
      pages.close();
      if (this.sessions.get(model.name) === session) this.sessions.delete(model.name);
    }
  }

  /** Answers what other processes ask of the handlers that this one runs: of all side by side, as an answer may take its time. */
  private async attend(): Promise<void> {
    const answering = new Map<string, Promise<void>>();
    while (!this.stopping.signal.aborted) {
      await this.parts.clock.sleep(MAILBOX_MS, this.stopping.signal);
      if (this.stopping.signal.aborted) break;
      for (const name of this.sessions.keys()) {
        if (answering.has(name)) continue;
        answering.set(
          name,
          this.answer(name).finally(() => answering.delete(name)),
        );
      }
    }
    await Promise.all(answering.values());
  }

  private async answer(name: string): Promise<void> {
    try {
      await this.mailbox.attend(name, (request) => this.serve(name, request));
    } catch (error) {
      this.parts.logger.warn(`What was asked of the handler "${name}" could not be answered yet: ${String(error)}`);
    }
  }
}
