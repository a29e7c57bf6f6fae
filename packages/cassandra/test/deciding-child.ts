/**
 * A process that decides. Arguments: keyspace, context, mode, seed.
 *
 * - `die`: decides once of P1, and kills itself when the head has moved and its events are not recorded yet.
 * - `count`: says "ready", waits for a line, then decides again and again that one more than the history has has come; prints
 *   each command when it is acknowledged.
 */
import { once } from 'node:events';
import { stdin } from 'node:process';
import { Decisions } from '../src/decisions.js';
import { Session } from '../src/session.js';
import { P1, countOne, theDecision } from './deciding.js';
import { contextOf, openLayer, specOptions } from './support.js';

const [keyspace, context, mode, seed] = process.argv.slice(2) as [string, string, 'die' | 'count', string];

if (mode === 'die') {
  const session = new Session(specOptions({ keyspace }), contextOf(context));
  await session.connect();
  const decisions = new Decisions({
    session,
    record: () => {
      process.kill(process.pid, 'SIGKILL');
      return new Promise(() => undefined);
    },
  });
  await decisions.decide(theDecision());
} else {
  const layer = await openLayer(context, { keyspace, leaseMs: 1_000, beatMs: 50 });
  await layer.ports.eventStore.readHead(P1);
  console.log('ready');
  await once(stdin, 'data');
  for (let i = 0; ; i++) {
    const commandId = `${seed}-${i}`;
    await countOne(layer, commandId);
    console.log(commandId);
  }
}
