/** Classes are found however they are provided; options that mean nothing end the start; a shutdown in which one part fails still closes the rest. */
import 'reflect-metadata';
import { Injectable, Module, Scope, type DynamicModule, type Provider, type Type } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { describe, expect, it } from 'vitest';
import {
  at,
  ConcursusError,
  ConcursusModule,
  defineAggregate,
  EventBus,
  EventHandler,
  inMemory,
  inMemoryTransport,
  InjectView,
  Middleware,
  Projection,
  Projections,
  States,
  Sum,
  type Batch,
  type BatchMiddleware,
  type LayerProvider,
  type Rows,
  type Slot,
  type View,
} from '@concursus/core';
import { Moved, Robot, T } from './robot.js';

class Cell {
  @Sum() robots = 0;
}

@Projection({ name: 'places', of: Robot, view: Cell })
class Places {
  rows(robot: Robot): Rows<Cell> {
    return [[`${robot.place}`, { robots: 1 }]];
  }
}

async function boot(imports: (DynamicModule | Type)[], providers: Provider[] = [Robot]) {
  const module = await Test.createTestingModule({ imports, providers })
    .setLogger(false as never)
    .compile();
  await module.init();
  return module;
}

/** An asynchronous factory that is still busy when everything else is made. */
function later<T>(make: () => T): () => Promise<T> {
  return async () => {
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    return make();
  };
}

describe('classes made by a factory', () => {
  it('are found as handlers and middleware, also when they are made last', async () => {
    const seen: string[] = [];
    class Alarm {
      @EventHandler(Moved) on(event: Moved): void {
        seen.push(`moved to ${event.to}`);
      }
    }
    @Middleware({ stage: 'log' })
    class Times implements BatchMiddleware {
      async handle(_batch: Batch, next: () => Promise<void>): Promise<void> {
        seen.push('timed');
        await next();
      }
    }
    const app = await boot(
      [ConcursusModule.forRoot()],
      [
        Robot,
        { provide: 'alarm', useFactory: later(() => new Alarm()) },
        { provide: 'times', useFactory: later(() => new Times()) },
      ],
    );
    const bus = app.get(EventBus);
    await bus.for(Robot, 'r').record(at(T, new Moved(7)));
    await bus.publisher.idle();
    expect(seen).toEqual(['timed', 'moved to 7']);
    await app.close();
  });

  it('are found as projections under their own class', async () => {
    const app = await boot([ConcursusModule.forRoot()], [{ provide: Places, useFactory: later(() => new Places()) }]);
    const view = app.get(Projections).view<Cell>('places');
    await view.caughtUp(
      await app
        .get(EventBus)
        .for(Robot, 'r')
        .record(at(T, new Moved(7))),
    );
    expect((await app.get<View<Cell>>(Places).get('7'))?.value).toEqual({ robots: 1 });
    await app.close();
  });

  it('are refused as projections that come too late to be run, not passed over', async () => {
    const error = await boot(
      [ConcursusModule.forRoot()],
      [Robot, { provide: 'places', useFactory: later(() => new Places()) }],
    ).catch((thrown: unknown) => thrown);
    expect(ConcursusError.isInstance(error) && error.code).toBe('PROJECTION_SHAPE');
    expect(String(error)).toContain('Places');
  });
});

it('a projection provided by two modules is the view in both', async () => {
  @Injectable()
  class One {
    constructor(@InjectView(Places) readonly view: View<Cell>) {}
  }
  @Injectable()
  class Two {
    constructor(@InjectView(Places) readonly view: View<Cell>) {}
  }
  @Module({ providers: [Places, One] })
  class OneModule {}
  @Module({ providers: [Places, Two] })
  class TwoModule {}
  const app = await boot([ConcursusModule.forRoot(), OneModule, TwoModule], []);
  const recorded = await app
    .get(EventBus)
    .for(Robot, 'r')
    .record(at(T, new Moved(7)));
  for (const desk of [app.get(One, { strict: false }), app.get(Two, { strict: false })]) {
    await desk.view.caughtUp(recorded);
    expect((await desk.view.get('7'))?.value).toEqual({ robots: 1 });
  }
  await app.close();
});

it('a handler or projection that depends on something request-scoped is refused, wherever its module stands', async () => {
  @Injectable({ scope: Scope.REQUEST })
  class Session {}
  @Injectable()
  class Alarm {
    constructor(readonly session: Session) {}
    @EventHandler(Moved) on(_event: Moved): void {}
  }
  Reflect.defineMetadata('design:paramtypes', [Session], Alarm);
  @Projection({ name: 'sessions', of: Robot, view: Cell })
  class Sessions {
    constructor(readonly session: Session) {}
    rows(): Rows<Cell> {
      return [];
    }
  }
  Reflect.defineMetadata('design:paramtypes', [Session], Sessions);
  for (const cls of [Alarm, Sessions]) {
    @Module({ providers: [Session, cls] })
    class Other {}
    for (const imports of [
      [ConcursusModule.forRoot(), Other],
      [Other, ConcursusModule.forRoot()],
    ]) {
      const error = await boot(imports).catch((thrown: unknown) => thrown);
      expect(ConcursusError.isInstance(error) && error.code).toBe('REQUEST_SCOPED_HANDLER');
      expect(String(error)).toContain(cls.name);
    }
  }
});

describe('options', () => {
  const cases: readonly [string, () => DynamicModule, string][] = [
    ['nothing', () => ConcursusModule.forRootAsync({ useFactory: () => undefined as never }), 'useFactory'],
    ['an unknown name', () => ConcursusModule.forRoot({ persistant: inMemory() } as never), 'persistant'],
    ['a slot of null', () => ConcursusModule.forRoot({ persistent: null as never }), 'persistent'],
    ['a provider that was not called', () => ConcursusModule.forRoot({ persistent: inMemory as never }), 'inMemory'],
  ];
  for (const [what, module, name] of cases) {
    it(`that are ${what} end the start with a fix`, async () => {
      const error = await boot([module()]).catch((thrown: unknown) => thrown);
      expect(ConcursusError.isInstance(error) ? error.code : error).toBe('INVALID_OPTION');
      expect(String(error)).toContain(name);
    });
  }
});

it('a shutdown closes every layer, also when a part of it fails', async () => {
  const closed: string[] = [];
  const watched = <S extends Slot>(provider: LayerProvider<S>, more: object = {}): LayerProvider<S> => ({
    ...provider,
    create: async (context) => {
      const layer = await provider.create(context);
      return {
        ports: layer.ports,
        connect: () => layer.connect(),
        close: async () => {
          closed.push(provider.slot);
          await layer.close();
        },
        ...more,
      };
    },
  });
  const app = await boot([
    ConcursusModule.forRoot({
      persistent: watched(inMemory()),
      durable: watched(inMemoryTransport(), { drain: () => Promise.reject(new Error('the broker is gone')) }),
    }),
  ]);
  await app.close().catch(() => undefined);
  expect(closed).toEqual(['durable', 'persistent']);
});

it('the state of a pure fold has its own type', async () => {
  const Counter = defineAggregate('counter', {
    events: { Moved },
    initial: { count: 0 },
    fold: { Moved: (state) => ({ count: state.count + 1 }) },
  });
  const app = await boot([ConcursusModule.forRoot(), ConcursusModule.forFeature([Counter])], []);
  await app
    .get(EventBus)
    .for(Counter, 'c')
    .record(at(T, new Moved(1)));
  const found = await app.get(States).get(Counter, 'c');
  expect(found?.state.count satisfies number | undefined).toBe(1);
  await app.close();
});
