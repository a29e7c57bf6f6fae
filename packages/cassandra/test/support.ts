/** What the specs of this package share: the address of a real server, keyspaces of their own, and layers on them. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { SystemClock } from '@concursus/core';
import type { Layer, LayerContext } from '@concursus/core';
import { serverOf } from '@concursus/test/servers';
import { Client } from 'cassandra-driver';
import { cassandra, type CassandraPersistentOptions } from '../src/index.js';

export const silent = { log: () => undefined, warn: () => undefined, error: () => undefined };

interface Server {
  readonly contactPoints: readonly string[];
  readonly localDataCenter: string;
}

/** How a child of a spec is told where the server is: it is no part of the run, and cannot ask. */
const SERVER = 'CONCURSUS_SPEC_SERVER';

/** Where the run's server is. */
export function server(): Server {
  const told = process.env[SERVER];
  if (told !== undefined) return JSON.parse(told) as Server;
  const { contactPoints, port, localDataCenter } = serverOf('cassandra');
  return { contactPoints: contactPoints.map((host) => `${host}:${port}`), localDataCenter };
}

/** One keyspace for all of a spec file: making one costs half a second, a context costs nothing. */
const keyspace = `spec_${randomBytes(6).toString('hex')}`;

/** Options of a layer in the keyspace of this file. */
export function specOptions(more: Partial<CassandraPersistentOptions> = {}): CassandraPersistentOptions {
  return { ...server(), keyspace, ...more };
}

export function contextOf(context: string): LayerContext {
  return { context, clock: new SystemClock(), logger: silent };
}

/** A context nobody used. */
export function freshContext(): string {
  return `c${randomBytes(6).toString('hex')}`;
}

export async function openLayer(
  context: string,
  options: Partial<CassandraPersistentOptions> = {},
): Promise<Layer<'persistent'>> {
  const layer = await cassandra(specOptions(options)).create(contextOf(context));
  await layer.connect();
  return layer;
}

/** The driver without anything of ours, in the keyspace of this file. */
export async function bareClient(): Promise<Client> {
  const { contactPoints, localDataCenter } = server();
  const client = new Client({ contactPoints: [...contactPoints], localDataCenter, keyspace });
  await client.connect();
  return client;
}

/** Removes the keyspace of this file. */
export async function cleanUp(): Promise<void> {
  const { contactPoints, localDataCenter } = server();
  const client = new Client({ contactPoints: [...contactPoints], localDataCenter });
  await client.execute(`DROP KEYSPACE IF EXISTS "${keyspace}"`, [], { readTimeout: 30_000 });
  await client.shutdown();
}

const loader = new URL('../../../test/run-typescript.mjs', import.meta.url).href;

/** Starts a TypeScript file of this folder as a process of its own. */
export function startChild(file: string, args: readonly string[]): ChildProcess {
  return spawn(process.execPath, ['--import', loader, fileURLToPath(new URL(file, import.meta.url)), ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, [SERVER]: JSON.stringify(server()) },
  });
}
