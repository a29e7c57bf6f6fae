/** What the in-memory layers promise: the boot report prints it, the contract checks it. */
import type { Capabilities } from '../ports/capabilities.js';

export const inMemoryCapabilities: Capabilities = {
  atomicAppend: true,
  appendWithCheckpoint: true,
  conditionalAppend: true,
  knownAt: true,
  feed: true,
  transactionalViews: true,
  survivesRestart: { lacking: 'memory ends with its process' },
  multiProcess: { lacking: 'memory belongs to one process' },
};
