/** Reads one history in key order: its buckets ahead of each other, the partitions of one merged, of two ids of a content the lesser. */
import {
  compareKey,
  compareProcessingIds,
  limits,
  parseProcessingId,
  sameContent,
  compareIdentity,
  type AggregateKey,
  type Fact,
  type ProcessingTime,
} from '@concursus/core';
import type { types } from 'cassandra-driver';
import { factOf, valueColumns } from './event-columns.js';
import type { EventRows } from './event-rows.js';
import type { Placement } from './placement.js';
import type { Session } from './session.js';

const COLUMNS = `event_time, stream, sequence, name, processing_id, ${valueColumns}`;
const UP = `SELECT ${COLUMNS} FROM event WHERE context = ? AND tenant = ? AND type = ? AND id = ? AND bucket = ? AND shard = ?
  AND event_time >= ? AND event_time <= ?`;
const DOWN = `${UP} ORDER BY event_time DESC`;

/** Buckets whose first rows are asked for ahead. */
const AHEAD = 8;
const FETCH_MIN = 64;
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
    private readonly rows: EventRows,
  ) {}

  /** Facts in the order asked for, in chunks that are not empty. Stops asking when the caller stops. */
  async *read(key: AggregateKey, wanted: Wanted): AsyncGenerator<readonly Fact[]> {
    if (wanted.from > wanted.to) return;
    const first = this.placement.bucketOf(key.type, wanted.from);
    const last = this.placement.bucketOf(key.type, wanted.to);
    const buckets = [...(await this.rows.readDirectory(key))]
      .filter(([bucket]) => bucket >= first && bucket <= last)
      .sort(([a], [b]) => (wanted.descending ? b - a : a - b));
    const readers: AsyncGenerator<readonly Fact[]>[] = [];
    const heads: Promise<IteratorResult<readonly Fact[]>>[] = [];
    try {
      for (let i = 0; i < buckets.length; i++) {
        for (let ahead = readers.length; ahead < buckets.length && ahead < i + AHEAD; ahead++) {
          const [bucket, shards] = buckets[ahead]!;
          const reader = this.bucket(key, bucket, shards, wanted);
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
    if (shards === 1) return this.partition(key, bucket, 0, wanted);
    const parts = Array.from({ length: shards }, (_, shard) => this.partition(key, bucket, shard, wanted));
    return merged(parts, wanted.descending);
  }

  private async *partition(
    key: AggregateKey,
    bucket: number,
    shard: number,
    wanted: Wanted,
  ): AsyncGenerator<readonly Fact[]> {
    const { session } = this;
    const { descending, until, names } = wanted;
    const params = [session.context, key.tenant, key.type, key.id, bucket, shard, wanted.from, wanted.to];
    let fetchSize = Math.min(Math.max(wanted.size + 1, FETCH_MIN), FETCH_FIRST);
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
      fetchSize = Math.max(FETCH_MIN, Math.min(FETCH_MAX, Math.floor(FETCH_CHARACTERS / average)));
      // The server works on the next page while this one is decoded and handled. Whoever asked for little may want no more.
      const isAhead = pageState !== undefined && rows.length >= FETCH_FIRST;
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

export function isRecordedAfter(fact: Fact, { ms, tick }: ProcessingTime): boolean {
  return fact.processedAt > ms || (fact.processedAt === ms && parseProcessingId(fact.processingId).tick > tick);
}

function isSame(a: Fact, b: Fact): boolean {
  return a.eventTime === b.eventTime && compareIdentity(a, b) === 0 && sameContent(a, b);
}

/** Several partitions of one bucket in one order. */
async function* merged(
  parts: readonly AsyncGenerator<readonly Fact[]>[],
  descending: boolean,
): AsyncGenerator<readonly Fact[]> {
  const turn = descending ? -1 : 1;
  const heads = (
    await Promise.all(parts.map(async (part) => ({ part, chunk: (await part.next()).value, at: 0 })))
  ).filter((head) => head.chunk !== undefined) as {
    part: AsyncGenerator<readonly Fact[]>;
    chunk: readonly Fact[];
    at: number;
  }[];
  let out: Fact[] = [];
  let previous: Fact | undefined;
  try {
    while (heads.length > 0) {
      let least = heads[0]!;
      for (const head of heads) {
        if (head !== least && compareKey(head.chunk[head.at]!, least.chunk[least.at]!) * turn < 0) least = head;
      }
      const fact = least.chunk[least.at++]!;
      // What was written when the bucket had fewer partitions may stand in two of them: one content, whose lesser id counts.
      if (previous !== undefined && isSame(previous, fact)) {
        if (compareProcessingIds(fact.processingId, previous.processingId) < 0) out[out.length - 1] = fact;
      } else {
        if (out.length >= FETCH_FIRST) {
          yield out;
          out = [];
        }
        out.push(fact);
      }
      previous = out[out.length - 1]!;
      if (least.at < least.chunk.length) continue;
      const next = await least.part.next();
      if (next.done === true) heads.splice(heads.indexOf(least), 1);
      else {
        least.chunk = next.value;
        least.at = 0;
      }
    }
    if (out.length > 0) yield out;
  } finally {
    for (const part of parts) void part.return(undefined).catch(() => undefined);
  }
}
