/**
 * The store's conscience: it sees every append that the store really made, also those whose answer was lost, and keeps
 * its own log of what was recorded, in order. Everything later is judged by this log.
 */
import {
  compareProcessingIds,
  parseProcessingId,
  type Append,
  type AppendResult,
  type Fact,
  type OwnerRow,
  type ViewCommit,
} from '@concursus/core';
import { bytes, recordedOf } from './model.js';
import type { Draft } from './plan.js';
import { violated } from './violation.js';

export interface Entry {
  readonly draft: Draft;
  readonly processingId: string;
  readonly processedAtMs: number;
}

const textOf = (fact: Fact): string =>
  JSON.stringify([fact.aggregateId, fact.eventTime, fact.streamId, fact.sequence, fact.name]);

export class Truth {
  /** In recorded order. */
  readonly log: Entry[] = [];
  private readonly offered = new Map<string, Draft>();
  private readonly epochs = new Map<string, number>();
  private readonly contents = new Map<string, string[]>();
  /** Where each generation of each view stands, and which of them is read. */
  private readonly places = new Map<string, number>();
  private readonly read = new Map<string, string>();
  private readonly ended = new Set<string>();
  private readonly heirs = new Set<string>();

  constructor(drafts: readonly Draft[]) {
    for (const draft of drafts) {
      const { identity, content } = recordedOf(draft);
      if (!this.offered.has(identity + content)) this.offered.set(identity + content, draft);
    }
  }

  /** Checks the outcomes of appends just made, before anybody learns of them. */
  appended(appends: readonly Append[], results: readonly AppendResult[]): void {
    for (const [i, { facts }] of appends.entries()) {
      const { outcomes, position } = results[i]!;
      let first: Fact | undefined;
      for (const [j, fact] of facts.entries()) {
        const identity = textOf(fact);
        const known = this.contents.get(identity) ?? [];
        const must = known.includes(fact.content) ? 'repeated' : known.length > 0 ? 'conflicting' : 'recorded';
        if (outcomes[j] !== must)
          violated(3, `${identity} ${fact.content} was answered ${outcomes[j]}, and is ${must}`);
        if (must === 'repeated') continue;
        const draft = this.offered.get(identity + fact.content);
        if (draft === undefined) violated(3, `nobody sent ${identity} ${fact.content}`);
        this.contents.set(identity, [...known, fact.content]);
        this.stamped(fact, first);
        first ??= fact;
        this.log.push({ draft: draft!, processingId: fact.processingId, processedAtMs: fact.processedAt });
      }
      if (position.toString() !== `o1:${this.log.length}` && first !== undefined)
        violated(7, `an append ends at ${position.toString()}, and ${this.log.length} facts are recorded`);
    }
  }

  /** Processing times ascend; facts of one append share one. */
  private stamped(fact: Fact, first: Fact | undefined): void {
    const last = this.log.at(-1);
    if (last === undefined) return;
    if (compareProcessingIds(fact.processingId, last.processingId) <= 0)
      violated(5, `the id ${fact.processingId} was given after ${last.processingId}`);
    const mine = parseProcessingId(fact.processingId);
    const its = parseProcessingId((first ?? last).processingId);
    const same = mine.ms === its.ms && mine.tick === its.tick;
    if (same !== (first !== undefined))
      violated(5, `the ids ${fact.processingId} and ${last.processingId} do not tell appends apart`);
  }

  /** An owner row was won: nobody else may write under its name from here on. */
  claimed(row: OwnerRow | undefined): void {
    if (row === undefined) return;
    const last = this.epochs.get(row.name) ?? 0;
    if (row.epoch !== last + 1) violated(6, `"${row.name}" was claimed with epoch ${row.epoch} after ${last}`);
    this.epochs.set(row.name, row.epoch);
  }

  /** Something was written under an owner's name. */
  wrote(name: string, epoch: number): void {
    const current = this.epochs.get(name) ?? 0;
    if (epoch !== current) violated(6, `"${name}" was written with epoch ${epoch}, and its owner has ${current}`);
  }

  /** A view was committed: by its owner, and not back. */
  committed({ owner, epoch, view, expected, checkpoint, changesFrom }: ViewCommit): void {
    this.wrote(owner, epoch);
    if (expected !== undefined && ordinalOf(checkpoint) < ordinalOf(expected))
      violated(7, `the checkpoint of "${view.name}" moved from ${expected} back to ${checkpoint}`);
    const generation = `${view.name}:${view.version}`;
    if (this.ended.has(generation)) violated(6, `"${generation}" was written after its end`);
    // Its readers may come at any moment.
    if (changesFrom !== undefined && this.heirs.has(generation))
      violated(6, `"${generation}" began its changes anew when it was to be read already`);
    this.places.set(generation, ordinalOf(checkpoint));
  }

  /** A value was saved: it may end a generation of a view, or let its readers go over to another. */
  saved(name: string, value: string): void {
    if (name.startsWith('projection:')) {
      const generation = name.slice('projection:'.length);
      this.ended.add(generation);
      this.heirs.add(`${generation.slice(0, generation.lastIndexOf(':'))}:${value}`);
    }
    if (!name.startsWith('view:')) return;
    const view = name.slice('view:'.length);
    const from = this.read.get(view) ?? value;
    this.read.set(view, value);
    const before = this.places.get(`${view}:${from}`) ?? 0;
    const now = this.places.get(`${view}:${value}`) ?? 0;
    if (from !== value) this.ended.add(`${view}:${from}`);
    if (now < before) violated(7, `readers of "${view}" went over from place ${before} to place ${now}`);
  }

  /** As the store numbers it; undefined before any was kept. */
  generationRead(view: string): string | undefined {
    return this.read.get(view);
  }

  /** How often the owner row of this name was won. */
  ownersOf(name: string): number {
    return this.epochs.get(name) ?? 0;
  }

  has(draft: Draft): boolean {
    const { identity, content } = recordedOf(draft);
    return this.contents.get(identity)?.includes(content) === true;
  }

  /** What stood in the log before a position. */
  upTo(ordinal: number): readonly Draft[] {
    return this.log.slice(0, ordinal).map((entry) => entry.draft);
  }

  /** What was recorded up to the end of a millisecond, or up to the append of an id. */
  knownAt(known: number | string): readonly Draft[] {
    const seen = (entry: Entry): boolean =>
      typeof known === 'number' ? entry.processedAtMs <= known : bytes(timeOf(entry.processingId), timeOf(known)) <= 0;
    return this.log.filter(seen).map((entry) => entry.draft);
  }
}

/** A processing id as text that sorts by its time. */
function timeOf(id: string): string {
  const { ms, tick } = parseProcessingId(id);
  return `${String(ms).padStart(16, '0')}.${String(tick).padStart(4, '0')}`;
}

/** How many facts stand before a position. */
export function ordinalOf(position: string): number {
  return Number(position.slice('o1:'.length));
}
