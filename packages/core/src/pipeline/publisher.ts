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
const NOBODY: readonly Subscriber[] = [];

export class Publisher {
  /** Facts that found the queue full, since the start. */
  overflowed = 0;
  private readonly queueMax: number;
  private readonly byType = new Map<string, readonly Subscriber[]>();
  private all: readonly Subscriber[] = NOBODY;
  private queue: Fact[] = [];
  private taken = 0;
  private running: Promise<void> | undefined = undefined;

  constructor(private readonly options: PublisherOptions) {
    this.queueMax = options.queueMax ?? 10_000;
  }

  /** True when somebody listens. */
  get subscribed(): boolean {
    return this.byType.size > 0 || this.all.length > 0;
  }

  /** Adds a handler of one event type of one aggregate; the result removes it. */
  handle(model: EventModel, handler: TransientHandler, name: string): () => void {
    return this.add(keyOf(model.aggregateType, model.name), {
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
      this.add(keyOf(model.aggregateType, model.name), {
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

  /** Queues a fact for whoever listens; returns at once. */
  publish(fact: Fact): void {
    if (this.all.length === 0 && !this.byType.has(keyOf(fact.aggregateType, fact.name))) return;
    if (this.queue.length - this.taken >= this.queueMax) {
      this.overflowed++;
      return;
    }
    this.queue.push(fact);
    this.running ??= this.run();
  }

  /** Resolves when the queue is empty and no handler runs. */
  async idle(): Promise<void> {
    while (this.running !== undefined) await this.running;
  }

  private async run(): Promise<void> {
    // Not in the turn of record(): its answer leaves first.
    await nextTurn();
    while (this.taken < this.queue.length) {
      const fact = this.queue[this.taken++]!;
      const subscribers = this.byType.get(keyOf(fact.aggregateType, fact.name)) ?? NOBODY;
      const all = this.all;
      for (let i = 0; i < subscribers.length + all.length; i++) {
        const subscriber = i < subscribers.length ? subscribers[i]! : all[i - subscribers.length]!;
        try {
          const handled = subscriber.deliver(fact, subscriber.model);
          if (handled instanceof Promise) await handled;
        } catch (error) {
          this.options.onError(error, `${subscriber.name} for ${fact.aggregateType} "${fact.name}"`);
        }
      }
      if (this.taken % TURN_FACTS === 0) {
        this.queue = this.queue.slice(this.taken);
        this.taken = 0;
        await nextTurn();
      }
    }
    this.queue = [];
    this.taken = 0;
    this.running = undefined;
  }

  private add(key: string, subscriber: Subscriber): () => void {
    this.byType.set(key, [...(this.byType.get(key) ?? NOBODY), subscriber]);
    return () => {
      const left = (this.byType.get(key) ?? NOBODY).filter((other) => other !== subscriber);
      if (left.length === 0) this.byType.delete(key);
      else this.byType.set(key, left);
    };
  }
}

function keyOf(aggregateType: string, name: string): string {
  return `${aggregateType}\u0000${name}`;
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
