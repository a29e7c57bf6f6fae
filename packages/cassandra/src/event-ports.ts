/** The two ports of events over one session, and the writer behind them: what `cassandra.provider.ts` opens and closes. */
import type { EventFeed, EventStore } from '@concursus/core';
import type { Session } from './session.js';

/** What histories and feed can be told beside what all ports share; `CassandraPersistentOptions` extends it. */
export interface CassandraEventOptions {
  /** A writer whose beat stands still this long is replaced. Default 5,000. */
  readonly leaseMs?: number;
  /** How often a writer says how far it is. Default 100. */
  readonly beatMs?: number;
}

/** What fills two of the persistent ports. */
export interface EventPorts {
  readonly eventStore: EventStore;
  readonly eventFeed: EventFeed;
  /** Called when the session is connected, before any port is used. */
  start(): Promise<void>;
  /** Waits for what was accepted. */
  drain(): Promise<void>;
  /** Called before the session closes; idempotent, also without `start`. */
  stop(): Promise<void>;
}

export function eventPorts(_session: Session, _options: CassandraEventOptions): EventPorts {
  return {
    eventStore: undefined as unknown as EventStore,
    eventFeed: undefined as unknown as EventFeed,
    start: () => Promise.resolve(),
    drain: () => Promise.resolve(),
    stop: () => Promise.resolve(),
  };
}
