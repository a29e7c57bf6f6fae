/**
 * Runs the projections this process owns: reads the feed, folds what changed, commits rows, contributions, changes and
 * checkpoint together. Stop 11 of the walk.
 *
 * Projections at one position go in step: the page is read and each aggregate folded once for all of them. One that
 * starts later or failed goes on its own until it stands where the others stand. A generation that is built follows the feed
 * up to where the view that is read stands; how it takes over there, and what is run here at all, is `succession.ts`. Over
 * 400 lines, and one subject: the loop.
 */
import { aggregateKeyText, type AggregateKey } from '../model/event.js';
import { ConflictError } from '../model/errors.js';
import type { Position } from '../model/position.js';
import { FeedPages, type FeedReader } from '../processing/feed-pages.js';
import type { Snapshots } from '../query/snapshots.js';
import { TimePolicies } from '../time/time-options.js';
import { FoldCache } from './fold-cache.js';
import { sameGeneration, type Generation } from './generations.js';
import { readUpTo } from './rebuild.js';
import { foldPage, leaveOutParked, type TrackStep } from './page-fold.js';
import { firstAfter, releaseParked } from './parked.js';
import type { ProjectionModel } from './projection.js';
import { SourceTrack, type StepTime } from './source-track.js';
import { Succession, type SuccessionOptions, type SuccessionParts } from './succession.js';
import { TouchedAggregates } from './touched.js';
import type { ParkedAggregate, Track } from './track.js';

export interface RunnerOptions extends SuccessionOptions {
  /** Facts of one step, hence of one transaction. Default 1,000. */
  readonly pageSize?: number;
  /** The same while there is more to read: steps double up to it. Default eight times `pageSize`, some 30 ms of work. */
  readonly catchUpPageSize?: number;
  /** The first wait after a failed step; doubles up to 64 times it. Default 50 ms. */
  readonly backOffMs?: number;
}

export interface RunnerParts extends SuccessionParts {
  /** Where folds of long histories may start. */
  readonly snapshots?: Snapshots | undefined;
  /** Pages of the feed that others of the process read, too. */
  readonly pages?: FeedPages | undefined;
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

export class ProjectionRunner {
  private readonly succession: Succession;
  private groups: Group[] = [];
  private readonly stopping = new AbortController();
  private wake = new AbortController();
  private running: Promise<void> | undefined;
  private readonly retries: Retry[] = [];
  /** Retries of views that are out of the loop. */
  private readonly deferred: Retry[] = [];
  /** Who waits until what they let go is out of the loop. */
  private readonly goings: (() => void)[] = [];
  private progressed: () => void = () => undefined;
  private progress: Promise<void> = Promise.resolve();
  private readonly time: TimePolicies;
  private readonly pageSize: number;
  private readonly catchUpPageSize: number;
  private readonly backOffMs: number;
  private readonly pages: FeedPages;
  /** While it runs. */
  private reader: FeedReader | undefined;

  constructor(
    private readonly parts: RunnerParts,
    readonly models: readonly ProjectionModel[],
    options: RunnerOptions = {},
  ) {
    this.time = parts.time ?? new TimePolicies({});
    this.pageSize = options.pageSize ?? 1_000;
    this.catchUpPageSize = options.catchUpPageSize ?? this.pageSize * 8;
    this.backOffMs = options.backOffMs ?? 50;
    this.pages = parts.pages ?? new FeedPages(parts.feed, parts.clock);
    this.succession = new Succession(
      parts,
      models,
      {
        trackOf: (model, generation) => this.trackOf(model, generation),
        takeIn: (track) => this.groups.push(this.groupOf(track, 0, 0)),
        takeOut: (track) => this.takeOut(track),
        letGo: (model, generation) => this.letGo(model, generation),
        retry: (name) => this.retries.push({ name, text: undefined, done: () => undefined, failed: () => undefined }),
        wake: () => this.wake.abort(),
        isBack: () => {
          this.retries.push(...this.deferred.splice(0));
          this.renewProgress();
          this.wake.abort();
        },
        waitMs: (failures) => this.waitMs(failures),
      },
      options,
    );
    this.renewProgress();
  }

  /** Claims what is free and starts the loop. */
  async start(): Promise<void> {
    if (this.models.length === 0) return;
    await this.succession.start();
    this.reader = this.pages.reader();
    this.running = this.loop();
  }

  /** Sees at once what was asked for. */
  lookNow(): Promise<void> {
    return this.succession.lookNow();
  }

  /** Finishes the step in hand and gives the projections up. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.wake.abort();
    this.succession.abort();
    await this.running;
    for (const gone of this.goings.splice(0)) gone();
    this.reader?.close();
    await this.succession.stop();
    for (const retry of [...this.retries.splice(0), ...this.deferred.splice(0)]) retry.done(0);
    this.progressed();
  }

  /** Resolves after the next committed step of any projection of this process. */
  nextStep(): Promise<void> {
    return this.progress;
  }

  /** Whether this process runs the projection now. */
  runs(name: string): boolean {
    return this.succession.track(name) !== undefined;
  }

  /** Parked aggregates, as the running owner knows them; undefined when another process runs the projection. */
  parkedOf(name: string): readonly ParkedAggregate[] | undefined {
    const track = this.succession.track(name);
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
    return this.succession.still(name, work);
  }

  private takeOut(track: Track): void {
    for (const { tracks } of this.groups) {
      const at = tracks.indexOf(track);
      if (at !== -1) tracks.splice(at, 1);
    }
    this.groups = this.groups.filter(({ tracks }) => tracks.length > 0);
  }

  private trackOf(model: ProjectionModel, generation: Generation): Track | undefined {
    for (const { tracks } of this.groups) {
      for (const track of tracks) {
        if (track.model === model && sameGeneration(track.generation, generation)) return track;
      }
    }
    return undefined;
  }

  /** The loop drops what it does not hold between two steps: when it was there once, nothing of it is under way. */
  private async letGo(model: ProjectionModel, generation: Generation): Promise<void> {
    while (!this.stopping.signal.aborted && this.trackOf(model, generation) !== undefined) {
      await new Promise<void>((gone) => {
        this.goings.push(gone);
        this.wake.abort();
      });
    }
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
        this.succession.holdStill();
        failures = 0;
        const more = await this.round();
        for (const { tracks, atEnd } of [...this.groups])
          if (tracks.length > 0) this.succession.takeOver(tracks[0]!, atEnd);
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
    if (this.stopping.signal.aborted || this.retries.length > 0 || this.succession.isWaiting) return;
    const wake = this.wake.signal;
    const waiting = this.groups.filter((group) => group.resumeAtMs > 0);
    // One that is built here goes on with the view that is read.
    const going = this.groups.filter(
      (group) => group.resumeAtMs === 0 && this.succession.leaderOf(group.tracks[0]) === 'none',
    );
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

  /** Takes up projections newly owned, drops those lost, and keeps each track's epoch current. */
  private async join(): Promise<void> {
    for (const group of this.groups) {
      for (let i = group.tracks.length - 1; i >= 0; i--) {
        const track = group.tracks[i]!;
        const row = this.succession.rowOf(track);
        if (row !== undefined) track.owner = row;
        else {
          group.tracks.splice(i, 1);
          this.renewProgress(); // whoever waited for this projection's next step waits no longer
        }
      }
    }
    this.groups = this.groups.filter((group) => group.tracks.length > 0);
    for (const gone of this.goings.splice(0)) gone();
    await this.succession.join();
    this.merge();
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
    const leader = this.succession.leaderOf(group.tracks[0]);
    if (leader === undefined) return undefined;
    const { feed } = this.parts;
    const page =
      leader === 'none'
        ? await this.reader!.read(from, group.pageSize, { accepts: this.catchUpPageSize })
        : from.covers(leader.position)
          ? undefined
          : await readUpTo(feed, from, leader.position, group.pageSize);
    if (page === undefined || (page.facts.length === 0 && from.covers(page.next))) return undefined;
    // Larger steps while there is much to catch up with: a history folds once a step, and a row is written once.
    const isBehind = !page.atEnd && page.facts.length >= this.pageSize;
    group.pageSize = isBehind ? Math.min(group.pageSize * 2, this.catchUpPageSize) : this.pageSize;
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
      this.succession.lost(track.ownerName);
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
    const { away } = this.succession;
    for (const retry of this.retries.splice(0)) {
      if (away.has(retry.name)) {
        this.deferred.push(retry);
        continue;
      }
      try {
        retry.done(await this.release(retry.name, retry.text));
      } catch (error) {
        this.succession.track(retry.name)?.dropCaches();
        retry.failed(error);
      }
    }
  }

  private async release(name: string, text: string | undefined): Promise<number> {
    const track = this.succession.track(name);
    if (track === undefined) return 0;
    const released = await releaseParked(this.parts, track, text, this.stopping.signal);
    if (released > 0) this.renewProgress();
    return released;
  }
}

function countsSources(group: Group): boolean {
  return group.tracks.some((track) => track.model.statistics === true);
}
