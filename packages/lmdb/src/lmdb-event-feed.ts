/** The feed on LMDB: chunks in the order of their ordinals, which is the order of their processing ids. */
import { EventFeed, OrdinalPosition } from '@concursus/core';
import type { Fact, FeedPage, Position } from '@concursus/core';
import type { FactLog } from './fact-log.js';
import type { Session } from './session.js';

/** Characters of content in a page, about: a page of large facts is shorter. */
const PAGE_CHARACTERS_MAX = 4 * 1_048_576;

export class LmdbEventFeed extends EventFeed {
  constructor(private readonly session: Session) {
    super();
    session.onClose(() => this.openLog?.bell.ring());
  }

  private openLog: FactLog | undefined;

  private get log(): FactLog {
    return (this.openLog = this.session.log);
  }

  start(): Position {
    return new OrdinalPosition(0);
  }

  end(): Promise<Position> {
    return new Promise((resolve) => {
      resolve(new OrdinalPosition(this.log.feedEnd()));
    });
  }

  read(from: Position, limit: number): Promise<FeedPage> {
    return new Promise((resolve) => {
      resolve(this.page(from, limit));
    });
  }

  private page(from: Position, limit: number): FeedPage {
    const { log } = this;
    const end = log.feedEnd();
    const start = OrdinalPosition.of(from).ordinal;
    const facts: Fact[] = [];
    let ordinal = start;
    let characters = 0;
    let ms = -1;
    let tick = -1;
    let chunk = ordinal < end ? log.chunkHolding(ordinal) : undefined;
    pages: while (chunk !== undefined && ordinal < end) {
      for (let k = ordinal - chunk.first; k < chunk.count; k++) {
        // A page ends where an append does, so that one processing time is never read in halves.
        const full = facts.length >= limit || characters >= PAGE_CHARACTERS_MAX;
        if (full && (chunk.ms[k] !== ms || chunk.tick[k] !== tick)) break pages;
        ms = chunk.ms[k]!;
        tick = chunk.tick[k]!;
        const fact = chunk.fact(k);
        facts.push(fact);
        characters += fact.content.length;
        ordinal++;
      }
      chunk = ordinal < end ? log.findChunk(ordinal) : undefined;
    }
    return { facts, next: ordinal === start ? from : new OrdinalPosition(ordinal), atEnd: ordinal >= end };
  }

  async wait(from: Position, signal: AbortSignal): Promise<void> {
    const { log } = this;
    const { ordinal } = OrdinalPosition.of(from);
    await log.bell.wait(this.session.clock, signal, () => !this.session.isOpen || log.feedEnd() > ordinal);
  }

  parsePosition(text: string): Position {
    return OrdinalPosition.parse(text);
  }
}
