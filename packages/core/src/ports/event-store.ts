/**
 * Where facts are kept for good, each in its aggregate's history. Stop 8 of the walk: after the log, before the feed.
 * A history is kept in key order (event time, stream, sequence, name, digest), whatever the order of arrival.
 */
import { UnsupportedError } from '../model/errors.js';
import type { AggregateKey, Fact } from '../model/event.js';
import type { Position } from '../model/position.js';
import type { ProcessingTime } from '../model/processing-id.js';
import type { TimeRange } from '../model/time.js';
import { lacks, type Capabilities } from './capabilities.js';
import type { DecisionAnswer, DecisionAppend } from './decision.js';

/** What became of one fact. `recorded`: new under a free identity. `repeated`: same identity and content already stored. `conflicting`: same identity, new content, kept beside it. */
export type AppendOutcome = 'recorded' | 'repeated' | 'conflicting';

/** One append: facts that share one processing time. */
export interface Append {
  /** 1 to `limits.appendEvents` facts, not yet logged. */
  readonly facts: readonly Fact[];
  /** When the append reached the log, epoch ms: its processing time, unless that is not above the last one given. */
  readonly receivedAt: number;
}

export interface AppendOptions {
  /** Saved in the same transaction, or refused with `CAPABILITY_MISSING`. An old epoch is refused with `LEASE_LOST`, and then nothing is stored. */
  readonly checkpoint?: { readonly name: string; readonly value: string; readonly epoch: number };
}

export interface AppendResult {
  /** One outcome a fact, in the order of `facts`. */
  readonly outcomes: readonly AppendOutcome[];
  /** Covers every fact of this append, also those it found already stored. */
  readonly position: Position;
}

/** What the store counted of one source, beside the events that the feed shows. */
export interface SourceCounts {
  readonly streamId: string;
  readonly repeated: number;
  readonly conflicting: number;
}

/** A range of event time. Bounds are inclusive unless they say otherwise; an absent one is open. */
export type EventTimeRange = TimeRange;

export interface ReadOptions {
  readonly range?: EventTimeRange;
  /** Only events of these names. */
  readonly names?: readonly string[];
  /** Only what was recorded at or before this processing time. Needs the capability `knownAt`. */
  readonly knownAt?: ProcessingTime;
  /** Only what the feed holds before this position. */
  readonly upTo?: Position;
  readonly descending?: boolean;
  /** Facts of one page at most, 1 to 10,000; a page of large facts is shorter, so a short one need not be the last. Default 1,000. */
  readonly pageSize?: number;
  /** Fills `Fact.repeats`. */
  readonly withRepeats?: boolean;
  readonly signal?: AbortSignal;
}

/** The pages of one history. */
export interface HistoryPages extends AsyncIterable<readonly Fact[]> {
  /**
   * All of it at once, if it is no longer than one page and the store has it without waiting; undefined: iterate. A store that
   * always waits leaves this out. Most histories are short, and a state of ten events is folded in less than its promises take.
   * @throws what the first page would be rejected with
   */
  whole?(): readonly Fact[] | undefined;
  /**
   * What `readCorrections` and `readLate` say of the same aggregate, as the store has it now without waiting. Asked for
   * before `whole`: nothing can come in between.
   */
  beside?(after: ProcessingTime, limit: number): Beside;
}

/** The two short lists that a store keeps beside a history, as `EventStore.readCorrections` and `readLate` give them. */
export interface Beside {
  readonly corrections: readonly Fact[];
  readonly late: readonly Fact[];
}

/** Fixes the moment of a read; without either, now. */
export type KnownOptions = Pick<ReadOptions, 'knownAt' | 'upTo'>;

export abstract class EventStore {
  abstract readonly capabilities: Capabilities;

  /**
   * Stores each append under its own processing time, in the order given; all of them in one transaction where
   * `atomicAppend` is kept. Resolves when everything is as durable as the provider promises, not before.
   *
   * - **Idempotent**: the same fact again, also twice in one call and from several processes at once, is `repeated`;
   *   exactly one of them is `recorded`; on stores with a writer a process, of those at the very same moment in several
   *   processes at least one. A repeat is counted beside the event and adds nothing to history or feed.
   * - **Never overwrites**: other content under a known identity is kept beside it and is `conflicting`; its repeat is `repeated`.
   * - **Stamps** `processingId` and `processedAt` of the facts that are new, above every id stored and above every floor
   *   kept by `keepFloor`: so on single-writer stores feed order is id order. Facts found stored are left unstamped.
   * - **Crash** in the middle: after a restart all facts of an append are there or none; acknowledged ones are there.
   *
   * @throws UnavailableError `STORE_CLOSED`, `STORE_FULL`, `STORE_UNREACHABLE`: nothing acknowledged, retry is safe.
   * @throws ConflictError `LEASE_LOST`: the checkpoint's epoch is not the owner's; nothing stored.
   */
  abstract append(appends: readonly Append[], options?: AppendOptions): Promise<readonly AppendResult[]>;

  /**
   * Stores the events of a decision when its head is still the one it was decided on, and its command id was not decided
   * before; else nothing. Head, events and answer count together. Needs the capability `conditionalAppend`.
   *
   * - **Serial**: of several decisions on one head, in any processes, exactly one is `decided`; the head is then one greater.
   *   Facts take no part: what `append` stores moves no head, and never makes a decision `stale`.
   * - **Idempotent**: a command id is decided at most once an aggregate. Whenever it comes again it is `answered` the same,
   *   whatever else the call says.
   * - **Recorded**: when `decided`, `answered` or `stale` is told, the events of every decision up to the head it names are
   *   in the history, stamped like those of an append. Facts of a decision that does not count are left unstamped.
   * - **Crash** in the middle: the decision counts or does not. When it counts, its events are recorded no later than the next
   *   `decide` or `readHead` of the aggregate answers.
   *
   * @throws InvalidEventError `LIMIT_EXCEEDED`, `INVALID_ID`, `INVALID_TEXT`, `INVALID_ARGUMENT`; see `checkDecision`
   * @throws ConflictError `LEASE_LOST`: a greater epoch decided before; nothing stored.
   * @throws UnavailableError as `append`; also when it is not known whether the decision counts. Call again with the same command id.
   * @throws UnsupportedError `CAPABILITY_MISSING`
   */
  async decide(decision: DecisionAppend): Promise<DecisionAnswer> {
    return this.refuseDecisions(decision.aggregate);
  }

  /**
   * The number of decisions of an aggregate, 0 before the first, seen no earlier than the call: what `decide` is to be told.
   * Ask before reading the history: the events of every decision up to it are there.
   * @throws UnsupportedError `CAPABILITY_MISSING`
   */
  async readHead(aggregate: AggregateKey): Promise<number> {
    return this.refuseDecisions(aggregate);
  }

  /** As long as a store says nothing of decisions, it lacks them. */
  private refuseDecisions({ type, id }: AggregateKey): never {
    const reason = lacks(this.capabilities, 'conditionalAppend') ?? 'it does not implement them';
    throw new UnsupportedError('CAPABILITY_MISSING', `The store takes no decision of ${type} ${id}: ${reason}.`, {
      fix: 'Choose a provider that keeps "conditionalAppend", or record facts, which need no condition.',
    });
  }

  /**
   * One history in key order (or its reverse), in pages of one moment each: a fact recorded while reading may or may not be seen,
   * unless `knownAt` or `upTo` fixes the moment. Ends early, without an error, when `signal` aborts. An unknown aggregate yields no page.
   */
  abstract read(aggregate: AggregateKey, options?: ReadOptions): HistoryPages;

  /** Many histories at once, each whole and in key order, of one moment where the store can. At most 10,000 keys. */
  abstract readMany(
    aggregates: readonly AggregateKey[],
    options?: Omit<ReadOptions, 'pageSize' | 'signal'>,
  ): Promise<readonly (readonly Fact[])[]>;

  /**
   * The corrections of each aggregate (facts with the characteristics bit 4), in key order. They stand in its history, too;
   * this finds them without reading it. Most aggregates have none, which costs next to nothing. At most 10,000 keys.
   */
  abstract readCorrections(
    aggregates: readonly AggregateKey[],
    options?: KnownOptions,
  ): Promise<readonly (readonly Fact[])[]>;

  /**
   * Facts of one aggregate that were recorded above `after` and behind a later key of their history, and its corrections, in
   * recorded order, at most `limit` (1 to 10,000). What it leaves out was recorded at the end of the history: so a state
   * folded from what was recorded up to `after` is wrong at most about what this returns and what stands behind its last key.
   */
  abstract readLate(
    aggregate: AggregateKey,
    options: KnownOptions & { readonly after: ProcessingTime; readonly limit: number },
  ): Promise<readonly Fact[]>;

  /** Aggregates that have a history, in the order of their keys, behind `after`, at most `limit` (1 to 10,000): for audits. */
  abstract scanAggregates(after: AggregateKey | undefined, limit: number): Promise<readonly AggregateKey[]>;

  /** How often events of each source came again, and how often with other content, over all time. A source without either is left out. */
  abstract readSourceCounts(): Promise<readonly SourceCounts[]>;

  /**
   * Closes the past up to `ms`: afterwards no event gets a processing time at or below it, in any process.
   * Takes its turn in write order, so appends under way are either visible to reads after it or above it.
   */
  abstract keepFloor(ms: number): Promise<void>;
}
