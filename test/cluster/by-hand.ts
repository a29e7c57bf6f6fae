/**
 * `npm run cluster [-- --processes=3 --port=3000 --data=bundled]`: starts Cassandra and Kafka, or takes those that the
 * environment names, some processes of the sample application over them and one address in front; Ctrl-C ends all.
 */
import { once } from 'node:events';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { startCluster } from './start-cluster.js';

const { values } = parseArgs({
  options: {
    processes: { type: 'string', default: '3' },
    port: { type: 'string', default: '3000' },
    data: { type: 'string' },
  },
});

const begunMs = performance.now();
const say = (line: string): void =>
  console.log(`${((performance.now() - begunMs) / 1_000).toFixed(1).padStart(6)} s  ${line}`);
const { data } = values;
const told = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
const starting = startCluster({
  processes: Number(values.processes),
  port: Number(values.port),
  // The processes run in folders of their own.
  data: data === undefined || data === 'none' || data === 'bundled' ? data : resolve(data),
  say,
  onLine: (name, line) => console.log(`${name.padStart(8)}  ${line}`),
});

try {
  const cluster = await Promise.race([starting, told.then(() => undefined)]);
  // What is still starting ends with this process.
  if (cluster === undefined) process.exit(130);
  say(`\n\nThe board is at ${cluster.url}/ and the API at ${cluster.url}/api; Ctrl-C ends everything.\n`);
  // A promise alone keeps no process alive.
  const alive = setInterval(() => undefined, 60_000);
  await told;
  clearInterval(alive);
  say('stopping');
  await cluster.stop();
  say('stopped');
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
