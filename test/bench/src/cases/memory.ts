/** What is held: bytes of an aggregate, an event and a contribution, and whether the heap stays where it was however much flows through. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { SortedMap } from '../bare/sorted-map.js';
import type { BenchCase } from '../case.js';
import { collect, heapMB, retainedBy } from '../measure.js';
import { ByCount, ByWattage, factOf, inputOf, Lightbulb, recordOf } from '../model.js';
import { clock, lmdbLayer, memoryLayer, roadOn } from '../road.js';
import { fill } from './lmdb-append.js';
import { buildViews, startViews } from './projecting.js';

const EVENTS = 100_000;

/** The in-memory store with events of so many aggregates. */
async function memoryWith(aggregates: number): Promise<object> {
  const layer = await memoryLayer();
  for (let from = 0; from < EVENTS; from += 1_000) {
    const facts = Array.from({ length: 1_000 }, (_, i) => factOf(from + i, (from + i) % aggregates));
    await layer.ports.eventStore.append([{ facts, receivedAt: clock.now() }]);
  }
  return layer;
}

async function mapWith(aggregates: number): Promise<object> {
  const map = new SortedMap();
  for (let i = 0; i < EVENTS; i++) await map.append([recordOf(i, i % aggregates)]);
  return map;
}

/** The road on LMDB holds caches of bounded size only: heap after few events and after many. */
async function flatness(folder: string, many: number): Promise<Record<string, number>> {
  const layer = await lmdbLayer(folder);
  const { eventStore } = layer.ports;
  const more = async (from: number, to: number): Promise<number> => {
    for (let at = from; at < to; at += 1_000) {
      const facts = Array.from({ length: 1_000 }, (_, i) => factOf(at + i));
      await eventStore.append([{ facts, receivedAt: clock.now() }]);
    }
    await nextTurn();
    collect('full');
    return heapMB();
  };
  const few = await more(0, EVENTS);
  const lot = await more(EVENTS, many);
  const bytes = statSync(join(folder, 'data.mdb')).size / many;
  await layer.close();
  return {
    'LMDB: heap after 100,000 events, MB': few,
    [`LMDB: heap after ${many.toLocaleString('en')} events, MB`]: lot,
    'LMDB: heap after many / after few': Math.round((lot / few) * 1_000) / 1_000,
    'LMDB: bytes of file an event': Math.round(bytes),
  };
}

/** Recorded, handled and projected: nothing on the way may grow with what went through. */
async function wholeRoad(folder: string, many: number): Promise<Record<string, number>> {
  const road = roadOn(await lmdbLayer(folder));
  let handled = 0;
  for (const model of road.registry.aggregate(Lightbulb).events.values()) {
    road.bus.handle(model, () => void handled++, 'bench');
  }
  const views = await startViews(road, [ByWattage]);
  const more = async (from: number, to: number): Promise<number> => {
    for (let at = from; at < to; at += 1_000) {
      await road.bus.record(Array.from({ length: 1_000 }, (_, i) => inputOf(at + i)));
      // A view that is far behind would be measured as what the store holds for it.
      if (at % 20_000 === 0) await views.caughtUp();
    }
    await road.bus.publisher.idle();
    await views.caughtUp();
    await nextTurn();
    collect('full');
    return heapMB();
  };
  const few = await more(0, EVENTS);
  const lot = await more(EVENTS, many);
  await views.stop();
  await road.close();
  if (handled !== many) throw new Error(`${handled} of ${many} events were handled`);
  return {
    'whole road on LMDB: heap after 100,000 events, MB': few,
    [`whole road on LMDB: heap after ${many.toLocaleString('en')} events, MB`]: lot,
    'whole road on LMDB: heap after many / after few': Math.round((lot / few) * 1_000) / 1_000,
  };
}

export const memoryCases: readonly BenchCase[] = [
  {
    id: 'memory/held',
    operation: 'bytes that stay',
    slow: true,
    values: async (context) => {
      const ours = await retainedBy(() => memoryWith(1_000));
      const bare = await retainedBy(() => mapWith(1_000));
      const single = await retainedBy(() => memoryWith(EVENTS));
      const bareSingle = await retainedBy(() => mapWith(EVENTS));
      const road = roadOn(await memoryLayer());
      await fill(road.layer, EVENTS);
      // The first view parses what the facts hold, and they keep it: the second one adds only itself.
      await buildViews(road, [ByWattage]);
      const views = await retainedBy(async () => {
        await buildViews(road, [ByCount]);
        return road;
      });
      await road.close();
      return {
        'in memory: bytes an event': Math.round(ours / EVENTS),
        'sorted map: bytes an event': Math.round(bare / EVENTS),
        'in memory: bytes an aggregate of one event': Math.round(single / EVENTS),
        'sorted map: bytes an aggregate of one event': Math.round(bareSingle / EVENTS),
        'in memory: bytes a contribution': Math.round(views / 1_000),
        ...(await flatness(context.memoryFolder(), context.quick ? 300_000 : 10_000_000)),
        ...(await wholeRoad(context.memoryFolder(), context.quick ? 200_000 : 10_000_000)),
      };
    },
  },
];
