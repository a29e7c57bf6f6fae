/** Two processes over one store: one owns a projection, an idle owner is replaced after the lease, a former one is refused. */
import { expect, it } from 'vitest';
import { at, ConcursusError, Ownership, Sum, type Rows } from '@concursus/core';
import { ManualClock } from '@concursus/testing';
import { NOTHING_CHANGED, Bulb, ScrewedIn, T, world } from './support.js';

class Cell {
  @Sum() bulbs = 0;
}
class ByRoom {
  rows(bulb: Bulb): Rows<Cell> {
    return [[bulb.room, { bulbs: 1 }]];
  }
}

it('lets one process run a projection, and another answer from the same store', async () => {
  const w = await world();
  const one = w.runner([w.model(ByRoom, Cell)], 'one');
  const two = w.runner([w.model(ByRoom, Cell)], 'two');
  await one.runner.start();
  await two.runner.start();
  const recorded = await w.bus.for(Bulb, 'a').record(at(T, new ScrewedIn('hall', 60)));
  await two.projections.view('spec').caughtUp(recorded);
  expect((await two.projections.view<Cell>('spec').get('hall'))?.value).toEqual({ bulbs: 1 });
  expect([one.projections.runsHere('spec'), two.projections.runsHere('spec')]).toEqual([true, false]);

  // A clean stop gives the row up: the other takes it at its next look.
  await one.runner.stop();
  const more = await w.bus.for(Bulb, 'b').record(at(T, new ScrewedIn('hall', 60)));
  await two.projections.view('spec').caughtUp(more);
  expect((await two.projections.view<Cell>('spec').get('hall'))?.value).toEqual({ bulbs: 2 });
  await two.runner.stop();
  await w.close();
});

it('replaces an owner whose beat stands still, and refuses it when it wakes', async () => {
  const clock = new ManualClock(T);
  const w = await world({ clock });
  const name = 'projection:spec:1';
  const dead = (await w.ports.checkpointStore.claim(name, 'dead', undefined))!;
  const { runner, projections } = w.runner([w.model(ByRoom, Cell)], 'two', { leaseMs: 2_000, beatMs: 400 });
  await runner.start();
  await w.bus.for(Bulb, 'a').record(at(T, new ScrewedIn('hall', 60)));
  for (let ms = 0; ms < 1_600; ms += 400) {
    await clock.advance(400);
    expect((await w.ports.checkpointStore.readOwner(name))!.owner).toBe('dead');
  }
  const taken = runner.nextStep();
  for (let ms = 0; ms < 1_200; ms += 400) await clock.advance(400);
  await taken;
  expect((await projections.view<Cell>('spec').get('hall'))?.value).toEqual({ bulbs: 1 });
  await expect(w.ports.checkpointStore.renew(dead)).rejects.toMatchObject({ code: 'LEASE_LOST' });
  const commit = {
    view: { name: 'spec', version: 1, slice: -1 },
    owner: name,
    expected: undefined,
    checkpoint: 'o1:9',
    ...NOTHING_CHANGED,
  };
  await expect(w.ports.viewStore.commit({ ...commit, epoch: dead.epoch })).rejects.toMatchObject({
    code: 'LEASE_LOST',
  });
  await expect(w.ports.viewStore.commit({ ...commit, epoch: dead.epoch + 1 })).rejects.toMatchObject({
    code: 'CHECKPOINT_MOVED',
  });
  await runner.stop();
  await w.close();
});

it('says when a view does not reach a position in time, and when changes are no longer kept', async () => {
  const w = await world({ changesKept: 2 });
  const { runner, projections } = w.runner([w.model(ByRoom, Cell)]);
  const view = projections.view<Cell>('spec');
  const recorded = await w.bus.for(Bulb, 'a').record(at(T, new ScrewedIn('r0', 60)));
  await expect(view.caughtUp(recorded, { timeoutMs: 1 })).rejects.toMatchObject({ code: 'TIMEOUT', retryable: true });
  await runner.start();
  for (let i = 1; i < 9; i++)
    await view.caughtUp(await w.bus.for(Bulb, `b${i}`).record(at(T, new ScrewedIn(`r${i}`, 60))));
  const read = async (): Promise<void> => {
    for await (const change of view.changes()) expect(change.sequence).toBeGreaterThan(0);
  };
  const error = await read().catch((thrown: unknown) => thrown);
  expect(ConcursusError.isInstance(error) && error.code).toBe('CHANGES_TRIMMED');
  await runner.stop();
  await w.close();
});

it('does not take back by a renewal that was under way what its consumer gave up meanwhile', async () => {
  const clock = new ManualClock(T);
  const w = await world({ clock });
  const store = w.ports.checkpointStore;
  let answer = (): void => undefined;
  const slow = Object.create(store) as typeof store;
  slow.renew = async (row) => {
    const renewed = await store.renew(row);
    await new Promise<void>((resolve) => (answer = resolve));
    return renewed;
  };
  let changes = 0;
  const ownership = new Ownership(slow, clock, w.logger, 'one', () => changes++, { leaseMs: 100, beatMs: 10 });
  ownership.watch('consumer');
  await ownership.start();
  expect(ownership.held('consumer')?.epoch).toBe(1);
  await clock.advance(15); // a renewal is under way
  ownership.lost('consumer');
  answer();
  await clock.advance(1);
  // Held again without a word, it would be beaten for ever and run by nobody.
  expect(ownership.held('consumer')).toBeUndefined();
  await clock.advance(300);
  expect(ownership.held('consumer')?.epoch).toBe(2);
  expect(changes).toBe(3);
  answer();
  const stopped = ownership.stop();
  await clock.advance(20);
  answer();
  await stopped;
  await w.close();
});
