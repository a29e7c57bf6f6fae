/** What settles, in the module: found at boot on ordinary providers, listed for anybody, and refused with a fix where it cannot be kept. */
import 'reflect-metadata';
import { Injectable, Scope, type Provider } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { describe, expect, it } from 'vitest';
import {
  Aggregate,
  at,
  Concursus,
  ConcursusModule,
  Count,
  Deadline,
  Deadlines,
  Event,
  EventBus,
  EventHandler,
  OnCorrected,
  OnSettled,
  OnWithdrawn,
  ParkedEvents,
  Projection,
  session,
  SettledItems,
  sliding,
  Sources,
  tumbling,
  type Rows,
  type SettledContext,
  type View,
} from '@concursus/core';

@Event({ initial: true })
class Departed {
  constructor(readonly from: string) {}
}
@Event({ terminal: true })
class Arrived {}
@Event()
class Stranger {}

@Aggregate('flight')
class Flight {
  static readonly events = { Departed, Arrived };
  from = '';
  arrived = false;
  @EventHandler(Departed) departed(event: Departed): void {
    this.from = event.from;
  }
  @EventHandler(Arrived) hasArrived(): void {
    this.arrived = true;
  }
}

@Aggregate('buoy')
class Buoy {
  static readonly events = { Stranger };
  seen = 0;
}

const T = Date.parse('2026-01-01T00:00:00Z');

async function boot(...providers: Provider[]) {
  const module = await Test.createTestingModule({ imports: [ConcursusModule.forRoot()], providers })
    .setLogger(false as never)
    .compile();
  await module.init();
  return module;
}

async function until(done: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 2_000; i++) {
    if (await done()) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
  throw new Error('It did not come to pass.');
}

it('tells, corrects, lists and withdraws', async () => {
  const lines: string[] = [];
  @Injectable()
  @Deadline({ of: Flight, name: 'listed', after: [Departed], withinMs: 5, unless: [Arrived] })
  class Tower {
    @OnSettled({ of: Flight, name: 'bill' }) bill(flight: Flight, context: SettledContext): void {
      lines.push(`${context.aggregateId} billed from ${flight.from}, ${context.events}`);
    }
    @OnCorrected({ of: Flight, name: 'bill' }) corrected(before: readonly Flight[], after: readonly Flight[]): void {
      lines.push(`${before.map((one) => one.from).join()} -> ${after.map((one) => one.from).join()}`);
    }
    @Deadline({ of: Flight, name: 'arrival', after: [Departed], withinMs: 10, unless: [Arrived] })
    overdue(flight: Flight): void {
      lines.push(`from ${flight.from} overdue`);
    }
    @OnWithdrawn({ of: Flight, name: 'arrival' }) met(_before: Flight, now: Flight): void {
      lines.push(`arrived after all: ${now.arrived}`);
    }
  }
  const app = await boot(Tower);
  const flight = app.get(EventBus).for(Flight, 'F1');
  const sources = app.get(Sources);
  await flight.record(at(T, new Departed('JFK')));
  await sources.complete('', T + 20);
  await until(() => lines.length === 1);
  const deadlines = app.get(Deadlines);
  await until(async () => (await deadlines.overdue('listed')).items.length === 1);
  expect((await deadlines.overdue('arrival')).items).toEqual([
    { aggregate: { tenant: '', type: 'flight', id: 'F1' }, due: T + 10, since: T },
  ]);
  await flight.record(at(T + 15, new Arrived()));
  await until(() => lines.length === 3);
  expect([...lines].sort()).toEqual(['F1 billed from JFK, 2', 'arrived after all: true', 'from JFK overdue']);
  expect((await deadlines.overdue('listed')).items).toEqual([]);
  expect((await app.get(SettledItems).outdated('bill')).items).toEqual([]);
  expect(
    app
      .get(ParkedEvents)
      .states()
      .map(({ name, schedule }) => `${name} ${schedule}`)
      .sort(),
  ).toEqual(['arrival settling', 'bill settling', 'listed settling']);
  await app.close();
});

describe('the start is refused', () => {
  const refused = async (code: string, words: RegExp, ...providers: Provider[]): Promise<void> => {
    await expect(boot(...providers)).rejects.toMatchObject({ code, message: expect.stringMatching(words) as string });
  };

  it('when two have one name, or one has that of a handler', async () => {
    class Twice {
      @OnSettled({ of: Flight, name: 'bill' }) one(): void {}
      @OnSettled({ of: Flight, name: 'bill', quietMs: 5 }) two(): void {}
    }
    class Handler {
      @EventHandler(Departed, { schedule: 'durable', name: 'bill' }) on(): void {}
      @OnSettled({ of: Flight, name: 'bill' }) one(): void {}
    }
    class Nameless {
      @OnSettled({ of: Flight, name: '' }) one(): void {}
    }
    await refused('INVALID_OPTION', /Twice\.two.*is named "bill".*Twice\.one/s, Twice);
    await refused('INVALID_OPTION', /is named "bill"\. A handler is too/, Handler);
    await refused('INVALID_OPTION', /no name/, Nameless);
  });

  it('when the aggregate is none, or does not list an event', async () => {
    class NoAggregate {
      @OnSettled({ of: Stranger as never, name: 'bill' }) one(): void {}
    }
    class NotListed {
      @Deadline({ of: Flight, name: 'arrival', after: [Stranger as never], withinMs: 1, unless: [] }) one(): void {}
    }
    await refused('NOT_AN_AGGREGATE', /Stranger/, NoAggregate);
    await refused('EVENT_NOT_LISTED', /Stranger/, NotListed);
  });

  it('when a provider is request-scoped', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class Scoped {
      @OnSettled({ of: Flight, name: 'bill' }) one(): void {}
    }
    await refused('REQUEST_SCOPED_HANDLER', /Scoped/, Scoped);
  });

  it('when a correction or withdrawal is of nothing that is told', async () => {
    class NoHead {
      @OnCorrected({ of: Flight, name: 'bill' }) one(): void {}
    }
    class OfAnother {
      @OnSettled({ of: Flight, name: 'bill' }) one(): void {}
      @OnCorrected({ of: Buoy, name: 'bill' }) two(): void {}
    }
    class Twice {
      @OnSettled({ of: Flight, name: 'bill' }) one(): void {}
      @OnCorrected({ of: Flight, name: 'bill' }) two(): void {}
      @OnCorrected({ of: Flight, name: 'bill' }) three(): void {}
    }
    @Deadline({ of: Flight, name: 'arrival', after: [Departed], withinMs: 1, unless: [] })
    class OnlyListed {
      @OnWithdrawn({ of: Flight, name: 'arrival' }) one(): void {}
    }
    await refused('INVALID_OPTION', /there is no @OnSettled/, NoHead);
    await refused('INVALID_OPTION', /there is no @OnSettled/, OfAnother);
    await refused('INVALID_OPTION', /takes too/, Twice);
    await refused('INVALID_OPTION', /only listed/, OnlyListed);
  });

  it('when nothing would ever settle, or a size means nothing', async () => {
    class Never {
      @OnSettled({ of: Buoy, name: 'n' }) one(): void {}
    }
    class Both {
      @OnSettled({ of: Buoy, name: 'n', quietMs: 1, window: session({ gapMs: 1 }) }) one(): void {}
    }
    class TooMany {
      @OnSettled({ of: Buoy, name: 'n', window: sliding({ sizeMs: 10_000, everyMs: 1 }) }) one(): void {}
    }
    class NoSize {
      @OnSettled({ of: Buoy, name: 'n', window: tumbling({ sizeMs: 0 }) }) one(): void {}
    }
    class Forgetful {
      @OnSettled({ of: Flight, name: 'n', keepToldMs: -1 }) one(): void {}
    }
    class AfterNothing {
      @Deadline({ of: Flight, name: 'n', after: [], withinMs: 1, unless: [] }) one(): void {}
    }
    class BadRetry {
      @OnSettled({ of: Flight, name: 'n', retry: { attempts: 0 } }) one(): void {}
    }
    await refused('INVALID_OPTION', /never settles/, Never);
    await refused('INVALID_OPTION', /both a window and quietMs/, Both);
    await refused('INVALID_OPTION', /more than 1000 windows/, TooMany);
    await refused('INVALID_OPTION', /sizeMs of 0/, NoSize);
    await refused('INVALID_OPTION', /keepToldMs of -1/, Forgetful);
    await refused('INVALID_OPTION', /after no event/, AfterNothing);
    await refused('INVALID_OPTION', /attempts is 0/, BadRetry);
  });

  it('when the states of the aggregate cannot be kept', async () => {
    @Aggregate('box')
    class Box {
      static readonly events = { Stranger };
      readonly #secret = 1;
      get secret(): number {
        return this.#secret;
      }
    }
    class Opens {
      @OnSettled({ of: Box, name: 'n', quietMs: 5 }) one(): void {}
    }
    await refused('STATE_NOT_PLAIN', /cannot be kept/, Opens);
  });
});

it('begins with start() where only projections start at boot', async () => {
  @Injectable()
  @Deadline({ of: Flight, name: 'listed', after: [Departed], withinMs: 5, unless: [Arrived], from: 'beginning' })
  class Tower {}
  class Row {
    @Count() flights = 0;
  }
  @Projection({ name: 'flights', of: Flight, view: Row })
  class Flights {
    rows(): Rows<Row> {
      return [['all', { flights: 1 }]];
    }
  }
  const module = await Test.createTestingModule({
    imports: [ConcursusModule.forRoot({ autoStart: 'projections' })],
    providers: [Tower, Flights],
  })
    .setLogger(false as never)
    .compile();
  await module.init();
  const view = module.get<View<Row>>(Flights);
  const summary = await module
    .get(EventBus)
    .record({ aggregateType: 'flight', aggregateId: 'A1', name: 'departed', at: T, parameters: { from: 'EWR' } });
  await module.get(Sources).complete('', T + 100);
  await view.caughtUp(summary);
  await view.settled(T + 100);
  expect(await module.get(Deadlines).overdue('listed')).toMatchObject({ items: [], settledUpTo: null });

  await module.get(Concursus).start();
  await until(async () => (await module.get(Deadlines).overdue('listed')).items.length === 1);
  await module.get(Concursus).start();
  await module.close();
  await module.get(Concursus).start();
});
