/**
 * One projection on its way along the feed: where it stands, what is parked, and what its next step commits. Over 400 lines,
 * and one subject: rows, contributions, parkings and notes change in one commit, and each is made with a look at the others.
 */
import type { AggregateModel } from '../mapping/event-registry.js';
import type { AggregateKey, Fact, WireValue } from '../model/event.js';
import { HandlerError } from '../model/errors.js';
import { RANK_INITIAL, RANK_PLAIN } from '../model/event-order.js';
import type { Position } from '../model/position.js';
import type { OwnerRow } from '../ports/checkpoint-store.js';
import type { StoredContribution, StoredRow, ViewCommit, ViewRef, ViewStore } from '../ports/view-store.js';
import {
  addsTo,
  ContributionBuilder,
  decodeContribution,
  encodeContribution,
  NOTHING,
  sameContribution,
  type Contribution,
} from './contribution.js';
import {
  applyChanges,
  RowOverflow,
  type AppliedChanges,
  type ContributionChange,
  type RowReader,
} from './contributions.js';
import type { Folded } from './fold-cache.js';
import { orderOfNumber, orderOfText, type TimeOrder } from './merge.js';
import { ownerNameOf, TAKEN_FROM, viewRefOf, type Generation } from './generations.js';
import { Settlement, SETTLEMENT_NOTES } from '../time/settlement.js';
import { Bearing, isFarAhead, type Reach } from './ahead.js';
import { OwnCache } from './own-cache.js';
import { copyState } from './copy-state.js';
import type { Note } from './packed-notes.js';
import type { ProjectionModel, RowsContext } from './projection.js';
import { isWanted } from './shares.js';
import { SOURCES_PACKED, type StepTime } from './source-track.js';
import type { Touched } from './touched.js';

/** Weight of the rows and contributions remembered per projection, about bytes. */
const ROWS_WEIGHT = 8 * 1_048_576;
const CONTRIBUTIONS_WEIGHT = 16 * 1_048_576;

/** An aggregate a projection could not handle: it contributes nothing until a retry succeeds. */
export interface ParkedAggregate {
  readonly aggregate: AggregateKey;
  /** What the projection threw. */
  readonly error: string;
  readonly parkedAt: number;
}

export const PARKED = 'parked/';
/** The note of how far a view is settled, by itself, so that a reader of rows reads one entry. */
export const SETTLED_UP_TO = 'settled-up-to';

/** Reads what a parking withdraws. */
export type FirstAfter = (one: Touched, after: number, upTo: Position) => Promise<Fact | undefined>;

/** What a commit saves beside its rows. */
export interface CommitExtras {
  readonly notes: readonly Note[];
}

/** A step's outcome for one aggregate: its new contribution, or what was thrown. */
export type Computed = Contribution | Error;

interface StepChange extends ContributionChange {
  readonly of: Touched;
}

/** What a user's code threw. */
export function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

export class Track {
  readonly view: ViewRef;
  readonly ownerName: string;
  private readonly tied: boolean;
  /** Changes are kept for those who follow them; of what is built, once it was made ready to take over (`adoption.ts`). */
  private followed: boolean;
  readonly parked = new Map<string, ParkedAggregate>();
  /** Undefined until it is read, and after a commit that failed. */
  private settlement: Settlement | undefined;
  private inputWatermark = Number.NEGATIVE_INFINITY;
  private readonly rows: OwnCache<StoredRow>;
  private readonly contributions: OwnCache<Contribution>;

  constructor(
    readonly model: ProjectionModel,
    private readonly views: ViewStore,
    public owner: OwnerRow,
    public checkpoint: string | undefined,
    public position: Position,
    readonly generation: Generation = { version: model.version, generation: 0 },
    /** Built beside the generation that is read. */
    readonly building = false,
  ) {
    this.view = viewRefOf(model.name, generation);
    this.ownerName = ownerNameOf(model.name, generation);
    this.followed = !building;
    this.rows = new OwnCache(ROWS_WEIGHT, weightOfRow, checkpoint === undefined);
    this.contributions = new OwnCache(CONTRIBUTIONS_WEIGHT, weightOfContribution, checkpoint === undefined);
    this.tied = model.fields.some((field) => field.merge === 'latest' || field.merge === 'earliest');
  }

  private readonly reader: RowReader = {
    rows: (keys) => this.readRows(keys),
    index: (row, field, options) => this.views.readIndex(this.view, row, field, options),
  };

  wants(key: AggregateKey): boolean {
    return isWanted(this.model, key);
  }

  /** Forgets what a failed or fenced transaction may have made wrong. */
  dropCaches(): void {
    this.rows.clear();
    this.contributions.clear();
    this.settlement = undefined;
  }

  private async loadSettlement(): Promise<Settlement> {
    const notes = await this.views.readNotes(this.view, SETTLEMENT_NOTES);
    this.settlement = new Settlement(notes);
    return this.settlement;
  }

  /** What an earlier run left: parked aggregates, and what is known of sources. */
  async load(): Promise<Note[]> {
    this.parked.clear();
    for (const note of await this.views.readNotes(this.view, PARKED)) {
      this.parked.set(note.key.slice(PARKED.length), note.value as unknown as ParkedAggregate);
    }
    if (this.building) this.followed = (await this.views.readNotes(this.view, TAKEN_FROM)).length > 0;
    await this.loadSettlement();
    return this.sourceNotes();
  }

  /** What the view keeps of sources, packed. */
  async sourceNotes(): Promise<Note[]> {
    return [...(await this.views.readNotes(this.view, SOURCES_PACKED))];
  }

  /** As the notes of sources have it where the view stands. */
  stand(inputWatermark: number): void {
    this.inputWatermark = inputWatermark;
  }

  /** The contributions as they stand, by key text; unknown ones are read in one call. */
  private contributionsOf(touched: readonly Touched[]): Contribution[] | Promise<Contribution[]> {
    const found = new Array<Contribution>(touched.length);
    let missing: number[] | undefined;
    for (let i = 0; i < touched.length; i++) {
      const { text } = touched[i]!;
      const kept = this.contributions.get(text);
      if (kept !== undefined) found[i] = kept;
      else if (this.contributions.neverWritten(text)) found[i] = NOTHING;
      else (missing ??= []).push(i);
    }
    return missing === undefined ? found : this.readContributions(touched, found, missing);
  }

  private async readContributions(
    touched: readonly Touched[],
    found: Contribution[],
    missing: readonly number[],
  ): Promise<Contribution[]> {
    const read = await this.views.readContributions(
      this.view,
      missing.map((i) => touched[i]!.key),
    );
    for (let m = 0; m < missing.length; m++) found[missing[m]!] = decodeContribution(read[m], this.model.fields.length);
    return found;
  }

  /** The rows form: what the state as folded adds. A history of which nothing counts any more is none. */
  fromState(one: Touched, aggregate: AggregateModel, folded: Omit<Folded, 'eventTimeMax'>): Contribution {
    if (folded.events === 0) return NOTHING;
    const context: RowsContext = {
      tenant: one.key.tenant,
      id: one.key.id,
      incomplete: aggregate.hasInitial && folded.initials === 0,
      events: folded.events,
    };
    const rows = new ContributionBuilder(this.model.fields, NOTHING);
    rows.add(this.model.rowsOf!(copyState(folded.state), context), timeOf(folded.last, this.tied), one.text);
    return rows.done();
  }

  /** The event form: what these facts add to what was there. @param reaches filled, where given: how far each row reaches with them */
  fromEvents(
    before: Contribution,
    facts: readonly Fact[],
    text: string,
    reaches?: (number | undefined)[],
  ): Contribution {
    const rows = new ContributionBuilder(this.model.fields, before, reaches);
    for (const fact of facts) {
      const given = this.model.rowsOfEvent!(fact);
      if (given !== undefined && given !== null) rows.add(given, this.timeOfEvent(fact), text, fact.eventTime);
    }
    return rows.done();
  }

  /**
   * Fold order decides between two events of one aggregate and instant: rank, the rest of the key, and the digest between two
   * contents of one identity. Only views that go by time need it, so only they pay for the digest.
   */
  private timeOfEvent(fact: Fact): TimeOrder {
    if (!this.tied) return NO_TIME;
    const rank = this.model.rankOf?.(fact) ?? RANK_PLAIN;
    const place = `${orderOfText(fact.streamId)}\u0000${orderOfNumber(fact.sequence)}${orderOfText(fact.name)}`;
    return { time: orderOfNumber(fact.eventTime), tie: `${orderOfRank(rank)}${place}\u0000${fact.digest}` };
  }

  /**
   * Makes and commits one step. `expected` is the checkpoint it stands on; it moves to `next`.
   * @param computed what was made of each already, undefined where (in the rows form) nothing changes or (in the event form) the new events are added
   * @param held events of aggregates that are parked already
   * @param time what the step says of sources; undefined for a commit at the place where the view stands
   * @param firstAfter finds what a parking withdraws
   * @param failed told of each aggregate that is parked with this step
   * @throws what the view store throws: then nothing changed, and the caller drops the caches.
   */
  async commit(
    touched: readonly Touched[],
    computed: readonly (Computed | undefined)[] | undefined,
    held: readonly Touched[],
    time: StepTime | undefined,
    next: Position,
    now: number,
    firstAfter: FirstAfter,
    failed: (one: Touched, error: Error) => void,
    extras?: CommitExtras,
  ): Promise<void> {
    const known = this.contributionsOf(touched);
    const before = known instanceof Promise ? await known : known;
    const results: Computed[] = new Array<Computed>(touched.length);
    /** Of the event form: how far rows reach with new facts that are far ahead. */
    let news: Map<Touched, Reach> | undefined;
    const byEvent = this.model.rowsOf === undefined;
    for (let i = 0; i < touched.length; i++) {
      const one = touched[i]!;
      let result = computed?.[i];
      if (result === undefined && byEvent) {
        const reaches: (number | undefined)[] | undefined = one.facts.some(isFarAhead) ? [] : undefined;
        if (reaches !== undefined) (news ??= new Map()).set(one, reaches);
        result = this.added(one, before[i]!, reaches);
      }
      results[i] = result ??= before[i]!;
      if (result instanceof Error) failed(one, result);
    }
    const bearing = new Bearing();
    const width = this.model.fields.length;
    for (;;) {
      const changes: StepChange[] = [];
      for (let i = 0; i < touched.length; i++) {
        const result = results[i]!;
        const after = result instanceof Error ? NOTHING : result;
        const of = touched[i]!;
        if (sameContribution(before[i]!, after, width) && (after.length === 0 || !bearing.of(of, now).everywhere))
          continue;
        // A history that is folded for others of the step, too, says nothing of one row of the event form.
        const whole = byEvent ? typeof of.reach === 'object' : of.reach !== undefined;
        changes.push({ of, before: before[i]!, after, reach: whole ? of.reach : news?.get(of), whole });
      }
      try {
        const applied = await applyChanges(this.model.fields, changes, this.reader, now);
        const settlement = await this.settle(touched, results, held, time, next, firstAfter);
        await this.write(touched, results, changes, applied, settlement, time, next, now, extras);
        return;
      } catch (error) {
        if (!(error instanceof RowOverflow)) throw error;
        // The aggregates that would burst the row are parked; without them the step is made again.
        for (const change of changes) {
          if (!addsTo(change.before, error.row, width) && !addsTo(change.after, error.row, width)) continue;
          results[touched.indexOf(change.of)] = new HandlerError('PROJECTION_FAILED', error.message);
        }
      }
    }
  }

  private added(one: Touched, before: Contribution, reaches: (number | undefined)[] | undefined): Computed {
    try {
      return this.fromEvents(before, one.facts, one.text, reaches);
    } catch (error) {
      return asError(error);
    }
  }

  /** How far the view is settled with this step: parked aggregates hold the line before their first event above it. */
  private async settle(
    touched: readonly Touched[],
    results: readonly Computed[],
    held: readonly Touched[],
    time: StepTime | undefined,
    next: Position,
    firstAfter: FirstAfter,
  ): Promise<Settlement> {
    const settlement = this.settlement ?? (await this.loadSettlement());
    for (const { text, facts } of held) settlement.holdAll(text, facts);
    for (let i = 0; i < touched.length; i++) {
      const one = touched[i]!;
      const { text, facts } = one;
      if (!(results[i] instanceof Error)) {
        if (this.parked.size > 0 && this.parked.has(text)) settlement.release(text);
        continue;
      }
      settlement.holdAll(text, facts);
      // What it added before is withdrawn with the parking.
      const first = await firstAfter(one, settlement.settledUpTo, next);
      if (first !== undefined) settlement.hold(text, first.eventTime);
    }
    settlement.advance(time?.inputWatermark ?? this.inputWatermark);
    return settlement;
  }

  private async write(
    touched: readonly Touched[],
    results: readonly Computed[],
    changes: readonly StepChange[],
    applied: AppliedChanges,
    settlement: Settlement,
    time: StepTime | undefined,
    next: Position,
    now: number,
    extras: CommitExtras | undefined,
  ): Promise<void> {
    const settled = settlement.changes();
    const notes: { key: string; value: WireValue }[] = [...settled];
    if (settled.some(({ key }) => key === SETTLEMENT_NOTES)) {
      notes.push({ key: SETTLED_UP_TO, value: settlement.settledUpTo });
    }
    if (time !== undefined) {
      for (const note of time.notes) notes.push(note);
      if (this.model.statistics === true) for (const note of time.statistics) notes.push(note);
    }
    if (extras !== undefined) notes.push(...extras.notes);
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
      } else if (this.parked.size > 0 && this.parked.has(text)) notes.push({ key: PARKED + text, value: null });
    }
    const contributions: StoredContribution[] = [];
    const forget: AggregateKey[] = [];
    for (const { of, after } of changes) {
      if (after.length === 0) forget.push(of.key);
      else contributions.push({ aggregate: of.key, value: encodeContribution(after) });
    }
    const commit: ViewCommit = {
      view: this.view,
      owner: this.ownerName,
      epoch: this.owner.epoch,
      expected: this.checkpoint,
      checkpoint: next.toString(),
      rows: applied.rows,
      contributions,
      forget,
      indexAdd: applied.indexAdd,
      indexRemove: applied.indexRemove,
      changes: this.followed ? applied.changes : [],
      notes,
    };
    try {
      await this.views.commit(commit);
    } catch (error) {
      this.settlement = undefined;
      throw error;
    }
    settlement.saved();
    if (time !== undefined) this.inputWatermark = time.inputWatermark;
    this.checkpoint = commit.checkpoint;
    this.position = next;
    for (const row of applied.rows) this.rows.set(row.key, row, row.revision === 1);
    for (const { of, before, after } of changes) this.contributions.set(of.text, after, before.length === 0);
    for (const note of notes) {
      if (!note.key.startsWith(PARKED)) continue;
      const text = note.key.slice(PARKED.length);
      if (note.value === null) this.parked.delete(text);
      else this.parked.set(text, note.value as unknown as ParkedAggregate);
    }
  }

  /**
   * Writes rows as they are given, at the place where the view stands: what takes over from another generation, or is mended.
   * The caller drops the caches.
   */
  async put(
    parts: Partial<
      Pick<
        ViewCommit,
        'rows' | 'contributions' | 'forget' | 'indexAdd' | 'indexRemove' | 'changes' | 'changesFrom' | 'notes'
      >
    >,
  ): Promise<void> {
    await this.views.commit({
      view: this.view,
      owner: this.ownerName,
      epoch: this.owner.epoch,
      expected: this.checkpoint,
      checkpoint: this.checkpoint ?? this.position.toString(),
      rows: [],
      contributions: [],
      forget: [],
      indexAdd: [],
      indexRemove: [],
      changes: [],
      notes: [],
      ...parts,
    });
    this.checkpoint ??= this.position.toString();
  }

  private async readRows(keys: readonly string[]): Promise<readonly (StoredRow | undefined)[]> {
    const found = keys.map((key) => this.rows.get(key));
    const missing = keys.filter((key, i) => found[i] === undefined && !this.rows.neverWritten(key));
    if (missing.length === 0) return found;
    const read = await this.views.readRows(this.view, missing);
    let next = 0;
    return keys.map((key, i) => found[i] ?? (missing[next] === key ? read[next++] : undefined));
  }
}

function weightOfRow(row: StoredRow): number {
  let weight = 200 + row.key.length;
  for (const [aggregate] of row.ahead ?? []) weight += 100 + aggregate.length;
  for (const value of Object.values(row.fields)) {
    weight += typeof value === 'string' ? 24 + value.length : Array.isArray(value) ? 24 + 40 * value.length : 24;
  }
  return weight;
}

function weightOfContribution(contribution: Contribution): number {
  return 150 + contribution.length * 24;
}

/** For views in which nothing goes by time. */
const NO_TIME: TimeOrder = { time: '', tie: '' };

/** A state stands at the event time of what was folded last. */
function timeOf(last: Fact | undefined, tied: boolean): TimeOrder {
  if (!tied) return NO_TIME;
  return { time: last === undefined ? '' : orderOfNumber(last.eventTime), tie: '' };
}

/** A causal rank in 8 hex digits that sort as ranks do. */
function orderOfRank(rank: number): string {
  return (rank - RANK_INITIAL).toString(16).padStart(8, '0');
}
