/** What real traffic looks like: histories of every shape, late, repeated and conflicting events, batches, and records in flight with their percentiles. */
import type { EventInput } from '@concursus/core';
import { RawLmdb } from '../bare/raw-lmdb.js';
import { SortedMap } from '../bare/sorted-map.js';
import type { BenchCase, CaseContext, Round, Side } from '../case.js';
import { quantile } from '../harness.js';
import { now } from '../measure.js';
import { inputOf, randomNumbers, recordOf, START_MS, type LampRecord } from '../model.js';
import { lmdbLayer, memoryLayer, roadOn, type Road } from '../road.js';

interface Workload {
  readonly name: string;
  /** Which history the i-th event belongs to. */
  readonly aggregate: (i: number, random: () => number) => number;
  /** Shares of all events, 0 to 1. */
  readonly late?: number;
  readonly repeated?: number;
  readonly conflicting?: number;
  /** Stands for the others in the quick run. */
  readonly quick?: boolean;
}

const few = (i: number): number => i % 10;
const ZIPF = zipf(1_000);

const WORKLOADS: readonly Workload[] = [
  { name: 'many short histories', aggregate: (i) => Math.floor(i / 5) },
  { name: 'few long histories', aggregate: few },
  { name: 'one hot history', aggregate: () => 0 },
  { name: 'Zipf', aggregate: (_, random) => ZIPF(random()), quick: true },
  { name: '1 % late', aggregate: few, late: 0.01 },
  { name: '5 % late', aggregate: few, late: 0.05, quick: true },
  { name: '20 % late', aggregate: few, late: 0.2 },
  { name: '10 % repeated', aggregate: few, repeated: 0.1 },
  { name: '1 % conflicting', aggregate: few, conflicting: 0.01 },
];

/** Ranks 0 to n - 1, the k-th drawn in proportion to 1/(k + 1). */
function zipf(n: number): (random: number) => number {
  const sums: number[] = [];
  let sum = 0;
  for (let k = 1; k <= n; k++) sums.push((sum += 1 / k));
  return (random) => {
    const wanted = random * sum;
    let low = 0;
    let high = n - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (sums[middle]! < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

interface Drawn {
  readonly i: number;
  readonly aggregate: number;
  readonly at: number;
}

/** The workload's events in order of arrival. A conflict has the identity of an earlier event and other parameters. */
function draw(workload: Workload, count: number): Drawn[] {
  const random = randomNumbers(3);
  const drawn: Drawn[] = [];
  for (let i = 0; i < count; i++) {
    const kind = random();
    const earlier = drawn.length === 0 ? undefined : drawn[Math.floor(random() * drawn.length)];
    const { late = 0, repeated = 0, conflicting = 0 } = workload;
    if (earlier !== undefined && kind < repeated) drawn.push(earlier);
    else if (earlier !== undefined && kind < repeated + conflicting) drawn.push({ ...earlier, i: earlier.i + 3 });
    else {
      const lateBy = kind > 1 - late ? 5 + Math.floor(random() * 1_000) * 10 : 0;
      drawn.push({ i, aggregate: workload.aggregate(i, random), at: START_MS + i * 10 - lateBy });
    }
  }
  return drawn;
}

function batchesOf<T>(items: readonly T[], size: number): T[][] {
  const all: T[][] = [];
  for (let from = 0; from < items.length; from += size) all.push(items.slice(from, from + size));
  return all;
}

function ours(name: string, workload: Workload, size: number, events: number, open: () => Promise<Road>): Side {
  const drawn = draw(workload, events);
  return {
    name,
    part: 'ours',
    async round(): Promise<Round> {
      const road = await open();
      const inputs: EventInput[] = drawn.map(({ i, aggregate, at }) => inputOf(i, aggregate, at));
      const all = batchesOf(inputs, size);
      return {
        operations: events,
        run: async () => {
          for (const batch of all) await road.bus.record(batch);
        },
        done: () => road.close(),
      };
    },
  };
}

function bare(workload: Workload, size: number, events: number): Side {
  const drawn = draw(workload, events);
  return {
    name: 'sorted map',
    part: 'bare',
    round(): Round {
      const map = new SortedMap();
      const records: LampRecord[] = drawn.map(({ i, aggregate, at }) => recordOf(i, aggregate, at));
      const all = batchesOf(records, size);
      return {
        operations: events,
        run: async () => {
          for (const batch of all) await map.append(batch);
        },
      };
    },
  };
}

async function memoryRoad(): Promise<Road> {
  return roadOn(await memoryLayer());
}

function workloadCases(): BenchCase[] {
  const shapes = WORKLOADS.flatMap((workload) => [
    {
      id: `workloads/memory, ${workload.name}`,
      operation: 'one event recorded, in batches of 100',
      slow: workload.quick !== true,
      compare: [
        ['ours', 'sorted map'],
        ['ours', 'ours, in order'],
      ] as const,
      sides: () => [
        ours('ours', workload, 100, 20_000, memoryRoad),
        bare(workload, 100, 20_000),
        ours('ours, in order', WORKLOADS[1]!, 100, 20_000, memoryRoad),
      ],
    },
    {
      id: `workloads/lmdb, ${workload.name}`,
      operation: 'one event recorded, on disk, in batches of 100',
      slow: true,
      rounds: 7,
      compare: [['ours', 'ours, in order']] as const,
      sides: (context: CaseContext) => [
        ours('ours', workload, 100, 10_000, async () => roadOn(await lmdbLayer(context.folder()))),
        ours('ours, in order', WORKLOADS[1]!, 100, 10_000, async () => roadOn(await lmdbLayer(context.folder()))),
      ],
    },
  ]);
  const sizes = [1, 1_000].map((size) => ({
    id: `workloads/memory, batches of ${size}`,
    operation: `one event recorded, in batches of ${size}`,
    slow: true,
    sides: () => [ours('ours', WORKLOADS[1]!, size, 20_000, memoryRoad), bare(WORKLOADS[1]!, size, 20_000)],
  }));
  return [...shapes, ...sizes];
}

/** Keeps so many records under way, and notes what each takes, ms. */
async function latencies(total: number, inFlight: number, record: (i: number) => Promise<unknown>): Promise<number[]> {
  const took: number[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < total) {
      const i = next++;
      const start = now();
      await record(i);
      took.push((now() - start) / 1e6);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return took.sort((a, b) => a - b);
}

function percentiles(sorted: readonly number[], suffix: string): Record<string, number> {
  const told = (q: number): number => Math.round(quantile(sorted, q) * 1_000) / 1_000;
  return {
    [`p50${suffix}, ms`]: told(0.5),
    [`p95${suffix}, ms`]: told(0.95),
    [`p99${suffix}, ms`]: told(0.99),
    [`p99.9${suffix}, ms`]: told(0.999),
    [`p99 / p50${suffix}`]: Math.round((quantile(sorted, 0.99) / quantile(sorted, 0.5)) * 100) / 100,
  };
}

/** Parts in which both sides take turns, so that a slow minute of the disk falls on both. */
const PARTS = 8;

/** Records before those that count: what is hot is compiled, and histories are written. */
const FLIGHT_WARM = 20_000;

const flight: BenchCase = {
  id: 'workloads/lmdb, in flight',
  operation: 'one event recorded, on disk, in time order',
  plainNode: true,
  values: async (context) => {
    const found: Record<string, number> = {};
    for (const inFlight of [1, 16, 100, 256]) {
      const road = roadOn(await lmdbLayer(context.folder()));
      const raw = new RawLmdb(context.folder(), true);
      const part = Math.round((context.quick ? 500 : 3_000) * (inFlight === 1 ? 0.25 : 1));
      const ours = (i: number): Promise<unknown> => road.bus.record(inputOf(i));
      const bare = (i: number): Promise<unknown> => raw.appendOne(i);
      const warm = Math.round(FLIGHT_WARM * (context.quick ? 0.05 : 1));
      await latencies(warm, Math.max(inFlight, 100), ours);
      await latencies(warm, Math.max(inFlight, 100), bare);
      const took: [number[], number[]] = [[], []];
      let ns = 0;
      for (let p = 0; p < PARTS; p++) {
        const start = now();
        took[0].push(...(await latencies(part, inFlight, (i) => ours(warm + p * part + i))));
        ns += now() - start;
        took[1].push(...(await latencies(part, inFlight, (i) => bare(warm + p * part + i))));
      }
      const [sorted, beside] = took.map((one) => one.sort((a, b) => a - b)) as [number[], number[]];
      found[`events/s, ${inFlight} in flight`] = Math.round(((PARTS * part) / ns) * 1e9);
      Object.assign(found, percentiles(sorted, `, ${inFlight} in flight`));
      Object.assign(found, percentiles(beside, `, ${inFlight} in flight, raw lmdb with two indexes`));
      await road.close();
      await raw.close();
    }
    return found;
  },
};

/** One record beside one raw commit, both awaited to the disk. */
const single: BenchCase = {
  id: 'workloads/lmdb, a single record',
  operation: 'one event recorded, on disk, one after the other',
  sides: async (context) => {
    const road = roadOn(await lmdbLayer(context.folder()));
    const raw = new RawLmdb(context.folder(), false);
    let [i, j] = [0, 0];
    return [
      {
        name: 'ours',
        part: 'ours',
        close: () => road.close(),
        round: (operations): Round => ({
          operations,
          run: async () => {
            for (let n = 0; n < operations; n++) await road.bus.record(inputOf(i++));
          },
        }),
      },
      {
        name: 'raw lmdb, one commit',
        part: 'bare',
        close: () => raw.close(),
        round: (operations): Round => ({
          operations,
          run: async () => {
            for (let n = 0; n < operations; n++) await raw.appendOne(j++);
          },
        }),
      },
    ];
  },
};

export const workloadsCases: readonly BenchCase[] = [single, flight, ...workloadCases()];
