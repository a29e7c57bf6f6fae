/**
 * Runs a plan: processes on one store, senders that try again until they are answered, askers, and everything that goes
 * wrong. Then all trouble ends, what is due is awaited, and the laws are checked (laws.ts). Over 400 lines, and one subject:
 * what can happen in one world.
 */
import {
  CATALOGUE,
  inMemory,
  inMemoryCache,
  UnavailableError,
  type AggregateModel,
  type Append,
  type AppendResult,
  type ConcursusError,
  type EventInput,
  type Layer,
  type OwnerRow,
  type RecordSummary,
  type TransientCache,
  type ViewCommit,
} from '@concursus/core';
import { inputOf } from './inputs.js';
import { Inspector } from './laws.js';
import { Mirror } from './mirror.js';
import { VIEWS } from './model.js';
import { OtherSide, type Consumers } from './other-side.js';
import type { Action, Plan } from './plan.js';
import { Random } from './random.js';
import { Life, Scheduler } from './scheduler.js';
import { EPOCH_MS, SimClock, type WallClock } from './sim-clock.js';
import { Network, type Weather, type Witness } from './sim-ports.js';
import { SimProcess } from './sim-process.js';
import { Truth } from './truth.js';
import { violated, Violation } from './violation.js';

/** What a run of a world came to. */
export interface Outcome {
  readonly violation: Violation | undefined;
  readonly steps: number;
  readonly kills: number;
  readonly recorded: number;
  readonly answers: number;
  /** Virtual time passed. */
  readonly virtualMs: number;
}

interface Running {
  readonly life: Life;
  readonly process: SimProcess;
  readonly up: { started: boolean };
}

type Send = Extract<Action, { kind: 'send' }>;
type Kill = Extract<Action, { kind: 'kill' }>;
type Rebuild = Extract<Action, { kind: 'rebuild' }>;
type Ask = Extract<Action, { kind: 'ask' }>;

/** A sender that was not answered tries again after so long. */
const TIMEOUT_MS = 1_500;
/** After all trouble, everything must be done within this much virtual time: leases, back-offs and retries included. */
const CALM_MS = 120_000;
const CALM_LATENCY_MS = 0.1;
/** Port calls one process may wait for at once (law 12): some for each consumer, and beside them three for each call under way. */
const OUTSTANDING_MAX = 60;

/** Runs a plan to its end, or to the first violation. Nothing outside the plan decides anything. */
export async function runWorld(plan: Plan): Promise<Outcome> {
  return await new World(plan).run();
}

/** Views whose projections cannot handle everything. */
const PARKING = ['fragile', 'by-event'] as const;

class World {
  readonly scheduler = new Scheduler();
  readonly truth: Truth;
  private readonly random: Random;
  private readonly network: Network;
  private readonly weather: Weather;
  private readonly disk: Layer<'persistent'>;
  private cache: TransientCache;
  private readonly inspector: Inspector;
  private readonly mirrors: readonly Mirror[];
  private readonly slots: (Running | undefined)[];
  private readonly everybody: Life[] = [];
  private readonly walls: WallClock[];
  private readonly armed: { readonly action: Kill; left: number }[] = [];
  private readonly otherSide: OtherSide;
  /** Those that were replaced while they were paused are among them. */
  private readonly runs: Running[] = [];
  private violation: Violation | undefined;
  private over = false;
  private offsetMaxMs: number;
  private waiting = 0;
  /** Retries of parked things that are not answered. */
  private readonly releasing = new Set<object>();
  /** What whoever starts has of each projection. */
  private readonly versions = new Map<string, number>();
  private kills = 0;
  private answers = 0;

  constructor(private readonly plan: Plan) {
    this.random = new Random(plan.networkSeed);
    const { latencyMs, failRate, lostAckRate, twiceRate } = plan;
    this.weather = { latencyMs, failRate, lostAckRate, twiceRate };
    this.network = new Network(this.scheduler, this.random.fork(), this.weather, plan.pageMax, (life, method, phase) =>
      this.called(life, method, phase),
    );
    const sends = plan.actions.filter((action): action is Send => action.kind === 'send');
    this.truth = new Truth(sends.flatMap((send) => send.items));
    this.otherSide = new OtherSide(
      plan,
      this.truth,
      (life, arrives) => this.carry(life, arrives),
      (check) => this.watchful(check),
    );
    const clock = this.clockOf(new Life('disk', -1, 0), { offsetMs: 0 });
    const context = { context: 'simulation', clock, logger: quiet };
    this.disk = inMemory().create(context) as Layer<'persistent'>;
    this.cache = (inMemoryCache({ entriesMax: 40 }).create(context) as Layer<'transient'>).ports.transientCache;
    this.walls = Array.from({ length: plan.processes }, (_, slot) => ({ offsetMs: plan.clockOffsets[slot] ?? 0 }));
    this.offsetMaxMs = Math.max(0, ...this.walls.map((wall) => wall.offsetMs));
    this.slots = this.walls.map(() => undefined);
    const fail = (violation: Violation): void => this.fail(violation);
    this.mirrors = VIEWS.map((view) => new Mirror(view, plan.shares, fail));
    const versionOf = (view: string): number => this.versions.get(view) ?? 1;
    this.inspector = new Inspector(this.disk.ports, this.truth, clock, this.mirrors, plan, versionOf);
  }

  async run(): Promise<Outcome> {
    const { scheduler, plan } = this;
    for (let slot = 0; slot < plan.processes; slot++) this.start(slot);
    for (const action of plan.actions) scheduler.at(action.at, () => this.act(action));
    const last = Math.max(0, ...plan.actions.map((action) => endOf(action, plan)));
    scheduler.at(last + 1_000, () => this.calmDown());
    try {
      await scheduler.run(() => this.over || this.violation !== undefined);
      if (this.violation === undefined && !this.over) violated(0, 'the world stood still before its end');
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      this.fail(error);
    }
    for (const life of this.everybody) life.dead = true;
    return {
      violation: this.violation,
      steps: scheduler.steps,
      kills: this.kills,
      recorded: this.truth.log.length,
      answers: this.answers,
      virtualMs: scheduler.nowMs,
    };
  }

  /** A check inside of production code, which would take a violation for an error of its own. */
  private watchful(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.fail(error as Violation);
    }
  }

  private fail(violation: Violation): void {
    this.violation ??= violation;
  }

  private clockOf(life: Life, wall: WallClock): SimClock {
    return new SimClock(this.scheduler, life, wall, this.random.fork());
  }

  private start(slot: number): void {
    const { disk, network, scheduler, plan } = this;
    const life = new Life(`process ${slot}.${this.everybody.length}`, slot, scheduler.nowMs);
    this.everybody.push(life);
    const clock = this.clockOf(life, this.walls[slot]!);
    const { ports } = disk;
    const witness: Witness = (method, args, result) => this.witnessed(life, method, args, result);
    const wrapped = {
      eventStore: network.wrap(ports.eventStore, life, witness),
      eventFeed: network.wrap(ports.eventFeed, life),
      viewStore: network.wrap(ports.viewStore, life, witness),
      snapshotStore: network.wrap(ports.snapshotStore, life),
      checkpointStore: network.wrap(ports.checkpointStore, life, witness),
      quarantine: network.wrap(ports.quarantine, life),
    };
    // Whatever the cache is by then: it may have been emptied.
    const shared: TransientCache = {
      getMany: (keys) => this.cache.getMany(keys),
      setMany: (entries, ttlMs) => this.cache.setMany(entries, ttlMs),
      deleteMany: (keys) => this.cache.deleteMany(keys),
    };
    const cache = plan.cache ? network.wrap(shared, life) : undefined;
    const options = {
      leaseMs: plan.leaseMs,
      sharing: plan.sharing,
      shares: plan.shares,
      pageSize: plan.pageMax === 1_000 ? 1_000 : plan.pageMax * 2,
      snapshots: plan.snapshots,
      policy: plan.policy,
      versions: this.versions,
    };
    const { otherSide } = this;
    const consumers = {
      time: plan.time,
      of: (thing: AggregateModel): Consumers => otherSide.consumersOf(life, thing),
    };
    const some = otherSide.views.length > 0 ? consumers : undefined;
    const process = new SimProcess(life.name, wrapped, cache, clock, options, some);
    const running: Running = { life, process, up: { started: false } };
    this.slots[slot] = running;
    this.runs.push(running);
    void process.start().then(
      () => {
        running.up.started = true;
        for (const mirror of this.mirrors) {
          if (plan.processes === 1 || this.mirrors.indexOf(mirror) % plan.processes === slot)
            void mirror.follow(process.projections.view(mirror.view), life, (ms) => clock.sleep(ms));
        }
      },
      (error: unknown) => {
        if (life.dead) return;
        if (!isRetryable(error)) this.fail(new Violation(0, `a process could not start: ${String(error)}`));
        this.kill(running, 300);
      },
    );
  }

  /** A call to the other side. It has its own bad moments, so that some effects are done long before those that came earlier. */
  private async carry(life: Life, arrives: () => void): Promise<void> {
    if (this.weather.latencyMs > CALM_LATENCY_MS && this.random.chance(0.2)) {
      throw new UnavailableError('TIMEOUT', 'The other side is busy on purpose.', { fix: 'Try again.' });
    }
    await this.network.call(life, 'effect', async () => arrives());
  }

  /** What the disk has done, told before anybody learns of it. */
  private witnessed(life: Life, method: string, args: readonly unknown[], result: unknown): void {
    if (method === 'append') this.truth.appended(args[0] as readonly Append[], result as readonly AppendResult[]);
    else if (method === 'commit') {
      const commit = args[0] as ViewCommit;
      this.truth.committed(commit);
      this.otherSide.committed(commit, life);
    } else if (method === 'save' && args.length === 3) {
      const [name, value, { epoch }] = args as [string, string, { readonly epoch: number }];
      this.truth.wrote(name, epoch);
      this.truth.saved(name, value);
      if (name.startsWith('view:')) this.called(life, 'switch', 'done');
    } else if (method === 'claim') this.truth.claimed(result as OwnerRow | undefined);
  }

  private kill(running: Running, restartMs: number): void {
    const { life } = running;
    if (life.dead) return;
    life.dead = true;
    life.deferred.length = 0;
    this.kills++;
    if (this.slots[life.slot] !== running) return;
    this.slots[life.slot] = undefined;
    this.scheduler.after(restartMs, () => {
      if (this.slots[life.slot] === undefined) this.start(life.slot);
    });
  }

  /** A process that was told to die at one of its calls. */
  private called(life: Life, method: string, phase: string): void {
    for (const [i, one] of this.armed.entries()) {
      const { on, to, restartMs } = one.action;
      if (to !== life.slot || on!.method !== method || on!.phase !== phase || life.dead) continue;
      if (--one.left > 0) continue;
      this.armed.splice(i, 1);
      const running = this.slots[life.slot];
      if (running?.life === life) this.kill(running, restartMs);
      return;
    }
  }

  private act(action: Action): void | Promise<void> {
    switch (action.kind) {
      case 'send':
        this.waiting++;
        this.send(action, 0);
        return undefined;
      case 'ask':
        return this.ask(action);
      case 'kill': {
        const running = this.slots[action.to];
        if (action.on !== undefined) this.armed.push({ action, left: action.on.nth });
        else if (running !== undefined) this.kill(running, action.restartMs);
        return undefined;
      }
      case 'pause':
        return this.pause(action.to, action.forMs, action.replaced);
      case 'clock':
        this.walls[action.to]!.offsetMs += action.byMs;
        this.offsetMaxMs = Math.max(this.offsetMaxMs, this.walls[action.to]!.offsetMs);
        return undefined;
      case 'inspect':
        return this.inspector.inspect();
      case 'forget':
        return this.forget();
      case 'retry-parked': {
        const running = this.slots[action.to];
        if (running?.up.started === true) this.scheduler.after(0, () => this.retryParked(running), running.life);
        return undefined;
      }
      case 'deploy':
        this.versions.set(action.view, (this.versions.get(action.view) ?? 1) + 1);
        for (let slot = 0; slot < this.plan.processes; slot++)
          this.scheduler.after(slot * action.everyMs, () => this.replace(slot));
        return undefined;
      case 'rebuild':
        return this.rebuild(action);
    }
  }

  /** Ended for another to be started in its place. */
  private replace(slot: number): void {
    const running = this.slots[slot];
    if (running !== undefined) this.kill(running, 50);
  }

  /** Asked once: what is taken in is built, whatever becomes of who was asked. */
  private rebuild(action: Rebuild): void {
    const running = this.slots[action.to];
    if (running?.up.started !== true) return;
    const asked = (): void => {
      const { shares } = this.plan;
      const first = shares === 1 || action.view === CATALOGUE ? action.view : `${action.view}#0/${shares}`;
      const read = this.truth.generationRead(first);
      running.process.projections.rebuild(action.view).then(
        ({ version, generation }) => {
          if (!running.life.dead && String(version + generation * 1_000_000) === read)
            this.fail(new Violation(7, `"${action.view}" is to be built anew, and ${read} is read already`));
        },
        (error: unknown) => {
          if (!running.life.dead && !isRetryable(error))
            this.fail(new Violation(0, `a building anew was refused: ${String(error)}`));
        },
      );
    };
    this.scheduler.after(0, asked, running.life);
  }

  private retryParked({ process, up }: Running): void {
    if (!up.started) return;
    for (const view of PARKING) {
      const retry = {};
      this.releasing.add(retry);
      const done = (): void => {
        this.releasing.delete(retry);
      };
      process.projections
        .retryParked(view)
        .catch(() => undefined)
        .finally(done);
    }
  }

  private pause(slot: number, forMs: number, replaced: boolean): void {
    const running = this.slots[slot];
    if (running === undefined || running.life.paused) return;
    const { life } = running;
    life.paused = true;
    if (replaced) this.start(slot);
    this.scheduler.after(forMs, () => this.resume(life));
  }

  private resume(life: Life): void {
    if (!life.paused) return;
    life.paused = false;
    // What came meanwhile comes now, in order, each with its own turn.
    for (const run of life.deferred.splice(0)) this.scheduler.at(this.scheduler.nowMs, run, life);
  }

  /** Law 13: the cache and all snapshots are gone. */
  private async forget(): Promise<void> {
    const clock = this.clockOf(new Life('cache', -1, 0), { offsetMs: 0 });
    const context = { context: 'simulation', clock, logger: quiet };
    this.cache = (inMemoryCache({ entriesMax: 40 }).create(context) as Layer<'transient'>).ports.transientCache;
    for (const id of new Set(this.truth.log.map(({ draft }) => draft.id)))
      await this.disk.ports.snapshotStore.remove({ tenant: '', type: 'thing', id }, 1, '');
  }

  /** A message on its way: sent again, to whoever answers, until it is. */
  private send(action: Send, tries: number): void {
    const running = this.slots[(action.to + tries) % this.plan.processes];
    const again = (): void => {
      if (action.once && tries > 0) this.waiting--;
      else this.scheduler.after(20 + this.random.real() * 200, () => this.send(action, tries + 1));
    };
    if (running === undefined || !running.up.started) {
      this.scheduler.after(100, () => this.send(action, tries));
      return;
    }
    let settled = false;
    const settle = (then: () => void): void => {
      if (settled) return;
      settled = true;
      then();
    };
    this.scheduler.after(TIMEOUT_MS, () => settle(again));
    // A paused process takes it when it goes on; a dead one never.
    this.scheduler.after(0, () => this.deliver(action, running, settle, again), running.life);
  }

  private deliver(action: Send, running: Running, settle: (then: () => void) => void, again: () => void): void {
    running.life.called();
    const inputs = action.items.map((draft) => inputOf(draft, draft.kind === 'event' && this.random.chance(0.5)));
    const { bus } = running.process;
    const answered = action.how === 'call' ? bus.record(inputs) : bus.record(streamOf(inputs));
    answered.then(
      (summary) => {
        if (running.life.dead) return;
        running.life.calls--;
        this.acknowledged(action, summary);
        settle(() => {
          this.waiting--;
        });
      },
      (error: unknown) => {
        if (running.life.dead) return;
        running.life.calls--;
        if (!isRetryable(error)) this.fail(new Violation(0, `record() rejected with ${String(error)}`));
        settle(again);
      },
    );
  }

  /** Law 1: what is acknowledged is there, now and for good. */
  private acknowledged(action: Send, summary: RecordSummary): void {
    const { received, recorded, repeated, conflicting } = summary;
    if (received !== action.items.length || recorded + repeated + conflicting !== received)
      this.fail(
        new Violation(
          1,
          `of ${action.items.length} events came ${JSON.stringify({ ...summary, items: summary.items.map((item) => item.outcome) })}`,
        ),
      );
    for (const draft of action.items) {
      if (!this.truth.has(draft)) this.fail(new Violation(1, `acknowledged and not stored: ${JSON.stringify(draft)}`));
    }
  }

  private ask(action: Ask): void {
    const running = this.slots[action.to];
    if (running?.up.started === true) this.scheduler.after(0, () => this.askOf(running, action), running.life);
  }

  private askOf(running: Running, action: Ask): void {
    const { process, life } = running;
    const now = EPOCH_MS + Math.floor(this.scheduler.nowMs) + this.walls[action.to]!.offsetMs;
    const lastId = this.truth.log.at(-1)?.processingId;
    const knownAt = action.agoMs === undefined ? lastId : now - action.agoMs;
    const question = { id: action.id, asOf: action.asOf === undefined ? undefined : EPOCH_MS + action.asOf, knownAt };
    void this.inspector.ask(process, question).then(
      () => {
        this.answers++;
      },
      (error: unknown) => {
        if (life.dead) return;
        if (error instanceof Violation) this.fail(error);
        else if (!isRetryable(error) && (error as Partial<ConcursusError>).code !== 'NOT_YET_KNOWN')
          this.fail(new Violation(0, `a question was refused: ${String(error)}`));
      },
    );
  }

  /** All trouble ends; from here on everything must come right. */
  private calmDown(): void {
    // Clocks are set right, and none is behind what any of them has shown.
    for (const wall of this.walls) wall.offsetMs = this.offsetMaxMs;
    Object.assign(this.weather, { latencyMs: CALM_LATENCY_MS, failRate: 0, lostAckRate: 0, twiceRate: 0 });
    this.armed.length = 0;
    this.releasing.clear();
    for (const life of this.everybody) if (!life.dead) this.resume(life);
    for (let slot = 0; slot < this.plan.processes; slot++) if (this.slots[slot] === undefined) this.start(slot);
    this.watchCalm(this.scheduler.nowMs + CALM_MS, 0);
  }

  private watchCalm(untilMs: number, released: number): void {
    this.scheduler.after(200, async () => {
      const lag =
        released > 0 && this.releasing.size > 0
          ? `${this.releasing.size} retries of what is parked are not answered`
          : this.waiting > 0
            ? `${this.waiting} messages are not answered`
            : await this.inspector.lag(this.otherSide.views);
      // Between two owners nobody can release anything.
      const alive = this.runs.filter(({ life }) => !life.dead);
      const owned = PARKING.every((view) => {
        const here = new Set(alive.flatMap(({ process }) => process.projections.sharesHere(view)));
        return here.size === this.plan.shares;
      });
      if (lag === undefined && released < 1 && !owned && this.scheduler.nowMs < untilMs) {
        this.watchCalm(untilMs, released);
        return;
      }
      if (lag === undefined && released < 1) {
        // What can be released is: in whichever process runs the projection.
        for (const running of this.runs) if (!running.life.dead) this.retryParked(running);
        this.watchCalm(untilMs, released + 1);
        return;
      }
      const owed = lag === undefined ? this.otherSide.owed() : undefined;
      if (lag === undefined && owed === undefined) {
        await this.finish();
        return;
      }
      if (this.scheduler.nowMs > untilMs && owed !== undefined) violated(owed.law, owed.what);
      if (this.scheduler.nowMs > untilMs) violated(7, `after ${CALM_MS} ms without trouble ${lag}`);
      this.watchCalm(untilMs, released);
    });
  }

  private async finish(): Promise<void> {
    await this.inspector.finish();
    const asked = this.slots[this.random.int(0, this.plan.processes - 1)]!;
    void this.inspector
      .askAgain(asked.process)
      .then(async () => {
        for (const life of this.everybody) {
          if (life.outstandingMax > OUTSTANDING_MAX + 3 * life.callsMax)
            violated(12, `${life.name} waited for ${life.outstandingMax} port calls at once`);
        }
        await Promise.all(this.runs.filter(({ life }) => !life.dead).map(({ process }) => process.stop()));
        this.otherSide.judge();
        this.over = true;
      })
      .catch((error: unknown) => {
        this.fail(error instanceof Violation ? error : new Violation(0, `the end failed: ${String(error)}`));
      });
    this.scheduler.after(60_000, () => violated(7, 'the processes did not stop within 60,000 ms'));
  }
}

/** When all of an action has begun. */
function endOf(action: Action, { processes }: Plan): number {
  return action.kind === 'deploy' ? action.at + processes * action.everyMs : action.at;
}

const quiet = { log: () => undefined, warn: () => undefined, error: () => undefined };

function isRetryable(error: unknown): boolean {
  return typeof error === 'object' && error !== null && (error as { retryable?: unknown }).retryable === true;
}

async function* streamOf(inputs: readonly EventInput[]): AsyncGenerator<EventInput> {
  yield* inputs;
}
