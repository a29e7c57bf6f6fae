/** Bad input, kept with its bytes and why (law 11). Identical bytes of one source are one item with a count. */
import type { InvalidEventCode } from '../model/errors.js';

export interface QuarantineInput {
  /** Where it came from: quotas are per source. */
  readonly source: string;
  /** The bytes, cut to `limits.quarantineBytes`. */
  readonly bytes: Uint8Array;
  /** Of the whole input. */
  readonly sizeBytes: number;
  /** SHA-256 in hex of the whole input. */
  readonly digest: string;
  /** The line it stood on, from 1; 0 when it came alone. */
  readonly line: number;
  readonly code: InvalidEventCode;
  readonly reason: string;
  readonly at: number;
}

export interface QuarantinedItem {
  /** Ascends in the order of first arrival. */
  readonly id: string;
  readonly source: string;
  /** Empty beyond the source's quota: digest and counts are kept. */
  readonly bytes: Uint8Array;
  readonly sizeBytes: number;
  readonly digest: string;
  readonly line: number;
  readonly code: InvalidEventCode;
  readonly reason: string;
  readonly count: number;
  readonly firstAt: number;
  readonly lastAt: number;
}

/** What a source may keep: beyond `items` or `bytes` only digests and counts, beyond `digests` only one count for all the rest. */
export interface QuarantineQuota {
  readonly items: number;
  readonly bytes: number;
  readonly digests: number;
}

/** Of one source: 10,000 items, 64 MiB of bytes together; beyond them the digests of 100,000 items. */
export const defaultQuarantineQuota: QuarantineQuota = { items: 10_000, bytes: 64 * 1_048_576, digests: 100_000 };

export abstract class Quarantine {
  /**
   * Keeps each input, as durably as the store keeps events. Bytes of one source already kept raise its item's count, `lastAt`,
   * and leave the rest as it was first. Resolves, for each, to whether its bytes are kept (`false`: the source is over its quota; slow it down).
   */
  abstract put(inputs: readonly QuarantineInput[]): Promise<readonly boolean[]>;
  /** Items with an id above `after`, ascending, at most `limit` (1 to 1,000). */
  abstract list(after: string | undefined, limit: number): Promise<readonly QuarantinedItem[]>;
  abstract get(id: string): Promise<QuarantinedItem | undefined>;
  /** Removes an item, after a successful retry or by hand. True when it was there. */
  abstract remove(id: string): Promise<boolean>;
}
