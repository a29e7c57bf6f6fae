/**
 * Goal: histories and feed on Cassandra keep what every provider promises. Method: enrolment in the contracts, each case in a
 * context of its own on a real server.
 */
import { eventFeedContract, eventStoreContract, subjectOf, verifyContract } from '@concursus/testing';
import { afterAll, describe, it, vi } from 'vitest';
import { cassandra } from '../src/index.js';
import { cleanUp, freshContext, specOptions } from './support.js';

afterAll(cleanUp);

vi.setConfig({ testTimeout: 300_000, hookTimeout: 60_000 });
const runner = { describe, it };
/** Each run is some dozen requests; the same laws run a thousand times in memory and on LMDB. */
const runs = 100;

const subject = subjectOf('cassandra', () => cassandra(specOptions()), { context: freshContext });
verifyContract(eventStoreContract, subject, runner, { runs });
verifyContract(eventFeedContract, subject, runner, { runs });

// The same where every history of some events is spread: whatever is read then is merged, and what comes again is looked for.
const narrow = { partitionRowsMax: 2 };
const spread = subjectOf('cassandra, partitions of two rows', () => cassandra(specOptions(narrow)), {
  context: freshContext,
});
verifyContract(eventStoreContract, spread, runner, { runs: 25 });
verifyContract(eventFeedContract, spread, runner, { runs: 25 });
