/** The in-memory providers keep the law of every port. */
import { describe, it } from 'vitest';
import { inMemory, inMemoryCache, inMemoryRelay, inMemoryTransport } from '@concursus/core';
import {
  checkpointStoreContract,
  eventFeedContract,
  eventRelayContract,
  eventStoreContract,
  eventTransportContract,
  quarantineContract,
  quarantineQuotaContract,
  relaySubjectOf,
  smallItemsMax,
  smallQuota,
  snapshotStoreContract,
  subjectOf,
  transientCacheContract,
  transportBoundContract,
  verifyContract,
  viewStoreContract,
} from '@concursus/testing';

const runner = { describe, it };

const persistent = subjectOf('in-memory', () => inMemory());
verifyContract(eventStoreContract, persistent, runner);
verifyContract(eventFeedContract, persistent, runner);
verifyContract(viewStoreContract, persistent, runner);
verifyContract(checkpointStoreContract, persistent, runner);
verifyContract(snapshotStoreContract, persistent, runner);
verifyContract(quarantineContract, persistent, runner);
const limited = subjectOf('in-memory', () => inMemory({ quarantine: smallQuota }));
verifyContract(quarantineQuotaContract, limited, runner);

const durable = subjectOf('in-memory', () => inMemoryTransport());
verifyContract(eventTransportContract, durable, runner);
const small = subjectOf('in-memory', () => inMemoryTransport({ itemsMax: smallItemsMax }));
verifyContract(transportBoundContract, small, runner);

const transient = subjectOf('in-memory', () => inMemoryCache({ entriesMax: 1_000 }));
verifyContract(transientCacheContract, transient, runner);

const relay = relaySubjectOf('in-memory', () => {
  const provider = inMemoryRelay();
  return { provider, received: async () => provider.published };
});
verifyContract(eventRelayContract, relay, runner);
