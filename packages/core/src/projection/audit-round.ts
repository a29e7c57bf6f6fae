/**
 * A continuous audit of store against feed, in steps small enough for a busy process: facts of the feed are counted in, those
 * of the histories counted out, up to one place, in 64 sums by aggregate. What a round leaves in a sum is looked up exactly.
 * All it knows is a kilobyte or two, kept between two steps, so that a round goes on over restarts and in any process.
 */
import { aggregateKeyText, type AggregateKey } from '../model/event.js';
import type { Position } from '../model/position.js';
import type { Findings } from './audit-report.js';
import { auditStore, textOf, type StoreAuditOptions } from './audit-store.js';
import { readUpTo, type RebuildParts, type Turns } from './rebuild.js';
import { placeOf, SetSum, type SetSumText } from './tally-hash.js';

/** A sum that is not empty costs one reading of the feed, and of the histories of one part in so many. */
const SUMS = 64;
/** Which part an aggregate is of: another share than that of any `seed`. */
const SEED = 0x5eed;
const FEED_PAGE = 2_000;
/** Facts of the feed for each aggregate: where histories are longer, the feed's end is reached behind the last aggregate. */
export const FACTS_AN_AGGREGATE = 50;

/** As it is kept. */
interface RoundText {
  readonly upTo: string;
  /** Where it is in the feed; null at its end. */
  readonly feed: string | null;
  /** Behind which aggregate it is; null behind the last. */
  readonly after: AggregateKey | '' | null;
  readonly sums: readonly SetSumText[];
}

type Parts = Pick<RebuildParts, 'store' | 'feed' | 'clock'>;

const partOf = (text: string): number => Math.floor(placeOf(text, SEED) * SUMS);

export class AuditRound {
  private constructor(
    private readonly parts: Parts,
    private readonly upTo: Position,
    private feedAt: Position | null,
    private after: AggregateKey | '' | null,
    private readonly sums: readonly SetSum[],
  ) {}

  /** The round that was kept, or a new one. */
  static async open(parts: Parts, kept: string | undefined): Promise<AuditRound> {
    const { feed } = parts;
    const round = kept === undefined || kept === '' ? undefined : (JSON.parse(kept) as Partial<RoundText>);
    // What another version kept is begun anew.
    if (round?.sums?.length !== SUMS) {
      const sums = Array.from({ length: SUMS }, () => new SetSum());
      return new AuditRound(parts, await feed.end(), feed.start(), '', sums);
    }
    const { upTo, feed: at, after, sums } = round as RoundText;
    const position = at === null ? null : feed.parsePosition(at);
    return new AuditRound(
      parts,
      feed.parsePosition(upTo),
      position,
      after,
      sums.map((sum) => SetSum.of(sum)),
    );
  }

  get text(): string {
    const { upTo, feedAt, after, sums } = this;
    const text: RoundText = {
      upTo: upTo.toString(),
      feed: feedAt === null ? null : feedAt.toString(),
      after,
      sums: sums.map((sum) => sum.text),
    };
    return JSON.stringify(text);
  }

  /** It has seen every aggregate and all of the feed. */
  get isOver(): boolean {
    return this.feedAt === null && this.after === null;
  }

  /** The next aggregates, at most `count`, whose histories are counted out; none behind the last. */
  async next(count: number, turns: Turns, signal: AbortSignal): Promise<readonly AggregateKey[]> {
    if (this.after === null) return [];
    const { store } = this.parts;
    const keys = await store.scanAggregates(this.after === '' ? undefined : this.after, count);
    for (const key of keys) {
      const sum = this.sums[partOf(textOf(key))]!;
      for await (const page of store.read(key, { upTo: this.upTo })) {
        for (const fact of page) sum.remove(fact.processingId);
        const rest = turns.next();
        if (rest !== undefined) await rest;
        if (signal.aborted) return keys;
      }
    }
    this.after = keys.length < count ? null : keys.at(-1)!;
    return keys;
  }

  /** Counts in the next facts of the feed, about `count`. */
  async follow(count: number, turns: Turns, signal: AbortSignal): Promise<void> {
    const { feed } = this.parts;
    for (let left = count; this.feedAt !== null && left > 0 && !signal.aborted;) {
      const from: Position = this.feedAt;
      const page = from.covers(this.upTo)
        ? undefined
        : await readUpTo(feed, from, this.upTo, Math.min(left, FEED_PAGE));
      if (page === undefined || (page.facts.length === 0 && from.covers(page.next))) {
        this.feedAt = null;
        return;
      }
      for (const { tenant, aggregateType, aggregateId, processingId } of page.facts) {
        this.sums[partOf(aggregateKeyText(tenant, aggregateType, aggregateId))]!.add(processingId);
      }
      left -= Math.max(1, page.facts.length);
      this.feedAt = page.next;
      const rest = turns.next();
      if (rest !== undefined) await rest;
    }
  }

  /** Looks up exactly what the sums say differs. */
  async judge(options: StoreAuditOptions, turns: Turns, findings: Findings): Promise<void> {
    const parts = new Set<number>();
    this.sums.forEach((sum, part) => {
      if (!sum.isEmpty) parts.add(part);
    });
    if (parts.size === 0) return;
    const only = (text: string): boolean => parts.has(partOf(text));
    await auditStore(this.parts, this.upTo, { ...options, only }, turns, findings);
  }
}
