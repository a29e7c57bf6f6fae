/** Two processes that record into one context of a real Cassandra, beside one: each with aggregates of its own. */
import { fork, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { AppendJob } from '../append-child.js';
import type { BenchCase, CaseContext, Side } from '../case.js';
import { AGGREGATES } from '../model.js';
import { cassandraLayer, cassandraOf, dropKeyspace, keyspace } from './cassandra-append.js';

const CHILD = fileURLToPath(new URL('../append-child.js', import.meta.url));
/** Of one call, and of those side by side. */
const STEP = 400;

async function start(job: AppendJob): Promise<ChildProcess> {
  const child = fork(CHILD, [JSON.stringify(job)], { execArgv: [] });
  await once(child, 'message');
  return child;
}

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
        const done = children.map((child) => once(child, 'message'));
        for (const child of children) child.send(events);
        await Promise.all(done);
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

export const cassandraProcessesCases: readonly BenchCase[] = [
  {
    id: 'cassandra-append/processes',
    operation: 'append an event, 100 a call, 4 calls in flight in each process',
    server: 'cassandra',
    compare: [['two processes', 'one process']],
    sides: async (context) => [
      await appending(context, 'one process', 1),
      await appending(context, 'two processes', 2),
    ],
  },
];
