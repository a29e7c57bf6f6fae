/**
 * Where a fact is kept: buckets of event time, each over one or more shards. Numbers that are written into keys.
 *
 * A shard is one partition. A bucket begins as shard 0; when that is full, facts go to shards 1 and 2, then to 3 to 6: each
 * tier is twice as wide as the one before, and what was written stays where it is. So a fact stands in one shard a tier,
 * by its identity, and whoever knows a width knows all shards before it.
 */
import { SLICES, sliceOf, type AggregateKey, type IdentityKey } from '@concursus/core';

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

/** The width of the widest tier: some 200 million facts of one bucket at the default bound. Then its shards grow on. */
export const WIDTH_MAX = SLICES;

/** A number of an identity that says its shard in every tier. Written into keys by `shardIn`: it may never change. */
export function spreadOf({ eventTime, streamId, sequence, name }: IdentityKey): number {
  return sliceOf(String(eventTime), streamId, String(sequence), name);
}

/** The shard of the tier of this width. */
export function shardIn(width: number, spread: number): number {
  return width - 1 + (spread & (width - 1));
}

/** Where the fact of an identity may stand: a shard in each tier up to this width. */
export function shardsUpTo(width: number, spread: number): number[] {
  const shards: number[] = [];
  for (let tier = 1; tier <= width; tier *= 2) shards.push(shardIn(tier, spread));
  return shards;
}

/** How many shards a bucket has when its last tier has this width: from 0 on, all before this number. */
export function shardCount(width: number): number {
  return 2 * width - 1;
}
