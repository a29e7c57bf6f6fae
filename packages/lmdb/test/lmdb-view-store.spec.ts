/** Goal: what only these views and this buffer promise: commits that ride together, trimmed changes, keys that are too long, dead owners. */
import type { Layer, ViewCommit, ViewRef } from '@concursus/core';
import { eventually, ManualClock } from '@concursus/testing';
import { afterAll, describe, expect, it } from 'vitest';
import { lmdb, lmdbTransport, type LmdbEventStore } from '../src/index.js';
import { appendOf, cleanUp, fact, openLayer, scratchFolder, silent } from './support.js';

afterAll(cleanUp);

const refOf = (name: string): ViewRef => ({ name, version: 1, slice: -1 });

function commitOf(view: ViewRef, step: number, parts: Partial<ViewCommit> = {}): ViewCommit {
  return {
    view,
    owner: `projection/${view.name}`,
    epoch: 0,
    expected: step === 0 ? undefined : `o1:${step}`,
    checkpoint: `o1:${step + 1}`,
    rows: [{ key: 'row', revision: step + 1, contributors: 1, fields: { step } }],
    contributions: [],
    forget: [],
    indexAdd: [],
    indexRemove: [],
    changes: [{ key: 'row', revision: step + 1, retract: null, assert: { step }, cause: [] }],
    notes: [],
    ...parts,
  };
}

describe('views', () => {
  it('commit together with each other and with appends in one transaction', async () => {
    const layer = await openLayer(scratchFolder());
    const { eventStore, viewStore } = layer.ports;
    const before = (eventStore as LmdbEventStore).stats.transactions;
    await Promise.all([
      viewStore.commit(commitOf(refOf('a'), 0)),
      eventStore.append([appendOf([fact()])]),
      viewStore.commit(commitOf(refOf('b'), 0)),
    ]);
    expect((eventStore as LmdbEventStore).stats.transactions - before).toBe(1);
    await layer.close();
  });

  it('wait for the disk when they are asked to be durable, many for one flush, and not otherwise', async () => {
    const layer = await openLayer(scratchFolder());
    const { eventStore, viewStore } = layer.ports;
    const flushes = (): number => (eventStore as LmdbEventStore).stats.flushes;
    const before = flushes();
    await viewStore.commit(commitOf(refOf('a'), 0));
    expect(flushes() - before).toBe(0);
    await viewStore.commit(commitOf(refOf('a'), 1, { durable: true }));
    expect(flushes() - before).toBe(1);
    const order: string[] = [];
    await Promise.all([
      ...['b', 'c', 'd'].map((name) =>
        viewStore.commit(commitOf(refOf(name), 0, { durable: true })).then(() => order.push('durable')),
      ),
      viewStore.commit(commitOf(refOf('a'), 2)).then(() => order.push('quick')),
    ]);
    expect(flushes() - before).toBe(2);
    expect(order[0]).toBe('quick');
    await layer.close();
  });

  it('keep the last changes and say what was trimmed, also over a restart', async () => {
    const path = scratchFolder();
    const first = await openLayer(path, { changesKept: 3 });
    for (let step = 0; step < 10; step++) await first.ports.viewStore.commit(commitOf(refOf('a'), step));
    await first.close();
    const { ports, close } = await openLayer(path, { changesKept: 3 });
    expect(await ports.viewStore.lastChange(refOf('a'))).toBe(10);
    expect((await ports.viewStore.readChanges(refOf('a'), 7, 10)).map((each) => each.sequence)).toEqual([8, 9, 10]);
    await expect(ports.viewStore.readChanges(refOf('a'), 6, 10)).rejects.toMatchObject({ code: 'CHANGES_TRIMMED' });
    await close();
  });

  it('keep the changes of a commit together, and read and trim them one by one', async () => {
    const layer = await openLayer(scratchFolder(), { changesKept: 700 });
    const { viewStore } = layer.ports;
    const view = refOf('a');
    const changes = (count: number, step: number) =>
      Array.from({ length: count }, (_, i) => ({
        key: `row ${i}`,
        revision: step + 1,
        retract: null,
        assert: { step, text: 'x'.repeat(i === 5 ? 70_000 : 1) },
        cause: [],
      }));
    await viewStore.commit(commitOf(view, 0, { changes: changes(600, 0) }));
    const sequences = async (from: number, limit: number): Promise<number[]> =>
      (await viewStore.readChanges(view, from, limit)).map((each) => each.sequence);
    expect(await sequences(0, 10_000)).toEqual(Array.from({ length: 600 }, (_, i) => i + 1));
    expect(await sequences(254, 4)).toEqual([255, 256, 257, 258]);
    expect((await viewStore.readChanges(view, 299, 1))[0]).toMatchObject({ key: 'row 299', sequence: 300 });
    await viewStore.commit(commitOf(view, 1, { changes: changes(300, 1) }));
    expect(await viewStore.lastChange(view)).toBe(900);
    expect(await sequences(200, 2)).toEqual([201, 202]);
    await expect(viewStore.readChanges(view, 199, 1)).rejects.toMatchObject({ code: 'CHANGES_TRIMMED' });
    expect(await sequences(200, 10_000)).toHaveLength(700);
    await viewStore.commit(commitOf(view, 2, { changes: changes(2_000, 2) }));
    expect((await sequences(2_200, 10_000)).at(-1)).toBe(2_900);
    await expect(viewStore.readChanges(view, 2_199, 1)).rejects.toMatchObject({ code: 'CHANGES_TRIMMED' });
    await layer.close();
  });

  it('refuse a key that LMDB cannot hold, and change nothing', async () => {
    const layer = await openLayer(scratchFolder());
    const { viewStore } = layer.ports;
    const entry = { row: 'row', field: 'f', order: 'x'.repeat(2_000), value: 1 };
    await expect(viewStore.commit(commitOf(refOf('a'), 0, { indexAdd: [entry] }))).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
    });
    expect(await viewStore.readRows(refOf('a'), ['row'])).toEqual([undefined]);
    expect(await viewStore.readCheckpoint(refOf('a'))).toBeUndefined();
    await layer.close();
  });

  it('keep rows and index entries apart whose names hold NUL', async () => {
    const layer = await openLayer(scratchFolder());
    const { viewStore } = layer.ports;
    const view = refOf('a');
    const rows = ['r', 'r\u0000', 'r\u0000f', 'r\u0001'];
    await viewStore.commit(
      commitOf(view, 0, {
        rows: rows.map((key) => ({ key, revision: 1, contributors: 1, fields: { key } })),
        indexAdd: rows.map((row) => ({ row, field: 'f', order: `o ${row}`, value: row })),
      }),
    );
    expect((await viewStore.findRows(view, { limit: 9 })).map((row) => row.key)).toEqual(rows);
    for (const row of rows) {
      const entries = await viewStore.readIndex(view, row, 'f', { limit: 9 });
      expect(entries.map((each) => each.value)).toEqual([row]);
    }
    await layer.close();
  });

  it('wake who waits for them through another layer over the same path', async () => {
    const path = scratchFolder();
    const clock = new ManualClock();
    const open = async (context: string): Promise<Layer<'persistent'>> => {
      const layer = await lmdb({ path }).create({ context, clock, logger: silent });
      await layer.connect();
      return layer;
    };
    const [one, two] = [await open('c'), await open('c')];
    let woken = false;
    const waiting = two.ports.viewStore.waitForChange(refOf('a'), 0, new AbortController().signal).then(() => {
      woken = true;
    });
    await clock.advance(20);
    expect(woken).toBe(false);
    await one.ports.viewStore.commit(commitOf(refOf('a'), 0));
    await clock.advance(20);
    await waiting;
    await one.close();
    await two.close();
  });
});

describe('the buffer', () => {
  it('hands the items of a consumer that died to the next one, after a lease', async () => {
    const path = scratchFolder();
    const clock = new ManualClock();
    const store = await lmdb({ path }).create({ context: 'c', clock, logger: silent });
    await store.connect();
    // What a killed process leaves behind: an owner row that stands still.
    await store.ports.checkpointStore.claim('transport/g', 'dead', undefined);
    const buffer = await lmdbTransport({ path, leaseMs: 2_000 }).create({ context: 'c', clock, logger: silent });
    await buffer.connect();
    await buffer.ports.eventTransport.publish([{ key: 'k', bytes: new Uint8Array([1]), acceptedAt: 1 }]);
    const handled: number[] = [];
    const start = clock.monotonicMs();
    await buffer.ports.eventTransport.subscribe('g', async (items) => {
      for (const item of items) handled.push(item.bytes[0]!);
    });
    await eventually(() => handled.length > 0, clock, 'the item is handed on');
    expect(handled).toEqual([1]);
    expect(clock.monotonicMs() - start).toBeGreaterThanOrEqual(2_000);
    // How soon after it is a matter of real time: the clock here runs on while the disk works. Two processes show it.
    await buffer.close();
    await store.close();
  });
});
