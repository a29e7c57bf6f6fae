/** What `kafka()` promises: the boot report prints it, the contract checks it. */
import { noStore, type Capabilities } from '@concursus/core';

/** It holds events until they are stored, and is no store. */
export const kafkaCapabilities: Capabilities = noStore('a buffer keeps no events for good', {
  survivesRestart: true,
  multiProcess: true,
});
