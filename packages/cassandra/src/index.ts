/** `@concursus/cassandra`: the distributed provider. One function fills the slot. */
export { cassandra, type CassandraPersistentOptions } from './cassandra.provider.js';
export type { CassandraOptions } from './session.js';
export type { CassandraEventOptions } from './event-ports.js';
export { cassandraCapabilities } from './capabilities.js';
