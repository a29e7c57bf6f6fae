/** G1, G2: from the publisher to a handler that dependency injection made, awaited, beside a bare awaited map dispatch and the peers' buses. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  Aggregate,
  ConcursusModule,
  Event,
  EventBus,
  EventHandler,
  Fact,
  inMemory,
  type AggregateClass,
  type EventClass,
} from '@concursus/core';
import { MapDispatch } from '../bare/dispatch.js';
import type { BenchCase, Round, Side } from '../case.js';
import { idAt, recordOf, type LampRecord } from '../model.js';
import { peerBuses, type PeerBus, type PublishType } from '../peers/buses.js';

/** Small enough for the publisher's queue, large enough that waiting for it costs nothing. */
const CHUNK = 1_000;

interface Tally {
  seen: number;
  sum: number;
}

/** Event classes that carry a record, as the bare part and the peers publish them. */
function carriers(count: number, tally: Tally): PublishType[] {
  return Array.from({ length: count }, (_, k) => {
    const name = `event${k}`;
    const made = {
      [name]: class {
        constructor(readonly record: object) {}
      },
    };
    const handle = (event: object): void => {
      tally.seen++;
      tally.sum += (event as { readonly record: LampRecord }).record.parameters.wattage;
    };
    return { name, Event: made[name]!, handle };
  });
}

const samples = Array.from({ length: 1_024 }, (_, i) => recordOf(i));

function bare(count: number): Side {
  const tally: Tally = { seen: 0, sum: 0 };
  const types = carriers(count, tally);
  const dispatch = new MapDispatch();
  for (const type of types) dispatch.on(type.Event, { handle: type.handle });
  return {
    name: 'map dispatch, awaited',
    part: 'bare',
    round(operations): Round {
      const before = tally.seen;
      return {
        operations,
        run: async () => {
          for (let i = 0; i < operations; i++) await dispatch.publish(new types[i % count]!.Event(samples[i & 1_023]!));
        },
        done: () => check(tally.seen - before, operations),
      };
    },
  };
}

/** An application with `count` event types of one aggregate and a handler provider each. */
async function ours(count: number): Promise<Side> {
  const tally: Tally = { seen: 0, sum: 0 };
  const events: Record<string, EventClass> = {};
  const handlers: (new () => object)[] = [];
  for (let k = 0; k < count; k++) {
    const name = `event${k}`;
    class Published {
      declare readonly wattage: number;
    }
    Event({ name })(Published);
    events[name] = Published;
    class Handler {
      handle(event: Published): void {
        tally.seen++;
        tally.sum += event.wattage;
      }
    }
    const descriptor = Object.getOwnPropertyDescriptor(Handler.prototype, 'handle')!;
    EventHandler(Published)(Handler.prototype, 'handle', descriptor);
    Injectable()(Handler);
    handlers.push(Handler);
  }
  class Published {}
  Object.defineProperty(Published, 'events', { value: events });
  Aggregate('published')(Published as unknown as AggregateClass);
  class AppModule {}
  Module({
    imports: [
      ConcursusModule.forRoot({ persistent: inMemory(), catalogue: false, publishQueueMax: CHUNK * 2 }),
      ConcursusModule.forFeature([Published as unknown as AggregateClass]),
    ],
    providers: handlers,
  })(AppModule);
  const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
  const { publisher } = app.get(EventBus);
  return {
    name: count === 50 ? 'ours, 50 types' : count === 500 ? 'ours, 500 types' : 'ours',
    part: 'ours',
    round(operations): Round {
      const before = tally.seen;
      const facts: Fact[] = [];
      for (let i = 0; i < operations; i++) {
        const { by, note, room, wattage } = recordOf(i).parameters;
        facts.push(
          new Fact({
            tenant: '',
            aggregateType: 'published',
            aggregateId: idAt(i & 1_023),
            name: `event${i % count}`,
            version: '0',
            eventTime: i,
            streamId: '',
            sequence: -1,
            characteristics: 0,
            metadata: undefined,
            // As the receiver hands it on: the parameters it checked and copied, in canonical order, not yet a text.
            content: undefined,
            held: { by, note, room, wattage },
            flat: true,
            shape: undefined,
          }),
        );
      }
      return {
        operations,
        run: async () => {
          for (let i = 0; i < operations;) {
            for (const end = Math.min(i + CHUNK, operations); i < end; i++) publisher.publish(facts[i]!);
            await publisher.idle();
          }
        },
        done: () => check(tally.seen - before, operations),
      };
    },
    close: () => app.close(),
  };
}

function peer(bus: PeerBus, types: readonly PublishType[], tally: Tally): Side {
  return {
    name: bus.name,
    part: 'peer',
    round(operations): Round {
      const before = tally.seen;
      return {
        operations,
        run: async () => {
          for (let i = 0; i < operations; i++) {
            const type = types[i % types.length]!;
            const published = bus.publish(new type.Event(samples[i & 1_023]!), type);
            if (bus.awaits) await published;
            else if (i % CHUNK === CHUNK - 1) await nextTurn();
          }
          if (!bus.awaits) await nextTurn();
        },
        done: () => check(tally.seen - before, operations),
      };
    },
    close: () => bus.close(),
  };
}

function check(seen: number, expected: number): void {
  if (seen !== expected) throw new Error(`${seen} of ${expected} events were handled`);
}

async function peers(count: number): Promise<Side[]> {
  const tally: Tally = { seen: 0, sum: 0 };
  const types = carriers(count, tally);
  return (await peerBuses(types)).map((bus) => peer(bus, types, tally));
}

export const publishCases: readonly BenchCase[] = [
  ...[1, 50, 500].map((count): BenchCase => ({
    id: `publish/types=${count}`,
    operation: 'one event published and handled',
    sides: async (context) => [await ours(count), bare(count), ...(context.peers ? await peers(count) : [])],
  })),
  {
    id: 'publish/flat in types',
    operation: 'one event published and handled',
    compare: [['ours, 500 types', 'ours, 50 types']],
    sides: async () => [await ours(500), await ours(50)],
  },
];
