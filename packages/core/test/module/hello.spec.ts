/** The walking skeleton: one event from emitter to query, through the module. */
import 'reflect-metadata';
import { Test } from '@nestjs/testing';
import { expect, it } from 'vitest';
import {
  Aggregate,
  at,
  ConcursusModule,
  Event,
  EventBus,
  EventHandler,
  Projection,
  Projections,
  States,
  Sum,
  type Rows,
} from '@concursus/core';

@Event({ initial: true })
class ReceivedAtDepot {
  constructor(readonly depotId: string) {}
}

@Event()
class LoadedOntoTruck {
  constructor(readonly truckId: string) {}
}

@Aggregate('parcel')
class Parcel {
  static readonly events = { ReceivedAtDepot, LoadedOntoTruck };
  depot = '';
  @EventHandler(ReceivedAtDepot) received(e: ReceivedAtDepot) {
    this.depot = e.depotId;
  }
  @EventHandler(LoadedOntoTruck) loaded(_e: LoadedOntoTruck) {
    this.depot = '';
  }
}

class Cell {
  @Sum() parcels = 0;
}

@Projection({ name: 'depots', of: Parcel, view: Cell })
class Depots {
  rows(parcel: Parcel): Rows<Cell> {
    return parcel.depot === '' ? [] : [[parcel.depot, { parcels: 1 }]];
  }
}

it('carries one event from the emitter to a view, and corrects the view when a late one comes', async () => {
  const module = await Test.createTestingModule({
    imports: [ConcursusModule.forRoot()],
    providers: [Parcel, Depots],
  }).compile();
  await module.init();
  const events = module.get(EventBus);
  const view = module.get(Projections).view<Cell>('depots');
  await view.caughtUp(
    await events.for(Parcel, 'p1').record(at('2016-10-12T09:06:31.432Z', new ReceivedAtDepot('Lewisham'))),
  );
  expect((await view.get('Lewisham'))?.value).toEqual({ parcels: 1 });
  const recorded = await events
    .for(Parcel, 'p1')
    .record(at('2016-10-12T11:35:02.163Z', new LoadedOntoTruck('J98 257')));
  await view.caughtUp(recorded);
  expect(await view.get('Lewisham')).toBeUndefined();
  expect((await module.get(States).get(Parcel, 'p1'))?.state.depot).toBe('');
  await module.close();
});
