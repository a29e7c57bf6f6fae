/**
 * Goal: start another process and it takes its share of the views; kill or pause one and the others go on within a lease.
 * Method: applications of their own processes over one keyspace, events recorded all the time; in the end each view holds each once.
 */
import { type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { EventBus, EventRegistry, SystemClock, type Layer } from '@concursus/core';
import { afterAll, afterEach, expect, it, vi } from 'vitest';
import { Cell, Robot, VIEW_NAMES } from './sharing-model.js';
import { cleanUp, freshContext, openLayer, silent, specOptions, startChild } from './support.js';

vi.setConfig({ testTimeout: 240_000, hookTimeout: 60_000 });

const T = Date.parse('2026-01-01T00:00:00Z');
/** The catalogue and the view of sources, too. */
const NAMES = VIEW_NAMES.length + 2;
const children: Child[] = [];

class Child {
  runs: readonly string[] = [];
  readonly process: ChildProcess;

  constructor(context: string) {
    this.process = startChild('./sharing-child.ts', [specOptions().keyspace!, context]);
    createInterface({ input: this.process.stdout! }).on('line', (line) => {
      this.runs = JSON.parse(line) as string[];
    });
    children.push(this);
  }

  async end(signal?: 'SIGKILL'): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const gone = once(this.process, 'exit');
    if (signal === undefined) this.process.stdin!.write('close\n');
    else this.process.kill(signal);
    await gone;
    this.runs = [];
  }
}

afterEach(async () => {
  for (const child of children.splice(0)) await child.end('SIGKILL');
});
afterAll(cleanUp);

/** Waits for what other processes say, and tells how long it took. */
async function until(what: string, check: () => void): Promise<number> {
  const beganMs = performance.now();
  await vi.waitFor(check, { timeout: 60_000, interval: 10 });
  const tookMs = Math.round(performance.now() - beganMs);
  // eslint-disable-next-line no-console
  console.log(`${what}: ${tookMs} ms`);
  return tookMs;
}

/** Records robots' moves, a page at a time, until it is stopped; resolves to how many. */
function recording(layer: Layer<'persistent'>, context: string): () => Promise<number> {
  const { eventStore, quarantine } = layer.ports;
  const registry = new EventRegistry(context, [Robot]);
  const bus = new EventBus({
    registry,
    store: eventStore,
    quarantine,
    clock: new SystemClock(),
    onError: silent.error,
  });
  let going = true;
  let n = 0;
  const record = async (): Promise<void> => {
    while (going) {
      const inputs = Array.from({ length: 20 }, () => ({
        aggregateType: 'robot',
        aggregateId: `r${n % 37}`,
        name: 'moved',
        at: T + ((n * 7_919) % 100_000),
        sequence: n,
        parameters: { to: n++ },
      }));
      await bus.record(inputs);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const done = record();
  return async () => {
    going = false;
    await done;
    return n;
  };
}

it('shares views out over processes that come, stop, stand still and die', async () => {
  const context = freshContext();
  const layer = await openLayer(context);
  const one = new Child(context);
  await until('the first process runs all', () => expect(one.runs).toHaveLength(NAMES));
  const stop = recording(layer, context);
  const two = new Child(context);
  await until('the second process has its half, from its start', () =>
    expect([one.runs.length, two.runs.length]).toEqual([NAMES / 2, NAMES / 2]),
  );

  two.process.kill('SIGSTOP');
  await until('all is run beside one that stands still', () => expect(one.runs).toHaveLength(NAMES));
  two.process.kill('SIGCONT');
  // It finds its epochs old, drops what it ran, and takes its share anew.
  await until('one that woke has its half again', () => {
    expect([one.runs.length, two.runs.length]).toEqual([NAMES / 2, NAMES / 2]);
    expect(one.runs.filter((name) => two.runs.includes(name))).toEqual([]);
  });

  await one.end('SIGKILL');
  await until('all is run after a kill', () => expect(two.runs).toHaveLength(NAMES));
  const three = new Child(context);
  await until('a third process has its half, from its start', () => expect(three.runs).toHaveLength(NAMES / 2));
  await two.end();
  await until('all is run after a stop', () => expect(three.runs).toHaveLength(NAMES));

  const moves = await stop();
  const end = await layer.ports.eventFeed.end();
  for (const name of VIEW_NAMES) {
    const ref = { name, version: 1, slice: -1 };
    await vi.waitFor(
      async () => {
        const checkpoint = await layer.ports.viewStore.readCheckpoint(ref);
        expect(layer.ports.eventFeed.parsePosition(checkpoint!).covers(end)).toBe(true);
      },
      { timeout: 60_000, interval: 20 },
    );
    const [row] = await layer.ports.viewStore.readRows(ref, ['all']);
    expect(row?.fields).toEqual({ moves, farthest: moves - 1 } satisfies Cell);
  }
  expect(moves).toBeGreaterThan(500);
  await three.end();
  await layer.close();
});
