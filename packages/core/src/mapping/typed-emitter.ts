/**
 * A typed call becomes events for any consumer: the bus, an array, a topic, a handler. Stop 2 of the walk. The compiler
 * checks class and payload; the emitter checks the class again, for callers without a compiler.
 */
import { InvalidEventError } from '../model/errors.js';
import { isForbiddenKey } from '../model/canonical-json.js';
import { correctionEvent, type CorrectionInput, type CorrectionKind } from '../model/correction.js';
import type { EventConsumer, EventInput } from '../model/event-input.js';
import type { Metadata } from '../model/event.js';
import { parseEventTime } from '../model/time.js';
import type { AggregateModel } from './aggregate-model.js';
import type { AggregateLike, EventClass, EventOf, EventsOf, PayloadOf } from './event-class.js';
import type { EventModel } from './event-model.js';

/** Beside the event: where it comes from. */
export interface EmitDetails {
  /** Its source; absent means `''`. */
  readonly stream?: string;
  /** The source's own number, from 0. */
  readonly sequence?: number;
  readonly metadata?: Metadata;
}

/** An event and when it happened, not yet of any aggregate. Made by `at`. */
export interface TimedEvent<E extends object = object> {
  readonly time: number | string | Date;
  readonly event: E;
  readonly details: EmitDetails | undefined;
}

/** Says when an event happened: epoch milliseconds, an ISO date-time with its zone, or a Date. */
export function at<E extends object>(time: number | string | Date, event: E, details?: EmitDetails): TimedEvent<E> {
  return { time, event, details };
}

/**
 * An event instance made of its data, without running its constructor: for classes whose fields are declared, not constructed.
 * @throws InvalidEventError `FORBIDDEN_KEY`
 */
export function make<T extends object>(cls: EventClass<T>, payload: PayloadOf<T>): T {
  const instance = Object.create(cls.prototype as object) as Record<string, unknown>;
  for (const key of Object.keys(payload)) {
    if (isForbiddenKey(key)) {
      throw new InvalidEventError('FORBIDDEN_KEY', `${key} is a key that could change an object’s prototype.`, {
        fix: 'Rename or remove the key.',
        details: { path: key },
      });
    }
    Object.defineProperty(instance, key, {
      value: (payload as Record<string, unknown>)[key],
      writable: true,
      enumerable: true,
      configurable: true,
    });
  }
  return instance as T;
}

/** Takes a batch of complete events; what it returns, the emitter returns. */
export type EventsConsumer<R> = (events: readonly EventInput[]) => R;

/** One method an event of the aggregate. */
export type Emit<A extends AggregateLike, R> = {
  readonly [K in keyof EventsOf<A>]: (
    payload: InstanceType<EventsOf<A>[K]> | PayloadOf<InstanceType<EventsOf<A>[K]>>,
    details: EmitDetails & { readonly at: number | string | Date },
  ) => R;
};

export interface TypedEmitter<A extends AggregateLike, R> {
  /**
   * Delivers the events as one batch, in the order given. Those that share an instant and a name and have no sequence are
   * numbered 0, 1, 2… by position, so that they stay several facts.
   * @throws InvalidEventError `UNKNOWN_EVENT_TYPE`, `FORBIDDEN_KEY`, `PARAMETER_TYPE` from a codec, `INVALID_TIME` of numbered events;
   * then nothing is delivered
   */
  record(...events: TimedEvent<EventOf<A>>[]): R;
  /** Delivers one event by its key: `emit.Delivered({ … }, { at })`. Refuses like `record`. */
  readonly emit: Emit<A, R>;
  /** Withdraws an event: from now on it counts no more; as known before it still does. @throws InvalidEventError `INVALID_CORRECTION`, `UNKNOWN_EVENT_TYPE` */
  retract<E extends EventClass<EventOf<A>>>(target: Target<E>, decision: Decision): R;
  /** Gives an event another time, other data, or both. Refuses like `retract`. */
  amend<E extends EventClass<EventOf<A>>>(
    target: Target<E>,
    decision: Decision & { readonly at?: number | string | Date; readonly to?: PayloadOf<InstanceType<E>> },
  ): R;
  /** Lets an event count again as it was recorded. Refuses like `retract`. */
  reinstate<E extends EventClass<EventOf<A>>>(target: Target<E>, decision: Decision): R;
}

/** Which event of an aggregate is corrected. */
export interface Target<E extends EventClass> {
  readonly event: E;
  /** The event time it was recorded with. */
  readonly at: number | string | Date;
  /** Its source; absent means `''`. */
  readonly stream?: string;
  /** Absent means that it has none. */
  readonly sequence?: number;
  /** Only the content with this digest. Absent: every content of the identity, also one still to come. */
  readonly digest?: string;
}

/** Who decided a correction, and when: of several the latest rules. */
export interface Decision extends EmitDetails {
  readonly decidedAt: number | string | Date;
}

export interface EmitterOptions {
  /** Absent means `''`. */
  readonly tenant?: string;
}

/** An emitter of one aggregate's events into any consumer of batches. Ids and times are checked where events are received. */
export function emitterFor<A extends AggregateLike, R>(
  model: AggregateModel<A>,
  id: string,
  consumer: EventsConsumer<R>,
  options: EmitterOptions = {},
): TypedEmitter<A, R> {
  return new ModelEmitter(model, id, consumer, options.tenant ?? '');
}

/** A consumer of single events as a consumer of batches: one after the other, each awaited only when it returns a promise. */
export function emitEach(consumer: EventConsumer): EventsConsumer<void | Promise<void>> {
  return (events) => deliverFrom(consumer, events, 0);
}

function deliverFrom(consumer: EventConsumer, events: readonly EventInput[], from: number): void | Promise<void> {
  for (let i = from; i < events.length; i++) {
    const done = consumer(events[i]!);
    if (done !== undefined) return done.then(() => deliverFrom(consumer, events, i + 1));
  }
}

class ModelEmitter<A extends AggregateLike, R> implements TypedEmitter<A, R> {
  private methods: Emit<A, R> | undefined = undefined;

  constructor(
    private readonly model: AggregateModel<A>,
    private readonly id: string,
    private readonly consumer: EventsConsumer<R>,
    private readonly tenant: string,
  ) {}

  record(...events: TimedEvent<EventOf<A>>[]): R {
    const inputs: EventInput[] = [];
    const numbers = events.length > 1 ? numberShared(this.model, events) : undefined;
    for (let i = 0; i < events.length; i++) {
      const timed = events[i]!;
      inputs.push(this.input(this.model.eventOf(timed.event), timed.event, timed.time, timed.details, numbers?.get(i)));
    }
    return this.consumer(inputs);
  }

  get emit(): Emit<A, R> {
    if (this.methods === undefined) {
      const methods: Record<string, (payload: object, details: EmitDetails & { at: number | string | Date }) => R> = {};
      for (const [key, event] of this.model.eventsByKey) {
        methods[key] = (payload, details) => {
          // A plain payload is taken by its method's name; an instance must be of that class.
          const prototype: unknown = Object.getPrototypeOf(payload);
          if (prototype !== Object.prototype && prototype !== null && this.model.eventOf(payload) !== event) {
            throw new InvalidEventError('UNKNOWN_EVENT_TYPE', `emit.${key} got an instance of another event.`, {
              fix: `Pass the data of ${key}.`,
            });
          }
          return this.consumer([this.input(event, payload, details.at, details, undefined)]);
        };
      }
      this.methods = methods as unknown as Emit<A, R>;
    }
    return this.methods;
  }

  retract<E extends EventClass<EventOf<A>>>(target: Target<E>, decision: Decision): R {
    return this.correct('retract', target, decision, {});
  }

  amend<E extends EventClass<EventOf<A>>>(
    target: Target<E>,
    decision: Decision & { readonly at?: number | string | Date; readonly to?: PayloadOf<InstanceType<E>> },
  ): R {
    const { at: time, to } = decision;
    const event = this.model.eventOf(target.event);
    return this.correct('amend', target, decision, {
      ...(time === undefined ? {} : { at: time }),
      ...(to === undefined ? {} : { parameters: event.wire(to as object), version: event.version }),
    });
  }

  reinstate<E extends EventClass<EventOf<A>>>(target: Target<E>, decision: Decision): R {
    return this.correct('reinstate', target, decision, {});
  }

  private correct(
    kind: CorrectionKind,
    target: Target<EventClass>,
    decision: Decision,
    amendment: Pick<CorrectionInput, 'at' | 'parameters' | 'version'>,
  ): R {
    const { stream, sequence, metadata } = decision;
    return this.consumer([
      correctionEvent({
        tenant: this.tenant,
        aggregateType: this.model.type,
        aggregateId: this.id,
        kind,
        target: {
          name: this.model.eventOf(target.event).name,
          at: target.at,
          ...(target.stream === undefined ? {} : { streamId: target.stream }),
          ...(target.sequence === undefined ? {} : { sequence: target.sequence }),
          ...(target.digest === undefined ? {} : { digest: target.digest }),
        },
        decidedAt: decision.decidedAt,
        ...(stream === undefined ? {} : { streamId: stream }),
        ...(sequence === undefined ? {} : { sequence }),
        ...(metadata === undefined ? {} : { metadata }),
        ...amendment,
      }),
    ]);
  }

  private input(
    event: EventModel,
    payload: object,
    time: number | string | Date,
    details: EmitDetails | undefined,
    number: number | undefined,
  ): EventInput {
    return {
      tenant: this.tenant,
      aggregateType: this.model.type,
      aggregateId: this.id,
      name: event.name,
      version: event.version,
      at: time,
      streamId: details?.stream ?? '',
      sequence: details?.sequence ?? number ?? -1,
      parameters: event.wire(payload),
      metadata: details?.metadata,
    };
  }
}

/**
 * Numbers for events without a sequence that share an instant and a name, by their position in the call. Numbers given
 * by hand to others of the group are passed over: a number used twice would make one identity of two facts.
 */
function numberShared(model: AggregateModel, events: readonly TimedEvent[]): ReadonlyMap<number, number> | undefined {
  const groups = new Map<string, { readonly open: number[]; readonly taken: Set<number> }>();
  let shared = false;
  for (let i = 0; i < events.length; i++) {
    const { time, event, details } = events[i]!;
    const key = `${parseEventTime(time)} ${model.eventOf(event).name}`;
    let group = groups.get(key);
    if (group === undefined) groups.set(key, (group = { open: [], taken: new Set() }));
    if (details?.sequence === undefined) {
      if (group.open.push(i) > 1) shared = true;
    } else group.taken.add(details.sequence);
  }
  if (!shared) return undefined;
  const numbers = new Map<number, number>();
  for (const { open, taken } of groups.values()) {
    if (open.length < 2) continue;
    let next = 0;
    for (const position of open) {
      while (taken.has(next)) next++;
      numbers.set(position, next++);
    }
  }
  return numbers;
}
