/**
 * `npm run ratio [-- --store=lmdb --events=40000 --rounds=3]`: how much faster two processes maintain one view than one does.
 * Events are recorded first; then, in turns, one process and two take up the view's shares and read the feed from its
 * beginning, each time under another name. Printed by the clock and by the time of a core that the busiest process took: where the store's
 * server runs beside them, or others take the cores, the clock tells of them, too.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import {
  EventBus,
  EventRegistry,
  projectionMetaOf,
  projectionModel,
  ProjectionRunner,
  Projections,
  sharesOf,
  SystemClock,
} from '@concursus/core';
import { startServer } from '../servers/start-server.js';
import { moves, Robot, storeOf, type Cell, type Store } from './ratio-model.js';

const { values } = parseArgs({
  options: {
    store: { type: 'string', default: 'cassandra' },
    events: { type: 'string', default: '40000' },
    rounds: { type: 'string', default: '3' },
    shares: { type: 'string', default: '4' },
  },
});
const [events, rounds, shares] = [Number(values.events), Number(values.rounds), Number(values.shares)];
const AGGREGATES = 2_000;
const BATCH = 500;
const T = Date.parse('2026-01-01T00:00:00Z');
const context = 'ratio';
const silent = { log: () => undefined, warn: () => undefined, error: console.error };
const say = (line: string): void => console.log(line);

const ends: (() => unknown)[] = [];
async function findStore(): Promise<Store> {
  if (values.store === 'lmdb') {
    const folder = mkdtempSync(join(tmpdir(), 'concursus-ratio-'));
    ends.push(() => rmSync(folder, { recursive: true, force: true }));
    return { lmdb: folder };
  }
  const server = await startServer('cassandra', { fast: true, own: true, say });
  ends.push(() => server.stop());
  const { contactPoints, port, localDataCenter } = server.address;
  return {
    cassandra: { contactPoints: contactPoints.map((host) => `${host}:${port}`), localDataCenter, keyspace: 'ratio' },
  };
}

/** How long until the view holds everything, and how much of a core the busiest process took. */
async function build(store: Store, name: string, count: number, caughtUp: () => Promise<void>) {
  const loader = new URL('../run-typescript.mjs', import.meta.url).href;
  const file = fileURLToPath(new URL('./ratio-child.ts', import.meta.url));
  const given = [JSON.stringify(store), context, name, String(shares)];
  const coreMs: number[] = [];
  const runs = new Array<number>(count).fill(0);
  let sharedOut = (): void => undefined;
  const isSharedOut = new Promise<void>((resolve) => (sharedOut = resolve));
  const children = Array.from({ length: count }, (_, i) => {
    const child = spawn(process.execPath, ['--import', loader, file, ...given], { stdio: ['pipe', 'pipe', 'inherit'] });
    const kill = (): unknown => child.kill('SIGKILL');
    process.once('exit', kill);
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.startsWith('runs ')) runs[i] = Number(line.slice(5));
      if (line.startsWith('took ')) coreMs.push(Number(line.slice(5)));
      if (runs.every((one) => one === shares / count)) sharedOut();
    });
    return { child, gone: once(child, 'exit').finally(() => process.off('exit', kill)) };
  });
  await isSharedOut;
  const beganMs = performance.now();
  for (const { child } of children) child.stdin.write('go\n');
  await caughtUp();
  const tookMs = performance.now() - beganMs;
  for (const { child } of children) child.stdin.write('end\n');
  await Promise.all(children.map(({ gone }) => gone));
  return { tookMs, coreMs: Math.max(...coreMs) };
}

const median = (list: readonly number[]): number => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)]!;

try {
  const store = await findStore();
  const layer = await storeOf(JSON.stringify(store)).create({ context, clock: new SystemClock(), logger: silent });
  await layer.connect();
  ends.push(() => layer.close());
  const { eventStore, eventFeed: feed, viewStore: views, checkpointStore: checkpoints, quarantine } = layer.ports;
  const registry = new EventRegistry(context, [Robot]);
  const clock = new SystemClock();
  const bus = new EventBus({ registry, store: eventStore, quarantine, clock, onError: silent.error });
  for (let n = 0; n < events; n += BATCH) {
    const inputs = Array.from({ length: Math.min(BATCH, events - n) }, (_, i) => ({
      aggregateType: 'robot',
      aggregateId: `r${((n + i) * 7_919) % AGGREGATES}`,
      name: 'moved',
      at: T + n + i,
      sequence: n + i,
      parameters: { to: n + i },
    }));
    await bus.record(inputs);
  }
  const end = await feed.end();
  say(
    `${events} events of ${AGGREGATES} aggregates on ${values.store}; a view in ${shares} shares; ${availableParallelism()} cores`,
  );

  const took = new Map<number, number[]>([1, 2].map((processes) => [processes, []]));
  const cores = new Map<number, number[]>([1, 2].map((processes) => [processes, []]));
  // The first of each is not counted: the server, too, has to warm up.
  for (let round = 0; round <= rounds; round++) {
    for (const processes of [1, 2]) {
      const name = `moves-${round}-${processes}`;
      const cls = moves(name, shares);
      const model = projectionModel(
        cls,
        projectionMetaOf(cls)!,
        [],
        registry.aggregate(Robot),
        () => new cls() as never,
      );
      const parts = { store: eventStore, feed, views, checkpoints, registry, clock, logger: silent, process: 'reader' };
      const runner = new ProjectionRunner(parts, sharesOf(model, context));
      const view = new Projections(parts, runner, () => ({ views, checkpoints })).view<Cell>(name);
      const { tookMs, coreMs } = await build(store, name, processes, () =>
        view.caughtUp({ position: end }, { timeoutMs: 600_000 }),
      );
      const sum = (await view.get('all'))?.value.moves;
      if (sum !== events) throw new Error(`The view holds ${sum} of ${events} events.`);
      if (round > 0) took.get(processes)!.push(tookMs);
      if (round > 0) cores.get(processes)!.push(coreMs);
      say(
        `  ${processes} ${processes === 1 ? 'process  ' : 'processes'} ${(tookMs / 1_000).toFixed(2).padStart(7)} s, ${(coreMs / 1_000).toFixed(2).padStart(6)} s of a core${processes === 1 ? '' : ' the busier one'}${round === 0 ? ', not counted' : ''}; load ${loadavg()[0]!.toFixed(1)}`,
      );
    }
  }
  const ratio = (of: ReadonlyMap<number, readonly number[]>): string =>
    (median(of.get(1)!) / median(of.get(2)!)).toFixed(2);
  say(`two processes were ${ratio(took)} times as fast as one by the clock (medians of ${rounds}),`);
  say(
    `and each took ${ratio(cores)} times less of a core: what the clock comes to where every process has a core of its own`,
  );
} finally {
  for (const end of ends.toReversed()) await end();
}
