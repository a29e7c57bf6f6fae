/** A thing of which nothing counts is in no view: whether its events were retracted, or only corrections of it have come. */
import { expect, it } from 'vitest';
import { at, correctionEvent, Count, type CorrectionInput, type Rows } from '@concursus/core';
import { Bulb, SwitchedOn, T, world } from './support.js';

class Cell {
  @Count() bulbs = 0;
}

class All {
  rows(): Rows<Cell> {
    return [['all', { bulbs: 1 }]];
  }
}

it('leaves a view with its last event, and is not in it before its first', async () => {
  const w = await world();
  const { runner, projections } = w.runner([w.model(All, Cell)]);
  await runner.start();
  const view = projections.view<Cell>('spec');
  const retract = (id: string): CorrectionInput => ({
    aggregateType: 'bulb',
    aggregateId: id,
    kind: 'retract',
    target: { at: T, name: 'switchedOn' },
    decidedAt: T,
  });
  await view.caughtUp(await w.bus.for(Bulb, 'a').record(at(T, new SwitchedOn())));
  expect((await view.get('all'))?.value).toEqual({ bulbs: 1 });

  await view.caughtUp(await w.bus.record(correctionEvent(retract('a'))));
  expect(await view.get('all')).toBeUndefined();

  // A correction that came before what it corrects.
  await view.caughtUp(await w.bus.record(correctionEvent(retract('b'))));
  expect(await view.get('all')).toBeUndefined();
  await view.caughtUp(await w.bus.for(Bulb, 'b').record(at(T + 1, new SwitchedOn())));
  expect((await view.get('all'))?.value).toEqual({ bulbs: 1 });

  await runner.stop();
  await w.close();
});
