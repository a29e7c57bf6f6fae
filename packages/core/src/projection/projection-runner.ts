/**
 * Runs the projections this process owns: reads the feed, folds what changed, commits rows, contributions, changes and
 * checkpoint together. Stop 13 of the walk.
 *
 * Projections at one position go in step: the page is read and each aggregate folded once for all of them. One that
 * starts later or failed goes on its own until it stands where the others stand. Over 400 lines, and one subject: the loop.
 */
import type { AggregateModel, EventRegistry } from '../mapping/event-registry.js';
import { aggregateKeyText, type AggregateKey } from '../model/event.js';
import { isPlain } from '../model/effective-facts.js';
import { ConflictError } from '../model/errors.js';
import type { Position } from '../model/position.js';
import type { CheckpointStore } from '../ports/checkpoint-store.js';
import type { Clock } from '../ports/clock.js';
import type { EventFeed } from '../ports/event-feed.js';
import type { EventStore } from '../ports/event-store.js';
import type { LayerLogger } from '../ports/layer.js';
import type { ViewStore } from '../ports/view-store.js';
import type { Snapshots } from '../query/snapshots.js';
import { Ownership, type OwnershipOptions } from '../processing/ownership.js';
import { TimePolicies } from '../time/time-options.js';
import { NOTHING } from './contribution.js';
import { FoldCache, type Folded } from './fold-cache.js';
import { contributionFromStore, firstAfter, isUserError, releaseParked } from './parked.js';
import type { ProjectionModel } from './projection.js';
import { readSources, SourceTrack } from './source-track.js';
import { TouchedAggregates, type Touched } from './touched.js';
import { asError, ownerNameOf, Track, type Computed, type ParkedAggregate, type StepTime } from './track.js';

export interface RunnerOptions extends OwnershipOptions {
  /** Facts of one step, hence of one transaction. Default 1,000. */
  readonly pageSize?: number;
  /** The same while there is more to read: steps double up to it. Default eight times `pageSize`, some 30 ms of work. */
  readonly catchUpPageSize?: number;
  /** The first wait after a failed step; doubles up to 64 times it. Default 50 ms. */
  readonly backOffMs?: number;
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
}

/** One track's part of a step. */
interface TrackStep {
  readonly track: Track;
  readonly touched: Touched[];
  /** One for each touched: in the rows form always, in the event form where new events do more than add. */
  readonly computed: (Computed | undefined)[];
  /** Events of aggregates that are parked already. */
  readonly held: Touched[];
}

/** A page, folded and not yet committed. */
interface Step {
  readonly parts: readonly TrackStep[];
  readonly time: StepTime;
  readonly next: Position;
  readonly atEnd: boolean;
}

/** Steps made in a row while there is more to read, and how long, ms: then ownership and other groups have their turn. */
const AGGREGATES_AT_ONCE = 10_000;
const RUN_STEPS = 16;
const RUN_MS = 100;

export class ProjectionRunner {
  private readonly ownership: Ownership;
  private groups: Group[] = [];
  private readonly stopping = new AbortController();
  private wake = new AbortController();
  private running: Promise<void> | undefined;
  private readonly retries: {
    name: string;
    text: string | undefined;
    done: (count: number) => void;
    failed: (error: unknown) => void;
  }[] = [];
  private progressed: () => void = () => undefined;
  private progress: Promise<void> = Promise.resolve();
  private readonly time: TimePolicies;
  private readonly pageSize: number;
  private readonly catchUpPageSize: number;
  private readonly backOffMs: number;

  constructor(
    private readonly parts: RunnerParts,
    readonly models: readonly ProjectionModel[],
    options: RunnerOptions = {},
  ) {
    this.time = parts.time ?? new TimePolicies({});
    this.pageSize = options.pageSize ?? 1_000;
    this.catchUpPageSize = options.catchUpPageSize ?? this.pageSize * 8;
    this.backOffMs = options.backOffMs ?? 50;
    this.ownership = new Ownership(
      parts.checkpoints,
      parts.clock,
      parts.logger,
      parts.process,
      () => this.wake.abort(),
      options,
    );
    for (const model of models) this.ownership.watch(ownerNameOf(model));
    this.renewProgress();
  }

  /** Claims what is free and starts the loop. */
  async start(): Promise<void> {
    if (this.models.length === 0) return;
    await this.ownership.start();
    this.running = this.loop();
  }

  /** Finishes the step in hand and gives the projections up. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.wake.abort();
    await this.running;
    await this.ownership.stop();
    for (const retry of this.retries.splice(0)) retry.done(0);
    this.progressed();
  }

  /** Resolves after the next committed step of any projection of this process. */
  nextStep(): Promise<void> {
    return this.progress;
  }

  /** Whether this process runs the projection now. */
  runs(name: string): boolean {
    return this.groups.some((group) => group.tracks.some((track) => track.model.name === name));
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

  private track(name: string): Track | undefined {
    for (const group of this.groups) for (const track of group.tracks) if (track.model.name === name) return track;
    return undefined;
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
        failures = 0;
        if (!(await this.round())) await this.rest();
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
    const going = this.groups.filter((group) => group.resumeAtMs === 0);
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
    return this.models.some(
      (model) => this.ownership.held(ownerNameOf(model)) !== undefined && this.track(model.name) === undefined,
    );
  }

  /** Takes up projections newly owned, drops those lost, and keeps each track's epoch current. */
  private async join(): Promise<void> {
    for (const group of this.groups) {
      for (let i = group.tracks.length - 1; i >= 0; i--) {
        const track = group.tracks[i]!;
        const held = this.ownership.held(track.ownerName);
        if (held?.epoch === track.owner.epoch) track.owner = held;
        else {
          group.tracks.splice(i, 1);
          this.renewProgress(); // whoever waited for this projection's next step waits no longer
        }
      }
    }
    this.groups = this.groups.filter((group) => group.tracks.length > 0);
    for (const model of this.models) {
      const held = this.ownership.held(ownerNameOf(model));
      if (held === undefined || this.track(model.name) !== undefined) continue;
      const checkpoint = await this.parts.views.readCheckpoint({ name: model.name, version: model.version, slice: -1 });
      const position = checkpoint === undefined ? this.parts.feed.start() : this.parts.feed.parsePosition(checkpoint);
      const track = new Track(model, this.parts.views, held, checkpoint, position);
      track.stand(readSources(this.time, await track.load(), false).table.inputWatermark);
      this.groups.push(this.groupOf(track, 0, 0));
      // What was parked in an earlier run is tried once more with this run's code.
      if (track.parked.size > 0)
        this.retries.push({ name: model.name, text: undefined, done: () => undefined, failed: () => undefined });
    }
    this.merge();
  }

  /** Groups that stand at one place go on together; the first one's folds are as right as the others'. */
  private merge(): void {
    const byPlace = new Map<string, Group>();
    for (const group of this.groups) {
      const place = group.tracks[0]!.position.toString();
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
      return false;
    }
    const until = this.parts.clock.monotonicMs() + RUN_MS;
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
    const page = await this.parts.feed.read(from, group.pageSize);
    if (page.facts.length === 0 && from.covers(page.next)) return undefined;
    // Larger steps while there is much to catch up with: a history folds once a step, and a row is written once.
    group.pageSize = page.atEnd ? this.pageSize : Math.min(group.pageSize * 2, this.catchUpPageSize);
    group.sources ??= await this.sourcesOf(group);
    const touched = group.aggregates.of(page.facts);
    const parts = group.tracks.map((track): TrackStep => ({ track, touched: [], computed: [], held: [] }));
    const corrected = await this.correctedOf(group, touched, page.next);
    for (const one of touched) {
      const model = this.modelOf(one.key.type);
      let folding = false;
      for (const part of parts) {
        if (!part.track.wants(one.key.type)) continue;
        if (part.track.parked.size > 0 && part.track.parked.has(one.text)) {
          part.held.push(one);
          continue;
        }
        part.touched.push(one);
        if (part.track.model.rowsOf !== undefined) folding = true;
        else {
          // Added to what was there, unless the new events change what others mean.
          const again = corrected?.has(one) === true;
          part.computed.push(again ? await contributionFromStore(this.parts, part.track, one, page.next) : undefined);
        }
      }
      // A state that misses these facts must not be found by a projection that joins, or is released, later.
      if (model === undefined || !folding) {
        group.folds.forget(one.text);
        continue;
      }
      let folded: Folded | Error;
      try {
        const result = group.folds.advance(model, one.text, one.key, one.facts, page.next);
        folded = result instanceof Promise ? await result : result;
      } catch (error) {
        if (!isUserError(error)) throw error;
        folded = asError(error);
      }
      for (const { track, touched: list, computed } of parts) {
        if (track.model.rowsOf === undefined || list[list.length - 1] !== one) continue;
        computed[list.length - 1] = contributionOf(track, model, one, folded);
      }
    }
    return { parts, time: group.sources.take(page.facts), next: page.next, atEnd: page.atEnd };
  }

  /**
   * Aggregates whose new events do more than add to what they meant: corrections, events that a correction covers, and other
   * contents of a known identity where the policy does not keep both. Only the event form asks; a fold finds out by itself.
   */
  private async correctedOf(
    group: Group,
    touched: readonly Touched[],
    upTo: Position,
  ): Promise<ReadonlySet<Touched> | undefined> {
    const byEvent = group.tracks.filter((track) => track.model.rowsOf === undefined);
    const wanted = touched.filter((one) => byEvent.some((track) => track.wants(one.key.type)));
    if (wanted.length === 0) return undefined;
    let found: Set<Touched> | undefined;
    for (let at = 0; at < wanted.length; at += AGGREGATES_AT_ONCE) {
      const some = wanted.slice(at, at + AGGREGATES_AT_ONCE);
      const corrections = await this.parts.store.readCorrections(
        some.map((one) => one.key),
        { upTo },
      );
      for (let i = 0; i < some.length; i++) if (corrections[i]!.length > 0) (found ??= new Set()).add(some[i]!);
    }
    for (const one of wanted) {
      const policy = this.modelOf(one.key.type)?.conflicts ?? 'both';
      if (policy !== 'both' && (await this.hasSiblings(one, upTo))) (found ??= new Set()).add(one);
    }
    return found;
  }

  private async hasSiblings({ key, facts }: Touched, upTo: Position): Promise<boolean> {
    for (const { eventTime } of facts) {
      const [at] = await this.parts.store.readMany([key], { range: { from: eventTime, to: eventTime }, upTo });
      if (!isPlain(at!, 'neither')) return true;
    }
    return false;
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
      this.parts.onWatermark?.(step.time.inputWatermark);
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
      this.ownership.lost(track.ownerName);
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
    };
  }

  private async handleRetries(): Promise<void> {
    for (const retry of this.retries.splice(0)) {
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

  private modelOf(type: string): AggregateModel | undefined {
    return this.parts.registry.find(type);
  }
}

function countsSources(group: Group): boolean {
  return group.tracks.some((track) => track.model.statistics === true);
}

/** What the step before parked, when this one was folded already, contributes nothing until it is tried again. */
function leaveOutParked({ track, touched, computed, held }: TrackStep): void {
  if (track.parked.size === 0) return;
  for (let i = touched.length - 1; i >= 0; i--) {
    if (!track.parked.has(touched[i]!.text)) continue;
    held.push(...touched.splice(i, 1));
    computed.splice(i, 1);
  }
}

/** The rows form's new contribution of one aggregate, from its state with the new facts taken in; or what was thrown. */
function contributionOf(track: Track, model: AggregateModel, one: Touched, folded: Folded | Error): Computed {
  if (folded instanceof Error) return folded;
  // All of it was withdrawn, or was never more than corrections.
  if (folded.events === 0) return NOTHING;
  try {
    return track.fromState(one, model, folded);
  } catch (error) {
    return asError(error);
  }
}
