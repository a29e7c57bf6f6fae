/**
 * Goal: what the starter hands out are real servers that live, crash and come back as real ones do. Method: operations of
 * the drivers our packages use, on the run's shared servers and on some of this file's own.
 */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'cassandra-driver';
import { type Admin, Kafka, logLevel } from 'kafkajs';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { type CassandraAddress, type KafkaAddress, ownServer, type RunningServer, serverOf } from './index.js';
import { cassandraKind } from './cassandra-kind.js';
import { containerEngine } from './container.js';
import { freePorts } from './free-ports.js';
import { fetchJars, findJava } from './jars.js';
import { kafkaKind } from './kafka-kind.js';
import type { LocalPlan, Place, Program, ServerKind } from './server-kind.js';
import { serversUsed } from './servers-used.js';
import { startKind, startServer } from './start-server.js';

/** Plans of processes and jars are not asked for where an engine answers. */
const inContainers = (await containerEngine()) !== undefined;

/** Several starts, on a machine that has other things to do. */
const STARTING = { timeout: 300_000 };

const servers: RunningServer[] = [];
const folders: string[] = [];

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'concursus-starter-'));
  folders.push(path);
  return path;
}

async function own<N extends 'cassandra' | 'kafka'>(name: N): Promise<RunningServer<N>> {
  const server = await ownServer(name);
  servers.push(server);
  return server;
}

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

afterAll(() => {
  for (const path of folders) rmSync(path, { recursive: true, force: true });
});

async function withCassandra<T>(address: CassandraAddress, use: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({
    contactPoints: [...address.contactPoints],
    protocolOptions: { port: address.port },
    localDataCenter: address.localDataCenter,
  });
  try {
    return await use(client);
  } finally {
    await client.shutdown();
  }
}

async function makeNotes(client: Client, keyspace: string): Promise<void> {
  await client.execute(
    `CREATE KEYSPACE ${keyspace} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`,
  );
  await client.execute(`CREATE TABLE ${keyspace}.notes (id int PRIMARY KEY, text text)`);
}

const note = (client: Client, keyspace: string, id: number, text: string): Promise<unknown> =>
  client.execute(`INSERT INTO ${keyspace}.notes (id, text) VALUES (?, ?)`, [id, text], { prepare: true });

async function notes(client: Client, keyspace: string): Promise<readonly string[]> {
  const { rows } = await client.execute(`SELECT text FROM ${keyspace}.notes`);
  return rows.map((row) => String(row['text'])).sort();
}

function kafkaOf({ brokers }: KafkaAddress): Kafka {
  return new Kafka({
    brokers: [...brokers],
    logLevel: logLevel.NOTHING,
    requestTimeout: 2_000,
    connectionTimeout: 2_000,
  });
}

async function withAdmin<T>(address: KafkaAddress, use: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = kafkaOf(address).admin();
  await admin.connect();
  try {
    return await use(admin);
  } finally {
    await admin.disconnect();
  }
}

const makeTopic = (address: KafkaAddress, topic: string): Promise<unknown> =>
  withAdmin(address, (admin) => admin.createTopics({ topics: [{ topic, numPartitions: 1 }], waitForLeaders: true }));

async function send(address: KafkaAddress, topic: string, values: readonly string[], retries = 5): Promise<void> {
  const producer = kafkaOf(address).producer({ idempotent: true, retry: { retries } });
  await producer.connect();
  try {
    await producer.send({ topic, acks: -1, messages: values.map((value) => ({ value })) });
  } finally {
    await producer.disconnect();
  }
}

/** As many messages as there are, from the first. */
async function received(address: KafkaAddress, topic: string): Promise<readonly string[]> {
  const [partition] = await withAdmin(address, (admin) => admin.fetchTopicOffsets(topic));
  const count = Number(partition?.high ?? 0);
  const consumer = kafkaOf(address).consumer({ groupId: `starter-${randomUUID()}` });
  const values: string[] = [];
  await consumer.connect();
  try {
    await consumer.subscribe({ topic, fromBeginning: true });
    await new Promise<void>((all, refuse) => {
      consumer
        .run({
          eachMessage: async ({ message }) => {
            if (values.push(String(message.value)) === count) all();
          },
        })
        .catch(refuse);
    });
  } finally {
    await consumer.disconnect();
  }
  return values;
}

describe("the run's Cassandra", () => {
  it('keeps and returns a row', async () => {
    await withCassandra(serverOf('cassandra'), async (client) => {
      const keyspace = `starter_${randomUUID().replaceAll('-', '')}`;
      await makeNotes(client, keyspace);
      await note(client, keyspace, 1, 'first');
      expect(await notes(client, keyspace)).toEqual(['first']);
      await client.execute(`DROP KEYSPACE ${keyspace}`);
    });
  });
});

describe("the run's Kafka", () => {
  it('keeps and returns messages in order', async () => {
    const address = serverOf('kafka');
    const topic = `starter-${randomUUID()}`;
    await makeTopic(address, topic);
    await send(address, topic, ['one', 'two', 'three']);
    expect(await received(address, topic)).toEqual(['one', 'two', 'three']);
    await withAdmin(address, (admin) => admin.deleteTopics({ topics: [topic] }));
  });

  it('makes no topic because somebody writes to it', async () => {
    const address = serverOf('kafka');
    await expect(send(address, `starter-${randomUUID()}`, ['lost'], 1)).rejects.toThrow(/topic-partition/);
  });
});

describe('a Cassandra of its own', STARTING, () => {
  it('has its rows after a restart, and after it was killed at once, on the same port', async () => {
    const server = await own('cassandra');
    await withCassandra(server.address, async (client) => {
      await makeNotes(client, 'kept');
      await note(client, 'kept', 1, 'before the restart');
    });
    await server.restart();
    await withCassandra(server.address, (client) => note(client, 'kept', 2, 'before the kill'));
    await server.kill();
    expect(server.ended).toBeDefined();
    await server.restart();
    expect(server.ended).toBeUndefined();
    expect(await withCassandra(server.address, (client) => notes(client, 'kept'))).toEqual([
      'before the kill',
      'before the restart',
    ]);
  });
});

describe('a Kafka of its own', STARTING, () => {
  it('has its messages after a restart and after it was killed, and a kill is noticed', async () => {
    const server = await own('kafka');
    expect(server.ended).toBeUndefined();
    await makeTopic(server.address, 'kept');
    await send(server.address, 'kept', ['before the restart']);
    await server.restart();
    await send(server.address, 'kept', ['before the kill']);
    await server.kill();
    expect(server.ended).toMatch(/SIGKILL|exit code 137/);
    await expect(kafkaKind.ask(server.address)).rejects.toThrow();
    await server.restart();
    expect(await received(server.address, 'kept')).toEqual(['before the restart', 'before the kill']);
    expect(await server.logTail(3)).toMatch(/^.+\n.+\n.+$/);
  });

  it('answers nobody while it is paused, everybody after that, and is gone with its data when it is stopped paused', async () => {
    const server = await own('kafka');
    await server.pause();
    expect(server.ended).toBeUndefined();
    await expect(kafkaKind.ask(server.address)).rejects.toThrow();
    await server.resume();
    await kafkaKind.ask(server.address);
    await server.pause();
    await server.stop();
    expect(server.ended).toBeDefined();
    await expect(server.restart()).rejects.toThrow(/was stopped/);
  });

  it('ends with the process that started it, even if that is killed', async () => {
    const child = spawn(
      process.execPath,
      [
        ...['--import', new URL('../run-typescript.mjs', import.meta.url).href],
        new URL('./starting-child.ts', import.meta.url).pathname,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    let told = '';
    child.stdout.setEncoding('utf8');
    for await (const text of child.stdout) {
      told += text;
      if (told.includes('\n')) break;
    }
    const { pid, folder } = JSON.parse(told) as { readonly pid: number; readonly folder: string };
    expect(runs(pid)).toBe(true);
    child.kill('SIGKILL');
    await once(child, 'close');
    await expect.poll(() => runs(pid), { timeout: 40_000 }).toBe(false);
    await expect.poll(() => existsSync(folder), { timeout: 10_000 }).toBe(false);
  });
});

describe('a start that cannot succeed', STARTING, () => {
  it('says why, with the end of the log, and leaves nothing running', async () => {
    const broken: ServerKind<'kafka'> = {
      ...kafkaKind,
      containerArguments: () => ['--env', 'KAFKA_PROCESS_ROLES=spectator'],
      local: {
        ...kafkaKind.local,
        plan: (program, place) => withProperties(program, place, () => 'process.roles=spectator\n'),
      },
    };
    await expect(startKind(broken, { own: true })).rejects.toThrow(
      /ended while it started: exit code [\s\S]*end of the log of Kafka[\s\S]*spectator/,
    );
  });

  it.skipIf(inContainers)('is tried once more when somebody was quicker to take its port', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const taken = (other.address() as AddressInfo).port;
    let attempts = 0;
    const late: ServerKind<'kafka'> = {
      ...kafkaKind,
      local: {
        ...kafkaKind.local,
        plan: (program, place) =>
          withProperties(program, place, (text) =>
            // The port of the controller: that of the clients would be answered by the other.
            attempts++ === 0 ? text.replaceAll(String(place.ports[1]), String(taken)) : text,
          ),
      },
    };
    const said: string[] = [];
    try {
      servers.push(await startKind(late, { own: true, say: (line) => said.push(line) }));
      expect(attempts).toBe(2);
      expect(said.join('\n')).toMatch(/trying once more/);
    } finally {
      other.close();
    }
  });

  it('says which variable names a server that does not answer', async () => {
    const [port] = await freePorts(1);
    const env = { KAFKA_URL: `127.0.0.1:${port}` };
    await expect(startServer('kafka', { env })).rejects.toThrow(new RegExp(`KAFKA_URL 127.0.0.1:${port}`));
  });
});

describe('a server that the environment names', () => {
  it('is used as it is, and is not ours to end', async () => {
    const env = { CASSANDRA_URL: cassandraKind.urlOf(serverOf('cassandra')) };
    const server = await startServer('cassandra', { env });
    expect(server.found).toBe('environment');
    expect(server.address).toEqual(serverOf('cassandra'));
    expect(server.version).toMatch(/^\d+\.\d+/);
    await expect(server.kill()).rejects.toThrow(/CASSANDRA_URL/);
    await server.stop();
    expect(await cassandraKind.ask(server.address)).toBe(server.version);
  });
});

describe('a container engine', () => {
  it('is none when its command is there and its daemon does not answer', async () => {
    const path = folder();
    for (const name of ['docker', 'podman']) {
      writeFileSync(join(path, name), '#!/bin/sh\necho "Cannot connect to the daemon" >&2\nexit 1\n');
      chmodSync(join(path, name), 0o755);
    }
    expect(await containerEngine({ PATH: path })).toBeUndefined();
  });

  it('is none when there is no command', async () => {
    expect(await containerEngine({ PATH: folder() })).toBeUndefined();
  });
});

describe.skipIf(inContainers)('jars', () => {
  const set = { name: 'tiny', version: '1', artifacts: ['org.hamcrest:hamcrest:2.2'] };
  const quiet = (): void => undefined;

  it('are fetched once, and again when the fetch was broken off', async () => {
    const cache = folder();
    vi.stubEnv('CONCURSUS_SERVERS_CACHE', cache);
    try {
      const lib = await fetchJars(set, quiet);
      expect(lib).toBe(join(cache, 'tiny-1', 'lib'));
      expect(readdirSync(lib)).toEqual(['hamcrest-2.2.jar']);
      const size = statSync(join(lib, 'hamcrest-2.2.jar')).size;
      rmSync(join(cache, 'tiny-1', '.complete'));
      writeFileSync(join(lib, 'hamcrest-2.2.jar'), 'half a jar');
      writeFileSync(join(lib, 'another.jar'), 'of an older set');
      await fetchJars(set, quiet);
      expect(readdirSync(lib)).toEqual(['hamcrest-2.2.jar']);
      expect(statSync(join(lib, 'hamcrest-2.2.jar')).size).toBe(size);
      expect(readdirSync(cache)).toEqual(['tiny-1']);
      // Complete: nothing is run.
      vi.stubEnv('PATH', folder());
      expect(await fetchJars(set, quiet)).toBe(lib);
      await expect(fetchJars({ ...set, version: '2' }, quiet)).rejects.toThrow(/no Maven/);
      await expect(findJava({})).rejects.toThrow(/no Java/);
    } finally {
      vi.unstubAllEnvs();
    }
  });
});

describe('the text of a spec', () => {
  it('says which servers it uses, each use once, and its folder says it for one that does not', () => {
    const used = (path: string, text: string): readonly string[] =>
      serversUsed(path, text).map(({ how, name }) => `${how} ${name}`);
    const text = "ownServer('kafka'); serverOf('kafka'); ownServer(\n  'kafka', {})";
    expect(used('test/a.server.spec.ts', text)).toEqual(['own kafka', 'shared kafka']);
    expect(used('/x/packages/kafka/test/a.server.spec.ts', 'it()')).toEqual(['shared kafka']);
    expect(used('/x/packages/kafka/test/a.server.spec.ts', "serverOf('cassandra')")).toEqual(['shared cassandra']);
    expect(used('/x/sample-app/test/a.server.spec.ts', 'it()')).toEqual([]);
  });
});

function withProperties(program: Program, place: Place, change: (text: string) => string): LocalPlan {
  const plan = kafkaKind.local.plan(program, place);
  return {
    ...plan,
    files: { ...plan.files, 'server.properties': change(plan.files['server.properties'] ?? '') },
  };
}

/** A zombie is gone. */
function runs(pid: number): boolean {
  try {
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
