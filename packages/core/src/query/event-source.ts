/** Histories: the events of one aggregate or of many, by range of event time and as known at a processing time. */
import type { EventRegistry, AggregateModel } from '../mapping/event-registry.js';
import { InvalidEventError } from '../model/errors.js';
import type { AggregateKey, Fact } from '../model/event.js';
import { isCorrection } from '../model/correction.js';
import { compareFold, compareIdentity } from '../model/event-order.js';
import type { ProcessingTime } from '../model/processing-id.js';
import { formatTime, parseEventTime, parseProcessingBound } from '../model/time.js';
import type { Clock } from '../ports/clock.js';
import type { EventStore, EventTimeRange, ReadOptions } from '../ports/event-store.js';
import { readEffective, readManyEffective, rulingsOf } from './effective-history.js';

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
  /** Fills `Fact.repeats`: how often each came again until now. Not with `knownAt`, whose answers stay: when repeats came is not kept. */
  readonly withRepeats?: boolean;
  /** True: the facts as they were recorded, corrections among them. Default: the events that count, as they were corrected. */
  readonly recorded?: boolean;
  /** How long to wait for a `knownAt` that is still to come before it is refused. Default 0 ms. */
  readonly waitMs?: number;
  readonly signal?: AbortSignal;
}

/** Contents of one identity that stand beside each other. */
export interface Conflict {
  /** As recorded, in the order of their digests. */
  readonly contents: readonly Fact[];
  /** Those that count, after corrections and the aggregate's policy. */
  readonly counting: readonly Fact[];
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
      for await (const page of this.pages(model, key, { ...read, descending: options.order === 'descending' }, options))
        yield* page;
      return;
    }
    yield* await this.inFoldOrder(model, this.pages(model, key, read, options), key);
  }

  private pages(
    model: AggregateModel,
    key: AggregateKey,
    read: ReadOptions,
    options: HistoryOptions,
  ): AsyncIterable<readonly Fact[]> {
    return options.recorded === true
      ? this.store.read(key, read)
      : readEffective(this.store, model.conflicts, key, read);
  }

  /**
   * Identities of one aggregate under which several contents are recorded, with all of them and with what is left to count.
   * At most `limit` (1 to 1,000, default 100), in key order. Refuses like `read`.
   */
  async conflicts(
    aggregate: AggregateRef,
    id: string,
    options: Pick<HistoryOptions, 'tenant' | 'knownAt' | 'waitMs'> & { readonly limit?: number } = {},
  ): Promise<readonly Conflict[]> {
    const model = this.registry.aggregate(aggregate);
    const read = await this.bounds(options);
    const key: AggregateKey = { tenant: options.tenant ?? '', type: model.type, id };
    const limit = Math.min(Math.max(1, options.limit ?? 100), 1_000);
    const rulings = await rulingsOf(this.store, key, read);
    const found: Conflict[] = [];
    let group: Fact[] = [];
    const flush = (): void => {
      if (group.length > 1) found.push({ contents: group, counting: rulings.apply(group, model.conflicts) });
      group = [];
    };
    for await (const page of this.store.read(key, read)) {
      for (const fact of page) {
        if (isCorrection(fact)) continue;
        if (group.length > 0 && compareIdentity(group[0]!, fact) !== 0) flush();
        group.push(fact);
        if (found.length >= limit) return found;
      }
    }
    flush();
    return found.slice(0, limit);
  }

  /**
   * Closes the past up to now and names it: reads given this as `knownAt` all answer from what is recorded by now, whatever
   * comes meanwhile, in every process.
   */
  async pin(): Promise<string> {
    const now = this.clock.now();
    await this.store.keepFloor(now);
    return formatTime(now);
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
    const keys = ids.map((id) => ({ tenant: options.tenant ?? '', type: model.type, id }));
    const histories =
      options.recorded === true
        ? await this.store.readMany(keys, read)
        : await readManyEffective(this.store, model.conflicts, keys, read);
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
    if (options.withRepeats !== undefined && options.knownAt === undefined) read.withRepeats = options.withRepeats;
    if (options.signal !== undefined) read.signal = options.signal;
    if (options.knownAt !== undefined) {
      read.knownAt = parseProcessingBound(options.knownAt);
      await this.close(read.knownAt, options.waitMs ?? 0, options.signal);
    }
    return read;
  }

  /**
   * An answer as known at P must stay what it is, so P is closed before it is read: every later event gets an id above it.
   * A P still to come cannot be closed without stopping the clock, so it is refused.
   */
  private async close(knownAt: ProcessingTime, waitMs: number, signal: AbortSignal | undefined): Promise<void> {
    let now = this.clock.now();
    const until = this.clock.monotonicMs() + waitMs;
    while (knownAt.ms > now && signal?.aborted !== true) {
      const left = until - this.clock.monotonicMs();
      if (left <= 0) break;
      await this.clock.sleep(Math.min(left, Math.max(1, knownAt.ms - now)), signal);
      now = this.clock.now();
    }
    if (knownAt.ms > now) {
      throw new InvalidEventError(
        'NOT_YET_KNOWN',
        `What is known at ${new Date(knownAt.ms).toISOString()} is still to come: it is ${new Date(now).toISOString()}.`,
        {
          fix: 'Ask for a time that has passed, wait for it with waitMs, or leave knownAt out for all that is recorded.',
          details: { knownAt: knownAt.ms, now },
        },
      );
    }
    await this.store.keepFloor(knownAt.ms);
  }

  private async inFoldOrder(
    model: AggregateModel,
    pages: AsyncIterable<readonly Fact[]>,
    key: AggregateKey,
  ): Promise<readonly Fact[]> {
    const facts: Fact[] = [];
    let characters = 0;
    for await (const page of pages) {
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
