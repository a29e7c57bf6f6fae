/** Contents of one identity that the conflict policy judges: a view holds what is left of all of them, however many come one by one. */
import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Aggregate, Count, Sum, type Rows } from '@concursus/core';
import { event, record } from '../processing/support.js';
import { Bulb, world } from './support.js';

class Cell {
  @Count() bulbs = 0;
  @Sum() switched = 0;
  @Sum() wattage = 0;
}

class All {
  rows({ switched, wattage }: Bulb): Rows<Cell> {
    return [['all', { bulbs: 1, switched, wattage } as never]];
  }
}

@Aggregate('bulb', { conflicts: 'neither' })
class Undisputed extends Bulb {}

@Aggregate('bulb', { conflicts: (contents) => contents.slice(0, 1) })
class First extends Bulb {}

const lamp = (wattage: number) => event({ at: 5, name: 'screwedIn', parameters: { room: 'hall', wattage } });

it.each([
  // A third content found a history of which nothing was left, and passed for the only one.
  { bulb: Undisputed, policy: 'neither', left: [10, 0, 0, 0] },
  { bulb: First, policy: 'the first by digest', left: undefined },
])('are judged together under "$policy"', async ({ bulb, left }) => {
  const w = await world({ bulb });
  const { runner, projections } = w.runner([w.model(All, Cell)]);
  await runner.start();
  const view = projections.view<Cell>('spec');
  const came: ReturnType<typeof lamp>[] = [];
  for (const [i, wattage] of [10, 11, 12, 13].entries()) {
    const one = lamp(wattage);
    came.push(one);
    await record(w, one, event({ at: 6 + i }));
    await view.caughtUp({ position: await w.ports.eventFeed.end() });
    await setImmediate();
    const first = came
      .map((fact) => [fact.digest, fact.parameters['wattage']] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1));
    const must = left === undefined ? first[0]![1] : left[i];
    expect((await view.get('all'))?.value).toEqual({ bulbs: 1, switched: i + 1, wattage: must });
  }
  await runner.stop();
  await w.close();
});
