/**
 * Stop 3 of the walk, and the one entry to the road: receive → validate → deduplicate → [buffer] → log and store → publish.
 * A single event, an array and a stream of any length take the same way, in batches. Over 400 lines, and one subject: the order of the stages.
 */
import type { AggregateModel, EventModel } from '../mapping/event-registry.js';
import type { EventClass } from '../mapping/event-class.js';
import type { AggregateLike } from '../mapping/event-class.js';
import { emitterFor, type EmitterOptions, type TypedEmitter } from '../mapping/typed-emitter.js';
import { ConfigurationError, InvalidEventError, UnavailableError } from '../model/errors.js';
import type { EventInput } from '../model/event-input.js';
import { limits } from '../model/limits.js';
import type { Position } from '../model/position.js';
import type { Clock } from '../ports/clock.js';
import type { AppendOptions, AppendResult, EventStore } from '../ports/event-store.js';
import type { EventTransport } from '../ports/event-transport.js';
import type { Quarantine } from '../ports/quarantine.js';
import { isReserved } from '../time/source-facts.js';
import { Admission } from './admission.js';
import { Batch, BatchItem } from './batch.js';
import type { AdmitAdded } from './batch.js';
import { EventBuffer, type BufferState } from './buffer.js';
import type { Deduplicator } from './deduplicator.js';
import { appendsOf, settle } from './event-log.js';
import { MiddlewareChain, middlewareMetaOf } from './middleware.js';
import type { BatchMiddleware, ChainRun, MiddlewareOptions, Stage } from './middleware.js';
import { Publisher } from './publisher.js';
import type { FactConsumer, TransientHandler } from './publisher.js';
import { QuarantineKeeper } from './quarantine-keeper.js';
import { Receiver } from './receiver.js';
import type { KnownAggregates } from './receiver.js';
import { RecordStream } from './record-stream.js';
import type { StreamHost } from './record-stream.js';
import type { RecordOptions, RecordSummary, StreamItem } from './record.js';

/** Lets batches of streams through, one after the other. */
export interface BatchPacer {
  /** A promise means wait; it never rejects. */
  turn(events: number): Promise<void> | undefined;
  /** Called once for each turn: where the batch was recorded, undefined when it was not. */
  done(events: number, position: Position | undefined): void;
}

export interface EventBusOptions {
  readonly registry: KnownAggregates & {
    aggregate(target: object): AggregateModel;
    aggregatesOf(event: EventClass): readonly AggregateModel[];
  };
  readonly store: EventStore;
  readonly quarantine: Quarantine;
  readonly clock: Clock;
  /** The durable slot: events are answered `buffered`, and stored by a consumer of it (`startBuffer`). */
  readonly transport?: EventTransport | undefined;
  /** Only with a transient cache. */
  readonly deduplicator?: Deduplicator | undefined;
  /** Told what went wrong where no sender could be told: a subscriber, a middleware after the store, a cache. */
  readonly onError: (error: unknown, where: string) => void;
  /** Items of a stream's or the buffer's batch, at most. Default 512. */
  readonly batchSizeMax?: number;
  /** Items under way over all calls, at most; a raw input counts once for each 2 kB. Default 16,384: some 30 MB on their way. */
  readonly itemsInFlightMax?: number;
  /** Calls that may wait for room before the next is refused with `OVERLOADED`. Default 10,000. */
  readonly callsWaitingMax?: number;
  /** Holds batches of streams back while what follows the store is behind. */
  readonly pacer?: BatchPacer | undefined;
  /** Facts waiting for transient subscribers, at most. Default 10,000. */
  readonly publishQueueMax?: number;
}

const NO_OPTIONS: RecordOptions = {};
const NO_RESULTS: readonly AppendResult[] = Object.freeze([]);
const DEFAULT_SOURCE = 'record';
/** About 150 kB of events: one disk flush is then a small part of a batch's time. */
const BATCH_SIZE_MAX = 512;

export class EventBus {
  /** Transient subscribers of this process, and how many facts found their queue full. */
  readonly publisher: Publisher;
  private readonly chains: Readonly<Record<Stage, MiddlewareChain>>;
  private readonly receiver: Receiver;
  /** Validates what a middleware adds: a complete event, to which the sender's decoder and clock mean nothing. */
  private readonly admitAdded: AdmitAdded;
  private readonly keeper: QuarantineKeeper;
  private readonly admission: Admission;
  private readonly buffer: EventBuffer | undefined;
  private readonly streams = new Set<RecordStream>();
  private readonly host: StreamHost;
  private draining = false;
  private pacing: Promise<void> = Promise.resolve();
  private drained: Promise<void> | undefined = undefined;
  private calls = 0;
  private idle: (() => void) | undefined = undefined;

  constructor(private readonly options: EventBusOptions) {
    const chain = (stage: Stage, inner: (batch: Batch) => Promise<void>): MiddlewareChain =>
      new MiddlewareChain({ inner, report: (error) => options.onError(error, `a middleware of stage ${stage}`) });
    this.chains = {
      receive: chain('receive', (batch) => this.hold(batch)),
      log: chain('log', (batch) => this.store(batch)),
      publish: chain('publish', async (batch) => this.publish(batch)),
    };
    this.receiver = new Receiver(options.registry);
    this.admitAdded = (item) => {
      item.receivedAt = options.clock.now();
      return this.receiver.admit(item, NO_OPTIONS, -1);
    };
    this.keeper = new QuarantineKeeper(options.quarantine, options.clock);
    this.admission = new Admission(options.itemsInFlightMax ?? 16_384, options.callsWaitingMax ?? 10_000);
    this.publisher = new Publisher({ queueMax: options.publishQueueMax ?? 10_000, onError: options.onError });
    this.buffer =
      options.transport === undefined
        ? undefined
        : new EventBuffer({
            transport: options.transport,
            clock: options.clock,
            batchSizeMax: options.batchSizeMax ?? BATCH_SIZE_MAX,
            admit: this.admitAdded,
            store: (batch) => this.storeBuffered(batch),
          });
    this.host = {
      now: () => options.clock.now(),
      enter: (items, weight, call) => this.enterStream(items, weight, call),
      leave: (weight) => this.admission.leave(weight),
      take: (items, call, firstIndex, turn) => this.takeStream(items, call, firstIndex, turn),
    };
  }

  /** Adds a middleware to its stage, before the first `record()`. @throws ConfigurationError `INVALID_OPTION` when nothing tells the stage */
  use(
    middleware: BatchMiddleware,
    options: Pick<MiddlewareOptions, 'stage' | 'order'> | undefined = middlewareMetaOf(middleware.constructor),
  ): void {
    if (options === undefined) {
      throw new ConfigurationError(
        'INVALID_OPTION',
        `${middleware.constructor.name} does not say around which stage it stands.`,
        {
          fix: 'Mark it with @Middleware({ stage: … }).',
        },
      );
    }
    this.chains[options.stage].use(middleware, options.order ?? 0);
  }

  /**
   * Takes events in. Resolves when each is as durable as promised: in the store (`recorded`, `repeated`, `conflicting`),
   * or in the durable layer (`buffered`); or is answered otherwise (`rejected`, `dropped`). One bad event never blocks or reorders another.
   *
   * - One event or an array: one append, one processing time. At most `limits.appendEvents`.
   * - An async iterable: any length in flat memory; each item is an append of its own. It rejects when the source, a batch or the
   *   caller's signal ends it; what was stored by then stays, and `summaryOf(error)` tells it.
   *
   * @throws UnavailableError `SHUTTING_DOWN`, `OVERLOADED`, `ABORTED`, or the store's · whatever a middleware throws before the store
   */
  record(input: EventInput | readonly EventInput[], options?: RecordOptions): Promise<RecordSummary>;
  record(stream: AsyncIterable<StreamItem>, options?: RecordOptions): Promise<RecordSummary>;
  record(
    input: EventInput | readonly EventInput[] | AsyncIterable<StreamItem>,
    options: RecordOptions = NO_OPTIONS,
  ): Promise<RecordSummary> {
    if (this.draining) return Promise.reject(shuttingDown());
    if (!Array.isArray(input) && isStream(input)) return this.recordStream(input, options);
    return this.recordItems(input as EventInput | readonly EventInput[], options);
  }

  /**
   * A typed emitter of one aggregate's events: `events.for(Parcel, id).record(at(when, new ReceivedAtDepot('Lewisham')))`.
   * @throws InvalidEventError `UNKNOWN_AGGREGATE` for an aggregate this context does not have; it registers none
   */
  for<A extends AggregateLike>(
    aggregate: A,
    id: string,
    options: EmitterOptions & RecordOptions = {},
  ): TypedEmitter<A, Promise<RecordSummary>> {
    const model = this.options.registry.aggregate(aggregate) as AggregateModel<A>;
    return emitterFor(model, id, (events) => this.record(events, options), options);
  }

  /**
   * Calls `consumer` for what this process records from now on, in order of arrival, `recorded` and `conflicting` events alike.
   * `event` is a fresh instance of its class (undefined with `'all'`). The result ends it. Nothing is guaranteed: see `Publisher`.
   * @throws ConfigurationError `EVENT_WITHOUT_AGGREGATE` for a class that no aggregate lists
   */
  subscribe(types: readonly EventClass[] | 'all', consumer: FactConsumer): () => void {
    if (types === 'all') return this.publisher.subscribe(undefined, consumer);
    const models: EventModel[] = [];
    for (const type of types) {
      const before = models.length;
      for (const aggregate of this.options.registry.aggregatesOf(type)) {
        for (const event of aggregate.events.values()) if (event.cls === type) models.push(event);
      }
      if (models.length === before) {
        throw new ConfigurationError(
          'EVENT_WITHOUT_AGGREGATE',
          `No aggregate of this context lists the event ${type.name}.`,
          {
            fix: 'List it in an aggregate’s events, or subscribe in its own context.',
          },
        );
      }
    }
    return this.publisher.subscribe(models, consumer);
  }

  /** Adds a provider's handler with the transient schedule. */
  handle(model: EventModel, handler: TransientHandler, name: string): () => void {
    return this.publisher.handle(model, handler, name);
  }

  /** How the buffer is doing; undefined without a durable slot. @internal `Concursus.buffer` is the public way. */
  async bufferState(): Promise<BufferState | undefined> {
    return this.buffer?.state();
  }

  /** Starts the consumer that takes buffered events to the store; without a durable slot there is nothing to start. */
  async startBuffer(): Promise<void> {
    await this.buffer?.start();
  }

  /**
   * Refuses new work with `SHUTTING_DOWN`, ends streams at their batch, finishes what is under way, then what waits for subscribers.
   * Idempotent. `flush` runs when nothing new can come and the buffer's consumer still works: a durable layer that does not survive
   * the process is emptied into the store there.
   */
  drain(flush?: () => Promise<void> | undefined): Promise<void> {
    this.drained ??= this.finish(flush);
    return this.drained;
  }

  private async finish(flush: (() => Promise<void> | undefined) | undefined): Promise<void> {
    this.draining = true;
    for (const stream of this.streams) stream.stop(shuttingDown());
    while (this.calls > 0) await new Promise<void>((resolve) => (this.idle = resolve));
    await flush?.();
    await this.buffer?.stop();
    await this.options.deduplicator?.idle();
    await this.publisher.idle();
  }

  /** One promise a call, beside the store's own: what need not be waited for is done at once. */
  private async recordItems(input: EventInput | readonly EventInput[], options: RecordOptions): Promise<RecordSummary> {
    if (options.signal?.aborted === true) throw aborted();
    const batch = this.batchOf(input, options);
    const size = batch.items.length;
    this.calls++;
    try {
      const waitMs = this.keeper.waitMs(batch.items, batch.source);
      if (waitMs > 0) await this.options.clock.sleep(waitMs, options.signal);
      const turn = this.admission.enter(size, true);
      try {
        if (turn !== undefined) await turn;
        const received = this.receiver.receive(batch, options, 0);
        if (received !== undefined) await received;
        const kept = this.conclude(batch, await this.handOn(batch));
        if (kept !== undefined) await kept;
      } finally {
        this.admission.leave(size);
      }
    } finally {
      this.ended();
    }
    return batch.summary();
  }

  /** @throws InvalidEventError `LIMIT_EXCEEDED` */
  private batchOf(input: EventInput | readonly EventInput[], options: RecordOptions): Batch {
    const receivedAt = this.options.clock.now();
    if (!Array.isArray(input)) return this.newBatch(true, options, [itemOf(input as EventInput, 1, receivedAt)]);
    const inputs = input as readonly EventInput[];
    if (inputs.length > limits.appendEvents) {
      throw new InvalidEventError(
        'LIMIT_EXCEEDED',
        `${inputs.length} events in one call; ${limits.appendEvents} are allowed.`,
        {
          fix: 'Send them as an async iterable: any length, each its own append.',
        },
      );
    }
    const items = Array<BatchItem>(inputs.length);
    for (let i = 0; i < inputs.length; i++) items[i] = itemOf(inputs[i]!, i + 1, receivedAt);
    return this.newBatch(true, options, items);
  }

  private async recordStream(input: AsyncIterable<StreamItem>, options: RecordOptions): Promise<RecordSummary> {
    const stream = new RecordStream(
      this.host,
      options,
      Math.max(1, options.batchSizeMax ?? this.options.batchSizeMax ?? BATCH_SIZE_MAX),
    );
    this.streams.add(stream);
    this.calls++;
    try {
      return await stream.run(input);
    } finally {
      this.streams.delete(stream);
      this.ended();
    }
  }

  private async enterStream(items: readonly BatchItem[], weight: number, options: RecordOptions): Promise<void> {
    const waitMs = this.keeper.waitMs(items, options.source ?? DEFAULT_SOURCE);
    if (waitMs > 0) await this.options.clock.sleep(waitMs, options.signal);
    const { pacer } = this.options;
    if (pacer !== undefined) await (this.pacing = this.pacing.then(() => pacer.turn(items.length)));
    const turn = this.admission.enter(weight, false);
    if (turn !== undefined) await turn;
  }

  private async takeStream(
    items: BatchItem[],
    options: RecordOptions,
    firstIndex: number,
    turn: Promise<void> | undefined,
  ): Promise<Batch> {
    const batch = this.newBatch(false, options, items);
    try {
      await this.run(batch, options, firstIndex, turn);
    } finally {
      this.options.pacer?.done(items.length, batch.position);
    }
    return batch;
  }

  private newBatch(together: boolean, options: RecordOptions, items: BatchItem[]): Batch {
    return new Batch(together, options.source ?? DEFAULT_SOURCE, this.admitAdded, options, items);
  }

  /** The road of a stream's batch, from validation to publication. */
  private async run(
    batch: Batch,
    options: RecordOptions,
    firstIndex: number,
    turn: Promise<void> | undefined,
  ): Promise<void> {
    const received = this.receiver.receive(batch, options, firstIndex);
    if (received !== undefined) await received;
    if (turn !== undefined) await turn;
    const kept = this.conclude(batch, await this.handOn(batch));
    if (kept !== undefined) await kept;
  }

  /**
   * Hands a validated batch on. On the plain road the promise is the store's own, so that a call makes no other, and
   * `conclude` says what the answer means; elsewhere everything is done when it resolves.
   */
  private handOn(batch: Batch): Promise<readonly AppendResult[] | void> {
    const { receive, log, publish } = this.chains;
    if (!receive.empty) return this.through(receive, batch, 'receive');
    const { deduplicator } = this.options;
    if (!publish.empty || deduplicator !== undefined || this.buffer !== undefined) return this.hold(batch);
    if (!log.empty) return this.through(log, batch, 'log');
    if (batch.options.checkpoint !== undefined) return this.store(batch);
    return this.append(batch);
  }

  /** What is left when a batch was handed on; a promise only when something has to be kept in the quarantine. */
  private conclude(batch: Batch, results: readonly AppendResult[] | void): Promise<void> | undefined {
    if (results !== undefined) this.stored(batch, results);
    if (batch.answered && !batch.published && this.chains.publish.empty && this.buffer === undefined) {
      this.publish(batch);
    }
    return batch.options.quarantine === false ? undefined : this.keeper.keep(batch);
  }

  /** Gives the batch to the configured level: the durable layer or the store. Done when it resolves. */
  private async hold(batch: Batch): Promise<void> {
    // A checkpoint must be saved in the events' own transaction: such a load goes past cache and buffer.
    if (batch.options.checkpoint === undefined) {
      const { deduplicator } = this.options;
      if (deduplicator !== undefined) await deduplicator.lookUp(batch);
      if (this.buffer !== undefined) {
        await this.buffer.publish(batch);
        batch.answered = true;
        return;
      }
    }
    await this.logAndPublish(batch);
  }

  private async logAndPublish(batch: Batch): Promise<void> {
    const { log, publish } = this.chains;
    await (log.empty ? this.store(batch) : this.through(log, batch, 'log'));
    if (!batch.answered) return;
    if (publish.empty) this.publish(batch);
    else await this.through(publish, batch, 'publish');
  }

  private store(batch: Batch): Promise<void> {
    const { checkpoint } = batch.options;
    if (checkpoint !== undefined) return this.storeWithCheckpoint(batch, checkpoint);
    return this.append(batch).then((results) => this.stored(batch, results));
  }

  private append(batch: Batch): Promise<readonly AppendResult[]> {
    const appends = appendsOf(batch);
    return appends.length === 0 ? Promise.resolve(NO_RESULTS) : this.options.store.append(appends);
  }

  private async storeWithCheckpoint(batch: Batch, checkpoint: NonNullable<RecordOptions['checkpoint']>): Promise<void> {
    const { name, epoch } = checkpoint;
    const append: AppendOptions = { checkpoint: { name, epoch, value: checkpoint.valueOf(batch.lastLine) } };
    // The checkpoint says that everything up to it is kept, the rejected included: they go first, and in the same turn,
    // so that a store with one order of writes keeps both together and a load that is killed there counts no line twice.
    const kept = batch.options.quarantine === false ? undefined : this.keeper.keep(batch);
    kept?.catch(() => undefined); // awaited below, unless the append fails first
    const appends = appendsOf(batch);
    const results = appends.length === 0 ? [] : await this.options.store.append(appends, append);
    settle(batch, results);
    if (kept !== undefined) await kept;
    this.stored(batch, NO_RESULTS);
  }

  private stored(batch: Batch, results: readonly AppendResult[]): void {
    if (results.length > 0) settle(batch, results);
    batch.answered = true;
    this.options.deduplicator?.mark(batch);
  }

  private publish(batch: Batch): void {
    batch.published = true;
    if (!this.publisher.subscribed) return;
    const items = batch.items;
    for (let i = 0; i < items.length; i++) {
      const item = items[i]!;
      if (item.outcome !== 'recorded' && item.outcome !== 'conflicting') continue;
      const fact = item.fact!;
      // What is said of sources is no event of a user's.
      if (!isReserved(fact.aggregateType)) this.publisher.publish(fact);
    }
  }

  /** Runs a chain: what is not handed on to the store is dropped; an error refuses the batch, or is reported once the store has it. */
  private through(chain: MiddlewareChain, batch: Batch, stage: Stage): Promise<void> {
    const run = chain.start(batch);
    return run.handedBack ? run.first : this.guarded(run, batch, stage);
  }

  private async guarded(run: ChainRun, batch: Batch, stage: Stage): Promise<void> {
    try {
      await run.first;
    } catch (error) {
      run.fail(error);
    }
    const rest = run.rest();
    if (rest !== undefined) await rest;
    this.judge(run, batch, stage);
  }

  private judge({ failure }: ChainRun, batch: Batch, stage: Stage): void {
    if (failure !== undefined) {
      if (!batch.answered) throw failure.error;
      const where = `a middleware of stage ${stage}`;
      this.options.onError(failure.error, stage === 'publish' ? where : `${where}, after the store`);
    }
    batch.dropPending(`A middleware of stage ${stage} did not hand it on.`);
  }

  /** The buffer's way: the receive stage was gone through when the event was accepted. */
  private async storeBuffered(batch: Batch): Promise<void> {
    const received = this.receiver.receive(batch, NO_OPTIONS, 0);
    if (received !== undefined) await received;
    await this.logAndPublish(batch);
    const kept = this.keeper.keep(batch);
    if (kept !== undefined) await kept;
  }

  private ended(): void {
    this.calls--;
    if (this.calls === 0) this.idle?.();
  }
}

function itemOf(input: EventInput, line: number, receivedAt: number): BatchItem {
  const item = new BatchItem(line, input, false);
  item.receivedAt = receivedAt;
  return item;
}

function isStream(input: unknown): input is AsyncIterable<StreamItem> {
  return typeof input === 'object' && input !== null && Symbol.asyncIterator in input;
}

function shuttingDown(): UnavailableError {
  return new UnavailableError('SHUTTING_DOWN', 'The application is shutting down and takes no new events.', {
    fix: 'Send them again to the next instance: what is stored already is answered as repeated.',
  });
}

function aborted(): UnavailableError {
  return new UnavailableError('ABORTED', 'The caller ended the call before it began.', { fix: 'Send it again.' });
}
