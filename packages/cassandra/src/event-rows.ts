/**
 * What a logged fact becomes: its row in the history, and where it is the first, late or a correction, rows that say so.
 * Everything follows from the log, so it may be written again by whoever finds it there.
 */
import { aggregateKeyOf, aggregateKeyText, CORRECTION, type AggregateKey, type Fact } from '@concursus/core';
import { types } from 'cassandra-driver';
import { eachBounded } from './bounded.js';
import { keyColumns, keyValues, valueColumns, valueValues } from './event-columns.js';
import type { LoggedFact } from './feed-row.js';
import { isAfter } from './processing-times.js';
import { shardOf, type Placement } from './placement.js';
import type { Session, Statement } from './session.js';

const AGGREGATE = 'context, tenant, type, id';
const EVENT = `INSERT INTO event (${AGGREGATE}, bucket, shard, ${keyColumns}, ${valueColumns})
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const BUCKET = `INSERT INTO event_bucket (${AGGREGATE}, bucket) VALUES (?, ?, ?, ?, ?)`;
const UNSURE = `INSERT INTO event_bucket (${AGGREGATE}, bucket, unsure) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?`;
const LIST = 'INSERT INTO aggregate_list (context, lane, tenant, type, id) VALUES (?, ?, ?, ?, ?)';
const LATE = `INSERT INTO event_late (${AGGREGATE}, processing_id, event_time, stream, sequence, name, ${valueColumns})
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const CORRECTED = `INSERT INTO event_correction (${AGGREGATE}, ${keyColumns}, ${valueColumns})
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const CORRECTED_SLICE = 'INSERT INTO corrected_slice (context, part, slice) VALUES (?, 0, ?)';
const DIRECTORY = `SELECT bucket, shards FROM event_bucket WHERE context = ? AND tenant = ? AND type = ? AND id = ?`;

/** Of one partition, so that it is one write to each replica. */
const BATCH_CHARACTERS = 48_000;
const BATCH_STATEMENTS = 100;
/** Statements of several partitions together only when they are few and small. */
const SMALL_CHARACTERS = 2_000;
/** Of one group: half of what the session lets through, so that no group keeps all others waiting. */
const WRITES_AT_ONCE = 128;

/** The buckets of one history, with the number of partitions of each. */
export type Directory = Map<number, number>;

export interface WriteOptions {
  /** Others recorded at the same time: what these facts stand behind cannot be told from the lists. */
  readonly unsure: boolean;
  /** By aggregate, as `aggregateKeyText` names it; what is missing is read. */
  readonly directories?: ReadonlyMap<string, Directory>;
}

/** Statements of one partition. */
interface PartitionWrites {
  readonly statements: Statement[];
  characters: number;
}

export class EventRows {
  constructor(
    private readonly session: Session,
    private readonly placement: Placement,
  ) {}

  /** Resolves when all of it is written. @throws UnavailableError; some of it may be written then */
  async write(logged: readonly LoggedFact[], options: WriteOptions): Promise<void> {
    const batches: Statement[][] = [];
    for (const [text, facts] of byAggregate(logged)) {
      const key = aggregateKeyOf(facts[0]!.fact);
      const directory = options.directories?.get(text) ?? (await this.readDirectory(key));
      this.collect(key, facts, directory, options.unsure, batches);
    }
    await eachBounded(batches, WRITES_AT_ONCE, (batch) => this.session.batch(batch));
  }

  async readDirectory(key: AggregateKey): Promise<Directory> {
    const rows = await this.session.rows(DIRECTORY, [this.session.context, key.tenant, key.type, key.id]);
    return new Map(rows.map((row) => [row['bucket'] as number, (row['shards'] as number | null) ?? 1]));
  }

  private collect(
    key: AggregateKey,
    facts: readonly LoggedFact[],
    directory: Directory,
    unsure: boolean,
    batches: Statement[][],
  ): void {
    const { context } = this.session;
    const owner = [context, key.tenant, key.type, key.id];
    const partitions = new Map<string, PartitionWrites>();
    const beside: Statement[] = [];
    const lastOf = new Map<number, LoggedFact>();
    let corrected = false;
    for (const each of facts) {
      const { fact } = each;
      const bucket = this.placement.bucketOf(key.type, fact.eventTime);
      const shard = shardOf(fact, directory.get(bucket) ?? 1);
      add(partitions, `${bucket} ${shard}`, batches, fact, {
        query: EVENT,
        params: [...owner, bucket, shard, ...keyValues(fact), ...valueValues(fact)],
      });
      const last = lastOf.get(bucket);
      if (last === undefined || isAfter(each.time, last.time)) lastOf.set(bucket, each);
      const isCorrection = (fact.characteristics & CORRECTION) !== 0;
      if (each.late || isCorrection) add(partitions, 'late', batches, fact, lateRow(owner, fact));
      if (!isCorrection) continue;
      corrected = true;
      const params = [...owner, ...keyValues(fact), ...valueValues(fact)];
      add(partitions, 'corrections', batches, fact, { query: CORRECTED, params });
    }
    for (const [bucket, last] of lastOf) {
      if (unsure) {
        const { ms, tick } = last.time;
        const micros = types.Long.fromNumber(ms)
          .multiply(1_000)
          .add(Math.floor(tick / 10));
        beside.push({ query: UNSURE, params: [...owner, bucket, last.fact.processingId, micros] });
      } else if (!directory.has(bucket)) {
        beside.push({ query: BUCKET, params: [...owner, bucket] });
      }
    }
    if (directory.size === 0) {
      beside.push({ query: LIST, params: [context, this.placement.laneOf(key), key.tenant, key.type, key.id] });
    }
    if (corrected) {
      beside.push({ query: CORRECTED_SLICE, params: [context, this.placement.sliceOf(key)] });
    }
    // A new history's first event goes with its two entries in one request.
    const [only] = partitions.values();
    if (partitions.size === 1 && only!.characters < SMALL_CHARACTERS) {
      batches.push([...only!.statements, ...beside]);
      return;
    }
    for (const { statements } of partitions.values()) if (statements.length > 0) batches.push(statements);
    if (beside.length > 0) batches.push(beside);
  }
}

function add(
  partitions: Map<string, PartitionWrites>,
  partition: string,
  batches: Statement[][],
  fact: Fact,
  statement: Statement,
): void {
  let writes = partitions.get(partition);
  if (writes === undefined) partitions.set(partition, (writes = { statements: [], characters: 0 }));
  const characters = fact.content.length + 200;
  const full = writes.statements.length >= BATCH_STATEMENTS || writes.characters + characters > BATCH_CHARACTERS;
  if (full && writes.statements.length > 0) {
    batches.push(writes.statements.splice(0));
    writes.characters = 0;
  }
  writes.statements.push(statement);
  writes.characters += characters;
}

function lateRow(owner: readonly unknown[], fact: Fact): Statement {
  const { eventTime, streamId, sequence, name } = fact;
  return {
    query: LATE,
    params: [...owner, fact.processingId, eventTime, streamId, sequence, name, ...valueValues(fact)],
  };
}

function byAggregate(logged: readonly LoggedFact[]): Map<string, LoggedFact[]> {
  const groups = new Map<string, LoggedFact[]>();
  for (const each of logged) {
    const { tenant, aggregateType, aggregateId } = each.fact;
    const text = aggregateKeyText(tenant, aggregateType, aggregateId);
    const group = groups.get(text);
    if (group === undefined) groups.set(text, [each]);
    else group.push(each);
  }
  return groups;
}
