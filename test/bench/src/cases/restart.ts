/** A store of a million events: what it takes to open it again, and to build a new projection from it, beside a raw scan. */
import type { Layer } from '@concursus/core';
import { RawLmdb } from '../bare/raw-lmdb.js';
import type { BenchCase, CaseContext, Round, Side } from '../case.js';
import { now } from '../measure.js';
import { ByCount, ByState, ByWattage, idAt, Lightbulb } from '../model.js';
import { caughtUp, lmdbLayer, memoryLayer, roadOn, runnerOf, viewRefOf, type Road } from '../road.js';
import { fill, fullSize } from './lmdb-append.js';
import { buildViews } from './projecting.js';

const VIEWS = [ByWattage, ByCount, ByState] as const;

function msSince(start: number): number {
  return Math.round((now() - start) / 1e5) / 10;
}

/** A new projection over all of it, rows in memory: reading and folding is what is measured. */
function catchUp(name: string, road: Road, size: number): Side {
  return {
    name,
    part: 'ours',
    close: () => road.close(),
    async round(): Promise<Round> {
      const scratch = await memoryLayer();
      return {
        operations: size,
        run: async () => {
          const runner = runnerOf(road, [ByWattage], scratch.ports);
          await runner.start();
          await caughtUp(road, runner, [ByWattage], scratch.ports);
          await runner.stop();
        },
        done: () => scratch.close(),
      };
    },
  };
}

function scan(raw: RawLmdb, size: number): Side {
  return {
    name: 'raw lmdb scan',
    part: 'bare',
    close: () => raw.close(),
    round: (): Round => ({ operations: size, run: () => void raw.scan() }),
  };
}

async function filledRaw(folder: string, size: number): Promise<RawLmdb> {
  const raw = new RawLmdb(folder, true);
  for (let from = 0; from < size; from += 1_000) await raw.appendMany(from, from + 1_000);
  return raw;
}

async function reopened(context: CaseContext): Promise<Layer<'persistent'>> {
  const folder = context.memoryFolder();
  const first = await lmdbLayer(folder);
  await fill(first, fullSize(context));
  await first.close();
  return lmdbLayer(folder);
}

export const restartCases: readonly BenchCase[] = [
  {
    id: 'restart/catch-up on LMDB',
    operation: 'one event of the feed projected into a new view',
    rounds: 3,
    sides: async (context) => [
      catchUp('ours', roadOn(await reopened(context)), fullSize(context)),
      scan(await filledRaw(context.memoryFolder(), fullSize(context)), fullSize(context)),
    ],
  },
  {
    id: 'restart/catch-up in memory',
    operation: 'one event of the feed projected into a new view',
    rounds: 3,
    sides: async (context) => {
      const road = roadOn(await memoryLayer());
      await fill(road.layer, fullSize(context));
      return [catchUp('ours', road, fullSize(context))];
    },
  },
  {
    id: 'restart/first answer',
    operation: 'an environment with three current views opened again',
    values: async (context) => {
      const folder = context.folder();
      const first = roadOn(await lmdbLayer(folder));
      await fill(first.layer, fullSize(context));
      await buildViews(first, VIEWS);
      await first.close();
      const start = now();
      const road = roadOn(await lmdbLayer(folder));
      const runner = runnerOf(road, VIEWS);
      await runner.start();
      const { viewStore } = road.ports;
      const rows = await viewStore.findRows(viewRefOf(ByWattage), { limit: 10 });
      const viewMs = msSince(start);
      const state = await road.states.get(Lightbulb, idAt(7));
      const stateMs = msSince(start);
      await caughtUp(road, runner, VIEWS);
      const currentMs = msSince(start);
      await runner.stop();
      await road.close();
      if (rows.length === 0 || state === undefined) throw new Error('nothing was found again');
      return {
        events: fullSize(context),
        'a view answers, ms': viewMs,
        'a state answers, ms': stateMs,
        'views current, ms': currentMs,
      };
    },
  },
];
