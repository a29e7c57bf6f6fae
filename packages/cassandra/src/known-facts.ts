/**
 * What is stored already of the facts of one aggregate that are to be recorded: their identities with their contents, and
 * whether something stands behind them. Read from the first of them on, so an append at the end of a history reads nothing.
 */
import { compareIdentity, type AggregateKey, type Fact, type IdentityKey, type ProcessingTime } from '@concursus/core';
import type { types } from 'cassandra-driver';
import { digestText, identityOf, identityText, keyColumns, processingTimeOf } from './event-columns.js';
import type { Directory, EventRows } from './event-rows.js';
import type { Placement } from './placement.js';
import { isAfter } from './processing-times.js';
import type { Session } from './session.js';

const SCAN = `SELECT ${keyColumns} FROM event
  WHERE context = ? AND tenant = ? AND type = ? AND id = ? AND bucket = ? AND shard = ? AND event_time >= ?`;
/** Rows of a page beyond the facts that are looked for. */
const SPARE = 32;
const PAGE_MAX = 1_000;

/** One history, as far as it matters to what is to be recorded; facts that are recorded are added. */
export class KnownHistory {
  /** Contents by identity: digest to the processing time under which it is known. */
  private readonly contents = new Map<string, Map<string, ProcessingTime>>();
  private readonly lastOf = new Map<number, IdentityKey>();
  lastBucket = Number.NEGATIVE_INFINITY;

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
    private readonly rows: EventRows,
  ) {}

  /**
   * @param facts of this aggregate, in any order
   * @param exceptNode what this writer recorded is left out
   */
  async read(key: AggregateKey, facts: readonly Fact[], exceptNode?: string): Promise<KnownHistory> {
    const times = new Map<number, number[]>();
    for (const fact of facts) {
      const bucket = this.placement.bucketOf(key.type, fact.eventTime);
      const of = times.get(bucket);
      if (of === undefined) times.set(bucket, [fact.eventTime]);
      else of.push(fact.eventTime);
    }
    for (const of of times.values()) of.sort((a, b) => a - b);
    // Most buckets are one partition: it is read while the directory is.
    const directory = this.rows.readDirectory(key);
    const found: [number, types.Row][] = [];
    const scans = [...times].map(([bucket, of]) => this.scan(key, bucket, 0, of, found));
    const [known] = await Promise.all([directory, ...scans]);
    const more: Promise<void>[] = [];
    for (const [bucket, of] of times) {
      const shards = known.get(bucket) ?? 1;
      for (let shard = 1; shard < shards; shard++) more.push(this.scan(key, bucket, shard, of, found));
    }
    if (more.length > 0) await Promise.all(more);
    const history = new KnownHistory(this.placement, known);
    for (const [bucket, row] of found) {
      if (exceptNode !== undefined && String(row['processing_id']).endsWith(exceptNode)) continue;
      history.note(bucket, identityOf(row), digestText(row), processingTimeOf(row));
    }
    return history;
  }

  /** Rows from each of the times on, up to one behind the last; what lies between two of them far apart is left out. */
  private async scan(
    key: AggregateKey,
    bucket: number,
    shard: number,
    times: readonly number[],
    found: [number, types.Row][],
  ): Promise<void> {
    const owner = [this.session.context, key.tenant, key.type, key.id, bucket, shard];
    let i = 0;
    for (;;) {
      let jumped = false;
      const fetchSize = Math.min(times.length - i + SPARE, PAGE_MAX);
      for await (const page of this.session.pages(SCAN, [...owner, times[i]!], { fetchSize })) {
        for (const row of page) found.push([bucket, row]);
        const last = page.at(-1);
        if (last === undefined) continue;
        const lastTime = (last['event_time'] as Date).getTime();
        while (i < times.length && times[i]! < lastTime) i++;
        if (i === times.length) return;
        const goesOn = times[i] === lastTime;
        if (goesOn) continue;
        jumped = true;
        break;
      }
      if (!jumped) return;
    }
  }
}
