/** What the in-memory providers promise beyond the contracts: their bounds, and that nobody can change what they keep. */
import {
  ConfigurationError,
  inMemory,
  inMemoryCache,
  inMemoryTransport,
  type PersistentPorts,
  type TransientCache,
  type ViewCommit,
} from '@concursus/core';
import { factOf, ManualClock } from '@concursus/testing';
import { describe, expect, it } from 'vitest';

const quiet = { log: () => undefined, warn: () => undefined, error: () => undefined };
const context = { context: 'memory', clock: new ManualClock(), logger: quiet };
const VIEW = { name: 'v', version: 1, slice: -1 };

async function persistent(options?: Parameters<typeof inMemory>[0]): Promise<PersistentPorts> {
  return (await inMemory(options).create(context)).ports;
}

async function cache(entriesMax: number): Promise<TransientCache> {
  return (await inMemoryCache({ entriesMax }).create(context)).ports.transientCache;
}

function commitOf(n: number): ViewCommit {
  const changes = [{ key: 'a', revision: n, retract: null, assert: { n }, cause: [] }];
  const rows = [{ key: 'a', revision: n, contributors: 1, fields: { n, list: [n] } }];
  const expected = n === 1 ? undefined : `o1:${n - 1}`;
  return {
    view: VIEW,
    owner: 'v',
    epoch: 0,
    expected,
    checkpoint: `o1:${n}`,
    rows,
    contributions: [],
    forget: [],
    indexAdd: [],
    indexRemove: [],
    changes,
    notes: [],
  };
}

describe('in-memory providers', () => {
  it('keep at least the last changes, and tell a reader further behind', async () => {
    const { viewStore } = await persistent({ changesKept: 10 });
    for (let n = 1; n <= 25; n++) await viewStore.commit(commitOf(n));
    await expect(viewStore.readChanges(VIEW, 0, 100)).rejects.toThrow('CHANGES_TRIMMED');
    const kept = await viewStore.readChanges(VIEW, 15, 100);
    expect(kept.map((change) => change.sequence)).toEqual([16, 17, 18, 19, 20, 21, 22, 23, 24, 25]);
    expect(await viewStore.lastChange(VIEW)).toBe(25);
  });

  it('hand out rows that nobody can change', async () => {
    const { viewStore } = await persistent();
    await viewStore.commit(commitOf(1));
    const [row] = await viewStore.readRows(VIEW, ['a']);
    expect(() => (row!.fields['list'] as number[]).push(2)).toThrow(TypeError);
  });

  it('let the longest unused of a full cache go', async () => {
    const small = await cache(2);
    const value = new Uint8Array([1]);
    const keys = async (): Promise<(string | undefined)[]> =>
      (await small.getMany(['a', 'b', 'c'])).map((found, i) => (found === undefined ? undefined : 'abc'[i]));
    await small.setMany(
      [
        { key: 'a', value },
        { key: 'b', value },
      ],
      1_000,
    );
    await small.getMany(['a']);
    await small.setMany([{ key: 'c', value }], 1_000);
    expect(await keys()).toEqual(['a', undefined, 'c']);
  });

  it('leave a fact that another store stamped to that store', async () => {
    const [one, other] = [await persistent(), await persistent()];
    const fact = factOf({ at: 1 });
    await one.eventStore.append([{ facts: [fact], receivedAt: 1_000 }]);
    const id = fact.processingId;
    await other.eventStore.append([{ facts: [fact], receivedAt: 2_000 }]);
    expect(fact.processingId).toBe(id);
    const { facts } = await other.eventFeed.read(other.eventFeed.start(), 1);
    expect(facts[0]?.processedAt).toBe(2_000);
  });

  it('refuse bounds that are none', () => {
    expect(() => inMemoryCache({ entriesMax: 0 })).toThrow(ConfigurationError);
    expect(() => inMemoryTransport({ itemsMax: -1 })).toThrow('INVALID_OPTION');
    expect(() => inMemory({ changesKept: 1.5 })).toThrow('INVALID_OPTION');
  });

  it('share nothing between two contexts', async () => {
    const provider = inMemory();
    const [one, other] = [(await provider.create(context)).ports, (await provider.create(context)).ports];
    await one.eventStore.append([{ facts: [factOf()], receivedAt: 1 }]);
    expect((await other.eventFeed.read(other.eventFeed.start(), 1)).facts).toEqual([]);
  });
});
