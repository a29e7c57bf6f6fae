/**
 * The partial rows of one key made one, as a row of the whole view is stored. Each merge of a view is associative over what
 * aggregates contribute, so it is over sums of them; where the value alone does not tell which is later, the partial row keeps its place.
 */
import type { WireValue } from '../model/event.js';
import { compareText } from '../model/text.js';
import type { AheadReach, Fields, StoredRow } from '../ports/view-store.js';
import { rowReaching } from './ahead.js';
import {
  addExactly,
  emptyOf,
  integerStored,
  orderOfValue,
  readsFromEnd,
  storedOf,
  type Exact,
  type FieldModel,
  type Indexed,
} from './merge.js';

/** One field of partial rows that something contributes to. */
function mergedValue(field: FieldModel, parts: readonly Fields[]): WireValue {
  const { name, merge } = field;
  if (field.additive) {
    let sum: Exact = 0;
    for (const part of parts) sum = addExactly(sum, integerStored(field, part[name]));
    return storedOf(field, sum);
  }
  if (merge === 'set') {
    const values = new Map<string, WireValue>();
    for (const part of parts) {
      for (const value of (part[name] ?? []) as WireValue[]) values.set(orderOfValue(value), value);
    }
    return [...values].sort((a, b) => compareText(a[0], b[0])).map((entry) => entry[1]);
  }
  let best: Indexed | undefined;
  for (const part of parts) {
    const value = part[name] ?? null;
    if (value === null) continue;
    const entry = field.placed === true ? (value as unknown as Indexed) : ([orderOfValue(value), value] as const);
    if (best === undefined || compareText(entry[0], best[0]) > 0 === readsFromEnd(merge)) best = entry;
  }
  return best === undefined ? null : best[1];
}

/** What partial rows come to; null when nothing contributes to any of them. */
export function mergeFields(fields: readonly FieldModel[], parts: readonly (Fields | null)[]): Fields | null {
  const live = parts.filter((part) => part !== null);
  if (live.length === 0) return null;
  const merged: Record<string, WireValue> = {};
  for (const field of fields) merged[field.name] = mergedValue(field, live);
  return merged;
}

/** The row of one key, from its rows in all shares; undefined when none was ever there. */
export function mergeRows(
  fields: readonly FieldModel[],
  key: string,
  parts: readonly (StoredRow | undefined)[],
): StoredRow | undefined {
  let revision = 0;
  let contributors = 0;
  let through = Number.NEGATIVE_INFINITY;
  const ahead: AheadReach[] = [];
  const live: Fields[] = [];
  for (const part of parts) {
    if (part === undefined) continue;
    revision += part.revision;
    contributors += part.contributors;
    if (part.through !== undefined) through = Math.max(through, part.through);
    // No aggregate is in two shares.
    if (part.ahead !== undefined) ahead.push(...part.ahead);
    if (part.contributors > 0) live.push(part.fields);
  }
  if (revision === 0) return undefined;
  const empty = (): Fields => Object.fromEntries(fields.map((field) => [field.name, emptyOf(field)]));
  const row = { key, revision, contributors, fields: mergeFields(fields, live) ?? empty() };
  return rowReaching(row, through, ahead.length === 0 ? undefined : ahead.sort((a, b) => a[1] - b[1]));
}
