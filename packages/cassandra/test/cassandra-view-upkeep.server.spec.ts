/**
 * Goal: what a view does not need any more goes, and nobody misses it. Method: stores over one real server with a clock that is
 * moved on, and a look into the tables.
 */
import { UnavailableError, type ViewCommit } from '@concursus/core';
import { refused } from '@concursus/testing';
import type { Client } from 'cassandra-driver';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { bareClient, cleanUp, freshContext, openLayer, serverUrl } from './support.js';
import { closeStores, commitOf, countRows, openStores, OWNER, VIEW } from './view-support.js';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

describe.skipIf(serverUrl === undefined)('what a view on Cassandra leaves behind', () => {
  let client: Client;

  beforeAll(async () => {
    await (await openLayer('tables')).close();
    client = await bareClient();
  });

  afterEach(closeStores);

  afterAll(async () => {
    await client.shutdown();
    await cleanUp();
  });

  it('sweeps what was removed when no reader can need it, and keeps what came again', async () => {
    const context = freshContext();
    const owner = await openStores(context);
    const lamps = Array.from({ length: 20 }, (_, i) => ({ tenant: '', type: 'lamp', id: String(i) }));
    const plain = { contributions: [], indexAdd: [], notes: [], changes: [] };
    await owner.views.commit(
      commitOf(1, { ...plain, contributions: lamps.map((aggregate) => ({ aggregate, value: 1 })) }),
    );
    await owner.views.commit(commitOf(2, { ...plain, forget: lamps }));
    await owner.views.commit(commitOf(3, { ...plain, contributions: [{ aggregate: lamps[7]!, value: 2 }] }));
    const records = (): Promise<number> => countRows(client, 'view_record', context);
    expect(await records(), 'five rows and 20 contributions').toBe(25);
    owner.clock.movedMs += 60_000;
    await owner.views.commit(commitOf(4, plain));
    expect(await records(), 'five rows and the contribution that came again').toBe(6);
    await owner.views.commit(commitOf(5, { ...plain, contributions: [{ aggregate: lamps[3]!, value: 3 }] }));
    const reader = await openStores(context);
    for (const { views } of [owner, reader]) {
      expect(await views.readContributions(VIEW, [lamps[3]!, lamps[7]!, lamps[0]!])).toEqual([3, 2, undefined]);
    }
  });

  it('uses the records of notes again, so that notes that come and go leave nothing behind', async () => {
    const context = freshContext();
    const owner = await openStores(context);
    const plain = { contributions: [], indexAdd: [], changes: [], rows: [] };
    const keysOf = (n: number): string[] => Array.from({ length: 50 }, (_, i) => `done/${n}/${i}`);
    for (let n = 1; n <= 30; n++) {
      const come = keysOf(n).map((key) => ({ key, value: n }));
      const go = n === 1 ? [] : keysOf(n - 1).map((key) => ({ key, value: null }));
      await owner.views.commit(commitOf(n, { ...plain, notes: [...come, ...go, { key: 'settled', value: n }] }));
    }
    const expected = [...keysOf(30).map((key) => ({ key, value: 30 })), { key: 'settled', value: 30 }];
    const follower = await openStores(context);
    for (const { views } of [owner, follower]) {
      const found = await views.readNotes(VIEW, '');
      expect(found).toHaveLength(51);
      expect(new Set(found.map(({ key }) => key))).toEqual(new Set(expected.map(({ key }) => key)));
      expect(await views.readNotes(VIEW, 'settled')).toEqual([{ key: 'settled', value: 30 }]);
    }
    // Who goes on uses what its predecessor left.
    for (let n = 31; n <= 40; n++) {
      const come = keysOf(n).map((key) => ({ key, value: n }));
      const go = keysOf(n - 1).map((key) => ({ key, value: null }));
      await follower.views.commit(commitOf(n, { ...plain, notes: [...go, ...come] }));
    }
    expect(await owner.views.readNotes(VIEW, 'done/')).toHaveLength(50);
    expect(await countRows(client, 'view_record', context)).toBeLessThanOrEqual(101);
  });

  it('knows where a queue begins, also after something came before its beginning', async () => {
    const context = freshContext();
    const owner = await openStores(context);
    const plain = { contributions: [], notes: [], changes: [], rows: [] };
    const entry = (i: number): { row: string; field: string; order: string; value: number } => ({
      row: 'due',
      field: '',
      order: String(i).padStart(6, '0'),
      value: i,
    });
    const entries = (from: number, to: number): ReturnType<typeof entry>[] =>
      Array.from({ length: to - from }, (_, i) => entry(from + i));
    await owner.views.commit(commitOf(1, { ...plain, indexAdd: entries(0, 1_000) }));
    for (let n = 2; n <= 10; n++) {
      await owner.views.commit(
        commitOf(n, { ...plain, indexAdd: [], indexRemove: entries((n - 2) * 100, (n - 1) * 100) }),
      );
    }
    const state = (
      await client.execute('SELECT state FROM owned WHERE context = ? AND name = ?', [context, OWNER], {
        prepare: true,
      })
    )
      .first()!
      .get('state') as string;
    const { floors } = JSON.parse(state) as { floors: [string, string][] };
    expect(floors).toHaveLength(1);
    expect(floors[0]![1], 'looked for after every 256 removals').toMatch(/000800$/);
    const other = await openStores(context);
    const firsts = async (limit: number): Promise<number[][]> =>
      Promise.all(
        [owner, other].map(async ({ views }) =>
          (await views.readIndex(VIEW, 'due', '', { limit })).map(({ value }) => value as number),
        ),
      );
    expect(await firsts(2)).toEqual([
      [900, 901],
      [900, 901],
    ]);
    await owner.views.commit(commitOf(11, { ...plain, indexAdd: [entry(5), entry(3)] }));
    expect(await firsts(3)).toEqual([
      [3, 5, 900],
      [3, 5, 900],
    ]);
    await other.views.commit(commitOf(12, { ...plain, indexAdd: [], indexRemove: [entry(3)] }));
    expect(await firsts(2)).toEqual([
      [5, 900],
      [5, 900],
    ]);
    const down = await other.views.readIndex(VIEW, 'due', '', { limit: 200, descending: true });
    expect(down.map(({ value }) => value).toReversed()).toEqual([5, ...entries(900, 1_000).map(({ value }) => value)]);
  });

  it('trims changes exactly, and removes their blocks when no reader can need them', async () => {
    const context = freshContext();
    const owner = await openStores(context, 1_000);
    const changes = (from: number): ViewCommit['changes'] =>
      Array.from({ length: 3_000 }, (_, i) => ({
        key: `k${from + i}`,
        revision: 1,
        retract: null,
        assert: { n: from + i },
        cause: [],
      }));
    for (let n = 1; n <= 4; n++) await owner.views.commit(commitOf(n, { changes: changes((n - 1) * 3_000 + 1) }));
    await refused('CHANGES_TRIMMED', () => owner.views.readChanges(VIEW, 10_999, 10));
    const kept = await owner.views.readChanges(VIEW, 11_000, 10_000);
    expect(kept.map((change) => change.key)).toEqual(Array.from({ length: 1_000 }, (_, i) => `k${11_001 + i}`));
    expect((await owner.views.readChanges(VIEW, 11_500, 3)).map((change) => change.sequence)).toEqual([
      11_501, 11_502, 11_503,
    ]);
    const entries = (): Promise<number> => countRows(client, 'view_change', context);
    const before = await entries();
    for (const n of [5, 6]) {
      owner.clock.movedMs += 60_000;
      await owner.views.commit(commitOf(n));
    }
    expect(await entries(), 'two blocks of 4,096 went').toBeLessThan(before / 2);
    expect(await owner.views.readChanges(VIEW, 11_002, 10_000)).toHaveLength(1_000);
  });

  it('leaves nothing behind when it is dropped, and finishes a drop that was interrupted', async () => {
    const context = freshContext();
    const [owner, other] = [await openStores(context), await openStores(context)];
    await owner.views.commit(commitOf(1));
    const dropped = vi.spyOn(owner.session, 'batch').mockRejectedValueOnce(new UnavailableError('TIMEOUT', 'lost'));
    await expect(owner.views.drop(VIEW)).rejects.toThrow('lost');
    dropped.mockRestore();
    expect(await other.views.versions(VIEW.name), 'listed until it is gone').toEqual([1]);
    expect(await other.views.findRows(VIEW, { limit: 10 })).toEqual([]);
    expect(await other.views.readCheckpoint(VIEW)).toBeUndefined();
    // Whoever commits it anew removes the rest first.
    await other.views.commit(commitOf(1, { rows: [], changes: [] }));
    expect(await owner.views.findRows(VIEW, { limit: 10 })).toEqual([]);
    expect(await owner.views.lastChange(VIEW)).toBe(0);
    await refused('CHECKPOINT_MOVED', () => owner.views.commit(commitOf(1)));
    await other.views.drop(VIEW);
    expect(await owner.views.versions(VIEW.name)).toEqual([]);
    for (const table of ['view_record', 'view_change']) {
      expect(await countRows(client, table, context), table).toBe(0);
    }
  });
});
