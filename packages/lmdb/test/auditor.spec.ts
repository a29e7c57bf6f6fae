/**
 * An audit on LMDB: what is planted in rows, contributions and index is found and mended, and stays so after a restart; a
 * damaged file is noticed.
 */
import { setTimeout } from 'node:timers/promises';
import { afterAll, expect, it } from 'vitest';
import {
  Auditor,
  ProjectionRunner,
  type AuditFinding,
  type PersistentPorts,
  type ProjectionModel,
  type ViewCommit,
} from '@concursus/core';
import { Environment } from '../src/environment.js';
import { ownerKey } from '../src/history-index.js';
import { after, KeyWriter } from '../src/keys.js';
import {
  appendOf,
  cleanUp,
  countingModel,
  fact,
  openLayer,
  projectionsOf,
  quickFolder,
  runnerParts,
} from './support.js';

afterAll(cleanUp);

/** With a field that has an index. */
const model: ProjectionModel = {
  ...countingModel(1),
  fields: [...countingModel(1).fields, { name: 'most', merge: 'max', scale: 0, additive: false }],
  rowsOf: (_state, { id, events }) => [[`room ${Number(id) % 5}`, { lamps: 1, events, most: Number(id) }]],
};

async function start(folder: string) {
  const layer = await openLayer(folder, { indexAfter: 1 });
  const parts = runnerParts(layer, 'one');
  const runner = new ProjectionRunner(parts, [model], { leaseMs: 60, beatMs: 10 });
  const projections = projectionsOf(parts, runner);
  const auditor = new Auditor(parts, runner, projections);
  await runner.start();
  const stop = async (): Promise<void> => {
    await auditor.stop();
    await runner.stop();
    await layer.close();
  };
  return { ports: layer.ports, auditor, view: projections.view('counting'), stop };
}

async function record({ eventStore }: PersistentPorts): Promise<void> {
  for (let n = 0; n < 5; n++) {
    const facts = Array.from({ length: 300 }, (_, i) => fact({ id: String(i), at: n * 1_000 + i, sequence: n }));
    await eventStore.append([appendOf(facts)]);
  }
}

it('finds what was planted, and mends it', async () => {
  const folder = quickFolder();
  let { ports, auditor, view, stop } = await start(folder);
  await record(ports);
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
    indexAdd: [
      { row: 'room 2', field: 'most', order: 'nffff', value: 1 },
      { row: 'no room', field: 'most', order: 'nffff', value: 1 },
    ],
    indexRemove: await ports.viewStore.readIndex(ref, 'room 3', 'most', { limit: 1 }),
    changes: [],
    notes: [],
  };
  await ports.viewStore.commit(planted);
  const kinds = ['contribution', 'index', 'orphan-contribution', 'orphan-row', 'row'];
  const found = await auditor.audit();
  expect(found.findings.filter(({ kind }) => kind === 'index').map(({ row: at }) => at)).toContain('no room');
  expect([...new Set(found.findings.map(({ kind }) => kind))].sort()).toEqual(kinds);
  const mended = await auditor.audit({ mend: true });
  expect(mended.findings.every((one) => one.mended === 'commit')).toBe(true);
  expect((await auditor.audit()).findings).toEqual([]);
  await stop();

  ({ ports, auditor, view, stop } = await start(folder));
  expect((await auditor.audit()).findings).toEqual([]);
  expect((await view.find()).rows.map(({ key, value }) => ({ key, value }))).toEqual(right);
  await stop();
});

/** Takes the histories of one lamp out of the file, and gives another one them, as a fault of the disk might. */
async function damage(folder: string, lost: string, gained: string): Promise<void> {
  const env = Environment.acquire(folder, undefined);
  const segments = env.bytes('spec', 'history', true);
  await env.queue.run(
    () => {
      const prefix = ownerKey(new KeyWriter(), { tenant: '', type: 'lamp', id: lost }).copy();
      const into = ownerKey(new KeyWriter(), { tenant: '', type: 'lamp', id: gained }).copy();
      const own = [...segments.getRange({ start: prefix, end: after(prefix) })];
      expect(own.length).toBeGreaterThan(0);
      for (const { key, value } of own) {
        const behind = Buffer.from(key).subarray(prefix.length);
        segments.removeSync(key);
        segments.putSync(Buffer.concat([into, behind]), Buffer.from(value));
      }
    },
    { durable: true },
  );
  await env.release();
}

it('finds all the time what only the feed or only a history has', { timeout: 60_000 }, async () => {
  const folder = quickFolder();
  let { ports, auditor, view, stop } = await start(folder);
  await record(ports);
  await view.caughtUp({ position: await ports.eventFeed.end() });
  await stop();
  await damage(folder, '7', '8');
  ({ ports, auditor, view, stop } = await start(folder));
  const goRound = async (mend: boolean): Promise<readonly AuditFinding[]> => {
    auditor.start({ aggregatesPerSecond: 10_000, mend });
    while (auditor.state.rounds === 0) await setTimeout(20);
    await auditor.stop();
    return auditor.state.findings;
  };
  const tell = (findings: readonly AuditFinding[]): string[] => [
    ...new Set(
      findings.filter(({ view: of }) => of === undefined).map(({ kind, aggregate }) => `${kind} ${aggregate!.id}`),
    ),
  ];
  expect(tell(await goRound(false)).sort()).toEqual(['not-in-feed 8', 'not-in-history 7']);
  await stop();
  ({ ports, auditor, view, stop } = await start(folder));
  const mended = await goRound(true);
  const again = mended.filter(({ kind }) => kind === 'not-in-history').map((one) => one.mended);
  expect(new Set(again)).toEqual(new Set(['recorded']));
  // What was recorded again has other ids, and is the same; what only a history has, no audit can put into the feed.
  expect(tell((await auditor.audit({ views: [] })).findings)).toEqual(['not-in-feed 8']);
  await stop();
});
