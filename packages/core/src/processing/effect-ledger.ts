/**
 * What a handler name knows, in one view of its own: how far it is (checkpoint), what is done above that (ledger), which
 * attempt an event is at, what is parked or waits. Changes are gathered here and committed together.
 *
 *   note `d…`  an event or correction that is done or parked above the checkpoint
 *   note `c…`  a call that is done while others of its entry are not
 *   note `a…`  [attempt, failures] of an entry that is under way
 *   note `w…`  the watermark's own
 */
import { ConflictError } from '../model/errors.js';
import type { WireValue } from '../model/event.js';
import type { Clock } from '../ports/clock.js';
import type { LayerLogger } from '../ports/layer.js';
import type { IndexEntry, ViewCommit, ViewRef, ViewStore } from '../ports/view-store.js';
import { isPassing } from './retry-policy.js';

export interface LedgerParts {
  readonly views: ViewStore;
  readonly clock: Clock;
  readonly logger: LayerLogger;
}

/** Whose ledger it is. */
export interface LedgerOwner {
  readonly name: string;
  readonly view: ViewRef;
  /** The owner row whose epoch each commit carries. */
  readonly ownerName: string;
}

const BACK_OFF_MS = 50;
const BACK_OFF_MAX_MS = 5_000;
/** Tries after the signal: a store that comes back within a second still learns what was done. */
const LAST_TRIES = 4;

export class EffectLedger {
  /** What the store has, and what the next commit takes it to. */
  private next: string;
  private readonly notes = new Map<string, WireValue>();
  /** By row and order; undefined removes. */
  private readonly index = new Map<string, { row: string; order: string; value: WireValue | undefined }>();
  private readonly attempts = new Map<string, readonly [number, number]>();
  private readonly done = new Set<string>();
  private readonly called = new Set<string>();
  /** A commit was given up, and whether it is stored is not known. */
  private inDoubt = false;

  private constructor(
    private readonly parts: LedgerParts,
    private readonly model: LedgerOwner,
    private readonly epoch: number,
    private stored: string,
  ) {
    this.next = stored;
  }

  /** Reads what is kept. */
  static async open(parts: LedgerParts, model: LedgerOwner, epoch: number, checkpoint: string): Promise<EffectLedger> {
    const ledger = new EffectLedger(parts, model, epoch, checkpoint);
    const keys = async (prefix: string): Promise<readonly { key: string; value: WireValue }[]> =>
      (await parts.views.readNotes(model.view, prefix)).map(({ key, value }) => ({ key: key.slice(1), value }));
    for (const { key } of await keys('d')) ledger.done.add(key);
    for (const { key } of await keys('c')) ledger.called.add(key);
    for (const { key, value } of await keys('a')) ledger.attempts.set(key, value as unknown as [number, number]);
    return ledger;
  }

  get checkpoint(): string {
    return this.stored;
  }

  get isDirty(): boolean {
    return this.next !== this.stored || this.notes.size > 0 || this.index.size > 0;
  }

  /** Entries done or parked above the checkpoint. */
  get size(): number {
    return this.done.size;
  }

  /** Whether an entry is done or parked above the checkpoint. */
  holds(key: string): boolean {
    return this.done.has(key);
  }

  /** Whether one call of an entry is done. */
  holdsCall(key: string): boolean {
    return this.called.has(key);
  }

  /** [attempt, failures] of an entry as last known. */
  attemptOf(key: string): readonly [number, number] {
    return this.attempts.get(key) ?? [0, 0];
  }

  /** The entry is done, or parked: from the commit that carries this on, nothing calls the handler for it again. */
  record(key: string): void {
    this.done.add(key);
    this.notes.set(`d${key}`, 1);
  }

  recordCall(key: string): void {
    this.called.add(key);
    this.notes.set(`c${key}`, 1);
  }

  /** The entry stands below the checkpoint now, which says the same. */
  forget(key: string): void {
    if (!this.done.delete(key)) return;
    // What this very commit would have added need not be removed.
    if (this.notes.get(`d${key}`) === 1) this.notes.delete(`d${key}`);
    else this.notes.set(`d${key}`, null);
  }

  forgetCall(key: string): void {
    if (this.called.delete(key)) this.notes.set(`c${key}`, null);
  }

  mark(key: string, attempt: number, failures: number): void {
    this.attempts.set(key, [attempt, failures]);
    this.notes.set(`a${key}`, [attempt, failures]);
  }

  unmark(key: string): void {
    if (this.attempts.delete(key)) this.notes.set(`a${key}`, null);
  }

  note(key: string, value: WireValue): void {
    this.notes.set(key, value);
  }

  put(row: string, order: string, value: WireValue): void {
    this.index.set(`${row}\u0000${order}`, { row, order, value });
  }

  remove(row: string, order: string): void {
    this.index.set(`${row}\u0000${order}`, { row, order, value: undefined });
  }

  /** What the next commit does to an index entry: its value, `null` when it removes it, undefined when nothing. */
  pending(row: string, order: string): WireValue | undefined {
    const staged = this.index.get(`${row}\u0000${order}`);
    return staged === undefined ? undefined : (staged.value ?? null);
  }

  /** Up to where everything is done or parked; saved by the same commit that says so of the last of it. */
  moveTo(checkpoint: string): void {
    this.next = checkpoint;
  }

  /**
   * Commits what was gathered; a store that cannot is asked again with back-off, and a few times more after `signal` aborts.
   * @param durable it, and everything before it, outlives a loss of power
   * @throws ConflictError the name is another process's: nothing was stored · UnavailableError only after `signal` aborted
   */
  async save(signal: AbortSignal, durable: boolean): Promise<void> {
    if (!this.isDirty) return;
    const add: IndexEntry[] = [];
    const remove: IndexEntry[] = [];
    for (const { row, order, value } of this.index.values()) {
      if (value === undefined) remove.push({ row, field: '', order, value: null });
      else add.push({ row, field: '', order, value });
    }
    const commit = {
      view: this.model.view,
      owner: this.model.ownerName,
      epoch: this.epoch,
      expected: this.stored,
      checkpoint: this.next,
      rows: [],
      contributions: [],
      forget: [],
      indexAdd: add,
      indexRemove: remove,
      changes: [],
      notes: [...this.notes].map(([key, value]) => ({ key, value })),
      durable,
    };
    let last = 0;
    for (let failures = 0; ;) {
      try {
        await this.commit(commit, failures > 0);
        break;
      } catch (error) {
        if (!isPassing(error) || (signal.aborted && ++last > LAST_TRIES)) {
          this.inDoubt = true;
          throw error;
        }
        const waitMs = Math.min(BACK_OFF_MS * 2 ** Math.min(failures++, 10), BACK_OFF_MAX_MS);
        this.parts.logger.warn(
          `What the handler "${this.model.name}" has done could not be saved, trying again in ${waitMs} ms: ${String(error)}`,
        );
        await this.parts.clock.sleep(waitMs, signal.aborted ? undefined : signal);
      }
    }
    this.stored = commit.checkpoint;
    this.inDoubt = false;
    this.notes.clear();
    this.index.clear();
  }

  /** One try. An earlier one that seemed to fail may have got through: then the checkpoint is where this commit takes it. */
  private async commit(commit: ViewCommit, again: boolean): Promise<void> {
    try {
      await this.parts.views.commit(commit);
    } catch (error) {
      const moved = error instanceof ConflictError && error.code === 'CHECKPOINT_MOVED';
      // After a commit that was given up it may be that one which moved it, and that one held less.
      if (!moved || !again || this.inDoubt) throw error;
      if ((await this.parts.views.readCheckpoint(this.model.view)) !== commit.checkpoint) throw error;
    }
  }
}
