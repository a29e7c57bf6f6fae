/**
 * The real servers of a run: named by the environment, else started as the server specs start theirs, but as they are
 * shipped and to be measured. They end with this process.
 */
import type { ServerAddresses } from './case.js';

type ServerName = keyof ServerAddresses;

/** What the bench needs of a server that runs. */
interface Running {
  readonly address: object;
  readonly found: string;
  readonly version: string;
  readonly where: string;
  stop(): Promise<void>;
}

interface Starter {
  startServer(
    name: string,
    options: { readonly sync: 'periodic'; readonly say: (line: string) => void },
  ): Promise<Running>;
}

/** A name, not a literal: the starter is run from its sources, and is no part of what the bench builds. */
const STARTER: string = '@concursus/test/servers/start';

export interface Servers {
  readonly addresses: ServerAddresses;
  /** For the report: each with its version, and how it was found. */
  readonly told: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

export async function startServers(names: Iterable<ServerName>): Promise<Servers> {
  const starter = (await import(STARTER)) as Starter;
  const running = new Map<ServerName, Running>();
  const stop = async (): Promise<void> => {
    await Promise.all([...running.values()].map((server) => server.stop()));
  };
  try {
    for (const name of new Set(names)) {
      running.set(name, await starter.startServer(name, { sync: 'periodic', say: (line) => console.log(line) }));
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    addresses: Object.fromEntries([...running].map(([name, server]) => [name, addressOf(server)])),
    told: Object.fromEntries([...running].map(([name, { version, found }]) => [name, `${version}, ${found}`])),
    stop,
  };
}

function addressOf({ address, where }: Running): object {
  const pid = /process (\d+)/.exec(where)?.[1];
  return pid === undefined ? address : { ...address, pid: Number(pid) };
}
