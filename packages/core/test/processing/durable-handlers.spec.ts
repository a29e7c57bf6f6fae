/** A durable handler that fails or is stopped in the middle of a page: what it handled is not handed to it again, what it did not is. */
import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { at, type EventInput, type EventModel } from '@concursus/core';
import { ManualClock } from '@concursus/testing';
import { DurableHandlers } from '../../src/processing/durable-handlers.js';
import { Bulb, ScrewedIn, SwitchedOn, T, world, type World } from '../projection/support.js';

async function following(w: World, process: string, handle: (at: number) => unknown): Promise<DurableHandlers> {
  const event: EventModel = w.registry.aggregate(Bulb).events.get('switchedOn')!;
  const handlers = new DurableHandlers(
    { feed: w.ports.eventFeed, checkpoints: w.ports.checkpointStore, clock: w.clock, logger: w.logger, process },
    [{ name: 'spec', handlers: [{ model: event, handle: (_event, context) => handle(context.at - T) }] }],
  );
  await handlers.start();
  return handlers;
}

async function* each(count: number): AsyncGenerator<EventInput> {
  for (let i = 0; i < count; i++)
    yield { aggregateType: 'bulb', aggregateId: 'a', name: 'switchedOn', at: T + i, parameters: {} };
}

it('goes on behind what it handled after one that throws', async () => {
  const clock = new ManualClock(T);
  const w = await world({ clock });
  const seen: number[] = [];
  let broken = true;
  const handlers = await following(w, 'one', (time) => {
    seen.push(time);
    if (time === 5 && broken) throw new Error('the printer is out of paper');
  });
  await w.bus.record(each(20));
  while (w.logger.lines.length === 0) await setImmediate();
  expect(seen).toEqual([0, 1, 2, 3, 4, 5]);
  await clock.advance(200);
  expect(seen).toEqual([0, 1, 2, 3, 4, 5, 5]);
  broken = false;
  await clock.advance(1_000);
  expect(seen.slice(7)).toEqual([5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
  await handlers.stop();
  await w.close();
});

it('hands out an append again as a whole, and the append before it not', async () => {
  const clock = new ManualClock(T);
  const w = await world({ clock });
  const seen: number[] = [];
  let broken = true;
  const handlers = await following(w, 'one', (time) => {
    seen.push(time);
    if (time === 5 && broken) throw new Error('the printer is out of paper');
  });
  const bulb = w.bus.for(Bulb, 'a');
  await Promise.all([
    bulb.record(at(T, new ScrewedIn('hall', 60)), at(T + 1, new SwitchedOn()), at(T + 2, new SwitchedOn())),
    bulb.record(at(T + 3, new SwitchedOn()), at(T + 4, new SwitchedOn()), at(T + 5, new SwitchedOn())),
  ]);
  while (w.logger.lines.length === 0) await setImmediate();
  broken = false;
  await clock.advance(1_000);
  expect(seen).toEqual([1, 2, 3, 4, 5, 3, 4, 5]);
  await handlers.stop();
  await w.close();
});

it('saves what it handled when it is stopped', async () => {
  const w = await world({ clock: new ManualClock(T) });
  const seen: number[] = [];
  let stopped: Promise<void> | undefined;
  const first = await following(w, 'one', (time) => {
    seen.push(time);
    if (time === 7) stopped = first.stop();
  });
  await w.bus.record(each(20));
  while (stopped === undefined) await setImmediate();
  await stopped;
  expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  const second = await following(w, 'two', (time) => seen.push(time));
  while (seen.length < 20) await setImmediate();
  expect(seen).toEqual(Array.from({ length: 20 }, (_, i) => i));
  await second.stop();
  await w.close();
});
