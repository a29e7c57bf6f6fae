/** Fills the slot `persistent` of `ConcursusModule.forRoot` with Cassandra. Opens nothing before `connect`. */
import { ConfigurationError, defaultQuarantineQuota } from '@concursus/core';
import type { Layer, LayerContext, LayerProvider, PersistentPorts, QuarantineQuota } from '@concursus/core';
import { cassandraCapabilities } from './capabilities.js';
import { CassandraCheckpointStore } from './cassandra-checkpoint-store.js';
import { CassandraQuarantine } from './cassandra-quarantine.js';
import { CassandraSnapshotStore } from './cassandra-snapshot-store.js';
import { CassandraViewStore } from './cassandra-view-store.js';
import { eventPorts, type CassandraEventOptions } from './event-ports.js';
import { Session, type CassandraOptions } from './session.js';

export interface CassandraPersistentOptions extends CassandraOptions, CassandraEventOptions {
  /** Change records kept a view, at least; older ones go in blocks of some thousand. Default 100,000. */
  readonly changesKept?: number;
  /** Default `defaultQuarantineQuota`. */
  readonly quarantine?: QuarantineQuota;
}

/** At 300 bytes each about 30 MB a view. */
const CHANGES_KEPT = 100_000;

/**
 * Every persistent port on Cassandra 4.1 or later. Acknowledged means on a quorum of the local data center. Contexts and any number of
 * processes may share a keyspace.
 *
 * `connect` refuses with ConfigurationError `SCHEMA_MISMATCH` (tables of another version, or none and `createSchema: false`) and
 * UnavailableError `STORE_UNREACHABLE`, `TIMEOUT`, or `CLOCK_SKEW` (its clock is far from those of all other writers).
 *
 * @example
 * ConcursusModule.forRoot({ persistent: cassandra({ contactPoints: ['10.0.0.1'], localDataCenter: 'dc1' }) })
 */
export function cassandra(options: CassandraPersistentOptions): LayerProvider<'persistent'> {
  check(options);
  const changesKept = options.changesKept ?? CHANGES_KEPT;
  return {
    slot: 'persistent',
    name: 'cassandra',
    capabilities: cassandraCapabilities,
    create(context: LayerContext): Layer<'persistent'> {
      const session = new Session(options, context);
      const events = eventPorts(session, options);
      const viewStore = new CassandraViewStore(session, changesKept);
      const ports: PersistentPorts = {
        eventStore: events.eventStore,
        eventFeed: events.eventFeed,
        viewStore,
        snapshotStore: new CassandraSnapshotStore(session),
        checkpointStore: new CassandraCheckpointStore(session),
        quarantine: new CassandraQuarantine(session, options.quarantine ?? defaultQuarantineQuota),
      };
      return {
        ports,
        async connect() {
          await session.connect();
          try {
            await viewStore.verifyLayout();
            await events.start();
          } catch (error) {
            await session.close();
            throw error;
          }
        },
        async drain() {
          await events.drain();
          await session.drain();
        },
        async close() {
          await events.stop();
          await session.close();
        },
      };
    },
  };
}

function check(options: CassandraPersistentOptions): void {
  if (!Array.isArray(options.contactPoints) || options.contactPoints.length === 0) {
    throw new ConfigurationError('INVALID_OPTION', 'cassandra was given no contact points.', {
      fix: 'Give the addresses of some nodes, as contactPoints.',
    });
  }
  if (typeof options.localDataCenter !== 'string' || options.localDataCenter === '') {
    throw new ConfigurationError('INVALID_OPTION', 'cassandra was given no local data center.', {
      fix: 'Give the name of the data center of this process, as localDataCenter.',
    });
  }
  const names = ['requestsMax', 'waitingMax', 'changesKept', 'leaseMs', 'beatMs'] as const;
  for (const name of [...names, 'maxSkewMs', 'partitionRowsMax', 'partitionBytesMax'] as const) {
    const value = options[name];
    if (value === undefined || (Number.isSafeInteger(value) && value > 0)) continue;
    throw new ConfigurationError('INVALID_OPTION', `${name} is ${value}.`, {
      fix: `Give ${name} as a whole number above 0.`,
    });
  }
}
