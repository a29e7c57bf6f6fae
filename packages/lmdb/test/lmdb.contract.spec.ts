/**
 * Goal: LMDB keeps what every provider promises. Method: enrolment in the contracts, each case on an environment of its
 * own, in memory-backed folders where the machine has them: what a flush means is not their subject.
 */
import {
  checkpointStoreContract,
  eventFeedContract,
  eventStoreContract,
  eventTransportContract,
  quarantineContract,
  quarantineQuotaContract,
  smallItemsMax,
  smallQuota,
  snapshotStoreContract,
  subjectOf,
  transportBoundContract,
  verifyContract,
  viewStoreContract,
} from '@concursus/testing';
import { afterAll, describe, it, vi } from 'vitest';
import { lmdb, lmdbTransport } from '../src/index.js';
import { cleanUp, quickFolder } from './support.js';

afterAll(cleanUp);

// The laws run a thousand generated deliveries each.
vi.setConfig({ testTimeout: 180_000 });
const runner = { describe, it };

const persistent = subjectOf('lmdb', () => lmdb({ path: quickFolder() }));
const durable = subjectOf('lmdb', () => lmdbTransport({ path: quickFolder() }));

verifyContract(eventStoreContract, persistent, runner);
verifyContract(eventFeedContract, persistent, runner);
// What is written into the histories at once, and what waits for others of its aggregate, is one to those who ask.
for (const indexAfter of [1, 7]) {
  const name = `lmdb, histories written after ${indexAfter}`;
  const subject = subjectOf(name, () => lmdb({ path: quickFolder(), indexAfter }));
  verifyContract(eventStoreContract, subject, runner);
  verifyContract(eventFeedContract, subject, runner);
}
verifyContract(viewStoreContract, persistent, runner);
verifyContract(snapshotStoreContract, persistent, runner);
verifyContract(checkpointStoreContract, persistent, runner);
verifyContract(quarantineContract, persistent, runner);
verifyContract(
  quarantineQuotaContract,
  subjectOf('lmdb', () => lmdb({ path: quickFolder(), quarantine: smallQuota })),
  runner,
);
verifyContract(eventTransportContract, durable, runner);
verifyContract(
  transportBoundContract,
  subjectOf('lmdb', () => lmdbTransport({ path: quickFolder(), itemsMax: smallItemsMax })),
  runner,
);
