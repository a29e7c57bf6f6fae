/**
 * One projection following the feed: in memory, on LMDB beside its own commits replayed bare, and with late events. In
 * steps of 1,000 events, as a view that keeps up makes them; the larger steps of one that catches up are `restart`'s.
 */
import type { Layer, ViewCommit } from '@concursus/core';
import type { BenchCase, CaseContext, Round, Side } from '../case.js';
import { AGGREGATES, ByWattage, factOf, randomNumbers, START_MS } from '../model.js';
import {
  caughtUp,
  clock,
  lmdbLayer,
  memoryLayer,
  roadOn,
  runnerOf,
  viewRefOf,
  type Road,
  type ViewTarget,
} from '../road.js';

const APPEND = 1_000;

/** Events of one build. */
function sizeOf(context: CaseContext): number {
  return context.quick ? 20_000 : 100_000;
}

/** Records events of 1,000 lamps, this share of them up to a minute late. */
async function feed(layer: Layer<'persistent'>, size: number, late: number): Promise<void> {
  const random = randomNumbers(5);
  const { eventStore } = layer.ports;
  for (let from = 0; from < size; from += APPEND) {
    const facts = Array.from({ length: APPEND }, (_, k) => {
      const i = from + k;
      // Lamps speak in turn, each once a round of 1,000 ms: a late one falls between two earlier events of its lamp.
      const lateBy = random() < late ? 500 + Math.floor(random() * 60) * APPEND : 0;
      return factOf(i, i % AGGREGATES, START_MS + i - lateBy);
    });
    await eventStore.append([{ facts, receivedAt: clock.now() }]);
  }
}

/** No larger steps while it catches up. */
const IN_STEPS = { pageSize: APPEND, catchUpPageSize: APPEND } as const;

/** Builds a view from nothing in each round, on a view store that `target` makes. */
export function builds(
  name: string,
  road: Road,
  size: number,
  target: () => Promise<ViewTarget & { close(): Promise<void> }>,
): Side {
  return {
    name,
    part: 'ours',
    close: () => road.close(),
    async round(): Promise<Round> {
      const into = await target();
      return {
        operations: size,
        run: async () => {
          const runner = runnerOf(road, [ByWattage], into, IN_STEPS);
          await runner.start();
          await caughtUp(road, runner, [ByWattage], into);
          await runner.stop();
        },
        done: () => into.close(),
      };
    },
  };
}

export async function targetOf(layer: Layer<'persistent'>): Promise<ViewTarget & { close(): Promise<void> }> {
  const { viewStore, checkpointStore } = layer.ports;
  return { viewStore, checkpointStore, close: () => layer.close() };
}

/** The commits that one build makes, as the view store gets them. */
async function commitsOf(road: Road): Promise<readonly ViewCommit[]> {
  const layer = await memoryLayer();
  const { viewStore, checkpointStore } = layer.ports;
  const commits: ViewCommit[] = [];
  const commit = viewStore.commit.bind(viewStore);
  viewStore.commit = (one) => {
    commits.push(one);
    return commit(one);
  };
  const runner = runnerOf(road, [ByWattage], { viewStore, checkpointStore }, IN_STEPS);
  await runner.start();
  await caughtUp(road, runner, [ByWattage], { viewStore, checkpointStore });
  await runner.stop();
  await layer.close();
  return commits;
}

/** The same commits once more, one after the other, with nothing around them. */
function replays(
  name: string,
  commits: readonly ViewCommit[],
  size: number,
  open: () => Promise<Layer<'persistent'>>,
): Side {
  return {
    name,
    part: 'bare',
    async round(): Promise<Round> {
      const layer = await open();
      const { viewStore, checkpointStore } = layer.ports;
      const owner = await checkpointStore.claim(commits[0]!.owner, 'bench', undefined);
      const own = commits.map((commit) => ({ ...commit, epoch: owner!.epoch }));
      return {
        operations: size,
        run: async () => {
          for (const commit of own) await viewStore.commit(commit);
        },
        done: () => layer.close(),
      };
    },
  };
}

async function inMemory(context: CaseContext, late: number, name: string): Promise<Side> {
  const road = roadOn(await memoryLayer());
  await feed(road.layer, sizeOf(context), late);
  return builds(name, road, sizeOf(context), async () => targetOf(await memoryLayer()));
}

export const projectingCases: readonly BenchCase[] = [
  {
    id: 'projecting/in memory',
    operation: 'one event projected',
    rounds: 9,
    compare: [['ours, 5 % late', 'ours']],
    sides: async (context) => [await inMemory(context, 0, 'ours'), await inMemory(context, 0.05, 'ours, 5 % late')],
  },
  {
    id: 'projecting/lmdb',
    operation: 'one event projected, rows on LMDB',
    rounds: 7,
    sides: async (context) => {
      const road = roadOn(await lmdbLayer(context.memoryFolder()));
      await feed(road.layer, sizeOf(context), 0);
      const commits = await commitsOf(road);
      return [
        builds('ours', road, sizeOf(context), async () => targetOf(await lmdbLayer(context.memoryFolder()))),
        replays('its commits alone', commits, sizeOf(context), () => lmdbLayer(context.memoryFolder())),
      ];
    },
    counts: async (context) => {
      const road = roadOn(await memoryLayer());
      const size = sizeOf(context);
      await feed(road.layer, size, 0);
      const commits = (await commitsOf(road)).length;
      await road.close();
      return { [`commits of one view for 1,000 events of the feed`]: Math.ceil(commits / (size / APPEND)) };
    },
  },
];

/** Views that follow a road while it is driven. */
export async function startViews(
  road: Road,
  projections: readonly (new () => object)[],
): Promise<{ caughtUp(): Promise<void>; stop(): Promise<void> }> {
  const runner = runnerOf(road, projections);
  await runner.start();
  return { caughtUp: () => caughtUp(road, runner, projections), stop: () => runner.stop() };
}

/** Kept for the restart case: the views of a road, current. */
export async function buildViews(road: Road, projections: readonly (new () => object)[]): Promise<void> {
  const views = await startViews(road, projections);
  await views.caughtUp();
  await views.stop();
}

export { feed, viewRefOf };
