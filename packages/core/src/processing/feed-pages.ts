/**
 * Pages of the feed, read once for all who stand at the same place: a page that one reader got waits for the others, within
 * a bound of facts and bytes. It only saves reads: who is elsewhere, or comes when a page is gone, reads for itself.
 *
 * A page that was read stays true, as the feed never changes behind a place that a page passed. Whether more stands behind it
 * does not, so a page that was kept never says that it is the last.
 */
import type { Fact } from '../model/event.js';
import type { Position } from '../model/position.js';
import type { Clock } from '../ports/clock.js';
import type { EventFeed, FeedPage } from '../ports/event-feed.js';

/** Facts of all pages kept: two steps of who catches up. */
const FACTS_MAX = 16_000;
/** Bytes of what they hold, about. */
const BYTES_MAX = 32 * 1_048_576;
/** Of a fact beside its content. */
const FACT_BYTES = 400;
/** Of a character of content: the text, and its values once somebody asked for them. */
const CHARACTER_BYTES = 4;

/** How long a reader waits for one that is behind it: who stands still longer reads for itself. */
const WAIT_MS = 100;

/** One who reads the feed in this process. */
export interface FeedReader {
  /**
   * The facts after `from`, like `EventFeed.read`; facts and page are shared with other readers.
   * @param limit about how many are read
   * @param options `accepts`: how many are taken when somebody else read more; the limit unless told ·
   *   `waits`: when all is full, it waits for those to whom kept pages are next, at most 100 ms
   */
  read(
    from: Position,
    limit: number,
    options?: { readonly accepts?: number; readonly waits?: boolean },
  ): Promise<FeedPage>;
  /** Nothing is kept for it any more. Idempotent. */
  close(): void;
}

interface Kept {
  readonly page: FeedPage;
  /** What it was read with. */
  readonly limit: number;
  readonly bytes: number;
  /** Readers that did not get it, if all come by. */
  left: number;
}

interface Reader {
  /** Where it reads on, if it does. */
  at: Position | undefined;
  place: string | undefined;
}

/** The pages of one feed in one process; each who reads on from page to page is a reader. */
export class FeedPages {
  /** By place, those read first first. */
  private readonly kept = new Map<string, Kept>();
  private readonly reading = new Map<string, Promise<void>>();
  private readonly readers = new Set<Reader>();
  private facts = 0;
  private bytes = 0;
  /** Told when a page goes, or somebody reads on. */
  private waiting: (() => void)[] = [];

  constructor(
    private readonly feed: EventFeed,
    private readonly clock: Clock,
  ) {}

  /** One more who reads on from page to page, until it is closed. */
  reader(): FeedReader {
    const reader: Reader = { at: undefined, place: undefined };
    this.readers.add(reader);
    return {
      read: async (from, limit, { accepts = limit, waits = false } = {}) => {
        const page = await (this.readers.size <= 1
          ? this.feed.read(from, limit)
          : this.read(reader, from, limit, accepts, waits));
        reader.at = page.next;
        reader.place = page.next.toString();
        this.wake();
        return page;
      },
      close: () => {
        this.readers.delete(reader);
        if (this.readers.size <= 1) for (const place of this.kept.keys()) this.drop(place);
        this.wake();
      },
    };
  }

  /** Facts and bytes held now: within their bounds, and nothing while there is one reader. */
  get held(): { readonly facts: number; readonly bytes: number } {
    return { facts: this.facts, bytes: this.bytes };
  }

  private async read(
    reader: Reader,
    from: Position,
    limit: number,
    accepts: number,
    waits: boolean,
  ): Promise<FeedPage> {
    const place = from.toString();
    const known = this.take(place, limit, accepts);
    if (known !== undefined) return known;
    if (waits) await this.waitForOthers(reader, limit);
    const other = this.reading.get(place);
    if (other !== undefined) await other;
    if (waits || other !== undefined) {
      const read = this.take(place, limit, accepts);
      if (read !== undefined) return read;
    }
    const page = this.feed.read(from, limit);
    const kept = page.then(
      (one) => this.keep(reader, place, one, limit),
      () => undefined, // told to who asked
    );
    this.reading.set(place, kept);
    try {
      return await page;
    } finally {
      if (this.reading.get(place) === kept) this.reading.delete(place);
    }
  }

  private take(place: string, limit: number, accepts: number): FeedPage | undefined {
    const kept = this.kept.get(place);
    if (kept === undefined) return undefined;
    const { page } = kept;
    const size = page.facts.length;
    // Not one that was cut short for somebody who takes less at once: it would make more steps of what is to be one.
    if (size > accepts || (size < limit && kept.limit < limit && !page.atEnd)) return undefined;
    if (--kept.left <= 0) this.drop(place);
    return page.atEnd ? { facts: page.facts, next: page.next, atEnd: false } : page;
  }

  private keep(reader: Reader, place: string, page: FeedPage, limit: number): void {
    if (page.facts.length === 0) return;
    this.drop(place);
    let left = 0;
    for (const other of this.readers) if (other !== reader && other.at?.covers(page.next) !== true) left++;
    const bytes = bytesOf(page.facts);
    if (left === 0 || page.facts.length > FACTS_MAX || bytes > BYTES_MAX) return;
    this.kept.set(place, { page, limit, bytes, left });
    this.facts += page.facts.length;
    this.bytes += bytes;
    for (const oldest of this.kept.keys()) {
      if (this.facts <= FACTS_MAX && this.bytes <= BYTES_MAX) return;
      this.drop(oldest);
    }
  }

  private drop(place: string): void {
    const kept = this.kept.get(place);
    if (kept === undefined) return;
    this.kept.delete(place);
    this.facts -= kept.page.facts.length;
    this.bytes -= kept.bytes;
    this.wake();
  }

  private wake(): void {
    const { waiting } = this;
    if (waiting.length === 0) return;
    this.waiting = [];
    for (const told of waiting) told();
  }

  /** Another page would drive out one that is next for somebody, and all that follows: so readers go on together. */
  private async waitForOthers(reader: Reader, limit: number): Promise<void> {
    const until = this.clock.monotonicMs() + WAIT_MS;
    while (this.facts + limit > FACTS_MAX || this.bytes * 2 > BYTES_MAX) {
      const behind = [...this.readers].filter(
        ({ place }) => place !== undefined && place !== reader.place && this.kept.has(place),
      );
      if (behind.length === 0) return;
      const waitMs = until - this.clock.monotonicMs();
      if (waitMs <= 0) {
        // Until they read again, nobody waits for them.
        for (const other of behind) other.place = undefined;
        return;
      }
      const ended = new AbortController();
      await Promise.race([
        new Promise<void>((resolve) => this.waiting.push(resolve)),
        this.clock.sleep(waitMs, ended.signal),
      ]);
      ended.abort();
    }
  }
}

function bytesOf(facts: readonly Fact[]): number {
  let bytes = 0;
  for (let i = 0; i < facts.length; i++) bytes += FACT_BYTES + CHARACTER_BYTES * facts[i]!.textLength;
  return bytes;
}
