/**
 * Finds or starts one real server: named by the environment, else in a container, else from packages. What was started
 * here can be stopped, killed, paused and begun again, and ends with this process however that ends.
 */
import { mkdtempSync, realpathSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Backing } from './backing.js';
import { Container, containerEngine, pullImage } from './container.js';
import { freePorts } from './free-ports.js';
import { makeKeys } from './keys.js';
import { LocalProcess } from './local-process.js';
import type { Access, Care, Program, Say, ServerAddresses, ServerKind, ServerName } from './server-kind.js';
import { serverKinds } from './server-kinds.js';

/** Cassandra takes 10 s on a quiet machine of two cores; a busy one may be ten times slower. */
const READY_MAX_MS = 240_000;
const POLL_MS = 50;
const PORT_ANSWERS_MAX_MS = 1_000;
/** One more than the retry on an address in use: between finding a port free and listening on it somebody may be quicker. */
const ATTEMPTS = 2;
const TAIL_LINES = 40;
const IN_USE = /address already in use|bindexception|port is already allocated/i;

export interface StartOptions {
  /** Quick to start, neither crash safe nor worth measuring. Default false. */
  readonly fast?: boolean;
  /** When what it acknowledged survives a kill of it. Default `each`, and `periodic` with `fast`; a bench says which. */
  readonly sync?: Care['sync'];
  /** Never one that the environment names, as it is going to be killed, say. Default false. */
  readonly own?: boolean;
  /** Speaks TLS only and lets in nobody without a password: one of its own, from packages. Default false. */
  readonly secured?: boolean;
  readonly say?: Say;
  readonly env?: NodeJS.ProcessEnv;
}

/** A real server that answers. */
export interface RunningServer<N extends ServerName = ServerName> {
  readonly kind: ServerKind<N>;
  readonly address: ServerAddresses[N];
  /** How it lets in clients when it is secured. */
  readonly access: Access | undefined;
  readonly found: 'environment' | 'container' | 'local';
  /** What it said of itself, else what was started, else unknown. */
  readonly version: string;
  /** For people. */
  readonly where: string;
  /** From the call until it answered. */
  readonly readyMs: number;
  /** Why it does not run any more; undefined while it does, and always for one of the environment. */
  readonly ended: string | undefined;
  /** Begins it again on the same data, address and ports, gently ended before if it runs; resolves when it answers. */
  restart(): Promise<void>;
  /** As a crash would: no drain, nothing flushed. */
  kill(): Promise<void>;
  /** It keeps its connections and does nothing until `resume`. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** The last lines of what it printed, 40 unless told. */
  logTail(lines?: number): Promise<string>;
  /** Ends it, and removes its data. One of the environment is left alone. May be called again. */
  stop(): Promise<void>;
}

const quiet: Say = () => undefined;

/** Where a server would come from; what it needs has been fetched. */
type Source =
  { readonly found: 'container'; readonly engine: string } | { readonly found: 'local'; readonly program: Program };

/**
 * A server that answers. Rejects when none can be had: with what is missing, or with the end of the server's log.
 */
export function startServer<N extends ServerName>(name: N, options: StartOptions = {}): Promise<RunningServer<N>> {
  return startKind<N>(serverKinds[name], options);
}

/** The same of a kind that need not be in the list. */
export async function startKind<N extends ServerName>(
  kind: ServerKind<N>,
  options: StartOptions = {},
): Promise<RunningServer<N>> {
  const { fast = false, sync = fast ? 'periodic' : 'each', secured = false, say = quiet, env = process.env } = options;
  const own = secured || (options.own ?? false);
  const beganMs = performance.now();
  const url = env[kind.urlVariable];
  if (!own && url !== undefined && url !== '') return ofEnvironment(kind, url, beganMs);
  const source = secured ? await fromPackages(kind, say) : await findSource(kind, say, own);
  const care = { fast, sync };
  for (let attempt = 1; ; attempt++) {
    const [port = 0, ...more] = await freePorts(kind.local.ports);
    const { backing, access } = await open(kind, source, [port, ...more], care, secured);
    const address = kind.addressAt(port);
    try {
      say(`starting ${kind.title} ${kind.version} (${source.found}) on 127.0.0.1:${port}`);
      await backing.begin();
      const told = await untilReady(kind, backing, address, port, access);
      say(`${kind.title} answers on 127.0.0.1:${port}, ${backing.where}`);
      return ofBacking(kind, backing, { address, port, access, found: source.found, version: told, beganMs });
    } catch (error) {
      const failure = await withLog(kind, backing, error);
      await endAndDispose(backing);
      if (attempt === ATTEMPTS || !IN_USE.test(failure.message)) throw failure;
      say(`${kind.title}: somebody was quicker to take a port, trying once more`);
    }
  }
}

/** Fetches what starting one of one's own needs, so that a spec's time is not spent on it. Rejects as starting would. */
export async function prepareServer(name: ServerName, say: Say = quiet): Promise<void> {
  await findSource(serverKinds[name], say, true);
}

async function findSource(kind: ServerKind, say: Say, own: boolean): Promise<Source> {
  const engine = await containerEngine();
  if (engine !== undefined) {
    try {
      await pullImage(engine, kind.image);
      return { found: 'container', engine };
    } catch (error) {
      say(`${kind.title}: ${engine} answers, but ${kind.image} cannot be had (${messageOf(error)}); trying packages`);
    }
  }
  try {
    return await fromPackages(kind, say);
  } catch (error) {
    throw new Error(
      `${kind.title} cannot be had: ${own ? 'one of its own is asked for' : `${kind.urlVariable} names none`}, ` +
        `${engine === undefined ? 'no container engine answers' : `${engine} has no ${kind.image}`}, ` +
        `and not from packages either. ${messageOf(error)}`,
      { cause: error },
    );
  }
}

async function fromPackages(kind: ServerKind, say: Say): Promise<Source> {
  return { found: 'local', program: await kind.local.fetch(say) };
}

async function open(
  kind: ServerKind,
  source: Source,
  ports: readonly [number, ...number[]],
  care: Care,
  secured: boolean,
): Promise<{ readonly backing: Backing; readonly access: Access | undefined }> {
  if (source.found === 'container') {
    const args = kind.containerArguments(ports[0], care);
    return { backing: new Container(source.engine, kind.name, kind.image, args), access: undefined };
  }
  // The real path: Cassandra compares paths, and the system's folder may be a link.
  const folder = realpathSync(mkdtempSync(join(tmpdir(), `concursus-${kind.name}-`)));
  const keys = secured ? await makeKeys(folder, source.program.command) : undefined;
  const place = { folder, ports, ...care, ...(keys === undefined ? {} : { keys }) };
  const backing = new LocalProcess(source.program, place, kind.local.plan(source.program, place));
  return { backing, access: keys?.access };
}

/** Waits until the port accepts and a real operation succeeds, as long as the server runs; answers with its version. */
async function untilReady<N extends ServerName>(
  kind: ServerKind<N>,
  backing: Backing,
  address: ServerAddresses[N],
  port: number,
  access: Access | undefined,
): Promise<string | undefined> {
  const untilMs = performance.now() + READY_MAX_MS;
  let refusal: unknown = new Error(`nothing listens on 127.0.0.1:${port}`);
  while (performance.now() < untilMs) {
    if (backing.ended !== undefined) throw new Error(`${kind.title} ended while it started: ${backing.ended}.`);
    if (await accepts(port)) {
      try {
        return await kind.ask(address, access);
      } catch (error) {
        refusal = error;
      }
    }
    await sleep(POLL_MS);
  }
  throw new Error(`${kind.title} did not answer within ${READY_MAX_MS} ms: ${messageOf(refusal)}.`, { cause: refusal });
}

function accepts(port: number): Promise<boolean> {
  return new Promise((answer) => {
    const socket = connect({ port, host: '127.0.0.1', timeout: PORT_ANSWERS_MAX_MS });
    const end = (accepted: boolean): void => {
      socket.destroy();
      answer(accepted);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
    socket.once('timeout', () => end(false));
  });
}

async function withLog(kind: ServerKind, backing: Backing, error: unknown): Promise<Error> {
  const tail = await backing.logTail(TAIL_LINES).catch((reason: unknown) => `(no log: ${messageOf(reason)})`);
  return new Error(`${messageOf(error)}\nThe end of the log of ${kind.title} (${backing.where}):\n${tail}`, {
    cause: error,
  });
}

/** Both in turn, the second also when the first fails. */
export async function endAndDispose(backing: Backing): Promise<void> {
  try {
    await backing.end();
  } finally {
    await backing.dispose();
  }
}

interface Begun<N extends ServerName> {
  readonly address: ServerAddresses[N];
  readonly port: number;
  readonly access: Access | undefined;
  readonly found: RunningServer['found'];
  readonly version: string | undefined;
  readonly beganMs: number;
}

function ofBacking<N extends ServerName>(kind: ServerKind<N>, backing: Backing, begun: Begun<N>): RunningServer<N> {
  let stopped: Promise<void> | undefined;
  return {
    kind,
    address: begun.address,
    access: begun.access,
    found: begun.found,
    version: begun.version ?? kind.version,
    readyMs: performance.now() - begun.beganMs,
    get where() {
      return `127.0.0.1:${begun.port}, ${backing.where}`;
    },
    get ended() {
      return backing.ended;
    },
    async restart() {
      if (stopped !== undefined) throw new Error(`${kind.title} was stopped and its data removed; start another.`);
      await backing.end();
      try {
        await backing.begin();
        await untilReady(kind, backing, begun.address, begun.port, begun.access);
      } catch (error) {
        throw await withLog(kind, backing, error);
      }
    },
    kill: () => backing.kill(),
    pause: () => backing.pause(),
    resume: () => backing.resume(),
    logTail: (lines = TAIL_LINES) => backing.logTail(lines),
    stop: () => (stopped ??= endAndDispose(backing)),
  };
}

async function ofEnvironment<N extends ServerName>(
  kind: ServerKind<N>,
  url: string,
  beganMs: number,
): Promise<RunningServer<N>> {
  const address = kind.parse(url);
  const told = await kind.ask(address).catch((error: unknown) => {
    throw new Error(`${kind.title} at ${kind.urlVariable} ${url} does not answer: ${messageOf(error)}`, {
      cause: error,
    });
  });
  const notOurs = (): never => {
    throw new Error(
      `${kind.title} at ${url} is named by ${kind.urlVariable} and not ours to stop; start one of your own.`,
    );
  };
  return {
    kind,
    address,
    access: undefined,
    found: 'environment',
    version: told ?? 'unknown',
    where: url,
    readyMs: performance.now() - beganMs,
    ended: undefined,
    restart: async () => notOurs(),
    kill: async () => notOurs(),
    pause: async () => notOurs(),
    resume: async () => notOurs(),
    logTail: async () => '',
    stop: async () => undefined,
  };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
