/**
 * What is stored already of the facts of one aggregate that are to be recorded: their identities with their contents, and
 * whether something stands behind them. Read from the first of them on, so an append at the end of a history reads nothing.
 * In a bucket of many shards each fact is looked for where it may stand, and each shard is asked for its end.
 */
import { compareIdentity, type AggregateKey, type Fact, type IdentityKey, type ProcessingTime } from '@concursus/core';
import type { types } from 'cassandra-driver';
import { eachBounded } from './bounded.js';
import { digestText, identityOf, identityText, keyColumns, processingTimeOf } from './event-columns.js';
import type { BucketGrowth, Directory } from './bucket-growth.js';
import { shardCount, shardsUpTo, spreadOf, type Placement } from './placement.js';
import { BEFORE_ALL, isAfter, later } from './processing-times.js';
import type { Session } from './session.js';

const SCAN = `SELECT ${keyColumns} FROM event
  WHERE context = ? AND tenant = ? AND type = ? AND id = ? AND bucket = ? AND shard = ? AND event_time >= ?`;
const END = `SELECT event_time, stream, sequence, name, processing_id FROM event
  WHERE context = ? AND tenant = ? AND type = ? AND id = ? AND bucket = ? AND shard = ? ORDER BY event_time DESC LIMIT 1`;
/** Rows of a page beyond the facts that are looked for: of one shard, where neighbours are looked for too, and of many. */
const SPARE = 32;
const SPARE_OF_MANY = 4;
const PAGE_MAX = 1_000;
const PARTS = 8;
const READS_AT_ONCE = 64;

/** One history, as far as it matters to what is to be recorded; facts that are recorded are added. */
export class KnownHistory {
  /** Contents by identity: digest to the processing time under which it is known. */
  private readonly contents = new Map<string, Map<string, ProcessingTime>>();
  private readonly lastOf = new Map<number, IdentityKey>();
  lastBucket = Number.NEGATIVE_INFINITY;
  /** Of what was read nothing was recorded after it: who gives greater times knows what stands ahead of him in both orders. */
  newest: ProcessingTime = BEFORE_ALL;

  constructor(
    private readonly placement: Placement,
    readonly directory: Directory,
  ) {
    for (const bucket of directory.keys()) if (bucket > this.lastBucket) this.lastBucket = bucket;
  }

  /** The contents stored under the identity of a fact. */
  contentsOf(fact: Fact): ReadonlyMap<string, ProcessingTime> | undefined {
    return this.contents.get(identityText(fact));
  }

  /** True when something with this or a later key is known. */
  isBehind(fact: Fact): boolean {
    const bucket = this.placement.bucketOf(fact.aggregateType, fact.eventTime);
    if (bucket !== this.lastBucket) return bucket < this.lastBucket;
    const last = this.lastOf.get(bucket);
    return last !== undefined && compareIdentity(last, fact) >= 0;
  }

  /** A fact that is recorded now. */
  add(fact: Fact, time: ProcessingTime): void {
    const bucket = this.placement.bucketOf(fact.aggregateType, fact.eventTime);
    this.note(bucket, fact, fact.digest, time);
  }

  note(bucket: number, identity: IdentityKey, digest: string, time: ProcessingTime): void {
    const text = identityText(identity);
    let contents = this.contents.get(text);
    if (contents === undefined) this.contents.set(text, (contents = new Map()));
    const known = contents.get(digest);
    // The least id is the event's.
    if (known === undefined || isAfter(known, time)) contents.set(digest, time);
    this.reach(bucket, identity);
  }

  /** Something stands at this place. */
  reach(bucket: number, identity: IdentityKey): void {
    if (bucket > this.lastBucket) this.lastBucket = bucket;
    const last = this.lastOf.get(bucket);
    if (last === undefined || compareIdentity(last, identity) < 0) this.lastOf.set(bucket, identity);
  }
}

export class KnownFacts {
  constructor(
    private readonly session: Session,
    private readonly placement: Placement,
    private readonly growth: BucketGrowth,
  ) {}

  /**
   * @param facts of this aggregate, in any order
   * @param withEnds false where it need not be told whether they stand behind others
   * @param exceptNode what this writer recorded is left out
   */
  async read(key: AggregateKey, facts: readonly Fact[], withEnds: boolean, exceptNode?: string): Promise<KnownHistory> {
    const buckets = new Map<number, Fact[]>();
    for (const fact of facts) {
      const bucket = this.placement.bucketOf(key.type, fact.eventTime);
      const of = buckets.get(bucket);
      if (of === undefined) buckets.set(bucket, [fact]);
      else of.push(fact);
    }
    const found: [number, types.Row][] = [];
    // Most buckets are one shard: it is read while the directory is.
    const scans = [...buckets].map(([bucket, of]) => this.scan(key, bucket, 0, timesOf(of), found));
    const [directory] = await Promise.all([this.growth.readDirectory(key), ...scans]);
    const more: (() => Promise<unknown>)[] = [];
    const ends: [number, types.Row][] = [];
    for (const [bucket, of] of buckets) {
      const width = directory.get(bucket)?.width ?? 1;
      if (width === 1) continue;
      const byShard = new Map<number, Fact[]>();
      for (const fact of of) {
        for (const shard of shardsUpTo(width, spreadOf(fact))) {
          const there = byShard.get(shard);
          if (there === undefined) byShard.set(shard, [fact]);
          else there.push(fact);
        }
      }
      byShard.delete(0);
      for (const [shard, there] of byShard) more.push(() => this.scan(key, bucket, shard, timesOf(there), found));
      if (!withEnds) continue;
      for (let shard = 1; shard < shardCount(width); shard++) {
        more.push(async () => {
          const end = await this.session.execute(END, [...this.ownerOf(key), bucket, shard]);
          for (const row of end.rows) ends.push([bucket, row]);
        });
      }
    }
    await eachBounded(more, READS_AT_ONCE, async (read) => void (await read()));
    const history = new KnownHistory(this.placement, directory);
    for (const [bucket, row] of found) {
      if (exceptNode !== undefined && String(row['processing_id']).endsWith(exceptNode)) continue;
      const time = processingTimeOf(row);
      history.note(bucket, identityOf(row), digestText(row), time);
      history.newest = later(history.newest, time);
    }
    for (const [bucket, row] of ends) {
      history.reach(bucket, identityOf(row));
      history.newest = later(history.newest, processingTimeOf(row));
    }
    return history;
  }

  private ownerOf(key: AggregateKey): unknown[] {
    return [this.session.context, key.tenant, key.type, key.id];
  }

  /**
   * Rows from each of the times on, up to one behind the last; what lies between two of them far apart is left out. Where they
   * are, the rest is read side by side.
   */
  private async scan(
    key: AggregateKey,
    bucket: number,
    shard: number,
    times: readonly number[],
    found: [number, types.Row][],
  ): Promise<void> {
    const owner = [...this.ownerOf(key), bucket, shard];
    const fetchSize = Math.min(times.length + (shard === 0 ? SPARE : SPARE_OF_MANY), PAGE_MAX);
    let i = 0;
    for await (const page of this.session.pages(SCAN, [...owner, times[0]!], { fetchSize })) {
      for (const row of page) found.push([bucket, row]);
      const last = page.at(-1);
      if (last === undefined) continue;
      const lastTime = (last['event_time'] as Date).getTime();
      while (i < times.length && times[i]! < lastTime) i++;
      if (i === times.length) return;
      if (times[i]! > lastTime) return this.scanParts(key, bucket, shard, times.slice(i), found);
    }
  }

  private async scanParts(
    key: AggregateKey,
    bucket: number,
    shard: number,
    times: readonly number[],
    found: [number, types.Row][],
  ): Promise<void> {
    const each = Math.ceil(times.length / PARTS);
    const parts: Promise<void>[] = [];
    for (let from = 0; from < times.length; from += each) {
      parts.push(this.scan(key, bucket, shard, times.slice(from, from + each), found));
    }
    await Promise.all(parts);
  }
}

function timesOf(facts: readonly Fact[]): number[] {
  return facts.map((fact) => fact.eventTime).sort((a, b) => a - b);
}
