/**
 * Goal: a commit of a view is whole for every reader and refused to every former owner, whatever is late or lost. Method: stores
 * over one real server, held up between staging and commit, and read while they commit.
 */
import { UnavailableError } from '@concursus/core';
import { refused } from '@concursus/testing';
import type { Client } from 'cassandra-driver';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { bareClient, cleanUp, freshContext, openLayer, serverUrl } from './support.js';
import { closeStores, commitOf, countRows, openStores, OWNER, VIEW } from './view-support.js';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

describe.skipIf(serverUrl === undefined)('a view on Cassandra', () => {
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

  it('shows a reader each commit wholly or not at all while commits go on', async () => {
    const context = freshContext();
    const owner = await openStores(context);
    const readers = [await openStores(context), await openStores(context)];
    const seen = new Set<number>();
    let done = false;
    const reading = readers.map(async ({ views }) => {
      let last = 0;
      while (!done) {
        const rows = await views.findRows(VIEW, { limit: 10 });
        const ns = rows.map((row) => row.fields['n'] as number);
        expect(new Set(ns).size, ns.join()).toBeLessThan(2);
        if (ns.length === 0) continue;
        expect(ns).toHaveLength(5);
        expect(ns[0]).toBeGreaterThanOrEqual(last);
        last = ns[0]!;
        seen.add(last);
        const some = await views.readRows(VIEW, ['e', 'a']);
        expect(some[0]!.fields).toEqual(some[1]!.fields);
        const changes = await views.readChanges(VIEW, last - 1, 1);
        expect(changes[0]?.assert).toEqual({ n: last });
      }
    });
    for (let n = 1; n <= 150; n++) await owner.views.commit(commitOf(n));
    done = true;
    await Promise.all(reading);
    expect(seen.size, 'readers saw commits go by').toBeGreaterThan(10);
  });

  it('refuses a paused owner from the claim on, before its follower committed anything', async () => {
    const context = freshContext();
    const [paused, follower] = [await openStores(context), await openStores(context)];
    const first = (await paused.checkpoints.claim(OWNER, 'one', undefined))!;
    await paused.views.commit(commitOf(1, { epoch: first.epoch }));
    const pause = paused.session.pause();
    const late = paused.views.commit(commitOf(2, { epoch: first.epoch }));
    await pause.reached;
    const second = (await follower.checkpoints.claim(OWNER, 'two', first))!;
    pause.goOn();
    await refused('LEASE_LOST', () => late);
    expect(await follower.views.readCheckpoint(VIEW)).toBe('o1:1');
    expect((await follower.views.readRows(VIEW, ['a']))[0]!.fields).toEqual({ n: 1 });
    await follower.views.commit(commitOf(2, { epoch: second.epoch, notes: [{ key: 'n', value: 'follower' }] }));
    expect(await paused.views.readNotes(VIEW, '')).toEqual([{ key: 'n', value: 'follower' }]);
  });

  it('counts nothing of what was staged and not committed, also when it is written late and over other slots', async () => {
    const context = freshContext();
    const [owner, other] = [await openStores(context), await openStores(context)];
    await owner.views.commit(commitOf(1));
    const pause = owner.session.pause();
    const onlyStaged = commitOf(2, {
      rows: ['a', 'staged'].map((key) => ({ key, revision: 2, contributors: 1, fields: { n: 666 } })),
      changes: ['a', 'staged'].map((key) => ({ key, revision: 2, retract: null, assert: { n: 666 }, cause: [] })),
    });
    const late = owner.views.commit(onlyStaged);
    await pause.reached;
    for (let n = 2; n <= 9; n++) {
      await other.views.commit(commitOf(n));
      expect((await other.views.readRows(VIEW, ['a', 'staged'])).map((row) => row?.fields)).toEqual([{ n }, undefined]);
    }
    pause.goOn();
    await refused('CHECKPOINT_MOVED', () => late);
    const changes = await owner.views.readChanges(VIEW, 0, 100);
    expect(changes.map((change) => change.assert)).toEqual(Array.from({ length: 9 }, (_, i) => ({ n: i + 1 })));
    // It reads what stands, and goes on from there over what it left.
    await owner.views.commit(commitOf(10));
    expect((await other.views.findRows(VIEW, { limit: 100 })).map((row) => row.fields['n'])).toEqual([
      10, 10, 10, 10, 10,
    ]);
  });

  it('lets one of two processes that know of no owner commit, and the other go on from there', async () => {
    const context = freshContext();
    const stores = [await openStores(context), await openStores(context)];
    for (let n = 1; n <= 20; n++) {
      const answers = await Promise.allSettled(
        stores.map(({ views }, i) => views.commit(commitOf(n, { notes: [{ key: 'who', value: i }] }))),
      );
      expect(answers.filter((answer) => answer.status === 'fulfilled').length).toBeLessThanOrEqual(1);
      if (answers.every((answer) => answer.status === 'rejected')) {
        // Both hindered each other to the end of their tries; nothing was stored.
        expect(await stores[0]!.views.readCheckpoint(VIEW)).toBe(n === 1 ? undefined : `o1:${n - 1}`);
        await stores[0]!.views.commit(commitOf(n, { notes: [{ key: 'who', value: 0 }] }));
      }
      const rows = await stores[1]!.views.findRows(VIEW, { limit: 10 });
      expect(rows.map((row) => row.fields['n'])).toEqual([n, n, n, n, n]);
      expect(await stores[1]!.views.lastChange(VIEW)).toBe(n);
    }
  });

  it('knows the ends of all runs, also of more than a head names', async () => {
    const context = freshContext();
    const stores = [await openStores(context), await openStores(context)];
    await stores[0]!.views.commit(commitOf(1, { notes: [{ key: 'first', value: 'kept' }] }));
    // Each commit of the other process opens a run.
    for (let n = 2; n <= 140; n++) await stores[n % 2]!.views.commit(commitOf(n));
    const fresh = await openStores(context);
    for (const { views } of [...stores, fresh]) {
      expect(await views.readNotes(VIEW, 'first')).toEqual([{ key: 'first', value: 'kept' }]);
      expect(await views.readChanges(VIEW, 0, 200)).toHaveLength(140);
    }
    expect(await countRows(client, 'view_seal', context)).toBeGreaterThan(0);
  });

  it('counts nothing of a commit that failed in the middle, also after the next one', async () => {
    const context = freshContext();
    const owner = await openStores(context);
    await owner.views.commit(commitOf(1));
    const failed = vi
      .spyOn(owner.session, 'conditional')
      .mockRejectedValueOnce(new UnavailableError('TIMEOUT', 'lost'));
    const more = commitOf(2, {
      rows: [
        { key: 'a', revision: 2, contributors: 1, fields: { n: 666 } },
        { key: 'staged', revision: 1, contributors: 1, fields: {} },
      ],
      notes: [{ key: 'staged', value: 1 }],
      contributions: [{ aggregate: { tenant: '', type: 'lamp', id: 'staged' }, value: 1 }],
      changes: Array.from({ length: 700 }, (_, i) => ({
        key: `staged ${i}`,
        revision: 1,
        retract: null,
        assert: {},
        cause: [],
      })),
    });
    await expect(owner.views.commit(more)).rejects.toThrow('lost');
    failed.mockRestore();
    for (let n = 2; n <= 4; n++)
      await owner.views.commit(commitOf(n, { rows: [{ key: 'b', revision: n, contributors: 1, fields: { n } }] }));
    const { views } = await openStores(context);
    expect((await views.readRows(VIEW, ['a', 'b', 'staged'])).map((row) => row?.fields)).toEqual([
      { n: 1 },
      { n: 4 },
      undefined,
    ]);
    expect(await views.readNotes(VIEW, '')).toEqual([{ key: 'n', value: 4 }]);
    expect(await views.readContributions(VIEW, [{ tenant: '', type: 'lamp', id: 'staged' }])).toEqual([undefined]);
    expect((await views.readChanges(VIEW, 0, 1_000)).map((change) => change.assert)).toEqual(
      [1, 2, 3, 4].map((n) => ({ n })),
    );
  });

  it('is committed under one owner name for good', async () => {
    const context = freshContext();
    const { views } = await openStores(context);
    await views.commit(commitOf(1));
    await refused('LEASE_LOST', () => views.commit(commitOf(2, { owner: 'another' })));
    expect(await views.readCheckpoint(VIEW)).toBe('o1:1');
  });

  it('commits twenty thousand records at once', async () => {
    const context = freshContext();
    const { views } = await openStores(context);
    const rows = Array.from({ length: 20_000 }, (_, i) => ({
      key: `row ${String(i).padStart(5, '0')}`,
      revision: 1,
      contributors: 1,
      fields: { text: 'x'.repeat(i % 50), i },
    }));
    await views.commit(commitOf(1, { rows }));
    const found = await views.findRows(VIEW, { limit: 10_000, from: 'row 05000' });
    expect(found.map((row) => row.fields['i'])).toEqual(Array.from({ length: 10_000 }, (_, i) => 5_000 + i));
  });

  it('wakes who waits in another process within the promised time', async () => {
    const context = freshContext();
    const [owner, other] = [await openStores(context), await openStores(context)];
    await owner.views.commit(commitOf(1));
    const waits: number[] = [];
    for (let n = 2; n <= 12; n++) {
      const waiting = other.views.waitForChange(VIEW, n - 1, new AbortController().signal);
      await owner.views.commit(commitOf(n));
      const start = performance.now();
      await waiting;
      waits.push(performance.now() - start);
    }
    // Half of them: one machine that is busy must not fail it.
    expect(waits.toSorted((a, b) => a - b)[5]).toBeLessThan(20);
  });
});
