/** What one history adds to a view: made of the rows a projection returns, compared, and stored as it is. */
import type { WireValue } from '../model/event.js';
import { HandlerError } from '../model/errors.js';
import { limits } from '../model/limits.js';
import { utf8Length } from '../model/text.js';
import {
  contributionOf,
  mergeContributions,
  type FieldContribution,
  type FieldModel,
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
export class RowPlaces {
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

  /**
   * @param before what it adds to
   * @param reaches filled, where given: by row the latest event time that was added
   */
  constructor(
    private readonly fields: readonly FieldModel[],
    private readonly before: Contribution,
    private readonly reaches?: (number | undefined)[],
  ) {
    this.rows = before.length === 0 ? [fields.length] : before.slice();
    this.places = new RowPlaces(this.rows, fields.length);
  }

  /**
   * Checks and encodes rows, adding them where the same row was given before.
   * @param eventTime of what gives them, for `reaches`
   * @throws HandlerError `PROJECTION_FAILED`
   */
  add(rows: unknown, time: TimeOrder, aggregate: string, eventTime = Number.NEGATIVE_INFINITY): void {
    if (rows === undefined || rows === null) return;
    if (!Array.isArray(rows)) throw shape('The rows are not an array.');
    for (const row of rows as unknown[]) {
      if (!Array.isArray(row) || typeof row[0] !== 'string' || typeof row[1] !== 'object' || row[1] === null) {
        throw shape('A row is not a pair of a key and its fields.');
      }
      const at = this.addRow(row[0], row[1] as Record<string, unknown>, time, aggregate);
      const { reaches } = this;
      if (reaches === undefined) continue;
      const place = (at - 1) / (this.fields.length + 1);
      reaches[place] = Math.max(reaches[place] ?? eventTime, eventTime);
    }
  }

  /** @returns its place */
  private addRow(key: string, given: Record<string, unknown>, time: TimeOrder, aggregate: string): number {
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
    return at;
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

/** Whether two contributions add the same to the rows at these places. */
export function sameRow(a: Contribution, at: number, b: Contribution, other: number, width: number): boolean {
  for (let f = 1; f <= width; f++) {
    if (!sameField(a[at + f] as FieldContribution, b[other + f] as FieldContribution)) return false;
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
    if (other === -1 || !sameRow(a, at, b, other, width)) return false;
  }
  return true;
}

/** Whether a contribution has a row of this key. */
export function addsTo(contribution: Contribution, key: string, width: number): boolean {
  return new RowPlaces(contribution, width).of(key, 1) !== -1;
}
