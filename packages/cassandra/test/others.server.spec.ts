/**
 * Goal: who records beside others asks for what they logged, not for each history, and is as right about it: what another
 * recorded comes again as a repeat, what stands behind it is late. Method: two layers on a real server; what the driver
 * is asked is counted.
 */
import { compareIdentity, compareProcessingIds, type Fact, type Layer } from '@concursus/core';
import { factOf } from '@concursus/testing';
import { Client } from 'cassandra-driver';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { cleanUp, freshContext, openLayer } from './support.js';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });
afterAll(cleanUp);

// Beats are rare, so that what is counted is asked for appends.
const options = { leaseMs: 60_000, beatMs: 2_000 };
const KEY = { tenant: '', type: 'parcel', id: 'p1' };

async function append({ ports }: Layer<'persistent'>, facts: readonly Fact[]): Promise<readonly string[]> {
  const [result] = await ports.eventStore.append([{ facts, receivedAt: Date.now() }]);
  return result!.outcomes;
}

describe('a writer beside another', () => {
  let one: Layer<'persistent'>;
  let two: Layer<'persistent'>;

  beforeEach(async () => {
    const context = freshContext();
    one = await openLayer(context, options);
    two = await openLayer(context, options);
    await append(one, [factOf({ id: 'first' })]);
    await append(two, [factOf({ id: 'second' })]);
    // Now each has seen the other.
    await append(one, [factOf({ id: 'third' })]);
  });
  afterEach(async () => {
    await one.close();
    await two.close();
  });

  it('asks little more than it writes where histories are known, its own ones and those that both record to', async () => {
    const batch = (at: number): Fact[] => Array.from({ length: 200 }, (_, i) => factOf({ id: `p${i}`, at }));
    await append(one, batch(1));
    await append(two, batch(2));
    await append(one, batch(3));
    const asked = vi.spyOn(Client.prototype, 'execute');
    for (const [at, layer] of [one, one, two, one, two].entries()) {
      expect(new Set(await append(layer, batch(10 + at)))).toEqual(new Set(['recorded']));
    }
    // A request an event; a row of the log, and looks, a call.
    expect(asked.mock.calls.length).toBeGreaterThan(1_000);
    expect(asked.mock.calls.length).toBeLessThan(1_100);
    asked.mockRestore();
    const histories = await one.ports.eventStore.readMany([KEY, { ...KEY, id: 'p199' }]);
    for (const history of histories) {
      expect(history.map((fact) => fact.eventTime)).toEqual([1, 2, 3, 10, 11, 12, 13, 14]);
    }
    expect(await two.ports.eventStore.readLate(KEY, { after: { ms: 0, tick: 0 }, limit: 10 })).toEqual([]);
  });

  it('knows what the other recorded since it knew the history: as a repeat, and what is behind it as late', async () => {
    expect(await append(one, [factOf({ at: 1 })])).toEqual(['recorded']);
    expect(await append(two, [factOf({ at: 9 })])).toEqual(['recorded']);
    expect(await append(one, [factOf({ at: 9 })])).toEqual(['repeated']);
    expect(await append(one, [factOf({ at: 5 }), factOf({ at: 12 })])).toEqual(['recorded', 'recorded']);
    expect(await append(two, [factOf({ at: 12 }), factOf({ at: 11 })])).toEqual(['repeated', 'recorded']);
    const late = await one.ports.eventStore.readLate(KEY, { after: { ms: 0, tick: 0 }, limit: 10 });
    expect(late.map((fact) => fact.eventTime)).toEqual([5, 11]);
  });

  it('lists what was recorded at the same time, so that what came to stand behind another is told', async () => {
    const { eventStore } = one.ports;
    for (let round = 0; round < 30; round++) {
      const at = 100 + round * 10;
      // Which of them comes first is chance; the later one is late where it is the lesser.
      await Promise.all([
        append(one, [factOf({ at: at + (round % 2) })]),
        append(two, [factOf({ at: at + 1 - (round % 2) })]),
      ]);
    }
    const [history] = await eventStore.readMany([KEY]);
    const recorded = [...history!].sort((a, b) => compareProcessingIds(a.processingId, b.processingId));
    const late = await eventStore.readLate(KEY, { after: { ms: 0, tick: 0 }, limit: 100 });
    const told = new Set(late.map((fact) => fact.eventTime));
    const expected = new Set<number>();
    let last = recorded[0]!;
    for (const fact of recorded) {
      if (compareIdentity(fact, last) < 0) expected.add(fact.eventTime);
      else last = fact;
    }
    expect(history!.length).toBe(60);
    expect(told).toEqual(expected);
  });
});
