/**
 * What other writers log, read behind them by who records beside them. So what is known of histories stays known: where
 * others record is learnt from their logs, a few reads for hundreds of facts, and no history is read to find that nothing came.
 *
 * Of two writers that record at the same time at least one sees the other's row when it looks behind its own:
 *
 *   A:  look ── decide ── log a ───────────── look (sees b)
 *   B:      look ── decide ─── log b ── look (does not see a, which is not there yet)
 *
 * so who sees something lists it for both, before his own unit ends, and nobody need list what he records for fear of one whom
 * he does not see. Where writers came or went in between, or one died ahead of his look, `logged-since.ts` stands in.
 */
import { type Fact, type IdentityKey, type ProcessingTime } from '@concursus/core';
import { textOf } from './append-decision.js';
import type { FeedLog } from './feed-log.js';
import type { FeedRow, LoggedFact } from './feed-row.js';
import type { HistoryEnds } from './history-ends.js';
import { BEFORE_ALL, later } from './processing-times.js';
import type { Scene, Writers } from './writers.js';

/** Rows that are caught up with: some 8 MiB at most. Behind more, all is forgotten and read again where it is needed. */
const LAG_ROWS_MAX = 64;

/** How far the log of another writer was read. */
interface Followed {
  /** The first row that was not there yet. */
  next: number;
  /** Rows behind it that were. */
  readonly beyond: Set<number>;
  /** Rows that may not be carried out into histories yet: of each aggregate its facts. */
  readonly open: Map<number, ReadonlyMap<string, readonly LoggedFact[]>>;
}

/** What others are seen to record of some aggregates, from now until it is stopped. */
export interface OthersWatch {
  /** By aggregate, as `aggregateKeyText` names it. */
  readonly seen: ReadonlyMap<string, readonly LoggedFact[]>;
  /** What was seen before, of those for which `addOpen` was called. */
  readonly open: ReadonlyMap<string, readonly LoggedFact[]>;
  /** For an aggregate whose history is read now, which may not show yet what was seen before. */
  addOpen(text: string): void;
  stop(): void;
}

interface Watch {
  readonly of: ReadonlySet<string>;
  readonly seen: Map<string, readonly LoggedFact[]>;
}

export class Others {
  /** The last processing time that was seen: who gives greater ones records behind all that he knows. */
  last: ProcessingTime = BEFORE_ALL;
  private era = -1;
  private readonly followed = new Map<string, Followed>();
  private readonly watches = new Set<Watch>();
  private running: Promise<Scene> | undefined;
  private next: Promise<Scene> | undefined;

  constructor(
    private readonly writers: Writers,
    private readonly log: FeedLog,
    private readonly ends: HistoryEnds,
  ) {}

  /**
   * Learns all that writers of the last look had logged when this was called. @returns that look: what is known in its
   * era is known up to here @throws UnavailableError
   */
  catchUp(): Promise<Scene> {
    if (this.running === undefined) return this.begin();
    return (this.next ??= this.running.then(
      () => this.begin(),
      () => this.begin(),
    ));
  }

  watch(of: ReadonlySet<string>): OthersWatch {
    const watch: Watch = { of, seen: new Map() };
    const before = new Map<string, readonly LoggedFact[]>();
    this.watches.add(watch);
    return {
      seen: watch.seen,
      open: before,
      addOpen: (text) => {
        for (const { open } of this.followed.values())
          for (const row of open.values()) addTo(before, text, row.get(text));
      },
      stop: () => void this.watches.delete(watch),
    };
  }

  private begin(): Promise<Scene> {
    this.next = undefined;
    const running = this.readOn().finally(() => {
      if (this.running === running) this.running = undefined;
    });
    return (this.running = running);
  }

  private async readOn(): Promise<Scene> {
    let scene = this.writers.latest ?? (await this.writers.look());
    if (this.isFarBehind(scene)) {
      this.writers.forget();
      scene = await this.writers.look();
    }
    if (scene.era !== this.era) this.startAnew(scene);
    for (const { node, closedSeq } of scene.live) this.close(node, closedSeq);
    await Promise.all([...this.followed].map(([node, followed]) => this.follow(node, followed)));
    return scene;
  }

  private isFarBehind({ era, live }: Scene): boolean {
    if (era !== this.era) return false;
    return live.some(({ node, closedSeq }) => closedSeq - (this.followed.get(node)?.next ?? closedSeq) > LAG_ROWS_MAX);
  }

  /** Nothing is known in a new era: what others closed before is read with the histories. */
  private startAnew({ era, live }: Scene): void {
    this.era = era;
    this.followed.clear();
    for (const { node, closedSeq } of live) {
      if (node === this.writers.own) continue;
      this.followed.set(node, { next: closedSeq + 1, beyond: new Set(), open: new Map() });
    }
  }

  /** What is closed of a writer stands in the histories. */
  private close(node: string, closedSeq: number): void {
    const open = this.followed.get(node)?.open;
    if (open !== undefined) for (const seq of open.keys()) if (seq <= closedSeq) open.delete(seq);
  }

  private async follow(node: string, followed: Followed): Promise<void> {
    for await (const row of this.log.tail(node, followed.next)) {
      if (row.seq < followed.next || followed.beyond.has(row.seq)) continue;
      followed.beyond.add(row.seq);
      this.take(followed, row);
    }
    while (followed.beyond.delete(followed.next)) followed.next += 1;
  }

  private take(followed: Followed, row: FeedRow): void {
    this.last = later(this.last, row.last);
    const facts = new Map<string, LoggedFact[]>();
    for (const logged of row.facts) {
      const { fact } = logged;
      const text = textOf(fact);
      const of = facts.get(text);
      if (of === undefined) facts.set(text, [logged]);
      else of.push(logged);
      this.ends.learn(text, fact.aggregateType, placeOf(fact), this.era);
    }
    followed.open.set(row.seq, facts);
    for (const watch of this.watches)
      for (const [text, of] of facts) if (watch.of.has(text)) addTo(watch.seen, text, of);
  }
}

function addTo(seen: Map<string, readonly LoggedFact[]>, text: string, facts: readonly LoggedFact[] | undefined): void {
  if (facts !== undefined) seen.set(text, [...(seen.get(text) ?? []), ...facts]);
}

function placeOf({ eventTime, streamId, sequence, name }: Fact): IdentityKey {
  return { eventTime, streamId, sequence, name };
}
