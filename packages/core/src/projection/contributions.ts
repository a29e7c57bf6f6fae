/**
 * How a change of what one history adds to a view becomes new rows: new contribution − old contribution = the delta.
 * Pure but for reads of the ordered index, so one event at the end, a late one and a withdrawn one are the same case.
 */
import type { Fact, WireValue } from '../model/event.js';
import { causeText } from '../model/correction.js';
import { limits } from '../model/limits.js';
import { compareText } from '../model/text.js';
import type { ChangeRecord, Fields, IndexEntry, StoredRow } from '../ports/view-store.js';
import { AHEAD_MS, Bearing, reachAt, RowAhead, rowReaching, sameAhead, type Reach } from './ahead.js';
import { RowPlaces, sameRow, type Contribution } from './contribution.js';
import {
  addExactly,
  emptyOf,
  integerStored,
  orderOfValue,
  readsFromEnd,
  storedOf,
  type Exact,
  type FieldContribution,
  type FieldModel,
  type Indexed,
} from './merge.js';

/** One aggregate's change of contribution, and what caused it. */
export interface ContributionChange {
  /** Its facts are named in the change record. */
  readonly of: { readonly text: string; readonly facts: readonly Fact[]; readonly judged?: boolean | undefined };
  readonly before: Contribution;
  readonly after: Contribution;
  /** How far it reaches with what it adds now; undefined: as far as its facts, as before. */
  readonly reach: Reach | undefined;
  /** `reach` is that of all its history, and not of the new facts only. */
  readonly whole: boolean;
}

interface RowWork {
  contributors: number;
  readonly integers: Exact[];
  /** Per field: entries added and removed, by order. */
  readonly added: (Map<string, WireValue> | undefined)[];
  readonly removed: (Map<string, WireValue> | undefined)[];
  readonly cause: string[];
  /** The latest event time of what changes it, and of what comes to it, as far as that is not far ahead. */
  through: number;
  /** What comes to it is far ahead. */
  isAhead: boolean;
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

function work(works: Map<string, RowWork>, key: string, fields: number): RowWork {
  let row = works.get(key);
  if (row === undefined) {
    row = {
      contributors: 0,
      integers: new Array<Exact>(fields).fill(0),
      added: new Array<undefined>(fields).fill(undefined),
      removed: new Array<undefined>(fields).fill(undefined),
      cause: [],
      through: Number.NEGATIVE_INFINITY,
      isAhead: false,
    };
    works.set(key, row);
  }
  return row;
}

/** The row is changed by these facts. */
function caused(row: RowWork, { facts }: ContributionChange['of'], near: number): void {
  if (near > row.through) row.through = near;
  for (let i = 0; i < facts.length && row.cause.length < CAUSES_MAX; i++) {
    const cause = causeText(facts[i]!);
    if (!row.cause.includes(cause)) row.cause.push(cause);
  }
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
  return best === undefined ? null : field.placed === true ? (best as unknown as WireValue) : best[1];
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
 * Applies changes of contributions to rows. Unchanged rows yield nothing; each changed row yields one row and one change
 * record, and one that only reaches farther, or less far ahead, yields the row.
 * @param now the time of changes without facts
 * @throws RowOverflow when a row's bound is passed: park those aggregates and apply again
 */
export async function applyChanges(
  fields: readonly FieldModel[],
  changes: readonly ContributionChange[],
  reader: RowReader,
  now: number,
): Promise<AppliedChanges> {
  const works = new Map<string, RowWork>();
  const width = fields.length;
  const bearing = new Bearing();
  for (const { of, before, after, reach } of changes) {
    const { near, recordedAt, everywhere } = bearing.of(of, now);
    const inAfter = new RowPlaces(after, width);
    for (let at = 1; at < before.length; at += width + 1) {
      const key = before[at] as string;
      if (inAfter.of(key, at) !== -1) continue;
      const row = work(works, key, width);
      caused(row, of, near);
      row.contributors--;
      for (let f = 0; f < width; f++) take(row, f, before[at + 1 + f] as FieldContribution, -1);
    }
    const inBefore = new RowPlaces(before, width);
    for (let at = 1; at < after.length; at += width + 1) {
      const key = after[at] as string;
      const was = inBefore.of(key, at);
      const isSame = was !== -1 && sameRow(before, was, after, at, width);
      if (isSame && !everywhere) continue;
      const row = work(works, key, width);
      // All that an aggregate holds comes to a row with it, not only what is new.
      const reached = reachAt(reach, at, width) ?? Number.NEGATIVE_INFINITY;
      if (reached > recordedAt + AHEAD_MS) row.isAhead = true;
      else if (reached > row.through) row.through = reached;
      if (isSame) continue;
      caused(row, of, near);
      if (was === -1) row.contributors++;
      else for (let f = 0; f < width; f++) take(row, f, before[was + 1 + f] as FieldContribution, -1);
      for (let f = 0; f < width; f++) take(row, f, after[at + 1 + f] as FieldContribution, 1);
    }
  }
  const keys = [...works.keys()];
  const stored = await reader.rows(keys);
  const ahead = aheadOf(changes, works, stored, width, now);
  const applied: AppliedChanges = { rows: [], changes: [], indexAdd: [], indexRemove: [] };
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!;
    await applyRow(fields, key, works.get(key)!, stored[i], ahead?.get(key), reader, applied);
  }
  return applied;
}

/** Of the rows that hold, or get, something far ahead what that is now; undefined where none does, as mostly. */
function aheadOf(
  changes: readonly ContributionChange[],
  works: ReadonlyMap<string, RowWork>,
  stored: readonly (StoredRow | undefined)[],
  width: number,
  now: number,
): ReadonlyMap<string, RowAhead> | undefined {
  let rows: Map<string, RowAhead> | undefined;
  let i = 0;
  for (const [key, { isAhead }] of works) {
    const known = stored[i++]?.ahead;
    if (isAhead || known !== undefined) (rows ??= new Map()).set(key, new RowAhead(known));
  }
  if (rows === undefined) return undefined;
  const bearing = new Bearing();
  for (const { of, before, after, reach, whole } of changes) {
    const { recordedAt } = bearing.of(of, now);
    const inAfter = new RowPlaces(after, width);
    for (let at = 1; at < before.length; at += width + 1) {
      const key = before[at] as string;
      if (inAfter.of(key, at) === -1) rows.get(key)?.take(of.text, undefined, true, recordedAt);
    }
    for (let at = 1; at < after.length; at += width + 1) {
      rows.get(after[at] as string)?.take(of.text, reachAt(reach, at, width), whole, recordedAt);
    }
  }
  return rows;
}

async function applyRow(
  fields: readonly FieldModel[],
  key: string,
  row: RowWork,
  stored: StoredRow | undefined,
  rowAhead: RowAhead | undefined,
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
  let through = Math.max(stored?.through ?? Number.NEGATIVE_INFINITY, row.through);
  let ahead = stored?.ahead;
  if (rowAhead !== undefined) ({ through, ahead } = rowAhead.kept(through));
  if (!changed) {
    // Who contributes, and how far that reaches, may change without the row's value: keep it, say nothing.
    if (stored === undefined) return;
    const reaches = through > (stored.through ?? Number.NEGATIVE_INFINITY) || !sameAhead(ahead, stored.ahead);
    if (reaches || contributors !== stored.contributors) {
      applied.rows.push(rowReaching({ ...stored, contributors }, through, ahead));
    }
    return;
  }
  const revision = (stored?.revision ?? 0) + 1;
  applied.rows.push(rowReaching({ key, revision, contributors, fields: next }, through, ahead));
  applied.changes.push({
    key,
    revision,
    retract: live ? stored.fields : null,
    assert: contributors > 0 ? (next as Fields) : null,
    cause: row.cause,
  });
}
