/** What the LMDB layers promise: the boot report prints it, the contract checks it. */
import type { Capabilities } from '@concursus/core';

export const capabilities: Capabilities = {
  atomicAppend: true,
  appendWithCheckpoint: true,
  conditionalAppend: { lacking: 'decisions are not part of this version' },
  knownAt: true,
  feed: true,
  transactionalViews: true,
  survivesRestart: true,
  multiProcess: true,
};
