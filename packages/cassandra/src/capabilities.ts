/** What the Cassandra layer promises: the boot report prints it, the contract checks it. */
import type { Capabilities } from '@concursus/core';

/** What `cassandra()` promises. */
export const cassandraCapabilities: Capabilities = {
  atomicAppend: true,
  appendWithCheckpoint: {
    lacking: 'events and checkpoints are in different partitions, and no transaction spans them',
  },
  conditionalAppend: true,
  knownAt: true,
  feed: true,
  transactionalViews: true,
  survivesRestart: true,
  multiProcess: true,
};
