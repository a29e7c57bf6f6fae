/** One view kept in shares by several applications over one store: each runs some of them, and all answer as one view. */
import 'reflect-metadata';
import { Injectable, Module, type Type } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import { describe, expect, it } from 'vitest';
import {
  at,
  Auditor,
  ConcursusModule,
  Count,
  EventBus,
  EventFeed,
  Latest,
  Max,
  Projection,
  Projections,
  ViewMirror,
  type LayerProvider,
  type Rows,
  type RowsContext,
  type View,
} from '@concursus/core';
import { ManualClock } from '@concursus/testing';
import { shared } from './shared-memory.js';
import { Moved, Robot, T } from './robot.js';

class Cell {
  @Count() robots = 0;
  @Max() farthest: number | null = null;
  @Latest() last: string | null = null;
}

let broken = false;

function placesIn(shares: number): Type<View<Cell>> {
  @Injectable()
  @Projection({ name: 'places', of: Robot, view: Cell, shares })
  class Places {
    rows({ place }: Robot, { id }: RowsContext): Rows<Cell> {
      if (broken && id === 'r3') throw new Error('no place');
      return [
        ['all', { robots: 1, farthest: place, last: id }],
        [`place ${place % 5}`, { robots: 1, farthest: place, last: id }],
      ];
    }
  }
  return Places as unknown as Type<View<Cell>>;
}

async function boot(
  persistent: LayerProvider<'persistent'>,
  clock: ManualClock,
  projection: Type<View<Cell>>,
): Promise<TestingModule> {
  @Module({
    imports: [ConcursusModule.forRoot({ persistent, clock, catalogue: false })],
    providers: [Robot, projection],
  })
  class App {}
  const app = await Test.createTestingModule({ imports: [App] })
    .setLogger(false as never)
    .compile();
  await app.init();
  return app;
}

let moves = 0;
async function move(app: TestingModule, id: string, to: number): Promise<void> {
  await app
    .get(EventBus)
    .for(Robot, id)
    .record(at(T + moves++, new Moved(to)));
}
const sharesAt = (app: TestingModule): readonly number[] => app.get(Projections).sharesHere('places');
async function caughtUp(app: TestingModule, clock: ManualClock): Promise<View<Cell>> {
  const view = app.get(Projections).view<Cell>('places');
  const done = view.caughtUp({ position: await app.get(EventFeed).end() }, { timeoutMs: 60_000 });
  let waiting = true;
  void done.finally(() => (waiting = false)).catch(() => undefined);
  while (waiting) await clock.advance(20);
  await done;
  return view;
}
/** Takes in what has changed since. */
async function follow(view: View<Cell>, mirror: ViewMirror<Cell>): Promise<void> {
  const last = await view.lastChange();
  const stop = new AbortController();
  if (mirror.sequence < last) {
    for await (const change of view.changes({ from: mirror.token, signal: stop.signal })) {
      mirror.apply(change);
      if (change.sequence === last) stop.abort();
    }
  }
}

describe('a view in four shares', () => {
  it('is run by two applications, and is one view to all', async () => {
    broken = false;
    const clock = new ManualClock(T);
    const persistent = shared();
    const projection = placesIn(4);
    const one = await boot(persistent, clock, projection);
    await move(one, 'r0', 7);
    await clock.advance(500);
    expect(sharesAt(one)).toEqual([0, 1, 2, 3]);
    const two = await boot(persistent, clock, projection);
    await clock.advance(5_000);
    expect([sharesAt(one).length, sharesAt(two).length]).toEqual([2, 2]);
    expect(new Set([...sharesAt(one), ...sharesAt(two)]).size).toBe(4);

    const mirror = new ViewMirror<Cell>();
    for (let i = 0; i < 40; i++) {
      await move(i % 2 === 0 ? one : two, `r${i % 20}`, i % 9);
      if (i % 10 === 0) await follow(await caughtUp(two, clock), mirror);
    }
    for (const app of [one, two]) {
      const view = await caughtUp(app, clock);
      expect((await view.get('all'))?.value).toEqual({ robots: 20, farthest: 8, last: 'r19' });
      expect((await app.get(Projections).audit('places')).differences).toEqual([]);
    }
    const view = await caughtUp(one, clock);
    const begun = await ViewMirror.of(view);
    await move(one, 'r5', 100);
    await follow(await caughtUp(one, clock), mirror);
    await follow(view, begun);
    const rows = Object.fromEntries((await view.find()).rows.map(({ key, value }) => [key, value]));
    expect(Object.fromEntries(mirror.rows())).toEqual(rows);
    expect(Object.fromEntries(begun.rows())).toEqual(rows);
    expect(rows['all']).toEqual({ robots: 20, farthest: 100, last: 'r5' });

    // Parked in its share, listed for the view, and tried again where that share is run.
    broken = true;
    await move(one, 'r3', 5);
    expect((await (await caughtUp(one, clock)).get('all'))?.value.robots).toBe(19);
    for (const app of [one, two]) {
      expect(await app.get(Projections).parked('places')).toMatchObject([{ aggregate: { id: 'r3' } }]);
    }
    broken = false;
    const retried = [one, two].map((app) => app.get(Projections).retryParked('places'));
    await clock.advance(100);
    expect((await Promise.all(retried)).reduce((sum, count) => sum + count)).toBe(1);
    expect((await view.get('all'))?.value.robots).toBe(20);

    // Each share is built anew by itself; followers go on.
    await one.get(Projections).rebuild('places');
    for (let i = 0; i < 200 && (await one.get(Projections).rebuilding('places')) !== undefined; i++)
      await clock.advance(50);
    expect(await one.get(Projections).rebuilding('places')).toBeUndefined();
    expect(await one.get(Projections).report('places')).toMatchObject({ added: 0, removed: 0, changed: 0 });
    const generations = await one.get(Projections).generations('places');
    expect(generations.map(({ share, state }) => [share, state])).toEqual(
      [0, 1, 2, 3].flatMap((share) => [
        [share, 'kept'],
        [share, 'live'],
      ]),
    );
    // Who is behind the switch reads the changes of the generation before, which is kept until now.
    await follow(view, mirror);
    await one.get(Projections).drop('places', { version: 1, generation: 0 });
    expect(await one.get(Projections).generations('places')).toHaveLength(4);
    await move(two, 'r6', 200);
    await follow(await caughtUp(two, clock), mirror);
    expect(mirror.get('all')).toMatchObject({ robots: 20, farthest: 200 });

    const auditing = two.get(Auditor).audit({ views: ['places'] });
    let auditingStill = true;
    void auditing.finally(() => (auditingStill = false));
    while (auditingStill) await clock.advance(20);
    expect(await auditing).toMatchObject({ complete: true, found: 0 });
    await one.close();
    await clock.advance(2_000);
    expect(sharesAt(two)).toEqual([0, 1, 2, 3]);
    await two.close();
  });

  it('stays in as many shares as it was begun in', async () => {
    const clock = new ManualClock(T);
    const persistent = shared();
    const app = await boot(persistent, clock, placesIn(4));
    await move(app, 'r1', 1);
    const view = await caughtUp(app, clock);
    await expect(view.changes({ from: 3 })[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    await app.close();
    for (const shares of [1, 2]) {
      await expect(boot(persistent, clock, placesIn(shares))).rejects.toMatchObject({ code: 'SHARES_CHANGED' });
    }
    await (await boot(persistent, clock, placesIn(4))).close();
    const whole = shared();
    const other = await boot(whole, clock, placesIn(1));
    await move(other, 'r1', 1);
    await caughtUp(other, clock);
    await other.close();
    await expect(boot(whole, clock, placesIn(2))).rejects.toMatchObject({ code: 'SHARES_CHANGED' });
    for (const shares of [0, 65, 1.5]) {
      await expect(boot(shared(), clock, placesIn(shares))).rejects.toMatchObject({ code: 'PROJECTION_SHAPE' });
    }
  });
});
