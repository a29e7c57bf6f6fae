/** G5, G6: the whole road in memory (bus, log, store, publisher, a handler an event type) beside a sorted insert and a map dispatch, awaited. */
import type { EventInput } from '@concursus/core';
import { MapDispatch } from '../bare/dispatch.js';
import { SortedMap } from '../bare/sorted-map.js';
import type { BenchCase, Round, Side } from '../case.js';
import { promisesOf } from '../measure.js';
import { inputOf, Lightbulb, recordOf, type LampRecord } from '../model.js';
import { memoryLayer, roadOn, type Road } from '../road.js';
import { batchCount, batches } from './support.js';

async function openRoad(filters: number, seen: { events: number }): Promise<Road> {
  const road = roadOn(await memoryLayer());
  for (const model of road.registry.aggregate(Lightbulb).events.values()) {
    road.bus.handle(model, () => void seen.events++, 'bench');
  }
  for (let i = 0; i < filters; i++) road.bus.use({ handle: (_batch, next) => next() }, { stage: 'log' });
  return road;
}

function ours(size: number, filters: number, name: string): Side {
  return {
    name,
    part: 'ours',
    async round(operations): Promise<Round> {
      const seen = { events: 0 };
      const road = await openRoad(filters, seen);
      const count = batchCount(operations, size);
      const all: EventInput[][] = batches(count, size, inputOf);
      return {
        operations: count * size,
        run: async () => {
          for (let b = 0; b < all.length; b++) await road.bus.record(size === 1 ? all[b]![0]! : all[b]!);
          await road.bus.publisher.idle();
        },
        done: async () => {
          if (seen.events !== count * size) throw new Error(`${seen.events} of ${count * size} events were handled`);
          await road.close();
        },
      };
    },
  };
}

class Carried {
  constructor(readonly record: LampRecord) {}
}

function bare(size: number): Side {
  return {
    name: 'sorted map and map dispatch',
    part: 'bare',
    round(operations): Round {
      const map = new SortedMap();
      const dispatch = new MapDispatch();
      let seen = 0;
      dispatch.on(Carried, { handle: () => void seen++ });
      const count = batchCount(operations, size);
      const all: LampRecord[][] = batches(count, size, recordOf);
      return {
        operations: count * size,
        run: async () => {
          for (const batch of all) {
            await map.append(batch);
            for (let i = 0; i < batch.length; i++) await dispatch.publish(new Carried(batch[i]!));
          }
          if (seen !== count * size) throw new Error(`${seen} events were handled`);
        },
      };
    },
  };
}

async function promisesOfRecord(size: number): Promise<number> {
  const road = await openRoad(0, { events: 0 });
  const inputs = Array.from({ length: size }, (_, i) => inputOf(i));
  const made = await promisesOf(() => road.bus.record(inputs));
  await road.close();
  return made;
}

export const pipelineCases: readonly BenchCase[] = [1, 100].map((size) => ({
  id: `pipeline/batch=${size}`,
  operation: 'one event recorded, stored, published and handled',
  compare: [
    ['ours', 'sorted map and map dispatch'],
    ['ours, a filter', 'ours'],
  ],
  sides: () => [ours(size, 0, 'ours'), bare(size), ours(size, 1, 'ours, a filter')],
  counts: async () => ({ [`promises of a record of ${size}`]: await promisesOfRecord(size) }),
}));
