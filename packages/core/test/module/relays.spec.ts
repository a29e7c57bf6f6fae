/** Relays by configuration alone, sync and async: what is recorded is published; what is wired wrongly ends the start, and what is only away does not. */
import 'reflect-metadata';
import { Test } from '@nestjs/testing';
import { describe, expect, it } from 'vitest';
import {
  at,
  Concursus,
  ConcursusModule,
  ConfigurationError,
  EventBus,
  inMemory,
  inMemoryRelay,
  inMemoryTransport,
  UnavailableError,
  type ConcursusOptions,
  type EventInput,
  type InletProvider,
  type LayerProvider,
  type RelayProvider,
} from '@concursus/core';
import { Moved, Robot, T } from './robot.js';

async function boot(options: ConcursusOptions, asynchronous = false) {
  const imported = asynchronous
    ? ConcursusModule.forRootAsync({ useFactory: async () => options })
    : ConcursusModule.forRoot(options);
  const module = await Test.createTestingModule({ imports: [imported], providers: [Robot] })
    .setLogger(false as never)
    .compile();
  await module.init();
  return module;
}

/** The relay, with the connection of each of its making changed. */
function connecting(relay: RelayProvider, connect: () => Promise<void>): RelayProvider {
  return {
    ...relay,
    create: (context) => {
      const real = relay.create(context);
      return {
        connect: () => connect().then(() => real.connect()),
        publish: (facts) => real.publish(facts),
        close: () => real.close(),
      };
    },
  };
}

/** An inlet that hands in what it is given, when it is started. */
function inlet(name: string, events: readonly EventInput[] = [], calls: string[] = []): InletProvider {
  return {
    slot: 'consume',
    name,
    create: (context) => ({
      connect: async () => void calls.push('connect'),
      start: async () => {
        calls.push('start');
        const { recorded } = await context.record(from(events), { source: name });
        calls.push(`recorded ${recorded}`);
      },
      stop: async () => void calls.push('stop'),
      close: async () => void calls.push('close'),
    }),
  };
}

async function* from(events: readonly EventInput[]): AsyncIterable<EventInput> {
  yield* events;
}

const published = async (relay: { readonly published: readonly unknown[] }, count: number): Promise<void> => {
  while (relay.published.length < count) await new Promise((resolve) => setImmediate(resolve));
};

describe('a relay in the module', () => {
  it.each([false, true])(
    'publishes what the context records, behind a buffer too (async: %s)',
    async (asynchronous) => {
      const relay = inMemoryRelay();
      const module = await boot({ durable: inMemoryTransport(), publish: [relay] }, asynchronous);
      await module
        .get(EventBus)
        .for(Robot, 'r1')
        .record(at(T, new Moved(1)), at(T + 1, new Moved(2)));
      await published(relay, 2);
      expect(
        relay.published.map(({ context, aggregateId, json }) => [context, aggregateId, JSON.parse(json).parameters]),
      ).toEqual([
        ['default', 'r1', { to: 1 }],
        ['default', 'r1', { to: 2 }],
      ]);
      expect(module.get(Concursus).relays()).toMatchObject([{ name: 'in-memory', state: 'running', published: 2 }]);
      // Acknowledged behind the store, so the relay may have it before.
      let waiting = await module.get(Concursus).buffer();
      while (waiting!.lagEvents > 0) waiting = await module.get(Concursus).buffer();
      expect(waiting).toEqual({ lagEvents: 0, problem: undefined });
      await module.close();
    },
  );

  it('does not keep the application from starting while its other side is away', async () => {
    const relay = inMemoryRelay();
    let away = true;
    const module = await boot({
      publish: [
        connecting(relay, async () => {
          if (away) throw new UnavailableError('STORE_UNREACHABLE', 'The broker is away.', { fix: 'Wait.' });
        }),
      ],
    });
    await module
      .get(EventBus)
      .for(Robot, 'r1')
      .record(at(T, new Moved(1)));
    expect(relay.published).toEqual([]);
    expect(await module.get(Concursus).buffer()).toBeUndefined();
    away = false;
    await published(relay, 1);
    await module.close();
  });

  it('carries on what an inlet brings in, and an inlet ends before the road does', async () => {
    const relay = inMemoryRelay();
    const calls: string[] = [];
    const events = [1, 2, 3].map((to) => ({
      aggregateType: 'robot',
      aggregateId: 'r1',
      name: 'moved',
      at: T + to,
      parameters: { to },
    }));
    const module = await boot({ consume: [inlet('in', events, calls)], publish: [relay] });
    await published(relay, 3);
    await module.close();
    expect(calls).toEqual(['connect', 'connect', 'start', 'recorded 3', 'stop', 'close']);
  });

  it('ends the start when it is wired wrongly', async () => {
    const wrong = connecting(inMemoryRelay(), async () => {
      throw new ConfigurationError('INVALID_OPTION', 'The topic is compacted.', { fix: 'Name another.' });
    });
    await expect(boot({ publish: [wrong] })).rejects.toThrow('The topic is compacted');
    const feedless: LayerProvider<'persistent'> = {
      ...inMemory(),
      capabilities: { ...inMemory().capabilities, feed: { lacking: 'it is a spec' } },
    };
    const cases: readonly [ConcursusOptions, string][] = [
      [{ publish: [inMemoryRelay(), inMemoryRelay()] }, 'DUPLICATE_RELAY'],
      [{ publish: [inMemoryTransport() as never] }, 'WRONG_SLOT'],
      [{ publish: inMemoryRelay() as never }, 'INVALID_OPTION'],
      [{ consume: [inlet('in'), inlet('in')] }, 'DUPLICATE_INLET'],
      [{ consume: [inMemoryRelay() as never] }, 'WRONG_SLOT'],
      [{ publish: [inMemoryRelay({ name: 'a b' })] }, 'INVALID_OPTION'],
      [{ publish: [inMemoryRelay({ from: 'now' as never })] }, 'INVALID_OPTION'],
      [{ publish: [inMemoryRelay({ types: ['forgotten'] })] }, 'EVENT_WITHOUT_AGGREGATE'],
      [{ publish: [inMemoryRelay()], persistent: feedless, catalogue: false }, 'MISSING_CAPABILITY'],
    ];
    for (const [options, code] of cases) await expect(boot(options), code).rejects.toThrow(code);
  });
});
