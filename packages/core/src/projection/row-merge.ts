/** Rows merged from all contributions at once: what the engine comes to step by step, made in another way, for audits. */
import type { WireValue } from '../model/event.js';
import { limits } from '../model/limits.js';
import { compareText } from '../model/text.js';
import type { Fields } from '../ports/view-store.js';
import type { Contribution } from './contribution.js';
import {
  addExactly,
  emptyOf,
  orderOfValue,
  readsFromEnd,
  storedOf,
  type Exact,
  type FieldContribution,
  type FieldModel,
  type Indexed,
} from './merge.js';
import { SetSum } from './tally-hash.js';

/** What is told apart in an ordered index. */
export function entryText(order: string, value: WireValue): string {
  return `${order}\u0000${JSON.stringify(value)}`;
}

interface MergedField {
  integer: Exact;
  readonly entries: SetSum;
  best: Indexed | undefined;
  readonly values: Map<string, WireValue>;
  /** All entries, only where the row is mended. */
  readonly all: Map<string, WireValue> | undefined;
}

export class MergedRow {
  contributors = 0;
  private readonly merged: MergedField[];

  /** @param exact keeps the entries of its indexes, too */
  constructor(
    private readonly fields: readonly FieldModel[],
    exact: boolean,
  ) {
    this.merged = fields.map(() => ({
      integer: 0,
      entries: new SetSum(),
      best: undefined,
      values: new Map(),
      all: exact ? new Map() : undefined,
    }));
  }

  /** Takes one aggregate's row of a contribution: its fields begin behind `at`. @returns index entries taken */
  add(contribution: Contribution, at: number): number {
    this.contributors++;
    let taken = 0;
    for (let f = 0; f < this.fields.length; f++) {
      const given = contribution[at + 1 + f] as FieldContribution | undefined;
      const into = this.merged[f]!;
      if (given === null || given === undefined) continue;
      if (typeof given === 'number') into.integer = addExactly(into.integer, given);
      else for (const entry of given) taken += this.take(this.fields[f]!, into, entry);
    }
    return taken;
  }

  private take(field: FieldModel, into: MergedField, entry: Indexed): number {
    const [order, value] = entry;
    into.entries.add(entryText(order, value));
    into.all?.set(order, value);
    if (field.merge === 'set') {
      if (into.values.size <= limits.setValues) into.values.set(orderOfValue(value), value);
    } else if (into.best === undefined || compareText(order, into.best[0]) > 0 === readsFromEnd(field.merge)) {
      into.best = entry;
    }
    return 1;
  }

  /** As the row stores them. */
  get values(): Fields {
    const values: Record<string, WireValue> = {};
    for (let f = 0; f < this.fields.length; f++) {
      const field = this.fields[f]!;
      const { integer, best, values: set } = this.merged[f]!;
      if (this.contributors === 0) values[field.name] = emptyOf(field);
      else if (field.additive) values[field.name] = storedOf(field, integer);
      else if (field.merge === 'set') {
        values[field.name] = [...set].sort((a, b) => compareText(a[0], b[0])).map((entry) => entry[1]);
      } else if (field.placed === true) values[field.name] = (best as unknown as WireValue | undefined) ?? null;
      else values[field.name] = best === undefined ? null : best[1];
    }
    return values;
  }

  entries(field: number): SetSum {
    return this.merged[field]!.entries;
  }

  all(field: number): ReadonlyMap<string, WireValue> {
    return this.merged[field]!.all ?? new Map<string, WireValue>();
  }
}
