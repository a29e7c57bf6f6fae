/**
 * A process that decides until it is killed: `deciding-child <folder> <seed>`. Starts at a line on stdin. Decides again and again
 * that one more than the history has has come; prints each command when it is acknowledged.
 */
import { once } from 'node:events';
import { fact, openLayer } from './support.js';

const [folder, seed] = process.argv.slice(2) as [string, string];
const { eventStore } = (await openLayer(folder)).ports;
const aggregate = { tenant: '', type: 'lamp', id: 'decided' };
process.stdout.write('ready\n');
await once(process.stdin, 'data');

for (let n = 0; ;) {
  const head = await eventStore.readHead(aggregate);
  const [history] = await eventStore.readMany([aggregate]);
  const commandId = `${seed}-${n}`;
  const facts = [fact({ id: aggregate.id, at: history!.length, parameters: { commandId } })];
  const decision = { aggregate, head, commandId, facts, result: '', receivedAt: Date.now() };
  if ((await eventStore.decide(decision)).outcome === 'stale') continue;
  process.stdout.write(`${commandId}\n`);
  n += 1;
}
