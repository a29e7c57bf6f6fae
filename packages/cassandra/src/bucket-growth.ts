/**
 * Keeps the shards of buckets bounded: says to which shard a fact goes, and widens a bucket when its last tier is full.
 *
 * How full a tier is nobody counts one by one: counters of processes that come and go would be lost or read each time. Some
 * facts are noted as marks instead, by a number made of their ids, and each stands for the many that are not. So nothing is
 * read or written for most facts, several processes count together without knowing of each other, a fact that is written
 * again is counted once, and what was counted outlives whoever counted.
 *
 * The width is written before it is used, and only grows. Who does not know it yet writes into the tier before, which is
 * read as before.
 */
import type { AggregateKey, Fact } from '@concursus/core';
import type { LoggedFact } from './feed-row.js';
import { shardIn, spreadOf, WIDTH_MAX, type Placement } from './placement.js';
import type { Session, Statement } from './session.js';

const AGGREGATE = 'context, tenant, type, id';
const OWNER = 'context = ? AND tenant = ? AND type = ? AND id = ?';
const DIRECTORY = `SELECT bucket, width, listed FROM event_bucket WHERE ${OWNER}`;
const WIDEN = `INSERT INTO event_bucket (${AGGREGATE}, bucket, width) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?`;
const MARK = `INSERT INTO event_mark (${AGGREGATE}, bucket, width, processing_id, rows, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const MARKS = `SELECT rows, bytes FROM event_mark WHERE ${OWNER} AND bucket = ? AND width = ?`;

/** Rows of a partition that Cassandra reads, compacts and repairs without trouble; the same of bytes. */
const ROWS_MAX = 100_000;
const BYTES_MAX = 64 * 1_048_576;
/** Marks of a full tier, about: so its size is known within an eighth. */
const MARKS_OF_TIER = 64;
/** What a row weighs beside its texts. */
const ROW_BYTES = 100;

export interface GrowthOptions {
  /** Rows of one partition of a history, about. Default 100,000. */
  readonly partitionRowsMax?: number;
  /** Bytes of one partition of a history, about, before they are compressed. Default 64 MiB. */
  readonly partitionBytesMax?: number;
}

interface Fill {
  rows: number;
  bytes: number;
}

/** A bucket as the directory has it, and what was learned of it since. */
export interface Bucket {
  /** Shards of its last tier: a power of two. */
  width: number;
  /** The last fact that stands in the list of late ones. */
  readonly listed: string | undefined;
  /** What its last tier holds; undefined when that was not read. */
  filled: Fill | undefined;
}

/** The buckets of one history. */
export type Directory = Map<number, Bucket>;

/** Where facts go. */
export interface Placed {
  /** Of each fact, in the order given. */
  readonly shards: readonly number[];
  readonly marks: readonly Statement[];
  /** Buckets that the directory does not have. */
  readonly fresh: Directory;
}

export class BucketGrowth {
  private readonly rowsMax: number;
  private readonly bytesMax: number;

  constructor(
    private readonly session: Session,
    private readonly placement: Placement,
    options: GrowthOptions = {},
  ) {
    this.rowsMax = options.partitionRowsMax ?? ROWS_MAX;
    this.bytesMax = options.partitionBytesMax ?? BYTES_MAX;
  }

  async readDirectory(key: AggregateKey): Promise<Directory> {
    const rows = await this.session.rows(DIRECTORY, this.ownerOf(key));
    const directory: Directory = new Map();
    for (const row of rows) {
      const listed = row['listed'] as object | null;
      directory.set(row['bucket'] as number, {
        width: (row['width'] as number | null) ?? 1,
        listed: listed === null ? undefined : String(listed),
        filled: undefined,
      });
    }
    return directory;
  }

  private ownerOf(key: AggregateKey): unknown[] {
    return [this.session.context, key.tenant, key.type, key.id];
  }

  /**
   * The shards of facts of one aggregate. Buckets of the directory that get wider do so before this resolves.
   * @param beside others fill them, too: how full they are is read again
   * @throws UnavailableError; some may be wider then
   */
  async place(key: AggregateKey, facts: readonly LoggedFact[], directory: Directory, beside = false): Promise<Placed> {
    if (beside) for (const bucket of directory.values()) bucket.filled = undefined;
    const shards: number[] = [];
    const marks: Statement[] = [];
    const fresh: Directory = new Map();
    for (const { fact } of facts) {
      const number = this.placement.bucketOf(key.type, fact.eventTime);
      let bucket = directory.get(number) ?? fresh.get(number);
      if (bucket === undefined) {
        const filled = beside ? undefined : { rows: 0, bytes: 0 };
        fresh.set(number, (bucket = { width: 1, listed: undefined, filled }));
      }
      const bytes = bytesOf(fact);
      const weight = Math.max(1 / this.rowsMax, bytes / this.bytesMax);
      const dice = diceOf(fact.processingId);
      for (;;) {
        const chance = Math.min(1, (weight * MARKS_OF_TIER) / bucket.width);
        if (dice >= chance || bucket.width >= WIDTH_MAX) break;
        bucket.filled ??= await this.readFill(key, number, bucket.width);
        if (this.isFull(bucket.filled, bucket.width)) {
          await this.widen(key, number, bucket);
          continue;
        }
        const mark = { rows: 1 / chance, bytes: bytes / chance };
        bucket.filled.rows += mark.rows;
        bucket.filled.bytes += mark.bytes;
        const place = [...this.ownerOf(key), number, bucket.width, fact.processingId];
        marks.push({ query: MARK, params: [...place, mark.rows, mark.bytes] });
        break;
      }
      shards.push(shardIn(bucket.width, spreadOf(fact)));
    }
    return { shards, marks, fresh };
  }

  private isFull({ rows, bytes }: Fill, width: number): boolean {
    return rows >= width * this.rowsMax || bytes >= width * this.bytesMax;
  }

  private async readFill(key: AggregateKey, number: number, width: number): Promise<Fill> {
    const fill: Fill = { rows: 0, bytes: 0 };
    for (const row of await this.session.rows(MARKS, [...this.ownerOf(key), number, width])) {
      fill.rows += row['rows'] as number;
      fill.bytes += row['bytes'] as number;
    }
    return fill;
  }

  private async widen(key: AggregateKey, number: number, bucket: Bucket): Promise<void> {
    const width = bucket.width * 2;
    await this.session.execute(WIDEN, [...this.ownerOf(key), number, width, width]);
    bucket.width = width;
    // Others may be there already.
    bucket.filled = undefined;
  }
}

function bytesOf({ content, streamId, name, metadata }: Fact): number {
  let bytes = ROW_BYTES + Buffer.byteLength(content) + streamId.length + name.length;
  if (metadata !== undefined) bytes += JSON.stringify(metadata).length;
  return bytes;
}

/** A number from 0 to below 1 that says whether a fact is a mark; of one id always the same, of two ids unlike. */
function diceOf(processingId: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < processingId.length; i++) {
    hash = Math.imul(hash ^ processingId.charCodeAt(i), 0x5bd1e995);
    hash ^= hash >>> 15;
  }
  return (hash >>> 0) / 2 ** 32;
}
