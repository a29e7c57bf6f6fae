/**
 * Views as projections keep them: rows, contributions, ordered index, change records and checkpoint, changed together or not at all.
 * The engine (projection/) decides what they hold; a store only keeps them. Keys are ordered by UTF-8 bytes.
 */
import type { AggregateKey, WireValue } from '../model/event.js';

/** One version of one view. `slice` is for stores that keep a view as partials; -1 where a view is one piece. */
export interface ViewRef {
  readonly name: string;
  readonly version: number;
  readonly slice: number;
}

/** Fields of a row or contribution: plain data. */
export type Fields = { readonly [field: string]: WireValue };

export interface StoredRow {
  readonly key: string;
  /** Grows by one with each change of this row, also over a removal. */
  readonly revision: number;
  /** How many aggregates contribute. 0 means removed: kept for its revision, and returned by no read but `readRows` and `findRows` with `removed`. */
  readonly contributors: number;
  readonly fields: Fields;
  /** The latest event time of what ever changed it, but for what was far ahead of its recording; absent when nothing timed did. Opaque to the store. */
  readonly through?: number;
  /** What contributes and reaches beyond `through`, far ahead of its recording; at most 64, the latest last, absent where nothing does. Opaque to the store. */
  readonly ahead?: readonly AheadReach[];
}

/** An aggregate, by its key text, and the event time it reaches. */
export type AheadReach = readonly [aggregate: string, reach: number];

/** A row without its key, as stores write it; what is not known is left out at the end. */
export type PackedRow = readonly [
  revision: number,
  contributors: number,
  fields: Fields,
  through?: number | null,
  ahead?: readonly AheadReach[],
];

/** For stores that keep a row as one text. */
export function packRow({ revision, contributors, fields, through, ahead }: StoredRow): PackedRow {
  if (ahead !== undefined) return [revision, contributors, fields, through ?? null, ahead];
  return through === undefined ? [revision, contributors, fields] : [revision, contributors, fields, through];
}

/** The row that was packed, now or by an earlier version. */
export function unpackRow(key: string, packed: PackedRow): StoredRow {
  const [revision, contributors, fields, through, ahead] = packed;
  const row = through === undefined || through === null ? {} : { through };
  return { key, revision, contributors, fields, ...row, ...(ahead === undefined ? {} : { ahead }) };
}

/** What one aggregate adds to a view, and the engine's notes on it (the end of its history as folded, a parking). Opaque to the store. */
export interface StoredContribution {
  readonly aggregate: AggregateKey;
  readonly value: WireValue;
}

/** An entry of the ordered index that finds the runner-up of a minimum, maximum, latest, earliest or set. */
export interface IndexEntry {
  readonly row: string;
  readonly field: string;
  /** Sorts by UTF-8 bytes; the engine encodes values so that this is their order, ties by aggregate included. */
  readonly order: string;
  readonly value: WireValue;
}

/** One ordered index: that of a field of a row. */
export type IndexedField = Pick<IndexEntry, 'row' | 'field'>;

/** A change of one row: `retract` is exactly what was asserted before, null for a new row; `assert` is null for a removed one. */
export interface ChangeRecord {
  readonly key: string;
  readonly revision: number;
  readonly retract: Fields | null;
  readonly assert: Fields | null;
  /** What caused it: identities of events, at most 8, as `type/id@time#name`; empty after a retry of a parked aggregate. */
  readonly cause: readonly string[];
}

export interface StoredChange extends ChangeRecord {
  /** Its place in the view's changes, from 1 (or behind `ViewCommit.changesFrom`), without gaps. */
  readonly sequence: number;
}

export interface ViewCommit {
  readonly view: ViewRef;
  /** The name of the owner row whose epoch must be current: one for all commits of a view. A store may refuse another with `LEASE_LOST`. */
  readonly owner: string;
  readonly epoch: number;
  /** The checkpoint before and after, as `Position.toString()`; `expected` undefined for the first commit. */
  readonly expected: string | undefined;
  readonly checkpoint: string;
  readonly rows: readonly StoredRow[];
  readonly contributions: readonly StoredContribution[];
  /** Contributions to remove. */
  readonly forget: readonly AggregateKey[];
  readonly indexAdd: readonly IndexEntry[];
  readonly indexRemove: readonly IndexEntry[];
  readonly changes: readonly ChangeRecord[];
  /**
   * Forgets what is kept of the view's changes, and goes on numbering behind this sequence: a view that takes over from
   * another goes on where that one's changes end. Absent: the numbers go on.
   */
  readonly changesFrom?: number;
  /** The engine's notes on the view as a whole (parked aggregates), by key; null removes. */
  readonly notes: readonly { readonly key: string; readonly value: WireValue }[];
  /**
   * The commit, and all that was committed before it, outlives a loss of power when it resolves. Without it that is so of
   * a killed process at once, of a loss of power soon after: fit for what is made again from the feed, not for what says
   * that something outside was done.
   */
  readonly durable?: boolean;
}

export interface FindOptions {
  readonly prefix?: string;
  readonly from?: string;
  readonly fromExclusive?: boolean;
  readonly to?: string;
  readonly toExclusive?: boolean;
  readonly descending?: boolean;
  /** Also rows that were removed (contributors 0), which are kept for their revisions. */
  readonly removed?: boolean;
  /** 1 to 10,000. */
  readonly limit: number;
}

/** Which entries of one field of one row, in their order or its reverse. */
export interface IndexRange {
  readonly descending?: boolean;
  readonly limit: number;
  /** Only orders that begin with it. */
  readonly prefix?: string;
  /** Only what stands behind this order, in the direction of the read. */
  readonly after?: string;
}

export abstract class ViewStore {
  /**
   * All or nothing, and in commit order also after a crash: the checkpoint never stands before or behind its rows.
   * @throws ConflictError `LEASE_LOST` (epoch is not the owner row's) or `CHECKPOINT_MOVED`; nothing is changed.
   */
  abstract commit(commit: ViewCommit): Promise<void>;
  abstract readCheckpoint(view: ViewRef): Promise<string | undefined>;
  abstract readContributions(
    view: ViewRef,
    aggregates: readonly AggregateKey[],
  ): Promise<readonly (WireValue | undefined)[]>;
  /** All contributions of the view in pages, in key order of (tenant, type, id): for audits and rebuilds. */
  abstract scanContributions(view: ViewRef): AsyncIterable<readonly StoredContribution[]>;
  /** Rows as stored, removed ones (contributors 0) included. */
  abstract readRows(view: ViewRef, keys: readonly string[]): Promise<readonly (StoredRow | undefined)[]>;
  /** Live rows of a range in key order; with `removed` those that were removed, too. */
  abstract findRows(view: ViewRef, options: FindOptions): Promise<readonly StoredRow[]>;
  /** Index entries of one field of one row in order (or its reverse), at most `limit`. */
  abstract readIndex(view: ViewRef, row: string, field: string, options: IndexRange): Promise<readonly IndexEntry[]>;
  /** Rows and fields that have entries, each pair once, in pages, in the order of their keys: for audits, which find entries of rows that never were. */
  abstract scanIndexes(view: ViewRef): AsyncIterable<readonly IndexedField[]>;
  /** Changes with a sequence above `after`, at most `limit`. @throws UnavailableError `CHANGES_TRIMMED` when some of them are no longer kept. */
  abstract readChanges(view: ViewRef, after: number, limit: number): Promise<readonly StoredChange[]>;
  /** The last sequence given, or what `changesFrom` set; 0 when neither was. */
  abstract lastChange(view: ViewRef): Promise<number>;
  /** Resolves when a change above `after` may exist (20 ms at the latest after another process made it) or `signal` aborts. */
  abstract waitForChange(view: ViewRef, after: number, signal: AbortSignal): Promise<void>;
  abstract readNotes(view: ViewRef, prefix: string): Promise<readonly { key: string; value: WireValue }[]>;
  /** Versions of a view that hold anything. */
  abstract versions(name: string): Promise<readonly number[]>;
  /** Removes everything of one version of a view, in bounded steps. */
  abstract drop(view: ViewRef): Promise<void>;
}
