/** What `kafka()` promises: the boot report prints it, the contract checks it. */
import type { Capabilities } from '@concursus/core';

const aBuffer = { lacking: 'a buffer keeps no events for good' };

/** It holds events until they are stored, and is no store. */
export const kafkaCapabilities: Capabilities = {
  atomicAppend: aBuffer,
  appendWithCheckpoint: aBuffer,
  conditionalAppend: aBuffer,
  knownAt: aBuffer,
  feed: aBuffer,
  transactionalViews: aBuffer,
  survivesRestart: true,
  multiProcess: true,
};
