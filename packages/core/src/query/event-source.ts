/** Histories: the events of one aggregate or of many, by range of event time and as known at a processing time. */
import type { EventRegistry, AggregateModel } from '../mapping/event-registry.js';
import { InvalidEventError } from '../model/errors.js';
import type { AggregateKey, Fact } from '../model/event.js';
import { compareFold } from '../model/event-order.js';
import type { ProcessingTime } from '../model/processing-id.js';
import { parseEventTime, parseProcessingBound } from '../model/time.js';
import type { Clock } from '../ports/clock.js';
import type { EventStore, EventTimeRange, ReadOptions } from '../ports/event-store.js';

/** A moment as callers give it: epoch ms, an ISO time or a `Date`. */
export type TimeInput = number | string | Date;

export interface HistoryOptions {
  readonly tenant?: string;
  /** Bounds of event time, inclusive unless told otherwise. */
  readonly from?: TimeInput;
  readonly fromExclusive?: boolean;
  readonly to?: TimeInput;
  readonly toExclusive?: boolean;
  /** Nothing that happened after this event time (inclusive; a millisecond is covered whole). */
  readonly asOf?: TimeInput;
  /** Nothing recorded after this processing time: a time, or the exact processing id of an event. */
  readonly knownAt?: TimeInput;
  /** Only events of these names. */
  readonly types?: readonly string[];
  /** `fold` (default): causal ranks first · `ascending`, `descending`: event time · all total. */
  readonly order?: 'fold' | 'ascending' | 'descending';
  /** Fills `Fact.repeats`. */
  readonly withRepeats?: boolean;
  readonly signal?: AbortSignal;
}

/** Fold order needs the history at hand: longer ones are read by event time. */
const FOLD_ORDER_MAX = 100_000;
const FOLD_ORDER_CHARACTERS_MAX = 64 * 1_048_576;

/** Whatever names an aggregate: its class, what `defineAggregate` returned, or its type. */
export type AggregateRef = object | string;

export class Histories {
  constructor(
    private readonly store: EventStore,
    private readonly registry: EventRegistry,
    private readonly clock: Clock,
  ) {}

  /**
   * The events of one aggregate. Ends early, without an error, when `signal` aborts.
   * @throws InvalidEventError `UNKNOWN_AGGREGATE`, `INVALID_TIME`, `NOT_YET_KNOWN`, `LIMIT_EXCEEDED` (fold order over 100,000 events or 64 M characters)
   */
  async *read(aggregate: AggregateRef, id: string, options: HistoryOptions = {}): AsyncIterable<Fact> {
    const model = this.registry.aggregate(aggregate);
    const read = await this.bounds(options);
    const key: AggregateKey = { tenant: options.tenant ?? '', type: model.type, id };
    if (options.order === 'ascending' || options.order === 'descending') {
      for await (const page of this.store.read(key, { ...read, descending: options.order === 'descending' }))
        yield* page;
      return;
    }
    yield* await this.inFoldOrder(model, key, read);
  }

  /** The events as an array. */
  async collect(aggregate: AggregateRef, id: string, options: HistoryOptions = {}): Promise<Fact[]> {
    const facts: Fact[] = [];
    for await (const fact of this.read(aggregate, id, options)) facts.push(fact);
    return facts;
  }

  /** The first event in the order asked for, or undefined. */
  async first(aggregate: AggregateRef, id: string, options: HistoryOptions = {}): Promise<Fact | undefined> {
    for await (const fact of this.read(aggregate, id, options)) return fact;
    return undefined;
  }

  /** The last event in the order asked for, or undefined. */
  async last(aggregate: AggregateRef, id: string, options: HistoryOptions = {}): Promise<Fact | undefined> {
    if (options.order === 'ascending') return this.first(aggregate, id, { ...options, order: 'descending' });
    if (options.order === 'descending') return this.first(aggregate, id, { ...options, order: 'ascending' });
    return (await this.collect(aggregate, id, options)).at(-1);
  }

  /** Many histories at once, read in one go, each in fold order; by id. At most 10,000 ids. */
  async preload(
    aggregate: AggregateRef,
    ids: readonly string[],
    options: Omit<HistoryOptions, 'order' | 'signal'> = {},
  ): Promise<ReadonlyMap<string, readonly Fact[]>> {
    const model = this.registry.aggregate(aggregate);
    const read = await this.bounds(options);
    const compare = compareFold(model.rankOf.bind(model));
    const histories = await this.store.readMany(
      ids.map((id) => ({ tenant: options.tenant ?? '', type: model.type, id })),
      read,
    );
    return new Map(ids.map((id, i) => [id, [...histories[i]!].sort(compare)]));
  }

  /** Turns the callers' times into bounds of the store, and closes the past that `knownAt` asks about. */
  async bounds(options: HistoryOptions): Promise<ReadOptions> {
    const range: { -readonly [K in keyof EventTimeRange]: EventTimeRange[K] } = {};
    if (options.from !== undefined) {
      range.from = parseEventTime(options.from);
      range.fromExclusive = options.fromExclusive ?? false;
    }
    if (options.to !== undefined) {
      range.to = parseEventTime(options.to);
      range.toExclusive = options.toExclusive ?? false;
    }
    if (options.asOf !== undefined) {
      const asOf = parseEventTime(options.asOf);
      if (range.to === undefined || asOf < range.to) {
        range.to = asOf;
        range.toExclusive = false;
      }
    }
    const read: { -readonly [K in keyof ReadOptions]: ReadOptions[K] } = { range };
    if (options.types !== undefined) read.names = options.types;
    if (options.withRepeats !== undefined) read.withRepeats = options.withRepeats;
    if (options.signal !== undefined) read.signal = options.signal;
    if (options.knownAt !== undefined) {
      read.knownAt = parseProcessingBound(options.knownAt);
      await this.close(read.knownAt);
    }
    return read;
  }

  /**
   * An answer as known at P must stay what it is, so P is closed before it is read: every later event gets an id above it.
   * A P still to come cannot be closed without stopping the clock, so it is refused.
   */
  private async close(knownAt: ProcessingTime): Promise<void> {
    const now = this.clock.now();
    if (knownAt.ms > now) {
      throw new InvalidEventError(
        'NOT_YET_KNOWN',
        `What is known at ${new Date(knownAt.ms).toISOString()} is still to come: it is ${new Date(now).toISOString()}.`,
        {
          fix: 'Ask for a time that has passed, or leave knownAt out for all that is recorded.',
          details: { knownAt: knownAt.ms, now },
        },
      );
    }
    await this.store.keepFloor(knownAt.ms);
  }

  private async inFoldOrder(model: AggregateModel, key: AggregateKey, read: ReadOptions): Promise<readonly Fact[]> {
    const facts: Fact[] = [];
    let characters = 0;
    for await (const page of this.store.read(key, read)) {
      for (const fact of page) {
        facts.push(fact);
        characters += fact.content.length;
      }
      if (facts.length > FOLD_ORDER_MAX || characters > FOLD_ORDER_CHARACTERS_MAX) {
        throw new InvalidEventError(
          'LIMIT_EXCEEDED',
          `${key.type} ${key.id} has more than ${FOLD_ORDER_MAX} events or ${FOLD_ORDER_CHARACTERS_MAX} characters, too many to sort in memory.`,
          {
            fix: "Read it with order: 'ascending', or in ranges of event time.",
          },
        );
      }
    }
    return facts.sort(compareFold(model.rankOf.bind(model)));
  }
}
