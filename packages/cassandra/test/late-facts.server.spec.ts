/**
 * Goal: what was late beside other writers is found in what was recorded since, however long the history is. Method: rows are
 * written as several writers would, and the rows that are read for the answer are counted.
 */
import { formatProcessingId, type Fact, type ProcessingTime } from '@concursus/core';
import { factOf } from '@concursus/testing';
import type { types } from 'cassandra-driver';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { BucketGrowth } from '../src/bucket-growth.js';
import { EventRows } from '../src/event-rows.js';
import type { LoggedFact } from '../src/feed-row.js';
import { HistoryReader } from '../src/history-reader.js';
import { LateFacts } from '../src/late-facts.js';
import { Placement } from '../src/placement.js';
import { Session } from '../src/session.js';
import { cleanUp, contextOf, freshContext, specOptions } from './support.js';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });
afterAll(cleanUp);

const KEY = { tenant: '', type: 'parcel', id: 'p1' };
const START_MS = Date.UTC(2026, 0, 1);
const LONG = 3_000;
const times = (facts: readonly Fact[]): number[] => facts.map((fact) => fact.eventTime);

class CountingSession extends Session {
  rowsRead = 0;

  override async execute(...args: Parameters<Session['execute']>): Promise<types.ResultSet> {
    const result = await super.execute(...args);
    this.rowsRead += result.rowLength ?? 0;
    return result;
  }
}

/** One that another writer, or this one beside others, stamped. */
function logged(at: number, second: number, node: string): LoggedFact {
  const fact = factOf({ at });
  const time: ProcessingTime = { ms: START_MS + second * 1_000, tick: 0 };
  fact.processingId = formatProcessingId(time, 0, node);
  fact.processedAt = time.ms;
  return { fact, time, index: 0, late: false };
}

describe.each([
  ['one shard', 100_000],
  ['many shards', 100],
])('late facts that no list tells for sure, in a bucket of %s', (_, partitionRowsMax) => {
  it('are found from the end of the history, back to what was known before', async () => {
    const context = freshContext();
    const session = new CountingSession(specOptions(), contextOf(context));
    await session.connect();
    const placement = new Placement(context, {});
    const growth = new BucketGrowth(session, placement, { partitionRowsMax });
    const rows = new EventRows(session, placement, growth);
    const late = new LateFacts(session, growth, new HistoryReader(session, placement, growth));
    const [one, other] = ['0123456789ab', 'ba9876543210'] as const;
    for (let from = 0; from < LONG; from += 500) {
      const part = Array.from({ length: 500 }, (__, i) => logged((from + i) * 10, from + i, one));
      await rows.write(part, { unsure: true });
    }
    const after = { ms: START_MS + (LONG - 1) * 1_000, tick: 0 };
    const end = (LONG - 1) * 10;
    const since: [number, number][] = [
      [end + 10, 1],
      [5, 2],
      [end + 30, 3],
      [end + 20, 4],
      [1_005, 5],
    ];
    for (const [at, second] of since) {
      await rows.write([logged(at, LONG + second, second % 2 === 0 ? other : one)], { unsure: true });
    }
    // The same fact by both: the first is the event, and it was at the end.
    await rows.write([logged(end + 30, LONG + 6, other)], { unsure: true });
    session.rowsRead = 0;
    const found = await late.read(KEY, { after, until: undefined, limit: 100 });
    expect(times(found)).toEqual([5, end + 20, 1_005]);
    expect(session.rowsRead).toBeLessThan(800);
    const until = { ms: START_MS + (LONG + 2) * 1_000, tick: 0 };
    expect(times(await late.read(KEY, { after, until, limit: 100 }))).toEqual([5]);
    expect(times(await late.read(KEY, { after, until: undefined, limit: 1 }))).toEqual([5]);
    session.rowsRead = 0;
    const now = { ms: START_MS + (LONG + 10) * 1_000, tick: 0 };
    expect(await late.read(KEY, { after: now, until: undefined, limit: 100 })).toEqual([]);
    expect(session.rowsRead).toBe(1);
    await session.close();
  });
});
