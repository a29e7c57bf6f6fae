/** Fills the slots `persistent` and `durable` of `ConcursusModule.forRoot` with LMDB. Opens nothing before `connect`. */
import { defaultQuarantineQuota } from '@concursus/core';
import type { Layer, LayerContext, LayerProvider, PersistentPorts, QuarantineQuota } from '@concursus/core';
import { capabilities } from './capabilities.js';
import { LmdbCheckpointStore } from './lmdb-checkpoint-store.js';
import { LmdbEventFeed } from './lmdb-event-feed.js';
import { LmdbEventStore } from './lmdb-event-store.js';
import { LmdbEventTransport, type TransportBounds } from './lmdb-event-transport.js';
import { LmdbQuarantine } from './lmdb-quarantine.js';
import { LmdbSnapshotStore } from './lmdb-snapshot-store.js';
import { LmdbViewStore } from './lmdb-view-store.js';
import { Session, type LmdbOptions } from './session.js';

export interface LmdbPersistentOptions extends LmdbOptions {
  /** Change records kept a view; older ones are trimmed in the commit that adds new ones. Default 100,000. */
  readonly changesKept?: number;
  /** Default `defaultQuarantineQuota`. */
  readonly quarantine?: QuarantineQuota;
}

export interface LmdbTransportOptions extends LmdbOptions, TransportBounds {}

/**
 * Every persistent port in one LMDB environment. Acknowledged means on disk. Contexts, both slots and other processes
 * may share a path.
 *
 * `connect` refuses with ConfigurationError `SCHEMA_MISMATCH` (written by another version, or by something else) and
 * UnavailableError `STORE_UNREACHABLE` (folder not writable, say).
 *
 * @example
 * ConcursusModule.forRoot({ persistent: lmdb({ path: './data' }) })
 */
export function lmdb(options: LmdbPersistentOptions): LayerProvider<'persistent'> {
  return {
    slot: 'persistent',
    name: 'lmdb',
    capabilities,
    create(context: LayerContext): Layer<'persistent'> {
      const session = new Session(options, context);
      const ports: PersistentPorts = {
        eventStore: new LmdbEventStore(session),
        eventFeed: new LmdbEventFeed(session),
        viewStore: new LmdbViewStore(session, options.changesKept ?? 100_000),
        snapshotStore: new LmdbSnapshotStore(session),
        checkpointStore: new LmdbCheckpointStore(session),
        quarantine: new LmdbQuarantine(session, options.quarantine ?? defaultQuarantineQuota),
      };
      return {
        ports,
        async connect() {
          session.open();
        },
        drain: () => session.drain(),
        close: () => session.close(),
      };
    },
  };
}

/**
 * The durable buffer in an LMDB environment: accepted means on disk.
 * Of several processes subscribed to one group one handles its items, the others stand by.
 */
export function lmdbTransport(options: LmdbTransportOptions): LayerProvider<'durable'> {
  return {
    slot: 'durable',
    name: 'lmdb',
    capabilities,
    create(context: LayerContext): Layer<'durable'> {
      const session = new Session(options, context);
      const eventTransport = new LmdbEventTransport(session, context.logger, options);
      return {
        ports: { eventTransport },
        async connect() {
          session.open();
        },
        drain: () => session.drain(),
        async close() {
          await eventTransport.stop();
          await session.close();
        },
      };
    },
  };
}
