/**
 * Reads the keyed records of a view as one head has them. A record keeps its last four versions in slots; the newest that
 * counts is what it is. A reader reads the head first: what is committed meanwhile stands in other slots, and only when all
 * four were written since does it have to begin again.
 */
import { compareText } from '@concursus/core';
import type { types } from 'cassandra-driver';
import type { Head, Stamp } from './view-head.js';
import { justAbove, type Place } from './view-keys.js';
import { SLOTS } from './view-schema.js';
import type { Session } from './session.js';

/** Keys of one read. Each is some hundred bytes of request. */
const KEYS_A_READ = 100;
const COLUMNS = `key, ${SLOTS.join(', ')}`;
const OF = 'context = ? AND view_id = ? AND part = ?';
const READ_KEYS = `SELECT ${COLUMNS} FROM view_record WHERE ${OF} AND key IN ?`;
const UP = `SELECT ${COLUMNS} FROM view_record WHERE ${OF} AND key >= ? LIMIT ?`;
const UP_TO = `SELECT ${COLUMNS} FROM view_record WHERE ${OF} AND key >= ? AND key < ? LIMIT ?`;
const DOWN = `SELECT ${COLUMNS} FROM view_record WHERE ${OF} AND key >= ? ORDER BY key DESC LIMIT ?`;
const DOWN_FROM = `SELECT ${COLUMNS} FROM view_record WHERE ${OF} AND key >= ? AND key < ? ORDER BY key DESC LIMIT ?`;

/** A record as a head has it. */
export interface Picked {
  readonly key: string;
  readonly slot: number;
  /** What was committed; undefined when it was removed. */
  readonly text: string | undefined;
}

/** Keys from `low` inclusive to `high` exclusive. */
export interface Range {
  readonly low: string;
  readonly high: string | undefined;
  readonly descending: boolean;
}

/** Every version of a record that the reader's head counts was overwritten: it is read again with a newer head. */
export class Overtaken extends Error {
  constructor() {
    super('overtaken by commits');
  }
}

/** A version as stored: the stamp, and behind a bar the text; a removal has none. */
export function cellOf({ run, n }: Stamp, text: string | undefined): string {
  return text === undefined ? `${run}.${n}` : `${run}.${n}|${text}`;
}

/** The stamp of a stored text, and where its text begins (0: it has none). */
export function stampOf(cell: string): { readonly run: number; readonly n: number; readonly at: number } {
  const bar = cell.indexOf('|');
  const stamp = bar < 0 ? cell : cell.slice(0, bar);
  const dot = stamp.indexOf('.');
  return { run: Number(stamp.slice(0, dot)), n: Number(stamp.slice(dot + 1)), at: bar + 1 };
}

/** @throws Overtaken */
function pick(row: types.Row, head: Head): Picked | undefined {
  let slot = -1;
  let best = '';
  let bestRun = 0;
  let bestN = 0;
  let bestAt = 0;
  let filled = 0;
  for (let i = 0; i < SLOTS.length; i++) {
    const cell = row[SLOTS[i]!] as string | null;
    if (cell === null) continue;
    filled += 1;
    const { run, n, at } = stampOf(cell);
    if (!head.counts(run, n)) continue;
    if (slot >= 0 && (run < bestRun || (run === bestRun && n < bestN))) continue;
    slot = i;
    best = cell;
    bestRun = run;
    bestN = n;
    bestAt = at;
  }
  if (slot >= 0) return { key: row['key'] as string, slot, text: bestAt === 0 ? undefined : best.slice(bestAt) };
  // Slots are filled in turn: one that is empty says that nothing was overwritten yet.
  if (filled === SLOTS.length) throw new Overtaken();
  return undefined;
}

export class ViewRecords {
  constructor(private readonly session: Session) {}

  /** The records of some places, by part and key; those that are not there are left out, removed ones are not. @throws Overtaken */
  async read(head: Head, places: readonly Place[]): Promise<Map<string, Picked>> {
    const byPart = new Map<string, Set<string>>();
    for (const { part, key } of places) {
      const keys = byPart.get(part);
      if (keys === undefined) byPart.set(part, new Set([key]));
      else keys.add(key);
    }
    const found = new Map<string, Picked>();
    const reads: Promise<void>[] = [];
    for (const [part, keys] of byPart) {
      const all = [...keys];
      for (let i = 0; i < all.length; i += KEYS_A_READ) {
        reads.push(this.readKeys(head, part, all.slice(i, i + KEYS_A_READ), found));
      }
    }
    await settled(reads);
    return found;
  }

  private async readKeys(head: Head, part: string, keys: string[], found: Map<string, Picked>): Promise<void> {
    const rows = await this.session.rows(READ_KEYS, [this.session.context, head.data, part, keys]);
    for (const row of rows) {
      const picked = pick(row, head);
      if (picked !== undefined) found.set(recordKey({ part, key: picked.key }), picked);
    }
  }

  /** One page of a range of a part, and where the next one begins; undefined at the end. @throws Overtaken */
  async page(
    head: Head,
    part: string,
    range: Range,
    limit: number,
  ): Promise<{ readonly records: readonly Picked[]; readonly rest: Range | undefined }> {
    const { low, high, descending } = range;
    if (high !== undefined && compareText(high, low) <= 0) return { records: [], rest: undefined };
    const key = [this.session.context, head.data, part, low];
    const rows =
      high === undefined
        ? await this.session.rows(descending ? DOWN : UP, [...key, limit])
        : await this.session.rows(descending ? DOWN_FROM : UP_TO, [...key, high, limit]);
    const records: Picked[] = [];
    for (const row of rows) {
      const picked = pick(row, head);
      if (picked !== undefined) records.push(picked);
    }
    if (rows.length < limit) return { records, rest: undefined };
    const last = rows.at(-1)!['key'] as string;
    return { records, rest: descending ? { ...range, high: last } : { ...range, low: justAbove(last) } };
  }

  /** The records of a range of a part in order, removed ones included, all as one head has them. @throws Overtaken */
  async *walk(head: Head, part: string, range: Range, pageSize: number): AsyncGenerator<Picked, void, undefined> {
    let rest: Range | undefined = range;
    while (rest !== undefined) {
      const page: { readonly records: readonly Picked[]; readonly rest: Range | undefined } = await this.page(
        head,
        part,
        rest,
        pageSize,
      );
      yield* page.records;
      rest = page.rest;
    }
  }
}

/** A record within its view, as one text. */
export function recordKey({ part, key }: Place): string {
  return `${part}\u0000${key}`;
}

/**
 * Sorted sequences as one sorted sequence. They are begun together, and ended with it.
 */
export async function* merged<T>(
  sequences: readonly AsyncGenerator<T, void, undefined>[],
  compare: (a: T, b: T) => number,
): AsyncGenerator<T, void, undefined> {
  try {
    // A heap of the sequences by their next item.
    const heap: { item: T; readonly of: AsyncGenerator<T, void, undefined> }[] = [];
    const sink = (start: number): void => {
      for (let at = start; ;) {
        let least = at;
        for (const child of [2 * at + 1, 2 * at + 2]) {
          if (child < heap.length && compare(heap[child]!.item, heap[least]!.item) < 0) least = child;
        }
        if (least === at) return;
        [heap[at], heap[least]] = [heap[least]!, heap[at]!];
        at = least;
      }
    };
    const firsts = sequences.map((of) => of.next().then((next) => ({ next, of })));
    await settled(firsts);
    for (const { next, of } of await Promise.all(firsts)) if (next.done !== true) heap.push({ item: next.value, of });
    for (let at = heap.length >>> 1; at >= 0; at--) sink(at);
    while (heap.length > 0) {
      const top = heap[0]!;
      yield top.item;
      const next = await top.of.next();
      if (next.done !== true) top.item = next.value;
      else {
        const last = heap.pop()!;
        if (heap.length > 0 && last !== top) heap[0] = last;
      }
      sink(0);
    }
  } finally {
    await Promise.all(sequences.map((each) => each.return()));
  }
}

/** Waits for all, also after one failed, so that nothing goes on behind the caller's back. @throws the first failure */
export async function settled(all: readonly Promise<unknown>[]): Promise<void> {
  for (const each of await Promise.allSettled(all)) if (each.status === 'rejected') throw each.reason;
}
