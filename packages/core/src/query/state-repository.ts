/** States: what an aggregate is, was at an event time, or was known to be at a processing time. Always a fold of its history. */
import type { AggregateLike, StateOf as StateOfAggregate } from '../mapping/event-class.js';
import type { EventRegistry, AggregateModel } from '../mapping/event-registry.js';
import { effectiveFacts } from '../model/effective-facts.js';
import { InvalidEventError } from '../model/errors.js';
import { compareProcessingTime, parseProcessingId, type ProcessingTime } from '../model/processing-id.js';
import { parseEventTime, parseProcessingBound } from '../model/time.js';
import type { AggregateKey, Fact } from '../model/event.js';
import type { EventStore, ReadOptions } from '../ports/event-store.js';
import { readManyEffective } from './effective-history.js';
import type { AggregateRef, Histories, HistoryOptions, TimeInput } from './event-source.js';
import { inFoldOrder } from './fold-history.js';
import { moversOf } from './movers.js';
import { foldFrom, foldNow, type Snapshots } from './snapshots.js';
import { Tally } from './tally.js';

export interface StateOptions {
  readonly tenant?: string;
  /** As of this event time, inclusive. Default: all that happened. */
  readonly asOf?: TimeInput;
  /** As known at this processing time, inclusive. Default: all that is recorded. */
  readonly knownAt?: TimeInput;
  /** How long to wait for a `knownAt` that is still to come before it is refused. Default 0 ms. */
  readonly waitMs?: number;
}

/** What was learned at one moment of processing time, and the answer from then on. */
export interface Learned<S> {
  /** Processing time, epoch ms. */
  readonly recordedAt: number;
  /**
   * Of the facts recorded then, corrections among them, those that moved the answer: without any one of them, those not named
   * left out, it would be another. Never empty; in key order. One that changed nothing is not named, nor a second that came
   * to the same as a first. Beyond 2,000 answers of one call to find them, all that were not looked at are named.
   */
  readonly events: readonly Fact[];
  /** Undefined when nothing counts any more. */
  readonly state: S | undefined;
}

/** How an answer moved between two moments of knowledge. */
export interface Changed<S> {
  /** As known at P1; undefined when there was no event. */
  readonly before: S | undefined;
  /** As known at P2. */
  readonly after: S | undefined;
  /** In the order of knowledge; only moments at which the answer moved. */
  readonly learned: readonly Learned<S>[];
}

/** Moments at which something of the aggregate was recorded, of one `whatChanged`, at most: each is folded. */
const MOMENTS_MAX = 1_000;
/** Answers worked out to tell which facts of a moment moved it: twice what the moments themselves may take. */
const MOVER_ANSWERS_MAX = 2_000;
const NONE: ReadonlySet<Fact> = new Set();

/** A state and what is odd about its history. The state is the caller's own: changing it changes nothing else. */
export interface AggregateState<S> {
  readonly id: string;
  readonly state: S;
  readonly events: number;
  /** The aggregate declares an initial event and none has come. */
  readonly incomplete: boolean;
  /** Initial events beyond the first: kept, folded first in order, and counted here. */
  readonly extraInitial: number;
  /** Events that happened after the first terminal one: kept, folded before it by rank, and counted here. */
  readonly afterTerminal: number;
  /** Event time of the latest event, epoch ms. */
  readonly lastEventTime: number;
}

type StateOf<A> = A extends AggregateLike ? StateOfAggregate<A> : object;

const NO_BOUNDS: ReadOptions = {};

export class States {
  constructor(
    private readonly store: EventStore,
    private readonly registry: EventRegistry,
    private readonly histories: Histories,
    /** Where folds of long histories may start. Without, they start at the beginning: the answers are the same. */
    private readonly snapshots?: Snapshots,
  ) {}

  /**
   * The state, or undefined when there is no event in the bounds. Of a long history only what stands behind the nearest
   * valid snapshot is read.
   * @throws InvalidEventError `UNKNOWN_AGGREGATE`, `INVALID_TIME`, `NOT_YET_KNOWN`
   */
  async get<A extends AggregateRef>(
    aggregate: A,
    id: string,
    options: StateOptions = {},
  ): Promise<AggregateState<StateOf<A>> | undefined> {
    const model = this.registry.aggregate(aggregate);
    const given = this.boundsOf(options);
    const bounds = given instanceof Promise ? await given : given;
    const { snapshots, store } = this;
    const key: AggregateKey = { tenant: options.tenant ?? '', type: model.type, id };
    const folded =
      foldNow(snapshots, store, model, key, bounds) ?? (await foldFrom(snapshots, store, model, key, bounds));
    return folded.events === 0 ? undefined : (stateOf(model, id, folded) as AggregateState<StateOf<A>>);
  }

  /** Many states, read in one go; by id, without those that have no event. At most 10,000 ids. */
  async getMany<A extends AggregateRef>(
    aggregate: A,
    ids: readonly string[],
    options: StateOptions = {},
  ): Promise<ReadonlyMap<string, AggregateState<StateOf<A>>>> {
    const model = this.registry.aggregate(aggregate);
    const bounds = await this.boundsOf(options);
    const histories = await readManyEffective(
      this.store,
      model.conflicts,
      ids.map((id) => ({ tenant: options.tenant ?? '', type: model.type, id })),
      bounds,
    );
    const states = new Map<string, AggregateState<StateOf<A>>>();
    for (let i = 0; i < ids.length; i++) {
      const facts = inFoldOrder(model, histories[i]!);
      if (facts.length === 0) continue;
      const tally = new Tally(model);
      for (const fact of facts) tally.take(fact, model.rankOf(fact));
      states.set(ids[i]!, stateOf(model, ids[i]!, tally) as AggregateState<StateOf<A>>);
    }
    return states;
  }

  /**
   * What was learned of one aggregate between two processing times (after P1, up to P2), and how the answer as of `asOf`
   * moved: the same as asking at every P between, in one read.
   * @throws InvalidEventError as `get`; `INVALID_ARGUMENT` when P2 is before P1; `LIMIT_EXCEEDED` when the aggregate was recorded at more than 1,000 moments between them
   */
  async whatChanged<A extends AggregateRef>(
    aggregate: A,
    id: string,
    options: { readonly tenant?: string; readonly asOf?: TimeInput; readonly between: readonly [TimeInput, TimeInput] },
  ): Promise<Changed<StateOf<A>>> {
    const model = this.registry.aggregate(aggregate);
    const [p1, p2] = [parseProcessingBound(options.between[0]), parseProcessingBound(options.between[1])];
    if (compareProcessingTime(p2, p1) < 0) {
      throw new InvalidEventError('INVALID_ARGUMENT', 'The second moment of knowledge is before the first.', {
        fix: 'Pass the earlier one first: between: [P1, P2].',
      });
    }
    const facts = await this.histories.collect(aggregate, id, {
      ...(options.tenant === undefined ? {} : { tenant: options.tenant }),
      knownAt: options.between[1],
      recorded: true,
      order: 'ascending',
    });
    const asOf = options.asOf === undefined ? Number.POSITIVE_INFINITY : parseEventTime(options.asOf);
    const timed = facts.map((fact) => ({ fact, time: parseProcessingId(fact.processingId) }));
    const moments = new Map<string, { readonly time: ProcessingTime; readonly facts: Fact[] }>();
    for (const { fact, time } of [...timed].sort((a, b) => compareProcessingTime(a.time, b.time))) {
      // Also what happened later than T: an amendment may have put it before.
      if (compareProcessingTime(time, p1) <= 0) continue;
      const key = `${time.ms}.${time.tick}`;
      const moment = moments.get(key);
      if (moment === undefined) moments.set(key, { time, facts: [fact] });
      else moment.facts.push(fact);
    }
    if (moments.size > MOMENTS_MAX) {
      throw new InvalidEventError(
        'LIMIT_EXCEEDED',
        `${model.type} ${id} was recorded at ${moments.size} moments between these two; ${MOMENTS_MAX} can be compared.`,
        { fix: 'Ask about a shorter time of knowledge.' },
      );
    }
    const answer = (
      at: ProcessingTime,
      away = NONE,
    ): { readonly state: StateOf<A> | undefined; readonly text: string } => {
      const known = timed
        .filter(({ time, fact }) => compareProcessingTime(time, at) <= 0 && !away.has(fact))
        .map(({ fact }) => fact);
      const counting = effectiveFacts(known, model.conflicts).filter((fact) => fact.eventTime <= asOf);
      if (counting.length === 0) return { state: undefined, text: '' };
      const tally = new Tally(model);
      for (const fact of inFoldOrder(model, counting)) tally.take(fact, model.rankOf(fact));
      return { state: tally.state as StateOf<A>, text: JSON.stringify(tally.state) };
    };
    const before = answer(p1);
    let last = before;
    const learned: Learned<StateOf<A>>[] = [];
    const budget = { left: MOVER_ANSWERS_MAX };
    for (const { time, facts: recorded } of moments.values()) {
      const now = answer(time);
      if (now.text !== last.text) {
        const events = moversOf(recorded, (away) => answer(time, away).text === now.text, budget);
        learned.push({ recordedAt: time.ms, events, state: now.state });
      }
      last = now;
    }
    return { before: before.state, after: last.state, learned };
  }

  /** Most states are asked for as they are now, which needs no bound and no promise. */
  private boundsOf(options: StateOptions): ReadOptions | Promise<ReadOptions> {
    if (options.asOf === undefined && options.knownAt === undefined) return NO_BOUNDS;
    return this.histories.bounds(options as HistoryOptions);
  }
}

/** A fold as callers get it. */
function stateOf(
  model: AggregateModel,
  id: string,
  folded: Pick<Tally, 'state' | 'events' | 'initials' | 'afterTerminal' | 'eventTimeMax'>,
): AggregateState<object> {
  return {
    id,
    state: folded.state,
    events: folded.events,
    incomplete: model.hasInitial && folded.initials === 0,
    extraInitial: Math.max(0, folded.initials - 1),
    afterTerminal: folded.afterTerminal,
    lastEventTime: folded.eventTimeMax,
  };
}
