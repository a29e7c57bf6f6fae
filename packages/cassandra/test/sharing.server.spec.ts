/**
 * Goal: start another process and it takes its share of the views; kill or pause one and the others go on within a lease.
 * Method: applications of their own processes over one keyspace, events recorded all the time; in the end each view holds each once.
 */
import { type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import {
  EventBus,
  EventRegistry,
  projectionMetaOf,
  projectionModel,
  ProjectionRunner,
  Projections,
  sharesOf,
  SystemClock,
  ViewMirror,
  type Layer,
} from '@concursus/core';
import { afterAll, afterEach, expect, it, vi } from 'vitest';
import { Cell, Robot, SHARES, VIEW_NAMES, VIEWS } from './sharing-model.js';
import { cleanUp, freshContext, openLayer, silent, specOptions, startChild } from './support.js';

vi.setConfig({ testTimeout: 600_000, hookTimeout: 60_000 });

const T = Date.parse('2026-01-01T00:00:00Z');
/** Two views, the shares of the third, the catalogue and the view of sources. */
const NAMES = 2 + SHARES + 2;
const spread = ({ runs }: Child): number => runs.filter((name) => name.startsWith('spread')).length;
const children: Child[] = [];

class Child {
  runs: readonly string[] = [];
  /** It has said what it runs, once. */
  started = false;
  readonly process: ChildProcess;

  constructor(context: string) {
    this.process = startChild('./sharing-child.ts', [specOptions().keyspace!, context]);
    createInterface({ input: this.process.stdout! }).on('line', (line) => {
      // What the framework logs goes the same way.
      if (!line.startsWith('runs ')) return;
      this.started = true;
      this.runs = JSON.parse(line.slice(5)) as string[];
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
  // A process of sources takes a minute to start on a machine that has much else to do.
  await vi.waitFor(check, { timeout: 150_000, interval: 10 });
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

/** The views as a process answers that runs none of them. */
function reader(layer: Layer<'persistent'>, context: string): Projections {
  const { eventStore: store, eventFeed: feed, viewStore: views, checkpointStore: checkpoints } = layer.ports;
  const registry = new EventRegistry(context, [Robot]);
  const parts = {
    store,
    feed,
    views,
    checkpoints,
    registry,
    clock: new SystemClock(),
    logger: silent,
    process: 'reader',
  };
  const models = VIEWS.flatMap((cls) => {
    const model = projectionModel(cls, projectionMetaOf(cls)!, [], registry.aggregate(Robot), () => new cls() as never);
    return sharesOf(model, context);
  });
  return new Projections(parts, new ProjectionRunner(parts, models), () => ({ views, checkpoints }));
}

it('shares views out over processes that come, stop, stand still and die', async () => {
  const context = freshContext();
  const layer = await openLayer(context);
  const one = new Child(context);
  await until('the first process runs all', () => expect(one.runs).toHaveLength(NAMES));
  const stop = recording(layer, context);
  const two = new Child(context);
  await until('a second process started', () => expect(two.started).toBe(true));
  await until('and has its half', () => expect([one.runs.length, two.runs.length]).toEqual([NAMES / 2, NAMES / 2]));
  await until('and half of the shares of one view', () => expect([spread(one), spread(two)]).toEqual([2, 2]));

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
  await until('a third process started', () => expect(three.started).toBe(true));
  await until('and has its half', () => expect([two.runs.length, three.runs.length]).toEqual([NAMES / 2, NAMES / 2]));
  await two.end();
  await until('all is run after a stop', () => expect(three.runs).toHaveLength(NAMES));

  const moves = await stop();
  const end = await layer.ports.eventFeed.end();
  const projections = reader(layer, context);
  for (const name of VIEW_NAMES) {
    const view = projections.view<Cell>(name);
    await view.caughtUp({ position: end }, { timeoutMs: 60_000 });
    expect((await view.get('all'))?.value).toEqual({ moves, farthest: moves - 1 } satisfies Cell);
    const mirror = new ViewMirror<Cell>();
    const last = await view.lastChange();
    const followed = new AbortController();
    for await (const change of view.changes({ signal: followed.signal })) {
      mirror.apply(change);
      if (change.sequence === last) followed.abort();
    }
    expect(mirror.get('all')).toEqual({ moves, farthest: moves - 1 });
  }
  expect(moves).toBeGreaterThan(500);
  await three.end();
  await layer.close();
});
