/**
 * Where the entries of a field begin. Of a queue the first entries are removed all the time, and each leaves something that a
 * reader from the start walks over; so a head says, of the fields with most removals, below which key there is nothing.
 */
import { compareText } from '@concursus/core';
import type { Head } from './view-head.js';
import { above, justAbove } from './view-keys.js';
import type { ViewRecords } from './view-records.js';

/** Removals of one field after which its beginning is looked for. */
const LOOK_AFTER = 256;
/** Records of one read of that search, and reads: it goes on from there the next time. */
const READ = 500;
const READS = 20;
/** Fields whose beginnings a head names, and of which removals are counted. */
const FLOORS_IN_HEAD = 8;
const COUNTED_MAX = 1_000;

/** A field of a row, by where its entries stand. */
export interface FieldPlace {
  readonly part: string;
  /** How the keys of its entries begin. */
  readonly base: string;
}

/** What one commit does to the entries of one field. */
export interface FieldChange extends FieldPlace {
  removals: number;
  /** The least key that is added. */
  least: string | undefined;
}

export type Floors = Head['state']['floors'];

export class IndexFloors {
  /** Removals since the beginning was looked for. */
  private readonly removals = new Map<string, number>();

  constructor(private readonly records: ViewRecords) {}

  /** The floors after a commit: raised by what was removed before it, lowered by what it adds. @throws Overtaken */
  async after(head: Head, changes: ReadonlyMap<string, FieldChange>): Promise<Floors> {
    const floors = new Map(head.state.floors);
    for (const change of changes.values()) {
      const { base, removals, least } = change;
      const count = (this.removals.get(base) ?? 0) + removals;
      this.removals.delete(base);
      if (count > 0) this.removals.set(base, count);
      if (count >= LOOK_AFTER) {
        this.removals.delete(base);
        const first = await this.first(head, change, floors.get(base));
        if (first !== undefined) {
          floors.delete(base);
          floors.set(base, first);
        }
      }
      const floor = floors.get(base);
      if (floor !== undefined && least !== undefined && compareText(least, floor) < 0) floors.set(base, least);
    }
    while (this.removals.size > COUNTED_MAX) this.removals.delete(this.removals.keys().next().value!);
    return [...floors].slice(-FLOORS_IN_HEAD);
  }

  /** The first entry's key, or one before it that is as good. */
  private async first(head: Head, { part, base }: FieldPlace, from: string | undefined): Promise<string | undefined> {
    let seen = from;
    let read = 0;
    const range = { low: from ?? base, high: above(base), descending: false };
    for await (const { key, text } of this.records.walk(head, part, range, READ)) {
      if (text !== undefined) return key;
      seen = justAbove(key);
      if (++read >= READ * READS) break;
    }
    return seen;
  }
}
