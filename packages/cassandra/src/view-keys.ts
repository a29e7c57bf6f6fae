/**
 * Where a record of a view stands: its part, which spreads a view over partitions, and its key, whose UTF-8 bytes sort as the
 * port says. The numbers of parts are kept in the layout of the context.
 */
import { sliceOf, SLICES, type AggregateKey } from '@concursus/core';

/** Rows are found by range, which asks all of their parts: few. At 1 kB a row, 100 MB a partition hold 1.6 million rows. */
export const ROW_PARTS = 16;
/** Contributions and index entries are asked for by key: many. At 600 bytes each, 100 MB a partition hold 20 million. */
export const KEYED_PARTS = 128;

/** What says how data was spread; see `layout.ts`. */
export const VIEW_LAYOUT = `rows ${ROW_PARTS}, keyed ${KEYED_PARTS}`;

/** A record's place within its view. */
export interface Place {
  readonly part: string;
  readonly key: string;
}

export const NOTES = 'n';
export const rowParts: readonly string[] = Array.from({ length: ROW_PARTS }, (_, i) => `r${i}`);
export const contributionParts: readonly string[] = Array.from({ length: KEYED_PARTS }, (_, i) => `c${i}`);
/** Every part there may be. */
export const allParts: readonly string[] = [
  NOTES,
  ...rowParts,
  ...contributionParts,
  ...Array.from({ length: KEYED_PARTS }, (_, i) => `i${i}`),
];

export function rowPlace(key: string): Place {
  return { part: rowParts[sliceOf('', '', '', key) % ROW_PARTS]!, key };
}

/** Of a record of notes, see `note-places.ts`. */
export function notePlace(id: number): Place {
  return { part: NOTES, key: String(id) };
}

/** Neighbouring slices share a part. */
export function contributionPlace(context: string, { tenant, type, id }: AggregateKey): Place {
  const slice = sliceOf(context, tenant, type, id);
  return {
    part: contributionParts[Math.floor((slice * KEYED_PARTS) / SLICES)]!,
    key: `${tenant}\u0000${type}\u0000${id}`,
  };
}

/** The aggregate of a contribution's key; none of its texts holds NUL. */
export function aggregateOf(key: string): AggregateKey {
  const [tenant, type, id] = key.split('\u0000');
  return { tenant: tenant!, type: type!, id: id! };
}

/** Where the entries of one field of one row stand, together, and how their keys begin; behind that comes their order. */
export function fieldPlace(row: string, field: string): { readonly part: string; readonly base: string } {
  const part = `i${sliceOf('', '', row, field) % KEYED_PARTS}`;
  return { part, base: `${escaped(row)}\u0000${escaped(field)}\u0000` };
}

/** NUL ends a text that something follows, so within one it becomes 1 1, and 1 becomes 1 2: the order stays. */
function escaped(text: string): string {
  return text.replace(/[\u0000\u0001]/g, (c) => (c === '\u0000' ? '\u0001\u0001' : '\u0001\u0002'));
}

/** The least text above every text that begins with `prefix`; undefined when there is none. */
export function above(prefix: string): string | undefined {
  const points = Array.from(prefix);
  while (points.length > 0) {
    const last = points.pop()!.codePointAt(0)!;
    if (last === 0x10_ffff) continue;
    // Surrogates are no characters of their own.
    return points.join('') + String.fromCodePoint(last === 0xd7ff ? 0xe000 : last + 1);
  }
  return undefined;
}

/** The least text above `text`. */
export function justAbove(text: string): string {
  return `${text}\u0000`;
}
