/** The feed in memory: the log itself, and a position is an index into it. */
import { OrdinalPosition, type Position } from '../model/position.js';
import { EventFeed, type FeedPage } from '../ports/event-feed.js';
import type { FactLog } from './fact-log.js';
import type { MemorySession } from './session.js';

/** The part of a processing id that all facts of one append share. */
const APPEND_ID_LENGTH = 19;

export class InMemoryEventFeed extends EventFeed {
  constructor(
    private readonly session: MemorySession,
    private readonly log: FactLog,
  ) {
    super();
    session.onClose(() => log.bell.ring());
  }

  start(): Position {
    return new OrdinalPosition(0);
  }

  async end(): Promise<Position> {
    this.session.checkOpen();
    return new OrdinalPosition(this.log.facts.length);
  }

  async read(from: Position, limit: number): Promise<FeedPage> {
    this.session.checkOpen();
    const { facts } = this.log;
    const start = OrdinalPosition.of(from).ordinal;
    let end = Math.min(start + Math.max(1, limit), facts.length);
    if (end <= start) return { facts: [], next: from, atEnd: true };
    // A page ends where an append does, so that one processing time is never read in halves.
    const append = facts.at(end - 1).processingId.slice(0, APPEND_ID_LENGTH);
    while (end < facts.length && facts.at(end).processingId.startsWith(append)) end += 1;
    return { facts: facts.slice(start, end), next: new OrdinalPosition(end), atEnd: end === facts.length };
  }

  async wait(from: Position, signal: AbortSignal): Promise<void> {
    const { ordinal } = OrdinalPosition.of(from);
    if (!this.session.isOpen || this.log.facts.length > ordinal) return;
    await this.log.bell.wait(signal);
  }

  parsePosition(text: string): Position {
    return OrdinalPosition.parse(text);
  }
}
