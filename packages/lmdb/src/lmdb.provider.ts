/** Fills the slots `persistent` and `durable` of `ConcursusModule.forRoot` with LMDB. Opens nothing before `connect`. */
import { ConfigurationError, defaultQuarantineQuota } from '@concursus/core';
import type { Layer, LayerContext, LayerProvider, PersistentPorts, QuarantineQuota } from '@concursus/core';
import { lmdbCapabilities, lmdbTransportCapabilities } from './capabilities.js';
import { LmdbCheckpointStore } from './lmdb-checkpoint-store.js';
import { LmdbEventFeed } from './lmdb-event-feed.js';
import { LmdbEventStore } from './lmdb-event-store.js';
import { LmdbEventTransport } from './lmdb-event-transport.js';
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

export interface LmdbTransportOptions extends LmdbOptions {
  /** Items that may wait before `publish` is refused with `OVERLOADED`. Default 1,000,000. */
  readonly itemsMax?: number;
  /** A consumer whose owner row stands still this long is replaced. Default 2,000. */
  readonly leaseMs?: number;
}

/** At 300 bytes each about 30 MB a view. */
const CHANGES_KEPT = 100_000;
const ITEMS_MAX = 1_000_000;
/** A dead consumer is replaced within 3 s: a lease, an eighth of it until somebody looks, and the claim. */
const LEASE_MS = 2_000;

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
  checkPath('lmdb', options);
  const changesKept = positive('changesKept', options.changesKept ?? CHANGES_KEPT);
  return {
    slot: 'persistent',
    name: 'lmdb',
    capabilities: lmdbCapabilities,
    create(context: LayerContext): Layer<'persistent'> {
      const session = new Session(options, context);
      const ports: PersistentPorts = {
        eventStore: new LmdbEventStore(session),
        eventFeed: new LmdbEventFeed(session),
        viewStore: new LmdbViewStore(session, changesKept),
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
  checkPath('lmdbTransport', options);
  const bounds = {
    itemsMax: positive('itemsMax', options.itemsMax ?? ITEMS_MAX),
    leaseMs: positive('leaseMs', options.leaseMs ?? LEASE_MS),
  };
  return {
    slot: 'durable',
    name: 'lmdb',
    capabilities: lmdbTransportCapabilities,
    create(context: LayerContext): Layer<'durable'> {
      const session = new Session(options, context);
      const eventTransport = new LmdbEventTransport(session, context.logger, bounds);
      return {
        ports: { eventTransport },
        async connect() {
          session.open();
        },
        drain: () => eventTransport.drain(),
        async close() {
          await eventTransport.stop();
          await session.close();
        },
      };
    },
  };
}

function checkPath(provider: string, options: LmdbOptions): void {
  if (options.mapSizeBytes !== undefined) positive('mapSizeBytes', options.mapSizeBytes);
  if (options.indexAfter !== undefined) positive('indexAfter', options.indexAfter);
  if (typeof options.path === 'string' && options.path !== '') return;
  throw new ConfigurationError('INVALID_OPTION', `${provider} was given no path.`, {
    fix: 'Give the folder the environment is to live in, as path.',
  });
}

function positive(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new ConfigurationError('INVALID_OPTION', `${name} is ${value}.`, {
    fix: `Give ${name} as a whole number above 0.`,
  });
}
