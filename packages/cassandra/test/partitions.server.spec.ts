/**
 * Goal: no partition of histories and feed grows beyond its bound, whatever comes, and nothing of them is a tombstone. Method:
 * as many events within an hour as over years, by one process and by several, and few large ones; then the server is asked:
 * rows by partition, and its own tables of partition sizes and of tombstones that reads met, after a flush. With
 * `EVENTS=100000` that many are recorded, and all of them again.
 */
import {
  compareIdentity,
  compareProcessingIds,
  compareProcessingTime,
  CORRECTION,
  parseProcessingId,
  type Fact,
  type Layer,
} from '@concursus/core';
import { factOf } from '@concursus/testing';
import type { Client } from 'cassandra-driver';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { bareClient, cleanUp, freshContext, openLayer, specOptions } from './support.js';

/** Asked for as many: then it takes a quarter of an hour on a busy machine. */
const asked = process.env['EVENTS'] === undefined ? undefined : Number(process.env['EVENTS']);
const LIMIT_MS = asked === undefined ? 300_000 : 3_600_000;
vi.setConfig({ testTimeout: LIMIT_MS, hookTimeout: LIMIT_MS });

const HOUR_MS = 3_600_000;
const START_MS = Date.UTC(2026, 0, 1);
/** Of an hour, and as many of years. */
const EVENTS = asked === undefined ? 6_000 : asked / 2;
/** Every so many-th comes again. */
const AGAIN = asked === undefined ? 4 : 1;
const OF_APPEND = asked === undefined ? 100 : 1_000;
const SINGLE = 200;
const ROWS_MAX = EVENTS / 10;
/** What is known of a tier is known within an eighth, and shards of a tier differ. */
const SLACK = 1.4;
const PAD = 'x'.repeat(asked === undefined ? 1_000 : 100);
const HOT = { tenant: '', type: 'parcel', id: 'hot' };
const OLD = { tenant: '', type: 'parcel', id: 'old' };
const eventTables = [
  ...['event', 'event_bucket', 'event_mark', 'event_late', 'event_correction', 'corrected_slice', 'event_repeat'],
  ...['aggregate_list', 'source_count', 'feed_log', 'seal'],
];

/** A number from 0 to below `of` that jumps about. */
const scattered = (i: number, of: number): number => Math.floor(((i * 0.618_033_988_75) % 1) * of);

/** Very many within one hour, in no order, with corrections among them. */
function burst(): Fact[] {
  return Array.from({ length: EVENTS }, (_, i) =>
    factOf({
      id: HOT.id,
      at: START_MS + scattered(i, HOUR_MS),
      sequence: i,
      parameters: { pad: PAD },
      characteristics: i % 1_000 === 999 ? CORRECTION : 0,
    }),
  );
}

/** The same number over thirty years, one after the other. */
function years(): Fact[] {
  const stepMs = Math.floor((30 * 365 * 24 * HOUR_MS) / EVENTS);
  return Array.from({ length: EVENTS }, (_, i) =>
    factOf({ id: OLD.id, at: START_MS + i * stepMs, sequence: i, parameters: { pad: PAD } }),
  );
}

async function record({ ports }: Layer<'persistent'>, facts: readonly Fact[]): Promise<Map<string, number>> {
  const outcomes = new Map<string, number>();
  for (let i = 0; i < facts.length; i += OF_APPEND) {
    const append = { facts: facts.slice(i, i + OF_APPEND), receivedAt: Date.now() };
    const [result] = await ports.eventStore.append([append]);
    for (const outcome of result!.outcomes) outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  return outcomes;
}

/** Counted by the server: of each partition of a table its rows. */
async function rowsByPartition(client: Client, table: string, key: string, context: string): Promise<number[]> {
  const counts: number[] = [];
  const query = `SELECT ${key}, COUNT(*) AS rows_of FROM ${table} GROUP BY ${key}`;
  for (let pageState: string | undefined, more = true; more; more = pageState !== undefined) {
    const result = await client.execute(query, [], {
      prepare: true,
      fetchSize: 500,
      ...(pageState === undefined ? {} : { pageState }),
    });
    for (const row of result.rows) if (row['context'] === context) counts.push(Number(row['rows_of']));
    pageState = (result.pageState as string | null) ?? undefined;
  }
  return counts;
}

/** What the server says of this keyspace in one of its own tables, by table. */
async function ofServer(client: Client, table: string, column: string): Promise<Map<string, number>> {
  const { rows } = await client.execute(`SELECT keyspace_name, table_name, ${column} FROM system_views.${table}`);
  const own = rows.filter((row) => row['keyspace_name'] === specOptions().keyspace);
  return new Map(own.map((row) => [row['table_name'] as string, Number(row[column])]));
}

describe('partitions of histories and feed', () => {
  const context = freshContext();
  let layer: Layer<'persistent'>;
  let client: Client;

  beforeAll(async () => {
    const first = await openLayer(context, { partitionRowsMax: ROWS_MAX });
    expect(await record(first, burst())).toEqual(new Map([['recorded', EVENTS]]));
    expect(await record(first, years())).toEqual(new Map([['recorded', EVENTS]]));
    // One append after the other, so that each is a row of the feed's log.
    for (let i = 0; i < SINGLE; i++) await record(first, [factOf({ id: `single ${i}` })]);
    await first.close();
    layer = await openLayer(context, { partitionRowsMax: ROWS_MAX });
    const again = [...burst(), ...years()].filter((_, i) => i % AGAIN === 0);
    expect(await record(layer, again)).toEqual(new Map([['repeated', again.length]]));
    client = await bareClient();
  });
  afterAll(async () => {
    await layer.close();
    await client.shutdown();
    await cleanUp();
  });

  it('hold what came within an hour in as many partitions as it needs, and what came over years in one a year', async () => {
    const shards = await rowsByPartition(client, 'event', 'context, tenant, type, id, bucket, shard', context);
    expect(shards.reduce((sum, rows) => sum + rows, 0)).toBe(2 * EVENTS + SINGLE);
    expect(Math.max(...shards)).toBeLessThan(ROWS_MAX * SLACK);
    expect(shards.length).toBeLessThan(SINGLE + 30 + 2 + (4 * EVENTS) / ROWS_MAX);
    const marks = await rowsByPartition(client, 'event_mark', 'context, tenant, type, id, bucket', context);
    expect(Math.max(...marks)).toBeLessThan(10 * 64);
    for (const table of ['event_late', 'event_repeat']) {
      const rows = await rowsByPartition(client, table, 'context, tenant, type, id, bucket, shard', context);
      expect(Math.max(...rows), table).toBeLessThan(ROWS_MAX * SLACK);
    }
    const blocks = await rowsByPartition(client, 'feed_log', 'context, node, block', context);
    expect(Math.max(...blocks)).toBe(256);
  });

  it('are read as if they were one: histories in both directions, repeats, late facts, corrections, the feed', async () => {
    const { eventStore, eventFeed } = layer.ports;
    for (const [key, facts] of [
      [HOT, burst()],
      [OLD, years()],
    ] as const) {
      const expected = facts.sort(compareIdentity).map((fact) => fact.sequence);
      const again = facts.filter((fact) => fact.sequence % AGAIN === 0).length;
      const up: number[] = [];
      let repeats = 0;
      for await (const page of eventStore.read(key, { withRepeats: true, pageSize: 300 })) {
        for (const fact of page) {
          up.push(fact.sequence);
          repeats += fact.repeats;
        }
      }
      expect(up).toEqual(expected);
      expect(repeats).toBe(again);
      const down: number[] = [];
      for await (const page of eventStore.read(key, { descending: true })) {
        for (const fact of page) down.push(fact.sequence);
      }
      expect(down).toEqual(expected.reverse());
    }
    const late = await eventStore.readLate(HOT, { after: { ms: 0, tick: 0 }, limit: EVENTS });
    let last = -1;
    const behind = burst().filter((fact) => {
      const isBehind = fact.eventTime < last || (fact.characteristics & CORRECTION) !== 0;
      last = Math.max(last, fact.eventTime);
      return isBehind;
    });
    expect(late.map((fact) => fact.sequence)).toEqual(behind.map((fact) => fact.sequence));
    expect((await eventStore.readCorrections([HOT]))[0]!.length).toBe(EVENTS / 1_000);
    let told = 0;
    for (let at = eventFeed.start(), end = await eventFeed.end(); !at.covers(end);) {
      const page = await eventFeed.read(at, 1_000);
      told += page.facts.length;
      at = page.next;
    }
    expect(told).toBe(2 * EVENTS + SINGLE);
    await eventStore.scanAggregates(undefined, 100);
    await eventStore.readSourceCounts();
  });

  it('are on disk no larger than they may be', async () => {
    for (const table of eventTables) {
      await client.execute(`ALTER TABLE ${table} WITH memtable_flush_period_in_ms = 1000`);
    }
    // A size is told in whole mebibytes, and as one when there is anything on disk.
    const unflushed = async (): Promise<string[]> => {
      const sizes = await ofServer(client, 'max_partition_size', 'mebibytes');
      return eventTables.filter((table) => (sizes.get(table) ?? 0) === 0);
    };
    await expect.poll(unflushed, { timeout: 60_000, interval: 250 }).toEqual([]);
    const sizes = await ofServer(client, 'max_partition_size', 'mebibytes');
    for (const table of eventTables) {
      // Of the burst in one partition it would be three times as large.
      expect(sizes.get(table), table).toBeLessThanOrEqual(table === 'feed_log' ? 40 : Math.ceil(EVENTS / 3_000));
    }
  });

  it('have no tombstone: after all these inserts and repeats, reads of everything met none', async () => {
    await client.execute('CREATE TABLE planted (part int, row int, value text, PRIMARY KEY (part, row))');
    for (let row = 0; row < 200; row++) {
      await client.execute('INSERT INTO planted (part, row, value) VALUES (0, ?, null)', [row], { prepare: true });
    }
    await client.execute('SELECT * FROM planted WHERE part = 0');
    const reads = await ofServer(client, 'tombstones_per_read', 'count');
    const most = await ofServer(client, 'tombstones_per_read', 'max');
    // What is planted is seen; none is told as one, as the server's histogram begins there.
    expect(most.get('planted')).toBeGreaterThanOrEqual(200);
    for (const table of eventTables) {
      expect(reads.get(table), `reads of ${table}`).toBeGreaterThan(0);
      expect(most.get(table), table).toBeLessThanOrEqual(1);
    }
  });
});

describe('few large events', () => {
  it('are kept in partitions bounded by bytes, long before they are many rows', async () => {
    const context = freshContext();
    const bytesMax = 262_144;
    const layer = await openLayer(context, { partitionBytesMax: bytesMax });
    const large = Array.from({ length: 48 }, (_, i) =>
      factOf({ at: START_MS + scattered(i, HOUR_MS), sequence: i, parameters: { pad: 'x'.repeat(32_000) } }),
    );
    for (const fact of large) {
      await layer.ports.eventStore.append([{ facts: [fact], receivedAt: Date.now() }]);
    }
    const client = await bareClient();
    const query =
      'SELECT shard, content FROM event WHERE context = ? AND tenant = ? AND type = ? AND id = ? AND bucket = ?';
    const bytes: number[] = [];
    const bucket = Math.floor(START_MS / (365 * 24 * HOUR_MS));
    for (let shard = 0; shard < 15; shard++) {
      const params = [context, '', 'parcel', 'p1', bucket, shard];
      const { rows } = await client.execute(`${query} AND shard = ?`, params, { prepare: true });
      bytes.push(rows.reduce((sum, row) => sum + (row['content'] as string).length, 0));
    }
    expect(bytes.reduce((sum, of) => sum + of, 0)).toBeGreaterThan(48 * 32_000);
    // Eight fit; which of a tier's shards one goes to is chance.
    expect(bytes[0]).toBeGreaterThan(bytesMax * 0.8);
    expect(bytes[0]).toBeLessThan(bytesMax * 1.2);
    expect(Math.max(...bytes)).toBeLessThan(bytesMax * 2);
    const [history] = await layer.ports.eventStore.readMany([{ tenant: '', type: 'parcel', id: 'p1' }]);
    expect(history!.map((fact) => fact.sequence)).toEqual(
      [...large].sort(compareIdentity).map((fact) => fact.sequence),
    );
    await client.shutdown();
    await layer.close();
  });
});

describe('several writers that know different widths of a bucket', () => {
  it('record into tiers that all read: each fact is one event, and what a fold had not seen is told as late', async () => {
    const context = freshContext();
    const layers = await Promise.all(
      [12, 60, 20].map((partitionRowsMax) => openLayer(context, { partitionRowsMax, beatMs: 20, leaseMs: 1_000 })),
    );
    const facts = Array.from({ length: 240 }, (_, i) => factOf({ at: scattered(i, 1_000), sequence: i }));
    // Each fact by two of them, at about the same time.
    await Promise.all(
      layers.map(async (layer, writer) => {
        for (const [i, fact] of facts.entries()) {
          if (i % 3 === writer) continue;
          await layer.ports.eventStore.append([
            { facts: [factOf({ at: fact.eventTime, sequence: i })], receivedAt: Date.now() },
          ]);
        }
      }),
    );
    const key = { tenant: '', type: 'parcel', id: 'p1' };
    const { eventStore, eventFeed } = layers[0]!.ports;
    const [history] = await eventStore.readMany([key]);
    expect(history!.map((fact) => fact.sequence)).toEqual(
      [...facts].sort(compareIdentity).map((fact) => fact.sequence),
    );
    const feed: Fact[] = [];
    for (let at = eventFeed.start(), end = await eventFeed.end(); !at.covers(end);) {
      const page = await eventFeed.read(at, 100);
      feed.push(...page.facts);
      at = page.next;
    }
    const ids = (of: readonly Fact[]): string[] => of.map((fact) => fact.processingId);
    expect(ids(feed).sort()).toEqual(ids(history!).sort());
    const recorded = [...history!].sort((a, b) => compareProcessingIds(a.processingId, b.processingId));
    for (let known = 0; known < recorded.length; known += 20) {
      const after = parseProcessingId(recorded[known]!.processingId);
      const late = new Set(ids(await eventStore.readLate(key, { after, limit: 1_000 })));
      let last = recorded[0]!;
      for (const [i, fact] of recorded.entries()) {
        // Two writers may give one time; what is told was recorded above it.
        if (compareProcessingTime(parseProcessingId(fact.processingId), after) > 0)
          expect(late.has(fact.processingId), `known ${known}, at ${i}`).toBe(compareIdentity(last, fact) > 0);
        if (compareIdentity(last, fact) < 0) last = fact;
      }
    }
    for (const layer of layers) await layer.close();
  });
});
