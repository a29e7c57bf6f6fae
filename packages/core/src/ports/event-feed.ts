/** Every recorded fact once, in recorded order per aggregate. Stop 9 of the walk: publication and projections read it. */
import type { Fact } from '../model/event.js';
import type { Position } from '../model/position.js';

export interface FeedPage {
  /** In the order of their processing ids per aggregate; on single-writer stores over all. Repeats do not appear. */
  readonly facts: readonly Fact[];
  /** Continue from here: `from` itself when there was nothing, farther on when there were only repeats. */
  readonly next: Position;
  /** True when nothing acknowledged stood behind `next` when the page was read. */
  readonly atEnd: boolean;
}

export abstract class EventFeed {
  /** Before everything. */
  abstract start(): Position;
  /** Covers everything acknowledged when it was called. */
  abstract end(): Promise<Position>;
  /**
   * The facts after `from`, at most about `limit` (a page ends on an append's edge, so one append may exceed it), fewer when they are large.
   * `next` passes a place only when nothing can appear before it any more (law 7). Same `from`, same store: same facts.
   */
  abstract read(from: Position, limit: number): Promise<FeedPage>;
  /** Resolves when something may stand behind `from`, at the latest 20 ms after another process recorded it (where each process is a writer of its own, after the next beats of both); or when `signal` aborts. */
  abstract wait(from: Position, signal: AbortSignal): Promise<void>;
  /** @throws InvalidEventError `INVALID_POSITION` */
  abstract parsePosition(text: string): Position;
}
