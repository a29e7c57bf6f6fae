/** The sample application as a cluster: Cassandra and Kafka, some processes over them, and one address in front. */
import { fileURLToPath } from 'node:url';
import type { ServerName } from '../servers/server-kind.js';
import { serverKinds } from '../servers/server-kinds.js';
import { startServer, type RunningServer } from '../servers/start-server.js';
import { AppProcess } from './app-process.js';
import { startBalancer } from './balancer.js';

const RUN = fileURLToPath(new URL('../run-typescript.mjs', import.meta.url));
const MAIN = fileURLToPath(new URL('../../sample-app/src/main.ts', import.meta.url));
const PROCESSES_MAX = 16;

export interface Servers {
  readonly cassandra: RunningServer<'cassandra'>;
  readonly kafka: RunningServer<'kafka'>;
}

export interface ClusterOptions {
  /** 1 to 16. Default 3. */
  readonly processes?: number;
  /** Of the address in front. Default 0: any free one. */
  readonly port?: number;
  /** A reports file that one of the processes loads, or `bundled`. Default none. */
  readonly data?: string | undefined;
  /** More of the application's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Options of node. */
  readonly nodeOptions?: readonly string[];
  /** Servers that run already and are not stopped; else they are found or started, safe against kills. */
  readonly servers?: Servers;
  readonly say?: (line: string) => void;
  /** All that the processes print. */
  readonly onLine?: (name: string, line: string) => void;
}

export interface Cluster {
  /** The address in front. */
  readonly url: string;
  readonly apps: readonly AppProcess[];
  readonly servers: Servers;
  /** Ends address, processes and the servers that were started for it. May be called again. */
  stop(): Promise<void>;
}

/** Resolves when every process takes requests. Rejects, with all ended again, when a server or a process cannot be had. */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const { processes = 3, port = 0, say = () => undefined } = options;
  if (!Number.isInteger(processes) || processes < 1 || processes > PROCESSES_MAX)
    throw new Error(`A cluster has 1 to ${PROCESSES_MAX} processes, not ${processes}.`);
  const ends: (() => Promise<void>)[] = [];
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopping ??= inTurn(ends));
  try {
    const servers = options.servers ?? (await startServers(say, ends));
    const apps = Array.from({ length: processes }, (_, at) => appProcess(`app ${at + 1}`, servers, options));
    ends.unshift(async () => void (await Promise.all(apps.map((app) => app.stop()))));
    const balancer = await startBalancer({
      port,
      ports: () => apps.flatMap((app) => app.port ?? []),
    });
    ends.unshift(() => balancer.stop());
    await Promise.all(apps.map((app) => app.listening()));
    return { url: balancer.url, apps, servers, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startServers(say: (line: string) => void, ends: (() => Promise<void>)[]): Promise<Servers> {
  const start = async <N extends ServerName>(name: N): Promise<RunningServer<N>> => {
    const server = await startServer(name, { say });
    ends.push(() => server.stop());
    return server;
  };
  const [cassandra, kafka] = await Promise.allSettled([start('cassandra'), start('kafka')]);
  if (cassandra.status === 'rejected') throw cassandra.reason;
  if (kafka.status === 'rejected') throw kafka.reason;
  return { cassandra: cassandra.value, kafka: kafka.value };
}

function appProcess(name: string, { cassandra, kafka }: Servers, options: ClusterOptions): AppProcess {
  const { data = 'none', env, nodeOptions = [], onLine, say = () => undefined } = options;
  return new AppProcess({
    name,
    command: process.execPath,
    arguments: [...nodeOptions, '--import', RUN, MAIN],
    env: {
      ...process.env,
      NODE_OPTIONS: '',
      NO_COLOR: '1',
      HOST: '127.0.0.1',
      CONCURSUS_PROFILE: 'cluster',
      CASSANDRA_URL: serverKinds.cassandra.urlOf(cassandra.address),
      KAFKA_URL: serverKinds.kafka.urlOf(kafka.address),
      SAMPLE_DATA: data,
      ...env,
      PORT: '0',
    },
    portIn(line) {
      const found = /The board is at http:\/\/127\.0\.0\.1:(\d+)\/ /.exec(line);
      return found === null ? undefined : Number(found[1]);
    },
    say,
    onLine: onLine === undefined ? undefined : (line) => onLine(name, line),
  });
}

async function inTurn(ends: readonly (() => Promise<void>)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const end of ends) await end().catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw failures[0];
}
