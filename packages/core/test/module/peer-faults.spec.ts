/**
 * What other toolkits got wrong, kept as regressions: each case is a fault of a peer that users met. Faults of conditional
 * writes, brokers and wide-column stores come with the ports that have them.
 */
import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { describe, expect, it } from 'vitest';
import {
  Aggregate,
  at,
  ConcursusModule,
  Event,
  EventBus,
  EventHandler,
  EventStore,
  Histories,
  inMemory,
  inMemoryCache,
  inMemoryTransport,
  States,
  SystemClock,
  type EventContext,
  type Layer,
  type LayerProvider,
  type Slot,
} from '@concursus/core';

@Event()
class Moved {
  constructor(readonly to: number) {}
}

@Aggregate('robot')
class Robot {
  static readonly events = { Moved };
  path: number[] = [];
  @EventHandler(Moved) moved(event: Moved): void {
    this.path.push(event.to);
  }
}

const T = Date.parse('2026-01-01T00:00:00Z');
const quiet = { log() {}, warn() {}, error() {} };

async function boot(metadata: Parameters<typeof Test.createTestingModule>[0]) {
  const module = await Test.createTestingModule(metadata)
    .setLogger(false as never)
    .compile();
  await module.init();
  return module;
}

/** A provider whose layer is made once and kept, as a store on disk is; notes what is done to it. */
function kept<S extends Slot>(provider: LayerProvider<S>, notes: string[] = [], closes = false): LayerProvider<S> {
  let layer: Layer<S> | undefined;
  return {
    ...provider,
    create: async (context) => {
      layer ??= await provider.create(context);
      const inner = layer;
      return {
        ports: inner.ports,
        connect: () => inner.connect(),
        close: async () => {
          notes.push(`${provider.slot} closed`);
          if (closes) await inner.close();
        },
      };
    },
  };
}

describe('a fault of a peer that does not come back', () => {
  it('a second start empties the store', async () => {
    const persistent = kept(inMemory());
    for (let start = 0; start < 3; start++) {
      const app = await boot({ imports: [ConcursusModule.forRoot({ persistent })], providers: [Robot] });
      await app
        .get(EventBus)
        .for(Robot, 'r')
        .record(at(T + start, new Moved(start)));
      expect((await app.get(States).get(Robot, 'r'))?.state.path).toEqual([...Array(start + 1).keys()]);
      await app.close();
    }
  });

  it('one handler’s error ends the process, or that handler for good', async () => {
    const seen: number[] = [];
    @Injectable()
    class Moody {
      @EventHandler(Moved) async on(event: Moved): Promise<void> {
        if (event.to === 1) await Promise.reject(new Error('not this one'));
        seen.push(event.to);
      }
    }
    const app = await boot({ imports: [ConcursusModule.forRoot()], providers: [Robot, Moody] });
    const bus = app.get(EventBus);
    for (let to = 0; to < 4; to++) await bus.for(Robot, 'r').record(at(T + to, new Moved(to)));
    await bus.publisher.idle();
    expect(seen).toEqual([0, 2, 3]);
    await app.close();
  });

  it('two events of one aggregate are seen in swapped order, though the first handler is slow', async () => {
    const seen: number[] = [];
    @Injectable()
    class Slow {
      @EventHandler(Moved) async on(event: Moved, context: EventContext): Promise<void> {
        for (let turns = context.at === T ? 20 : 0; turns > 0; turns--) await Promise.resolve();
        seen.push(event.to);
      }
    }
    const app = await boot({ imports: [ConcursusModule.forRoot()], providers: [Robot, Slow] });
    const bus = app.get(EventBus);
    await bus.for(Robot, 'r').record(at(T, new Moved(0)), at(T + 1, new Moved(1)), at(T + 2, new Moved(2)));
    await bus.publisher.idle();
    expect(seen).toEqual([0, 1, 2]);
    await app.close();
  });

  it('close does not wait for work in flight, and the store closes before what hands work to it', async () => {
    const notes: string[] = [];
    const persistent = kept(inMemory(), notes, true);
    const durable = kept(inMemoryTransport(), notes, true);
    const transient = kept(inMemoryCache(), notes, true);
    const app = await boot({
      imports: [ConcursusModule.forRoot({ persistent, durable, transient })],
      providers: [Robot],
    });
    const store = app.get(EventStore);
    const bus = app.get(EventBus);
    const answers = Array.from({ length: 50 }, (_, i) => bus.for(Robot, `r${i}`).record(at(T, new Moved(i))));
    const closing = app.close();
    // Whatever was accepted is answered, and what was answered was stored before the store closed.
    const results = await Promise.allSettled(answers);
    await closing;
    expect(results.every((result) => result.status === 'fulfilled')).toBe(true);
    expect(notes).toEqual(['transient closed', 'durable closed', 'persistent closed']);
    await expect(store.readMany([{ tenant: '', type: 'robot', id: 'r0' }])).rejects.toMatchObject({
      code: 'STORE_CLOSED',
    });
    await expect(bus.for(Robot, 'late').record(at(T, new Moved(0)))).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
  });

  it('event names stand in a process-global list, so that a second evaluation throws', async () => {
    const evaluate = () => {
      @Event({ name: 'moved' })
      class Again {
        constructor(readonly to: number) {}
      }
      @Aggregate('robot')
      class Other {
        static readonly events = { Again };
        last = -1;
        @EventHandler(Again) again(event: Again): void {
          this.last = event.to;
        }
      }
      return { Other, Again };
    };
    for (const { Other, Again } of [evaluate(), evaluate()]) {
      const app = await boot({ imports: [ConcursusModule.forRoot()], providers: [Other] });
      await app
        .get(EventBus)
        .for(Other, 'r')
        .record(at(T, new Again(7)));
      expect((await app.get(States).get(Other, 'r'))?.state.last).toBe(7);
      await app.close();
    }
  });

  it('an event is marked as known before it is recorded, and is lost when recording fails', async () => {
    const layer = (await inMemory().create({
      context: 'default',
      clock: new SystemClock(),
      logger: quiet,
    })) as Layer<'persistent'>;
    await layer.connect();
    const { eventStore } = layer.ports;
    let failures = 1;
    const failing = new Proxy(eventStore, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key, target);
        if (key === 'append' && failures-- > 0) return () => Promise.reject(new Error('the disk is away'));
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    const app = await Test.createTestingModule({
      imports: [ConcursusModule.forRoot({ transient: inMemoryCache() })],
      providers: [Robot],
    })
      .overrideProvider(EventStore)
      .useValue(failing)
      .compile();
    await app.init();
    const send = () =>
      app
        .get(EventBus)
        .for(Robot, 'r')
        .record(at(T, new Moved(1)));
    await expect(send()).rejects.toThrow('the disk is away');
    expect((await send()).recorded).toBe(1);
    expect((await send()).repeated).toBe(1);
    await app.close();
  });

  it('two events of one millisecond overwrite each other, or make the aggregate unreadable', async () => {
    const app = await boot({ imports: [ConcursusModule.forRoot()], providers: [Robot] });
    const bus = app.get(EventBus);
    const raw = (streamId: string, to: number) => ({
      aggregateType: 'robot',
      aggregateId: 'r',
      name: 'moved',
      at: T,
      streamId,
      parameters: { to },
    });
    // The four cells: same stream in one batch and in two, another stream, and a typed call that numbers its own.
    await bus.record([raw('s', 1), raw('s', 2)]);
    await bus.record(raw('s', 3));
    await bus.record(raw('t', 4));
    await bus.for(Robot, 'r').record(at(T, new Moved(5)), at(T, new Moved(5)));
    const facts = await app.get(Histories).collect(Robot, 'r');
    expect(facts.map((fact) => fact.parameters['to'] as number).sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 5]);
    await app.close();
  });

  it('a handler provided by two modules runs twice', async () => {
    let calls = 0;
    @Injectable()
    class Once {
      @EventHandler(Moved) on(): void {
        calls++;
      }
    }
    @Module({ providers: [Once] })
    class One {}
    @Module({ providers: [Once] })
    class Two {}
    const app = await boot({ imports: [ConcursusModule.forRoot(), One, Two], providers: [Robot, Once] });
    await app
      .get(EventBus)
      .for(Robot, 'r')
      .record(at(T, new Moved(1)));
    await app.get(EventBus).publisher.idle();
    expect(calls).toBe(1);
    await app.close();
  });
});
