/**
 * What one history adds to a view, and how a change of it becomes new rows: new contributions − old contributions = the delta.
 * Pure but for reads of the ordered index, so one event at the end, a late one and a withdrawn one are the same case.
 */
import type { Fact, WireValue } from '../model/event.js';
import { HandlerError } from '../model/errors.js';
import { identityText } from '../model/identity.js';
import { limits } from '../model/limits.js';
import { compareText, utf8Length } from '../model/text.js';
import type { ChangeRecord, Fields, IndexEntry, StoredRow } from '../ports/view-store.js';
import {
  addExactly,
  contributionOf,
  emptyOf,
  integerStored,
  mergeContributions,
  orderOfValue,
  readsFromEnd,
  storedOf,
  type Exact,
  type FieldContribution,
  type FieldModel,
  type Indexed,
  type TimeOrder,
} from './merge.js';

/** One aggregate's contribution: by row key, one entry a field in the order of the view's declaration. */
export type Contribution = ReadonlyMap<string, readonly FieldContribution[]>;

export const NOTHING: Contribution = new Map();

const shape = (what: string): HandlerError =>
  new HandlerError('PROJECTION_FAILED', what, {
    fix: 'Return rows as [[key, { field: value }], …], with the fields of the view class.',
  });

/** UTF-8 bytes of an index entry's row key and order: with view and field they must fit a store's key (1,978 bytes on LMDB). */
const INDEX_BYTES_MAX = 1_600;

function checkIndexBytes(key: string, order: string): void {
  if ((key.length + order.length) * 3 <= INDEX_BYTES_MAX) return;
  const bytes = utf8Length(key) + utf8Length(order);
  if (bytes > INDEX_BYTES_MAX) {
    throw shape(
      `An index entry of row "${key.slice(0, 60)}" needs ${bytes} bytes (row key, value and aggregate id); ${INDEX_BYTES_MAX} is the most.`,
    );
  }
}

/**
 * Checks and encodes the rows a projection returned, adding them to `into` where the same row was given before.
 * @throws HandlerError `PROJECTION_FAILED`
 */
export function addRows(
  into: Map<string, readonly FieldContribution[]>,
  fields: readonly FieldModel[],
  rows: unknown,
  time: TimeOrder,
  aggregate: string,
): void {
  if (rows === undefined || rows === null) return;
  if (!Array.isArray(rows)) throw shape('The rows are not an array.');
  for (const row of rows as unknown[]) {
    if (!Array.isArray(row) || typeof row[0] !== 'string' || typeof row[1] !== 'object' || row[1] === null) {
      throw shape('A row is not a pair of a key and its fields.');
    }
    const key = row[0];
    if (key === '' || key.includes('\u0000') || !key.isWellFormed() || utf8Length(key) > limits.rowKeyBytes) {
      throw shape(
        `The row key "${key.slice(0, 60)}" is empty, too long (${limits.rowKeyBytes} bytes at most), or not plain text.`,
      );
    }
    const given = row[1] as Record<string, unknown>;
    const names = Object.keys(given);
    const encoded = new Array<FieldContribution>(fields.length);
    let used = 0;
    for (let f = 0; f < fields.length; f++) {
      const field = fields[f]!;
      if (field.name in given) used++;
      const contribution = contributionOf(field, given[field.name], time, aggregate);
      if (contribution !== null && typeof contribution === 'object') {
        for (const [order] of contribution) checkIndexBytes(key, order);
      }
      encoded[f] = contribution;
    }
    if (used !== names.length) {
      const unknown = names.find((name) => !fields.some((field) => field.name === name));
      throw shape(`The row "${key}" has a field "${unknown}" that the view class does not declare.`);
    }
    const before = into.get(key);
    if (before !== undefined) {
      for (let f = 0; f < fields.length; f++) encoded[f] = mergeContributions(fields[f]!, before[f]!, encoded[f]!);
    }
    into.set(key, encoded);
  }
}

/** The stored form: `[[row, [field, …]], …]` in the order the rows came. */
export function encodeContribution(contribution: Contribution): WireValue {
  return [...contribution] as unknown as WireValue;
}

export function decodeContribution(value: WireValue | undefined): Contribution {
  return value === undefined ? NOTHING : new Map(value as unknown as [string, FieldContribution[]][]);
}

function sameField(a: FieldContribution, b: FieldContribution): boolean {
  if (a === b) return true;
  if (a === null || b === null || typeof a === 'number' || typeof b === 'number' || a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) {
    if (a[i]![0] !== b[i]![0] || JSON.stringify(a[i]![1]) !== JSON.stringify(b[i]![1])) return false;
  }
  return true;
}

export function sameContribution(a: Contribution, b: Contribution): boolean {
  if (a.size !== b.size) return false;
  for (const [key, fields] of a) {
    const other = b.get(key);
    if (other === undefined) return false;
    for (let f = 0; f < fields.length; f++) if (!sameField(fields[f]!, other[f]!)) return false;
  }
  return true;
}

/** One aggregate's change of contribution, and what caused it. */
export interface ContributionChange {
  readonly aggregate: string;
  readonly before: Contribution;
  readonly after: Contribution;
  /** What caused it; named in the change record. */
  readonly facts: readonly Fact[];
}

interface RowWork {
  contributors: number;
  readonly integers: Exact[];
  /** Per field: entries added and removed, by order. */
  readonly added: (Map<string, WireValue> | undefined)[];
  readonly removed: (Map<string, WireValue> | undefined)[];
  readonly cause: string[];
  readonly aggregates: Set<string>;
}

/** How many causes a change record names. */
const CAUSES_MAX = 8;

export interface RowReader {
  rows(keys: readonly string[]): Promise<readonly (StoredRow | undefined)[]>;
  index(
    row: string,
    field: string,
    options: { readonly descending?: boolean; readonly limit: number; readonly prefix?: string },
  ): Promise<readonly IndexEntry[]>;
}

export interface AppliedChanges {
  readonly rows: StoredRow[];
  readonly changes: ChangeRecord[];
  readonly indexAdd: IndexEntry[];
  readonly indexRemove: IndexEntry[];
}

/** A row that cannot take what these aggregates add: they are parked, and the rest is applied again. */
export class RowOverflow extends Error {
  constructor(
    readonly row: string,
    readonly aggregates: ReadonlySet<string>,
    message: string,
  ) {
    super(message);
  }
}

function work(works: Map<string, RowWork>, key: string, fields: number, change: ContributionChange): RowWork {
  let row = works.get(key);
  if (row === undefined) {
    row = {
      contributors: 0,
      integers: new Array<Exact>(fields).fill(0),
      added: new Array<undefined>(fields).fill(undefined),
      removed: new Array<undefined>(fields).fill(undefined),
      cause: [],
      aggregates: new Set(),
    };
    works.set(key, row);
  }
  row.aggregates.add(change.aggregate);
  for (let i = 0; i < change.facts.length && row.cause.length < CAUSES_MAX; i++) {
    const cause = identityText(change.facts[i]!);
    if (!row.cause.includes(cause)) row.cause.push(cause);
  }
  return row;
}

function take(row: RowWork, f: number, contribution: FieldContribution, sign: 1 | -1): void {
  if (contribution === null) return;
  if (typeof contribution === 'number') {
    row.integers[f] = addExactly(row.integers[f]!, sign * contribution);
    return;
  }
  // An entry taken and given back in one step is no change: the two maps cancel out.
  const into = sign === 1 ? row.added : row.removed;
  const against = sign === 1 ? row.removed : row.added;
  for (const [order, value] of contribution) {
    const other = against[f]?.get(order);
    if (other !== undefined && JSON.stringify(other) === JSON.stringify(value)) against[f]!.delete(order);
    else (into[f] ??= new Map()).set(order, value);
  }
}

/** The value of an indexed field after the step, from the stored index and what the step adds and removes. */
async function indexedValue(
  reader: RowReader,
  key: string,
  field: FieldModel,
  row: RowWork,
  f: number,
  before: WireValue,
): Promise<WireValue> {
  const added = row.added[f];
  const removed = row.removed[f];
  if (field.merge === 'set') return setValue(reader, key, field, row, added, removed, before);
  const descending = readsFromEnd(field.merge);
  const stored = await reader.index(key, field.name, { descending, limit: (removed?.size ?? 0) + 1 });
  let best: Indexed | undefined;
  for (const entry of stored) {
    if (removed?.has(entry.order) === true) continue;
    best = [entry.order, entry.value];
    break;
  }
  for (const entry of added ?? []) {
    const c = best === undefined ? 0 : compareText(entry[0], best[0]);
    if (best === undefined || (descending ? c >= 0 : c <= 0)) best = entry;
  }
  return best === undefined ? null : best[1];
}

async function setValue(
  reader: RowReader,
  key: string,
  field: FieldModel,
  row: RowWork,
  added: Map<string, WireValue> | undefined,
  removed: Map<string, WireValue> | undefined,
  before: WireValue,
): Promise<WireValue> {
  const values = new Map<string, WireValue>();
  for (const value of before as WireValue[]) values.set(orderOfValue(value), value);
  for (const value of new Set(removed?.values())) {
    const prefix = orderOfValue(value);
    const left = await reader.index(key, field.name, { prefix, limit: removed!.size + 1 });
    if (left.every((entry) => removed!.has(entry.order))) values.delete(prefix);
  }
  for (const value of added?.values() ?? []) values.set(orderOfValue(value), value);
  if (values.size > limits.setValues) {
    throw new RowOverflow(
      key,
      row.aggregates,
      `the set "${field.name}" of row "${key}" would exceed ${limits.setValues} values`,
    );
  }
  return [...values].sort((a, b) => compareText(a[0], b[0])).map((entry) => entry[1]);
}

/**
 * Applies changes of contributions to rows. Unchanged rows yield nothing; each changed row yields one row and one change record.
 * @throws RowOverflow when a row's bound is passed: park those aggregates and apply again
 */
export async function applyChanges(
  fields: readonly FieldModel[],
  changes: Iterable<ContributionChange>,
  reader: RowReader,
): Promise<AppliedChanges> {
  const works = new Map<string, RowWork>();
  for (const change of changes) {
    for (const [key, before] of change.before) {
      const after = change.after.get(key);
      const row = work(works, key, fields.length, change);
      if (after === undefined) row.contributors--;
      for (let f = 0; f < fields.length; f++) take(row, f, before[f]!, -1);
    }
    for (const [key, after] of change.after) {
      const row = work(works, key, fields.length, change);
      if (!change.before.has(key)) row.contributors++;
      for (let f = 0; f < fields.length; f++) take(row, f, after[f]!, 1);
    }
  }
  const keys = [...works.keys()];
  const stored = await reader.rows(keys);
  const applied: AppliedChanges = { rows: [], changes: [], indexAdd: [], indexRemove: [] };
  for (let i = 0; i < keys.length; i++) {
    await applyRow(fields, keys[i]!, works.get(keys[i]!)!, stored[i], reader, applied);
  }
  return applied;
}

async function applyRow(
  fields: readonly FieldModel[],
  key: string,
  row: RowWork,
  stored: StoredRow | undefined,
  reader: RowReader,
  applied: AppliedChanges,
): Promise<void> {
  const live = stored !== undefined && stored.contributors > 0;
  const contributors = (stored?.contributors ?? 0) + row.contributors;
  const next: Record<string, WireValue> = {};
  let changed = live !== contributors > 0;
  for (let f = 0; f < fields.length; f++) {
    const field = fields[f]!;
    const before = live ? (stored.fields[field.name] ?? emptyOf(field)) : emptyOf(field);
    let value = before;
    if (field.additive) {
      if (row.integers[f] !== 0) value = storedOf(field, addExactly(integerStored(field, before), row.integers[f]!));
    } else {
      const added = row.added[f];
      const removed = row.removed[f];
      if ((added?.size ?? 0) + (removed?.size ?? 0) > 0) {
        value = await indexedValue(reader, key, field, row, f, before);
        for (const [order, was] of removed ?? [])
          applied.indexRemove.push({ row: key, field: field.name, order, value: was });
        for (const [order, now] of added ?? [])
          applied.indexAdd.push({ row: key, field: field.name, order, value: now });
      }
    }
    if (
      !changed &&
      value !== before &&
      (typeof value !== 'object' || JSON.stringify(value) !== JSON.stringify(before))
    ) {
      changed = true;
    }
    next[field.name] = value;
  }
  if (!changed) {
    // Who contributes may change without the row's value: keep the count, say nothing.
    if (stored !== undefined && contributors !== stored.contributors) applied.rows.push({ ...stored, contributors });
    return;
  }
  const revision = (stored?.revision ?? 0) + 1;
  applied.rows.push({ key, revision, contributors, fields: next });
  applied.changes.push({
    key,
    revision,
    retract: live ? stored.fields : null,
    assert: contributors > 0 ? (next as Fields) : null,
    cause: row.cause,
  });
}
