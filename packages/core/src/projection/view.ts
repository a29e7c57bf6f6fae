/** What a projection maintains, as its readers see it. Stop 15 of the walk: every process answers from the store, whoever writes. */
import { InvalidEventError, UnavailableError, UnsupportedError } from '../model/errors.js';
import type { Position } from '../model/position.js';
import type { WireValue } from '../model/event.js';
import type { CheckpointStore } from '../ports/checkpoint-store.js';
import type { Clock } from '../ports/clock.js';
import type { EventFeed } from '../ports/event-feed.js';
import type { Fields, FindOptions, StoredChange, StoredRow, ViewRef, ViewStore } from '../ports/view-store.js';
import type { TakenFrom } from './adoption.js';
import { reachesBeyond } from './ahead.js';
import { currentView, TAKEN_FROM, viewRefOf } from './generations.js';
import { countOf, sequencesOf, tokenOf } from './change-token.js';
import { shownOf } from './merge.js';
import { formatTime, parseEventTime } from '../model/time.js';
import { completenessOf, type Completeness } from '../time/completeness.js';
import { Settlement, SETTLEMENT_NOTES } from '../time/settlement.js';
import { TimePolicies } from '../time/time-options.js';
import type { ProjectionModel } from './projection.js';
import type { ReplayOptions } from './replay.js';
import { readSourceTable } from './source-view.js';
import { readSources, SOURCES_PACKED } from './source-track.js';
import { SETTLED_UP_TO } from './track.js';

/** One row: `value` has every field of the view class. */
export interface ViewRow<V> {
  readonly key: string;
  readonly value: V;
  /** Grows by one with each change of this row, also over a removal. */
  readonly revision: number;
  /**
   * True while it holds what is not settled yet: an event above `settledUpTo` that counts in it. One that was withdrawn or moved
   * counts at most until `settledUpTo` passes where it was, and not at all where it was far ahead of its recording, as of a
   * wrong clock. A settled row changes by stragglers and corrections only.
   */
  readonly provisional: boolean;
}

/** A change of one row: `retract` is exactly what was asserted before it. Null for a row that was not, or is no more. */
export interface ViewChange<V> {
  /** How many changes there were up to this one; of a view that is kept in shares, in the order of this reader. */
  readonly sequence: number;
  /** Resume after it: `changes({ from: token })`. Of a view that is one piece the sequence does as well. */
  readonly token: string;
  readonly key: string;
  readonly revision: number;
  readonly retract: V | null;
  readonly assert: V | null;
  /** Events that caused it, at most 8, as `type/id@time#name`. */
  readonly cause: readonly string[];
}

export interface ViewFind extends Omit<Partial<FindOptions>, 'limit'> {
  /** 1 to 10,000; default 1,000. */
  readonly limit?: number;
  /** The `next` of the page before. */
  readonly after?: string;
}

export interface ViewPage<V> {
  readonly rows: readonly ViewRow<V>[];
  /** Pass it as `after` for more; undefined at the end. */
  readonly next: string | undefined;
}

export abstract class View<V extends object = Record<string, WireValue>> {
  /** The row, or undefined when nothing contributes to it. */
  abstract get(key: string): Promise<ViewRow<V> | undefined>;
  abstract getMany(keys: readonly string[]): Promise<readonly (ViewRow<V> | undefined)[]>;
  /** Live rows by prefix or range of keys, in key order (UTF-8 bytes) or its reverse, in pages. */
  abstract find(options?: ViewFind): Promise<ViewPage<V>>;
  /**
   * Every change after `from` (default 0, the first kept; `'now'` for the end), then those to come, until `signal` aborts.
   * Who applies them holds the same view: skip revisions not above the one known. Of a view that is kept in shares a change
   * of one that the merged row does not show comes, too, with the same value before and after.
   * @throws UnavailableError `CHANGES_TRIMMED` when changes after `from` are no longer kept: read the view and go on from `'now'` ·
   * InvalidEventError `INVALID_ARGUMENT` for a `from` that is no token of this view
   */
  abstract changes(options?: {
    readonly from?: number | string;
    readonly signal?: AbortSignal;
  }): AsyncIterable<ViewChange<V>>;
  /** How many changes there were: the sequence of the last one, 0 when there was none. */
  abstract lastChange(): Promise<number>;
  /** The token of the last change: `changes({ from: token })` tells what comes after it. */
  abstract lastToken(): Promise<string>;
  /**
   * Resolves when the view holds everything up to the position of a record summary: read your own writes.
   * @throws UnavailableError `TIMEOUT` after `timeoutMs` (default 30,000)
   */
  abstract caughtUp(
    recorded: { readonly position: Position | undefined },
    options?: { readonly timeoutMs?: number },
  ): Promise<void>;
  /**
   * The event time (epoch ms) up to which the view is settled: every event at or before it that was recorded by then is in
   * it, stragglers apart. Never goes back; -Infinity before anything settled.
   */
  abstract settledUpTo(): Promise<number>;
  /**
   * Resolves when the view is settled up to this event time.
   * @throws UnavailableError `TIMEOUT` after `timeoutMs` (default: never), or `ABORTED` by `signal` · InvalidEventError `INVALID_TIME`
   */
  abstract settled(
    time: number | string | Date,
    options?: { readonly timeoutMs?: number; readonly signal?: AbortSignal },
  ): Promise<void>;
  /** What the view may be missing: sources that hold or are silent, gaps, wrong clocks, parked aggregates. */
  abstract completeness(): Promise<Completeness>;
  /**
   * The whole view as of an event time, as known at a processing time, built from the histories: the answer for a P that has
   * passed never changes. Takes time and memory by the number of aggregates and rows.
   * @throws InvalidEventError `INVALID_TIME`, `NOT_YET_KNOWN` · HandlerError `PROJECTION_FAILED` when an aggregate cannot be handled
   */
  abstract replay(options?: ReplayOptions): Promise<ReplayedView<V>>;
}

/** A view as it was, or as it was known: see `View.replay`. */
export interface ReplayedView<V> {
  get(key: string): V | undefined;
  /** All rows, ordered by UTF-8 bytes of their keys. */
  readonly rows: readonly { readonly key: string; readonly value: V }[];
}

export interface ViewParts {
  /** How late sources may be. */
  readonly time?: TimePolicies | undefined;
  /** Builds the view as of T, as known at P. */
  readonly replay?: ((options: ReplayOptions) => Promise<readonly StoredRow[]>) | undefined;
  readonly views: ViewStore;
  /** Where it is written which generation of the view is read. */
  readonly checkpoints: CheckpointStore;
  readonly feed: EventFeed;
  readonly clock: Clock;
  /** Resolves after the next step of this process's projections. */
  readonly nextStep: () => Promise<void>;
}

/** How often another process's progress is looked for. */
const POLL_MS = 20;
const CHANGES_PAGE = 500;
/** How often somebody who waits for a change looks whether another generation has taken over. */
const MOVED_POLL_MS = 50;

export class StoredView<V extends object> extends View<V> {
  constructor(
    protected readonly model: ProjectionModel,
    protected readonly parts: ViewParts,
  ) {
    super();
  }

  /** Asked anew by every call: a switch of generations is a switch of all processes. */
  protected ref(): Promise<ViewRef> {
    return currentView(this.parts.checkpoints, this.model.name, this.model.version);
  }

  override async get(key: string): Promise<ViewRow<V> | undefined> {
    return (await this.getMany([key]))[0];
  }

  override async getMany(keys: readonly string[]): Promise<readonly (ViewRow<V> | undefined)[]> {
    const ref = await this.ref();
    const rows = await this.parts.views.readRows(ref, keys);
    const settled = await this.settledIn(ref);
    return rows.map((row) => (row === undefined || row.contributors === 0 ? undefined : this.rowOf(row, settled)));
  }

  override async find(options: ViewFind = {}): Promise<ViewPage<V>> {
    const limit = options.limit ?? 1_000;
    if (!Number.isInteger(limit) || limit < 1 || limit > 10_000) {
      throw new InvalidEventError('INVALID_ARGUMENT', `A page of ${limit} rows was asked for.`, {
        fix: 'Ask for 1 to 10,000 rows and follow `next`.',
      });
    }
    const { after, ...range } = options;
    const cursor =
      after === undefined
        ? {}
        : options.descending === true
          ? { to: after, toExclusive: true }
          : { from: after, fromExclusive: true };
    const { rows, settled } = await this.findStored({ ...range, ...cursor, limit });
    return {
      rows: rows.map((row) => this.rowOf(row, settled)),
      next: rows.length === limit ? rows.at(-1)!.key : undefined,
    };
  }

  /** As the store has them; `settled` is how far the view was then. @internal */
  async findStored(options: FindOptions): Promise<{ readonly rows: readonly StoredRow[]; readonly settled: number }> {
    const ref = await this.ref();
    const rows = await this.parts.views.findRows(ref, options);
    return { rows, settled: await this.settledIn(ref) };
  }

  override async *changes(
    options: { readonly from?: number | string; readonly signal?: AbortSignal } = {},
  ): AsyncIterable<ViewChange<V>> {
    const signal = options.signal ?? new AbortController().signal;
    let [after = 0] = sequencesOf(options.from === 'now' ? await this.lastToken() : (options.from ?? 0), 1);
    while (!signal.aborted) {
      const ref = await this.ref();
      const page = await this.changesAfter(ref, after);
      for (const change of page) {
        if (signal.aborted) return;
        after = change.sequence;
        yield {
          ...change,
          token: tokenOf([after]),
          retract: this.shown(change.retract),
          assert: this.shown(change.assert),
        };
      }
      if (page.length === 0) await this.waitForChange([ref], [after], signal);
    }
  }

  /** A generation that took over begins its changes where those of the one before it end: while that is kept, who is behind reads it. */
  protected async changesAfter(ref: ViewRef, after: number): Promise<readonly StoredChange[]> {
    const { views } = this.parts;
    try {
      return await views.readChanges(ref, after, CHANGES_PAGE);
    } catch (error) {
      if (!(error instanceof UnavailableError) || error.code !== 'CHANGES_TRIMMED') throw error;
      const [note] = await views.readNotes(ref, TAKEN_FROM);
      if (note === undefined) throw error;
      const before = await this.changesAfter(viewRefOf(ref.name, note.value as unknown as TakenFrom), after);
      if (before.length === 0) throw error; // it was dropped
      return before;
    }
  }

  /** Until something may have changed in one of these, or another generation takes over. */
  protected async waitForChange(
    refs: readonly ViewRef[],
    after: readonly number[],
    signal: AbortSignal,
  ): Promise<void> {
    const ended = new AbortController();
    const end = (): void => ended.abort();
    signal.addEventListener('abort', end, { once: true });
    try {
      await Promise.race([
        ...refs.map((ref, i) => this.parts.views.waitForChange(ref, after[i]!, ended.signal)),
        this.untilMoved(refs, ended.signal),
      ]);
    } finally {
      signal.removeEventListener('abort', end);
      ended.abort();
    }
  }

  private async untilMoved(refs: readonly ViewRef[], signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.parts.clock.sleep(MOVED_POLL_MS, signal);
      if (signal.aborted) return;
      const now = await this.refs();
      if (refs.some(({ version }, i) => version !== now[i]!.version)) return;
    }
  }

  /** All places of its rows. */
  protected async refs(): Promise<readonly ViewRef[]> {
    return [await this.ref()];
  }

  override async lastChange(): Promise<number> {
    return countOf(await this.lastToken());
  }

  override async lastToken(): Promise<string> {
    return tokenOf(await Promise.all((await this.refs()).map((ref) => this.parts.views.lastChange(ref))));
  }

  override async caughtUp(
    recorded: { readonly position: Position | undefined },
    options: { readonly timeoutMs?: number } = {},
  ): Promise<void> {
    const { position } = recorded;
    if (position === undefined) return;
    const { clock, feed, views } = this.parts;
    const until = clock.monotonicMs() + (options.timeoutMs ?? 30_000);
    for (;;) {
      const step = this.parts.nextStep();
      const checkpoints = await Promise.all((await this.refs()).map((ref) => views.readCheckpoint(ref)));
      const isThere = (text: string | undefined): boolean =>
        text !== undefined && feed.parsePosition(text).covers(position);
      if (checkpoints.every(isThere) || feed.start().covers(position)) return;
      if (clock.monotonicMs() >= until) {
        throw new UnavailableError(
          'TIMEOUT',
          `The view "${this.model.name}" did not reach ${position.toString()} in time.`,
          {
            fix: 'Ask again, wait longer, or look for a parked or failing projection in the log.',
          },
        );
      }
      await Promise.race([step, clock.sleep(POLL_MS)]);
    }
  }

  override async settledUpTo(): Promise<number> {
    return Math.min(...(await Promise.all((await this.refs()).map((ref) => this.settledIn(ref)))));
  }

  protected async settledIn(ref: ViewRef): Promise<number> {
    const [note] = await this.parts.views.readNotes(ref, SETTLED_UP_TO);
    return (note?.value as number | undefined) ?? Number.NEGATIVE_INFINITY;
  }

  override async settled(
    time: number | string | Date,
    options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    const wanted = parseEventTime(time);
    const { clock } = this.parts;
    const until = clock.monotonicMs() + (options.timeoutMs ?? Number.POSITIVE_INFINITY);
    for (;;) {
      const step = this.parts.nextStep();
      const reached = await this.settledUpTo();
      if (reached >= wanted) return;
      if (options.signal?.aborted === true) {
        throw new UnavailableError('ABORTED', 'The caller ended the wait.', { fix: 'Wait again.' });
      }
      if (clock.monotonicMs() >= until) {
        throw new UnavailableError(
          'TIMEOUT',
          `The view "${this.model.name}" is settled up to ${reached === Number.NEGATIVE_INFINITY ? 'nothing' : formatTime(reached)}, not ${formatTime(wanted)}.`,
          {
            fix: 'See completeness() for the sources that hold it, and let them report, say that they are complete, or retire.',
          },
        );
      }
      await Promise.race([step, clock.sleep(POLL_MS, options.signal)]);
    }
  }

  override async completeness(): Promise<Completeness> {
    const { views, checkpoints, clock } = this.parts;
    const time = this.parts.time ?? new TimePolicies({});
    const found = await Promise.all(
      (await this.refs()).map(async (ref) => {
        const { table } = readSources(time, await views.readNotes(ref, SOURCES_PACKED), false);
        const settlement = new Settlement(await views.readNotes(ref, SETTLEMENT_NOTES));
        return completenessOf(table, settlement, { now: clock.now() });
      }),
    );
    const upTo = ({ settledUpTo }: Completeness): number => settledUpTo ?? Number.NEGATIVE_INFINITY;
    // The view is as far as the share that is least far.
    const least = found.reduce((one, other) => (upTo(other) < upTo(one) ? other : one));
    const counted = await readSourceTable(views, checkpoints, time);
    return {
      ...least,
      gaps: counted.gaps().filter(({ count }) => count > 0),
      parked: found.flatMap(({ parked }) => parked),
      stragglers: found.flatMap(({ stragglers }) => stragglers),
    };
  }

  override async replay(options: ReplayOptions = {}): Promise<ReplayedView<V>> {
    if (this.parts.replay === undefined) {
      throw new UnsupportedError('CAPABILITY_MISSING', `The view "${this.model.name}" cannot be replayed here.`, {
        fix: 'Ask the view that the context gives.',
      });
    }
    const stored = await this.parts.replay(options);
    const rows = stored.map((row) => ({ key: row.key, value: this.shown(row.fields)! }));
    const byKey = new Map(rows.map(({ key, value }) => [key, value]));
    return { rows, get: (key) => byKey.get(key) };
  }

  protected rowOf(row: StoredRow, settled: number): ViewRow<V> {
    return {
      key: row.key,
      value: this.shown(row.fields)!,
      revision: row.revision,
      provisional: reachesBeyond(row, settled),
    };
  }

  protected shown(fields: Fields | null): V | null {
    if (fields === null) return null;
    const value: Record<string, WireValue> = {};
    for (const field of this.model.fields) value[field.name] = shownOf(field, fields[field.name]);
    return value as V;
  }
}
