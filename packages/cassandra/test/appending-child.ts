/**
 * A process that appends until it is killed or done: `appending-child <keyspace> <context> <seed> <appends> <leaseMs>`.
 * Starts at a line on its input. Prints a line for each acknowledged append: its facts' names and their outcomes.
 */
import { once } from 'node:events';
import { ConcursusError } from '@concursus/core';
import { factOf } from '@concursus/testing';
import { openLayer } from './support.js';

const [keyspace, context, seed, count, lease] = process.argv.slice(2) as [string, string, string, string, string];
const leaseMs = Number(lease);
const layer = await openLayer(context, { keyspace, leaseMs, beatMs: Math.floor(leaseMs / 20) });
process.stdout.write('ready\n');
await once(process.stdin, 'data');

// A few appends at once, of a few facts each; the facts of all processes with one seed are the same.
const appends = Number(count);
let next = 0;
const worker = async (): Promise<void> => {
  while (next < appends) {
    const n = next++;
    const facts = Array.from({ length: (n % 5) + 1 }, (_, i) =>
      factOf({ id: `${seed}-${n % 17}`, at: (n * 7_919) % 10_007, sequence: n * 10 + i }),
    );
    for (;;) {
      try {
        const [result] = await layer.ports.eventStore.append([{ facts, receivedAt: Date.now() }]);
        const line = facts.map((each, i) => `${each.aggregateId}#${each.sequence}=${result!.outcomes[i]}`);
        process.stdout.write(`${line.join(' ')}\n`);
        break;
      } catch (error) {
        // Retrying is safe, says the error; so it is tried.
        if (!ConcursusError.isInstance(error) || !error.retryable) throw error;
        process.stdout.write(`! ${error.code}\n`);
      }
    }
  }
};
await Promise.all(Array.from({ length: 8 }, worker));
await layer.close();
process.exit(0);
