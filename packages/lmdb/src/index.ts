/** `@concursus/lmdb`: the embedded provider. Two functions fill the slots; the classes are for those who build ports by hand. */
export { lmdb, lmdbTransport, type LmdbPersistentOptions, type LmdbTransportOptions } from './lmdb.provider.js';
export type { LmdbOptions } from './session.js';
export { LmdbEventStore, type LmdbStats } from './lmdb-event-store.js';
export { lmdbCapabilities, lmdbTransportCapabilities } from './capabilities.js';
