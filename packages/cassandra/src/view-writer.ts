/**
 * Commits one view, one commit after the other: stages the new version of each record beside those that count, then lets one
 * condition on the head make all of them true. A crash before that leaves versions that count for nothing.
 */
import { checkpointMoved, compareText, ConflictError, leaseLost, packRow, type ViewCommit } from '@concursus/core';
import { IndexFloors, type FieldChange, type Floors } from './index-floors.js';
import { NotePlaces, noteOf, noteText, type NotePlan } from './note-places.js';
import type { Session, Statement } from './session.js';
import { sendAll } from './batches.js';
import { blockOf, changeEntries, removeBlocks } from './view-changes.js';
import { endDrop } from './view-drop.js';
import { timestampOf, type Head, type HeadState, type Stamp, type ViewHeads } from './view-head.js';
import { contributionPlace, fieldPlace, notePlace, NOTES, rowPlace, type Place } from './view-keys.js';
import { cellOf, Overtaken, recordKey, settled, type Picked, type ViewRecords } from './view-records.js';
import { SLOTS } from './view-schema.js';

/** Of so many records it is remembered which slot counts; of others it is read before they are written. Some 30 MB. */
const SLOTS_REMEMBERED = 200_000;
/**
 * What was removed is swept this long after, real time: a reader with the head before it is done by then, as it begins again
 * with a new head after `HEAD_AGE_MAX_MS`.
 */
const SWEEP_AFTER_MS = 30_000;
/** A reader takes a new head after this long. */
export const HEAD_AGE_MAX_MS = 10_000;
/** Records and blocks swept with one commit, at most. */
const SWEPT_A_COMMIT = 500;
const BLOCKS_A_COMMIT = 16;
/** Tries of one commit: each is begun because somebody else opened a run meanwhile, which an owner alone does not meet. */
const TRIES = 4;

const ABSENT = -1;
/** Records of notes of one read. */
const NOTES_A_READ = 1_000;

const WRITES = SLOTS.map(
  (slot) => `INSERT INTO view_record (context, view_id, part, key, ${slot}) VALUES (?, ?, ?, ?, ?)`,
);
const REMOVE = 'DELETE FROM view_record WHERE context = ? AND view_id = ? AND part = ? AND key = ?';

/** A record's next version; undefined removes it. */
interface Next extends Place {
  readonly text: string | undefined;
}

export class ViewWriter {
  /** As this writer left it; of use only while `ours`. */
  private head: Head | undefined;
  /** The run of `head` is ours, and nothing of it failed. */
  private ours = false;
  private committing = false;
  /** Which slot of a record counts, the longest unused first. */
  private readonly slots = new Map<string, number>();
  /** Every record there is is in `slots`. */
  private complete = false;
  /** Removed records with when they may be swept, oldest first. */
  private readonly removed = new Map<string, { readonly place: Place; readonly dueMs: number }>();
  /** Where the notes are; undefined until they were read. */
  private notes: NotePlaces | undefined;
  private readonly floors: IndexFloors;
  /** Blocks of changes below this one may go from then on. */
  private trim: { readonly block: number; readonly dueMs: number } | undefined;
  /** When the blocks of former numberings may go. */
  private oldDueMs: number | undefined;

  constructor(
    private readonly session: Session,
    private readonly heads: ViewHeads,
    private readonly records: ViewRecords,
    private readonly changesKept: number,
  ) {
    this.floors = new IndexFloors(records);
  }

  /** Makes one commit; the caller makes one at a time. Resolves to the head after it. */
  async commit(commit: ViewCommit): Promise<Head> {
    this.committing = true;
    try {
      for (let tries = 0; tries < TRIES; tries++) {
        const head = this.ours && this.isNext(commit) ? this.head! : await this.openRun(commit);
        if (head === undefined) continue;
        try {
          const done = await this.tryCommit(commit, head);
          if (done !== undefined) return done;
        } catch (error) {
          // Others committed over what this read to prepare its own: the next try finds out.
          if (!(error instanceof Overtaken)) throw error;
        }
      }
    } finally {
      this.committing = false;
    }
    throw new ConflictError('LEASE_LOST', `"${commit.view.name}" is committed by others under epoch ${commit.epoch}.`, {
      fix: 'Claim the owner row: only its owner commits.',
      details: { name: commit.owner, epoch: commit.epoch },
    });
  }

  /** Forgets what it knew: the view was dropped. */
  reset(): void {
    this.head = undefined;
    this.ours = false;
    this.forget();
  }

  /** Takes note of records that were read of the view as it is: their next version needs no read. */
  seen(head: Head, places: readonly Place[], found: ReadonlyMap<string, Picked>): void {
    if (!this.ours || this.committing || this.head?.version !== head.version) return;
    for (const place of places) {
      const key = recordKey(place);
      if (!this.slots.has(key)) this.remember(key, found.get(key)?.slot ?? ABSENT);
    }
  }

  private isNext(commit: ViewCommit): boolean {
    return (this.head?.state.checkpoint ?? undefined) === commit.expected;
  }

  /**
   * The head with a run of ours; undefined when somebody was faster.
   * @throws ConflictError `LEASE_LOST`, `CHECKPOINT_MOVED`
   */
  private async openRun(commit: ViewCommit): Promise<Head | undefined> {
    const { view, owner, epoch } = commit;
    let found = await this.heads.readLast(view);
    if (found?.state.dropping === true) {
      await endDrop(this.session, this.heads, view, found);
      found = undefined;
    }
    if ((found?.state.checkpoint ?? undefined) !== commit.expected) {
      await this.checkEpoch(owner, epoch);
      throw checkpointMoved(`${view.name}@${view.version}`, commit.expected, found?.state.checkpoint ?? undefined);
    }
    if (found === undefined || found.version !== this.head?.version) {
      this.forget();
      this.complete = found === undefined;
    }
    this.ours = false;
    const head = await this.heads.openRun(view, owner, epoch, found);
    if (head === undefined) {
      await this.checkEpoch(owner, epoch);
      return undefined;
    }
    this.head = head;
    this.ours = true;
    return head;
  }

  private async checkEpoch(owner: string, epoch: number): Promise<void> {
    const current = await this.heads.epochOf(owner);
    if (current !== epoch) throw leaseLost(owner, epoch, current);
  }

  /** Undefined when somebody opened a run meanwhile. */
  private async tryCommit(commit: ViewCommit, head: Head): Promise<Head | undefined> {
    const stamp: Stamp = { run: head.state.run, n: head.state.n + 1 };
    // Until it is known to be done, the run is spent: a stamp is never used for two commits.
    this.ours = false;
    const places = (this.notes ??= await this.loadNotes(head));
    const plan = places.plan(notesOf(commit));
    const fields = new Map<string, FieldChange>();
    const nexts = this.nextsOf(commit, plan, fields);
    await this.loadSlots(head, nexts);
    const floors = await this.floors.after(head, fields);
    const { state, changes, sweeps } = this.changesOf(commit, head, stamp, floors);
    const slots = new Map<string, number>();
    const writes: Statement[] = [];
    for (const next of nexts.values()) {
      const key = recordKey(next);
      const before = this.slots.get(key) ?? ABSENT;
      if (next.text === undefined && before === ABSENT) continue;
      const slot = (before + 1) % SLOTS.length;
      slots.set(key, slot);
      writes.push({ query: WRITES[slot]!, params: this.cell(head, next, cellOf(stamp, next.text)) });
    }
    const staged = sendAll(this.session, [...writes, ...changes], timestampOf(stamp));
    // What is swept was removed by a commit before this one: its removal is newer than every version, and older than the next.
    const swept = this.sweepsOf(head, nexts);
    const cleaned = sendAll(this.session, [...swept.statements, ...sweeps], timestampOf(head.state));
    await settled([staged, cleaned]);
    const next = head.with(state);
    const outcome = await this.heads.write(commit.owner, commit.epoch, head, next);
    if (!outcome.applied) {
      await this.checkEpoch(commit.owner, commit.epoch);
      return undefined;
    }
    this.head = next;
    this.ours = true;
    for (const key of swept.keys) {
      this.removed.delete(key);
      this.slots.delete(key);
      if (!this.complete) this.remember(key, ABSENT);
    }
    this.note(nexts, slots);
    places.done(plan);
    const dueMs = this.session.real.monotonicMs() + SWEEP_AFTER_MS;
    for (const id of places.giveUp()) {
      const place = notePlace(id);
      this.removed.set(recordKey(place), { place, dueMs });
    }
    return next;
  }

  private cell(head: Head, { part, key }: Place, cell: string): unknown[] {
    return [this.session.context, head.data, part, key, cell];
  }

  /** What is written, each record once: the later word of a commit counts. */
  private nextsOf(commit: ViewCommit, plan: NotePlan, fields: Map<string, FieldChange>): Map<string, Next> {
    const nexts = new Map<string, Next>();
    const put = (place: Place, text: string | undefined): void => {
      nexts.set(recordKey(place), { ...place, text });
    };
    for (const row of commit.rows) put(rowPlace(row.key), JSON.stringify(packRow(row)));
    const { context } = this.session;
    for (const { aggregate, value } of commit.contributions) {
      put(contributionPlace(context, aggregate), JSON.stringify(value));
    }
    for (const aggregate of commit.forget) put(contributionPlace(context, aggregate), undefined);
    const fieldOf = (row: string, field: string): FieldChange => {
      const place = fieldPlace(row, field);
      let change = fields.get(place.base);
      if (change === undefined) fields.set(place.base, (change = { ...place, removals: 0, least: undefined }));
      return change;
    };
    // Removals first: an entry that is removed and added in one commit stays.
    for (const { row, field, order } of commit.indexRemove) {
      const change = fieldOf(row, field);
      change.removals += 1;
      put({ part: change.part, key: change.base + order }, undefined);
    }
    for (const { row, field, order, value } of commit.indexAdd) {
      const change = fieldOf(row, field);
      const key = change.base + order;
      if (change.least === undefined || compareText(key, change.least) < 0) change.least = key;
      put({ part: change.part, key }, JSON.stringify(value));
    }
    for (const [id, text] of plan.writes) put(notePlace(id), text);
    return nexts;
  }

  private async loadNotes(head: Head): Promise<NotePlaces> {
    const places = new NotePlaces();
    if (this.complete) return places;
    const range = { low: '', high: undefined, descending: false };
    for await (const { key, slot, text } of this.records.walk(head, NOTES, range, NOTES_A_READ)) {
      places.add(Number(key), text === undefined ? undefined : noteOf(text).key);
      this.remember(recordKey({ part: NOTES, key }), slot);
    }
    return places;
  }

  /** Finds out which slot of each record counts. */
  private async loadSlots(head: Head, nexts: ReadonlyMap<string, Next>): Promise<void> {
    if (this.complete) return;
    const unknown: Place[] = [];
    for (const [key, next] of nexts) if (!this.slots.has(key)) unknown.push(next);
    if (unknown.length === 0) return;
    const found = await this.records.read(head, unknown);
    for (const place of unknown) {
      const key = recordKey(place);
      this.slots.set(key, found.get(key)?.slot ?? ABSENT);
    }
  }

  /** Remembers what was committed, and forgets the longest unused beyond the bound. */
  private note(nexts: ReadonlyMap<string, Next>, slots: ReadonlyMap<string, number>): void {
    const dueMs = this.session.real.monotonicMs() + SWEEP_AFTER_MS;
    for (const [key, slot] of slots) {
      this.remember(key, slot);
      const next = nexts.get(key)!;
      this.removed.delete(key);
      // The record of a note is free, and used again.
      if (next.text === undefined && next.part !== NOTES)
        this.removed.set(key, { place: { part: next.part, key: next.key }, dueMs });
    }
  }

  private remember(key: string, slot: number): void {
    this.slots.delete(key);
    this.slots.set(key, slot);
    while (this.slots.size > SLOTS_REMEMBERED) {
      const oldest = this.slots.keys().next().value!;
      this.slots.delete(oldest);
      this.complete = false;
    }
  }

  private forget(): void {
    this.slots.clear();
    this.complete = false;
    this.removed.clear();
    this.notes = undefined;
    this.trim = undefined;
    this.oldDueMs = undefined;
  }

  /** Removed records that no reader can need any more, and that this commit does not write. */
  private sweepsOf(head: Head, nexts: ReadonlyMap<string, Next>): { statements: Statement[]; keys: string[] } {
    const now = this.session.real.monotonicMs();
    const statements: Statement[] = [];
    const keys: string[] = [];
    for (const [key, { place, dueMs }] of this.removed) {
      if (dueMs > now || keys.length >= SWEPT_A_COMMIT) break;
      if (nexts.has(key)) continue;
      keys.push(key);
      statements.push({ query: REMOVE, params: [this.session.context, head.data, place.part, place.key] });
    }
    return { statements, keys };
  }

  /** The head's next state, the entries of its changes, and the blocks that may go. */
  private changesOf(
    commit: ViewCommit,
    head: Head,
    stamp: Stamp,
    floors: Floors,
  ): { readonly state: HeadState; readonly changes: Statement[]; readonly sweeps: Statement[] } {
    const { context } = this.session;
    const before = head.state;
    const now = this.session.real.monotonicMs();
    const sweeps: Statement[] = [];
    let { reset, lastChange, firstChange, firstBlock, old } = before;
    if (old.length > 0) {
      this.oldDueMs ??= now + SWEEP_AFTER_MS;
      if (this.oldDueMs <= now) {
        for (const [number, from, to] of old) sweeps.push(...removeBlocks(context, head.data, number, from, to + 1));
        old = [];
        this.oldDueMs = undefined;
      }
    }
    if (commit.changesFrom !== undefined) {
      if (lastChange >= firstChange) old = [...old, [reset, firstBlock, blockOf(lastChange)]];
      reset += 1;
      lastChange = commit.changesFrom;
      firstChange = lastChange + 1;
      firstBlock = blockOf(firstChange);
      this.trim = undefined;
      this.oldDueMs = now + SWEEP_AFTER_MS;
    }
    const changes = changeEntries(context, head.data, reset, lastChange + 1, commit.changes, stamp);
    lastChange += commit.changes.length;
    firstChange = Math.max(firstChange, lastChange - this.changesKept + 1);
    if (this.trim !== undefined && this.trim.dueMs <= now) {
      const to = Math.min(this.trim.block, firstBlock + BLOCKS_A_COMMIT);
      sweeps.push(...removeBlocks(context, head.data, reset, firstBlock, to));
      firstBlock = to;
      if (to === this.trim.block) this.trim = undefined;
    }
    const block = blockOf(firstChange);
    if (block > firstBlock) this.trim ??= { block, dueMs: now + SWEEP_AFTER_MS };
    const state: HeadState = {
      ...before,
      n: stamp.n,
      checkpoint: commit.checkpoint,
      reset,
      lastChange,
      firstChange,
      firstBlock,
      old,
      floors,
    };
    return { state, changes, sweeps };
  }
}

/** Each note once, null where it goes. */
function notesOf(commit: ViewCommit): Map<string, string | null> {
  return new Map(commit.notes.map(({ key, value }) => [key, value === null ? null : noteText(key, value)]));
}
