/** What cases share: batches of prepared input, and sides that append them. */
import type { Fact } from '@concursus/core';
import type { Round, Side } from '../case.js';
import { SortedMap } from '../bare/sorted-map.js';
import { AGGREGATES, factOf, recordOf, type LampRecord } from '../model.js';
import type { PeerStore } from '../peers/event-stores.js';
import { clock, memoryLayer } from '../road.js';

/** `count` batches of `size` events, each of one aggregate, all in time order. */
export function batches<T>(count: number, size: number, make: (i: number, aggregate: number) => T): T[][] {
  const all: T[][] = [];
  for (let b = 0; b < count; b++) {
    const batch: T[] = [];
    for (let k = 0; k < size; k++) batch.push(make(b * size + k, b % AGGREGATES));
    all.push(batch);
  }
  return all;
}

/** Whole batches, as many as hold about this many operations. */
export function batchCount(operations: number, size: number): number {
  return Math.max(1, Math.round(operations / size));
}

/** The in-memory store, a fresh one a round. */
export function memoryStore(size: number, name = 'ours'): Side {
  return {
    name,
    part: 'ours',
    async round(operations): Promise<Round> {
      const layer = await memoryLayer();
      const { eventStore } = layer.ports;
      const receivedAt = clock.now();
      const count = batchCount(operations, size);
      const all: Fact[][] = batches(count, size, factOf);
      return {
        operations: count * size,
        run: async () => {
          for (let b = 0; b < all.length; b++) await eventStore.append([{ facts: all[b]!, receivedAt }]);
        },
        done: () => layer.close(),
      };
    },
  };
}

export function bareMap(size: number): Side {
  return {
    name: 'sorted map',
    part: 'bare',
    round(operations): Round {
      const map = new SortedMap();
      const count = batchCount(operations, size);
      const all: LampRecord[][] = batches(count, size, recordOf);
      return {
        operations: count * size,
        run: async () => {
          for (let b = 0; b < all.length; b++) await map.append(all[b]!);
        },
      };
    },
  };
}

/** A peer's in-memory store, a fresh one a round. */
export function peerStore(make: () => Promise<PeerStore>, name: string, size: number): Side {
  return {
    name,
    part: 'peer',
    async round(operations): Promise<Round> {
      const store = await make();
      const count = batchCount(operations, size);
      const all = batches(count, size, (i, aggregate) => store.prepare(recordOf(i, aggregate)));
      return {
        operations: count * size,
        run: async () => {
          for (let b = 0; b < all.length; b++) await store.append(b % AGGREGATES, all[b]!);
        },
      };
    },
  };
}
