/**
 * Merges the logs of all writers into one feed, in the order of processing times, and passes over what was recorded twice:
 * two writers that recorded one fact at the same time both logged it, and the lesser id is the event's.
 *
 * Whoever logged a fact had seen everything up to the floor of its row before, so only what others logged between floor
 * and fact can be the same one. Mostly nobody did; else that span is kept at hand, or read again.
 */
import { compareProcessingIds, identityKey, sameContent, type Fact, type ProcessingTime } from '@concursus/core';
import type { FeedLog } from './feed-log.js';
import type { FeedRow, LoggedFact } from './feed-row.js';
import { isAfter, later } from './processing-times.js';
import type { Scene, Writers } from './writers.js';

/** Characters of content in a page, about: a page of large facts is shorter. */
const PAGE_CHARACTERS_MAX = 4 * 1_048_576;
const FETCH_MIN = 16;
const FETCH_MAX = 256;
/** Facts kept at hand to find what was recorded twice. */
const RECENT_MAX = 20_000;
/** Writers whose place in their logs is remembered. */
const PLACES_MAX = 1_000;

/** One writer's log, as far as it is closed. */
interface Log {
  readonly node: string;
  readonly started: ProcessingTime;
  /** Nothing that counts was recorded after it. */
  readonly last: ProcessingTime;
  readonly lastSeq: number;
  readonly holes: ReadonlySet<number>;
}

export interface MergedPage {
  readonly facts: readonly Fact[];
  /** The time of the last append that was looked at. */
  readonly last: ProcessingTime;
  /** True when all that is closed was looked at. */
  readonly exhausted: boolean;
}

const NO_HOLES: ReadonlySet<number> = new Set();

export class FeedReader {
  /** Where each log goes on behind a time. */
  private readonly places = new Map<string, { readonly after: ProcessingTime; readonly seq: number }>();
  private recent = new Recent();

  constructor(
    private readonly writers: Writers,
    private readonly log: FeedLog,
  ) {}

  /** What was recorded after `after` and at or before `upTo`, which the scene says is closed: whole appends. */
  async page(after: ProcessingTime, scene: Scene, limit: number): Promise<MergedPage> {
    const upTo = scene.closed;
    const logs = this.logsBetween(scene, after, upTo);
    const cursors: Cursor[] = [];
    for (const log of logs) cursors.push(new Cursor(this.log, log, await this.placeIn(log, after), after, upTo, limit));
    await Promise.all(cursors.map((cursor) => cursor.fill()));
    // Two reads at once keep what they saw apart.
    let recent = this.recent;
    this.recent = new Recent();
    if (!recent.endsAt(after)) recent = new Recent(after);
    const facts: Fact[] = [];
    let characters = 0;
    let last = after;
    let exhausted = true;
    for (;;) {
      const head = leastOf(cursors);
      if (head === undefined) break;
      if (facts.length >= limit || characters >= PAGE_CHARACTERS_MAX) {
        exhausted = false;
        break;
      }
      const time = head.facts[head.at]!.time;
      for (const { logged, row, node } of await this.takeAt(cursors, time)) {
        if (isAfter(row.floor, logged.time)) throw new Error('A floor is below what was recorded above it.');
        if (this.mayBeTwice(scene, node, row, logged.time) && (await this.isTwice(recent, scene, row, logged)))
          continue;
        facts.push(logged.fact);
        characters += logged.fact.content.length;
        if (logs.length > 1) recent.add(logged);
      }
      last = time;
      if (logs.length > 1) recent.to = time;
    }
    recent.moveTo(last);
    this.recent = recent;
    for (const cursor of cursors) this.remember(cursor.log.node, { after: last, seq: cursor.seq });
    return { facts, last, exhausted };
  }

  /** The logs in which something between the two times may stand. */
  private logsBetween({ live }: Scene, after: ProcessingTime, upTo: ProcessingTime): Log[] {
    const logs: Log[] = [];
    const add = (log: Log): void => {
      if (log.lastSeq >= 0 && isAfter(log.last, after) && isAfter(upTo, log.started)) logs.push(log);
    };
    const nodes = new Set<string>();
    for (const { node, started, issued, closedSeq } of live) {
      nodes.add(node);
      // What is closed of it has no holes.
      add({ node, started, last: issued, lastSeq: closedSeq, holes: NO_HOLES });
    }
    for (const { node, started, last, lastSeq, holes } of this.writers.seals.values()) {
      if (!nodes.has(node))
        add({ node, started, last, lastSeq, holes: holes.length === 0 ? NO_HOLES : new Set(holes) });
    }
    return logs;
  }

  private async placeIn(log: Log, after: ProcessingTime): Promise<number> {
    const place = this.places.get(log.node);
    if (place !== undefined && !isAfter(place.after, after)) return place.seq;
    if (!isAfter(after, log.started)) return 0;
    return this.log.seqAfter(log.node, log.lastSeq, after);
  }

  private remember(node: string, place: { readonly after: ProcessingTime; readonly seq: number }): void {
    this.places.delete(node);
    this.places.set(node, place);
    if (this.places.size > PLACES_MAX) for (const [oldest] of this.places) return void this.places.delete(oldest);
  }

  /** Everything of one processing time, in the order of ids: a page ends between two of them. */
  private async takeAt(cursors: readonly Cursor[], time: ProcessingTime): Promise<Taken[]> {
    const taken: Taken[] = [];
    let from: Cursor | undefined;
    let several = false;
    for (const cursor of cursors) {
      for (;;) {
        const logged = cursor.facts[cursor.at];
        if (logged === undefined || logged.time.ms !== time.ms || logged.time.tick !== time.tick) break;
        if (from !== undefined && from !== cursor) several = true;
        from = cursor;
        taken.push({ logged, row: cursor.row!, node: cursor.log.node });
        cursor.at += 1;
        if (cursor.at === cursor.facts.length) await cursor.fill();
      }
    }
    if (several) taken.sort((a, b) => compareProcessingIds(a.logged.fact.processingId, b.logged.fact.processingId));
    return taken;
  }

  /** Whether another writer, also one that has nothing in this page, logged anything between floor and fact. */
  private mayBeTwice({ live }: Scene, node: string, { floor }: FeedRow, time: ProcessingTime): boolean {
    for (const each of live) {
      if (each.node !== node && isAfter(each.issued, floor) && isAfter(time, each.started)) return true;
    }
    if (!isAfter(this.writers.sealedLast, floor)) return false;
    for (const seal of this.writers.seals.values()) {
      if (seal.node !== node && seal.lastSeq >= 0 && isAfter(seal.last, floor) && isAfter(time, seal.started))
        return true;
    }
    return false;
  }

  private async isTwice(recent: Recent, scene: Scene, row: FeedRow, logged: LoggedFact): Promise<boolean> {
    if (isAfter(recent.from, row.floor)) await this.lookBack(recent, scene, row.floor);
    return recent.has(logged.fact);
  }

  /** Reads again what was logged between a floor and what is at hand. */
  private async lookBack(recent: Recent, scene: Scene, floor: ProcessingTime): Promise<void> {
    const until = recent.from;
    for (const log of this.logsBetween(scene, floor, until)) {
      const seq = isAfter(floor, log.started) ? await this.log.seqAfter(log.node, log.lastSeq, floor) : 0;
      const cursor = new Cursor(this.log, log, seq, floor, until, FETCH_MAX);
      for (await cursor.fill(); cursor.facts.length > 0; await cursor.fill()) {
        for (; cursor.at < cursor.facts.length; cursor.at++) recent.add(cursor.facts[cursor.at]!);
      }
    }
    recent.from = floor;
  }
}

interface Taken {
  readonly logged: LoggedFact;
  readonly row: FeedRow;
  readonly node: string;
}

/** Goes through one log between two times. */
class Cursor {
  row: FeedRow | undefined;
  facts: readonly LoggedFact[] = [];
  at = 0;
  private readonly pages: AsyncGenerator<readonly FeedRow[]>;
  private rows: readonly FeedRow[] = [];
  private next = 0;
  private ended = false;

  constructor(
    feedLog: FeedLog,
    readonly log: Log,
    /** The row to go on with behind what was taken. */
    public seq: number,
    private readonly after: ProcessingTime,
    private readonly upTo: ProcessingTime,
    limit: number,
  ) {
    const fetchSize = Math.min(Math.max(limit, FETCH_MIN), FETCH_MAX);
    this.pages = feedLog.rows(log.node, seq, log.lastSeq, fetchSize);
  }

  /** The next row that has something between the two times; `facts` is empty when there is none. */
  async fill(): Promise<void> {
    this.facts = [];
    this.at = 0;
    // A row that goes on behind `upTo`, as others had promised no more, is where the next page begins, too.
    while (!this.ended && !this.goesOn) {
      if (this.next === this.rows.length) {
        const page = await this.pages.next();
        if (page.done === true) break;
        this.rows = page.value;
        this.next = 0;
      }
      const row = this.rows[this.next++]!;
      this.seq = row.seq;
      if (isAfter(row.first, this.upTo)) break;
      if (this.log.holes.has(row.seq) || !isAfter(row.last, this.after)) continue;
      this.row = row;
      const within = isAfter(row.first, this.after) && !isAfter(row.last, this.upTo);
      this.facts = within
        ? row.facts
        : row.facts.filter(({ time }) => isAfter(time, this.after) && !isAfter(time, this.upTo));
      if (this.facts.length > 0) return;
    }
    if (!this.ended) {
      this.ended = true;
      await this.pages.return(undefined);
    }
  }

  private get goesOn(): boolean {
    return this.row !== undefined && isAfter(this.row.last, this.upTo);
  }
}

function leastOf(cursors: readonly Cursor[]): Cursor | undefined {
  let least: Cursor | undefined;
  for (const cursor of cursors) {
    const head = cursor.facts[cursor.at];
    if (head === undefined) continue;
    if (least === undefined || isAfter(least.facts[least.at]!.time, head.time)) least = cursor;
  }
  return least;
}

/** What was logged between two times, found by its fact. */
class Recent {
  to: ProcessingTime;
  private readonly facts = new Map<string, Fact[]>();
  private count = 0;

  constructor(public from: ProcessingTime = { ms: Number.NEGATIVE_INFINITY, tick: 0 }) {
    this.to = from;
  }

  endsAt(time: ProcessingTime): boolean {
    return this.to.ms === time.ms && this.to.tick === time.tick;
  }

  /** Goes on from a later time, keeping nothing of what lies before. */
  moveTo(time: ProcessingTime): void {
    if (this.endsAt(time) && this.count < RECENT_MAX) return;
    this.facts.clear();
    this.count = 0;
    this.from = this.to = later(this.to, time);
  }

  add({ fact }: LoggedFact): void {
    const key = identityKey(fact);
    const found = this.facts.get(key);
    if (found === undefined) this.facts.set(key, [fact]);
    else found.push(fact);
    this.count += 1;
  }

  has(fact: Fact): boolean {
    const found = this.facts.get(identityKey(fact));
    return (
      found !== undefined && found.some((other) => sameContent(other, fact) && other.processingId !== fact.processingId)
    );
  }
}
