/**
 * Goal: a writer that died at any point leaves neither a hole nor a ghost: what it logged is carried out, what surfaces later
 * counts for nothing, and a writer that was taken for dead records under a new name. Method: its rows are written by hand.
 */
import { compareProcessingTime, formatProcessingId, parseProcessingId, type Fact, type Layer } from '@concursus/core';
import { factOf } from '@concursus/testing';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { BucketGrowth } from '../src/bucket-growth.js';
import { EventRows } from '../src/event-rows.js';
import { FeedLog } from '../src/feed-log.js';
import { LoggedSince } from '../src/logged-since.js';
import { packUnit, type LoggedFact } from '../src/feed-row.js';
import { Placement } from '../src/placement.js';
import { Sealer } from '../src/sealer.js';
import { Session } from '../src/session.js';
import { laneOf, Writers } from '../src/writers.js';
import { CuttingProxy } from './cutting-proxy.js';
import { cleanUp, contextOf, freshContext, openLayer, server, specOptions } from './support.js';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

const NODE = '0123456789ab';
const P1 = { tenant: '', type: 'parcel', id: 'p1' };
const LEASE = { leaseMs: 400, beatMs: 20 };
const times = (facts: readonly Fact[]): number[] => facts.map((fact) => fact.eventTime);

interface Parts {
  readonly session: Session;
  readonly log: FeedLog;
  readonly rows: EventRows;
  readonly writers: Writers;
  readonly sealer: Sealer;
}

const layers: Layer<'persistent'>[] = [];
const sessions: Session[] = [];

async function partsOf(context: string): Promise<Parts> {
  const session = new Session(specOptions(), contextOf(context));
  await session.connect();
  sessions.push(session);
  const placement = new Placement(context, {});
  const rows = new EventRows(session, placement, new BucketGrowth(session, placement));
  const log = new FeedLog(session);
  const writers = new Writers(session);
  return {
    session,
    log,
    rows,
    writers,
    sealer: new Sealer(session, writers, log, rows, new LoggedSince(writers, log)),
  };
}

async function open(context: string): Promise<Layer<'persistent'>> {
  const layer = await openLayer(context, LEASE);
  layers.push(layer);
  return layer;
}

/** The row of a writer that joined, made one beat and was never heard of again. */
async function deadWriter({ session }: Parts, startedMs: number): Promise<void> {
  const start = `${startedMs}.0`;
  await session.conditional(
    {
      query: `INSERT INTO writer (context, lane, node, beat, lease_ms, started, closed, issued, floor, closed_seq)
        VALUES (?, ?, ?, 1, 200, ?, ?, ?, ?, -1) IF NOT EXISTS`,
      params: [session.context, laneOf(NODE), NODE, start, start, start, start],
    },
    'the dead writer joined',
    async () => true,
  );
}

/** A fact as the dead writer stamped it. */
function logged(at: number, ms: number): LoggedFact {
  const fact = factOf({ at });
  const time = { ms, tick: 0 };
  fact.processingId = formatProcessingId(time, 0, NODE);
  fact.processedAt = ms;
  return { fact, time, index: 0, late: false };
}

async function logRow({ log }: Parts, seq: number, at: number, ms: number): Promise<void> {
  await log.write(NODE, seq, packUnit([logged(at, ms)], { ms: 0, tick: 0 })[0]!);
}

async function feedOf(layer: Layer<'persistent'>): Promise<readonly Fact[]> {
  const facts: Fact[] = [];
  for (let at = layer.ports.eventFeed.start(); ;) {
    const page = await layer.ports.eventFeed.read(at, 100);
    if (page.facts.length === 0) return facts;
    facts.push(...page.facts);
    at = page.next;
  }
}

async function historyOf(layer: Layer<'persistent'>): Promise<readonly Fact[]> {
  return (await layer.ports.eventStore.readMany([P1]))[0]!;
}

const record = async (layer: Layer<'persistent'>, at: number): Promise<Fact> => {
  const fact = factOf({ at });
  const [result] = await layer.ports.eventStore.append([{ facts: [fact], receivedAt: Date.now() }]);
  expect(result!.outcomes).toEqual(['recorded']);
  return fact;
};

describe('a writer that died', () => {
  afterEach(async () => {
    for (const layer of layers.splice(0).reverse()) await layer.close();
    for (const session of sessions.splice(0)) await session.close();
  });
  afterAll(cleanUp);

  it('has what it logged carried out by whoever finds it, and the feed waits until it is', async () => {
    const context = freshContext();
    const layer = await open(context);
    const parts = await partsOf(context);
    const startedMs = Date.now();
    await deadWriter(parts, startedMs);
    await logRow(parts, 0, 7, startedMs + 1);
    expect(await historyOf(layer)).toEqual([]);
    const after = await record(layer, 9);
    expect(times(await feedOf(layer))).toEqual([7, 9]);
    expect(times(await historyOf(layer))).toEqual([7, 9]);
    const sealed = parseProcessingId((await feedOf(layer))[0]!.processingId);
    expect(compareProcessingTime(sealed, parseProcessingId(after.processingId))).toBeLessThan(0);
    // It is known, so its sender's retry is a repeat.
    const [again] = await layer.ports.eventStore.append([{ facts: [factOf({ at: 7 })], receivedAt: Date.now() }]);
    expect(again!.outcomes).toEqual(['repeated']);
  });

  it('has nothing of it count that surfaces after it was sealed: neither behind the end nor in a hole', async () => {
    const context = freshContext();
    const layer = await open(context);
    const parts = await partsOf(context);
    const startedMs = Date.now();
    await deadWriter(parts, startedMs);
    await logRow(parts, 0, 1, startedMs + 1);
    await logRow(parts, 2, 3, startedMs + 3);
    expect(times(await feedOf(layer))).toEqual([1, 3]);
    await logRow(parts, 1, 2, startedMs + 2);
    await logRow(parts, 3, 4, startedMs + 4);
    expect(times(await feedOf(layer))).toEqual([1, 3]);
    expect(times(await historyOf(layer))).toEqual([1, 3]);
    const fresh = await open(context);
    expect(times(await feedOf(fresh))).toEqual([1, 3]);
    // Recorded again by their sender they are events like any other.
    for (const at of [2, 4]) await record(fresh, at);
    expect(times(await feedOf(fresh))).toEqual([1, 3, 2, 4]);
    expect(times(await feedOf(layer))).toEqual([1, 3, 2, 4]);
  });

  it('and only seemed dead records under a new name, and loses nothing', async () => {
    const context = freshContext();
    const layer = await open(context);
    const first = await record(layer, 1);
    const parts = await partsOf(context);
    const node = first.processingId.slice(-12);
    // Its beat may come between two looks: then it is looked at again.
    for (let writer = await parts.writers.read(node); writer !== undefined; writer = await parts.writers.read(node)) {
      await parts.sealer.seal(writer);
    }
    // Sealed while it was well, which nobody does before its lease is over: so it is let find out by a beat.
    await layer.ports.eventStore.keepFloor(Date.now() + 1_000);
    const second = await record(layer, 2);
    expect(second.processingId.slice(-12)).not.toBe(node);
    expect(times(await feedOf(layer))).toEqual([1, 2]);
    expect(times(await historyOf(layer))).toEqual([1, 2]);
  });

  it('stands in the way of nobody who joins after it: floors and times go on above what it had promised', async () => {
    const context = freshContext();
    const parts = await partsOf(context);
    const aheadMs = Date.now() + 3_600_000;
    await deadWriter(parts, aheadMs);
    const layer = await open(context);
    const fact = await record(layer, 1);
    expect(fact.processedAt).toBeGreaterThanOrEqual(aheadMs);
    await layer.ports.eventStore.keepFloor(aheadMs + 60_000);
    expect((await record(layer, 2)).processedAt).toBeGreaterThan(aheadMs + 60_000);
    expect(times(await feedOf(layer))).toEqual([1, 2]);
  });
});

describe('late facts that no list has, because two recorded at once', () => {
  it('are found in the history', async () => {
    const context = freshContext();
    const layer = await openLayer(context, LEASE);
    const parts = await partsOf(context);
    const nowMs = Date.now();
    // One wrote 20 while the other, who had not seen it, wrote 10: neither is in the list.
    await parts.rows.write([logged(20, nowMs)], { unsure: true });
    await parts.rows.write([logged(10, nowMs + 1)], { unsure: true });
    await parts.rows.write([logged(30, nowMs + 2)], { unsure: true });
    const { eventStore } = layer.ports;
    const late = await eventStore.readLate(P1, { after: { ms: nowMs, tick: 0 }, limit: 10 });
    expect(times(late)).toEqual([10]);
    expect(await eventStore.readLate(P1, { after: { ms: nowMs + 1, tick: 0 }, limit: 10 })).toEqual([]);
    await layer.close();
    await parts.session.close();
  });
});

describe('appends whose answers are lost', () => {
  it('are told to be sent again, and come to one event each, in histories and feed', async () => {
    const context = freshContext();
    const proxy = await CuttingProxy.before(server().contactPoints[0]!);
    const socketOptions = { readTimeout: 1_000 };
    const options = { contactPoints: [proxy.address], clientOptions: { socketOptions }, leaseMs: 4_000, beatMs: 50 };
    const layer = await openLayer(context, options);
    await record(layer, 0);
    const facts = Array.from({ length: 60 }, (_, i) => factOf({ at: i + 1, id: `p${i % 7}` }));
    let lost = false;
    const outcomes = await Promise.all(
      facts.map(async (fact, i) => {
        if (i === 30) {
          proxy.loseAnswers();
          lost = true;
          setTimeout(() => proxy.heal(), 1_500);
        }
        for (;;) {
          try {
            const [result] = await layer.ports.eventStore.append([{ facts: [fact], receivedAt: Date.now() }]);
            return result!.outcomes[0];
          } catch (error) {
            expect(error).toMatchObject({ retryable: true });
          }
        }
      }),
    );
    expect(lost).toBe(true);
    expect(outcomes.every((outcome) => outcome === 'recorded' || outcome === 'repeated')).toBe(true);
    const feed = await feedOf(layer);
    expect(times(feed).sort((a, b) => a - b)).toEqual(Array.from({ length: 61 }, (_, i) => i));
    const keys = await layer.ports.eventStore.scanAggregates(undefined, 100);
    const histories = (await layer.ports.eventStore.readMany(keys)).flat();
    expect(histories.map((fact) => fact.processingId).sort()).toEqual(feed.map((fact) => fact.processingId).sort());
    await layer.close();
    await proxy.close();
  });
});
