/**
 * How the contributions of many aggregates to one field of a row become its value. Every merge is commutative and can
 * take a contribution back: sums by subtracting, the others by an ordered index that yields the runner-up.
 */
import type { WireValue } from '../model/event.js';
import { canonicalJson } from '../model/canonical-json.js';
import { ConfigurationError, HandlerError } from '../model/errors.js';
import { compareText, utf8Length } from '../model/text.js';

/** The merges a field may declare. `latest` and `earliest` go by event time; `set` holds distinct values in order. */
export type Merge = 'sum' | 'count' | 'min' | 'max' | 'latest' | 'earliest' | 'set';

export interface FieldModel {
  readonly name: string;
  readonly merge: Merge;
  /** Decimal places of a sum: kept as an integer of 10^-scale. 0 for whole numbers. */
  readonly scale: number;
  /** Sums and counts add up; the others need the ordered index. */
  readonly additive: boolean;
  /** Of a share's latest or earliest: a row holds `[order, value]`, so that partial rows can be told apart. */
  readonly placed?: boolean;
}

/** One indexed contribution: `order` sorts by UTF-8 bytes as the merge compares. */
export type Indexed = readonly [order: string, value: WireValue];

/** What one aggregate adds to one field: an integer, or indexed values; null when nothing. */
export type FieldContribution = number | readonly Indexed[] | null;

const FIELDS = Symbol.for('concursus.view.fields');

type ViewClass = abstract new () => object;

function declare(merge: Merge, scale: number): PropertyDecorator {
  return (target, property) => {
    const cls = target.constructor as unknown as Record<symbol, FieldModel[] | undefined>;
    if (typeof property === 'symbol') {
      throw new ConfigurationError('PROJECTION_SHAPE', `A view field of ${target.constructor.name} is a symbol.`, {
        fix: 'Name view fields by text.',
      });
    }
    if (!Object.hasOwn(cls, FIELDS)) Object.defineProperty(cls, FIELDS, { value: [...(cls[FIELDS] ?? [])] });
    cls[FIELDS]!.push({ name: property, merge, scale, additive: merge === 'sum' || merge === 'count' });
  };
}

/**
 * Adds up. An aggregate contributes whole numbers within ±(2^53 − 1); with `{ scale: n }` decimals of at most n places.
 * Others park it. The sum is exact however large; readers see it as the nearest number.
 */
export const Sum = (options: { readonly scale?: number } = {}): PropertyDecorator => declare('sum', options.scale ?? 0);
/** Counts the contributions that give the field a value other than false or null. */
export const Count = (): PropertyDecorator => declare('count', 0);
/** The least number or text contributed; null when none is. */
export const Min = (): PropertyDecorator => declare('min', 0);
/** The greatest number or text contributed; null when none is. */
export const Max = (): PropertyDecorator => declare('max', 0);
/** The value of the latest event time; ties go to the greater aggregate key, then fold order. */
export const Latest = (): PropertyDecorator => declare('latest', 0);
/** The value of the earliest event time; ties go to the lesser aggregate key, then fold order. */
export const Earliest = (): PropertyDecorator => declare('earliest', 0);
/** The distinct values contributed, in order: at most `limits.setValues`. An array contributes each of its values. */
export const SetOf = (): PropertyDecorator => declare('set', 0);

/** The fields of a view class, in the order of their declaration. */
export function fieldsOf(view: ViewClass): readonly FieldModel[] {
  const fields = (view as unknown as Record<symbol, readonly FieldModel[] | undefined>)[FIELDS] ?? [];
  if (fields.length === 0) {
    throw new ConfigurationError('PROJECTION_SHAPE', `The view class ${view.name} declares no merged field.`, {
      fix: 'Mark its fields with @Sum(), @Count(), @Min(), @Max(), @Latest(), @Earliest() or @SetOf().',
    });
  }
  return fields;
}

const FLOAT = new DataView(new ArrayBuffer(8));

/** 16 hex digits that sort as the numbers do, −∞ first; −0 is 0. */
export function orderOfNumber(value: number): string {
  FLOAT.setFloat64(0, value === 0 ? 0 : value);
  let high = FLOAT.getUint32(0);
  let low = FLOAT.getUint32(4);
  if (high & 0x8000_0000) {
    high = ~high >>> 0;
    low = ~low >>> 0;
  } else high = (high | 0x8000_0000) >>> 0;
  return high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0');
}

/** Text in which NUL can end a part: U+0000 and U+0001 are escaped so that order is kept. */
export function orderOfText(text: string): string {
  // eslint-disable-next-line no-control-regex
  return /[\u0000\u0001]/.test(text)
    ? text.replace(/[\u0000\u0001]/g, (c) => (c === '\u0000' ? '\u0001\u0001' : '\u0001\u0002'))
    : text;
}

/** UTF-8 bytes of an indexed value in order form. */
const INDEXED_BYTES_MAX = 512;

/** A value's place among values of its field: numbers before text before the rest. Ends with NUL, so no order is a prefix of another. */
export function orderOfValue(value: WireValue): string {
  const order =
    typeof value === 'number'
      ? `n${orderOfNumber(value)}`
      : typeof value === 'string'
        ? `s${orderOfText(value)}`
        : `x${orderOfText(canonicalJson(value))}`;
  if (utf8Length(order) > INDEXED_BYTES_MAX) {
    throw new HandlerError(
      'PROJECTION_FAILED',
      `A value of ${utf8Length(order)} bytes is too long for an ordered index.`,
      {
        fix: `Contribute values of at most ${INDEXED_BYTES_MAX - 1} bytes, or keep the value in @Latest() of its own row.`,
      },
    );
  }
  return `${order}\u0000`;
}

/** When a contribution happened: its event time in order form, and what decides between events of one aggregate and instant. */
export interface TimeOrder {
  readonly time: string;
  readonly tie: string;
}

/** Which end of the ordered index is the field's value. */
export function readsFromEnd(merge: Merge): boolean {
  return merge === 'max' || merge === 'latest';
}

function integerOf(field: FieldModel, value: unknown): number {
  const scaled =
    typeof value === 'number' ? (field.scale === 0 ? value : Math.round(value * 10 ** field.scale)) : Number.NaN;
  const exact =
    field.scale === 0 || Math.abs(scaled / 10 ** field.scale - (value as number)) < 10 ** -(field.scale + 3);
  if (!Number.isSafeInteger(scaled) || !exact) {
    throw new HandlerError('PROJECTION_FAILED', `${String(value)} cannot be added to the sum "${field.name}".`, {
      fix: 'Contribute whole numbers within ±(2^53 − 1), or declare @Sum({ scale }) with enough decimal places.',
    });
  }
  return scaled === 0 ? 0 : scaled;
}

/**
 * What a value given for a field contributes.
 * @throws HandlerError `PROJECTION_FAILED` when the merge cannot take it
 */
export function contributionOf(
  field: FieldModel,
  value: unknown,
  time: TimeOrder,
  aggregate: string,
): FieldContribution {
  if (value === undefined || value === null) return null;
  switch (field.merge) {
    case 'sum':
      return integerOf(field, value);
    case 'count':
      return value === false ? null : 1;
    case 'min':
    case 'max':
      if (typeof value !== 'string' && !(typeof value === 'number' && Number.isFinite(value))) {
        throw new HandlerError(
          'PROJECTION_FAILED',
          `"${field.name}" got ${typeof value}, and only numbers and text have a least and a greatest.`,
          {
            fix: 'Contribute finite numbers or text.',
          },
        );
      }
      return [[orderOfValue(value) + aggregate, value]];
    case 'latest':
    case 'earliest':
      return [[`${time.time}${aggregate}\u0000\u0000${time.tie}`, value as WireValue]];
    case 'set': {
      const values = Array.isArray(value) ? (value as WireValue[]) : [value as WireValue];
      const byOrder = new Map<string, WireValue>();
      for (const one of values) byOrder.set(orderOfValue(one) + aggregate, one);
      return [...byOrder];
    }
  }
}

/** Merges two contributions of one aggregate to one field. */
export function mergeContributions(field: FieldModel, a: FieldContribution, b: FieldContribution): FieldContribution {
  if (a === null) return b;
  if (b === null) return a;
  if (typeof a === 'number' || typeof b === 'number') {
    const sum = (a as number) + (b as number);
    if (Number.isSafeInteger(sum)) return sum;
    throw new HandlerError('PROJECTION_FAILED', `One aggregate would add more than 2^53 − 1 to "${field.name}".`, {
      fix: 'Contribute smaller numbers, or in a larger unit.',
    });
  }
  if (field.merge === 'set') return [...new Map<string, WireValue>([...a, ...b])];
  const first = a[0]!;
  const second = b[0]!;
  const secondIsGreater = compareText(second[0], first[0]) > 0;
  return readsFromEnd(field.merge) === secondIsGreater ? b : a;
}

/** A sum: a bigint only where a number would round. */
export type Exact = number | bigint;

/** Adds without rounding: in whatever order, the same sum. */
export function addExactly(a: Exact, b: Exact): Exact {
  if (typeof a === 'number' && typeof b === 'number') {
    const sum = a + b;
    if (Number.isSafeInteger(sum)) return sum;
  }
  const sum = BigInt(a) + BigInt(b);
  const rounded = Number(sum);
  return Number.isSafeInteger(rounded) ? rounded : sum;
}

/** Up to here dividing by 10^scale and multiplying again gives the same integer. */
const SCALED_MAX = 2 ** 50;

/** A row's stored form of an additive field: a number where that is exact, else the integer as text. */
export function storedOf(field: FieldModel, integer: Exact): number | string {
  if (typeof integer === 'bigint') return integer.toString();
  if (field.scale === 0) return integer;
  return Math.abs(integer) <= SCALED_MAX ? integer / 10 ** field.scale : integer.toString();
}

/** The integer of 10^-scale that a row holds. */
export function integerStored(field: FieldModel, stored: WireValue | undefined): Exact {
  if (typeof stored === 'string') return addExactly(0, BigInt(stored));
  if (typeof stored !== 'number') return 0;
  return field.scale === 0 ? stored : Math.round(stored * 10 ** field.scale);
}

/** What a reader sees of a stored field; a field added to the view class since the row was written reads as empty. */
export function shownOf(field: FieldModel, stored: WireValue | undefined): WireValue {
  if (stored === undefined) return emptyOf(field);
  return field.additive && typeof stored === 'string' ? Number(stored) / 10 ** field.scale : stored;
}

/** What a field holds when nothing contributes to it. */
export function emptyOf(field: FieldModel): WireValue {
  return field.additive ? 0 : field.merge === 'set' ? [] : null;
}
