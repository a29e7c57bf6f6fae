/**
 * A process that appends until it is killed or done: `appending-child <folder> <seed> <appends> <indexAfter>`.
 * Starts at a line on stdin. Prints one line for each acknowledged append: its facts' ids and their outcomes.
 */
import { once } from 'node:events';
import { appendOf, fact, openLayer } from './support.js';

const [folder, seed, count, indexAfter] = process.argv.slice(2) as [string, string, string, string];
const layer = await openLayer(folder, { indexAfter: Number(indexAfter) });
process.stdout.write('ready\n');
await once(process.stdin, 'data');

// A few appends at once, of a few facts each; the facts of all processes with one seed are the same.
const appends = Number(count);
let next = 0;
const worker = async (): Promise<void> => {
  while (next < appends) {
    const n = next++;
    const facts = Array.from({ length: (n % 5) + 1 }, (_, i) => fact({ id: `${seed}-${n % 17}`, at: n, sequence: i }));
    const [result] = await layer.ports.eventStore.append([appendOf(facts, 1_000 + n)]);
    const line = facts.map(
      (each, i) => `${each.aggregateId}@${each.eventTime}#${each.sequence}=${result!.outcomes[i]}`,
    );
    process.stdout.write(`${line.join(' ')}\n`);
  }
};
await Promise.all(Array.from({ length: 8 }, worker));
await layer.close();
process.exit(0);
