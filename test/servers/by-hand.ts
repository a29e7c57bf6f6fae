/**
 * `npm run servers [-- --only=kafka --fast]`: starts real servers, prints what to paste into a module, and stops them, with
 * their data, on Ctrl-C. `--only` may be given more than once.
 */
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { serverKinds, serverNames, isServerName } from './server-kinds.js';
import type { ServerName } from './server-kind.js';
import { type RunningServer, startServer } from './start-server.js';

const LOOK_MS = 1_000;

const { values } = parseArgs({
  options: { only: { type: 'string', multiple: true }, fast: { type: 'boolean', default: false } },
});

const names = (values.only ?? serverNames).map((name): ServerName => {
  if (isServerName(name)) return name;
  console.error(`There is no server named ${name}; there are ${serverNames.join(', ')}.`);
  process.exit(2);
});

const begunMs = performance.now();
const say = (line: string): void =>
  console.log(`${((performance.now() - begunMs) / 1_000).toFixed(1).padStart(6)} s  ${line}`);
const told = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
const starting = names.map((name) => startServer(name, { fast: values.fast, say }));
const started = Promise.allSettled(starting);

/** Undefined when we were told to end before all were there. */
const outcomes = await Promise.race([started, told.then(() => undefined)]);
if (outcomes === undefined) {
  // Those that are still starting end with this process.
  process.exit(130);
}
const servers = outcomes.flatMap((outcome): readonly RunningServer[] =>
  outcome.status === 'fulfilled' ? [outcome.value] : [],
);
for (const outcome of outcomes)
  if (outcome.status === 'rejected') {
    console.error(outcome.reason instanceof Error ? outcome.reason.message : outcome.reason);
    process.exitCode = 1;
  }

if (servers.length > 0) {
  console.log('\nFor your module:\n');
  for (const { kind, address } of servers) console.log(`  ${serverKinds[kind.name].moduleConfig(address as never)}`);
  console.log('\nFor the environment of the server specs:\n');
  for (const { kind, address } of servers) console.log(`  ${kind.urlVariable}=${kind.urlOf(address)}`);
  console.log('\nCtrl-C stops them and removes their data.');
  const lost = new Set<RunningServer>();
  // Which also keeps this process alive; a promise alone does not.
  const looks = setInterval(() => {
    for (const server of servers)
      if (server.ended !== undefined && !lost.has(server)) {
        lost.add(server);
        void server.logTail().then((tail) => say(`${server.kind.title} ended by itself: ${server.ended}\n${tail}`));
      }
  }, LOOK_MS);
  await told;
  clearInterval(looks);
  say('stopping');
  await Promise.all(servers.map((server) => server.stop()));
  say('stopped');
}
