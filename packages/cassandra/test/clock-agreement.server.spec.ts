/**
 * Goal: a clock that is far from those of the other writers is refused where it comes in and where it jumps, and takes nobody's
 * processing times along; a writer that died disagrees with nobody. Method: layers whose clocks are moved against each other.
 */
import { SystemClock, type Fact, type Layer } from '@concursus/core';
import { factOf } from '@concursus/testing';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { cassandra } from '../src/index.js';
import { laneOf } from '../src/writers.js';
import { bareClient, cleanUp, freshContext, silent, specOptions } from './support.js';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

const HOUR_MS = 3_600_000;
const OPTIONS = { leaseMs: 2_000, beatMs: 20, maxSkewMs: 30_000 };

class MovedClock extends SystemClock {
  constructor(public byMs = 0) {
    super();
  }

  override now(): number {
    return super.now() + this.byMs;
  }
}

interface Process {
  readonly layer: Layer<'persistent'>;
  readonly clock: MovedClock;
  readonly errors: string[];
}

const opened: Layer<'persistent'>[] = [];

async function open(context: string, byMs = 0): Promise<Process> {
  const clock = new MovedClock(byMs);
  const errors: string[] = [];
  const logger = { ...silent, error: (text: string) => void errors.push(text) };
  const layer = await cassandra(specOptions(OPTIONS)).create({ context, clock, logger });
  await layer.connect();
  opened.push(layer);
  return { layer, clock, errors };
}

let sequence = 0;

async function record({ layer, clock }: Process): Promise<Fact> {
  const fact = factOf({ sequence: sequence++ });
  const [result] = await layer.ports.eventStore.append([{ facts: [fact], receivedAt: clock.now() }]);
  expect(result!.outcomes).toEqual(['recorded']);
  return fact;
}

describe('the clock of a writer', () => {
  afterEach(async () => {
    for (const layer of opened.splice(0).reverse()) await layer.close();
  });
  afterAll(cleanUp);

  it.each([
    ['ahead of', HOUR_MS],
    ['behind', -HOUR_MS],
  ])('is refused at the start when it is far %s that of one that lives', async (words, byMs) => {
    const context = freshContext();
    const first = await open(context);
    await record(first);
    await expect(open(context, byMs)).rejects.toMatchObject({
      code: 'CLOCK_SKEW',
      retryable: true,
      message: expect.stringContaining(words) as string,
    });
    await record(await open(context, byMs / 360));
    expect((await record(first)).processedAt).toBeLessThan(Date.now() + OPTIONS.maxSkewMs);
  });

  it('is refused when it jumps, moves nobody along, and records again once it is right', async () => {
    const context = freshContext();
    const right = await open(context);
    const jumping = await open(context);
    await record(right);
    await record(jumping);
    jumping.clock.byMs = HOUR_MS;
    await expect(record(jumping)).rejects.toMatchObject({ code: 'CLOCK_SKEW', details: { maxSkewMs: 30_000 } });
    await expect(record(jumping)).rejects.toMatchObject({ code: 'CLOCK_SKEW' });
    expect(jumping.errors).toHaveLength(1);
    // Who comes now is compared with those whose clocks are right.
    const third = await open(context);
    for (const process of [right, third, right]) {
      expect((await record(process)).processedAt).toBeLessThanOrEqual(Date.now() + 1_000);
    }
    jumping.clock.byMs = 0;
    expect((await record(jumping)).processedAt).toBeLessThanOrEqual(Date.now() + 1_000);
    const end = await right.layer.ports.eventFeed.end();
    let count = 0;
    for (let at = right.layer.ports.eventFeed.start(); !at.covers(end);) {
      const page = await right.layer.ports.eventFeed.read(at, 100);
      count += page.facts.length;
      at = page.next;
    }
    expect(count).toBe(6);
    expect(right.errors).toEqual([]);
  });

  it('is not compared with that of one that died', async () => {
    const context = freshContext();
    // Makes the tables.
    await open(freshContext());
    const client = await bareClient();
    const node = '0123456789ab';
    const start = `${Date.now() - HOUR_MS}.0`;
    await client.execute(
      `INSERT INTO writer (context, lane, node, beat, lease_ms, started, closed, issued, floor, closed_seq, clock)
        VALUES (?, ?, ?, 1, 200, ?, ?, ?, ?, -1, ?) IF NOT EXISTS`,
      [context, laneOf(node), node, start, start, start, start, Date.now() - HOUR_MS],
      { prepare: true },
    );
    await client.shutdown();
    await record(await open(context));
  });

  it('is believed while nobody else lives', async () => {
    const only = await open(freshContext());
    await record(only);
    only.clock.byMs = HOUR_MS;
    expect((await record(only)).processedAt).toBeGreaterThan(Date.now() + HOUR_MS - 1_000);
    only.clock.byMs = -HOUR_MS;
    await record(only);
    expect(only.errors).toEqual([]);
  });
});
