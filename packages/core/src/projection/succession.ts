/**
 * Which generations of its projections this process runs, and how one follows another: owner rows are claimed, what is read
 * is taken into the loop, what is asked for is built beside it, and where both stand at one place it takes over.
 *
 * The loop that follows the feed is the runner's; here tracks enter and leave it. What is taken over, or held still for other
 * work, is in no loop meanwhile, and is taken up again from what the store holds. Over 400 lines, and one subject: which
 * generation a track belongs to decides each of these steps.
 */
import { ConflictError } from '../model/errors.js';
import type { OwnerRow } from '../ports/checkpoint-store.js';
import { Ownership, type OwnershipOptions, type Sharing } from '../processing/ownership.js';
import { TimePolicies } from '../time/time-options.js';
import { adopt, checkStanding, claimNext } from './adoption.js';
import { Generations, generationText, ownerNameOf, sameGeneration, viewRefOf, type Generation } from './generations.js';
import { Lineage } from './lineage.js';
import type { ProjectionModel } from './projection.js';
import { buildGeneration, type RebuildOptions, type RebuildParts } from './rebuild.js';
import { readSources } from './source-track.js';
import { checkShares, wholeOf } from './shares.js';
import { Track } from './track.js';

export interface SuccessionOptions extends OwnershipOptions {
  /** How much of its time a process gives to building views anew. */
  readonly rebuild?: RebuildOptions;
}

export interface SuccessionParts extends RebuildParts {
  /** A name no other process has. */
  readonly process: string;
}

/** The loop, as tracks enter and leave it. */
export interface TrackLoop {
  /** The one in the loop, if any. */
  trackOf(model: ProjectionModel, generation: Generation): Track | undefined;
  /** Lets a track go along the feed, at first by itself. */
  takeIn(track: Track): void;
  takeOut(track: Track): void;
  /** Resolves when nothing is under way for a generation that is held here no more. */
  letGo(model: ProjectionModel, generation: Generation): Promise<void>;
  /** Tries once more what is parked of a projection. */
  retry(name: string): void;
  /** Something changed: it is looked at before the loop rests. */
  wake(): void;
  /** A projection that was out of the loop may be taken up again. */
  isBack(): void;
  /** How long to leave something alone that failed so often. */
  waitMs(failures: number): number;
}

/** Work on a view that must stand still for it; without a track, this process does not run it. */
interface StillWork {
  readonly name: string;
  readonly run: (track: Track | undefined) => Promise<void>;
}

/** Between two looks at which generations are read and asked for. */
const LOOK_MS = 400;

export class Succession {
  private readonly generations: Generations;
  private lineages: Lineage[] = [];
  private readonly ownership: Ownership;
  private looking: Promise<void> | undefined;
  private readonly works: StillWork[] = [];
  private readonly stopping = new AbortController();
  private readonly time: TimePolicies;

  constructor(
    private readonly parts: SuccessionParts,
    private readonly models: readonly ProjectionModel[],
    private readonly loop: TrackLoop,
    private readonly options: SuccessionOptions,
  ) {
    this.time = parts.time ?? new TimePolicies({});
    this.generations = new Generations(parts.checkpoints, parts.views);
    const { checkpoints, clock, logger, process } = parts;
    this.ownership = new Ownership(checkpoints, clock, logger, process, () => loop.wake(), options);
  }

  /** Claims what is free; `join` then takes it into the loop. */
  async start(): Promise<void> {
    const now = this.parts.clock.now();
    const wholes = new Set(this.models.map(wholeOf));
    for (const model of wholes) await checkShares(this.parts.checkpoints, this.generations, model);
    this.lineages = await Promise.all(
      this.models.map(async (model) => {
        const live = await this.generations.open(model.name, model.version, now);
        return new Lineage(model, live, this.generations, await this.generations.requested(model.name));
      }),
    );
    for (const { model, live, own, watched } of this.lineages) {
      if (!own) continue;
      const name = ownerNameOf(model.name, live);
      watched.add(name);
      this.ownership.watch(name, this.sharing(model, live));
    }
    await this.ownership.start();
    this.looking = this.look();
  }

  /** Ends what is built or taken over, at its next step. */
  abort(): void {
    this.stopping.abort();
    for (const { build, switching } of this.lineages) {
      build?.stop.abort();
      switching?.stop.abort();
    }
  }

  /** Gives everything up, once the loop has ended. */
  async stop(): Promise<void> {
    await this.looking;
    for (const { build, switching } of this.lineages) {
      await build?.done;
      await switching?.done;
    }
    await this.ownership.stop();
    for (const work of this.works.splice(0)) await work.run(undefined);
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
      if ((await lineage.look()) || lineage.resumeAtMs !== undefined) this.loop.wake();
    }
  }

  /** What this process writes of the view that is read. */
  track(name: string): Track | undefined {
    const lineage = this.lineages.find(({ model }) => model.name === name);
    return lineage === undefined ? undefined : (lineage.switching?.live ?? this.liveOf(lineage));
  }

  /** What is out of the loop, as it is taken over or held still. */
  get away(): ReadonlySet<string> {
    return new Set(this.lineages.filter((one) => one.switching !== undefined).map(({ model }) => model.name));
  }

  /** The owner row with which a track goes on; undefined when it is not this process's to run any more. */
  rowOf(track: Track): OwnerRow | undefined {
    const { live, next } = this.lineageOf(track);
    const held = this.held(track.ownerName);
    const wanted = sameGeneration(track.generation, track.building ? next : live);
    return wanted && held?.epoch === track.owner.epoch ? held : undefined;
  }

  /** The row is another process's: it is watched from now on. */
  lost(name: string): void {
    this.ownership.lost(name);
  }

  /** Up to whose place a track goes: only one that is built has a leader, the view that is read, if it is run here. */
  leaderOf(track: Track | undefined): Track | 'none' | undefined {
    if (track?.building !== true) return 'none';
    const lineage = this.lineageOf(track);
    return lineage.own ? this.liveOf(lineage) : 'none';
  }

  /** Whether `join` would take something in now. */
  get isWaiting(): boolean {
    return this.lineages.some(
      ({ model, live, own, switching }) =>
        own &&
        switching === undefined &&
        this.held(ownerNameOf(model.name, live)) !== undefined &&
        this.track(model.name) === undefined,
    );
  }

  private liveOf({ model, live }: Lineage): Track | undefined {
    return this.loop.trackOf(model, live);
  }

  private lineageOf(track: Track): Lineage {
    return this.lineages.find(({ model }) => model === track.model)!;
  }

  private held(name: string): OwnerRow | undefined {
    return this.ownership.held(name);
  }

  /** Claims or watches a generation that came up after the start. */
  private async watch({ watched }: Lineage, name: string): Promise<void> {
    await this.ownership.add(name);
    watched.add(name);
  }

  private async unwatch({ watched }: Lineage, name: string): Promise<void> {
    if (watched.delete(name)) await this.ownership.drop(name);
  }

  /** Gives up the generations that were read or asked for and are no more. */
  private async unwatchPast(lineage: Lineage): Promise<void> {
    const { model, live, next } = lineage;
    for (const name of lineage.watched) {
      if (name === ownerNameOf(model.name, live)) continue;
      if (next === undefined || name !== ownerNameOf(model.name, next)) await this.unwatch(lineage, name);
    }
  }

  /** How the generation that is read goes to another process; what is built beside it goes with it. */
  private sharing(model: ProjectionModel, live: Generation): Sharing {
    return {
      group: wholeOf(model).name,
      letGo: async () => {
        await this.loop.letGo(model, live);
        await this.lineages.find((one) => one.model === model)?.switching?.done;
      },
    };
  }

  /** Takes in what is newly owned, and begins to build what is asked for. */
  async join(): Promise<void> {
    for (const lineage of this.lineages) {
      if (lineage.switching !== undefined) continue;
      await this.unwatchPast(lineage);
      if (lineage.own) await this.joinLive(lineage);
      await this.joinNext(lineage);
    }
  }

  private async joinLive(lineage: Lineage): Promise<void> {
    const { model, live } = lineage;
    const { views, feed } = this.parts;
    const name = ownerNameOf(model.name, live);
    await this.watch(lineage, name);
    if (!this.ownership.isShared(name)) this.ownership.share(name, this.sharing(model, live));
    const held = this.held(name);
    if (held === undefined || this.liveOf(lineage) !== undefined) return;
    // Looked at with the row in hand: whoever had it before may have ended this generation.
    if ((await this.generations.retiredFor(model.name, live)) !== undefined) {
      await lineage.look();
      this.loop.wake();
      return;
    }
    const checkpoint = await views.readCheckpoint(viewRefOf(model.name, live));
    const position = checkpoint === undefined ? feed.start() : feed.parsePosition(checkpoint);
    const track = new Track(model, views, held, checkpoint, position, live);
    track.stand(readSources(this.time, await track.load(), false).table.inputWatermark);
    this.loop.takeIn(track);
    // What was parked in an earlier run is tried once more with this run's code.
    if (track.parked.size > 0) this.loop.retry(model.name);
  }

  /** The next generation is built where the view that is read is run, or by whoever has the new code. */
  private async joinNext(lineage: Lineage): Promise<void> {
    const { model, next, build, built } = lineage;
    const name = next === undefined ? undefined : ownerNameOf(model.name, next);
    const here = next !== undefined && (!lineage.own || this.liveOf(lineage) !== undefined);
    if (!here) {
      build?.stop.abort();
      lineage.built = undefined;
      if (name !== undefined) await this.unwatch(lineage, name);
      return;
    }
    await this.watch(lineage, name!);
    const held = this.held(name!);
    if (build !== undefined) {
      if (held?.epoch !== build.owner.epoch) build.stop.abort();
      return;
    }
    if (held === undefined || this.loop.trackOf(model, next) !== undefined) return;
    if (built?.owner.epoch === held.epoch && sameGeneration(built.generation, next)) {
      lineage.built = undefined;
      this.loop.takeIn(built);
      return;
    }
    if (lineage.resumeAtMs !== undefined && lineage.resumeAtMs > this.parts.clock.monotonicMs()) return;
    lineage.resumeAtMs = undefined;
    // Looked at with the row in hand: what was asked for may be read by now, or be past.
    if (await lineage.look()) {
      this.loop.wake();
      return;
    }
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
      this.loop.wake();
    }
  }

  private postpone(lineage: Lineage, what: string, error: unknown): void {
    if (this.stopping.signal.aborted) return;
    const waitMs = this.loop.waitMs(++lineage.failures);
    lineage.resumeAtMs = this.parts.clock.monotonicMs() + waitMs;
    this.parts.logger.warn(`${what}, trying again in ${waitMs} ms: ${String(error)}`);
  }

  /**
   * Lets what is built take over, if it stands where the view that is read stands: both leave the loop until it is done.
   * @param atEnd nothing was recorded behind it when it looked last
   */
  takeOver(track: Track, atEnd: boolean): void {
    if (!track.building || this.stopping.signal.aborted) return;
    const lineage = this.lineageOf(track);
    const leader = this.leaderOf(track);
    if (leader === undefined || lineage.switching !== undefined) return;
    if (leader === 'none' ? !atEnd : leader.position.toString() !== track.position.toString()) return;
    const live = leader === 'none' ? undefined : leader;
    if (live !== undefined) this.loop.takeOut(live);
    this.loop.takeOut(track);
    const stop = new AbortController();
    lineage.switching = { stop, live, done: this.switchOver(lineage, track, live, stop.signal) };
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
    /** The old one's; this process's to renew where it is in no hands else. */
    let row: OwnerRow | undefined;
    try {
      const name = ownerNameOf(model.name, from);
      row =
        live === undefined ? await claimNext(checkpoints, name, this.parts.process) : await this.ownership.raise(name);
      // With the row in hand nobody else ends the old one: where that is decided, the new one may be behind it by now.
      if ((await this.generations.retiredFor(model.name, from)) === undefined) {
        await checkStanding(this.parts, model.name, from, track);
        let beatMs = clock.monotonicMs();
        const old = { ref: viewRefOf(model.name, from), generation: from };
        const report = await adopt(this.parts, old, track, request?.startedAt ?? clock.now(), signal, async () => {
          if (live !== undefined || clock.monotonicMs() - beatMs < (this.options.beatMs ?? LOOK_MS)) return;
          row = await checkpoints.renew(row!);
          beatMs = clock.monotonicMs();
        });
        await this.generations.retire(model.name, from, track.generation, row.epoch);
        logger.log(
          `The view "${model.name}" is read from ${generationText(track.generation)} now: ${report.rows} rows, ${report.added} added, ${report.removed} removed, ${report.changed} changed.`,
        );
      }
      await lineage.look();
      lineage.failures = 0;
    } catch (error) {
      this.postpone(
        lineage,
        `The view "${model.name}" could not go over to ${generationText(track.generation)}`,
        error,
      );
    } finally {
      if (row !== undefined && live === undefined) await checkpoints.release(row).catch(() => undefined);
      this.putBack(lineage);
    }
  }

  /** Takes up again whichever generation is read now, from what the store holds. */
  private putBack(lineage: Lineage): void {
    lineage.switching = undefined;
    this.loop.isBack();
  }

  /** Asks for the view that is read to be held still for some work; undefined when it is not run here. */
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
      this.loop.wake();
    });
  }

  /** Takes what is to be held still out of the loop; what is just switching waits. */
  holdStill(): void {
    for (const work of this.works.splice(0)) {
      const lineage = this.lineages.find(({ model }) => model.name === work.name);
      if (lineage?.switching !== undefined) {
        this.works.push(work);
        continue;
      }
      const live = lineage === undefined ? undefined : this.liveOf(lineage);
      if (lineage === undefined || live === undefined) {
        void work.run(undefined);
        continue;
      }
      this.loop.takeOut(live);
      const done = work.run(live).then(() => this.putBack(lineage));
      lineage.switching = { stop: new AbortController(), live, done };
    }
  }
}
