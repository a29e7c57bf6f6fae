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

/**
 * One aggregate's contribution, in memory and stored alike: the number of fields, then for each row its key and one value
 * a field, in the order of the view's declaration. One flat array: an aggregate that adds to one row costs one object.
 */
export type Contribution = readonly FlatValue[];
type FlatValue = number | string | FieldContribution;

export const NOTHING: Contribution = Object.freeze([]);

/** Rows from which a key is looked up in a map. */
const INDEXED_ROWS_MIN = 16;

/** Finds the rows of one contribution by key. */
class RowPlaces {
  private byKey: Map<string, number> | undefined;
  private indexedTo = 1;

  constructor(
    private readonly rows: Contribution,
    private readonly width: number,
  ) {}

  /** The place of the row's key; -1 when it is not there. `guess` is looked at first. */
  of(key: string, guess: number): number {
    const { rows, width } = this;
    if (rows[guess] === key) return guess;
    if (rows.length <= 1 + INDEXED_ROWS_MIN * (width + 1)) {
      for (let at = 1; at < rows.length; at += width + 1) if (rows[at] === key) return at;
      return -1;
    }
    this.byKey ??= new Map();
    for (; this.indexedTo < rows.length; this.indexedTo += width + 1) {
      this.byKey.set(rows[this.indexedTo] as string, this.indexedTo);
    }
    return this.byKey.get(key) ?? -1;
  }
}

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

/** Makes a contribution of the rows a projection returns. */
export class ContributionBuilder {
  private readonly rows: FlatValue[];
  private readonly places: RowPlaces;
  private changed = false;

  /** @param before what it adds to */
  constructor(
    private readonly fields: readonly FieldModel[],
    private readonly before: Contribution,
  ) {
    this.rows = before.length === 0 ? [fields.length] : before.slice();
    this.places = new RowPlaces(this.rows, fields.length);
  }

  /**
   * Checks and encodes rows, adding them where the same row was given before.
   * @throws HandlerError `PROJECTION_FAILED`
   */
  add(rows: unknown, time: TimeOrder, aggregate: string): void {
    if (rows === undefined || rows === null) return;
    if (!Array.isArray(rows)) throw shape('The rows are not an array.');
    for (const row of rows as unknown[]) {
      if (!Array.isArray(row) || typeof row[0] !== 'string' || typeof row[1] !== 'object' || row[1] === null) {
        throw shape('A row is not a pair of a key and its fields.');
      }
      this.addRow(row[0], row[1] as Record<string, unknown>, time, aggregate);
    }
  }

  private addRow(key: string, given: Record<string, unknown>, time: TimeOrder, aggregate: string): void {
    checkRowKey(key);
    const { fields, rows } = this;
    const found = rows.length === 1 ? -1 : this.places.of(key, 1);
    const at = found === -1 ? rows.length : found;
    if (found === -1) rows.push(key);
    this.changed = true;
    let used = 0;
    for (let f = 0; f < fields.length; f++) {
      const field = fields[f]!;
      const value = given[field.name];
      if (value !== undefined || field.name in given) used++;
      const contribution = contributionOf(field, value, time, aggregate);
      if (contribution !== null && typeof contribution === 'object') {
        for (const [order] of contribution) checkIndexBytes(key, order);
      }
      if (found === -1) rows.push(contribution);
      else rows[at + 1 + f] = mergeContributions(field, rows[at + 1 + f] as FieldContribution, contribution);
    }
    const names = Object.keys(given);
    if (used !== names.length) {
      const unknown = names.find((name) => !fields.some((field) => field.name === name));
      throw shape(`The row "${key}" has a field "${unknown}" that the view class does not declare.`);
    }
  }

  done(): Contribution {
    if (!this.changed) return this.before;
    return this.rows;
  }
}

function checkRowKey(key: string): void {
  if (
    key === '' ||
    key.includes('\u0000') ||
    !key.isWellFormed() ||
    (key.length * 3 > limits.rowKeyBytes && utf8Length(key) > limits.rowKeyBytes)
  ) {
    throw shape(
      `The row key "${key.slice(0, 60)}" is empty, too long (${limits.rowKeyBytes} bytes at most), or not plain text.`,
    );
  }
}

/** The stored form is the contribution itself. */
export function encodeContribution(contribution: Contribution): WireValue {
  return contribution as unknown as WireValue;
}

/** Also reads what was stored as `[[row, [field, …]], …]`, and with fewer fields than the view has now. */
export function decodeContribution(value: WireValue | undefined, width: number): Contribution {
  if (value === undefined) return NOTHING;
  const stored = value as readonly unknown[];
  if (stored[0] === width) return stored as Contribution;
  const rows: FlatValue[] = [width];
  const row = (key: string, values: readonly FieldContribution[]): void => {
    rows.push(key);
    for (let f = 0; f < width; f++) rows.push(values[f] ?? null);
  };
  const of = stored[0];
  if (typeof of !== 'number') for (const [key, values] of stored as [string, FieldContribution[]][]) row(key, values);
  else {
    for (let at = 1; at < stored.length; at += of + 1) {
      row(stored[at] as string, stored.slice(at + 1, at + 1 + of) as FieldContribution[]);
    }
  }
  return rows.length === 1 ? NOTHING : rows;
}

function sameField(a: FieldContribution, b: FieldContribution): boolean {
  if (a === b) return true;
  if (a === null || b === null || typeof a === 'number' || typeof b === 'number' || a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) {
    if (a[i]![0] !== b[i]![0] || JSON.stringify(a[i]![1]) !== JSON.stringify(b[i]![1])) return false;
  }
  return true;
}

/** Whether both add the same; the order of rows tells nothing. */
export function sameContribution(a: Contribution, b: Contribution, width: number): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  const places = new RowPlaces(b, width);
  for (let at = 1; at < a.length; at += width + 1) {
    const other = places.of(a[at] as string, at);
    if (other === -1) return false;
    for (let f = 1; f <= width; f++) {
      if (!sameField(a[at + f] as FieldContribution, b[other + f] as FieldContribution)) return false;
    }
  }
  return true;
}

/** One aggregate's change of contribution, and what caused it. */
export interface ContributionChange {
  /** Its facts are named in the change record. */
  readonly of: { readonly facts: readonly Fact[] };
  readonly before: Contribution;
  readonly after: Contribution;
}

/** Whether a contribution has a row of this key. */
export function addsTo(contribution: Contribution, key: string, width: number): boolean {
  return new RowPlaces(contribution, width).of(key, 1) !== -1;
}

interface RowWork {
  contributors: number;
  readonly integers: Exact[];
  /** Per field: entries added and removed, by order. */
  readonly added: (Map<string, WireValue> | undefined)[];
  readonly removed: (Map<string, WireValue> | undefined)[];
  readonly cause: string[];
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

/** A row that cannot take what the aggregates of the step add: they are parked, and the rest is applied again. */
export class RowOverflow extends Error {
  constructor(
    readonly row: string,
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
    };
    works.set(key, row);
  }
  const { facts } = change.of;
  for (let i = 0; i < facts.length && row.cause.length < CAUSES_MAX; i++) {
    const cause = identityText(facts[i]!);
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
  if (field.merge === 'set') return setValue(reader, key, field, added, removed, before);
  const known =
    field.merge === 'min' || field.merge === 'max' ? extremeKnown(field, added, removed, before) : undefined;
  if (known !== undefined) return known;
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

/**
 * The new minimum or maximum where the old one and the step decide it: only an extreme that goes without one as good or
 * better coming needs the index, for the runner-up.
 */
function extremeKnown(
  field: FieldModel,
  added: Map<string, WireValue> | undefined,
  removed: Map<string, WireValue> | undefined,
  before: WireValue,
): WireValue | undefined {
  let best: Indexed | undefined;
  for (const entry of added ?? []) {
    const c = best === undefined ? 0 : compareText(entry[0], best[0]);
    if (best === undefined || (field.merge === 'max' ? c > 0 : c < 0)) best = entry;
  }
  if (before === null) return best?.[1];
  const place = orderOfValue(before);
  if (best !== undefined) {
    const c = best[0].startsWith(place) ? 0 : compareText(best[0], place);
    if (field.merge === 'max' ? c >= 0 : c <= 0) return best[1];
  }
  for (const order of removed?.keys() ?? []) if (order.startsWith(place)) return undefined;
  return before;
}

async function setValue(
  reader: RowReader,
  key: string,
  field: FieldModel,
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
    throw new RowOverflow(key, `the set "${field.name}" of row "${key}" would exceed ${limits.setValues} values`);
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
  const width = fields.length;
  for (const change of changes) {
    const { before, after } = change;
    const inAfter = new RowPlaces(after, width);
    for (let at = 1; at < before.length; at += width + 1) {
      const key = before[at] as string;
      const row = work(works, key, width, change);
      if (inAfter.of(key, at) === -1) row.contributors--;
      for (let f = 0; f < width; f++) take(row, f, before[at + 1 + f] as FieldContribution, -1);
    }
    const inBefore = new RowPlaces(before, width);
    for (let at = 1; at < after.length; at += width + 1) {
      const key = after[at] as string;
      const row = work(works, key, width, change);
      if (inBefore.of(key, at) === -1) row.contributors++;
      for (let f = 0; f < width; f++) take(row, f, after[at + 1 + f] as FieldContribution, 1);
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
