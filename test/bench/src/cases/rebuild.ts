/** A view built anew from whole histories, beside the rate at which one that keeps up takes the same events: in memory and on LMDB. */
import { Projections, type Layer } from '@concursus/core';
import type { BenchCase, CaseContext, Round, Side } from '../case.js';
import { ByWattage } from '../model.js';
import { caughtUp, clock, lmdbLayer, memoryLayer, quiet, roadOn, runnerOf, type Road } from '../road.js';
import { builds, feed, targetOf } from './projecting.js';

function sizeOf(context: CaseContext): number {
  return context.quick ? 20_000 : 100_000;
}

const NAME = 'by-wattage';

/** From the request to the switch, with the rests that a rebuild takes by default; the view that is read stands at the end. */
async function rebuilds(name: string, road: Road, size: number): Promise<Side> {
  const runner = runnerOf(road, [ByWattage]);
  const { eventStore, eventFeed, viewStore, checkpointStore } = road.ports;
  const parts = {
    store: eventStore,
    feed: eventFeed,
    views: viewStore,
    checkpoints: checkpointStore,
    registry: road.registry,
    clock,
    logger: quiet,
    process: 'bench',
  };
  const projections = new Projections(parts, runner, () => {
    throw new Error('nothing is audited here');
  });
  // A rest keeps no process alive.
  const alive = setInterval(() => undefined, 1_000);
  await runner.start();
  await caughtUp(road, runner, [ByWattage]);
  return {
    name,
    part: 'ours',
    close: async () => {
      clearInterval(alive);
      await runner.stop();
      await road.close();
    },
    async round(): Promise<Round> {
      return {
        operations: size,
        run: async () => {
          await projections.rebuild(NAME);
          for (;;) {
            const step = runner.nextStep();
            if ((await projections.rebuilding(NAME)) === undefined) return;
            await step;
          }
        },
        done: async () => {
          const kept = (await projections.generations(NAME)).filter(({ state }) => state === 'kept');
          for (const one of kept) await projections.drop(NAME, one);
          const report = await projections.report(NAME);
          if (report === undefined || report.rows === 0 || report.changed > 0) throw new Error('The rebuild differs.');
        },
      };
    },
  };
}

async function pair(
  context: CaseContext,
  where: string,
  open: () => Promise<Layer<'persistent'>>,
): Promise<readonly Side[]> {
  const size = sizeOf(context);
  const filled = async (): Promise<Road> => {
    const road = roadOn(await open());
    await feed(road.layer, size, 0);
    return road;
  };
  return [
    await rebuilds(`rebuild, ${where}`, await filled(), size),
    builds(`live, ${where}`, await filled(), size, async () => targetOf(await open())),
  ];
}

export const rebuildCases: readonly BenchCase[] = [
  {
    id: 'truth/rebuild',
    operation: 'one event of a view, built anew or as it comes',
    rounds: 7,
    compare: [
      ['rebuild, in memory', 'live, in memory'],
      ['rebuild, lmdb', 'live, lmdb'],
    ],
    sides: async (context) => [
      ...(await pair(context, 'in memory', memoryLayer)),
      ...(await pair(context, 'lmdb', () => lmdbLayer(context.memoryFolder()))),
    ],
  },
];
