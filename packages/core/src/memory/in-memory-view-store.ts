/** Views in memory. A commit is checked as a whole, then applied as a whole: nothing runs in between, so nobody sees a half. */
import { UnavailableError } from '../model/errors.js';
import { aggregateKeyText, type AggregateKey, type WireValue } from '../model/event.js';
import { compareText } from '../model/text.js';
import {
  ViewStore,
  type FindOptions,
  type IndexRange,
  type IndexedField,
  type IndexEntry,
  type StoredChange,
  type StoredContribution,
  type StoredRow,
  type ViewCommit,
  type ViewRef,
} from '../ports/view-store.js';
import { Bell } from '../ports/bell.js';
import { frozenCopy, frozenFields } from './frozen.js';
import { checkpointMoved } from '../ports/checkpoint-store.js';
import type { MemorySession } from './session.js';
import { SortedList } from './sorted-list.js';

/** Contributions, or indexes, of one page of a scan. */
const SCAN_PAGE = 1_000;

/** Everything of one version of one view. */
class ViewData {
  checkpoint: string | undefined;
  readonly rows = new Map<string, StoredRow>();
  readonly keys = new SortedList<string>(compareText);
  readonly contributions = new Map<string, { readonly aggregate: AggregateKey; value: WireValue }>();
  /** By row, then field. */
  readonly index = new Map<string, Map<string, SortedList<IndexEntry>>>();
  readonly notes = new SortedList<{ readonly key: string; readonly value: WireValue }>(byKey);
  changes: StoredChange[] = [];
  lastSequence = 0;

  constructor(
    readonly name: string,
    readonly version: number,
  ) {}
}

export class InMemoryViewStore extends ViewStore {
  private readonly views = new Map<string, ViewData>();
  private readonly bells = new Map<string, Bell>();

  constructor(
    private readonly session: MemorySession,
    /** Changes kept of one view at least; up to twice as many are held before the oldest go. */
    private readonly changesKept: number,
  ) {
    super();
    session.onClose(() => {
      for (const bell of this.bells.values()) bell.ring();
    });
  }

  async commit(commit: ViewCommit): Promise<void> {
    this.session.checkOpen();
    this.session.checkEpoch(commit.owner, commit.epoch);
    const id = idOf(commit.view);
    const found = this.views.get(id)?.checkpoint;
    if (found !== commit.expected) throw checkpointMoved(commit.view.name, commit.expected, found);
    let view = this.views.get(id);
    if (view === undefined) this.views.set(id, (view = new ViewData(commit.view.name, commit.view.version)));

    view.checkpoint = commit.checkpoint;
    for (const row of commit.rows) putRow(view, row);
    for (const { aggregate, value } of commit.contributions) {
      const key = keyText(aggregate);
      const kept = view.contributions.get(key);
      if (kept !== undefined) kept.value = frozenValue(value);
      else view.contributions.set(key, { aggregate: copyKey(aggregate), value: frozenValue(value) });
    }
    for (const aggregate of commit.forget) view.contributions.delete(keyText(aggregate));
    // Removals first: an entry that is removed and added in one commit stays.
    for (const entry of commit.indexRemove) removeEntry(view, entry);
    for (const entry of commit.indexAdd) addEntry(view, entry);
    for (const { key, value } of commit.notes) {
      if (value === null) view.notes.remove({ key, value });
      else view.notes.put(Object.freeze({ key, value: frozenCopy(value) }));
    }
    if (commit.changesFrom !== undefined) {
      view.changes = [];
      view.lastSequence = commit.changesFrom;
    }
    if (commit.changes.length > 0) {
      for (const change of commit.changes) {
        view.lastSequence += 1;
        view.changes.push(
          Object.freeze({
            key: change.key,
            revision: change.revision,
            retract: change.retract === null ? null : frozenFields(change.retract),
            assert: change.assert === null ? null : frozenFields(change.assert),
            cause: Object.freeze(change.cause.slice()),
            sequence: view.lastSequence,
          }),
        );
      }
      // Trimmed by halves, so that a change costs no move of all others.
      if (view.changes.length > 2 * this.changesKept) view.changes = view.changes.slice(-this.changesKept);
      this.bells.get(id)?.ring();
    }
  }

  async readCheckpoint(view: ViewRef): Promise<string | undefined> {
    return this.find(view)?.checkpoint;
  }

  async readContributions(
    view: ViewRef,
    aggregates: readonly AggregateKey[],
  ): Promise<readonly (WireValue | undefined)[]> {
    const data = this.find(view);
    return aggregates.map((aggregate) => data?.contributions.get(keyText(aggregate))?.value);
  }

  async *scanContributions(view: ViewRef): AsyncGenerator<readonly StoredContribution[]> {
    const all = [...(this.find(view)?.contributions.values() ?? [])].sort(byAggregate);
    for (let i = 0; i < all.length; i += SCAN_PAGE) {
      this.session.checkOpen();
      yield all.slice(i, i + SCAN_PAGE).map(({ aggregate, value }) => ({ aggregate, value }));
    }
  }

  async readRows(view: ViewRef, keys: readonly string[]): Promise<readonly (StoredRow | undefined)[]> {
    const data = this.find(view);
    return keys.map((key) => data?.rows.get(key));
  }

  async findRows(view: ViewRef, options: FindOptions): Promise<readonly StoredRow[]> {
    const data = this.find(view);
    if (data === undefined) return [];
    const { prefix = '', from, to, limit } = options;
    const below = (key: string): boolean => {
      if (compareText(key, prefix) < 0) return true;
      if (from === undefined) return false;
      const order = compareText(key, from);
      return order < 0 || (order === 0 && options.fromExclusive === true);
    };
    const above = (key: string): boolean => {
      if (!key.startsWith(prefix) && compareText(key, prefix) > 0) return true;
      if (to === undefined) return false;
      const order = compareText(key, to);
      return order > 0 || (order === 0 && options.toExclusive === true);
    };
    const descending = options.descending === true;
    const keys = descending ? data.keys.backFrom((key) => !above(key)) : data.keys.from(below);
    const rows: StoredRow[] = [];
    for (const key of keys) {
      if (rows.length >= limit || (descending ? below(key) : above(key))) break;
      const row = data.rows.get(key)!;
      if (row.contributors > 0 || options.removed === true) rows.push(row);
    }
    return rows;
  }

  async readIndex(view: ViewRef, row: string, field: string, options: IndexRange): Promise<readonly IndexEntry[]> {
    const list = this.find(view)?.index.get(row)?.get(field);
    if (list === undefined) return [];
    const { prefix = '', after, limit } = options;
    const entries: IndexEntry[] = [];
    const walk =
      options.descending === true
        ? list.backFrom(({ order }) =>
            after === undefined
              ? order.startsWith(prefix) || compareText(order, prefix) < 0
              : compareText(order, after) < 0,
          )
        : list.from(({ order }) =>
            after === undefined ? compareText(order, prefix) < 0 : compareText(order, after) <= 0,
          );
    for (const entry of walk) {
      if (entries.length >= limit) break;
      if (entry.order.startsWith(prefix)) entries.push(entry);
      else if (
        options.descending === true ? compareText(entry.order, prefix) < 0 : compareText(entry.order, prefix) > 0
      )
        break;
    }
    return entries;
  }

  async *scanIndexes(view: ViewRef): AsyncGenerator<readonly IndexedField[]> {
    const all: IndexedField[] = [];
    for (const [row, fields] of this.find(view)?.index ?? [])
      for (const field of fields.keys()) all.push({ row, field });
    all.sort((a, b) => compareText(a.row, b.row) || compareText(a.field, b.field));
    for (let i = 0; i < all.length; i += SCAN_PAGE) {
      this.session.checkOpen();
      yield all.slice(i, i + SCAN_PAGE);
    }
  }

  async readChanges(view: ViewRef, after: number, limit: number): Promise<readonly StoredChange[]> {
    const data = this.find(view);
    if (data === undefined) return [];
    const trimmed = data.lastSequence - data.changes.length;
    if (after < trimmed) {
      throw new UnavailableError(
        'CHANGES_TRIMMED',
        `Changes ${after + 1} to ${trimmed} of the view "${view.name}" are no longer kept.`,
        {
          fix: `Read the view’s rows anew and follow its changes from ${data.lastSequence}.`,
          details: { after, trimmed },
        },
      );
    }
    return data.changes.slice(after - trimmed, after - trimmed + limit);
  }

  async lastChange(view: ViewRef): Promise<number> {
    return this.find(view)?.lastSequence ?? 0;
  }

  async waitForChange(view: ViewRef, after: number, signal: AbortSignal): Promise<void> {
    const id = idOf(view);
    if (!this.session.isOpen || (this.views.get(id)?.lastSequence ?? 0) > after) return;
    let bell = this.bells.get(id);
    if (bell === undefined) this.bells.set(id, (bell = new Bell()));
    await bell.wait(signal);
  }

  async readNotes(view: ViewRef, prefix: string): Promise<readonly { key: string; value: WireValue }[]> {
    const data = this.find(view);
    if (data === undefined) return [];
    const notes: { key: string; value: WireValue }[] = [];
    for (const note of data.notes.from(({ key }) => compareText(key, prefix) < 0)) {
      if (!note.key.startsWith(prefix)) break;
      notes.push(note);
    }
    return notes;
  }

  async versions(name: string): Promise<readonly number[]> {
    this.session.checkOpen();
    const versions = new Set<number>();
    for (const view of this.views.values()) if (view.name === name) versions.add(view.version);
    return [...versions].sort((a, b) => a - b);
  }

  async drop(view: ViewRef): Promise<void> {
    this.session.checkOpen();
    this.views.delete(idOf(view));
  }

  private find(view: ViewRef): ViewData | undefined {
    this.session.checkOpen();
    return this.views.get(idOf(view));
  }
}

/** Most contributions are one flat array: its copy is one step. */
function frozenValue(value: WireValue): WireValue {
  if (!Array.isArray(value)) return frozenCopy(value);
  const copy = value.slice() as WireValue[];
  for (let i = 0; i < copy.length; i++) {
    const one = copy[i]!;
    if (typeof one === 'object') copy[i] = frozenCopy(one);
  }
  return Object.freeze(copy);
}

function idOf(view: ViewRef): string {
  return `${view.name}\u0000${view.version}\u0000${view.slice}`;
}

function keyText(key: AggregateKey): string {
  return aggregateKeyText(key.tenant, key.type, key.id);
}

function copyKey(key: AggregateKey): AggregateKey {
  return Object.freeze({ tenant: key.tenant, type: key.type, id: key.id });
}

function byKey(a: { readonly key: string }, b: { readonly key: string }): number {
  return compareText(a.key, b.key);
}

function byOrder(a: IndexEntry, b: IndexEntry): number {
  return compareText(a.order, b.order);
}

function byAggregate({ aggregate: a }: StoredContribution, { aggregate: b }: StoredContribution): number {
  return compareText(a.tenant, b.tenant) || compareText(a.type, b.type) || compareText(a.id, b.id);
}

function putRow(view: ViewData, row: StoredRow): void {
  if (!view.rows.has(row.key)) view.keys.put(row.key);
  view.rows.set(
    row.key,
    Object.freeze({
      key: row.key,
      revision: row.revision,
      contributors: row.contributors,
      fields: frozenFields(row.fields),
      ...(row.through === undefined ? {} : { through: row.through }),
      ...(row.ahead === undefined ? {} : { ahead: frozenCopy(row.ahead) as StoredRow['ahead'] & {} }),
    }),
  );
}

function addEntry(view: ViewData, entry: IndexEntry): void {
  let fields = view.index.get(entry.row);
  if (fields === undefined) view.index.set(entry.row, (fields = new Map()));
  let list = fields.get(entry.field);
  if (list === undefined) fields.set(entry.field, (list = new SortedList(byOrder)));
  list.put(Object.freeze({ row: entry.row, field: entry.field, order: entry.order, value: frozenCopy(entry.value) }));
}

function removeEntry(view: ViewData, entry: IndexEntry): void {
  const fields = view.index.get(entry.row);
  const list = fields?.get(entry.field);
  if (fields === undefined || list === undefined) return;
  list.remove(entry);
  if (!list.isEmpty) return;
  fields.delete(entry.field);
  if (fields.size === 0) view.index.delete(entry.row);
}
