/** One projection on its way along the feed: where it stands, what is parked, and what its next step commits. */
import type { AggregateKey, Fact, WireValue } from '../model/event.js';
import { HandlerError } from '../model/errors.js';
import type { Position } from '../model/position.js';
import type { OwnerRow } from '../ports/checkpoint-store.js';
import type { StoredRow, ViewCommit, ViewRef, ViewStore } from '../ports/view-store.js';
import { LruMap } from '../processing/lru.js';
import {
  addRows,
  applyChanges,
  decodeContribution,
  encodeContribution,
  NOTHING,
  RowOverflow,
  sameContribution,
  type AppliedChanges,
  type Contribution,
  type ContributionChange,
} from './contributions.js';
import { orderOfNumber, orderOfText, type FieldContribution, type TimeOrder } from './merge.js';
import { copyState } from './copy-state.js';
import { type ProjectionModel, type RowsContext } from './projection.js';

/** Rows and contributions remembered per projection. They save reads only: the owner alone writes them. */
const ROWS_KEPT = 5_000;
const CONTRIBUTIONS_KEPT = 20_000;

/** An aggregate a projection could not handle: it contributes nothing until a retry succeeds. */
export interface ParkedAggregate {
  readonly aggregate: AggregateKey;
  /** What the projection threw. */
  readonly error: string;
  readonly parkedAt: number;
}

export const PARKED = 'parked/';

/** An aggregate of one step, by key text. */
export interface Touched {
  readonly text: string;
  readonly key: AggregateKey;
  /** New facts in feed order. */
  readonly facts: Fact[];
}

/** A step's outcome for one aggregate: its new contribution, or what was thrown. */
export type Computed = Contribution | Error;

export class Track {
  readonly view: ViewRef;
  readonly ownerName: string;
  private readonly tied: boolean;
  readonly parked = new Map<string, ParkedAggregate>();
  private readonly rows = new LruMap<string, StoredRow>(ROWS_KEPT);
  private readonly contributions = new LruMap<string, Contribution>(CONTRIBUTIONS_KEPT);

  constructor(
    readonly model: ProjectionModel,
    private readonly views: ViewStore,
    public owner: OwnerRow,
    public checkpoint: string | undefined,
    public position: Position,
  ) {
    this.view = { name: model.name, version: model.version, slice: -1 };
    this.ownerName = ownerNameOf(model);
    this.tied = model.fields.some((field) => field.merge === 'latest' || field.merge === 'earliest');
  }

  wants(type: string): boolean {
    return this.model.types === undefined || this.model.types.has(type);
  }

  /** Forgets what a failed or fenced transaction may have made wrong. */
  dropCaches(): void {
    this.rows.clear();
    this.contributions.clear();
  }

  async loadParked(): Promise<void> {
    this.parked.clear();
    for (const note of await this.views.readNotes(this.view, PARKED)) {
      this.parked.set(note.key.slice(PARKED.length), note.value as unknown as ParkedAggregate);
    }
  }

  /** The contributions as they stand, by key text; unknown ones are read in one call. */
  async contributionsOf(touched: readonly Touched[]): Promise<Contribution[]> {
    const found = touched.map((one) => this.contributions.get(one.text));
    const missing = touched.filter((_, i) => found[i] === undefined);
    if (missing.length === 0) return found as Contribution[];
    const read = await this.views.readContributions(
      this.view,
      missing.map((one) => one.key),
    );
    let next = 0;
    return found.map((one) => one ?? decodeContribution(read[next++]));
  }

  /** The rows form. */
  fromState(state: object, context: RowsContext, last: Fact | undefined, text: string): Contribution {
    const rows = new Map<string, readonly FieldContribution[]>();
    addRows(rows, this.model.fields, this.model.rowsOf!(copyState(state), context), timeOf(last, this.tied), text);
    return rows;
  }

  /** The event form: what these facts add to what was there. */
  fromEvents(before: Contribution, facts: readonly Fact[], text: string): Contribution {
    const rows = new Map(before);
    let added = false;
    for (const fact of facts) {
      const given = this.model.rowsOfEvent!(fact);
      if (given === undefined || given === null) continue;
      added = true;
      addRows(rows, this.model.fields, given, timeOfEvent(fact, this.tied), text);
    }
    return added ? rows : before;
  }

  /**
   * Makes and commits one step. `expected` is the checkpoint it stands on; it moves to `next`.
   * @throws what the view store throws: then nothing changed, and the caller drops the caches.
   */
  async commit(
    touched: readonly Touched[],
    computed: readonly Computed[],
    before: readonly Contribution[],
    next: Position,
    now: number,
  ): Promise<void> {
    const results = [...computed];
    for (;;) {
      const changes: ContributionChange[] = [];
      for (let i = 0; i < touched.length; i++) {
        const result = results[i]!;
        const after = result instanceof Error ? NOTHING : result;
        if (after === before[i] || sameContribution(before[i]!, after)) continue;
        changes.push({ aggregate: touched[i]!.text, before: before[i]!, after, facts: touched[i]!.facts });
      }
      try {
        const applied = await applyChanges(this.model.fields, changes, {
          rows: (keys) => this.readRows(keys),
          index: (row, field, options) => this.views.readIndex(this.view, row, field, options),
        });
        await this.write(touched, results, changes, applied, next, now);
        return;
      } catch (error) {
        if (!(error instanceof RowOverflow)) throw error;
        // The aggregates that would burst the row are parked; without them the step is made again.
        for (let i = 0; i < touched.length; i++) {
          if (error.aggregates.has(touched[i]!.text)) results[i] = new HandlerError('PROJECTION_FAILED', error.message);
        }
      }
    }
  }

  private async write(
    touched: readonly Touched[],
    results: readonly Computed[],
    changes: readonly ContributionChange[],
    applied: AppliedChanges,
    next: Position,
    now: number,
  ): Promise<void> {
    const keys = new Map(touched.map((one) => [one.text, one.key]));
    const notes: { key: string; value: WireValue }[] = [];
    for (let i = 0; i < touched.length; i++) {
      const { text, key } = touched[i]!;
      const result = results[i]!;
      if (result instanceof Error) {
        const parked: ParkedAggregate = {
          aggregate: key,
          error: String(result.message).slice(0, 1_000),
          parkedAt: now,
        };
        notes.push({ key: PARKED + text, value: parked as unknown as WireValue });
      } else if (this.parked.has(text)) notes.push({ key: PARKED + text, value: null });
    }
    const commit: ViewCommit = {
      view: this.view,
      owner: this.ownerName,
      epoch: this.owner.epoch,
      expected: this.checkpoint,
      checkpoint: next.toString(),
      rows: applied.rows,
      contributions: changes
        .filter((change) => change.after.size > 0)
        .map((change) => ({ aggregate: keys.get(change.aggregate)!, value: encodeContribution(change.after) })),
      forget: changes.filter((change) => change.after.size === 0).map((change) => keys.get(change.aggregate)!),
      indexAdd: applied.indexAdd,
      indexRemove: applied.indexRemove,
      changes: applied.changes,
      notes,
    };
    await this.views.commit(commit);
    this.checkpoint = commit.checkpoint;
    this.position = next;
    for (const row of applied.rows) this.rows.set(row.key, row);
    for (const change of changes) this.contributions.set(change.aggregate, change.after);
    for (const note of notes) {
      const text = note.key.slice(PARKED.length);
      if (note.value === null) this.parked.delete(text);
      else this.parked.set(text, note.value as unknown as ParkedAggregate);
    }
  }

  private async readRows(keys: readonly string[]): Promise<readonly (StoredRow | undefined)[]> {
    const found = keys.map((key) => this.rows.get(key));
    const missing = keys.filter((_, i) => found[i] === undefined);
    if (missing.length === 0) return found;
    const read = await this.views.readRows(this.view, missing);
    let next = 0;
    return found.map((row) => row ?? read[next++]);
  }
}

export function ownerNameOf(model: ProjectionModel): string {
  return `projection:${model.name}:${model.version}`;
}

/** For views in which nothing goes by time. */
const NO_TIME: TimeOrder = { time: '', tie: '' };

/** A state stands at the event time of what was folded last. */
function timeOf(last: Fact | undefined, tied: boolean): TimeOrder {
  if (!tied) return NO_TIME;
  return { time: last === undefined ? '' : orderOfNumber(last.eventTime), tie: '' };
}

/**
 * The rest of the fold key decides between two events of one aggregate and instant, the digest between two contents of one
 * identity. Only views that go by time need it, so only they pay for the digest.
 */
function timeOfEvent(fact: Fact, tied: boolean): TimeOrder {
  if (!tied) return NO_TIME;
  const time = orderOfNumber(fact.eventTime);
  const tie = `${orderOfText(fact.streamId)}\u0000${orderOfNumber(fact.sequence)}${orderOfText(fact.name)}\u0000${fact.digest}`;
  return { time, tie };
}
