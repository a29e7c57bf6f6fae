/** How a context is doing: how far what reads it is behind, what is parked, failing or away; told to people and to terminus. */
import 'reflect-metadata';
import { Injectable, type Provider } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { TerminusModule } from '@nestjs/terminus';
import { ManualClock } from '@concursus/testing';
import { describe, expect, it } from 'vitest';
import {
  at,
  CheckpointStore,
  Concursus,
  ConcursusHealth,
  ConcursusModule,
  Count,
  EventBus,
  EventFeed,
  EventHandler,
  getPortToken,
  inMemory,
  inMemoryRelay,
  inMemoryTransport,
  Projection,
  Projections,
  UnavailableError,
  type ConcursusOptions,
  type HealthOptions,
  type RelayProvider,
  type Rows,
} from '@concursus/core';
import { ConcursusHealthIndicator, concursusHealthIndicator } from '@concursus/core/terminus';
import { Moved, Robot, T } from './robot.js';

class Cell {
  @Count() robots = 0;
}
@Projection({ name: 'places', of: Robot, view: Cell })
class Places {
  rows({ place }: Robot): Rows<Cell> {
    if (place < 0) throw new Error('there is no such place');
    return [[`place ${place}`, { robots: 1 }]];
  }
}

const NAMED = 'health of robots';

async function boot(
  options: Partial<ConcursusOptions> & { readonly context?: string } = {},
  providers: readonly Provider[] = [],
) {
  const clock = new ManualClock(T);
  const { context = 'default' } = options;
  const module = await Test.createTestingModule({
    imports: [
      ConcursusModule.forRoot({ persistent: inMemory(), clock, catalogue: false, ...options }),
      ConcursusModule.forFeature([Robot], { context }),
      TerminusModule.forRoot({ logger: false }),
    ],
    providers: [
      ...providers,
      Places,
      context === 'default' ? ConcursusHealthIndicator : concursusHealthIndicator(context, NAMED),
    ],
  })
    .setLogger(false as never)
    .compile();
  await module.init();
  const get = <T>(service: abstract new (...args: never[]) => T): T =>
    module.get<T>(getPortToken(service as never, context) as never);
  let moves = 0;
  return {
    module,
    clock,
    health: get(ConcursusHealth),
    concursus: get(Concursus),
    indicator: module.get<ConcursusHealthIndicator>(context === 'default' ? ConcursusHealthIndicator : NAMED),
    move: (id: string, to: number) =>
      get(EventBus)
        .for(Robot, id)
        .record(at(T + moves++, new Moved(to))),
    async caughtUp() {
      const view = get(Projections).view('places');
      const done = view.caughtUp({ position: await module.get(EventFeed).end() }, { timeoutMs: 60_000 });
      let waiting = true;
      void done.finally(() => (waiting = false)).catch(() => undefined);
      while (waiting) await clock.advance(20);
      await done;
    },
  };
}

/** An in-memory relay whose other side can be away. */
function failing(relay: RelayProvider, isAway: () => boolean): RelayProvider {
  return {
    ...relay,
    create: (context) => {
      const real = relay.create(context);
      return {
        connect: () => real.connect(),
        publish: async (facts) => {
          if (isAway()) throw new UnavailableError('STORE_UNREACHABLE', 'secret host is away', { fix: 'Wait.' });
          await real.publish(facts);
        },
        close: () => real.close(),
      };
    },
  };
}

describe('the health of a context', () => {
  it('is up with every figure when all is taken in', async () => {
    const { module, health, move, caughtUp, indicator } = await boot({ durable: inMemoryTransport() });
    await move('r1', 1);
    await caughtUp();
    const report = await health.report();
    expect(report).toEqual({
      context: 'default',
      status: 'up',
      problems: [],
      views: [
        // What is known of sources is a view of its own.
        { name: '.sources', lagMs: 0, parked: 0, here: true },
        { name: 'places', lagMs: 0, parked: 0, here: true },
      ],
      handlers: [],
      relays: [],
      buffer: { lagEvents: 0, problem: undefined },
    });
    expect(await indicator.isHealthy('robots')).toEqual({ robots: { ...report } });
    await module.close();
  });

  it('tells how long ago what a view takes next was recorded, by the clock alone', async () => {
    const { module, health, clock, move, concursus, caughtUp } = await boot({ autoStart: false });
    expect((await health.report()).views[1]).toEqual({ name: 'places', lagMs: 0, parked: 0, here: false });
    await move('r1', 1);
    await clock.advance(30_000);
    await move('r2', 2);
    await clock.advance(30_001);
    const report = await health.report();
    expect(report).toMatchObject({
      status: 'degraded',
      problems: ['view .sources is 60001 ms behind', 'view places is 60001 ms behind'],
    });
    expect(await health.report({ lagMsMax: 100_000 })).toMatchObject({ status: 'up', problems: [] });
    await concursus.start();
    await caughtUp();
    expect(await health.report()).toMatchObject({ status: 'up', views: [{ lagMs: 0 }, { lagMs: 0, here: true }] });
    await module.close();
  });

  it('tells how long ago was recorded what a handler has not done', async () => {
    let answer: () => void = () => undefined;
    @Injectable()
    class Bell {
      @EventHandler(Moved, { schedule: 'durable', name: 'bell' }) ring(): Promise<void> {
        return new Promise((resolve) => (answer = resolve));
      }
    }
    const { module, health, clock, move } = await boot({}, [Bell]);
    expect((await health.report()).handlers).toMatchObject([{ name: 'bell', state: 'running', lagMs: 0 }]);
    await move('r1', 1);
    await clock.advance(60_001);
    const report = await health.report();
    expect(report).toMatchObject({ status: 'degraded', handlers: [{ name: 'bell', inFlight: 1 }] });
    expect(report.problems).toEqual([expect.stringMatching(/^handler bell is 6\d{4} ms behind$/)]);
    answer();
    for (let i = 0; i < 200 && (await health.report()).status !== 'up'; i++) await clock.advance(20);
    expect(await health.report()).toMatchObject({ status: 'up', handlers: [{ lagMs: 0 }] });
    await module.close();
  });

  it('is degraded while aggregates are parked, and says nothing of what is in them', async () => {
    const { module, health, move, caughtUp, indicator } = await boot();
    await move('secret-id', -1);
    await caughtUp();
    const report = await health.report();
    expect(report).toMatchObject({ status: 'degraded', problems: ['view places has 1 parked aggregates'] });
    expect(JSON.stringify(report)).not.toContain('secret');
    expect(await indicator.isHealthy('robots')).toMatchObject({ robots: { status: 'degraded' } });
    await module.close();
  });

  it('tells of a relay that fails, and is up again once it does not', async () => {
    let away = true;
    const relay = inMemoryRelay();
    const { module, health, clock, move } = await boot({ publish: [failing(relay, () => away)] });
    await move('r1', 1);
    for (let i = 0; i < 200 && (await health.report()).status === 'up'; i++) await clock.advance(20);
    const report = await health.report();
    expect(report).toMatchObject({ status: 'degraded', problems: ['relay in-memory is failing'] });
    expect(JSON.stringify(report)).not.toContain('secret');
    away = false;
    for (let i = 0; i < 2_000 && relay.published.length === 0; i++) await clock.advance(100);
    for (let i = 0; i < 200 && (await health.report()).status !== 'up'; i++) await clock.advance(20);
    expect(await health.report()).toMatchObject({ status: 'up', relays: [{ state: 'running', published: 1 }] });
    await module.close();
  });

  it('is down when the store does not answer, at once or ever', async () => {
    const { module, health, clock, indicator } = await boot({ context: 'robots' });
    const store = module.get(CheckpointStore);
    const read = store.read.bind(store);
    store.read = () =>
      Promise.reject(new UnavailableError('STORE_UNREACHABLE', 'The store is away.', { fix: 'Start it.' }));
    expect(await health.report()).toMatchObject({
      status: 'down',
      problems: [expect.stringMatching(/^does not answer: STORE_UNREACHABLE: /)],
    });
    store.read = () => new Promise(() => undefined);
    const asked = indicator.isHealthy('robots', { timeoutMs: 300 });
    await clock.advance(299);
    expect(await Promise.race([asked, Promise.resolve('waiting')])).toBe('waiting');
    await clock.advance(1);
    expect(await asked).toMatchObject({ robots: { status: 'down', context: 'robots' } });
    store.read = read;
    expect(await health.report()).toMatchObject({ status: 'up' });
    await module.close();
  });

  it.each<[HealthOptions]>([
    [{ lagMsMax: 0 }],
    [{ lagMsMax: Number.NaN }],
    [{ timeoutMs: 60_001 }],
    [{ timeoutMs: -1 }],
  ])('refuses %o', async (options) => {
    const { module, health } = await boot();
    await expect(health.report(options)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await module.close();
  });
});
