/** Where a fact is kept: buckets of event time, each over one or more partitions. Numbers that are written into keys. */
import { identityKey, SLICES, sliceOf, type AggregateKey, type Fact } from '@concursus/core';

/** A year: most histories are one partition, or few. A bucket that grows large is spread. */
const BUCKET_MS = 31_536_000_000;
/** Each time a bucket has so many rows a partition, about 50 MB of usual ones, it is spread over four times as many. */
export const ROWS_OF_SHARD = 100_000;
const SHARDS_FACTOR = 4;
const SHARDS_MAX = 64;
const AGGREGATE_LANES = 256;

export interface PlacementOptions {
  /** Milliseconds of event time of one bucket of a history. Kept beside the data; another value is refused. Default a year. */
  readonly bucketMs?: number;
  /** The same for single aggregate types. */
  readonly bucketMsOf?: Readonly<Record<string, number>>;
}

export class Placement {
  private readonly widths: ReadonlyMap<string, number>;
  private readonly width: number;

  constructor(
    readonly context: string,
    options: PlacementOptions,
  ) {
    this.width = options.bucketMs ?? BUCKET_MS;
    this.widths = new Map(Object.entries(options.bucketMsOf ?? {}));
  }

  /** What is kept beside the data. */
  get text(): string {
    return JSON.stringify([this.width, [...this.widths].sort(([a], [b]) => (a < b ? -1 : 1))]);
  }

  bucketOf(type: string, eventTime: number): number {
    return Math.floor(eventTime / (this.widths.get(type) ?? this.width));
  }

  sliceOf(key: AggregateKey): number {
    return sliceOf(this.context, key.tenant, key.type, key.id);
  }

  /** The lane of an aggregate in the list of all. */
  laneOf(key: AggregateKey): number {
    return Math.floor(this.sliceOf(key) / (SLICES / AGGREGATE_LANES));
  }
}

export const aggregateLanes: readonly number[] = Array.from({ length: AGGREGATE_LANES }, (_, lane) => lane);

/** Which of a bucket's partitions a fact is written to. */
export function shardOf(fact: Fact, shards: number): number {
  if (shards === 1) return 0;
  let hash = 0;
  for (const char of identityKey(fact)) hash = (Math.imul(hash, 31) + char.codePointAt(0)!) | 0;
  return (hash >>> 0) % shards;
}

/** The number of partitions of a bucket with so many rows. */
export function shardsFor(rows: number): number {
  let shards = 1;
  while (shards < SHARDS_MAX && rows > shards * ROWS_OF_SHARD) shards *= SHARDS_FACTOR;
  return shards;
}
