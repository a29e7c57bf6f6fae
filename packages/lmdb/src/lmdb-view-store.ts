/**
 * Views on LMDB: rows, contributions, ordered index, changes, notes and checkpoint of a commit in one transaction,
 * together with other commits and appends that wait. Every key begins with the view's name, version and slice.
 */
import { checkpointMoved, packRow, UnavailableError, unpackRow, ViewStore } from '@concursus/core';
import type {
  AggregateKey,
  FindOptions,
  IndexRange,
  IndexedField,
  IndexEntry,
  PackedRow,
  StoredChange,
  StoredContribution,
  StoredRow,
  ViewCommit,
  ViewRef,
  WireValue,
} from '@concursus/core';
import { Bell } from './bell.js';
import { CHANGES_AN_ENTRY, readChanges, removeChanges, trimChanges, writeChanges } from './change-entries.js';
import type { Texts } from './environment.js';
import { after, anyTextOf, KeyWriter } from './keys.js';
import { checkEpoch } from './lmdb-checkpoint-store.js';
import type { Session } from './session.js';

/** Rows of one page of a scan, and keys of one step of a drop. */
const PAGE_SIZE = 1_000;

/** The row that holds a view together: checkpoint, last change and the first change still kept. */
interface ViewState {
  readonly checkpoint: string;
  readonly lastChange: number;
  readonly firstChange: number;
}

interface ViewDatabases {
  readonly states: Texts;
  readonly rows: Texts;
  readonly contributions: Texts;
  readonly index: Texts;
  readonly changes: Texts;
  readonly notes: Texts;
  /** Rings when any view of the context changed. */
  readonly bell: Bell;
}

const parse = <T>(text: string): T => JSON.parse(text) as T;

export class LmdbViewStore extends ViewStore {
  private readonly keys = new KeyWriter();
  private bell: Bell | undefined;

  constructor(
    private readonly session: Session,
    private readonly changesKept: number,
  ) {
    super();
    session.onClose(() => this.bell?.ring());
  }

  private get databases(): ViewDatabases {
    const { env, context } = this.session;
    return env.share(`views/${context}`, () => ({
      states: env.texts(context, 'views'),
      rows: env.texts(context, 'rows'),
      contributions: env.texts(context, 'contributions'),
      index: env.texts(context, 'index'),
      changes: env.texts(context, 'changes'),
      notes: env.texts(context, 'notes'),
      bell: new Bell(),
    }));
  }

  /** Begins a key with the view. */
  private of(view: ViewRef): KeyWriter {
    return this.keys
      .start()
      .text(view.name)
      .uint32(view.version)
      .uint32(view.slice + 1);
  }

  private stateOf(states: Texts, view: ViewRef): ViewState | undefined {
    const text = states.get(this.of(view).view());
    return text === undefined ? undefined : parse<ViewState>(text);
  }

  async commit(commit: ViewCommit): Promise<void> {
    const { session } = this;
    const db = this.databases;
    this.checkKeys(commit);
    const weight =
      commit.rows.length +
      commit.contributions.length +
      commit.forget.length +
      commit.indexAdd.length +
      commit.indexRemove.length +
      Math.ceil(commit.changes.length / CHANGES_AN_ENTRY) * 2 +
      commit.notes.length +
      1;
    await session.env.queue.run(
      () => {
        checkEpoch(session, commit.owner, commit.epoch);
        const state = this.stateOf(db.states, commit.view);
        if (state?.checkpoint !== commit.expected) {
          throw checkpointMoved(`${commit.view.name}@${commit.view.version}`, commit.expected, state?.checkpoint);
        }
        this.write(db, commit, state);
      },
      // Committed is enough for most: rows and checkpoint can only be lost together, and are then made again from the feed.
      { durable: commit.durable === true, weight },
    );
    if (commit.changes.length > 0) db.bell.ring();
  }

  /** Keys that are too long are refused before the transaction, in which nothing may fail half-way. */
  private checkKeys(commit: ViewCommit): void {
    const keys = this.of(commit.view);
    const { length } = keys;
    for (const row of commit.rows) keys.backTo(length).tail(row.key).view();
    for (const entry of commit.indexAdd) indexKey(keys.backTo(length), entry).view();
  }

  private contributionKey(view: ViewRef, aggregate: AggregateKey): Buffer {
    return aggregateKey(this.of(view), aggregate).view();
  }

  private write(db: ViewDatabases, commit: ViewCommit, state: ViewState | undefined): void {
    const keys = this.of(commit.view);
    const { length } = keys;
    for (const row of commit.rows) {
      db.rows.putSync(keys.backTo(length).tail(row.key).view(), JSON.stringify(packRow(row)));
    }
    for (const { aggregate, value } of commit.contributions) {
      db.contributions.putSync(aggregateKey(keys.backTo(length), aggregate).view(), JSON.stringify(value));
    }
    for (const aggregate of commit.forget) {
      db.contributions.removeSync(aggregateKey(keys.backTo(length), aggregate).view());
    }
    for (const entry of commit.indexRemove) db.index.removeSync(indexKey(keys.backTo(length), entry).view());
    for (const entry of commit.indexAdd) {
      db.index.putSync(indexKey(keys.backTo(length), entry).view(), JSON.stringify(entry.value));
    }
    for (const { key, value } of commit.notes) {
      const at = keys.backTo(length).tail(key).view();
      if (value === null) db.notes.removeSync(at);
      else db.notes.putSync(at, JSON.stringify(value));
    }
    const { changesFrom } = commit;
    if (changesFrom !== undefined) removeChanges(db.changes, keys, length);
    const firstKept = changesFrom === undefined ? (state?.firstChange ?? 1) : changesFrom + 1;
    const lastBefore = changesFrom ?? state?.lastChange ?? 0;
    const lastChange = writeChanges(db.changes, keys, length, commit.changes, lastBefore);
    const firstChange = Math.max(firstKept, lastChange - this.changesKept + 1);
    if (firstChange > firstKept) trimChanges(db.changes, keys, length, firstChange);
    const next: ViewState = { checkpoint: commit.checkpoint, lastChange, firstChange };
    db.states.putSync(keys.backTo(length).view(), JSON.stringify(next));
  }

  async readCheckpoint(view: ViewRef): Promise<string | undefined> {
    return this.stateOf(this.databases.states, view)?.checkpoint;
  }

  async readContributions(
    view: ViewRef,
    aggregates: readonly AggregateKey[],
  ): Promise<readonly (WireValue | undefined)[]> {
    const { contributions } = this.databases;
    return aggregates.map((aggregate) => {
      const text = contributions.get(this.contributionKey(view, aggregate));
      return text === undefined ? undefined : parse<WireValue>(text);
    });
  }

  async *scanContributions(view: ViewRef): AsyncGenerator<readonly StoredContribution[]> {
    const prefix = this.of(view).copy();
    const end = after(prefix);
    let start = prefix;
    for (;;) {
      const page: StoredContribution[] = [];
      let last: Uint8Array | undefined;
      for (const { key, value } of this.databases.contributions.getRange({ start, end, limit: PAGE_SIZE })) {
        last = key as Uint8Array;
        const [tenant, type, id] = Buffer.from(last.subarray(prefix.length)).toString('utf8').split('\u0000');
        page.push({ aggregate: { tenant: tenant!, type: type!, id: id! }, value: parse<WireValue>(value) });
      }
      if (last === undefined) return;
      yield page;
      if (page.length < PAGE_SIZE) return;
      start = after(last);
    }
  }

  async readRows(view: ViewRef, keys: readonly string[]): Promise<readonly (StoredRow | undefined)[]> {
    const { rows } = this.databases;
    return keys.map((key) => {
      const text = rows.get(this.of(view).tail(key).view());
      return text === undefined ? undefined : rowOf(key, text);
    });
  }

  async findRows(view: ViewRef, options: FindOptions): Promise<readonly StoredRow[]> {
    const { rows } = this.databases;
    const keys = this.of(view);
    const { length } = keys;
    const bound = (key: string): Buffer => keys.backTo(length).tail(key).copy();
    // Bounds as keys: from `low` inclusive to `high` exclusive. A NUL behind a key stands for "just above it".
    const above = (key: Buffer): Buffer => Buffer.concat([key, Buffer.of(0)]);
    let low = options.prefix === undefined ? bound('') : bound(options.prefix);
    let high = after(low);
    if (options.from !== undefined) {
      const from = options.fromExclusive === true ? above(bound(options.from)) : bound(options.from);
      if (from.compare(low) > 0) low = from;
    }
    if (options.to !== undefined) {
      const to = options.toExclusive === true ? bound(options.to) : above(bound(options.to));
      if (to.compare(high) < 0) high = to;
    }
    if (low.compare(high) >= 0) return [];
    const found: StoredRow[] = [];
    const descending = options.descending === true;
    for (const { key, value } of rows.getRange(
      descending ? { start: high, end: low, reverse: true, inclusiveEnd: true } : { start: low, end: high },
    )) {
      // Backwards LMDB begins at `high` itself when it is there, and it is not part of the range.
      if (descending && high.equals(key as Uint8Array)) continue;
      const row = rowOf(Buffer.from((key as Uint8Array).subarray(length)).toString('utf8'), value);
      if (row.contributors === 0 && options.removed !== true) continue;
      found.push(row);
      if (found.length >= options.limit) break;
    }
    return found;
  }

  async readIndex(view: ViewRef, row: string, field: string, options: IndexRange): Promise<readonly IndexEntry[]> {
    const { index } = this.databases;
    const keys = this.of(view).anyText(row).anyText(field);
    const { length } = keys;
    const low = keys.tail(options.prefix ?? '').copy();
    const high = after(low);
    const descending = options.descending === true;
    const past = options.after === undefined ? undefined : keys.backTo(length).tail(options.after).copy();
    let start = descending ? high : low;
    if (past !== undefined && (descending ? past.compare(start) < 0 : past.compare(start) > 0)) start = past;
    const end = descending ? low : high;
    const entries: IndexEntry[] = [];
    if (descending ? start.compare(end) < 0 : start.compare(end) >= 0) return entries;
    for (const { key, value } of index.getRange({ start, end, reverse: descending, inclusiveEnd: descending })) {
      const bytes = key as Uint8Array;
      if (past?.equals(bytes) === true || (descending && high.equals(bytes))) continue;
      if (entries.length >= options.limit) break;
      entries.push({
        row,
        field,
        order: Buffer.from(bytes.subarray(length)).toString('utf8'),
        value: parse<WireValue>(value),
      });
    }
    return entries;
  }

  /** One step a pair: behind its last entry the next pair's first one stands. */
  async *scanIndexes(view: ViewRef): AsyncGenerator<readonly IndexedField[]> {
    const prefix = this.of(view).copy();
    const end = after(prefix);
    for (let start = prefix; ;) {
      const page: IndexedField[] = [];
      while (page.length < PAGE_SIZE) {
        const [key] = this.databases.index.getKeys({ start, end, limit: 1 });
        if (key === undefined) break;
        const bytes = Buffer.from(key as Uint8Array);
        const rowEnd = bytes.indexOf(0, prefix.length);
        const fieldEnd = bytes.indexOf(0, rowEnd + 1);
        page.push({
          row: anyTextOf(bytes.toString('utf8', prefix.length, rowEnd)),
          field: anyTextOf(bytes.toString('utf8', rowEnd + 1, fieldEnd)),
        });
        start = after(bytes.subarray(0, fieldEnd + 1));
      }
      if (page.length > 0) yield page;
      if (page.length < PAGE_SIZE) return;
    }
  }

  async readChanges(view: ViewRef, afterSequence: number, limit: number): Promise<readonly StoredChange[]> {
    const db = this.databases;
    const state = this.stateOf(db.states, view);
    if (state === undefined || afterSequence >= state.lastChange) return [];
    if (afterSequence + 1 < state.firstChange) {
      throw new UnavailableError(
        'CHANGES_TRIMMED',
        `Changes ${afterSequence + 1} to ${state.firstChange - 1} of view "${view.name}" are no longer kept.`,
        {
          fix: 'Read the rows as they are now, then follow the changes from the last sequence; or raise changesKept.',
          details: { view: view.name, after: afterSequence, firstKept: state.firstChange },
        },
      );
    }
    const keys = this.of(view);
    const { length } = keys;
    return readChanges(db.changes, keys, length, afterSequence, limit);
  }

  async lastChange(view: ViewRef): Promise<number> {
    return this.stateOf(this.databases.states, view)?.lastChange ?? 0;
  }

  async waitForChange(view: ViewRef, afterSequence: number, signal: AbortSignal): Promise<void> {
    const { bell, states } = this.databases;
    this.bell = bell;
    await bell.wait(
      this.session.clock,
      signal,
      () => !this.session.isOpen || (this.stateOf(states, view)?.lastChange ?? 0) > afterSequence,
    );
  }

  async readNotes(view: ViewRef, prefix: string): Promise<readonly { key: string; value: WireValue }[]> {
    const keys = this.of(view);
    const { length } = keys;
    const start = keys.tail(prefix).copy();
    const found: { key: string; value: WireValue }[] = [];
    for (const { key, value } of this.databases.notes.getRange({ start, end: after(start) })) {
      found.push({
        key: Buffer.from((key as Uint8Array).subarray(length)).toString('utf8'),
        value: parse<WireValue>(value),
      });
    }
    return found;
  }

  async versions(name: string): Promise<readonly number[]> {
    const prefix = this.keys.start().text(name).copy();
    const versions = new Set<number>();
    for (const key of this.databases.states.getKeys({ start: prefix, end: after(prefix) })) {
      versions.add(Buffer.from(key as Uint8Array).readUInt32BE(prefix.length));
    }
    return [...versions];
  }

  async drop(view: ViewRef): Promise<void> {
    const db = this.databases;
    const { queue } = this.session.env;
    const start = this.of(view).copy();
    const range = { start, end: after(start), limit: PAGE_SIZE };
    // The state goes last: until then the version is still listed, so a drop that was interrupted can be done again.
    for (const database of [db.rows, db.contributions, db.index, db.changes, db.notes, db.states]) {
      let removed: number;
      do {
        removed = await queue.run(
          () => {
            const found = [...database.getKeys(range)] as Uint8Array[];
            for (const each of found) database.removeSync(each);
            return found.length;
          },
          { durable: false, grows: false, weight: PAGE_SIZE },
        );
      } while (removed === PAGE_SIZE);
    }
  }
}

/** Behind the view's beginning. */
function indexKey(keys: KeyWriter, entry: IndexEntry): KeyWriter {
  return keys.anyText(entry.row).anyText(entry.field).tail(entry.order);
}

/** Behind the view's beginning. */
function aggregateKey(keys: KeyWriter, aggregate: AggregateKey): KeyWriter {
  return keys.text(aggregate.tenant).text(aggregate.type).text(aggregate.id);
}

function rowOf(key: string, text: string): StoredRow {
  return unpackRow(key, parse<PackedRow>(text));
}
