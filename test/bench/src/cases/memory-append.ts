/** G3, G4: appends to the in-memory store, each awaited, beside a map of sorted arrays and the peers' stores. */
import type { BenchCase } from '../case.js';
import { factOf } from '../model.js';
import { installedStores } from '../peers/event-stores.js';
import { promisesOf } from '../measure.js';
import { clock, memoryLayer } from '../road.js';
import { bareMap, memoryStore, peerStore } from './support.js';

export const memoryAppendCases: readonly BenchCase[] = [1, 100].map((size) => ({
  id: `memory-append/batch=${size}`,
  operation: 'one event appended',
  sides: (context) => [
    memoryStore(size),
    bareMap(size),
    ...(context.peers ? installedStores().map(([name, make]) => peerStore(make, name, size)) : []),
  ],
  counts: async () => ({ [`promises of an append of ${size}`]: await promisesOfAppend(size) }),
}));

async function promisesOfAppend(size: number): Promise<number> {
  const layer = await memoryLayer();
  const facts = Array.from({ length: size }, (_, i) => factOf(i));
  const made = await promisesOf(() => layer.ports.eventStore.append([{ facts, receivedAt: clock.now() }]));
  await layer.close();
  return made;
}
