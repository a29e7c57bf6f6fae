/**
 * Two processes that record into one context of a real Cassandra, beside one: each with aggregates of its own, and what
 * that costs on the wire, in the processes and in the server.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { AppendJob } from '../append-child.js';
import type { BenchCase, CaseContext, Side } from '../case.js';
import { AGGREGATES } from '../model.js';
import { coreMsOf, nothingSpent, plus, type Spent } from '../spent.js';
import { cassandraLayer, cassandraOf, dropKeyspace, keyspace } from './cassandra-append.js';

const CHILD = fileURLToPath(new URL('../append-child.js', import.meta.url));
/** Of one call, and of those side by side. */
const STEP = 400;

async function start(job: AppendJob): Promise<ChildProcess> {
  const child = fork(CHILD, [JSON.stringify(job)], { execArgv: [] });
  await once(child, 'message');
  return child;
}

/** What a side did in all its rounds. */
interface Done {
  events: number;
  spent: Spent;
  /** Undefined where it cannot be known. */
  serverMs: number | undefined;
}

const done = new Map<string, Done>();

async function appending(context: CaseContext, name: string, processes: number): Promise<Side> {
  const ours = `bench-${randomBytes(6).toString('hex')}`;
  // Makes the tables, where nobody has.
  await (await cassandraLayer(context)).close();
  const address = cassandraOf(context);
  const children: ChildProcess[] = [];
  for (let i = 0; i < processes; i++) {
    children.push(await start({ address, keyspace, context: ours, first: i * AGGREGATES }));
  }
  return {
    name,
    part: 'ours',
    round(operations) {
      const events = Math.max(1, Math.round(operations / processes / STEP)) * STEP;
      const run = async (): Promise<void> => {
        const before = coreMsOf(address.pid);
        const answers = children.map((child) => once(child, 'message') as Promise<[Spent]>);
        for (const child of children) child.send(events);
        const each = await Promise.all(answers);
        const after = coreMsOf(address.pid);
        const all = done.get(name) ?? { events: 0, spent: nothingSpent, serverMs: 0 };
        all.events += events * processes;
        for (const [spent] of each) all.spent = plus(all.spent, spent);
        all.serverMs =
          all.serverMs === undefined || before === undefined || after === undefined
            ? undefined
            : all.serverMs + after - before;
        done.set(name, all);
      };
      return { operations: events * processes, run };
    },
    close: async () => {
      const ended = children.map((child) => once(child, 'exit'));
      for (const child of children) child.send(0);
      await Promise.all(ended);
      if (processes > 1) await dropKeyspace(context);
    },
  };
}

/**
 * Beside the ratio, so that a machine on which the server has no cores of its own says what it would be elsewhere: with
 * cores free each process does what its core time lets it.
 */
function spentValues(): Record<string, number> {
  const values: Record<string, number> = {};
  for (const [name, { events, spent, serverMs }] of done) {
    values[`${name}: requests an event`] = spent.requests / events;
    values[`${name}: statements an event`] = spent.statements / events;
    values[`${name}: bytes an event`] = spent.bytes / events;
    values[`${name}: core time of the processes, µs an event`] = (spent.coreMs * 1_000) / events;
    if (serverMs !== undefined) values[`${name}: core time of the server, µs an event`] = (serverMs * 1_000) / events;
  }
  const [one, two] = [done.get('one process'), done.get('two processes')];
  if (one !== undefined && two !== undefined)
    values['two / one, by core time of the processes'] =
      (2 * (one.spent.coreMs / one.events)) / (two.spent.coreMs / two.events);
  return values;
}

export const cassandraProcessesCases: readonly BenchCase[] = [
  {
    id: 'cassandra-append/processes',
    operation: 'append an event, 100 a call, 4 calls in flight in each process',
    server: 'cassandra',
    compare: [['two processes', 'one process']],
    values: async () => spentValues(),
    sides: async (context) => [
      await appending(context, 'one process', 1),
      await appending(context, 'two processes', 2),
    ],
  },
];
