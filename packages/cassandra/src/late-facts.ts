/**
 * Facts that were recorded behind a later key of their history. Writers list them, and beside others also those of which
 * they cannot tell; what of these was late is found here, in what was recorded since, never in the whole history.
 */
import {
  compareIdentity,
  compareProcessingIds,
  parseProcessingId,
  processingIdPrefix,
  type AggregateKey,
  type Fact,
  type IdentityKey,
  type ProcessingTime,
} from '@concursus/core';
import type { types } from 'cassandra-driver';
import { eachBounded } from './bounded.js';
import type { BucketGrowth, Directory } from './bucket-growth.js';
import { distinctFacts, identityOf, processingTimeOf } from './event-columns.js';
import { wholeHistory, type HistoryReader } from './history-reader.js';
import { shardCount, shardsUpTo, spreadOf } from './placement.js';
import { isAfter, isRecordedAfter, justBefore } from './processing-times.js';
import type { Session } from './session.js';

const LATE = `SELECT * FROM event_late
  WHERE context = ? AND tenant = ? AND type = ? AND id = ? AND bucket = ? AND shard = ?
  AND processing_id > ? AND processing_id <= ?`;
const AT = `SELECT * FROM event WHERE context = ? AND tenant = ? AND type = ? AND id = ? AND bucket = ? AND shard = ?
  AND event_time = ? AND stream = ? AND sequence = ? AND name = ?`;
const LATE_FIRST = `${LATE} LIMIT ?`;

const READS_AT_ONCE = 64;
/** Rows that are looked at together, over all shards, and of one shard at least. */
const ROWS_MAX = 10_000;
const SHARD_ROWS_MIN = 64;
/** The last id of a processing time, as Cassandra orders ids: by time, then by bytes with a sign. */
const LAST_OF_TIME = '7f7f-7f7f7f7f7f7f';
const END_OF_TIME: ProcessingTime = { ms: 103_072_857_660_683, tick: 0 };

/** What is asked for: recorded after and at or before. */
export interface LateSpan {
  readonly after: ProcessingTime;
  readonly until: ProcessingTime | undefined;
  readonly limit: number;
}

interface Shard {
  readonly bucket: number;
  readonly shard: number;
}

/** The end of a history, as far back as it was recorded after some time. */
interface RecentEnd {
  /** Of these facts the late ones, by id. */
  readonly late: ReadonlyMap<string, Fact>;
  /** The last place that was known before: what was recorded since and stands there or ahead of it is late. */
  readonly known: IdentityKey | undefined;
}

export class LateFacts {
  constructor(
    private readonly session: Session,
    private readonly growth: BucketGrowth,
    private readonly histories: HistoryReader,
  ) {}

  /**
   * As `EventStore.readLate` says. One small read when nothing was listed since. Else what was listed since is read, and
   * where others recorded meanwhile the end of the history, back to the last fact that was recorded before.
   */
  async read(key: AggregateKey, { after, until = END_OF_TIME, limit }: LateSpan): Promise<readonly Fact[]> {
    const directory = await this.growth.readDirectory(key);
    const shards: Shard[] = [];
    for (const [bucket, { width, listed }] of directory) {
      if (listed === undefined || !isListedAfter(listed, after)) continue;
      for (let shard = 0; shard < shardCount(width); shard++) shards.push({ bucket, shard });
    }
    const late: Fact[] = [];
    let end: RecentEnd | undefined;
    let from: ProcessingTime | undefined = shards.length === 0 ? undefined : after;
    while (from !== undefined && late.length < limit) {
      const { rows, upTo }: Listed = await this.readListed(key, shards, from, until);
      const found = distinctFacts(
        key,
        rows.filter((row) => row['content'] !== null),
        until,
      );
      const unsure = rows.filter((row) => row['content'] === null);
      if (unsure.length > 0) {
        end ??= await this.readEnd(key, directory, after, until);
        found.push(...(await this.lateOf(key, directory, unsure, end, until)));
      }
      // Whoever carried out what another had logged listed it too, and could tell less.
      const ids = new Set<string>();
      for (const fact of found.sort((a, b) => compareProcessingIds(a.processingId, b.processingId))) {
        if (!ids.has(fact.processingId)) late.push(fact);
        ids.add(fact.processingId);
      }
      from = upTo;
    }
    return late.slice(0, limit);
  }

  /** The first rows of the lists, each with all others of its processing time. */
  private async readListed(
    key: AggregateKey,
    shards: readonly Shard[],
    from: ProcessingTime,
    until: ProcessingTime,
  ): Promise<Listed> {
    const owner = [this.session.context, key.tenant, key.type, key.id];
    const most = Math.max(SHARD_ROWS_MIN, Math.ceil(ROWS_MAX / shards.length));
    const all: types.Row[] = [];
    const ends: ProcessingTime[] = [];
    await eachBounded(shards, READS_AT_ONCE, async ({ bucket, shard }) => {
      const place = [...owner, bucket, shard];
      const rows = await this.session.rows(LATE_FIRST, [...place, lastIdOf(from), lastIdOf(until), most]);
      if (rows.length < most) return void all.push(...rows);
      const last = processingTimeOf(rows[most - 1]!);
      const whole = rows.filter((row) => isAfter(last, processingTimeOf(row)));
      if (whole.length > 0) {
        ends.push(justBefore(last));
        return void all.push(...whole);
      }
      ends.push(last);
      all.push(...(await this.session.rows(LATE, [...place, lastIdOf(justBefore(last)), lastIdOf(last)])));
    });
    const upTo = ends.reduce<ProcessingTime | undefined>(
      (least, end) => (least === undefined || isAfter(least, end) ? end : least),
      undefined,
    );
    return { upTo, rows: upTo === undefined ? all : all.filter((row) => !isAfter(processingTimeOf(row), upTo)) };
  }

  private async readEnd(
    key: AggregateKey,
    directory: Directory,
    after: ProcessingTime,
    until: ProcessingTime,
  ): Promise<RecentEnd> {
    const late = new Map<string, Fact>();
    // Of all that stand behind.
    let leastId: string | undefined;
    const wanted = { ...wholeHistory, descending: true, until, size: SHARD_ROWS_MIN };
    for await (const chunk of this.histories.read(key, wanted, directory)) {
      for (const fact of chunk) {
        if (!isRecordedAfter(fact, after)) return { late, known: fact };
        const { processingId } = fact;
        if (leastId !== undefined && compareProcessingIds(leastId, processingId) < 0) late.set(processingId, fact);
        if (leastId === undefined || compareProcessingIds(processingId, leastId) < 0) leastId = processingId;
      }
    }
    return { late, known: undefined };
  }

  /** Of facts listed by their keys only those that are late. */
  private async lateOf(
    key: AggregateKey,
    directory: Directory,
    unsure: readonly types.Row[],
    { late, known }: RecentEnd,
    until: ProcessingTime,
  ): Promise<Fact[]> {
    const found: Fact[] = [];
    const behind = new Map<string, types.Row>();
    for (const row of unsure) {
      const id = String(row['processing_id']);
      const fact = late.get(id);
      if (fact !== undefined) found.push(fact);
      else if (known !== undefined && compareIdentity(known, identityOf(row)) >= 0) behind.set(id, row);
    }
    await eachBounded([...behind], READS_AT_ONCE, async ([id, row]) => {
      const fact = (await this.factsAt(key, row, directory, until)).find(({ processingId }) => processingId === id);
      // Else it was recorded before under another id.
      if (fact !== undefined) found.push(fact);
    });
    return found;
  }

  /** All contents under the identity of a row, wherever they may stand. */
  private async factsAt(
    key: AggregateKey,
    row: types.Row,
    directory: Directory,
    until: ProcessingTime,
  ): Promise<readonly Fact[]> {
    const identity = identityOf(row);
    const { eventTime, streamId, sequence, name } = identity;
    const bucket = row['bucket'] as number;
    const owner = [this.session.context, key.tenant, key.type, key.id, bucket];
    const rows: types.Row[] = [];
    for (const shard of shardsUpTo(directory.get(bucket)?.width ?? 1, spreadOf(identity))) {
      rows.push(...(await this.session.rows(AT, [...owner, shard, eventTime, streamId, sequence, name])));
    }
    return distinctFacts(key, rows, until);
  }
}

/** Some rows of the lists. */
interface Listed {
  readonly rows: readonly types.Row[];
  /** All up to this time are there; undefined when there are no others. */
  readonly upTo: ProcessingTime | undefined;
}

/** As the write timestamp orders them, by microseconds. */
function isListedAfter(id: string, after: ProcessingTime): boolean {
  const { ms, tick } = parseProcessingId(id);
  return isAfter({ ms, tick: Math.floor(tick / 10) * 10 + 9 }, after);
}

function lastIdOf(time: ProcessingTime): string {
  return processingIdPrefix(time) + LAST_OF_TIME;
}
