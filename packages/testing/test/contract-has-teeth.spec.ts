/**
 * A contract is worth what it catches. Method: the in-memory ports with one promise broken on purpose (broken-ports.ts);
 * each must fail at least one case of its contract.
 */
import { describe, expect, it } from 'vitest';
import {
  inMemory,
  inMemoryCache,
  inMemoryRelay,
  inMemoryTransport,
  type LayerProvider,
  type PortsBySlot,
  type Slot,
} from '@concursus/core';
import {
  checkpointStoreContract,
  eventFeedContract,
  eventRelayContract,
  eventStoreContract,
  eventTransportContract,
  failures,
  quarantineContract,
  relaySubjectOf,
  snapshotStoreContract,
  subjectOf,
  transientCacheContract,
  transportBoundContract,
  quarantineQuotaContract,
  viewStoreContract,
  type Contract,
} from '@concursus/testing';
import {
  brokenCheckpoints,
  brokenFeeds,
  brokenQuarantines,
  brokenRelays,
  brokenSnapshots,
  brokenStores,
  brokenTransports,
  brokenViews,
  override,
} from './broken-ports.js';

/** The provider with its ports changed. */
function breaking<S extends Slot>(
  provider: LayerProvider<S>,
  broken: (ports: PortsBySlot[S]) => Partial<PortsBySlot[S]>,
): LayerProvider<S> {
  return {
    slot: provider.slot,
    name: 'broken',
    capabilities: provider.capabilities,
    async create(context) {
      const layer = await provider.create(context);
      return {
        ports: { ...layer.ports, ...broken(layer.ports) },
        connect: () => layer.connect(),
        close: () => layer.close(),
      };
    },
  };
}

function bites<S extends Slot>(
  contract: Contract<S>,
  provider: () => LayerProvider<S>,
  broken: readonly [name: string, (ports: PortsBySlot[S]) => Partial<PortsBySlot[S]>][],
): void {
  describe(`${contract.name} catches a provider that`, () => {
    it.each(broken.map(([name, change]) => ({ name, change })))('$name', async ({ change }) => {
      const failed = await failures(
        contract,
        subjectOf('broken', () => breaking(provider(), change)),
        { runs: 30, first: true, caseMs: 3_000 },
      );
      expect(failed, 'no case noticed').not.toEqual([]);
    });
  });
}

const persistent = (): LayerProvider<'persistent'> => inMemory();
bites(eventStoreContract, persistent, brokenStores);
bites(eventFeedContract, persistent, brokenFeeds);
bites(viewStoreContract, persistent, brokenViews);
bites(checkpointStoreContract, persistent, brokenCheckpoints);
bites(snapshotStoreContract, persistent, brokenSnapshots);
bites(quarantineContract, persistent, brokenQuarantines);
bites(quarantineQuotaContract, persistent, [['has no quota', () => ({})]]);
bites(
  eventTransportContract,
  () => inMemoryTransport(),
  brokenTransports.map(([name, change]) => [
    name,
    ({ eventTransport }) => ({ eventTransport: change(eventTransport) }),
  ]),
);
bites(transportBoundContract, () => inMemoryTransport(), [['has no bound', () => ({})]]);
bites(transientCacheContract, () => inMemoryCache({ entriesMax: 100 }), [
  [
    'never deletes',
    ({ transientCache }) => ({ transientCache: override(transientCache, { deleteMany: async () => undefined }) }),
  ],
  [
    'lets nothing end',
    ({ transientCache }) => ({
      transientCache: override(transientCache, { setMany: (entries) => transientCache.setMany(entries, 1e12) }),
    }),
  ],
  [
    'mixes keys',
    ({ transientCache }) => ({
      transientCache: override(transientCache, {
        getMany: (keys) => transientCache.getMany(keys.map((key) => key.slice(0, 1))),
        setMany: (entries, ttlMs) =>
          transientCache.setMany(
            entries.map(({ key, value }) => ({ key: key.slice(0, 1), value })),
            ttlMs,
          ),
      }),
    }),
  ],
]);

describe('EventRelay catches a provider that', () => {
  it.each(brokenRelays.map(([name, change]) => ({ name, change })))('$name', async ({ change }) => {
    const subject = relaySubjectOf('broken', () => {
      const { create, ...provider } = inMemoryRelay();
      return {
        provider: { ...provider, create: (context) => change(create(context)) },
        received: async () => provider.published,
      };
    });
    expect(await failures(eventRelayContract, subject, { first: true, caseMs: 3_000 }), 'no case noticed').not.toEqual(
      [],
    );
  });
});
