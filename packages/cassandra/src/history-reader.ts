/** Reads one history in key order: its buckets ahead of each other, the shards of one merged, of two ids of a content the lesser. */
import {
  compareKey,
  compareProcessingIds,
  limits,
  sameContent,
  compareIdentity,
  type AggregateKey,
  type Fact,
  type ProcessingTime,
} from '@concursus/core';
import type { types } from 'cassandra-driver';
import { factOf, valueColumns } from './event-columns.js';
import type { BucketGrowth, Directory } from './bucket-growth.js';
import { shardCount, type Placement } from './placement.js';
import { isRecordedAfter } from './processing-times.js';
import type { Session } from './session.js';

const COLUMNS = `event_time, stream, sequence, name, processing_id, ${valueColumns}`;
const UP = `SELECT ${COLUMNS} FROM event WHERE context = ? AND tenant = ? AND type = ? AND id = ? AND bucket = ? AND shard = ?
  AND event_time >= ? AND event_time <= ?`;
const DOWN = `${UP} ORDER BY event_time DESC`;

/** Buckets whose first rows are asked for ahead. */
const AHEAD = 8;
const FETCH_MIN = 64;
/** Of one of many shards. */
const FETCH_LEAST = 4;
const FETCH_MAX = 5_000;
/** The first page of a partition, until it is known how large its facts are. */
const FETCH_FIRST = 1_000;
/** Characters of a page of the driver, about. */
const FETCH_CHARACTERS = 4 * 1_048_576;

/** What part of a history, and which of its facts. */
export interface Wanted {
  /** Event times, inclusive, whole. */
  readonly from: number;
  readonly to: number;
  readonly descending: boolean;
  /** Only what was recorded at or before. */
  readonly until: ProcessingTime | undefined;
  readonly names: ReadonlySet<string> | undefined;
  /** Facts that are wanted of each page, as far as known. */
  readonly size: number;
}

export const wholeHistory: Wanted = {
  from: limits.eventTimeMin,
  to: limits.eventTimeMax,
  descending: false,
  until: undefined,
  names: undefined,
  size: FETCH_FIRST,
};

export class HistoryReader {
  constructor(
    private readonly session: Session,
    private readonly placement: Placement,
    private readonly growth: BucketGrowth,
  ) {}

  /**
   * Facts in the order asked for, in chunks that are not empty. Stops asking when the caller stops.
   * @param known the directory, where the caller has just read it
   */
  async *read(key: AggregateKey, wanted: Wanted, known?: Directory): AsyncGenerator<readonly Fact[]> {
    if (wanted.from > wanted.to) return;
    const first = this.placement.bucketOf(key.type, wanted.from);
    const last = this.placement.bucketOf(key.type, wanted.to);
    const buckets = [...(known ?? (await this.growth.readDirectory(key)))]
      .filter(([bucket]) => bucket >= first && bucket <= last)
      .sort(([a], [b]) => (wanted.descending ? b - a : a - b));
    const readers: AsyncGenerator<readonly Fact[]>[] = [];
    const heads: Promise<IteratorResult<readonly Fact[]>>[] = [];
    try {
      for (let i = 0; i < buckets.length; i++) {
        for (let ahead = readers.length; ahead < buckets.length && ahead < i + AHEAD; ahead++) {
          const [bucket, { width }] = buckets[ahead]!;
          const reader = this.bucket(key, bucket, shardCount(width), wanted);
          readers.push(reader);
          const head = reader.next();
          // Whoever gets there hears of its error.
          head.catch(() => undefined);
          heads.push(head);
        }
        for (let next = await heads[i]!; next.done !== true; next = await readers[i]!.next()) yield next.value;
      }
    } finally {
      for (const reader of readers) void reader.return(undefined).catch(() => undefined);
    }
  }

  /** All of it. */
  async collect(key: AggregateKey, wanted: Wanted): Promise<Fact[]> {
    let all: Fact[] | undefined;
    for await (const chunk of this.read(key, wanted)) {
      if (all === undefined) all = chunk as Fact[];
      else for (const fact of chunk) all.push(fact);
    }
    return all ?? [];
  }

  private bucket(key: AggregateKey, bucket: number, shards: number, wanted: Wanted): AsyncGenerator<readonly Fact[]> {
    if (shards === 1) return this.shard(key, bucket, 0, wanted, 1);
    const parts = Array.from({ length: shards }, (_, shard) => this.shard(key, bucket, shard, wanted, shards));
    return merged(parts, wanted.descending, Math.max(FETCH_MIN, Math.min(wanted.size, FETCH_FIRST)));
  }

  /** @param among so many are read at once: together they fetch what one would */
  private async *shard(
    key: AggregateKey,
    bucket: number,
    shard: number,
    wanted: Wanted,
    among: number,
  ): AsyncGenerator<readonly Fact[]> {
    const { session } = this;
    const { descending, until, names } = wanted;
    const params = [session.context, key.tenant, key.type, key.id, bucket, shard, wanted.from, wanted.to];
    const least = Math.max(FETCH_LEAST, Math.floor(FETCH_MIN / among));
    let fetchSize = Math.min(Math.max(Math.ceil((wanted.size + 1) / among), least), FETCH_FIRST);
    const fetch = (pageState?: string): Promise<types.ResultSet> =>
      session.execute(descending ? DOWN : UP, params, {
        fetchSize,
        ...(pageState === undefined ? {} : { pageState }),
      });
    let held: Fact | undefined;
    let coming: Promise<types.ResultSet> | undefined = fetch();
    while (coming !== undefined) {
      const result: types.ResultSet = await coming;
      const { rows } = result;
      const pageState = (result.pageState as string | null | undefined) ?? undefined;
      let characters = 0;
      for (const row of rows) characters += (row['content'] as string).length;
      const average = Math.ceil(characters / Math.max(rows.length, 1)) + 100;
      const most = Math.max(least, Math.min(FETCH_MAX, Math.floor(FETCH_CHARACTERS / average / among)));
      // Of many each gives little of what is wanted first.
      fetchSize = among === 1 ? most : Math.min(most, fetchSize * 4);
      // The server works on the next page while this one is decoded and handled. Whoever asked for little may want no more.
      const isAhead = pageState !== undefined && rows.length * among >= FETCH_FIRST;
      coming = isAhead ? fetch(pageState) : undefined;
      // Whoever gets there hears of its error.
      coming?.catch(() => undefined);
      const facts: Fact[] = [];
      for (const row of rows) {
        const fact = factOf(key, row);
        if (until !== undefined && isRecordedAfter(fact, until)) continue;
        if (names !== undefined && !names.has(fact.name)) continue;
        // The same content under two ids stands side by side. Of one time the server orders nodes by signed bytes, we do not.
        if (held !== undefined && isSame(held, fact)) {
          if (compareProcessingIds(fact.processingId, held.processingId) < 0) held = fact;
          continue;
        }
        if (held !== undefined) facts.push(held);
        held = fact;
      }
      if (pageState === undefined && held !== undefined) facts.push(held);
      if (facts.length > 0) yield facts;
      if (!isAhead && pageState !== undefined) coming = fetch(pageState);
    }
  }
}

function isSame(a: Fact, b: Fact): boolean {
  return a.eventTime === b.eventTime && compareIdentity(a, b) === 0 && sameContent(a, b);
}

/** One of several readers in one order. The next chunk is asked for when half of this one was taken. */
interface MergeHead {
  readonly part: AsyncGenerator<readonly Fact[]>;
  chunk: readonly Fact[];
  at: number;
  coming: Promise<IteratorResult<readonly Fact[]>> | undefined;
}

/** Several shards of one bucket in one order, in chunks of so many facts. */
async function* merged(
  parts: readonly AsyncGenerator<readonly Fact[]>[],
  descending: boolean,
  size: number,
): AsyncGenerator<readonly Fact[]> {
  const turn = descending ? -1 : 1;
  let out: Fact[] = [];
  let previous: Fact | undefined;
  try {
    const firsts = await Promise.all(parts.map((part) => part.next()));
    const heads: MergeHead[] = [];
    for (const [i, first] of firsts.entries()) {
      const part = parts[i]!;
      if (first.done !== true) heads.push({ part, chunk: first.value, at: 0, coming: undefined });
    }
    while (heads.length > 0) {
      let least = heads[0]!;
      for (const head of heads) {
        if (head !== least && compareKey(head.chunk[head.at]!, least.chunk[least.at]!) * turn < 0) least = head;
      }
      if (least.at * 2 >= least.chunk.length) least.coming ??= ahead(least.part);
      const fact = least.chunk[least.at++]!;
      // What was written while others knew another width may stand in two of them: one content, whose lesser id counts.
      if (previous !== undefined && isSame(previous, fact)) {
        if (compareProcessingIds(fact.processingId, previous.processingId) < 0) out[out.length - 1] = fact;
      } else {
        if (out.length >= size) {
          yield out;
          out = [];
        }
        out.push(fact);
      }
      previous = out[out.length - 1]!;
      if (least.at < least.chunk.length) continue;
      const next = await (least.coming ?? least.part.next());
      if (next.done === true) heads.splice(heads.indexOf(least), 1);
      else {
        least.chunk = next.value;
        least.at = 0;
        least.coming = undefined;
      }
    }
    if (out.length > 0) yield out;
  } finally {
    for (const part of parts) void part.return(undefined).catch(() => undefined);
  }
}

function ahead(part: AsyncGenerator<readonly Fact[]>): Promise<IteratorResult<readonly Fact[]>> {
  const coming = part.next();
  // Whoever gets there hears of its error.
  coming.catch(() => undefined);
  return coming;
}
