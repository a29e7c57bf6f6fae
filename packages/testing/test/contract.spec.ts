/** A lack is declared, checked and listed: what `verifyContract` registers for a provider that cannot do everything. */
import {
  EventStore,
  inMemory,
  UnsupportedError,
  type Capabilities,
  type LayerProvider,
  type ReadOptions,
} from '@concursus/core';
import { eventStoreContract, failures, ManualClock, subjectOf, verifyContract } from '@concursus/testing';
import { describe, expect, it } from 'vitest';
import { override } from './broken-ports.js';

/** In memory, but without reads as known; `refuses` says whether it refuses them. */
function forgetful(refuses: boolean): LayerProvider<'persistent'> {
  const provider = inMemory();
  const capabilities: Capabilities = { ...provider.capabilities, knownAt: { lacking: 'it keeps no times' } };
  const check = (options: Pick<ReadOptions, 'knownAt'> | undefined): void => {
    if (options?.knownAt === undefined || !refuses) return;
    throw new UnsupportedError('CAPABILITY_MISSING', 'knownAt is lacking: it keeps no times.', {
      fix: 'Use another store.',
    });
  };
  return {
    slot: 'persistent',
    name: 'forgetful',
    capabilities,
    async create(context) {
      const layer = await provider.create(context);
      const { eventStore } = layer.ports;
      const checked = override(eventStore, {
        async *read(key, options) {
          check(options);
          yield* eventStore.read(key, options);
        },
        async readMany(keys, options) {
          check(options);
          return eventStore.readMany(keys, options);
        },
      });
      return {
        ports: { ...layer.ports, eventStore: checked },
        connect: () => layer.connect(),
        close: () => layer.close(),
      };
    },
  };
}

/** In memory, but written before there were decisions. */
function undecided(): LayerProvider<'persistent'> {
  const provider = inMemory();
  const capabilities: Capabilities = { ...provider.capabilities, conditionalAppend: { lacking: 'it has no heads' } };
  const { decide, readHead } = EventStore.prototype;
  return {
    ...provider,
    capabilities,
    async create(context) {
      const layer = await provider.create(context);
      const eventStore = override(layer.ports.eventStore, { capabilities, decide, readHead });
      return { ...layer, ports: { ...layer.ports, eventStore } };
    },
  };
}

async function failed(provider: () => LayerProvider<'persistent'>): Promise<readonly string[]> {
  const found = await failures(eventStoreContract, subjectOf('forgetful', provider), { runs: 5 });
  return found.map((failure) => failure.name);
}

describe('a contract', () => {
  it('is kept by a provider that refuses cleanly what it declares lacking', async () => {
    expect(await failed(() => forgetful(true))).toEqual([]);
  });

  it('is kept by a store that says nothing of decisions: they are refused with its reason', async () => {
    const cases = eventStoreContract.cases.filter(({ needs }) => needs === 'conditionalAppend');
    expect(cases.length).toBeGreaterThan(10);
    expect(await failures({ name: 'decisions', cases }, subjectOf('undecided', undecided))).toEqual([]);
    const layer = await undecided().create({ context: '', clock: new ManualClock(), logger: console });
    const refusal = layer.ports.eventStore.readHead({ tenant: '', type: 'parcel', id: 'p1' });
    await expect(refusal).rejects.toThrow(/CAPABILITY_MISSING.*parcel p1: it has no heads/);
  });

  it('is broken by a provider that declares a lack and then half works, without CAPABILITY_MISSING', async () => {
    expect(await failed(() => forgetful(false))).toEqual([
      'refuses cleanly (knownAt is lacking: it keeps no times): answers as known at a processing time, and never changes that answer',
    ]);
  });

  it('registers every case, a lacking one with its reason', () => {
    const names: string[] = [];
    verifyContract(
      eventStoreContract,
      subjectOf('forgetful', () => forgetful(true)),
      { describe: (_, body) => body(), it: (name) => names.push(name) },
    );
    expect(names).toHaveLength(eventStoreContract.cases.length);
    expect(names.filter((name) => name.includes('it keeps no times'))).toHaveLength(2);
    expect(names.filter((name) => name.startsWith('does not promise (survivesRestart is lacking: '))).toHaveLength(2);
  });
});
