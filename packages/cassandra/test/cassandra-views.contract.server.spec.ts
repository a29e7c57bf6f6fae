/**
 * Goal: views, checkpoints, snapshots and quarantine on Cassandra keep what every provider promises. Method: enrolment in the
 * contracts, each case in a context of its own on a real server.
 */
import {
  checkpointStoreContract,
  quarantineContract,
  quarantineQuotaContract,
  smallQuota,
  snapshotStoreContract,
  subjectOf,
  verifyContract,
  viewStoreContract,
} from '@concursus/testing';
import { afterAll, describe, it, vi } from 'vitest';
import { cassandra } from '../src/index.js';
import { cleanUp, freshContext, specOptions } from './support.js';

afterAll(cleanUp);

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });
const runner = { describe, it };

const subject = subjectOf('cassandra', () => cassandra(specOptions()), { context: freshContext });

verifyContract(viewStoreContract, subject, runner);
verifyContract(checkpointStoreContract, subject, runner);
verifyContract(snapshotStoreContract, subject, runner);
verifyContract(quarantineContract, subject, runner);
verifyContract(
  quarantineQuotaContract,
  subjectOf('cassandra', () => cassandra(specOptions({ quarantine: smallQuota })), { context: freshContext }),
  runner,
);
