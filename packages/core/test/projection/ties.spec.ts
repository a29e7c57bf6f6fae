/** What goes by time in a view of events: of two events of one aggregate and instant the one that folds first is the earliest. */
import { expect, it } from 'vitest';
import { at, Earliest, Latest, type Rows } from '@concursus/core';
import { Bulb, Burnt, ScrewedIn, SwitchedOn, T, world } from './support.js';

class Ends {
  @Earliest() first: string | null = null;
  @Latest() last: string | null = null;
}

class ByKind {
  screwedIn(): Rows<Ends> {
    return [['all', { first: 'screwed in', last: 'screwed in' }]];
  }
  switchedOn(): Rows<Ends> {
    return [['all', { first: 'switched on', last: 'switched on' }]];
  }
  burnt(): Rows<Ends> {
    return [['all', { first: 'burnt', last: 'burnt' }]];
  }
}

it('has the initial event first and the terminal one last, whatever their streams are called', async () => {
  const events = [
    at(T, new ScrewedIn('hall', 60), { stream: 'c' }),
    at(T, new SwitchedOn(), { stream: 'b' }),
    at(T, new Burnt(), { stream: 'a' }),
  ];
  for (const order of [
    [0, 1, 2],
    [2, 1, 0],
    [1, 2, 0],
  ]) {
    const w = await world();
    const handlers = { screwedIn: ScrewedIn, switchedOn: SwitchedOn, burnt: Burnt };
    const { runner, projections } = w.runner([w.model(ByKind, Ends, handlers)]);
    await runner.start();
    const view = projections.view<Ends>('spec');
    for (const n of order) await view.caughtUp(await w.bus.for(Bulb, 'a').record(events[n]!));
    expect((await view.get('all'))?.value).toEqual({ first: 'screwed in', last: 'burnt' });
    await runner.stop();
    await w.close();
  }
});
