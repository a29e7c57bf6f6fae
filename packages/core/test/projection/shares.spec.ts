/** What readers of a view in shares see while its shares go over to another version, and how a follower goes on between them. */
import { expect, it } from 'vitest';
import { at, Latest, sharesOf, Sum, ViewMirror, type Rows, type StoredRow } from '@concursus/core';
import { Bulb, NOTHING_CHANGED, ScrewedIn, T, world, type World } from './support.js';

class Cell {
  @Sum() bulbs = 0;
  @Latest() last: number | null = null;
}
class ByRoom {
  rows({ room, wattage }: Bulb): Rows<Cell> {
    return [[room, { bulbs: 1, last: wattage }]];
  }
}

async function running(w: World, shares: number) {
  const models = sharesOf(w.model(ByRoom, Cell, {}, 'spec', shares), w.registry.context);
  const { runner, projections } = w.runner(models);
  await runner.start();
  return { runner, projections, models, view: projections.view<Cell>('spec') };
}

it('is read in its old version until all shares have the new one', async () => {
  const w = await world();
  const { runner, view, models } = await running(w, 2);
  for (let i = 0; i < 10; i++) {
    await view.caughtUp(await w.bus.for(Bulb, `b${i}`).record(at(T + i, new ScrewedIn('hall', i))));
  }
  await runner.stop();
  const { viewStore, checkpointStore } = w.ports;
  const halls = await Promise.all(
    models.map(async ({ name }) => (await viewStore.readRows({ name, version: 1, slice: -1 }, ['hall']))[0]!),
  );
  expect(halls.map(({ contributors }) => contributors).reduce((sum, one) => sum + one)).toBe(10);
  expect(halls.every(({ contributors }) => contributors > 0)).toBe(true);

  /** As a switch does: rows of a version in which each bulb counts 100, then the pointer. */
  const goOver = async (name: string, old: StoredRow): Promise<void> => {
    const owner = `projection:${name}:2`;
    const row = (await checkpointStore.claim(owner, 'new', undefined))!;
    const from = { version: 1, generation: 0, changesFrom: 0 };
    await viewStore.commit({
      ...NOTHING_CHANGED,
      view: { name, version: 2, slice: -1 },
      owner,
      epoch: row.epoch,
      expected: undefined,
      checkpoint: 'o1:10',
      rows: [{ ...old, fields: { ...old.fields, bulbs: old.contributors * 100 } }],
      notes: [{ key: 'rebuild/taken-from', value: from }],
    });
    await checkpointStore.save(`view:${name}`, '2', { epoch: 0, expected: '1' });
  };
  await goOver(models[0]!.name, halls[0]!);
  // A mixture of both would be a number that no version gives.
  expect((await view.get('hall'))?.value).toEqual({ bulbs: 10, last: 9 });
  expect((await view.find()).rows.map(({ value }) => value.bulbs)).toEqual([10]);
  await goOver(models[1]!.name, halls[1]!);
  expect((await view.get('hall'))?.value).toEqual({ bulbs: 1_000, last: 9 });
  await w.close();
});

it('tells each change as the whole row shows it, from any place on, whatever came meanwhile', async () => {
  const w = await world();
  const { runner, view } = await running(w, 3);
  const tokens = ['0'];
  const values: (Cell | null)[] = [null];
  for (let i = 0; i < 30; i++) {
    await view.caughtUp(await w.bus.for(Bulb, `b${i}`).record(at(T + i, new ScrewedIn('hall', i))));
    tokens.push(await view.lastToken());
    values.push((await view.get('hall'))!.value);
  }
  // Every place that was an end once is one to go on from: there the row was what it was then, and it ends as it is now.
  for (const [i, token] of tokens.slice(0, -1).entries()) {
    const stop = new AbortController();
    let before: Cell | null | undefined;
    let last: Cell | null | undefined;
    for await (const change of view.changes({ from: token, signal: stop.signal })) {
      if (before === undefined) before = change.retract;
      else expect(change.retract).toEqual(last);
      last = change.assert;
      if (change.sequence === 30) stop.abort();
    }
    expect(before).toEqual(values[i]);
    expect(last).toEqual({ bulbs: 30, last: 29 });
  }
  // What comes while nobody follows is followed later; what comes while somebody waits wakes it.
  const mirror = await ViewMirror.of(view);
  const stop = new AbortController();
  const following = (async () => {
    for await (const change of view.changes({ from: mirror.token, signal: stop.signal })) {
      mirror.apply(change);
      if (mirror.get('hall')?.bulbs === 33) stop.abort();
    }
  })();
  for (let i = 30; i < 33; i++) await w.bus.for(Bulb, `b${i}`).record(at(T + i, new ScrewedIn('hall', i)));
  await following;
  expect(mirror.get('hall')).toEqual({ bulbs: 33, last: 32 });
  await runner.stop();
  await w.close();
});
