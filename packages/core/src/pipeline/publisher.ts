/**
 * Stop 10 of the walk, in memory: what this process recorded, handed to its transient subscribers in order of arrival.
 * No guarantee beyond that: `record()` never waits for it, a full queue drops what comes and counts it.
 */
import { contextOf } from '../mapping/event-context.js';
import type { EventContext } from '../mapping/event-context.js';
import type { EventModel } from '../mapping/event-registry.js';
import type { Fact } from '../model/event.js';

/** A provider's method with the transient schedule: gets its own fresh instance of the event. */
export type TransientHandler = (event: object, context: EventContext) => unknown;
/** A subscriber. `event` is a fresh instance of the event's class, undefined when the subscriber takes all types. */
export type FactConsumer = (fact: Fact, event: object | undefined) => unknown;

interface Subscriber {
  readonly name: string;
  /** Undefined for a subscriber of all types. */
  readonly model: EventModel | undefined;
  readonly deliver: (fact: Fact, model: EventModel | undefined) => unknown;
}

export interface PublisherOptions {
  /** Facts waiting, at most. Default 10,000: about 10 MB of events of 1 kB. */
  readonly queueMax?: number;
  readonly onError: (error: unknown, where: string) => void;
}

/** Facts handled before other work of the process gets its turn. */
const TURN_FACTS = 256;
/** Facts that wait when a sender who gives nobody a turn is taken at its word: see `hurry`. */
const HURRY_FACTS = 1_024;
const NOBODY: readonly Subscriber[] = [];

export class Publisher {
  /** Facts that found the queue full, since the start. */
  overflowed = 0;
  private readonly queueMax: number;
  private readonly hurryFacts: number;
  /** By aggregate type, then by event name. */
  private readonly byType = new Map<string, Map<string, readonly Subscriber[]>>();
  /** Asked for last, and what stands under it. */
  private recentType: string | undefined = undefined;
  private recent: Map<string, readonly Subscriber[]> | undefined = undefined;
  private all: readonly Subscriber[] = NOBODY;
  private queue: Fact[] = [];
  private taken = 0;
  private running: Promise<void> | undefined = undefined;
  /** Ends the wait for a turn of the process; undefined while nobody waits for one. */
  private takeTurn: ((hurried: boolean) => void) | undefined = undefined;

  constructor(private readonly options: PublisherOptions) {
    this.queueMax = options.queueMax ?? 10_000;
    this.hurryFacts = Math.min(HURRY_FACTS, this.queueMax >>> 1);
  }

  /** True when somebody listens. */
  get subscribed(): boolean {
    return this.byType.size > 0 || this.all.length > 0;
  }

  /** Adds a handler of one event type of one aggregate; the result removes it. */
  handle(model: EventModel, handler: TransientHandler, name: string): () => void {
    return this.add(model, {
      name,
      model,
      deliver: (fact) => handler(model.hydrate(fact), contextOf(fact)),
    });
  }

  /** Adds a consumer of some types, or of all with `undefined`; the result removes it. */
  subscribe(models: readonly EventModel[] | undefined, consumer: FactConsumer): () => void {
    const name = consumer.name === '' ? 'a subscriber' : `subscriber ${consumer.name}`;
    if (models === undefined) {
      const subscriber: Subscriber = { name, model: undefined, deliver: (fact) => consumer(fact, undefined) };
      this.all = [...this.all, subscriber];
      return () => {
        this.all = this.all.filter((other) => other !== subscriber);
      };
    }
    const removers = models.map((model) =>
      this.add(model, {
        name,
        model,
        // A consumer of one parameter does not look at the instance: it is not made.
        deliver: (fact) => consumer(fact, consumer.length === 1 ? undefined : model.hydrate(fact)),
      }),
    );
    return () => {
      for (const remove of removers) remove();
    };
  }

  /**
   * Queues a fact for whoever listens; returns at once. Subscribers are called in a later turn of the process. A sender
   * that lets none come, as a loop that only awaits an in-memory store, is interrupted when many facts wait: they are
   * handled between two of its calls, or the queue would overflow however quick the subscribers are.
   */
  publish(fact: Fact): void {
    if (this.all.length === 0 && this.subscribersOf(fact) === NOBODY) return;
    const waiting = this.queue.length - this.taken;
    if (waiting >= this.queueMax) {
      this.overflowed++;
      return;
    }
    this.queue.push(fact);
    if (this.running === undefined) this.running = this.run();
    else if (waiting >= this.hurryFacts) this.takeTurn?.(true);
  }

  /** Resolves when the queue is empty and no handler runs. */
  async idle(): Promise<void> {
    while (this.running !== undefined) {
      this.takeTurn?.(true);
      await this.running;
    }
  }

  private async run(): Promise<void> {
    while (this.taken < this.queue.length) {
      // Not in the turn of record(): its answer leaves first.
      const hurried = await this.turn();
      const end = hurried ? this.queue.length : Math.min(this.taken + TURN_FACTS, this.queue.length);
      while (this.taken < end) {
        const fact = this.queue[this.taken++]!;
        const subscribers = this.subscribersOf(fact);
        for (let i = 0; i < subscribers.length; i++) {
          const handled = this.deliver(subscribers[i]!, fact);
          if (handled !== undefined) await handled;
        }
        const { all } = this;
        for (let i = 0; i < all.length; i++) {
          const handled = this.deliver(all[i]!, fact);
          if (handled !== undefined) await handled;
        }
      }
      this.queue = this.queue.slice(this.taken);
      this.taken = 0;
    }
    this.running = undefined;
  }

  /** A promise, which never rejects, only for a handler that is asynchronous. */
  private deliver(subscriber: Subscriber, fact: Fact): Promise<void> | undefined {
    try {
      const handled = subscriber.deliver(fact, subscriber.model);
      if (!(handled instanceof Promise)) return undefined;
      return handled.then(ignore, (error: unknown) => this.report(error, subscriber, fact));
    } catch (error) {
      this.report(error, subscriber, fact);
      return undefined;
    }
  }

  private report(error: unknown, subscriber: Subscriber, fact: Fact): void {
    this.options.onError(error, `${subscriber.name} for ${fact.aggregateType} "${fact.name}"`);
  }

  /** Resolves in a turn of its own, or when somebody cannot wait for one: true then. */
  private turn(): Promise<boolean> {
    return new Promise((resolve) => {
      const take = (hurried: boolean): void => {
        clearImmediate(immediate);
        this.takeTurn = undefined;
        resolve(hurried);
      };
      const immediate = setImmediate(take, false);
      this.takeTurn = take;
    });
  }

  private subscribersOf({ aggregateType, name }: Fact): readonly Subscriber[] {
    // Most facts are of the same type as the one before.
    if (aggregateType !== this.recentType) {
      this.recent = this.byType.get(aggregateType);
      this.recentType = aggregateType;
    }
    return this.recent?.get(name) ?? NOBODY;
  }

  private add({ aggregateType, name }: EventModel, subscriber: Subscriber): () => void {
    let byName = this.byType.get(aggregateType);
    if (byName === undefined) this.byType.set(aggregateType, (byName = new Map()));
    this.recentType = undefined;
    byName.set(name, [...(byName.get(name) ?? NOBODY), subscriber]);
    return () => {
      const byName = this.byType.get(aggregateType);
      const left = (byName?.get(name) ?? NOBODY).filter((other) => other !== subscriber);
      if (left.length > 0) byName?.set(name, left);
      else byName?.delete(name);
      if (byName?.size === 0) this.byType.delete(aggregateType);
      this.recentType = undefined;
    };
  }
}

function ignore(): void {}
