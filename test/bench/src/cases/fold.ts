/** G7: a state read from its history in memory, short and long, beside a bare fold and the peers. */
import type { BenchCase, Round, Side } from '../case.js';
import { SortedMap } from '../bare/sorted-map.js';
import { factOf, idAt, Lightbulb, recordOf, START_MS } from '../model.js';
import { installedStores, type PeerStore } from '../peers/event-stores.js';
import { clock, memoryLayer, roadOn } from '../road.js';

const TARGET = 2_000;
const OTHERS = 1_000;
const CHUNK = 10_000;

function loads(operations: number, length: number, load: () => Promise<number>): Round {
  const count = Math.max(1, Math.round(operations / length));
  return {
    operations: count * length,
    run: async () => {
      for (let i = 0; i < count; i++) {
        const folded = await load();
        if (folded !== length) throw new Error(`${folded} of ${length} events were folded`);
      }
    },
  };
}

async function ours(length: number, name = 'ours'): Promise<Side> {
  const road = roadOn(await memoryLayer());
  const { eventStore } = road.ports;
  const append = (facts: ReturnType<typeof factOf>[]): Promise<unknown> =>
    eventStore.append([{ facts, receivedAt: clock.now() }]);
  for (let from = 0; from < length; from += CHUNK) {
    const size = Math.min(CHUNK, length - from);
    await append(Array.from({ length: size }, (_, i) => factOf(from + i, TARGET, START_MS + from + i)));
  }
  for (let a = 0; a < OTHERS; a++) await append(Array.from({ length: 10 }, (_, i) => factOf(i, a)));
  const load = async (): Promise<number> => (await road.states.get(Lightbulb, idAt(TARGET)))?.state.count ?? 0;
  return { name, part: 'ours', round: (operations) => loads(operations, length, load), close: () => road.close() };
}

async function bare(length: number): Promise<Side> {
  const map = new SortedMap();
  await map.append(Array.from({ length }, (_, i) => recordOf(i, TARGET, START_MS + i)));
  const load = (): Promise<number> => Promise.resolve(map.load(idAt(TARGET)).count);
  return { name: 'array fold', part: 'bare', round: (operations) => loads(operations, length, load) };
}

async function peer(name: string, make: () => Promise<PeerStore>, length: number): Promise<Side> {
  const store = await make();
  const history = Array.from({ length }, (_, i) => store.prepare(recordOf(i, TARGET, START_MS + i)));
  if (store.seed !== undefined) store.seed(TARGET, history);
  else for (let from = 0; from < length; from += CHUNK) await store.append(TARGET, history.slice(from, from + CHUNK));
  const load = async (): Promise<number> => (await store.load(TARGET)).count;
  return { name, part: 'peer', round: (operations) => loads(operations, length, load) };
}

export const foldCases: readonly BenchCase[] = [
  ...[10, 1_000, 100_000].map((length): BenchCase => ({
    id: `fold/length=${length}`,
    operation: 'one event folded',
    sides: async (context) => [
      await ours(length),
      await bare(length),
      ...(context.peers ? await Promise.all(installedStores().map(([name, make]) => peer(name, make, length))) : []),
    ],
  })),
  {
    id: 'fold/flat in length',
    operation: 'one event folded',
    compare: [['ours, 100,000', 'ours, 1,000']],
    sides: async () => [await ours(1_000, 'ours, 1,000'), await ours(100_000, 'ours, 100,000')],
  },
];
