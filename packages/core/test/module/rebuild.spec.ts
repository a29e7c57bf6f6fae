/** Rebuilds and audits through the module: the options, the injected services, and the built-in views. */
import 'reflect-metadata';
import { Test } from '@nestjs/testing';
import { expect, it } from 'vitest';
import {
  Aggregate,
  at,
  Auditor,
  Catalogue,
  ConcursusModule,
  Event,
  EventBus,
  EventHandler,
  Projection,
  Projections,
  Sources,
  Sum,
  type ConcursusRootOptions,
  type RebuildOptions,
  type Rows,
} from '@concursus/core';

@Event({ initial: true })
class Received {
  constructor(readonly depot: string) {}
}

@Aggregate('parcel')
class Parcel {
  static readonly events = { Received };
  depot = '';
  @EventHandler(Received) received(e: Received) {
    this.depot = e.depot;
  }
}

class Cell {
  @Sum() parcels = 0;
}

@Projection({ name: 'depots', of: Parcel, view: Cell })
class Depots {
  rows(parcel: Parcel): Rows<Cell> {
    return [[parcel.depot, { parcels: 1 }]];
  }
}

const started = async (options: ConcursusRootOptions = {}) => {
  const providers = [Parcel, Depots];
  const module = await Test.createTestingModule({ imports: [ConcursusModule.forRoot(options)], providers }).compile();
  await module.init();
  return module;
};

it('builds every view anew, the library’s own too, and an audit agrees', async () => {
  const module = await started({ rebuild: { pauseMs: 0, pageSize: 2 } });
  const events = module.get(EventBus);
  const projections = module.get(Projections);
  let position;
  for (let i = 0; i < 7; i++) {
    ({ position } = await events.for(Parcel, `p${i}`).record(at(`2026-03-01T08:00:0${i}Z`, new Received(`D${i % 2}`))));
  }
  for (const name of projections.names) {
    await projections.view(name).caughtUp({ position });
    const before = (await projections.view(name).find()).rows;
    await projections.rebuild(name);
    for (let n = 0; n < 500 && (await projections.rebuilding(name)) !== undefined; n++) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect((await projections.generations(name)).map(({ state }) => state)).toEqual(['kept', 'live']);
    expect((await projections.view(name).find()).rows).toEqual(before);
  }
  expect((await module.get(Catalogue).list(Parcel)).ids).toHaveLength(7);
  expect(await module.get(Sources).list()).toHaveLength(1);
  const auditor = module.get(Auditor);
  expect((await auditor.audit({ mend: true })).findings).toEqual([]);
  auditor.start();
  expect(auditor.state).toMatchObject({ running: true, found: 0 });
  await module.close();
  expect(auditor.state.running).toBe(false);
});

it.each([
  ['an unknown option', { fast: true }],
  ['a page of nothing', { pageSize: 0 }],
  ['too long a rest', { pauseMs: 5_000 }],
])('refuses %s', async (_, rebuild) => {
  await expect(started({ rebuild: rebuild as RebuildOptions })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
});
