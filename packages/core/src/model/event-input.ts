/**
 * A complete event on its way in, from anywhere: what emitters make, what wire JSON and reports are read into, and what
 * stop 1 of the walk (`receive`) takes. Nothing in it has been checked yet.
 */
import type { Metadata } from './event.js';

export interface EventInput {
  /** Absent means the tenant `''`. */
  readonly tenant?: string;
  readonly aggregateType: string;
  readonly aggregateId: string;
  readonly name: string;
  /** Absent means the current version of the event's class, or `'0'`. */
  readonly version?: string;
  /** When it happened: epoch milliseconds, an ISO date-time with its zone, or a Date. */
  readonly at: number | string | Date;
  /** Its source; absent means `''`. */
  readonly streamId?: string;
  /** The source's own number; absent means -1. */
  readonly sequence?: number;
  /** In wire form: what JSON can hold. */
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly metadata?: Metadata;
}

/**
 * Whatever takes events: the bus, a batch, a topic, a handler, a test's array. An emitter emits into any of them, so
 * they are interchangeable. A consumer that returns a promise is done when it resolves.
 */
export type EventConsumer = (event: EventInput) => void | Promise<void>;
