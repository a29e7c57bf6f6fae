/** G9: late events inserted into a sorted history of any length, beside a blocked array. */
import { Fact } from '@concursus/core';
import { BlockedArray } from '../bare/blocked-array.js';
import type { BenchCase, Round, Side } from '../case.js';
import { factOf, idAt, randomNumbers, recordOf, START_MS, TYPE, type LampRecord } from '../model.js';

interface History {
  add(fact: Fact): string;
}

/** The history's own file: the store's other work is measured in memory-append. */
async function historyClass(): Promise<new () => History> {
  const file = new URL('../../../../packages/core/dist/memory/fact-history.js', import.meta.url).href;
  return ((await import(file)) as { readonly FactHistory: new () => History }).FactHistory;
}

/** Events of a history lie this far apart, ms, so that late ones fall between them. */
const GAP_MS = 1_000;
const LATE = {
  tenant: '',
  aggregateType: TYPE,
  aggregateId: idAt(0),
  name: 'screwedIn',
  version: '0',
  streamId: 'hall',
  sequence: -1,
  characteristics: 0,
} as const;

/** Late by at most this many events, or anywhere. */
type Window = 100 | 'all';

/** Event times of the late events of one round; the next round's come after them, or elsewhere. */
function lateTimes(length: number, count: number, window: Window, random: () => number, from: number): number[] {
  if (window === 'all') {
    return Array.from(
      { length: count },
      () => START_MS + Math.floor(random() * (length - 1)) * GAP_MS + 1 + Math.floor(random() * (GAP_MS - 1)),
    );
  }
  const times = Array.from({ length: count }, (_, i) => START_MS + (length + from + i) * GAP_MS);
  for (let start = 0; start < count; start += window) {
    for (let i = Math.min(start + window, count) - 1; i > start; i--) {
      const j = start + Math.floor(random() * (i - start + 1));
      [times[i], times[j]] = [times[j]!, times[i]!];
    }
  }
  return times;
}

/** Grows by its rounds, on every side alike: what was late stays. */
function side<E>(
  name: string,
  part: Side['part'],
  length: number,
  window: Window,
  make: (at: number) => E,
  insert: (event: E) => unknown,
): Side {
  const random = randomNumbers(11);
  let from = 0;
  for (let i = 0; i < length; i++) insert(make(START_MS + i * GAP_MS));
  return {
    name,
    part,
    round(operations): Round {
      const count = Math.min(operations, 2_000);
      const late = lateTimes(length, count, window, random, from).map(make);
      from += count;
      return {
        operations: count,
        run: () => {
          for (let i = 0; i < count; i++) insert(late[i]!);
        },
      };
    },
  };
}

async function oursOf(length: number, name: string, window: Window): Promise<Side> {
  const history = new (await historyClass())();
  // A million whole events would measure the allocator: the content is one for all, identities are each their own.
  const { content } = factOf(0);
  const factAt = (at: number): Fact => new Fact({ ...LATE, eventTime: at, content });
  return side(name, 'ours', length, window, factAt, (fact) => history.add(fact));
}

function blockedOf(length: number, window: Window): Side {
  const blocked = new BlockedArray();
  const shared = recordOf(0);
  const recordAt = (at: number): LampRecord => ({ ...shared, eventTimestamp: at });
  return side('blocked array', 'bare', length, window, recordAt, (record) => blocked.insert(record));
}

const beside: readonly BenchCase[] = [1_000, 100_000, 1_000_000].flatMap((length) =>
  ([100, 'all'] as const).map((window): BenchCase => ({
    id: `late/window=${window}, length=${length}`,
    operation: 'one late event inserted',
    slow: length === 1_000_000,
    sides: async () => [await oursOf(length, 'ours', window), blockedOf(length, window)],
  })),
);

export const lateCases: readonly BenchCase[] = [
  ...beside,
  {
    id: 'late/flat in length',
    operation: 'one event inserted, late by up to 100 events',
    slow: true,
    compare: [['ours, 1,000,000', 'ours, 1,000']],
    sides: async () => [await oursOf(1_000, 'ours, 1,000', 100), await oursOf(1_000_000, 'ours, 1,000,000', 100)],
  },
];
