/** Every wiring mistake ends the start with its code, the class, the module and a fix. Each case boots an application of its own. */
import 'reflect-metadata';
import { Injectable, Module, Scope, type DynamicModule, type Type } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { describe, expect, it } from 'vitest';
import {
  Aggregate,
  ConcursusError,
  ConcursusModule,
  CorrectionHandler,
  Event,
  EventHandler,
  inMemory,
  inMemoryTransport,
  Projection,
  Sum,
  type Capability,
  type ConfigurationCode,
  type LayerProvider,
  type Rows,
} from '@concursus/core';

@Event({ initial: true })
class Opened {
  constructor(readonly by: string) {}
}

@Event()
class Closed {}

@Aggregate('door')
class Door {
  static readonly events = { Opened, Closed };
  open = false;
  @EventHandler(Opened) opened(_e: Opened): void {
    this.open = true;
  }
}

class Cell {
  @Sum() doors = 0;
}

@Projection({ name: 'doors', of: Door, view: Cell })
class Doors {
  rows(door: Door): Rows<Cell> {
    return [['all', { doors: door.open ? 1 : 0 }]];
  }
}

interface App {
  readonly imports?: (DynamicModule | Type)[];
  readonly providers?: Type[];
}

async function start(app: App): Promise<unknown> {
  const module = await Test.createTestingModule({
    imports: app.imports ?? [ConcursusModule.forRoot()],
    providers: app.providers ?? [],
  })
    .setLogger(false as never)
    .compile();
  try {
    await module.init();
  } catch (error) {
    return error;
  } finally {
    await module.close().catch(() => undefined);
  }
  return undefined;
}

async function refused(app: App, code: ConfigurationCode, ...names: string[]): Promise<void> {
  const error = await start(app);
  expect(ConcursusError.isInstance(error) ? error.code : error).toBe(code);
  if (!ConcursusError.isInstance(error)) return;
  expect(error.fix).not.toBe('');
  for (const name of names) expect(error.message).toContain(name);
}

const lacking = (capability: Capability): LayerProvider<'persistent'> => {
  const provider = inMemory();
  return {
    ...provider,
    name: 'poor',
    capabilities: { ...provider.capabilities, [capability]: { lacking: 'it has none' } },
    create: (c) => provider.create(c),
  };
};

describe('a wiring mistake ends the start', () => {
  it('when a slot is given a provider of another layer', () =>
    refused(
      { imports: [ConcursusModule.forRoot({ persistent: inMemoryTransport() as never })] },
      'WRONG_SLOT',
      'in-memory',
      'persistent',
      'durable',
    ));

  it('when a durable handler finds no feed', async () => {
    class Notify {
      @EventHandler(Opened, { schedule: 'durable', name: 'notify' }) on(_e: Opened): void {}
    }
    await refused(
      { imports: [ConcursusModule.forRoot({ persistent: lacking('feed') })], providers: [Door, Notify] },
      'MISSING_CAPABILITY',
      'Notify.on',
      'poor',
      'feed',
    );
  });

  it('when a projection finds no transactional views', () =>
    refused(
      { imports: [ConcursusModule.forRoot({ persistent: lacking('transactionalViews') })], providers: [Doors] },
      'MISSING_CAPABILITY',
      'Doors',
      'poor',
    ));

  it('when a durable handler has no name to keep its progress under', async () => {
    class Notify {
      @EventHandler(Opened, { schedule: 'durable' }) on(_e: Opened): void {}
    }
    await refused({ providers: [Door, Notify] }, 'INVALID_OPTION', 'Notify.on');
  });

  it.each([
    ['a policy of no attempts', { schedule: 'durable', name: 'notify', retry: { attempts: 0 } }, 'attempts'],
    [
      'a first wait above the last',
      { schedule: 'durable', name: 'notify', retry: { firstMs: 9, maxMs: 8 } },
      'firstMs',
    ],
    ['a jitter above 1', { schedule: 'durable', name: 'notify', retry: { jitter: 2 } }, 'jitter'],
    ['no calls under way', { schedule: 'durable', name: 'notify', inFlightMax: 0 }, 'inFlightMax'],
    ['an order over aggregates', { schedule: 'durable', name: 'notify', across: 'context' }, 'persistent'],
    ['an order that is none', { schedule: 'persistent', name: 'notify', across: 'tenant' as never }, 'across'],
    ['a start that is none', { schedule: 'durable', name: 'notify', from: 'now' as never }, 'begins'],
    ['retries without a schedule', { retry: {} }, 'retry'],
    ['a schedule that is none', { schedule: 'sometimes' as never, name: 'notify' }, 'schedule'],
  ] as const)('when a handler has %s', async (_what, options, word) => {
    class Notify {
      @EventHandler(Opened, options) on(_e: Opened): void {}
    }
    await refused({ providers: [Door, Notify] }, 'INVALID_OPTION', 'Notify.on', word);
  });

  it('when handlers of one name differ in what they share', async () => {
    class Notify {
      @EventHandler(Opened, { schedule: 'durable', name: 'notify', inFlightMax: 4 }) on(_e: Opened): void {}
      @EventHandler(Closed, { schedule: 'persistent', name: 'notify' }) off(_e: Closed): void {}
    }
    await refused({ providers: [Door, Notify] }, 'INVALID_OPTION', 'notify', 'schedule');
  });

  it('when two methods of one name take one event', async () => {
    class Notify {
      @EventHandler(Opened, { schedule: 'durable', name: 'notify' }) on(_e: Opened): void {}
      @EventHandler(Opened, { schedule: 'durable', name: 'notify' }) again(_e: Opened): void {}
    }
    await refused({ providers: [Door, Notify] }, 'INVALID_OPTION', 'Notify.on', 'Notify.again');
  });

  it('when a correction method belongs to no handler', async () => {
    class Notify {
      @EventHandler(Opened, { schedule: 'durable', name: 'notify' }) on(_e: Opened): void {}
      @CorrectionHandler(Closed, { name: 'notify' }) changed(_a: Closed | null, _b: Closed | null): void {}
    }
    await refused({ providers: [Door, Notify] }, 'INVALID_OPTION', 'Notify.changed', 'notify');
  });

  it('when a durable handler finds no views to keep its state in', async () => {
    class Notify {
      @EventHandler(Opened, { schedule: 'durable', name: 'notify' }) on(_e: Opened): void {}
    }
    await refused(
      { imports: [ConcursusModule.forRoot({ persistent: lacking('transactionalViews') })], providers: [Door, Notify] },
      'MISSING_CAPABILITY',
      'Notify.on',
      'transactionalViews',
    );
  });

  it('when two events of one aggregate have one name', async () => {
    @Event({ name: 'opened' })
    class AlsoOpened {}
    @Aggregate('gate')
    class Gate {
      static readonly events = { Opened, AlsoOpened };
      n = 0;
    }
    await refused({ providers: [Gate] }, 'DUPLICATE_EVENT_TYPE', 'opened', 'AlsoOpened');
  });

  it('when a handler names an event that no aggregate lists', async () => {
    @Event()
    class Burnt {}
    @Injectable()
    class Alarm {
      @EventHandler(Burnt) on(_e: Burnt): void {}
    }
    @Module({ providers: [Alarm] })
    class AlarmModule {}
    await refused(
      { imports: [ConcursusModule.forRoot(), AlarmModule], providers: [Door] },
      'EVENT_WITHOUT_AGGREGATE',
      'Alarm',
      'AlarmModule',
      'Burnt',
    );
  });

  it('when a handler’s event is listed by two aggregates and it does not say whose', async () => {
    @Aggregate('window')
    class Window {
      static readonly events = { Opened };
      open = false;
    }
    class Alarm {
      @EventHandler(Opened) on(_e: Opened): void {}
    }
    await refused({ providers: [Door, Window, Alarm] }, 'AMBIGUOUS_AGGREGATE', 'Alarm', 'Door', 'Window');
    class Sure {
      @EventHandler(Opened, { of: Window }) on(_e: Opened): void {}
    }
    expect(await start({ providers: [Door, Window, Sure] })).toBeUndefined();
  });

  it('when an aggregate lists no events', async () => {
    @Aggregate('void')
    class Void {
      static readonly events = {};
      n = 0;
    }
    await refused({ providers: [Void] }, 'AGGREGATE_WITHOUT_EVENTS', 'Void');
  });

  it('when an aggregate handles an event that it does not list', async () => {
    @Aggregate('hatch')
    class Hatch {
      static readonly events = { Opened };
      n = 0;
      @EventHandler(Closed) closed(_e: Closed): void {}
    }
    await refused({ providers: [Hatch] }, 'EVENT_NOT_LISTED', 'Hatch', 'Closed');
  });

  it('when an aggregate has constructor parameters', async () => {
    // The compiler refuses it too; callers without one meet the start-up error.
    class Safe {
      static readonly events = { Opened };
      constructor(readonly n: number) {}
    }
    Aggregate('safe')(Safe as never);
    await refused(
      { imports: [ConcursusModule.forRoot(), ConcursusModule.forFeature([Safe as never])] },
      'AGGREGATE_CONSTRUCTOR',
      'Safe',
    );
  });

  it('when a class is assigned to no context', async () => {
    await refused(
      { imports: [ConcursusModule.forRoot({ context: 'a' })], providers: [Door] },
      'NO_CONTEXT',
      'Door',
      'forFeature',
    );
    await refused(
      { imports: [ConcursusModule.forRoot(), ConcursusModule.forFeature([Door], { context: 'b' })] },
      'NO_CONTEXT',
      '"b"',
    );
  });

  it('when one context name is registered twice', () =>
    refused(
      { imports: [ConcursusModule.forRoot({ context: 'a' }), ConcursusModule.forRoot({ context: 'a' })] },
      'DUPLICATE_CONTEXT',
      '"a"',
    ));

  it('when two projections have one name', async () => {
    @Projection({ name: 'doors', of: Door, view: Cell })
    class More {
      rows(): Rows<Cell> {
        return [];
      }
    }
    await refused({ providers: [Doors, More] }, 'DUPLICATE_PROJECTION', 'doors');
  });

  it('when a handler is request-scoped, itself or by what it injects', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class Each {
      @EventHandler(Opened) on(_e: Opened): void {}
    }
    await refused({ providers: [Door, Each] }, 'REQUEST_SCOPED_HANDLER', 'Each');
  });

  it('when a projection is of no aggregate, has no form, or is misnamed', async () => {
    class Nothing {}
    @Projection({ name: 'nothing', of: Nothing, view: Cell })
    class Odd {
      rows(): Rows<Cell> {
        return [];
      }
    }
    await refused({ providers: [Odd] }, 'NOT_AN_AGGREGATE', 'Odd', 'Nothing');
    @Projection({ name: 'formless', of: Door, view: Cell })
    class Formless {}
    await refused({ providers: [Formless] }, 'PROJECTION_SHAPE', 'Formless');
    @Projection({ name: '.mine', of: Door, view: Cell })
    class Misnamed {
      rows(): Rows<Cell> {
        return [];
      }
    }
    await refused({ providers: [Misnamed] }, 'PROJECTION_SHAPE', 'Misnamed');
  });

  it('when an option is out of bounds', () =>
    refused({ imports: [ConcursusModule.forRoot({ batchSizeMax: 0 })] }, 'INVALID_OPTION', 'batchSizeMax'));

  it.each([
    ['keep', { keep: 0 }],
    ['everyEvents', { everyEvents: 1.5 }],
    ['cacheBytes', { cacheBytes: -1 }],
    ['every', { every: 10 }],
    ['snapshots is true', true],
  ])('when an option of snapshots is wrong: %s', (word, snapshots) =>
    refused({ imports: [ConcursusModule.forRoot({ snapshots: snapshots as never })] }, 'INVALID_OPTION', word),
  );
});

it('an absent slot and an absent initial event are no mistakes', async () => {
  @Aggregate('log')
  class Log {
    static readonly events = { Closed };
    n = 0;
  }
  class Notify {
    @EventHandler(Closed, { schedule: 'durable', name: 'notify' }) on(_e: Closed): void {}
    @EventHandler(Closed, { schedule: 'persistent', name: 'archive' }) archive(_e: Closed): void {}
  }
  expect(await start({ providers: [Log, Notify] })).toBeUndefined();
});
