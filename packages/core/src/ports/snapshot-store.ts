/** States saved with what they cover. A snapshot may only save work: the reader checks that it is still valid. */
import type { AggregateKey } from '../model/event.js';
import type { ProcessingTime } from '../model/processing-id.js';

export interface Snapshot {
  readonly aggregate: AggregateKey;
  /** The version of the fold that made it; another version never reads it. */
  readonly reducerVersion: number;
  /** The end of the prefix it folds, in fold order, as the engine encodes it; sorts by UTF-8 bytes. */
  readonly foldKey: string;
  /** The greatest event time in it. */
  readonly eventTimeMax: number;
  /** Everything in it was recorded at or before this. */
  readonly recordedMax: ProcessingTime;
  readonly events: number;
  /** The state and what is needed to go on from it: the engine's own text, kept as it is. */
  readonly content: string;
  /** Of all of the above, made and checked by the engine: what a store kept in part or changed is passed over. */
  readonly checksum: string;
}

export abstract class SnapshotStore {
  /** Saves or replaces the snapshot of (aggregate, reducerVersion, foldKey). It may be lost in a crash: it is made again. */
  abstract save(snapshot: Snapshot): Promise<void>;
  /** Snapshots of one aggregate and version, the greatest fold key first, at most `limit` (1 to 100). What cannot be read any more is left out. */
  abstract read(aggregate: AggregateKey, reducerVersion: number, limit: number): Promise<readonly Snapshot[]>;
  /** Removes the aggregate's snapshots of that version with a fold key at or above `foldKey` (all with `''`). */
  abstract remove(aggregate: AggregateKey, reducerVersion: number, foldKey: string): Promise<void>;
  /** Removes the aggregate's snapshots of that version with exactly these fold keys; those that are not there are passed over. */
  abstract removeEach(aggregate: AggregateKey, reducerVersion: number, foldKeys: readonly string[]): Promise<void>;
}
