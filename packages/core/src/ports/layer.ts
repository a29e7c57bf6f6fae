/** The three slots of `ConcursusModule.forRoot`, and what fills one. A provider definition is a value: sync and async registration share one static graph. */
import type { Capabilities } from './capabilities.js';
import type { CheckpointStore } from './checkpoint-store.js';
import type { Clock } from './clock.js';
import type { EventFeed } from './event-feed.js';
import type { EventStore } from './event-store.js';
import type { EventTransport } from './event-transport.js';
import type { Quarantine } from './quarantine.js';
import type { SnapshotStore } from './snapshot-store.js';
import type { TransientCache } from './transient-cache.js';
import type { ViewStore } from './view-store.js';

/** The three layers, each a slot of `forRoot`. */
export type Slot = 'persistent' | 'durable' | 'transient';

/** What fills the persistent slot: all of them, so that handlers need not ask which there are. */
export interface PersistentPorts {
  readonly eventStore: EventStore;
  readonly eventFeed: EventFeed;
  readonly viewStore: ViewStore;
  readonly snapshotStore: SnapshotStore;
  readonly checkpointStore: CheckpointStore;
  readonly quarantine: Quarantine;
}

/** The ports each layer brings. */
export interface PortsBySlot {
  persistent: PersistentPorts;
  durable: { readonly eventTransport: EventTransport };
  transient: { readonly transientCache: TransientCache };
}

/** Just what a provider needs of a logger; Nest's `Logger` fits. */
export interface LayerLogger {
  log(message: string): void;
  warn(message: string): void;
  error(message: string, stack?: string): void;
}

export interface LayerContext {
  /** The bounded context; part of every key. */
  readonly context: string;
  readonly clock: Clock;
  readonly logger: LayerLogger;
}

export interface Layer<S extends Slot> {
  readonly ports: PortsBySlot[S];
  /** Opens what `create` did not. Ports may be used after it resolved. */
  connect(signal?: AbortSignal): Promise<void>;
  /** Waits until what was accepted is done. */
  drain?(): Promise<void>;
  /** Closes; later calls of the ports are refused with `STORE_CLOSED`. Idempotent. */
  close(): Promise<void>;
}

export interface LayerProvider<S extends Slot> {
  readonly slot: S;
  /** As the boot report calls it: `lmdb`, `in-memory`. */
  readonly name: string;
  readonly capabilities: Capabilities;
  /** Makes the layer of one context; opens nothing. */
  create(context: LayerContext): Layer<S> | Promise<Layer<S>>;
}
