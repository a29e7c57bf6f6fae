/**
 * Goal: whatever the order in which two writers log and look, a fact that one recorded behind a later key of another is told
 * as late, also when writers come or die in between. Method: requests of sessions are held back, so that each order that
 * could hide a fact happens; then many orders by chance, each of a seed that is printed when it fails.
 */
import { compareIdentity, compareProcessingIds, type Fact } from '@concursus/core';
import { factOf } from '@concursus/testing';
import fc from 'fast-check';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import type { CassandraEventOptions } from '../src/event-ports.js';
import { gatedPorts, type Held } from './gated-session.js';
import { cleanUp, freshContext } from './support.js';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });
afterAll(cleanUp);

/** Beats are so rare that nobody learns of others by them. */
const quiet: CassandraEventOptions = { leaseMs: 60_000, beatMs: 10_000 };
const steady: CassandraEventOptions = { leaseMs: 60_000, beatMs: 100 };
const quick: CassandraEventOptions = { leaseMs: 1_000, beatMs: 50 };
const KEY = { tenant: '', type: 'parcel', id: 'p1' };
const LOG = 'INSERT INTO feed_log';
/** How the log of another is followed. */
const TAIL = 'block IN';

type Ports = Awaited<ReturnType<typeof gatedPorts>>;

const opened: Ports[] = [];

async function open(context: string, options: CassandraEventOptions): Promise<Ports> {
  const ports = await gatedPorts(context, options);
  opened.push(ports);
  return ports;
}

afterEach(async () => {
  for (const ports of opened.splice(0)) {
    if (!ports.session.isDead) await ports.stop();
    await ports.session.close();
  }
});

async function append({ eventStore }: Ports, ...facts: readonly Fact[]): Promise<readonly string[]> {
  const [result] = await eventStore.append([{ facts, receivedAt: Date.now() }]);
  return result!.outcomes;
}

/** Event times of what is told as late, and of all in the order of their ids. */
async function told({ eventStore }: Ports): Promise<{ late: number[]; recorded: number[] }> {
  const late = await eventStore.readLate(KEY, { after: { ms: 0, tick: 0 }, limit: 1_000 });
  const [history] = await eventStore.readMany([KEY]);
  const recorded = [...history!].sort((a, b) => compareProcessingIds(a.processingId, b.processingId));
  return { late: late.map((fact) => fact.eventTime), recorded: recorded.map((fact) => fact.eventTime) };
}

/** The feed up to what is recorded now: afterwards all of it is closed. */
async function readAll({ eventFeed }: Ports): Promise<void> {
  const end = await eventFeed.end();
  for (let at = eventFeed.start(); !at.covers(end);) at = (await eventFeed.read(at, 100)).next;
}

/** Two that know each other and the history, which ends at 10. */
async function twoBeside(context: string, options: CassandraEventOptions): Promise<[Ports, Ports]> {
  const one = await open(context, options);
  const two = await open(context, options);
  await append(one, factOf({ at: 1 }));
  await append(two, factOf({ at: 5 }));
  await append(one, factOf({ at: 10 }));
  return [one, two];
}

/** The second recorded 15 while what the first had decided of 20 was held back from his log. */
async function twoAtOnce(
  context: string,
  options: CassandraEventOptions,
): Promise<{ one: Ports; two: Ports; log: Held; later: Promise<readonly string[]> }> {
  const [one, two] = await twoBeside(context, options);
  const log = one.session.hold(LOG);
  const later = append(one, factOf({ at: 20 }));
  // A writer that dies answers nobody.
  later.catch(() => undefined);
  await log.reached;
  expect(await append(two, factOf({ at: 15 }))).toEqual(['recorded']);
  return { one, two, log, later };
}

describe('a fact behind a later key that another had not logged yet', () => {
  it('is told by the other when he sees it behind his own log', async () => {
    const { two, log, later } = await twoAtOnce(freshContext(), quiet);
    log.release();
    expect(await later).toEqual(['recorded']);
    expect(await told(two)).toEqual({ late: [15], recorded: [1, 5, 10, 20, 15] });
  });

  it('is told by him who records it when the other logged meanwhile', async () => {
    const [one, two] = await twoBeside(freshContext(), quiet);
    const [log, ownLog] = [one.session.hold(LOG), two.session.hold(LOG)];
    const later = append(one, factOf({ at: 20 }));
    await log.reached;
    const behind = append(two, factOf({ at: 15 }));
    await ownLog.reached;
    // The other sees nothing of it, as it is not there yet.
    log.release();
    expect(await later).toEqual(['recorded']);
    ownLog.release();
    expect(await behind).toEqual(['recorded']);
    expect(await told(one)).toEqual({ late: [15], recorded: [1, 5, 10, 20, 15] });
  });

  it('is told by the other who thought that he was alone', async () => {
    const context = freshContext();
    const one = await open(context, steady);
    await append(one, factOf({ at: 10 }));
    // Closed: else the other lists what he records to the same history for that.
    await readAll(one);
    const log = one.session.hold(LOG);
    const later = append(one, factOf({ at: 20 }));
    await log.reached;
    const two = await open(context, quiet);
    expect(await append(two, factOf({ at: 15 }))).toEqual(['recorded']);
    log.release();
    expect(await later).toEqual(['recorded']);
    expect(await told(two)).toEqual({ late: [15], recorded: [10, 20, 15] });
  });

  it('is told by the other when a third comes in between', async () => {
    const context = freshContext();
    const { log, later } = await twoAtOnce(context, quiet);
    const three = await open(context, quiet);
    expect(await append(three, factOf({ at: 17 }))).toEqual(['recorded']);
    log.release();
    expect(await later).toEqual(['recorded']);
    expect(await told(three)).toEqual({ late: [15, 17], recorded: [1, 5, 10, 20, 15, 17] });
  });

  it('is told by the other when he who recorded it ended in between', async () => {
    const { one, two, log, later } = await twoAtOnce(freshContext(), quiet);
    await two.stop();
    // Now the first one has learnt of it.
    await one.eventFeed.end();
    log.release();
    expect(await later).toEqual(['recorded']);
    expect(await told(one)).toEqual({ late: [15], recorded: [1, 5, 10, 20, 15] });
  });

  it('is told by who carries out what the other had logged, when that one died before he saw it', async () => {
    const { one, two, log } = await twoAtOnce(freshContext(), quick);
    const look = one.session.hold(TAIL);
    log.release();
    await look.reached;
    one.session.die();
    look.release();
    await readAll(two);
    expect(await told(two)).toEqual({ late: [15], recorded: [1, 5, 10, 20, 15] });
  });
});

describe('what a writer reads of another that has not carried it out yet', () => {
  it('is late behind what stands in his log only', async () => {
    const [one, two] = await twoBeside(freshContext(), quiet);
    const look = one.session.hold(TAIL);
    const rows = one.session.hold('INSERT INTO event ');
    const later = append(one, factOf({ at: 20 }));
    // The look ahead of the decision passes.
    await look.reached;
    const behind = one.session.hold(TAIL);
    look.release();
    await Promise.all([behind.reached, rows.reached]);
    expect(await append(two, factOf({ at: 15 }), factOf({ at: 30 }))).toEqual(['recorded', 'recorded']);
    behind.release();
    rows.release();
    expect(await later).toEqual(['recorded']);
    expect(await told(two)).toEqual({ late: [15], recorded: [1, 5, 10, 20, 15, 30] });
  });
});

describe('three writers of one history, in orders by chance', () => {
  it('tell exactly what is late', async () => {
    const scenario = fc.record({
      turns: fc.array(fc.nat(12), { minLength: 50, maxLength: 50 }),
      times: fc.array(fc.nat(40), { minLength: 45, maxLength: 45 }),
    });
    await fc.assert(
      fc.asyncProperty(scenario, async ({ turns, times }) => {
        const context = freshContext();
        let turn = 0;
        const pace = async (): Promise<void> => {
          for (let left = turns[turn++ % turns.length]!; left > 0; left--) {
            await new Promise((resolve) => setImmediate(resolve));
          }
        };
        const writers: Ports[] = [];
        for (let i = 0; i < 3; i++) writers.push(await gatedPorts(context, { leaseMs: 1_000, beatMs: 20 }, pace));
        await Promise.all(
          writers.map(async (writer, w) => {
            for (let i = w; i < times.length; i += 3) await append(writer, factOf({ at: times[i]!, sequence: i }));
            // The first of them goes while others record.
            if (w === 0) await writer.stop();
          }),
        );
        const { eventStore } = writers[1]!;
        const late = await eventStore.readLate(KEY, { after: { ms: 0, tick: 0 }, limit: 1_000 });
        const [history] = await eventStore.readMany([KEY]);
        const expected: number[] = [];
        let last: Fact | undefined;
        for (const fact of [...history!].sort((a, b) => compareProcessingIds(a.processingId, b.processingId))) {
          if (last !== undefined && compareIdentity(fact, last) < 0) expected.push(fact.sequence);
          else last = fact;
        }
        for (const writer of writers) {
          await writer.stop();
          await writer.session.close();
        }
        expect(history!.length).toBe(times.length);
        expect(late.map((fact) => fact.sequence)).toEqual(expected);
      }),
      { numRuns: process.env['RUNS'] === undefined ? 5 : Number(process.env['RUNS']), endOnFailure: true },
    );
  });
});
