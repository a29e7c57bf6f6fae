/**
 * Keeps views near what feeds them: a batch of a stream goes on only while not too many events are on their way between
 * the sender and the views. Recording is several times cheaper than projecting; without it a long load would end minutes
 * before its views are current.
 *
 * It only delays, and never for long: a view that does not come nearer (its owner died, it is being built, it fails) is
 * not waited for any more until it has caught up. It reads checkpoints from the store, so it does not matter which
 * process writes the views.
 */
import type { Position } from '../model/position.js';
import type { CheckpointStore } from '../ports/checkpoint-store.js';
import type { Clock } from '../ports/clock.js';
import type { EventFeed } from '../ports/event-feed.js';
import type { ViewStore } from '../ports/view-store.js';
import { currentView } from './generations.js';
import type { ProjectionModel } from './projection.js';

/** Events between a sender and the views: well under a second of projecting, and enough to keep recording busy. */
const AHEAD_MAX = 6_000;
/** A view that has not reached a mark in this time is left to itself. */
const WAIT_MS = 5_000;
/** How often another process's progress is looked for. */
const POLL_MS = 20;

export interface PacerParts {
  readonly views: ViewStore;
  /** Where it is written which generation of a view is read. */
  readonly checkpoints: CheckpointStore;
  readonly feed: EventFeed;
  readonly clock: Clock;
  /** Resolves after the next step of this process's projections. */
  readonly nextStep: () => Promise<void>;
}

interface Followed {
  readonly model: ProjectionModel;
  /** False while it is left to itself. */
  near: boolean;
}

interface Mark {
  readonly position: Position;
  readonly events: number;
}

export class Pacer {
  private readonly followed: readonly Followed[];
  /** Batches that are recorded and not yet in all views, in the order they were recorded. */
  private marks: Mark[] = [];
  /** Events let through and not yet in all views. */
  private ahead = 0;

  constructor(
    private readonly parts: PacerParts,
    models: readonly ProjectionModel[],
  ) {
    this.followed = models.map((model) => ({ model, near: true }));
  }

  /** Asked before a batch of `events`; a promise means wait. Callers ask one after the other, and call `done` for each. */
  turn(events: number): Promise<void> | undefined {
    if (this.followed.length === 0) return undefined;
    if (this.ahead + events <= AHEAD_MAX) {
      this.ahead += events;
      return undefined;
    }
    return this.wait(events);
  }

  /** The batch is over: recorded at `position`, or not at all. */
  done(events: number, position: Position | undefined): void {
    if (this.followed.length === 0) return;
    if (position === undefined) this.ahead -= events;
    else this.marks.push({ position, events });
  }

  private async wait(events: number): Promise<void> {
    try {
      await this.untilNear(events);
    } catch {
      // A checkpoint could not be read: recording does not depend on views, and the store will say it to whoever asks.
    } finally {
      this.ahead += events;
    }
  }

  private async untilNear(events: number): Promise<void> {
    const { clock } = this.parts;
    let sinceMs = clock.monotonicMs();
    for (;;) {
      const step = this.parts.nextStep();
      const before = this.ahead;
      await this.look();
      // A batch larger than the bound goes alone.
      if (this.ahead === 0 || this.ahead + events <= AHEAD_MAX) return;
      const now = clock.monotonicMs();
      if (this.ahead < before || this.marks.length === 0) sinceMs = now;
      else if (now - sinceMs > WAIT_MS) {
        await this.leave();
        sinceMs = now;
        continue;
      }
      await Promise.race([step, clock.sleep(POLL_MS)]);
    }
  }

  /** Forgets marks that all near views hold. */
  private async look(): Promise<void> {
    let reached = this.marks.length;
    for (const view of this.followed) {
      const covered = await this.coveredBy(view.model);
      if (covered > 0) view.near = true;
      if (view.near) reached = Math.min(reached, covered);
    }
    for (let i = 0; i < reached; i++) this.ahead -= this.marks[i]!.events;
    if (reached > 0) this.marks = this.marks.slice(reached);
  }

  /** The views that keep everybody waiting are not waited for until they hold a mark again. */
  private async leave(): Promise<void> {
    for (const view of this.followed) if ((await this.coveredBy(view.model)) === 0) view.near = false;
  }

  /** How many marks, from the first, the view holds. */
  private async coveredBy({ name, version }: ProjectionModel): Promise<number> {
    const { views, checkpoints } = this.parts;
    const text = await views.readCheckpoint(await currentView(checkpoints, name, version));
    if (text === undefined) return 0;
    const checkpoint = this.parts.feed.parsePosition(text);
    let covered = 0;
    while (covered < this.marks.length && checkpoint.covers(this.marks[covered]!.position)) covered++;
    return covered;
  }
}
