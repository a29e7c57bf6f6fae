/** A projection that throws parks that aggregate and nobody else; its contributions are withdrawn, a retry asserts them again. */
import { expect, it } from 'vitest';
import { at, Sum, type Rows } from '@concursus/core';
import { Bulb, Burnt, ScrewedIn, SwitchedOn, T, world } from './support.js';

class Cell {
  @Sum() bulbs = 0;
  @Sum({ scale: 2 }) cost = 0;
}

let broken = true;
class ByRoom {
  rows(bulb: Bulb): Rows<Cell> {
    if (broken && bulb.burnt) throw new Error('a burnt bulb has no room');
    return [[bulb.room, { bulbs: 1, cost: bulb.wattage / 100 }]];
  }
}

it('parks what throws, goes on with the others, and releases by hand', async () => {
  broken = true;
  const w = await world();
  const { runner, projections } = w.runner([w.model(ByRoom, Cell)]);
  await runner.start();
  const view = projections.view<Cell>('spec');
  await w.bus.for(Bulb, 'a').record(at(T, new ScrewedIn('hall', 60)));
  await view.caughtUp(await w.bus.for(Bulb, 'b').record(at(T, new ScrewedIn('hall', 40))));
  expect((await view.get('hall'))?.value).toEqual({ bulbs: 2, cost: 1 });

  await view.caughtUp(await w.bus.for(Bulb, 'a').record(at(T + 2, new Burnt())));
  expect((await view.get('hall'))?.value).toEqual({ bulbs: 1, cost: 0.4 });
  expect(await projections.parked('spec')).toMatchObject([
    { aggregate: { id: 'a' }, error: 'a burnt bulb has no room' },
  ]);
  expect(w.logger.lines.join()).toContain('could not handle bulb a and parked it');

  // Later events of the parked aggregate wait with it; others are applied.
  await view.caughtUp(await w.bus.for(Bulb, 'a').record(at(T + 1, new SwitchedOn())));
  await view.caughtUp(await w.bus.for(Bulb, 'c').record(at(T, new ScrewedIn('hall', 10))));
  expect((await view.get('hall'))?.value).toEqual({ bulbs: 2, cost: 0.5 });
  expect(await projections.retryParked('spec')).toBe(0);

  broken = false;
  expect(await projections.retryParked('spec', { tenant: '', type: 'bulb', id: 'a' })).toBe(1);
  expect((await view.get('hall'))?.value).toEqual({ bulbs: 3, cost: 1.1 });
  expect(await projections.parked('spec')).toEqual([]);
  expect((await projections.audit('spec')).differences).toEqual([]);

  const changes = [];
  const stop = new AbortController();
  const end = await view.lastChange();
  for await (const change of view.changes({ signal: stop.signal })) {
    changes.push([change.retract?.bulbs ?? null, change.assert?.bulbs ?? null]);
    if (change.sequence === end) stop.abort();
  }
  expect(changes.at(-1)).toEqual([2, 3]);
  for (let i = 1; i < changes.length; i++) expect(changes[i]![0]).toBe(changes[i - 1]![1]);
  await runner.stop();
  await w.close();
});

it('tries what is parked once more after a restart', async () => {
  broken = true;
  const w = await world();
  const first = w.runner([w.model(ByRoom, Cell)]);
  await first.runner.start();
  const recorded = await w.bus.for(Bulb, 'a').record(at(T, new ScrewedIn('hall', 60)), at(T + 1, new Burnt()));
  await first.projections.view('spec').caughtUp(recorded);
  expect(await first.projections.parked('spec')).toHaveLength(1);
  await first.runner.stop();

  broken = false;
  const second = w.runner([w.model(ByRoom, Cell)], 'two');
  await second.runner.start();
  const view = second.projections.view<Cell>('spec');
  while ((await view.get('hall')) === undefined) await second.runner.nextStep();
  expect((await view.get('hall'))?.value.bulbs).toBe(1);
  expect(await second.projections.parked('spec')).toEqual([]);
  await second.runner.stop();
  await w.close();
});

it('parks an aggregate whose rows no merge can take, with the reason', async () => {
  class Odd {
    rows(bulb: Bulb): Rows<Cell> {
      if (bulb.room === 'fraction') return [['x', { bulbs: 0.5 }]];
      if (bulb.room === 'places') return [['x', { cost: 0.001 }]];
      if (bulb.room === 'unknown field') return [['x', { weight: 1 } as never]];
      if (bulb.room === 'no rows') return 'x' as never;
      if (bulb.room === 'empty key') return [['', { bulbs: 1 }]];
      if (bulb.room === 'overflow') {
        const most = { bulbs: Number.MAX_SAFE_INTEGER };
        return [
          ['x', most],
          ['x', most],
        ];
      }
      return [['x', { bulbs: 1 }]];
    }
  }
  const w = await world();
  const { runner, projections } = w.runner([w.model(Odd, Cell)]);
  await runner.start();
  const rooms = ['hall', 'fraction', 'places', 'unknown field', 'no rows', 'empty key', 'overflow'];
  let last;
  for (const room of rooms) last = await w.bus.for(Bulb, room).record(at(T, new ScrewedIn(room, 1)));
  await projections.view('spec').caughtUp(last!);
  const parked = await projections.parked('spec');
  expect(parked.map((one) => one.aggregate.id).sort()).toEqual(rooms.slice(1).sort());
  for (const one of parked) expect(one.error).toMatch(/PROJECTION_FAILED/);
  await runner.stop();
  await w.close();
});
