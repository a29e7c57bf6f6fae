/** The feed on Cassandra: what is closed, in the order of processing times; what is acknowledged and not yet closed is waited for. */
import {
  EventFeed,
  UnavailableError,
  type Bell,
  type Fact,
  type FeedPage,
  type Position,
  type ProcessingTime,
} from '@concursus/core';
import { closedError } from './errors.js';
import type { FeedLog } from './feed-log.js';
import type { FeedReader } from './feed-reader.js';
import { BEFORE_ALL, isAfter, later, TimePosition, timeText } from './processing-times.js';
import type { Session } from './session.js';
import type { Writer } from './writer.js';
import type { Scene, Writers } from './writers.js';

/** A writer that died is replaced within its lease and what carrying out its rest takes. */
const READ_LEASES = 4;
/** Readers that are at the end of the feed and found nothing up to somewhere. */
const QUIET_MAX = 256;

export interface FeedParts {
  readonly session: Session;
  readonly writers: Writers;
  readonly writer: Writer;
  readonly log: FeedLog;
  readonly reader: FeedReader;
  readonly bell: Bell;
  readonly leaseMs: number;
  readonly beatMs: number;
}

export class CassandraEventFeed extends EventFeed {
  /** By position: up to where nothing stands behind it. */
  private readonly quiet = new Map<string, ProcessingTime>();

  constructor(private readonly parts: FeedParts) {
    super();
  }

  start(): Position {
    return new TimePosition(BEFORE_ALL);
  }

  /** Asks every writer's log, so it waits for nobody's beat. */
  async end(): Promise<Position> {
    this.checkOpen();
    const { writers } = this.parts;
    const scene = await writers.look();
    return new TimePosition(await this.lastAcknowledged(scene));
  }

  private checkOpen(): void {
    if (this.parts.writer.isEnded) throw closedError(this.parts.session.keyspace);
    this.parts.session.checkOpen();
  }

  private async lastAcknowledged({ live }: Scene): Promise<ProcessingTime> {
    const { writers, writer, log } = this.parts;
    const own = writer.current;
    let last = later(writers.sealedLast, own?.acknowledged ?? BEFORE_ALL);
    const others = live.filter((each) => each.node !== own?.node && each.seal === undefined);
    for (const each of live) if (each.seal !== undefined) last = later(last, each.seal.last);
    for (const each of others) if (each.closedSeq >= 0) last = later(last, each.issued);
    const tails = await Promise.all(others.map((each) => log.lastFrom(each.node, each.closedSeq + 1, BEFORE_ALL)));
    for (const tail of tails) last = later(last, tail);
    return last;
  }

  async read(from: Position, limit: number): Promise<FeedPage> {
    const { session, writers, reader, leaseMs, beatMs } = this.parts;
    const { time: after } = TimePosition.of(from);
    const startMs = session.real.monotonicMs();
    const limitMs = leaseMs * READ_LEASES;
    const size = Math.max(1, limit);
    this.checkOpen();
    const facts: Fact[] = [];
    let last = after;
    let checked = later(after, this.quiet.get(timeText(after)) ?? after);
    let scene = writers.latest;
    const page = (atEnd: boolean): FeedPage => ({ facts, next: new TimePosition(last), atEnd });
    for (;;) {
      while (scene !== undefined && isAfter(scene.closed, checked)) {
        const found = await reader.page(checked, scene, size - facts.length);
        for (const fact of found.facts) facts.push(fact);
        // Also past repeats: else who reads up to `end` would stand before one for ever.
        if (isAfter(found.last, checked)) last = found.last;
        checked = found.exhausted ? scene.closed : found.last;
        if (facts.length >= size || (!found.exhausted && facts.length > 0))
          return page(!(await this.isBehind(checked)));
      }
      const fresh = await this.freshScene();
      const isNews = scene === undefined || isAfter(fresh.closed, scene.closed);
      scene = fresh;
      if (isNews && isAfter(fresh.closed, checked)) continue;
      const isEnd = !isAfter(await this.lastAcknowledged(fresh), later(checked, fresh.closed));
      // What is recorded but not closed is waited for only by who would go away with nothing.
      if (facts.length > 0) return page(isEnd);
      if (isEnd) {
        this.noteQuiet(last, later(checked, fresh.closed));
        return { facts, next: isAfter(last, after) ? new TimePosition(last) : from, atEnd: true };
      }
      if (session.real.monotonicMs() - startMs > limitMs) throw notClosed(fresh, limitMs);
      await session.real.sleep(Math.min(beatMs / 5, 20));
      this.checkOpen();
    }
  }

  /** A look after which this layer's own promises are as good as they can be. */
  private async freshScene(): Promise<Scene> {
    const { writers, writer } = this.parts;
    if (writer.current?.hasNews === true) await writer.publish();
    return writers.look();
  }

  /** Whether something acknowledged stands behind a place up to which all is closed. */
  private async isBehind(time: ProcessingTime): Promise<boolean> {
    const { writers, writer } = this.parts;
    if (isAfter(writer.current?.acknowledged ?? BEFORE_ALL, time)) return true;
    return isAfter(await this.lastAcknowledged(await writers.look()), time);
  }

  private noteQuiet(after: ProcessingTime, upTo: ProcessingTime): void {
    const text = timeText(after);
    this.quiet.delete(text);
    this.quiet.set(text, upTo);
    if (this.quiet.size > QUIET_MAX) for (const [oldest] of this.quiet) return void this.quiet.delete(oldest);
  }

  async wait(from: Position, signal: AbortSignal): Promise<void> {
    const { session, writers, writer, bell, beatMs } = this.parts;
    const { time: after } = TimePosition.of(from);
    const checked = later(after, this.quiet.get(timeText(after)) ?? after);
    const isNews = (scene: Scene | undefined): boolean =>
      isAfter(writer.current?.acknowledged ?? BEFORE_ALL, checked) ||
      isAfter(writers.sealedLast, checked) ||
      (scene?.live ?? []).some((each) => each.node !== writer.current?.node && isAfter(each.issued, checked));
    const stop = new AbortController();
    const abort = (): void => stop.abort();
    signal.addEventListener('abort', abort, { once: true });
    try {
      if (signal.aborted) return;
      const rung = bell.wait(stop.signal).then(abort);
      while (!stop.signal.aborted && session.isOpen && !writer.isEnded) {
        // What cannot be asked now is asked again: who waits learns of it when he reads.
        const scene = await writers.look().catch(() => undefined);
        if (isNews(scene)) return;
        await session.real.sleep(beatMs / 2, stop.signal);
      }
      stop.abort();
      await rung;
    } finally {
      stop.abort();
      signal.removeEventListener('abort', abort);
    }
  }

  parsePosition(text: string): Position {
    return TimePosition.parse(text);
  }
}

function notClosed(scene: Scene, limitMs: number): UnavailableError {
  const behind = scene.live.filter((each) => !isAfter(each.closed, scene.closed)).map((each) => each.node);
  return new UnavailableError(
    'TIMEOUT',
    `The feed is closed up to ${timeText(scene.closed)}; ${behind.length} writers did not promise more within ${limitMs} ms.`,
    { fix: 'Read again: a writer that does not answer is replaced meanwhile.', details: { writers: behind, limitMs } },
  );
}
