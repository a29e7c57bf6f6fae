/** States: what an aggregate is, was at an event time, or was known to be at a processing time. Always a fold of its history. */
import type { AggregateLike, StateOf as StateOfAggregate } from '../mapping/event-class.js';
import type { EventRegistry, AggregateModel } from '../mapping/event-registry.js';
import { RANK_INITIAL, RANK_TERMINAL } from '../model/event-order.js';
import type { AggregateKey, Fact } from '../model/event.js';
import type { EventStore, ReadOptions } from '../ports/event-store.js';
import type { AggregateRef, Histories, HistoryOptions, TimeInput } from './event-source.js';
import { foldHistory, inFoldOrder } from './fold-history.js';

export interface StateOptions {
  readonly tenant?: string;
  /** As of this event time, inclusive. Default: all that happened. */
  readonly asOf?: TimeInput;
  /** As known at this processing time, inclusive. Default: all that is recorded. */
  readonly knownAt?: TimeInput;
}

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

export class States {
  constructor(
    private readonly store: EventStore,
    private readonly registry: EventRegistry,
    private readonly histories: Histories,
  ) {}

  /**
   * The state, or undefined when there is no event in the bounds.
   * @throws InvalidEventError `UNKNOWN_AGGREGATE`, `INVALID_TIME`, `NOT_YET_KNOWN`
   */
  async get<A extends AggregateRef>(
    aggregate: A,
    id: string,
    options: StateOptions = {},
  ): Promise<AggregateState<StateOf<A>> | undefined> {
    const model = this.registry.aggregate(aggregate);
    const bounds = await this.histories.bounds(options as HistoryOptions);
    return (await this.fold(model, { tenant: options.tenant ?? '', type: model.type, id }, bounds)) as
      AggregateState<StateOf<A>> | undefined;
  }

  /** Many states, read in one go; by id, without those that have no event. At most 10,000 ids. */
  async getMany<A extends AggregateRef>(
    aggregate: A,
    ids: readonly string[],
    options: StateOptions = {},
  ): Promise<ReadonlyMap<string, AggregateState<StateOf<A>>>> {
    const model = this.registry.aggregate(aggregate);
    const bounds = await this.histories.bounds(options as HistoryOptions);
    const histories = await this.store.readMany(
      ids.map((id) => ({ tenant: options.tenant ?? '', type: model.type, id })),
      bounds,
    );
    const states = new Map<string, AggregateState<StateOf<A>>>();
    for (let i = 0; i < ids.length; i++) {
      const facts = inFoldOrder(model, histories[i]!);
      if (facts.length === 0) continue;
      const tally = new Tally(model);
      for (const fact of facts) tally.take(fact);
      states.set(ids[i]!, tally.result(ids[i]!) as AggregateState<StateOf<A>>);
    }
    return states;
  }

  private async fold(
    model: AggregateModel,
    key: AggregateKey,
    bounds: ReadOptions,
  ): Promise<AggregateState<object> | undefined> {
    const tally = new Tally(model);
    const { events } = await foldHistory(this.store, model, key, bounds, (fact) => tally.take(fact));
    return events === 0 ? undefined : tally.result(key.id);
  }
}

/** Folds and counts what is odd, in one pass over fold order. */
class Tally {
  private state: object;
  private events = 0;
  private initials = 0;
  private lastEventTime = Number.NEGATIVE_INFINITY;
  private firstTerminal = Number.POSITIVE_INFINITY;
  private readonly times: number[] = [];

  constructor(private readonly model: AggregateModel) {
    this.state = model.newState() as object;
  }

  take(fact: Fact): void {
    const rank = this.model.rankOf(fact);
    this.state = this.model.apply(this.state, fact) as object;
    this.events++;
    if (rank === RANK_INITIAL) this.initials++;
    if (rank === RANK_TERMINAL && fact.eventTime < this.firstTerminal) this.firstTerminal = fact.eventTime;
    if (fact.eventTime > this.lastEventTime) this.lastEventTime = fact.eventTime;
    this.times.push(fact.eventTime);
  }

  result(id: string): AggregateState<object> {
    let afterTerminal = 0;
    if (this.lastEventTime > this.firstTerminal)
      for (const time of this.times) if (time > this.firstTerminal) afterTerminal++;
    return {
      id,
      state: this.state,
      events: this.events,
      incomplete: this.model.hasInitial && this.initials === 0,
      extraInitial: Math.max(0, this.initials - 1),
      afterTerminal,
      lastEventTime: this.lastEventTime,
    };
  }
}
