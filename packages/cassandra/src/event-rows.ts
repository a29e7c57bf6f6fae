/**
 * What a logged fact becomes: its row in the history, and where it is the first, late or a correction, rows that say so.
 * Everything follows from the log, so it may be written again by whoever finds it there.
 */
import { aggregateKeyOf, aggregateKeyText, CORRECTION, type AggregateKey, type ProcessingTime } from '@concursus/core';
import { types } from 'cassandra-driver';
import { eachBounded } from './bounded.js';
import type { BucketGrowth, Directory, Placed } from './bucket-growth.js';
import { keyColumns, keyValues, valueColumns, valueValues } from './event-columns.js';
import type { LoggedFact } from './feed-row.js';
import { isAfter } from './processing-times.js';
import { shardIn, spreadOf, type Placement } from './placement.js';
import type { Session, Statement } from './session.js';

const AGGREGATE = 'context, tenant, type, id';
const EVENT = `INSERT INTO event (${AGGREGATE}, bucket, shard, ${keyColumns}, ${valueColumns})
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const BUCKET = `INSERT INTO event_bucket (${AGGREGATE}, bucket) VALUES (?, ?, ?, ?, ?)`;
const LISTED = `INSERT INTO event_bucket (${AGGREGATE}, bucket, listed) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?`;
const LIST = 'INSERT INTO aggregate_list (context, lane, tenant, type, id) VALUES (?, ?, ?, ?, ?)';
const LATE = `INSERT INTO event_late
  (${AGGREGATE}, bucket, shard, processing_id, event_time, stream, sequence, name, ${valueColumns})
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const CORRECTED = `INSERT INTO event_correction (${AGGREGATE}, ${keyColumns}, ${valueColumns})
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const CORRECTED_SLICE = 'INSERT INTO corrected_slice (context, part, slice) VALUES (?, 0, ?)';

/** Of one partition, so that it is one write to each replica. */
const BATCH_CHARACTERS = 48_000;
const BATCH_STATEMENTS = 100;
/** Statements of several partitions together only when they are few and small. */
const SMALL_CHARACTERS = 2_000;
const SMALL_STATEMENTS = 8;
/** Of a fact that is listed by its key only. */
const NO_VALUES: readonly undefined[] = [undefined, undefined, undefined, undefined];
/** Of one group: half of what the session lets through, so that no group keeps all others waiting. */
const WRITES_AT_ONCE = 128;

export interface WriteOptions {
  /** Others recorded at the same time: whether these facts stand behind others cannot be told now. */
  readonly unsure: boolean;
  /** By aggregate, as `aggregateKeyText` names it; what is missing is read. Buckets that come or grow are entered. */
  readonly directories?: ReadonlyMap<string, Directory>;
  /** Others fill the same buckets: how full they are is read again where it matters. Default false. */
  readonly beside?: boolean;
}

/** Statements of one partition. */
interface PartitionWrites {
  readonly statements: Statement[];
  characters: number;
}

/** A fact's row takes about so many characters beside its content. */
const ROW_CHARACTERS = 200;
/** A row that only names something. */
const NOTE_CHARACTERS = 300;

/** The writes of one aggregate by partition, cut into batches that a server takes. */
class Batches {
  readonly full: Statement[][] = [];
  readonly partitions = new Map<string, PartitionWrites>();

  add(partition: string, characters: number, statement: Statement): void {
    let writes = this.partitions.get(partition);
    if (writes === undefined) this.partitions.set(partition, (writes = { statements: [], characters: 0 }));
    const isFull = writes.statements.length >= BATCH_STATEMENTS || writes.characters + characters > BATCH_CHARACTERS;
    if (isFull && writes.statements.length > 0) {
      this.full.push(writes.statements.splice(0));
      writes.characters = 0;
    }
    writes.statements.push(statement);
    writes.characters += characters;
  }

  /** @param beside small ones of several partitions */
  all(beside: readonly Statement[]): Statement[][] {
    let characters = 0;
    const waiting: Statement[] = [];
    for (const writes of this.partitions.values()) {
      characters += writes.characters;
      waiting.push(...writes.statements);
    }
    // A new history's first event goes with its entries in one request.
    if (characters < SMALL_CHARACTERS && waiting.length + beside.length <= SMALL_STATEMENTS) {
      return [...this.full, [...waiting, ...beside]];
    }
    for (const statement of beside) this.add('', NOTE_CHARACTERS, statement);
    return [...this.full, ...[...this.partitions.values()].map(({ statements }) => statements)];
  }
}

export class EventRows {
  constructor(
    private readonly session: Session,
    private readonly placement: Placement,
    private readonly growth: BucketGrowth,
  ) {}

  /** Resolves when all of it is written. @throws UnavailableError; some of it may be written then */
  async write(logged: readonly LoggedFact[], options: WriteOptions): Promise<void> {
    const batches: Statement[][] = [];
    const entered: (() => void)[] = [];
    for (const [text, facts] of byAggregate(logged)) {
      const key = aggregateKeyOf(facts[0]!.fact);
      const directory = options.directories?.get(text) ?? (await this.growth.readDirectory(key));
      const placed = await this.growth.place(key, facts, directory, options.beside === true);
      batches.push(...this.batchesOf(key, facts, directory, placed, options.unsure));
      entered.push(() => {
        for (const [number, bucket] of placed.fresh) directory.set(number, bucket);
      });
    }
    await eachBounded(batches, WRITES_AT_ONCE, (batch) => this.session.batch(batch));
    for (const enter of entered) enter();
  }

  /** Lists facts by their keys, whoever recorded them: it cannot be told which of them stand behind others. */
  async list(logged: readonly LoggedFact[], directories?: ReadonlyMap<string, Directory>): Promise<void> {
    const batches: Statement[][] = [];
    for (const [text, facts] of byAggregate(logged)) {
      const key = aggregateKeyOf(facts[0]!.fact);
      const directory = directories?.get(text) ?? (await this.growth.readDirectory(key));
      const owner = [this.session.context, key.tenant, key.type, key.id];
      const writes = new Batches();
      const listed = new Map<number, LoggedFact>();
      for (const each of facts) {
        const bucket = this.placement.bucketOf(key.type, each.fact.eventTime);
        const shard = shardIn(directory.get(bucket)?.width ?? 1, spreadOf(each.fact));
        writes.add(`${bucket} ${shard}`, NOTE_CHARACTERS, lateOf(owner, bucket, shard, each, NO_VALUES));
        noteListed(listed, bucket, each);
      }
      batches.push(...writes.all(listedOf(owner, listed)));
    }
    await eachBounded(batches, WRITES_AT_ONCE, (batch) => this.session.batch(batch));
  }

  private batchesOf(
    key: AggregateKey,
    facts: readonly LoggedFact[],
    directory: Directory,
    placed: Placed,
    unsure: boolean,
  ): Statement[][] {
    const { context } = this.session;
    const owner = [context, key.tenant, key.type, key.id];
    const batches = new Batches();
    const beside = [...placed.marks];
    const listed = new Map<number, LoggedFact>();
    let corrected = false;
    for (const [i, each] of facts.entries()) {
      const { fact } = each;
      const bucket = this.placement.bucketOf(key.type, fact.eventTime);
      const shard = placed.shards[i]!;
      const characters = fact.content.length + ROW_CHARACTERS;
      const place = `${bucket} ${shard}`;
      const params = [...owner, bucket, shard, ...keyValues(fact), ...valueValues(fact)];
      batches.add(place, characters, { query: EVENT, params });
      const isCorrection = (fact.characteristics & CORRECTION) !== 0;
      const isListed = each.late || isCorrection;
      if (isListed || unsure) {
        const late = lateOf(owner, bucket, shard, each, isListed ? valueValues(fact) : NO_VALUES);
        batches.add(`late ${place}`, isListed ? characters : NOTE_CHARACTERS, late);
        noteListed(listed, bucket, each);
      }
      if (!isCorrection) continue;
      corrected = true;
      const correction = [...owner, ...keyValues(fact), ...valueValues(fact)];
      batches.add('corrections', characters, { query: CORRECTED, params: correction });
    }
    beside.push(...listedOf(owner, listed));
    for (const bucket of placed.fresh.keys()) {
      if (!listed.has(bucket)) beside.push({ query: BUCKET, params: [...owner, bucket] });
    }
    if (directory.size === 0) {
      beside.push({ query: LIST, params: [context, this.placement.laneOf(key), key.tenant, key.type, key.id] });
    }
    if (corrected) {
      beside.push({ query: CORRECTED_SLICE, params: [context, this.placement.sliceOf(key)] });
    }
    return batches.all(beside);
  }
}

function lateOf(
  owner: readonly unknown[],
  bucket: number,
  shard: number,
  { fact }: LoggedFact,
  values: readonly unknown[],
): Statement {
  const { processingId, eventTime, streamId, sequence, name } = fact;
  return {
    query: LATE,
    params: [...owner, bucket, shard, processingId, eventTime, streamId, sequence, name, ...values],
  };
}

/** Of each bucket the last fact that is listed. */
function noteListed(listed: Map<number, LoggedFact>, bucket: number, each: LoggedFact): void {
  const last = listed.get(bucket);
  if (last === undefined || isAfter(each.time, last.time)) listed.set(bucket, each);
}

function listedOf(owner: readonly unknown[], listed: ReadonlyMap<number, LoggedFact>): Statement[] {
  return [...listed].map(([bucket, { fact, time }]) => ({
    query: LISTED,
    params: [...owner, bucket, fact.processingId, microsOf(time)],
  }));
}

/** A write timestamp that orders as processing times do, of one microsecond alike. */
function microsOf({ ms, tick }: ProcessingTime): types.Long {
  return types.Long.fromNumber(ms)
    .multiply(1_000)
    .add(Math.floor(tick / 10));
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
