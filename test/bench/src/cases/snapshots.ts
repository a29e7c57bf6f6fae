/** G8: a state of a long history read from a snapshot, and what a late event costs there, beside short histories. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Snapshots, States, type Fact, type Histories, type SnapshotParts } from '@concursus/core';
import type { BenchCase, Round, Side } from '../case.js';
import { now } from '../measure.js';
import { factOf, idAt, Lightbulb, START_MS } from '../model.js';
import { clock, memoryLayer, roadOn, type Road } from '../road.js';

const LONG = 1;
const SHORT = 2;
const CHUNK = 10_000;
const PAIRS = 41;
const GETS = 400;

interface World {
  readonly road: Road;
  readonly snapshots: Snapshots;
  readonly states: States;
  append(from: number, to: number, aggregate: number): Promise<void>;
}

/** A context with snapshots; only their settling is asked for by hand. */
async function world(settledUpTo?: () => number): Promise<World> {
  const road = roadOn(await memoryLayer());
  const { eventStore, snapshotStore } = road.ports;
  const parts: SnapshotParts = {
    store: eventStore,
    snapshots: snapshotStore,
    clock,
    onError: (error) => {
      throw error;
    },
    ...(settledUpTo === undefined ? {} : { settledUpTo }),
  };
  const snapshots = new Snapshots(parts);
  // Reads without `knownAt` ask histories for their bounds only.
  const histories = { bounds: async () => ({}) } as unknown as Histories;
  return {
    road,
    snapshots,
    states: new States(eventStore, road.registry, histories, snapshots),
    async append(from, to, aggregate) {
      for (let start = from; start < to; start += CHUNK) {
        const size = Math.min(CHUNK, to - start);
        const facts = Array.from({ length: size }, (_, i) => factOf(start + i, aggregate, START_MS + (start + i) * 10));
        await eventStore.append([{ facts, receivedAt: clock.now() }]);
      }
    },
  };
}

/** Reads once, so that snapshots are laid, and again, so that they are at hand. */
async function warm({ states, snapshots }: World, length: number): Promise<void> {
  // What was recorded in this very millisecond is laid in the next one.
  await sleep(5);
  for (let i = 0; i < 2; i++) {
    const found = await states.get(Lightbulb, idAt(LONG));
    if (found?.events !== length) throw new Error(`${found?.events} of ${length} events were folded`);
    await snapshots.flush();
  }
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >>> 1]!;
}

async function tailOfTen(length: number): Promise<Readonly<Record<string, number>>> {
  const w = await world(() => START_MS + (length - 1) * 10);
  await w.append(0, length + 10, LONG);
  await w.append(0, 10, SHORT);
  await warm(w, length + 10);
  const time = async (aggregate: number): Promise<number> => {
    const start = now();
    for (let i = 0; i < GETS; i++) await w.states.get(Lightbulb, idAt(aggregate));
    return (now() - start) / GETS;
  };
  await time(LONG);
  await time(SHORT);
  const ratios: number[] = [];
  const long: number[] = [];
  for (let i = 0; i < PAIRS; i++) {
    const [first, second] = i % 2 === 0 ? [LONG, SHORT] : [SHORT, LONG];
    const [a, b] = [await time(first), await time(second)];
    ratios.push(i % 2 === 0 ? a / b : b / a);
    long.push(i % 2 === 0 ? a : b);
  }
  await w.road.close();
  return {
    events: length,
    'time, tail of 10 / history of 10': Math.round(median(ratios) * 100) / 100,
    'a state, µs': Math.round(median(long) / 10) / 100,
  };
}

async function reads(length: number): Promise<Side> {
  const w = await longWorld(length);
  return {
    name: `ours, ${length.toLocaleString('en')}`,
    part: 'ours',
    round(operations): Round {
      const count = Math.max(1, Math.round(operations / 64));
      return {
        operations: count,
        run: async () => {
          for (let i = 0; i < count; i++) await w.states.get(Lightbulb, idAt(LONG));
        },
      };
    },
    close: () => w.road.close(),
  };
}

/** One event after the other of a long history, recorded, the state read, and the snapshots laid anew. */
function recorded(name: string, w: World, factAt: (n: number) => Fact): Side {
  let n = 0;
  return {
    name,
    part: 'ours',
    round(): Round {
      const facts = Array.from({ length: 20 }, () => factAt(++n));
      return {
        operations: facts.length,
        run: async () => {
          for (const fact of facts) {
            await w.road.ports.eventStore.append([{ facts: [fact], receivedAt: clock.now() }]);
            await w.states.get(Lightbulb, idAt(LONG));
            await w.snapshots.flush();
          }
        },
      };
    },
    close: () => w.road.close(),
  };
}

/** A long history with its snapshots, read before. */
async function longWorld(length: number): Promise<World> {
  const w = await world();
  await w.append(0, length, LONG);
  await warm(w, length);
  return w;
}

/** Late by 100 events, each at a time of its own. */
async function late(length: number, name = `ours, ${length.toLocaleString('en')}`): Promise<Side> {
  return recorded(name, await longWorld(length), (n) =>
    factOf(n, LONG, START_MS + (length - 100 - (n % 10)) * 10 + 1 + (Math.floor(n / 10) % 9)),
  );
}

async function atTheEnd(length: number, name: string): Promise<Side> {
  return recorded(name, await longWorld(length), (n) => factOf(n, LONG, START_MS + (length + n) * 10));
}

function flat(what: string, operation: string, side: (length: number) => Promise<Side>, length: number): BenchCase {
  const name = length.toLocaleString('en');
  return {
    id: `snapshot/${what}, 1,000 to ${name}`,
    operation,
    slow: length > 100_000,
    compare: [[`ours, ${name}`, 'ours, 1,000']],
    sides: async () => [await side(1_000), await side(length)],
  };
}

export const snapshotCases: readonly BenchCase[] = [
  {
    id: 'fold/snapshot',
    operation: 'one state of a long history, 10 events behind its snapshot',
    values: (context) => tailOfTen(context.quick ? 10_000 : 100_000),
  },
  {
    id: 'snapshot/a late event beside one at the end, 100,000',
    operation: 'one event of a history of 100,000, recorded and the state read',
    compare: [['ours, late by 100', 'ours, at the end']],
    sides: async () => [await late(100_000, 'ours, late by 100'), await atTheEnd(100_000, 'ours, at the end')],
  },
  ...[100_000, 1_000_000].flatMap((length) => [
    flat('a state', 'one state read', reads, length),
    flat('a late event', 'one event, late by 100 events, recorded and the state read', late, length),
  ]),
];
