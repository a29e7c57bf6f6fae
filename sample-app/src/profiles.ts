/**
 * What a profile puts into the slots of both contexts. Nothing else of the application knows where its events are kept;
 * the file to copy for your own.
 */
import { inMemory, type ConcursusOptions, type QuarantineQuota } from '@concursus/core';
import { cassandra } from '@concursus/cassandra';
import { kafka, kafkaRelay } from '@concursus/kafka';
import { lmdb } from '@concursus/lmdb';
import type { Settings } from './settings.js';

/** A month of nothing but distinct garbage stays within it; what goes beyond is counted. */
const quarantine: QuarantineQuota = { items: 100_000, bytes: 256 * 1_048_576, digests: 1_000_000 };

/** A conditional write over a network, to servers that may be busy, takes its time: with less, views change hands for nothing. */
const CLUSTER_LEASE_MS = 10_000;

export type Slots = Pick<ConcursusOptions, 'persistent' | 'durable' | 'publish' | 'leaseMs'>;

/** Providers are values: each context makes its own layers from them. */
export function slotsOf(settings: Settings): Slots {
  const { brokers, buffered, profile } = settings;
  return {
    persistent: persistentOf(settings),
    ...(buffered && brokers !== undefined ? { durable: kafka({ brokers }) } : {}),
    ...(profile === 'cluster' && brokers !== undefined
      ? { publish: [kafkaRelay({ brokers })], leaseMs: CLUSTER_LEASE_MS }
      : {}),
  };
}

function persistentOf({ cassandra: servers, dataFolder, profile }: Settings): NonNullable<Slots['persistent']> {
  switch (profile) {
    case 'memory':
      return inMemory({ quarantine });
    case 'embedded':
      return lmdb({ path: dataFolder, quarantine });
    case 'cluster':
      if (servers === undefined) throw new Error('Settings of the profile cluster without a Cassandra.');
      return cassandra({ ...servers, quarantine, leaseMs: CLUSTER_LEASE_MS });
  }
}
