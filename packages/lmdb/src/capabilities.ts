/** What the LMDB layers promise: the boot report prints it, the contract checks it. */
import { noStore, type Capabilities } from '@concursus/core';

/** What `lmdb()` promises: everything. */
export const lmdbCapabilities: Capabilities = {
  atomicAppend: true,
  appendWithCheckpoint: true,
  conditionalAppend: true,
  knownAt: true,
  feed: true,
  transactionalViews: true,
  survivesRestart: true,
  multiProcess: true,
};

/** What `lmdbTransport()` promises: it holds events until they are stored, and is no store. */
export const lmdbTransportCapabilities: Capabilities = noStore('a buffer keeps no events for good', {
  survivesRestart: true,
  multiProcess: true,
});
