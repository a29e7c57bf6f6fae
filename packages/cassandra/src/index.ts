/** `@concursus/cassandra`: the distributed provider. One function fills the slot; two more stand between here and the tables of the original. */
export { cassandra, type CassandraPersistentOptions } from './cassandra.provider.js';
export type { CassandraOptions } from './session.js';
export type { CassandraEventOptions } from './event-ports.js';
export { cassandraCapabilities } from './capabilities.js';
export { deckRelay, type DeckRelayOptions } from './deck-relay.js';
export { deckSource, type DeckSourceOptions } from './deck-source.js';
export type { DeckOptions } from './deck-tables.js';
