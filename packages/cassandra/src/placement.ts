/** Where a fact is kept: buckets of event time, each over one or more partitions. Numbers that are written into keys. */
import { identityKey, SLICES, sliceOf, type AggregateKey, type Fact } from '@concursus/core';

/** A year: most histories are one partition, or few. */
const BUCKET_MS = 31_536_000_000;
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
