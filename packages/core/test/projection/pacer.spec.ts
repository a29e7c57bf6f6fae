/** Streams wait for views that trail, for views of other processes too, and never for long for one that does not come nearer. */
import { expect, it } from 'vitest';
import { OrdinalPosition, Sum, type Rows } from '@concursus/core';
import { ManualClock } from '@concursus/testing';
import { Pacer } from '../../src/projection/pacer.js';
import { NOTHING_CHANGED, Bulb, T, world } from './support.js';

class Cell {
  @Sum() bulbs = 0;
}
class ByRoom {
  rows(bulb: Bulb): Rows<Cell> {
    return [[bulb.room, { bulbs: 1 }]];
  }
}

const at = (ordinal: number) => new OrdinalPosition(ordinal);

async function paced() {
  const clock = new ManualClock(T);
  const w = await world({ clock });
  const model = w.model(ByRoom, Cell);
  const name = 'projection:spec:1';
  const owner = (await w.ports.checkpointStore.claim(name, 'another process', undefined))!;
  let checkpoint: string | undefined;
  return {
    clock,
    pacer: new Pacer(
      {
        views: w.ports.viewStore,
        checkpoints: w.ports.checkpointStore,
        feed: w.ports.eventFeed,
        clock,
        nextStep: () => new Promise(() => undefined),
      },
      [model],
    ),
    /** What the other process commits. */
    async reach(ordinal: number): Promise<void> {
      const next = at(ordinal).toString();
      await w.ports.viewStore.commit({
        view: { name: 'spec', version: 1, slice: -1 },
        owner: name,
        epoch: owner.epoch,
        expected: checkpoint,
        checkpoint: next,
        ...NOTHING_CHANGED,
      });
      checkpoint = next;
    },
    close: () => w.close(),
  };
}

const isDone = async (promise: Promise<void>, clock: ManualClock, ms: number): Promise<boolean> => {
  let done = false;
  void promise.then(() => (done = true));
  for (let passed = 0; passed < ms && !done; passed += 20) await clock.advance(20);
  return done;
};

it('lets batches through while few events are ahead of the views, then one for each that arrives', async () => {
  const { pacer, clock, reach, close } = await paced();
  for (let batch = 1; batch <= 6; batch++) {
    expect(pacer.turn(1_000)).toBeUndefined();
    pacer.done(1_000, at(batch * 1_000));
  }
  const seventh = pacer.turn(1_000)!;
  expect(await isDone(seventh, clock, 200)).toBe(false);
  await reach(2_500);
  expect(await isDone(seventh, clock, 200)).toBe(true);
  // Two batches arrived: one more may go now, the next waits.
  expect(pacer.turn(1_000)).toBeUndefined();
  expect(await isDone(pacer.turn(1_000)!, clock, 200)).toBe(false);
  await close();
});

it('does not wait for a view that does not come nearer, until it has caught up', async () => {
  const { pacer, clock, reach, close } = await paced();
  for (let batch = 1; batch <= 6; batch++) {
    expect(pacer.turn(1_000)).toBeUndefined();
    pacer.done(1_000, at(batch * 1_000));
  }
  const held = pacer.turn(1_000)!;
  expect(await isDone(held, clock, 4_900)).toBe(false);
  expect(await isDone(held, clock, 400)).toBe(true);
  // Left to itself: nobody waits.
  for (let batch = 7; batch <= 30; batch++) {
    const turn = batch === 7 ? undefined : pacer.turn(1_000);
    if (turn !== undefined) expect(await isDone(turn, clock, 100)).toBe(true);
    pacer.done(1_000, at(batch * 1_000));
  }
  await reach(30_000);
  const near = pacer.turn(1_000);
  if (near !== undefined) expect(await isDone(near, clock, 100)).toBe(true);
  pacer.done(1_000, at(31_000));
  for (let batch = 32; batch <= 36; batch++) {
    expect(pacer.turn(1_000)).toBeUndefined();
    pacer.done(1_000, at(batch * 1_000));
  }
  expect(await isDone(pacer.turn(1_000)!, clock, 1_000)).toBe(false);
  await close();
});

it('forgets batches that were not recorded, and lets one larger than the bound go alone', async () => {
  const { pacer, clock, close } = await paced();
  for (let batch = 0; batch < 100; batch++) {
    expect(pacer.turn(5_000)).toBeUndefined();
    pacer.done(5_000, undefined);
  }
  const large = pacer.turn(10_000)!;
  expect(await isDone(large, clock, 100)).toBe(true);
  await close();
});
