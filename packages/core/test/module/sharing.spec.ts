/** Several applications over one store: each runs its share of views, handlers and relays, and nothing is lost or done twice when they move. */
import 'reflect-metadata';
import { Injectable, Module, type Type } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import { expect, it } from 'vitest';
import {
  at,
  Concursus,
  ConcursusModule,
  Count,
  EventBus,
  EventFeed,
  EventHandler,
  inMemoryRelay,
  Projection,
  Projections,
  type Rows,
} from '@concursus/core';
import { ManualClock } from '@concursus/testing';
import { shared } from './shared-memory.js';
import { Moved, Robot, T } from './robot.js';

class Cell {
  @Count() robots = 0;
}

const NAMES = ['a', 'b', 'c', 'd'];

/** A view and a handler of each name. */
function viewOf(name: string): Type {
  @Injectable()
  @Projection({ name, of: Robot, view: Cell })
  class ByName {
    rows(): Rows<Cell> {
      return [['all', { robots: 1 }]];
    }
  }
  return ByName;
}

it('spreads views, handlers and relays, and moves them without a loss or a repeat', async () => {
  const clock = new ManualClock(T);
  const persistent = shared();
  const called: number[] = [];
  let finish: (() => void) | undefined;
  let holding = false;

  @Injectable()
  class Notify {
    @EventHandler(Moved, { schedule: 'durable', name: 'notify', from: 'beginning' })
    async moved(event: Moved): Promise<void> {
      called.push(event.to);
      if (holding) await new Promise<void>((resolve) => (finish = resolve));
    }
  }
  const relays = [inMemoryRelay({ name: 'one' }), inMemoryRelay({ name: 'two' })];
  const views = NAMES.map(viewOf);
  const boot = async (): Promise<TestingModule> => {
    @Module({
      imports: [ConcursusModule.forRoot({ persistent, publish: relays, clock })],
      providers: [Robot, Notify, ...views],
    })
    class App {}
    const app = await Test.createTestingModule({ imports: [App] })
      .setLogger(false as never)
      .compile();
    await app.init();
    return app;
  };
  const viewsAt = (app: TestingModule): string[] => {
    const projections = app.get(Projections);
    return projections.names.filter((name) => projections.runsHere(name));
  };
  const handlersAt = (app: TestingModule): string[] =>
    app
      .get(Concursus)
      .handlerRunner!.states()
      .filter(({ state }) => state === 'running')
      .map(({ name }) => name);
  const relaysAt = (app: TestingModule): string[] =>
    app
      .get(Concursus)
      .relays()
      .filter(({ state }) => state !== 'elsewhere')
      .map(({ name }) => name);
  const countAt = (app: TestingModule): number => viewsAt(app).length + handlersAt(app).length + relaysAt(app).length;
  let recorded = 0;
  const record = async (app: TestingModule): Promise<void> => {
    const to = recorded++;
    await app
      .get(EventBus)
      .for(Robot, `r${to % 3}`)
      .record(at(T + to, new Moved(to)));
  };

  const first = await boot();
  await record(first);
  await clock.advance(1_000);
  // Four views, the catalogue, the sources, a handler and two relays.
  expect(countAt(first)).toBe(9);
  const second = await boot();
  for (let i = 0; i < 20; i++) {
    await record(i % 2 === 0 ? first : second);
    await clock.advance(100);
  }
  expect(new Set([countAt(first), countAt(second)])).toEqual(new Set([4, 5]));
  expect([...viewsAt(first), ...viewsAt(second)].sort()).toEqual([...first.get(Projections).names].sort());

  // A third one takes its share, also of what is under way: the call is finished first.
  holding = true;
  await record(first);
  await clock.advance(100);
  expect(finish).toBeDefined();
  const third = await boot();
  for (let i = 0; i < 100; i++) {
    await clock.advance(100);
    if (i === 40) {
      holding = false;
      finish!();
    }
  }
  expect([first, second, third].map(countAt)).toEqual([3, 3, 3]);

  // The first stops: what it had is run by the others at once.
  await first.close();
  for (let i = 0; i < 20; i++) {
    await record(second);
    await clock.advance(200);
  }
  expect(new Set([countAt(second), countAt(third)])).toEqual(new Set([4, 5]));
  const all = Array.from({ length: recorded }, (_, to) => to);
  expect([...called].sort((a, b) => a - b)).toEqual(all);
  for (const relay of relays) expect(relay.published.map(({ json }) => JSON.parse(json).parameters.to)).toEqual(all);
  const end = await third.get(EventFeed).end();
  for (const name of NAMES) {
    const view = third.get(Projections).view<Cell>(name);
    await view.caughtUp({ position: end }, { timeoutMs: 0 });
    expect((await view.get('all'))?.value).toEqual({ robots: 3 });
  }
  await second.close();
  await third.close();
});
