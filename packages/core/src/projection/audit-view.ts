/**
 * Compares a view with what it should be: each stored contribution with the one folded anew from the history, and each row
 * and index with the merge of all contributions. What looks wrong while the view moves is judged again where it stands still:
 * in the process that runs it the projection rests meanwhile; elsewhere it counts if the checkpoint did not move. Over 400
 * lines, and one subject: each way of looking at a view needs the others to judge and to mend.
 */
import { canonicalJson } from '../model/canonical-json.js';
import { aggregateKeyText, type AggregateKey, type WireValue } from '../model/event.js';
import type { ChangeRecord, Fields, IndexEntry, StoredContribution, StoredRow, ViewRef } from '../ports/view-store.js';
import { Findings, shortText, type AuditFinding, type AuditProgress, type ViewAuditCounts } from './audit-report.js';
import { AHEAD_MAX, AHEAD_MS, reachAt, RowAhead, rowReaching, sameAhead, type Reach } from './ahead.js';
import {
  decodeContribution,
  encodeContribution,
  NOTHING,
  RowPlaces,
  sameContribution,
  type Contribution,
} from './contribution.js';
import { currentView, generationOf, ownerNameOf } from './generations.js';
import { foldContribution } from './parked.js';
import type { ProjectionModel } from './projection.js';
import type { RebuildParts, Turns } from './rebuild.js';
import { entryText, MergedRow } from './row-merge.js';
import { isWanted } from './shares.js';
import { placeOf, SetSum } from './tally-hash.js';
import type { Touched } from './touched.js';
import { PARKED, Track, type ParkedAggregate } from './track.js';

export interface ViewAuditOptions {
  readonly mend: boolean;
  readonly sample: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: AuditProgress) => void;
  /** Holds the projection still, where this process runs it; else undefined. */
  readonly still: <T>(work: (track: Track) => Promise<T>) => Promise<T | undefined>;
  /** Has the view built anew. */
  readonly rebuild: () => Promise<unknown>;
}

/** Aggregates read at once, and rows of one pass, some 500 bytes each. */
const AT_ONCE = 200;
const PASS_ROWS = 50_000;
const PAGE = 1_000;
/** Beyond it the view is too wrong to be mended row by row: it is built anew. */
const MENDED_MAX = 10_000;
const SUSPECTS_MAX = 10_000;
/** Looks at a view that moves before a difference is left unjudged. */
const TRIES = 5;

interface Suspects {
  readonly aggregates: Map<string, AggregateKey>;
  readonly rows: Set<string>;
  /** By row: fields with index entries that have no index. */
  readonly fields: Map<string, Set<string>>;
  /** By row: aggregates that reach far ahead in it, and are not known there. */
  readonly ahead: Map<string, AggregateKey[]>;
}

/** What an aggregate should add, undefined where it throws, and how far it reaches with that. */
interface Expected {
  readonly contribution: Contribution | undefined;
  readonly reach: Reach | undefined;
}

const textOf = ({ tenant, type, id }: AggregateKey): string => aggregateKeyText(tenant, type, id);

/** The aggregate of a key text; undefined for what is none. */
function keyOf(text: unknown): AggregateKey | undefined {
  const parts = typeof text === 'string' ? text.split('\u0000') : [];
  const [tenant, type, id] = parts;
  return parts.length === 3 ? { tenant: tenant!, type: type!, id: id! } : undefined;
}

/** A stored contribution as the engine would read it; what it could not read is as good as wrong. */
function decoded(value: WireValue | undefined, width: number): Contribution | undefined {
  if (value === undefined) return NOTHING;
  if (!Array.isArray(value)) return undefined;
  try {
    return decodeContribution(value, width);
  } catch {
    return undefined;
  }
}

function shownRow(contributors: number, fields: Fields, ahead: StoredRow['ahead']): WireValue {
  return { contributors, fields, ...(ahead === undefined ? {} : { ahead }) };
}

class ViewAuditor {
  private readonly width: number;
  /** Names of the fields that have an index. */
  private readonly indexed: readonly string[];

  constructor(
    private readonly parts: RebuildParts,
    readonly model: ProjectionModel,
    readonly ref: ViewRef,
    private readonly turns: Turns,
    private readonly options: ViewAuditOptions,
  ) {
    this.width = model.fields.length;
    this.indexed = model.fields.filter(({ additive }) => !additive).map(({ name }) => name);
  }

  /** A track that folds and reads, and writes nothing. */
  private reader(checkpoint: string): Track {
    const generation = generationOf(this.ref.version);
    const owner = { name: ownerNameOf(this.model.name, generation), owner: '', epoch: -1, beat: 0 };
    const { views, feed } = this.parts;
    return new Track(this.model, views, owner, checkpoint, feed.parsePosition(checkpoint), generation);
  }

  async parked(): Promise<ReadonlySet<string>> {
    const notes = await this.parts.views.readNotes(this.ref, PARKED);
    return new Set(notes.map(({ value }) => textOf((value as unknown as ParkedAggregate).aggregate)));
  }

  /** What each aggregate should add where the track stands; undefined where it is thrown. */
  private async expectedOf(track: Track, keys: readonly AggregateKey[]): Promise<Expected[]> {
    const parked = await this.parked();
    const expected: Expected[] = [];
    for (const key of keys) {
      const one: Touched = { text: textOf(key), key, facts: [] };
      if (parked.has(one.text) || !isWanted(this.model, key)) {
        expected.push({ contribution: NOTHING, reach: undefined });
      } else {
        const { computed, reach } = await foldContribution(this.parts, track, one, track.position);
        expected.push({ contribution: computed instanceof Error ? undefined : computed, reach });
      }
      const rest = this.turns.next();
      if (rest !== undefined) await rest;
    }
    return expected;
  }

  /** Those whose stored contribution is not what their history comes to, as far as this view stands still. */
  async differing(keys: readonly AggregateKey[], suspects: Suspects): Promise<AggregateKey[]> {
    const checkpoint = await this.parts.views.readCheckpoint(this.ref);
    if (checkpoint === undefined) return [];
    const stored = await this.parts.views.readContributions(this.ref, keys);
    const expected = await this.expectedOf(this.reader(checkpoint), keys);
    for (let i = 0; i < keys.length; i++) await this.noteAhead(keys[i]!, expected[i]!, suspects);
    return keys.filter((_, i) => {
      const found = decoded(stored[i], this.width);
      const { contribution } = expected[i]!;
      // What throws now and is not parked: a difference, too.
      return found === undefined || contribution === undefined || !sameContribution(found, contribution, this.width);
    });
  }

  /** Rows that do not know of an aggregate that it reaches far ahead in them. */
  private async noteAhead(key: AggregateKey, { contribution, reach }: Expected, suspects: Suspects): Promise<void> {
    if (contribution === undefined || reach === undefined) return;
    const near = this.parts.clock.now() + AHEAD_MS;
    const reached = new Map<string, number>();
    for (let at = 1; at < contribution.length; at += this.width + 1) {
      const one = reachAt(reach, at, this.width);
      if (one !== undefined && one > near) reached.set(contribution[at] as string, one);
    }
    if (reached.size === 0) return;
    const text = textOf(key);
    for (const row of await this.parts.views.readRows(this.ref, [...reached.keys()])) {
      if (row === undefined || row.contributors === 0 || suspects.rows.size >= SUSPECTS_MAX) continue;
      const known = row.ahead?.find(([aggregate]) => aggregate === text)?.[1] ?? Number.NEGATIVE_INFINITY;
      if (Math.max(row.through ?? known, known) >= reached.get(row.key)!) continue;
      suspects.rows.add(row.key);
      const all = suspects.ahead.get(row.key);
      if (all === undefined) suspects.ahead.set(row.key, [key]);
      else if (all.length <= AHEAD_MAX) all.push(key);
    }
  }

  /** What of a row reaches far ahead where the track stands: of what it says itself, and of others that were found to. */
  private async aheadOf(track: Track, row: StoredRow, others: readonly AggregateKey[] = []): Promise<StoredRow> {
    const keys = new Map(others.map((key) => [textOf(key), key]));
    for (const [text] of row.ahead ?? []) {
      const key = keyOf(text);
      if (key !== undefined) keys.set(text, key);
    }
    const right = new RowAhead(undefined);
    const expected = await this.expectedOf(track, [...keys.values()]);
    for (const [i, text] of [...keys.keys()].entries()) {
      const { contribution = NOTHING, reach } = expected[i]!;
      const at = new RowPlaces(contribution, this.width).of(row.key, 1);
      if (at !== -1) right.take(text, reachAt(reach, at, this.width), true, Number.NEGATIVE_INFINITY);
    }
    const { through, ahead } = right.kept(row.through ?? Number.NEGATIVE_INFINITY);
    return rowReaching(row, through, ahead);
  }

  /** All contributions, and those that only the view has. */
  async contributions(suspects: Suspects): Promise<number> {
    const { store, views } = this.parts;
    const { signal, sample, seed } = this.options;
    const isOurs = (key: AggregateKey): boolean => sample >= 1 || placeOf(textOf(key), seed) < sample;
    let done = 0;
    let after: AggregateKey | undefined;
    const note = async (keys: readonly AggregateKey[]): Promise<void> => {
      for (let at = 0; at < keys.length && !signal.aborted; at += AT_ONCE) {
        for (const key of await this.differing(keys.slice(at, at + AT_ONCE), suspects)) {
          if (suspects.aggregates.size < SUSPECTS_MAX) suspects.aggregates.set(textOf(key), key);
        }
      }
    };
    while (!signal.aborted) {
      const keys = await store.scanAggregates(after, PAGE);
      const ours = keys.filter((key) => isWanted(this.model, key) && isOurs(key));
      await note(ours);
      done += ours.length;
      this.options.onProgress({ part: 'contributions', view: this.model.name, done });
      if (keys.length < PAGE) break;
      after = keys.at(-1)!;
    }
    for await (const page of views.scanContributions(this.ref)) {
      if (signal.aborted) break;
      const orphans: AggregateKey[] = [];
      for (const { aggregate } of page) {
        if (isOurs(aggregate) && !(await this.hasHistory(aggregate))) orphans.push(aggregate);
      }
      await note(orphans);
    }
    return done;
  }

  private async hasHistory(key: AggregateKey): Promise<boolean> {
    for await (const page of this.parts.store.read(key, { pageSize: 1 })) return page.length > 0;
    return false;
  }

  /** All rows and their indexes beside the merge of the contributions, a part of the keys at a time. */
  async rows(suspects: Suspects): Promise<number> {
    const { signal } = this.options;
    let done = 0;
    for (let parts = 1, part = 0; part < parts && !signal.aborted;) {
      const isOurs = (key: string): boolean => Math.floor(placeOf(key, 1) * parts) === part;
      const merged = await this.merged(isOurs, PASS_ROWS, false, undefined);
      if (merged === undefined) {
        parts *= 2;
        part = 0;
        done = 0;
        continue;
      }
      done += await this.compareRows(merged, isOurs, suspects);
      part++;
    }
    if (!signal.aborted) await this.strangeIndexes(suspects);
    return done;
  }

  /** Index entries that no row leads to: of a row that was never stored, of a field without an index. */
  private async strangeIndexes(suspects: Suspects): Promise<void> {
    const { views } = this.parts;
    for await (const page of views.scanIndexes(this.ref)) {
      if (this.options.signal.aborted) return;
      const keys = [...new Set(page.map(({ row }) => row))];
      const stored = await views.readRows(this.ref, keys);
      const never = new Set(keys.filter((_, i) => stored[i] === undefined));
      for (const { row, field } of page) {
        const isField = this.indexed.includes(field);
        if (suspects.rows.size >= SUSPECTS_MAX) return;
        if (never.has(row) || !isField) suspects.rows.add(row);
        if (isField) continue;
        const fields = suspects.fields.get(row);
        if (fields === undefined) suspects.fields.set(row, new Set([field]));
        else fields.add(field);
      }
      const rest = this.turns.next();
      if (rest !== undefined) await rest;
    }
  }

  /** The merge of the rows that are asked for; undefined when there are more than `max` of them. */
  private async merged(
    wants: (row: string) => boolean,
    max: number,
    exact: boolean,
    instead: ReadonlyMap<string, Contribution> | undefined,
  ): Promise<Map<string, MergedRow> | undefined> {
    const merged = new Map<string, MergedRow>();
    let entries = 0;
    const take = (contribution: Contribution): boolean => {
      for (let at = 1; at < contribution.length; at += this.width + 1) {
        const key = contribution[at] as string;
        if (typeof key !== 'string' || !wants(key)) continue;
        let row = merged.get(key);
        if (row === undefined) merged.set(key, (row = new MergedRow(this.model.fields, exact)));
        entries += row.add(contribution, at);
        if (merged.size > max || (exact && entries > PASS_ROWS * 4)) return false;
      }
      return true;
    };
    for await (const page of this.parts.views.scanContributions(this.ref)) {
      if (this.options.signal.aborted) break;
      for (const { aggregate, value } of page) {
        if (instead?.has(textOf(aggregate)) === true) continue;
        if (!take(decoded(value, this.width) ?? NOTHING)) return undefined;
      }
      const rest = this.turns.next();
      if (rest !== undefined) await rest;
    }
    for (const contribution of instead?.values() ?? []) if (!take(contribution)) return undefined;
    return merged;
  }

  private async compareRows(
    merged: Map<string, MergedRow>,
    isOurs: (key: string) => boolean,
    suspects: Suspects,
  ): Promise<number> {
    const { views } = this.parts;
    const checkpoint = await views.readCheckpoint(this.ref);
    if (checkpoint === undefined) return 0;
    const reader = this.reader(checkpoint);
    let done = 0;
    let from: string | undefined;
    const suspect = (key: string): void => {
      if (suspects.rows.size < SUSPECTS_MAX) suspects.rows.add(key);
    };
    while (!this.options.signal.aborted) {
      const range = from === undefined ? {} : { from, fromExclusive: true };
      const page = await views.findRows(this.ref, { ...range, limit: PAGE, removed: true });
      for (const row of page) {
        if (!isOurs(row.key)) continue;
        done++;
        const right = merged.get(row.key);
        if (!this.isRight(row, right) || !(await this.indexIsRight(row.key, right))) suspect(row.key);
        else if (row.ahead !== undefined && !sameAhead(row.ahead, (await this.aheadOf(reader, row)).ahead)) {
          suspect(row.key);
        }
        merged.delete(row.key);
      }
      this.options.onProgress({ part: 'rows', view: this.model.name, done });
      const rest = this.turns.next();
      if (rest !== undefined) await rest;
      if (page.length < PAGE) break;
      from = page.at(-1)!.key;
    }
    if (!this.options.signal.aborted) for (const key of merged.keys()) suspect(key);
    return done;
  }

  private isRight(row: StoredRow | undefined, right: MergedRow | undefined): boolean {
    if (row === undefined || row.contributors === 0) return right === undefined;
    if (right === undefined || right.contributors !== row.contributors) return false;
    return canonicalJson(row.fields) === canonicalJson(right.values);
  }

  private async *indexOf(row: string, field: string): AsyncGenerator<readonly IndexEntry[]> {
    let after: string | undefined;
    for (;;) {
      const options = { limit: PAGE, ...(after === undefined ? {} : { after }) };
      const page = await this.parts.views.readIndex(this.ref, row, field, options);
      if (page.length > 0) yield page;
      if (page.length < PAGE) return;
      after = page.at(-1)!.order;
    }
  }

  private async indexIsRight(key: string, right: MergedRow | undefined): Promise<boolean> {
    for (let f = 0; f < this.width; f++) {
      const field = this.model.fields[f]!;
      if (field.additive) continue;
      const stored = new SetSum();
      for await (const page of this.indexOf(key, field.name)) {
        for (const { order, value } of page) stored.add(entryText(order, value));
      }
      if (!stored.equals(right?.entries(f))) return false;
    }
    return true;
  }

  /**
   * Judges what looked wrong; with a track that is held still, and `mend`, puts it right in one commit that also tells the change.
   * @returns undefined when the view moved
   */
  async judge(suspects: Suspects, track: Track | undefined): Promise<readonly AuditFinding[] | undefined> {
    const { views } = this.parts;
    const checkpoint = await views.readCheckpoint(this.ref);
    if (checkpoint === undefined) return [];
    const reader = track ?? this.reader(checkpoint);
    const findings: AuditFinding[] = [];
    const view = this.model.name;
    const right = new Map<string, Contribution>();
    const affected = new Set(suspects.rows);
    const contributions: StoredContribution[] = [];
    const forget: AggregateKey[] = [];
    const keys = [...suspects.aggregates.values()];
    for (let at = 0; at < keys.length && !this.options.signal.aborted; at += AT_ONCE) {
      const some = keys.slice(at, at + AT_ONCE);
      const stored = await views.readContributions(this.ref, some);
      const expected = await this.expectedOf(reader, some);
      for (let i = 0; i < some.length; i++) {
        const found = decoded(stored[i], this.width);
        const { contribution } = expected[i]!;
        const should = contribution ?? NOTHING;
        if (found !== undefined && contribution !== undefined && sameContribution(found, should, this.width)) continue;
        const key = some[i]!;
        right.set(textOf(key), should);
        for (const rows of [found ?? NOTHING, should]) {
          for (let row = 1; row < rows.length; row += this.width + 1) affected.add(rows[row] as string);
        }
        if (should.length === 0) forget.push(key);
        else contributions.push({ aggregate: key, value: encodeContribution(should) });
        findings.push({
          kind: (await this.hasHistory(key)) ? 'contribution' : 'orphan-contribution',
          view,
          aggregate: key,
          found: shortText(stored[i] ?? 'nothing'),
          expected: contribution === undefined ? 'it throws, and is not parked' : shortText(should),
          mended: 'no',
        });
      }
    }
    const merged = await this.merged((key) => affected.has(key), MENDED_MAX, true, right);
    const rows: StoredRow[] = [];
    const changes: ChangeRecord[] = [];
    const indexAdd: IndexEntry[] = [];
    const indexRemove: IndexEntry[] = [];
    let mendable = merged !== undefined;
    for (const key of merged === undefined ? [] : affected) {
      if (this.options.signal.aborted) return undefined;
      const [row] = await views.readRows(this.ref, [key]);
      const should = merged!.get(key);
      const entries = await this.indexDifference(key, should, suspects.fields.get(key));
      const live = row !== undefined && row.contributors > 0;
      const reaching =
        row === undefined || should === undefined ? row : await this.aheadOf(reader, row, suspects.ahead.get(key));
      if (!this.isRight(row, should) || !sameAhead(row?.ahead, reaching?.ahead)) {
        const made = should?.values ?? new MergedRow(this.model.fields, false).values;
        const revision = (row?.revision ?? 0) + 1;
        const same = live && should !== undefined && canonicalJson(row.fields) === canonicalJson(made);
        const mended = {
          key,
          revision: same ? row.revision : revision,
          contributors: should?.contributors ?? 0,
          fields: made,
        };
        const ahead = should === undefined ? undefined : reaching?.ahead;
        rows.push(rowReaching(mended, reaching?.through ?? Number.NEGATIVE_INFINITY, ahead));
        const retract = live ? row.fields : null;
        const assert = should === undefined ? null : made;
        if (!same) changes.push({ key, revision, retract, assert, cause: [] });
        findings.push({
          kind: should === undefined ? 'orphan-row' : live ? 'row' : 'missing-row',
          view,
          row: key,
          found: live ? shortText(shownRow(row.contributors, row.fields, row.ahead)) : 'nothing',
          expected: should === undefined ? 'nothing' : shortText(shownRow(should.contributors, made, ahead)),
          mended: 'no',
        });
      }
      if (entries.add.length + entries.remove.length > 0) {
        findings.push({
          kind: 'index',
          view,
          row: key,
          found: `${entries.remove.length} entries too many`,
          expected: `${entries.add.length} entries more`,
          mended: 'no',
        });
        indexAdd.push(...entries.add);
        indexRemove.push(...entries.remove);
      }
    }
    mendable &&= findings.length < MENDED_MAX && !findings.some(({ expected }) => expected.startsWith('it throws'));
    if ((await views.readCheckpoint(this.ref)) !== checkpoint || this.options.signal.aborted) return undefined;
    if (merged === undefined) {
      const found = `more than ${MENDED_MAX} rows`;
      findings.push({ kind: 'row', view, found, expected: 'the merge of the contributions', mended: 'no' });
    }
    if (findings.length === 0 || !this.options.mend) return findings;
    if (track === undefined || !mendable) {
      await this.options.rebuild();
      return findings.map((one) => ({ ...one, mended: 'rebuild' }));
    }
    await track.put({ rows, changes, contributions, forget, indexAdd, indexRemove });
    return findings.map((one) => ({ ...one, mended: 'commit' }));
  }

  private async indexDifference(
    key: string,
    should: MergedRow | undefined,
    strange: ReadonlySet<string> | undefined,
  ): Promise<{ readonly add: IndexEntry[]; readonly remove: IndexEntry[] }> {
    const add: IndexEntry[] = [];
    const remove: IndexEntry[] = [];
    for (const field of strange ?? []) for await (const page of this.indexOf(key, field)) remove.push(...page);
    for (let f = 0; f < this.width; f++) {
      const field = this.model.fields[f]!;
      if (field.additive) continue;
      const left = new Map(should?.all(f));
      for await (const page of this.indexOf(key, field.name)) {
        for (const entry of page) {
          const value = left.get(entry.order);
          if (value !== undefined && entryText(entry.order, value) === entryText(entry.order, entry.value)) {
            left.delete(entry.order);
          } else if (value === undefined) remove.push(entry);
        }
      }
      for (const [order, value] of left) add.push({ row: key, field: field.name, order, value });
    }
    return { add, remove };
  }
}

export async function auditView(
  parts: RebuildParts,
  model: ProjectionModel,
  options: ViewAuditOptions,
  turns: Turns,
  findings: Findings,
  /** Only these aggregates, and no rows that only others contribute to: a small step of a continuous audit. */
  only?: readonly AggregateKey[],
): Promise<ViewAuditCounts> {
  const ref = await currentView(parts.checkpoints, model.name, model.version);
  const counts = { view: model.name, position: undefined, aggregates: 0, rows: 0, unjudged: 0 };
  // Nobody here has the code that made it: it is being built anew.
  if (generationOf(ref.version).version !== model.version) return counts;
  const auditor = new ViewAuditor(parts, model, ref, turns, options);
  const suspects: Suspects = { aggregates: new Map(), rows: new Set(), fields: new Map(), ahead: new Map() };
  let aggregates = 0;
  let rows = 0;
  if (only === undefined) {
    aggregates = await auditor.contributions(suspects);
    if (!options.signal.aborted) rows = await auditor.rows(suspects);
  } else {
    const wanted = only.filter((key) => isWanted(model, key));
    aggregates = wanted.length;
    for (const key of await auditor.differing(wanted, suspects)) suspects.aggregates.set(textOf(key), key);
  }
  let unjudged = 0;
  if (suspects.aggregates.size + suspects.rows.size > 0 && !options.signal.aborted) {
    let judged = await options.still((track) =>
      track.view.version === ref.version ? auditor.judge(suspects, track) : Promise.resolve(undefined),
    );
    for (let n = 0; judged === undefined && n < TRIES && !options.signal.aborted; n++) {
      judged = await auditor.judge(suspects, undefined);
    }
    if (judged === undefined) unjudged = suspects.aggregates.size + suspects.rows.size;
    for (const one of judged ?? []) findings.add(one);
  }
  return { ...counts, position: await parts.views.readCheckpoint(ref), aggregates, rows, unjudged };
}
