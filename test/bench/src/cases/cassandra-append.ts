/** Appends to a real Cassandra, each awaited to a quorum, beside prepared inserts of the same rows by the bare driver. */
import { randomBytes } from 'node:crypto';
import type { Fact, Layer } from '@concursus/core';
import { cassandra } from '@concursus/cassandra';
import { allOf, RawCassandra, REQUESTS_MAX } from '../bare/raw-cassandra.js';
import type { BenchCase, CaseContext, Round, ServerAddresses, Side } from '../case.js';
import { AGGREGATES, factOf } from '../model.js';
import { clock, openLayer } from '../road.js';

/** Events of one append, and appends under way at once. */
interface Shape {
  readonly title: string;
  readonly size: number;
  readonly atOnce: number;
  /** All events of one append are of one aggregate. */
  readonly together: boolean;
}

const SHAPES: readonly Shape[] = [
  { title: 'batch=100', size: 100, atOnce: 1, together: false },
  { title: 'batch=100, 4 in flight', size: 100, atOnce: 4, together: false },
  { title: 'batch=100 of one aggregate', size: 100, atOnce: 1, together: true },
  { title: 'single, 100 in flight', size: 1, atOnce: 100, together: false },
];

export function cassandraOf({ servers }: CaseContext): NonNullable<ServerAddresses['cassandra']> {
  if (servers.cassandra === undefined)
    throw new Error('There is no Cassandra: start it through npm run bench:servers.');
  return servers.cassandra;
}

/** Of this case. All its sides are contexts of one: each table takes about a megabyte of a server's memory. */
export const keyspace = `bench_${randomBytes(6).toString('hex')}`;

/** Our store, in a context of its own. */
export function cassandraLayer(context: CaseContext): Promise<Layer<'persistent'>> {
  return openLayer(cassandra({ ...cassandraOf(context), keyspace }), `bench-${randomBytes(6).toString('hex')}`);
}

/** The bare driver on the tables of our store. */
export async function rawCassandra(context: CaseContext): Promise<RawCassandra> {
  // Makes the tables, where nobody has.
  await (await cassandraLayer(context)).close();
  const raw = new RawCassandra(cassandraOf(context), keyspace);
  await raw.connect();
  return raw;
}

/** For the last side of a case to close. */
export async function dropKeyspace(context: CaseContext): Promise<void> {
  const raw = new RawCassandra(cassandraOf(context), keyspace);
  await raw.dropKeyspace();
  await raw.close();
}

/** Calls `append(from, to)` for whole appends until the round is full, so many at once; the next round goes on where this one ends. */
export function appends(
  { size, atOnce }: Pick<Shape, 'size' | 'atOnce'>,
  place: { at: number },
  operations: number,
  append: (from: number, to: number) => Promise<unknown>,
): Round {
  const count = Math.max(atOnce, Math.round(operations / size));
  const begin = place.at;
  place.at += count * size;
  const works = Array.from({ length: count }, (_, i) => {
    const from = begin + i * size;
    return () => append(from, from + size);
  });
  return { operations: count * size, run: () => allOf(works, atOnce) };
}

/** Of which aggregate the i-th event is. */
function spread({ size, together }: Shape): (i: number) => number {
  return together ? (i) => Math.floor(i / size) % AGGREGATES : (i) => i % AGGREGATES;
}

/** Every aggregate has an event, so that a round appends to histories that are there. */
export async function fill(layer: Layer<'persistent'>, aggregates: number, first = 0): Promise<void> {
  const works: (() => Promise<unknown>)[] = [];
  for (let from = 0; from < aggregates; from += 1_000) {
    works.push(() => appendTo(layer, from, Math.min(from + 1_000, aggregates), (i) => first + i));
  }
  await allOf(works, 4);
}

export function appendTo(
  layer: Layer<'persistent'>,
  from: number,
  to: number,
  aggregateOf: (i: number) => number,
): Promise<unknown> {
  const facts: Fact[] = [];
  for (let i = from; i < to; i++) facts.push(factOf(i, aggregateOf(i)));
  return layer.ports.eventStore.append([{ facts, receivedAt: clock.now() }]);
}

async function ours(context: CaseContext, shape: Shape): Promise<Side> {
  const layer = await cassandraLayer(context);
  const aggregateOf = spread(shape);
  await fill(layer, AGGREGATES);
  const place = { at: AGGREGATES };
  const append = (from: number, to: number): Promise<unknown> => appendTo(layer, from, to, aggregateOf);
  return {
    name: 'ours',
    part: 'ours',
    round: (operations) => appends(shape, place, operations, append),
    close: () => layer.close(),
  };
}

/** One by one it writes a row of the log for each hundred events, which is fewer than ours does. */
async function bare(context: CaseContext, shape: Shape): Promise<Side> {
  const raw = await rawCassandra(context);
  const aggregateOf = spread(shape);
  for (let from = 0; from < AGGREGATES; from += 100) await raw.append(from, from + 100, (i) => i, false);
  const place = { at: AGGREGATES };
  const append = async (from: number, to: number): Promise<unknown> => {
    if (shape.size > 1) return raw.append(from, to, aggregateOf, shape.together, REQUESTS_MAX / shape.atOnce);
    const event = raw.appendOne(from, aggregateOf(from));
    if (from % 100 !== 99) return event;
    return Promise.all([event, raw.logOf(from - 99, to, aggregateOf)]);
  };
  return {
    name: 'bare driver',
    part: 'bare',
    round: (operations) => appends(shape, place, operations, append),
    close: async () => {
      await raw.close();
      await dropKeyspace(context);
    },
  };
}

const SCATTERED = { size: 100, atOnce: 4 } as const;

/** Appends of 100 to so many aggregates, each of which has an event, scattered over all of them. */
function among(
  aggregates: number,
  part: Side['part'],
  name: string,
  append: (from: number, to: number, aggregateOf: (i: number) => number) => Promise<unknown>,
  close: () => Promise<void>,
): Side {
  const place = { at: aggregates };
  // A prime: neighbours of one append are far apart, and every aggregate has its turn.
  const aggregateOf = (i: number): number => (i * 7_919) % aggregates;
  const round = (operations: number): Round =>
    appends(SCATTERED, place, operations, (from, to) => append(from, to, aggregateOf));
  return { name, part, round, close };
}

async function oursAmong(context: CaseContext, aggregates: number, name: string, isLast: boolean): Promise<Side> {
  const layer = await cassandraLayer(context);
  await fill(layer, aggregates);
  const append = (from: number, to: number, of: (i: number) => number): Promise<unknown> =>
    appendTo(layer, from, to, of);
  return among(aggregates, 'ours', name, append, async () => {
    await layer.close();
    if (isLast) await dropKeyspace(context);
  });
}

/** By the bare driver: how far the server itself is flat. */
async function bareAmong(context: CaseContext, aggregates: number, name: string): Promise<Side> {
  const raw = await rawCassandra(context);
  const append = (from: number, to: number, of: (i: number) => number): Promise<void> =>
    raw.append(from, to, of, false, REQUESTS_MAX / SCATTERED.atOnce);
  const fills: (() => Promise<void>)[] = [];
  for (let from = 0; from < aggregates; from += SCATTERED.size) {
    fills.push(() => append(from, Math.min(from + SCATTERED.size, aggregates), (i) => i));
  }
  await allOf(fills, SCATTERED.atOnce);
  return among(aggregates, 'bare', name, append, () => raw.close());
}

const FEW = 'ours, 1,000';
const BARE_FEW = 'bare driver, 1,000';

function flat(aggregates: number, title: string, slow: boolean): BenchCase {
  const many = `ours, ${title}`;
  const bareMany = `bare driver, ${title}`;
  return {
    id: `cassandra-append/1,000 to ${title} aggregates`,
    operation: 'append an event, 100 a call, 4 calls in flight, to contexts of that many aggregates',
    server: 'cassandra',
    slow,
    compare: [
      [many, FEW],
      [bareMany, BARE_FEW],
      [many, bareMany],
    ],
    sides: async (context) => [
      await oursAmong(context, 1_000, FEW, false),
      await bareAmong(context, 1_000, BARE_FEW),
      await bareAmong(context, aggregates, bareMany),
      await oursAmong(context, aggregates, many, true),
    ],
  };
}

export const cassandraAppendCases: readonly BenchCase[] = [
  ...SHAPES.map((shape): BenchCase => {
    const calls = shape.size === 1 ? 'one a call' : `${shape.size} a call${shape.together ? ' of one aggregate' : ''}`;
    return {
      id: `cassandra-append/${shape.title}`,
      operation: `append an event, ${calls}, ${shape.atOnce} in flight, awaited to a quorum`,
      server: 'cassandra',
      sides: async (context) => [await ours(context, shape), await bare(context, shape)],
    };
  }),
  flat(10_000, '10,000', false),
  flat(100_000, '100,000', false),
  flat(1_000_000, '1,000,000', true),
];
