/** What a user of the module meets, one subject: registration in every form, contexts, middleware with dependencies, handlers, overrides. */
import 'reflect-metadata';
import { Inject, Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { describe, expect, it } from 'vitest';
import {
  Aggregate,
  at,
  Catalogue,
  Clock,
  ConcursusModule,
  CorrectionHandler,
  Event,
  EventBus,
  EventHandler,
  EventStore,
  getPortToken,
  Histories,
  inMemory,
  inMemoryCache,
  inMemoryTransport,
  InjectPort,
  InjectView,
  Middleware,
  ParkedEvents,
  Projection,
  QuarantineService,
  States,
  Sum,
  SystemClock,
  type Batch,
  type BatchMiddleware,
  type ConcursusOptions,
  type ConcursusOptionsFactory,
  type CorrectionContext,
  type EffectContext,
  type EventContext,
  type Rows,
  type View,
} from '@concursus/core';

@Event({ initial: true })
class Opened {
  constructor(readonly by: string) {}
}

@Event({ terminal: true })
class Removed {}

@Aggregate('door')
class Door {
  static readonly events = { Opened, Removed };
  openedBy = '';
  @EventHandler(Opened) opened(e: Opened): void {
    this.openedBy = e.by;
  }
}

class Cell {
  @Sum() doors = 0;
}

@Projection({ name: 'by', of: Door, view: Cell })
class ByPerson {
  rows(door: Door): Rows<Cell> {
    return [[door.openedBy, { doors: 1 }]];
  }
}

const T = Date.parse('2026-01-01T00:00:00Z');

async function boot(metadata: Parameters<typeof Test.createTestingModule>[0]) {
  const module = await Test.createTestingModule(metadata)
    .setLogger(false as never)
    .compile();
  await module.init();
  return module;
}

describe('registration', () => {
  @Injectable()
  class Factory implements ConcursusOptionsFactory {
    createConcursusOptions(): ConcursusOptions {
      return { persistent: inMemory() };
    }
  }
  @Module({ providers: [Factory], exports: [Factory] })
  class FactoryModule {}

  const forms = {
    'forRoot without options': () => ConcursusModule.forRoot(),
    'forRootAsync with useFactory': () =>
      ConcursusModule.forRootAsync({
        imports: [FactoryModule],
        inject: [Factory],
        useFactory: (factory: Factory) => factory.createConcursusOptions(),
      }),
    'forRootAsync with useClass': () => ConcursusModule.forRootAsync({ useClass: Factory }),
    'forRootAsync with useExisting': () =>
      ConcursusModule.forRootAsync({ imports: [FactoryModule], useExisting: Factory }),
  };
  for (const [name, form] of Object.entries(forms)) {
    it(`works by ${name}`, async () => {
      const app = await boot({ imports: [form()], providers: [ByPerson] });
      await app
        .get(EventBus)
        .for(Door, 'd')
        .record(at(T, new Opened('Ann')));
      expect((await app.get(States).get(Door, 'd'))?.state.openedBy).toBe('Ann');
      await app.close();
    });
  }

  it('connects nothing at compile()', async () => {
    let connected = 0;
    const provider = inMemory();
    const counting = {
      ...provider,
      create: async (context: Parameters<typeof provider.create>[0]) => {
        const layer = await provider.create(context);
        const connect = layer.connect.bind(layer);
        layer.connect = () => {
          connected++;
          return connect();
        };
        return layer;
      },
    };
    const module = await Test.createTestingModule({
      imports: [ConcursusModule.forRoot({ persistent: counting })],
    }).compile();
    expect(connected).toBe(0);
    await module.init();
    expect(connected).toBe(1);
    await module.close();
  });

  it('lets a test override a port', async () => {
    const kept: string[] = [];
    const layer = await inMemory().create({
      context: 'x',
      clock: new SystemClock(),
      logger: { log() {}, warn() {}, error() {} },
    });
    await layer.connect();
    const store = layer.ports.eventStore;
    const spy = new Proxy(store, {
      get(target, key) {
        if (key === 'append') kept.push('append');
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    const module = await Test.createTestingModule({ imports: [ConcursusModule.forRoot()], providers: [Door] })
      .overrideProvider(EventStore)
      .useValue(spy)
      .compile();
    await module.init();
    await module
      .get(EventBus)
      .for(Door, 'd')
      .record(at(T, new Opened('Ann')));
    expect(kept).toEqual(['append']);
    await module.close();
  });
});

describe('contexts', () => {
  @Aggregate('gate')
  class Gate {
    static readonly events = { Opened };
    openedBy = '';
    @EventHandler(Opened) opened(e: Opened): void {
      this.openedBy = e.by;
    }
  }
  @Injectable()
  class Reader {
    constructor(
      @InjectPort(States, 'gates') readonly gates: States,
      @Inject(States) readonly doors: States,
    ) {}
  }

  it('share nothing within one application', async () => {
    const app = await boot({
      imports: [
        ConcursusModule.forRoot(),
        ConcursusModule.forRoot({ context: 'gates' }),
        ConcursusModule.forFeature([Gate], { context: 'gates' }),
      ],
      providers: [Door, Reader],
    });
    const gates = app.get<EventBus>(getPortToken(EventBus, 'gates'));
    const doors = app.get(EventBus);
    expect(gates).not.toBe(doors);
    await gates.for(Gate, 'g').record(at(T, new Opened('Gil')));
    await doors.for(Door, 'g').record(at(T, new Opened('Dan')));
    const reader = app.get(Reader);
    expect((await reader.gates.get(Gate, 'g'))?.state.openedBy).toBe('Gil');
    expect((await reader.doors.get(Door, 'g'))?.state.openedBy).toBe('Dan');
    expect(() => doors.for(Gate, 'g')).toThrow(/UNKNOWN_AGGREGATE/);
    await expect(reader.gates.get(Door, 'g')).rejects.toThrow(/UNKNOWN_AGGREGATE/);
    await app.close();
  });
});

describe('middleware', () => {
  @Injectable()
  class Journal {
    readonly lines: string[] = [];
  }
  const named = (stage: 'receive' | 'log' | 'publish', order: number) => {
    @Middleware({ stage, order })
    class Named implements BatchMiddleware {
      constructor(@Inject(Journal) readonly journal: Journal) {}
      async handle(_batch: Batch, next: () => Promise<void>): Promise<void> {
        this.journal.lines.push(`${stage} ${order} in`);
        await next();
        this.journal.lines.push(`${stage} ${order} out`);
      }
    }
    return Named;
  };

  it('runs at each stage in its order, with injected dependencies', async () => {
    const app = await boot({
      imports: [ConcursusModule.forRoot()],
      providers: [Door, Journal, named('log', 0), named('receive', 2), named('receive', 1), named('publish', 0)],
    });
    await app
      .get(EventBus)
      .for(Door, 'd')
      .record(at(T, new Opened('Ann')));
    expect(app.get(Journal).lines).toEqual([
      'receive 1 in',
      'receive 2 in',
      'log 0 in',
      'log 0 out',
      'publish 0 in',
      'publish 0 out',
      'receive 2 out',
      'receive 1 out',
    ]);
    await app.close();
  });

  it('counts what it drops, answers what it refuses, and loses nothing when it throws', async () => {
    @Middleware({ stage: 'receive' })
    class Guard implements BatchMiddleware {
      async handle(batch: Batch, next: () => Promise<void>): Promise<void> {
        for (const item of batch.pending()) {
          const by = item.fact!.parameters['by'];
          if (by === 'drop') batch.drop(item, 'not wanted');
          if (by === 'refuse') batch.refuse(item, 'not allowed');
          if (by === 'throw') throw new Error('broken');
        }
        await next();
      }
    }
    const app = await boot({ imports: [ConcursusModule.forRoot()], providers: [Door, Guard] });
    const bus = app.get(EventBus);
    const record = (by: string, id: string) => bus.for(Door, id).record(at(T, new Opened(by)));
    expect((await record('drop', 'a')).dropped).toBe(1);
    const refused = await record('refuse', 'b');
    expect(refused.items[0]).toMatchObject({
      outcome: 'rejected',
      code: 'REFUSED',
      reason: expect.stringContaining('not allowed'),
    });
    await expect(record('throw', 'c')).rejects.toThrow('broken');
    expect((await record('Ann', 'd')).recorded).toBe(1);
    for (const id of ['a', 'b', 'c']) expect(await app.get(States).get(Door, id)).toBeUndefined();
    expect(await app.get(Histories).collect(Door, 'd')).toHaveLength(1);
    await app.close();
  });
});

describe('handlers', () => {
  it('run once for each recorded event, also when two modules provide the class; one’s error stops nobody', async () => {
    const seen: string[] = [];
    @Injectable()
    class Greeter {
      @EventHandler(Opened) greet(event: Opened, context: EventContext): void {
        seen.push(`${event.by} at ${context.aggregateId}`);
        event.by satisfies string;
        (event as { by: string }).by = 'changed';
      }
    }
    @Injectable()
    class Broken {
      @EventHandler(Opened) fail(): void {
        throw new Error('broken');
      }
    }
    @Injectable()
    class Last {
      @EventHandler(Opened) last(event: Opened): void {
        seen.push(`last ${event.by}`);
      }
    }
    @Module({ providers: [Greeter] })
    class One {}
    @Module({ providers: [Greeter] })
    class Two {}
    const app = await boot({ imports: [ConcursusModule.forRoot(), One, Two], providers: [Door, Broken, Last] });
    const bus = app.get(EventBus);
    await bus.for(Door, 'd').record(at(T, new Opened('Ann')));
    await bus.for(Door, 'd').record(at(T, new Opened('Ann')));
    await bus.publisher.idle();
    expect([...seen].sort()).toEqual(['Ann at d', 'last Ann']);
    await app.close();
  });

  it('with the durable schedule see what came before they failed again, and nothing from before they were known', async () => {
    const provider = inMemory();
    const layer = await provider.create({
      context: 'default',
      clock: new SystemClock(),
      logger: { log() {}, warn() {}, error() {} },
    });
    const kept = {
      ...provider,
      create: () => ({ ...layer, ports: layer.ports, connect: () => layer.connect(), close: async () => undefined }),
    };
    const before = await boot({ imports: [ConcursusModule.forRoot({ persistent: kept })], providers: [Door] });
    await before
      .get(EventBus)
      .for(Door, 'old')
      .record(at(T, new Opened('Old')));
    await before.close();

    const seen: string[] = [];
    let failures = 2;
    let done!: () => void;
    const finished = new Promise<void>((resolve) => {
      done = resolve;
    });
    @Injectable()
    class Notify {
      @EventHandler(Opened, { schedule: 'durable', name: 'notify' }) on(event: Opened): void {
        if (failures-- > 0) throw new Error('not yet');
        seen.push(event.by);
        if (seen.length === 2) done();
      }
    }
    const app = await boot({ imports: [ConcursusModule.forRoot({ persistent: kept })], providers: [Door, Notify] });
    await app
      .get(EventBus)
      .for(Door, 'd')
      .record(at(T, new Opened('Ann')), at(T + 1, new Opened('Bob')));
    await finished;
    expect(seen).toEqual(['Ann', 'Bob']);
    await app.close();
  });
});

it('gives side effects their key, and people what is parked, in each context', async () => {
  const seen: string[] = [];
  @Injectable()
  class Notify {
    @EventHandler(Opened, { schedule: 'durable', name: 'notify', retry: { attempts: 1 } })
    on(event: Opened, context: EffectContext): void {
      if (event.by === 'Ann') throw new Error('not her');
      seen.push(`${event.by} ${context.attempt} ${context.idempotencyKey.length}`);
    }
    @CorrectionHandler(Opened, { name: 'notify' })
    changed(before: Opened | null, after: Opened | null, context: CorrectionContext): void {
      seen.push(`${before?.by} ${after?.by} ${context.correction.kind}`);
    }
  }
  const app = await boot({ imports: [ConcursusModule.forRoot()], providers: [Door, Notify] });
  const parked = app.get(ParkedEvents);
  await app
    .get(EventBus)
    .for(Door, 'd')
    .record(at(T, new Opened('Ann')));
  await app
    .get(EventBus)
    .for(Door, 'e')
    .record(at(T, new Opened('Bob')));
  while (seen.length < 1 || (await parked.list('notify')).events.length < 1)
    await new Promise((resolve) => setImmediate(resolve));
  expect(seen).toEqual(['Bob 1 64']);
  const [waiting] = (await parked.list('notify')).events;
  expect(waiting).toMatchObject({ aggregate: { type: 'door', id: 'd' }, error: { message: 'not her' }, attempts: 1 });
  expect(parked.states()).toMatchObject([{ name: 'notify', schedule: 'durable', state: 'running', parked: 1 }]);
  expect(await parked.discard('notify', waiting!.idempotencyKey, { by: 'Eve', reason: 'known' })).toBe(1);
  await app.close();
});

it('injects a view where its projection is visible', async () => {
  @Injectable()
  class Desk {
    constructor(@InjectView(ByPerson) readonly view: View<Cell>) {}
  }
  const app = await boot({ imports: [ConcursusModule.forRoot()], providers: [ByPerson, Desk] });
  const { view } = app.get(Desk);
  await view.caughtUp(
    await app
      .get(EventBus)
      .for(Door, 'd')
      .record(at(T, new Opened('Ann'))),
  );
  expect((await view.get('Ann'))?.value).toEqual({ doors: 1 });
  expect((await view.find({ prefix: 'A' })).rows.map((row) => row.key)).toEqual(['Ann']);
  await app.close();
});

it('keeps the catalogue of what lives, in whichever order initial and terminal events come', async () => {
  const app = await boot({ imports: [ConcursusModule.forRoot()], providers: [Door] });
  const bus = app.get(EventBus);
  await bus.for(Door, 'a').record(at(T, new Opened('Ann')));
  await bus.for(Door, 'b').record(at(T + 1, new Removed()));
  const summary = await bus.for(Door, 'b').record(at(T, new Opened('Bob')));
  await app.get(Catalogue).caughtUp(summary);
  expect(await app.get(Catalogue).list(Door)).toEqual({ ids: ['a'], next: undefined });
  await app.close();
});

it('answers `buffered` with a durable slot, and the store has it soon', async () => {
  const app = await boot({
    imports: [ConcursusModule.forRoot({ durable: inMemoryTransport(), transient: inMemoryCache() })],
    providers: [Door],
  });
  const bus = app.get(EventBus);
  const arrived = new Promise<void>((resolve) => {
    bus.subscribe('all', () => resolve());
  });
  const summary = await bus.for(Door, 'd').record(at(T, new Opened('Ann')));
  expect(summary).toMatchObject({ received: 1, buffered: 1, recorded: 0 });
  await arrived;
  expect((await app.get(States).get(Door, 'd'))?.state.openedBy).toBe('Ann');
  await app.close();
});

it('lists what it refused, and takes it after a fix', async () => {
  const app = await boot({ imports: [ConcursusModule.forRoot()], providers: [Door] });
  const bus = app.get(EventBus);
  const summary = await bus.record({
    aggregateType: 'door',
    aggregateId: 'd',
    name: 'opened',
    at: '2016-03-38T00:00:00Z',
    parameters: { by: 'Ann' },
  });
  expect(summary.items[0]).toMatchObject({ outcome: 'rejected', code: 'INVALID_TIME' });
  const { items } = await app.get(QuarantineService).list();
  expect(items).toHaveLength(1);
  expect(app.get(Clock).now()).toBeGreaterThan(0);
  await app.close();
});

it('answers the same with snapshots and without, and has laid them when it has closed', async () => {
  const answers: unknown[] = [];
  for (const snapshots of [false, { everyEvents: 8 }] as const) {
    const app = await boot({ imports: [ConcursusModule.forRoot({ snapshots })], providers: [Door] });
    const bus = app.get(EventBus);
    const states = app.get(States);
    for (let i = 0; i < 40; i++) await bus.for(Door, 'd').record(at(T + i, new Opened(`n${i}`)));
    for (let i = 0; i < 3; i++) answers.push(await states.get(Door, 'd'));
    await bus.for(Door, 'd').record(at(T + 100, new Opened('last')));
    answers.push(await states.get(Door, 'd'));
    await app.close();
  }
  expect(answers.slice(0, 4)).toEqual(answers.slice(4));
  expect(answers.at(-1)).toMatchObject({ events: 41, state: { openedBy: 'last' } });
});
