/** An audit on LMDB: what is planted in rows, contributions and index is found and mended, and stays so after a restart. */
import { afterAll, expect, it } from 'vitest';
import {
  Auditor,
  ProjectionRunner,
  Projections,
  SystemClock,
  type ProjectionModel,
  type ViewCommit,
} from '@concursus/core';
import { appendOf, cleanUp, countingModel, fact, lampRegistry, openLayer, quickFolder, silent } from './support.js';

afterAll(cleanUp);

/** With a field that has an index. */
const model: ProjectionModel = {
  ...countingModel(1),
  fields: [...countingModel(1).fields, { name: 'most', merge: 'max', scale: 0, additive: false }],
  rowsOf: (_state, { id, events }) => [[`room ${Number(id) % 5}`, { lamps: 1, events, most: Number(id) }]],
};

it('finds what was planted, and mends it', async () => {
  const folder = quickFolder();
  const start = async () => {
    const layer = await openLayer(folder);
    const { eventStore, eventFeed, viewStore, checkpointStore } = layer.ports;
    const parts = {
      store: eventStore,
      feed: eventFeed,
      views: viewStore,
      checkpoints: checkpointStore,
      registry: lampRegistry(),
      clock: new SystemClock(),
      logger: silent,
      process: 'one',
    };
    const runner = new ProjectionRunner(parts, [model], { leaseMs: 60, beatMs: 10 });
    const projections = new Projections(parts, runner, () => {
      throw new Error('not here');
    });
    const auditor = new Auditor(parts, runner, projections);
    await runner.start();
    const stop = async (): Promise<void> => {
      await runner.stop();
      await layer.close();
    };
    return { ports: layer.ports, auditor, view: projections.view('counting'), stop };
  };
  let { ports, auditor, view, stop } = await start();
  for (let n = 0; n < 5; n++) {
    const facts = Array.from({ length: 300 }, (_, i) => fact({ id: String(i), at: n * 1_000 + i, sequence: n }));
    await ports.eventStore.append([appendOf(facts)]);
  }
  await view.caughtUp({ position: await ports.eventFeed.end() });
  const right = (await view.find()).rows.map(({ key, value }) => ({ key, value }));
  expect(await auditor.audit()).toMatchObject({ found: 0, facts: 1_500, aggregates: 300 });

  const ref = { name: 'counting', version: 1, slice: -1 };
  const checkpoint = (await ports.viewStore.readCheckpoint(ref))!;
  const owner = (await ports.checkpointStore.readOwner('projection:counting:1'))!;
  const [row] = await ports.viewStore.readRows(ref, ['room 1']);
  const lamp = (id: string) => ({ tenant: '', type: 'lamp', id });
  const [value] = await ports.viewStore.readContributions(ref, [lamp('7')]);
  const planted: ViewCommit = {
    view: ref,
    owner: owner.name,
    epoch: owner.epoch,
    expected: checkpoint,
    checkpoint,
    rows: [
      { ...row!, fields: { ...row!.fields, events: 1 } },
      { key: 'orphan', revision: 1, contributors: 1, fields: row!.fields },
    ],
    contributions: [{ aggregate: lamp('strange'), value: value! }],
    forget: [lamp('9')],
    indexAdd: [{ row: 'room 2', field: 'most', order: 'nffff', value: 1 }],
    indexRemove: await ports.viewStore.readIndex(ref, 'room 3', 'most', { limit: 1 }),
    changes: [],
    notes: [],
  };
  await ports.viewStore.commit(planted);
  const kinds = ['contribution', 'index', 'orphan-contribution', 'orphan-row', 'row'];
  const found = await auditor.audit();
  expect([...new Set(found.findings.map(({ kind }) => kind))].sort()).toEqual(kinds);
  const mended = await auditor.audit({ mend: true });
  expect(mended.findings.every((one) => one.mended === 'commit')).toBe(true);
  expect((await auditor.audit()).findings).toEqual([]);
  await stop();

  ({ ports, auditor, view, stop } = await start());
  expect((await auditor.audit()).findings).toEqual([]);
  expect((await view.find()).rows.map(({ key, value }) => ({ key, value }))).toEqual(right);
  await stop();
});
