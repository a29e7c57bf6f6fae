/**
 * Views on Cassandra: a commit of any size is made true by one condition on the view's head (`view-head.ts`), in the partition
 * of the owner row whose epoch it carries. Every read takes the head first and sees what that head counts, wholly.
 */
import { compareText, ConflictError, UnavailableError, unpackRow, ViewStore } from '@concursus/core';
import type {
  AggregateKey,
  FindOptions,
  IndexRange,
  IndexEntry,
  IndexedField,
  PackedRow,
  StoredChange,
  StoredContribution,
  StoredRow,
  ViewCommit,
  ViewRef,
  WireValue,
} from '@concursus/core';
import { noteOf } from './note-places.js';
import { Lanes } from './lanes.js';
import { keepLayout } from './layout.js';
import type { Session } from './session.js';
import { readChanges } from './view-changes.js';
import { dropView } from './view-drop.js';
import { idOf, ViewHeads, type Head } from './view-head.js';
import {
  above,
  aggregateOf,
  contributionParts,
  contributionPlace,
  fieldOf,
  fieldPlace,
  indexParts,
  justAbove,
  NOTES,
  ROW_PARTS,
  rowParts,
  rowPlace,
  VIEW_LAYOUT,
  type Place,
} from './view-keys.js';
import { merged, Overtaken, recordKey, ViewRecords, type Picked, type Range } from './view-records.js';
import { HEAD_AGE_MAX_MS, ViewWriter } from './view-writer.js';
import { Watch } from './watch.js';

/** Contributions of one page of a scan, and of one read of it; the parts are read side by side. */
const SCAN_PAGE = 1_000;
const SCAN_READ = 128;
/** Records of one read of a range, at most and at least: some of them were removed, or are not committed. */
const READ_MAX = 1_000;
const READ_MIN = 16;
/** Reads of one call: each is begun because four commits wrote one of its records meanwhile. */
const TRIES = 10;
/** Views that this process commits or waits for, at most, of which it remembers what saves work. */
const VIEWS_AT_HAND = 1_000;

const parse = <T>(text: string): T => JSON.parse(text) as T;
const byKey = (a: Picked, b: Picked): number => compareText(a.key, b.key);
const byKeyDown = (a: Picked, b: Picked): number => compareText(b.key, a.key);

export class CassandraViewStore extends ViewStore {
  private readonly heads: ViewHeads;
  private readonly records: ViewRecords;
  /** One commit or drop of a view at a time. */
  private readonly lanes = new Lanes();
  private readonly writers = new Map<string, ViewWriter>();
  private readonly watches = new Map<string, Watch>();

  constructor(
    private readonly session: Session,
    private readonly changesKept: number,
  ) {
    super();
    this.heads = new ViewHeads(session);
    this.records = new ViewRecords(session);
    session.onClose(() => {
      for (const watch of this.watches.values()) watch.end();
    });
  }

  /** @throws ConfigurationError `SCHEMA_MISMATCH` when views were spread otherwise than this version does */
  verifyLayout(): Promise<void> {
    return keepLayout(this.session, 'views', VIEW_LAYOUT);
  }

  async commit(commit: ViewCommit): Promise<void> {
    this.session.checkOpen();
    const id = idOf(commit.view);
    const head = await this.lanes.run(id, async () => {
      const bound = await this.heads.bind(commit.view, commit.owner);
      if (bound !== commit.owner) throw boundElsewhere(commit, bound);
      return this.writerOf(id).commit(commit);
    });
    if (commit.changes.length > 0) this.watches.get(id)?.changed(head.state.lastChange);
  }

  private writerOf(id: string): ViewWriter {
    let writer = this.writers.get(id);
    if (writer === undefined) {
      writer = new ViewWriter(this.session, this.heads, this.records, this.changesKept);
      // It only saves work: whoever is forgotten reads again.
      if (this.writers.size >= VIEWS_AT_HAND) this.writers.delete(this.writers.keys().next().value!);
      this.writers.set(id, writer);
    }
    return writer;
  }

  /**
   * What `read` answers of one head; `nothing` of a view that was never committed.
   * @throws UnavailableError `TIMEOUT` when commits overtook it again and again
   */
  private async at<T>(view: ViewRef, nothing: T, read: (head: Head) => Promise<T>): Promise<T> {
    const { real } = this.session;
    for (let tries = 0; tries < TRIES; tries++) {
      const startMs = real.monotonicMs();
      const head = await this.heads.read(view);
      if (head === undefined) return nothing;
      try {
        const answer = await read(head);
        // What was removed is swept some time after: an old head would miss it.
        if (real.monotonicMs() - startMs < HEAD_AGE_MAX_MS) return answer;
      } catch (error) {
        if (!(error instanceof Overtaken)) throw error;
      }
    }
    throw overtakenError(view);
  }

  async readCheckpoint(view: ViewRef): Promise<string | undefined> {
    return (await this.heads.read(view))?.state.checkpoint ?? undefined;
  }

  /** The texts of records, in the order of their places. */
  private readPlaces(view: ViewRef, places: readonly Place[]): Promise<readonly (string | undefined)[]> {
    return this.at<readonly (string | undefined)[]>(
      view,
      places.map(() => undefined),
      async (head) => {
        const found = await this.records.read(head, places);
        this.writers.get(idOf(view))?.seen(head, places, found);
        return places.map((place) => found.get(recordKey(place))?.text);
      },
    );
  }

  async readContributions(
    view: ViewRef,
    aggregates: readonly AggregateKey[],
  ): Promise<readonly (WireValue | undefined)[]> {
    const { context } = this.session;
    const texts = await this.readPlaces(
      view,
      aggregates.map((aggregate) => contributionPlace(context, aggregate)),
    );
    return texts.map((text) => (text === undefined ? undefined : parse<WireValue>(text)));
  }

  async *scanContributions(view: ViewRef): AsyncGenerator<readonly StoredContribution[]> {
    let page: StoredContribution[] = [];
    for await (const { key, text } of this.scan(view, contributionParts)) {
      page.push({ aggregate: aggregateOf(key), value: parse<WireValue>(text) });
      if (page.length < SCAN_PAGE) continue;
      this.session.checkOpen();
      yield page;
      page = [];
    }
    if (page.length > 0) yield page;
  }

  async *scanIndexes(view: ViewRef): AsyncGenerator<readonly IndexedField[]> {
    let page: IndexedField[] = [];
    let last = '';
    for await (const { key, head } of this.scan(view, indexParts)) {
      if (last !== '' && key.startsWith(last)) continue;
      const { row, field, base } = fieldOf(key);
      // What stands below the floor was removed, whatever its records say.
      const floor = head.floorOf(base);
      if (floor !== undefined && compareText(key, floor) < 0) continue;
      last = base;
      page.push({ row, field });
      if (page.length < SCAN_PAGE) continue;
      this.session.checkOpen();
      yield page;
      page = [];
    }
    if (page.length > 0) yield page;
  }

  /** What some parts hold, in key order over all of them, each record as a head has it that is not older than the read. */
  private async *scan(
    view: ViewRef,
    parts: readonly string[],
  ): AsyncGenerator<{ readonly key: string; readonly text: string; readonly head: Head }, void, undefined> {
    let takenMs = this.session.real.monotonicMs();
    let head = await this.heads.read(view);
    if (head === undefined) return;
    const { data } = head;
    /** The newest head that was asked for; undefined when the view was dropped meanwhile. */
    const headNow = async (again: boolean): Promise<Head | undefined> => {
      const now = this.session.real.monotonicMs();
      if (again || now - takenMs > HEAD_AGE_MAX_MS / 10) {
        takenMs = now;
        head = await this.heads.read(view);
      }
      return head?.data === data ? head : undefined;
    };
    const sequences = parts.map((part) => this.scanPart(view, part, headNow));
    for await (const { key, text } of merged(sequences, byKey)) {
      if (text !== undefined && head !== undefined) yield { key, text, head };
    }
  }

  /** A scan takes longer than a head may be old, so each of its reads is of a head of its own. */
  private async *scanPart(
    view: ViewRef,
    part: string,
    headNow: (again: boolean) => Promise<Head | undefined>,
  ): AsyncGenerator<Picked, void, undefined> {
    let range: Range | undefined = { low: '', high: undefined, descending: false };
    for (let tries = 0; range !== undefined;) {
      const head = await headNow(tries > 0);
      if (head === undefined) return;
      let page: Awaited<ReturnType<ViewRecords['page']>>;
      try {
        page = await this.records.page(head, part, range, SCAN_READ);
      } catch (error) {
        if (!(error instanceof Overtaken)) throw error;
        if (++tries >= TRIES) throw overtakenError(view);
        continue;
      }
      tries = 0;
      yield* page.records;
      range = page.rest;
    }
  }

  async readRows(view: ViewRef, keys: readonly string[]): Promise<readonly (StoredRow | undefined)[]> {
    const texts = await this.readPlaces(view, keys.map(rowPlace));
    return texts.map((text, i) => (text === undefined ? undefined : rowOf(keys[i]!, text)));
  }

  async findRows(view: ViewRef, options: FindOptions): Promise<readonly StoredRow[]> {
    const { prefix = '', from, to, limit } = options;
    const descending = options.descending === true;
    const low = greater(prefix, from === undefined || options.fromExclusive !== true ? from : justAbove(from));
    const high = lesser(above(prefix), to === undefined || options.toExclusive === true ? to : justAbove(to));
    const range: Range = { low, high, descending };
    const pageSize = Math.min(READ_MAX, Math.ceil((limit / ROW_PARTS) * 1.5) + READ_MIN);
    return this.at<readonly StoredRow[]>(view, [], async (head) => {
      const parts = rowParts.map((part) => this.records.walk(head, part, range, pageSize));
      const rows: StoredRow[] = [];
      for await (const { key, text } of merged(parts, descending ? byKeyDown : byKey)) {
        if (text === undefined) continue;
        const row = rowOf(key, text);
        if (row.contributors === 0 && options.removed !== true) continue;
        rows.push(row);
        if (rows.length >= limit) break;
      }
      return rows;
    });
  }

  async readIndex(view: ViewRef, row: string, field: string, options: IndexRange): Promise<readonly IndexEntry[]> {
    const { part, base } = fieldPlace(row, field);
    const descending = options.descending === true;
    const { after, limit } = options;
    let low = base + (options.prefix ?? '');
    let high = above(low);
    if (after !== undefined && descending) high = lesser(high, base + after);
    if (after !== undefined && !descending) low = greater(low, justAbove(base + after));
    const pageSize = Math.min(READ_MAX, limit + READ_MIN);
    return this.at<readonly IndexEntry[]>(view, [], async (head) => {
      const entries: IndexEntry[] = [];
      const range: Range = { low: greater(low, head.floorOf(base)), high, descending };
      for await (const { key, text } of this.records.walk(head, part, range, pageSize)) {
        if (text === undefined) continue;
        if (entries.length >= limit) break;
        entries.push({ row, field, order: key.slice(base.length), value: parse<WireValue>(text) });
      }
      return entries;
    });
  }

  async readChanges(view: ViewRef, after: number, limit: number): Promise<readonly StoredChange[]> {
    return this.at<readonly StoredChange[]>(view, [], (head) =>
      readChanges(this.session, head, view.name, after, limit),
    );
  }

  async lastChange(view: ViewRef): Promise<number> {
    return (await this.heads.read(view))?.state.lastChange ?? 0;
  }

  async waitForChange(view: ViewRef, after: number, signal: AbortSignal): Promise<void> {
    if (!this.session.isOpen) return;
    const id = idOf(view);
    let watch = this.watches.get(id);
    if (watch === undefined) {
      watch = new Watch(this.session.real, () => this.lastChange(view));
      this.watches.set(id, watch);
    }
    await watch.wait(after, signal);
    if (watch.isIdle && this.watches.get(id) === watch) this.watches.delete(id);
  }

  /** They are few, and in no order: all are read. */
  async readNotes(view: ViewRef, prefix: string): Promise<readonly { key: string; value: WireValue }[]> {
    const range: Range = { low: '', high: undefined, descending: false };
    return this.at<readonly { key: string; value: WireValue }[]>(view, [], async (head) => {
      const notes: { key: string; value: WireValue }[] = [];
      for await (const { text } of this.records.walk(head, NOTES, range, READ_MAX)) {
        if (text === undefined) continue;
        const { key, json } = noteOf(text);
        if (key.startsWith(prefix)) notes.push({ key, value: parse<WireValue>(json) });
      }
      return notes.sort((a, b) => compareText(a.key, b.key));
    });
  }

  versions(name: string): Promise<readonly number[]> {
    return this.heads.versions(name);
  }

  async drop(view: ViewRef): Promise<void> {
    const id = idOf(view);
    await this.lanes.run(id, async () => {
      await dropView(this.session, this.heads, view);
      this.writers.get(id)?.reset();
    });
  }
}

function rowOf(key: string, text: string): StoredRow {
  return unpackRow(key, parse<PackedRow>(text));
}

function greater(a: string, b: string | undefined): string {
  return b === undefined || compareText(a, b) >= 0 ? a : b;
}

function lesser(a: string | undefined, b: string | undefined): string | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return compareText(a, b) <= 0 ? a : b;
}

function overtakenError(view: ViewRef): UnavailableError {
  return new UnavailableError('TIMEOUT', `Commits overtook a read of "${view.name}" ${TRIES} times.`, {
    fix: 'Read less at once, or again when the view is not so busy.',
    details: { view: view.name, version: view.version },
  });
}

function boundElsewhere(commit: ViewCommit, owner: string): ConflictError {
  const { name, version } = commit.view;
  return new ConflictError('LEASE_LOST', `"${name}@${version}" is committed under "${owner}", not "${commit.owner}".`, {
    fix: 'A view has one owner row for good: commit it under that name.',
    details: { name: commit.owner, owner },
  });
}
