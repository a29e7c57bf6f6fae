/** G10 to G13: appends to LMDB, each awaited to the disk, beside raw lmdb with the same two indexes, a plain file and emmett's SQLite store. */
import type { Fact, Layer } from '@concursus/core';
import type { LmdbEventStore } from '@concursus/lmdb';
import { PlainFile } from '../bare/plain-file.js';
import { RawLmdb } from '../bare/raw-lmdb.js';
import type { BenchCase, CaseContext, Round, Side } from '../case.js';
import { spreadOf } from '../harness.js';
import { now } from '../measure.js';
import { AGGREGATES, factOf } from '../model.js';
import { emmettSqlite } from '../peers/emmett-sqlite.js';
import { isInstalled } from '../peers/peer.js';
import { clock, lmdbLayer } from '../road.js';

/** One at a time · 100 at once, each its own append · one append of that many. */
type Mode = 'single' | 'in flight' | 100 | 1_000;

/** Events of one step of a mode. */
function sizeOf(mode: Mode): number {
  return mode === 'single' ? 1 : mode === 'in flight' ? 100 : mode;
}

/** Calls `step(from, to)` until the round is full; the next round goes on where this one ends. */
function steps(
  mode: Mode,
  from: { at: number },
  operations: number,
  step: (from: number, to: number) => unknown,
): Round {
  const size = sizeOf(mode);
  const count = Math.max(1, Math.round(operations / size));
  return {
    operations: count * size,
    run: async () => {
      for (let i = 0; i < count; i++, from.at += size) await step(from.at, from.at + size);
    },
  };
}

function ours(layer: Layer<'persistent'>, mode: Mode, start = 0, name = 'ours'): Side {
  const from = { at: start };
  const { eventStore } = layer.ports;
  const append = (facts: Fact[]): Promise<unknown> => eventStore.append([{ facts, receivedAt: clock.now() }]);
  const step = (a: number, b: number): Promise<unknown> => {
    const facts: Fact[] = [];
    for (let i = a; i < b; i++) facts.push(factOf(i));
    return mode === 'in flight' ? Promise.all(facts.map((fact) => append([fact]))) : append(facts);
  };
  return { name, part: 'ours', round: (operations) => steps(mode, from, operations, step), close: () => layer.close() };
}

function rawSide(store: RawLmdb, mode: Mode, name: string, start = 0): Side {
  const from = { at: start };
  const step = (a: number, b: number): Promise<unknown> =>
    mode === 'single' ? store.appendOne(a) : mode === 'in flight' ? store.flight(a, b) : store.appendMany(a, b);
  return { name, part: 'bare', round: (operations) => steps(mode, from, operations, step), close: () => store.close() };
}

function plain(file: PlainFile, mode: Mode): Side {
  const from = { at: 0 };
  return {
    name: 'plain file',
    part: 'bare',
    round: (operations) => steps(mode, from, operations, (a, b) => file.append(a, b)),
    close: () => file.close(),
  };
}

async function sqlite(folder: string, mode: Mode): Promise<Side> {
  const from = { at: 0 };
  const store = await emmettSqlite(folder);
  return {
    name: 'emmett SQLite',
    part: 'peer',
    round: (operations) => steps(mode, from, operations, (a, b) => store.append(a, b)),
  };
}

const MODES: readonly Mode[] = ['single', 'in flight', 100, 1_000];

function titleOf(mode: Mode): string {
  return typeof mode === 'number' ? `batch=${mode}` : mode;
}

/** Transactions and flushes of one step. */
async function countsOf(mode: Mode, folder: string): Promise<Record<string, number>> {
  const layer = await lmdbLayer(folder);
  const store = layer.ports.eventStore as LmdbEventStore;
  const side = ours(layer, mode);
  const round = await side.round(sizeOf(mode));
  const before = store.stats;
  await round.run();
  const { transactions, flushes } = store.stats;
  await layer.close();
  return {
    [`transactions, ${titleOf(mode)}`]: transactions - before.transactions,
    [`flushes, ${titleOf(mode)}`]: flushes - before.flushes,
  };
}

/**
 * Histories are written behind the feed from some 16,000 events on. Twice as many before the first round, and what a round
 * measures holds its share of that work; the other sides begin with as many.
 */
const BEFORE = 32_000;

async function disk(context: CaseContext, mode: Mode): Promise<Side[]> {
  const layer = await lmdbLayer(context.folder());
  await fill(layer, BEFORE);
  const raws = [new RawLmdb(context.folder(), true), new RawLmdb(context.folder(), false)] as const;
  for (const raw of raws) for (let at = 0; at < BEFORE; at += 1_000) await raw.appendMany(at, at + 1_000);
  const sides = [
    ours(layer, mode, BEFORE),
    rawSide(raws[0], mode, 'raw lmdb, two indexes', BEFORE),
    rawSide(raws[1], mode, 'raw lmdb', BEFORE),
    plain(new PlainFile(context.folder()), mode),
  ];
  // In flight it is measured one at a time: it cannot do otherwise, and that is what its user gets.
  if (context.peers && isInstalled('emmett-sqlite')) {
    sides.push(await sqlite(context.folder(), mode === 'in flight' ? 'single' : mode));
  }
  return sides;
}

/** Median of a few rounds of 1,000 events, microseconds an event. */
async function costOf(side: Side): Promise<number> {
  const costs: number[] = [];
  for (let i = 0; i < 7; i++) {
    const round = await side.round(1_000);
    const start = now();
    await round.run();
    costs.push((now() - start) / 1_000 / round.operations);
  }
  return Math.round(spreadOf(costs).median * 10) / 10;
}

/** Fills a store in batches of 1,000 facts of all aggregates in turn. */
export async function fill(layer: Layer<'persistent'>, events: number, start = 0): Promise<void> {
  const { eventStore } = layer.ports;
  for (let from = start; from < events; from += AGGREGATES) {
    const facts = Array.from({ length: Math.min(AGGREGATES, events - from) }, (_, i) => factOf(from + i));
    await eventStore.append([{ facts, receivedAt: clock.now() }]);
  }
}

/** Events of the full store, by how much time there is. */
export function fullSize(context: CaseContext): number {
  return context.quick ? 50_000 : 1_000_000;
}

export const lmdbAppendCases: readonly BenchCase[] = [
  ...MODES.map((mode): BenchCase => ({
    id: `lmdb-append/${titleOf(mode)}`,
    operation: 'one event appended, on disk',
    sides: (context) => disk(context, mode),
    counts: (context) => countsOf(mode, context.memoryFolder()),
  })),
  ...([100, 1_000] as const).map((mode): BenchCase => ({
    id: `lmdb-append/without flush, ${titleOf(mode)}`,
    operation: 'one event appended where a flush costs nothing',
    sides: async (context) => {
      const layer = await lmdbLayer(context.memoryFolder());
      await fill(layer, BEFORE);
      const raw = new RawLmdb(context.memoryFolder(), true);
      for (let at = 0; at < BEFORE; at += 1_000) await raw.appendMany(at, at + 1_000);
      return [ours(layer, mode, BEFORE), rawSide(raw, mode, 'raw lmdb, two indexes', BEFORE)];
    },
  })),
  {
    id: 'lmdb-append/flat in store',
    operation: 'one event of a batch of 100 appended, on disk',
    slow: true,
    compare: [['ours, full store', 'ours, empty store']],
    sides: async (context) => {
      const size = fullSize(context);
      const full = await lmdbLayer(context.folder());
      await fill(full, size);
      // As good as empty: both sides write histories.
      const empty = await lmdbLayer(context.folder());
      await fill(empty, BEFORE);
      return [ours(empty, 100, BEFORE, 'ours, empty store'), ours(full, 100, size, 'ours, full store')];
    },
    values: async (context) => {
      const full = fullSize(context);
      const sizes = [1_000, 10_000, 50_000, 100_000, 300_000, 1_000_000].filter((size) => size <= full);
      const layer = await lmdbLayer(context.folder());
      const raw = new RawLmdb(context.folder(), true);
      const found: Record<string, number> = {};
      let at = 0;
      for (const size of sizes) {
        await fill(layer, size, at);
        for (; at < size; at += 1_000) await raw.appendMany(at, at + 1_000);
        const [own, bare] = [ours(layer, 100, 10_000_000 + at), rawSide(raw, 100, 'raw lmdb', 10_000_000 + at)];
        found[`µs an event at ${size} events, ours`] = await costOf(own);
        found[`µs an event at ${size} events, raw lmdb with two indexes`] = await costOf(bare);
      }
      await layer.close();
      await raw.close();
      return found;
    },
  },
];
