/** What the LMDB layers promise: the boot report prints it, the contract checks it. */
import { noStore, type Capabilities } from '@concursus/core';

/** What `lmdb()` promises: everything but decisions. */
export const lmdbCapabilities: Capabilities = {
  atomicAppend: true,
  appendWithCheckpoint: true,
  conditionalAppend: { lacking: 'decisions are not part of this version' },
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
