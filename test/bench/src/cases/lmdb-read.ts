/** G14: one aggregate's history and the whole feed read from LMDB, decoded to the parameters, beside raw lmdb that parses JSON. */
import type { Layer } from '@concursus/core';
import { RawLmdb } from '../bare/raw-lmdb.js';
import type { BenchCase, CaseContext, Round, Side } from '../case.js';
import { AGGREGATES, idAt, TYPE } from '../model.js';
import { lmdbLayer } from '../road.js';
import { fill, fullSize } from './lmdb-append.js';

/** A store opened again, so that nothing of its writing is cached. */
async function filled(context: CaseContext): Promise<Layer<'persistent'>> {
  const folder = context.memoryFolder();
  const first = await lmdbLayer(folder);
  await fill(first, fullSize(context));
  await first.close();
  return lmdbLayer(folder);
}

async function filledRaw(context: CaseContext): Promise<RawLmdb> {
  const store = new RawLmdb(context.memoryFolder(), true);
  const size = fullSize(context);
  for (let from = 0; from < size; from += 1_000) await store.appendMany(from, from + 1_000);
  return store;
}

function reads(
  name: string,
  part: Side['part'],
  length: number,
  read: (aggregate: number) => number | Promise<number>,
  close: () => unknown,
): Side {
  let next = 7;
  return {
    name,
    part,
    close,
    round(operations): Round {
      const count = Math.max(1, Math.round(operations / length));
      return {
        operations: count * length,
        run: async () => {
          for (let i = 0; i < count; i++, next = (next + 37) % AGGREGATES) {
            const found = await read(next);
            if (found !== length) throw new Error(`${found} of ${length} events were read`);
          }
        },
      };
    },
  };
}

async function historyOf(layer: Layer<'persistent'>, aggregate: number): Promise<number> {
  let events = 0;
  for await (const page of layer.ports.eventStore.read({ tenant: '', type: TYPE, id: idAt(aggregate) })) {
    for (const fact of page) if ((fact.parameters['wattage'] as number) > 0) events++;
  }
  return events;
}

async function feedOf(layer: Layer<'persistent'>): Promise<number> {
  const { eventFeed } = layer.ports;
  let events = 0;
  for (let from = eventFeed.start(); ;) {
    const page = await eventFeed.read(from, 1_000);
    for (const fact of page.facts) if ((fact.parameters['wattage'] as number) > 0) events++;
    if (page.atEnd) return events;
    from = page.next;
  }
}

function scans(
  name: string,
  part: Side['part'],
  size: number,
  scan: () => number | Promise<number>,
  close: () => unknown,
): Side {
  return {
    name,
    part,
    close,
    round: (): Round => ({
      operations: size,
      run: async () => {
        const found = await scan();
        if (found !== size) throw new Error(`${found} of ${size} events were scanned`);
      },
    }),
  };
}

export const lmdbReadCases: readonly BenchCase[] = [
  {
    id: 'lmdb-read/history',
    operation: 'one event of an aggregate read and decoded',
    sides: async (context) => {
      const length = fullSize(context) / AGGREGATES;
      const [layer, raw] = [await filled(context), await filledRaw(context)];
      return [
        reads(
          'ours',
          'ours',
          length,
          (aggregate) => historyOf(layer, aggregate),
          () => layer.close(),
        ),
        reads(
          'raw lmdb',
          'bare',
          length,
          (aggregate) => raw.read(aggregate).length,
          () => raw.close(),
        ),
      ];
    },
  },
  {
    id: 'lmdb-read/feed',
    operation: 'one event of the feed read and decoded',
    rounds: 5,
    sides: async (context) => {
      const size = fullSize(context);
      const [layer, raw] = [await filled(context), await filledRaw(context)];
      return [
        scans(
          'ours',
          'ours',
          size,
          () => feedOf(layer),
          () => layer.close(),
        ),
        scans(
          'raw lmdb',
          'bare',
          size,
          () => raw.scan()[0],
          () => raw.close(),
        ),
      ];
    },
  },
];
