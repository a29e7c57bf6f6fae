/**
 * Runs the projections this process owns: reads the feed, folds what changed, commits rows, contributions, changes and
 * checkpoint together. Stop 13 of the walk.
 *
 * Projections at one position go in step: the page is read and each aggregate folded once for all of them. One that
 * starts later or failed goes on its own until it stands where the others stand. A generation that is built follows the feed
 * up to where the view that is read stands, and takes over there. Over 400 lines, and one subject: the loop.
 */
import type { EventRegistry } from '../mapping/event-registry.js';
import { aggregateKeyText, type AggregateKey } from '../model/event.js';
import { ConflictError } from '../model/errors.js';
import type { Position } from '../model/position.js';
import type { CheckpointStore, OwnerRow } from '../ports/checkpoint-store.js';
import type { Clock } from '../ports/clock.js';
import type { EventFeed } from '../ports/event-feed.js';
import type { EventStore } from '../ports/event-store.js';
import type { LayerLogger } from '../ports/layer.js';
import type { ViewStore } from '../ports/view-store.js';
import type { Snapshots } from '../query/snapshots.js';
import { Ownership, type OwnershipOptions } from '../processing/ownership.js';
import { TimePolicies } from '../time/time-options.js';
import { adopt } from './adoption.js';
import { FoldCache } from './fold-cache.js';
import { Generations, generationText, ownerNameOf, sameGeneration, viewRefOf, type Generation } from './generations.js';
import { Lineage } from './lineage.js';
import { buildGeneration, readUpTo, type RebuildOptions } from './rebuild.js';
import { foldPage, leaveOutParked, type TrackStep } from './page-fold.js';
import { firstAfter, releaseParked } from './parked.js';
import type { ProjectionModel } from './projection.js';
import { readSources, SourceTrack } from './source-track.js';
import { TouchedAggregates } from './touched.js';
import { Track, type ParkedAggregate, type StepTime } from './track.js';

export interface RunnerOptions extends OwnershipOptions {
  /** Facts of one step, hence of one transaction. Default 1,000. */
  readonly pageSize?: number;
  /** The same while there is more to read: steps double up to it. Default eight times `pageSize`, some 30 ms of work. */
  readonly catchUpPageSize?: number;
  /** The first wait after a failed step; doubles up to 64 times it. Default 50 ms. */
  readonly backOffMs?: number;
  /** How much of its time a process gives to building views anew. */
  readonly rebuild?: RebuildOptions;
}

export interface RunnerParts {
  readonly store: EventStore;
  readonly feed: EventFeed;
  readonly views: ViewStore;
  readonly checkpoints: CheckpointStore;
  readonly registry: EventRegistry;
  readonly clock: Clock;
  readonly logger: LayerLogger;
  /** A name no other process has. */
  readonly process: string;
  /** How late sources may be. Default: 24 hours each. */
  readonly time?: TimePolicies | undefined;
  /** Where folds of long histories may start. */
  readonly snapshots?: Snapshots | undefined;
  /** Told how far the input watermark is, after each step. */
  readonly onWatermark?: ((inputWatermark: number) => void) | undefined;
}

interface Group {
  readonly tracks: Track[];
  readonly folds: FoldCache;
  readonly aggregates: TouchedAggregates;
  /** What is known of sources, as far as pages are folded; undefined until it is read, and after a step that failed. */
  sources: SourceTrack | undefined;
  /** Facts of its next page. */
  pageSize: number;
  failures: number;
  resumeAtMs: number;
  /** When it looked last, nothing was recorded behind it. */
  atEnd: boolean;
}

interface Retry {
  readonly name: string;
  readonly text: string | undefined;
  readonly done: (count: number) => void;
  readonly failed: (error: unknown) => void;
}

/** A page, folded and not yet committed. */
interface Step {
  readonly parts: readonly TrackStep[];
  readonly time: StepTime;
  readonly next: Position;
  readonly atEnd: boolean;
}

/** Steps made in a row while there is more to read, and how long, ms: then ownership and other groups have their turn. */
const RUN_STEPS = 16;
const RUN_MS = 100;
/** The same of a generation that is built. */
const RUN_BUILDING_MS = 20;
/** Between two looks at which generations are read and asked for. */
const LOOK_MS = 400;

export class ProjectionRunner {
  private readonly generations: Generations;
  private lineages: Lineage[] = [];
  /** Owner rows of what was read when this process started; and of each generation since. */
  private readonly ownership: Ownership;
  private readonly first = new Set<string>();
  private readonly later = new Map<string, Ownership>();
  private looking: Promise<void> | undefined;
  private groups: Group[] = [];
  private readonly stopping = new AbortController();
  private wake = new AbortController();
  private running: Promise<void> | undefined;
  private readonly retries: Retry[] = [];
  /** Work on views that must stand still for it. */
  private readonly works: { readonly name: string; readonly run: (track: Track | undefined) => Promise<void> }[] = [];
  /** Retries of views that are just switching. */
  private readonly deferred: Retry[] = [];
  private progressed: () => void = () => undefined;
  private progress: Promise<void> = Promise.resolve();
  private readonly time: TimePolicies;
  private readonly pageSize: number;
  private readonly catchUpPageSize: number;
  private readonly backOffMs: number;

  constructor(
    private readonly parts: RunnerParts,
    readonly models: readonly ProjectionModel[],
    private readonly options: RunnerOptions = {},
  ) {
    this.time = parts.time ?? new TimePolicies({});
    this.pageSize = options.pageSize ?? 1_000;
    this.catchUpPageSize = options.catchUpPageSize ?? this.pageSize * 8;
    this.backOffMs = options.backOffMs ?? 50;
    this.generations = new Generations(parts.checkpoints, parts.views);
    this.ownership = this.newOwnership();
    this.renewProgress();
  }

  private newOwnership(): Ownership {
    const { checkpoints, clock, logger, process } = this.parts;
    return new Ownership(checkpoints, clock, logger, process, () => this.wake.abort(), this.options);
  }

  /** Claims what is free and starts the loop. */
  async start(): Promise<void> {
    if (this.models.length === 0) return;
    const now = this.parts.clock.now();
    this.lineages = await Promise.all(
      this.models.map(async (model) => {
        const live = await this.generations.open(model.name, model.version, now);
        return new Lineage(model, live, this.generations, await this.generations.requested(model.name));
      }),
    );
    for (const { model, live, own } of this.lineages) {
      if (!own) continue;
      const name = ownerNameOf(model.name, live);
      this.first.add(name);
      this.ownership.watch(name);
    }
    await this.ownership.start();
    this.looking = this.look();
    this.running = this.loop();
  }

  /** Notices what other processes asked for or switched, and what is to be tried again. */
  private async look(): Promise<void> {
    const { clock, logger } = this.parts;
    while (!this.stopping.signal.aborted) {
      await clock.sleep(this.options.beatMs ?? LOOK_MS, this.stopping.signal);
      if (this.stopping.signal.aborted) return;
      try {
        await this.lookNow();
      } catch (error) {
        logger.warn(`The generations of the views could not be read, trying again: ${String(error)}`);
      }
    }
  }

  /** Sees at once what was asked for. */
  async lookNow(): Promise<void> {
    for (const lineage of this.lineages) {
      if ((await lineage.look()) || lineage.resumeAtMs !== undefined) this.wake.abort();
    }
  }

  /** Finishes the step in hand and gives the projections up. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.wake.abort();
    for (const { build, switching } of this.lineages) {
      build?.stop.abort();
      switching?.stop.abort();
    }
    await this.running;
    await this.looking;
    for (const { build, switching } of this.lineages) {
      await build?.done;
      await switching?.done;
    }
    await this.ownership.stop();
    for (const ownership of this.later.values()) await ownership.stop();
    for (const retry of [...this.retries.splice(0), ...this.deferred.splice(0)]) retry.done(0);
    for (const work of this.works.splice(0)) await work.run(undefined);
    this.progressed();
  }

  /** Resolves after the next committed step of any projection of this process. */
  nextStep(): Promise<void> {
    return this.progress;
  }

  /** Whether this process runs the projection now. */
  runs(name: string): boolean {
    return this.track(name) !== undefined;
  }

  /** Parked aggregates, as the running owner knows them; undefined when another process runs the projection. */
  parkedOf(name: string): readonly ParkedAggregate[] | undefined {
    const track = this.track(name);
    return track === undefined ? undefined : [...track.parked.values()];
  }

  /** Tries one parked aggregate (or all) again; resolves to how many were released. Only in the owner's process. */
  retryParked(name: string, aggregate?: AggregateKey): Promise<number> {
    if (this.stopping.signal.aborted) return Promise.resolve(0);
    const text = aggregate === undefined ? undefined : aggregateKeyText(aggregate.tenant, aggregate.type, aggregate.id);
    return new Promise((done, failed) => {
      this.retries.push({ name, text, done, failed });
      this.wake.abort();
    });
  }

  /**
   * Holds the view that is read still and works on it, with what writes it; undefined when it is not run here. The others go on.
   * Afterwards it is taken up again from what the store holds.
   */
  still<T>(name: string, work: (track: Track) => Promise<T>): Promise<T | undefined> {
    if (this.stopping.signal.aborted || this.track(name) === undefined) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.works.push({
        name,
        run: (track) => {
          const done = track === undefined ? Promise.resolve(undefined) : work(track);
          resolve(done);
          return done.then(
            () => undefined,
            () => undefined,
          );
        },
      });
      this.wake.abort();
    });
  }

  /** Takes what is asked for out of the loop; what is just switching waits. */
  private holdStill(): void {
    for (const work of this.works.splice(0)) {
      const lineage = this.lineages.find(({ model }) => model.name === work.name);
      if (lineage?.switching !== undefined) {
        this.works.push(work);
        continue;
      }
      const live = lineage === undefined ? undefined : this.trackOf(lineage, lineage.live);
      if (lineage === undefined || live === undefined) {
        void work.run(undefined);
        continue;
      }
      this.takeOut(live);
      const done = work.run(live).then(() => this.putBack(lineage));
      lineage.switching = { stop: new AbortController(), live, done };
    }
  }

  private takeOut(track: Track): void {
    for (const { tracks } of this.groups) {
      const at = tracks.indexOf(track);
      if (at !== -1) tracks.splice(at, 1);
    }
    this.groups = this.groups.filter(({ tracks }) => tracks.length > 0);
  }

  /** The loop takes up whichever generation is read now, from what the store holds. */
  private putBack(lineage: Lineage): void {
    lineage.switching = undefined;
    this.retries.push(...this.deferred.splice(0));
    this.renewProgress();
    this.wake.abort();
  }

  /** What this process writes of the view that is read. */
  private track(name: string): Track | undefined {
    const lineage = this.lineages.find(({ model }) => model.name === name);
    return lineage === undefined ? undefined : (lineage.switching?.live ?? this.trackOf(lineage, lineage.live));
  }

  private trackOf({ model }: Lineage, generation: Generation): Track | undefined {
    for (const { tracks } of this.groups) {
      for (const track of tracks) {
        if (track.model === model && sameGeneration(track.generation, generation)) return track;
      }
    }
    return undefined;
  }

  private lineageOf(track: Track): Lineage {
    return this.lineages.find(({ model }) => model === track.model)!;
  }

  private held(name: string): OwnerRow | undefined {
    return this.ownership.held(name) ?? this.later.get(name)?.held(name);
  }

  private lost(name: string): void {
    this.ownership.lost(name);
    this.later.get(name)?.lost(name);
  }

  /** Claims or watches a generation that came up after the start. */
  private async watch(name: string): Promise<void> {
    if (this.first.has(name) || this.later.has(name)) return;
    const ownership = this.newOwnership();
    ownership.watch(name);
    this.later.set(name, ownership);
    await ownership.start();
  }

  private async unwatch(name: string): Promise<void> {
    const ownership = this.later.get(name);
    this.later.delete(name);
    await ownership?.stop();
  }

  private renewProgress(): void {
    const last = this.progressed;
    this.progress = new Promise((resolve) => {
      this.progressed = resolve;
    });
    last();
  }

  private async loop(): Promise<void> {
    let failures = 0;
    while (!this.stopping.signal.aborted) {
      try {
        // Whatever woke is looked at now.
        if (this.wake.signal.aborted && !this.stopping.signal.aborted) this.wake = new AbortController();
        await this.join();
        await this.handleRetries();
        this.holdStill();
        failures = 0;
        const more = await this.round();
        this.takeOver();
        if (!more) await this.rest();
      } catch (error) {
        const waitMs = this.waitMs(++failures);
        this.parts.logger.warn(`Projections could not go on, trying again in ${waitMs} ms: ${String(error)}`);
        this.renewProgress();
        await this.parts.clock.sleep(waitMs, this.stopping.signal);
      }
    }
  }

  private waitMs(failures: number): number {
    return this.backOffMs * 2 ** Math.min(failures - 1, 6);
  }

  /** One step of every group that may go on; true when there may be more at once. */
  private async round(): Promise<boolean> {
    let more = false;
    for (const group of [...this.groups]) {
      if (this.stopping.signal.aborted) return false;
      if (group.resumeAtMs > this.parts.clock.monotonicMs()) continue;
      try {
        if (await this.step(group)) more = true;
      } catch (error) {
        this.setBack(group, error);
      }
    }
    this.merge();
    return more;
  }

  /** A step broke before its commit: what it folded so far is ahead of the views, so it is forgotten, and the group goes on by itself. */
  private setBack(group: Group, error: unknown): void {
    group.folds.clear();
    group.sources = undefined;
    group.failures++;
    const waitMs = this.waitMs(group.failures);
    group.resumeAtMs = this.parts.clock.monotonicMs() + waitMs;
    const names = group.tracks.map((track) => `"${track.model.name}"`).join(', ');
    this.parts.logger.warn(`A step of ${names} failed, trying again in ${waitMs} ms: ${String(error)}`);
    this.renewProgress();
  }

  /** Waits for events, for ownership to change, or for a failed group's turn. */
  private async rest(): Promise<void> {
    if (this.wake.signal.aborted) {
      // Something changed during the round: look again before waiting.
      this.wake = new AbortController();
      return;
    }
    if (this.stopping.signal.aborted || this.retries.length > 0 || this.joinable()) return;
    const wake = this.wake.signal;
    const waiting = this.groups.filter((group) => group.resumeAtMs > 0);
    // One that is built here goes on with the view that is read.
    const going = this.groups.filter((group) => group.resumeAtMs === 0 && this.leaderOf(group) === 'none');
    // Not AbortSignal.any: the lasting signal would remember every rest of the process's life.
    const ended = new AbortController();
    const { signal } = ended;
    const end = (): void => ended.abort();
    wake.addEventListener('abort', end, { once: true });
    const waits: Promise<void>[] = going.map((group) => this.parts.feed.wait(group.tracks[0]!.position, signal));
    for (const group of waiting) {
      waits.push(this.parts.clock.sleep(Math.max(1, group.resumeAtMs - this.parts.clock.monotonicMs()), signal));
    }
    if (waits.length === 0)
      waits.push(new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true })));
    try {
      await Promise.race(waits);
    } finally {
      wake.removeEventListener('abort', end);
      ended.abort();
    }
  }

  private joinable(): boolean {
    return this.lineages.some(
      ({ model, live, own, switching }) =>
        own &&
        switching === undefined &&
        this.held(ownerNameOf(model.name, live)) !== undefined &&
        this.track(model.name) === undefined,
    );
  }

  /** Takes up projections newly owned, drops those lost, and keeps each track's epoch current. */
  private async join(): Promise<void> {
    for (const group of this.groups) {
      for (let i = group.tracks.length - 1; i >= 0; i--) {
        const track = group.tracks[i]!;
        const { live, next } = this.lineageOf(track);
        const held = this.held(track.ownerName);
        const wanted = sameGeneration(track.generation, track.building ? next : live);
        if (wanted && held?.epoch === track.owner.epoch) track.owner = held;
        else {
          group.tracks.splice(i, 1);
          this.renewProgress(); // whoever waited for this projection's next step waits no longer
        }
      }
    }
    this.groups = this.groups.filter((group) => group.tracks.length > 0);
    for (const lineage of this.lineages) {
      if (lineage.switching !== undefined) continue;
      if (lineage.own) await this.joinLive(lineage);
      await this.joinNext(lineage);
    }
    this.merge();
  }

  private async joinLive(lineage: Lineage): Promise<void> {
    const { model, live } = lineage;
    const { views, feed } = this.parts;
    const name = ownerNameOf(model.name, live);
    await this.watch(name);
    const held = this.held(name);
    if (held === undefined || this.trackOf(lineage, live) !== undefined) return;
    // Looked at with the row in hand: whoever had it before may have ended this generation.
    if ((await this.generations.retiredFor(model.name, live)) !== undefined) {
      await lineage.look();
      this.wake.abort();
      return;
    }
    const checkpoint = await views.readCheckpoint(viewRefOf(model.name, live));
    const position = checkpoint === undefined ? feed.start() : feed.parsePosition(checkpoint);
    const track = new Track(model, views, held, checkpoint, position, live);
    track.stand(readSources(this.time, await track.load(), false).table.inputWatermark);
    this.groups.push(this.groupOf(track, 0, 0));
    // What was parked in an earlier run is tried once more with this run's code.
    if (track.parked.size > 0)
      this.retries.push({ name: model.name, text: undefined, done: () => undefined, failed: () => undefined });
  }

  /** The next generation is built where the view that is read is run, or by whoever has the new code. */
  private async joinNext(lineage: Lineage): Promise<void> {
    const { model, live, next, build, built } = lineage;
    const name = next === undefined ? undefined : ownerNameOf(model.name, next);
    const here = next !== undefined && (!lineage.own || this.trackOf(lineage, live) !== undefined);
    if (!here) {
      build?.stop.abort();
      lineage.built = undefined;
      if (name !== undefined) await this.unwatch(name);
      return;
    }
    await this.watch(name!);
    const held = this.held(name!);
    if (build !== undefined) {
      if (held?.epoch !== build.owner.epoch) build.stop.abort();
      return;
    }
    if (held === undefined || this.trackOf(lineage, next) !== undefined) return;
    if (built?.owner.epoch === held.epoch && sameGeneration(built.generation, next)) {
      lineage.built = undefined;
      this.groups.push(this.groupOf(built, 0, 0));
      return;
    }
    if (lineage.resumeAtMs !== undefined && lineage.resumeAtMs > this.parts.clock.monotonicMs()) return;
    lineage.resumeAtMs = undefined;
    const stop = new AbortController();
    lineage.build = { stop, owner: held, done: this.build(lineage, held, stop.signal) };
  }

  private async build(lineage: Lineage, owner: OwnerRow, signal: AbortSignal): Promise<void> {
    const { model, live, next } = lineage;
    try {
      const options = this.options.rebuild ?? {};
      lineage.built = await buildGeneration(this.parts, model, next!, live, owner, options, signal);
    } catch (error) {
      if (error instanceof ConflictError) this.lost(ownerNameOf(model.name, next!));
      this.postpone(lineage, `The view "${model.name}" could not be built`, error);
    } finally {
      lineage.build = undefined;
      this.wake.abort();
    }
  }

  private postpone(lineage: Lineage, what: string, error: unknown): void {
    if (this.stopping.signal.aborted) return;
    const waitMs = this.waitMs(++lineage.failures);
    lineage.resumeAtMs = this.parts.clock.monotonicMs() + waitMs;
    this.parts.logger.warn(`${what}, trying again in ${waitMs} ms: ${String(error)}`);
  }

  /** Whose place a group goes up to: only one that is built has a leader, the view that is read, if it is run here. */
  private leaderOf(group: Group): Track | 'none' | undefined {
    const [track] = group.tracks;
    if (track?.building !== true) return 'none';
    const lineage = this.lineageOf(track);
    return lineage.own ? this.trackOf(lineage, lineage.live) : 'none';
  }

  /** What is built and stands where the view that is read stands takes over: both leave the loop until it is done. */
  private takeOver(): void {
    for (const group of [...this.groups]) {
      const [track] = group.tracks;
      if (track?.building !== true || this.stopping.signal.aborted) continue;
      const lineage = this.lineageOf(track);
      const leader = this.leaderOf(group);
      if (leader === undefined || lineage.switching !== undefined) continue;
      if (leader === 'none' ? !group.atEnd : leader.position.toString() !== track.position.toString()) continue;
      const live = leader === 'none' ? undefined : leader;
      if (live !== undefined) this.takeOut(live);
      this.takeOut(track);
      const stop = new AbortController();
      lineage.switching = { stop, live, done: this.switchOver(lineage, track, live, stop.signal) };
    }
  }

  /** Afterwards the loop takes up whichever generation is read then, from what the store holds. */
  private async switchOver(
    lineage: Lineage,
    track: Track,
    live: Track | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { model, live: from, request } = lineage;
    const { clock, logger, checkpoints } = this.parts;
    let row: OwnerRow | undefined;
    try {
      const old = { ref: viewRefOf(model.name, from), generation: from };
      // Nobody here has the code of the old version: whoever still runs it is stopped by the next epoch.
      if (live === undefined) row = await this.fence(model.name, from, track);
      let beatMs = clock.monotonicMs();
      const report = await adopt(this.parts, old, track, request?.startedAt ?? clock.now(), signal, async () => {
        if (row === undefined || clock.monotonicMs() - beatMs < (this.options.beatMs ?? LOOK_MS)) return;
        row = await checkpoints.renew(row);
        beatMs = clock.monotonicMs();
      });
      await this.generations.retire(model.name, from, track.generation, row?.epoch ?? live!.owner.epoch);
      await this.generations.follow(model.name, from, track.generation);
      await lineage.look();
      lineage.failures = 0;
      logger.log(
        `The view "${model.name}" is read from ${generationText(track.generation)} now: ${report.rows} rows, ${report.added} added, ${report.removed} removed, ${report.changed} changed.`,
      );
    } catch (error) {
      this.postpone(
        lineage,
        `The view "${model.name}" could not go over to ${generationText(track.generation)}`,
        error,
      );
    } finally {
      if (row !== undefined) await checkpoints.release(row).catch(() => undefined);
      this.putBack(lineage);
    }
  }

  private async fence(name: string, old: Generation, track: Track): Promise<OwnerRow> {
    const { checkpoints, views, feed } = this.parts;
    const owner = ownerNameOf(name, old);
    const row = await checkpoints.claim(owner, this.parts.process, await checkpoints.readOwner(owner));
    if (row === undefined) throw leaseTaken(owner);
    const checkpoint = await views.readCheckpoint(viewRefOf(name, old));
    if (checkpoint === undefined || track.position.covers(feed.parsePosition(checkpoint))) return row;
    await checkpoints.release(row);
    throw leaseTaken(owner);
  }

  /** Groups that stand at one place go on together; the first one's folds are as right as the others'. */
  private merge(): void {
    const byPlace = new Map<string, Group>();
    for (const group of this.groups) {
      const place = group.tracks[0]!.position.toString();
      if (group.tracks[0]!.building) {
        byPlace.set(`${place}#building${byPlace.size}`, group);
        continue;
      }
      const other = byPlace.get(place);
      if (other === undefined || group.resumeAtMs > 0 || other.resumeAtMs > 0) {
        byPlace.set(group.resumeAtMs > 0 ? `${place}#${byPlace.size}` : place, group);
      } else {
        other.tracks.push(...group.tracks);
        // Who counts reads on with what it counted.
        if (other.sources?.counts !== countsSources(other)) other.sources = undefined;
      }
    }
    this.groups = [...byPlace.values()];
  }

  /**
   * Steps of one group, a page each; false when there was nothing. While a step commits, the next page is read and folded:
   * folds run ahead of the views by one page, and what is ahead when a step fails is forgotten with it.
   */
  private async step(group: Group): Promise<boolean> {
    let step = await this.prepare(group, group.tracks[0]!.position);
    if (step === undefined) {
      group.failures = 0;
      group.resumeAtMs = 0;
      group.atEnd = true;
      return false;
    }
    const until = this.parts.clock.monotonicMs() + (group.tracks[0]!.building ? RUN_BUILDING_MS : RUN_MS);
    for (let n = 1; ; n++) {
      const committing = this.commitAll(group, step);
      let ahead: Step | undefined;
      let failure: { readonly error: unknown } | undefined;
      if (!step.atEnd && n < RUN_STEPS && this.mayRunOn(until)) {
        try {
          ahead = await this.prepare(group, step.next);
        } catch (error) {
          failure = { error };
        }
      }
      await committing;
      group.atEnd = step.atEnd;
      if (group.tracks.length === 0) return true;
      if (failure !== undefined) throw failure.error;
      if (ahead === undefined) return true;
      step = ahead;
    }
  }

  /** Others get their turn: retries, ownership, groups at other places. */
  private mayRunOn(untilMs: number): boolean {
    return !this.wake.signal.aborted && this.retries.length === 0 && this.parts.clock.monotonicMs() < untilMs;
  }

  /** Reads one page and folds what it touched; undefined when there was nothing. */
  private async prepare(group: Group, from: Position): Promise<Step | undefined> {
    const leader = this.leaderOf(group);
    if (leader === undefined) return undefined;
    const { feed } = this.parts;
    const page =
      leader === 'none'
        ? await feed.read(from, group.pageSize)
        : from.covers(leader.position)
          ? undefined
          : await readUpTo(feed, from, leader.position, group.pageSize);
    if (page === undefined || (page.facts.length === 0 && from.covers(page.next))) return undefined;
    // Larger steps while there is much to catch up with: a history folds once a step, and a row is written once.
    group.pageSize = page.atEnd ? this.pageSize : Math.min(group.pageSize * 2, this.catchUpPageSize);
    group.sources ??= await this.sourcesOf(group);
    const touched = group.aggregates.of(page.facts);
    const parts = await foldPage(this.parts, group.tracks, group.folds, touched, page.next);
    return { parts, time: group.sources.take(page.facts), next: page.next, atEnd: page.atEnd };
  }

  private async sourcesOf(group: Group): Promise<SourceTrack> {
    const counting = group.tracks.find((track) => track.model.statistics === true);
    const notes = await (counting ?? group.tracks[0]!).sourceNotes();
    return new SourceTrack(this.time, notes, counting !== undefined);
  }

  private async commitAll(group: Group, step: Step): Promise<void> {
    const now = this.parts.clock.now();
    const parts = step.parts.filter(({ track }) => group.tracks.includes(track));
    for (const part of parts) leaveOutParked(part);
    const results = await Promise.allSettled(
      parts.map(({ track, touched, computed, held }) =>
        track.commit(
          touched,
          computed,
          held,
          step.time,
          step.next,
          now,
          (one, after, upTo) => firstAfter(this.parts.store, one, after, upTo),
          ({ key }, error) => {
            this.parts.logger.error(
              `The projection "${track.model.name}" could not handle ${key.type} ${key.id} and parked it: ${error.message}`,
              error.stack,
            );
          },
        ),
      ),
    );
    for (let p = 0; p < parts.length; p++) {
      const result = results[p]!;
      if (result.status === 'rejected') this.fail(group, parts[p]!.track, result.reason);
    }
    if (group.tracks.length > 0) {
      group.failures = 0;
      group.resumeAtMs = 0;
      if (!group.tracks[0]!.building) this.parts.onWatermark?.(step.time.inputWatermark);
    }
    this.renewProgress();
  }

  /** A track whose commit failed: fenced ones are another's now, the others try again on their own. */
  private fail(group: Group, track: Track, reason: unknown): void {
    track.dropCaches();
    group.tracks.splice(group.tracks.indexOf(track), 1);
    if (group.tracks.length === 0) {
      group.folds.clear();
      this.groups = this.groups.filter((other) => other !== group);
    }
    if (reason instanceof ConflictError) {
      this.lost(track.ownerName);
      return;
    }
    const failures = group.failures + 1;
    const waitMs = this.waitMs(failures);
    this.parts.logger.warn(
      `The projection "${track.model.name}" could not be read or saved, trying again in ${waitMs} ms: ${String(reason)}`,
    );
    this.groups.push(this.groupOf(track, failures, this.parts.clock.monotonicMs() + waitMs));
  }

  private groupOf(track: Track, failures: number, resumeAtMs: number): Group {
    return {
      tracks: [track],
      folds: new FoldCache(this.parts.store, track.checkpoint === undefined, this.parts.snapshots),
      aggregates: new TouchedAggregates(),
      sources: undefined,
      pageSize: this.pageSize,
      failures,
      resumeAtMs,
      atEnd: false,
    };
  }

  private async handleRetries(): Promise<void> {
    const switching = new Set(
      this.lineages.filter((one) => one.switching !== undefined).map(({ model }) => model.name),
    );
    for (const retry of this.retries.splice(0)) {
      if (switching.has(retry.name)) {
        this.deferred.push(retry);
        continue;
      }
      try {
        retry.done(await this.release(retry.name, retry.text));
      } catch (error) {
        this.track(retry.name)?.dropCaches();
        retry.failed(error);
      }
    }
  }

  private async release(name: string, text: string | undefined): Promise<number> {
    const track = this.track(name);
    if (track === undefined) return 0;
    const released = await releaseParked(this.parts, track, text, this.stopping.signal);
    if (released > 0) this.renewProgress();
    return released;
  }
}

function leaseTaken(owner: string): ConflictError {
  return new ConflictError('LEASE_LOST', `"${owner}" went on meanwhile.`, { fix: 'It is tried again.' });
}

function countsSources(group: Group): boolean {
  return group.tracks.some((track) => track.model.statistics === true);
}
