/** What work on a server cost beside its time: what crossed the wire, and core time of this process and of the server. */
import { readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import cassandraDriver from 'cassandra-driver';

/** Totals since some instant; of two the difference counts. */
export interface Spent {
  /** Requests, and the statements in them: a batch is one request. */
  readonly requests: number;
  readonly statements: number;
  /** Both ways, of all sockets. */
  readonly bytes: number;
  readonly coreMs: number;
}

export const nothingSpent: Spent = { requests: 0, statements: 0, bytes: 0, coreMs: 0 };

export function plus(a: Spent, b: Spent, sign: 1 | -1 = 1): Spent {
  return {
    requests: a.requests + sign * b.requests,
    statements: a.statements + sign * b.statements,
    bytes: a.bytes + sign * b.bytes,
    coreMs: a.coreMs + sign * b.coreMs,
  };
}

/** Counts what this process asks of Cassandra from now on. @returns the totals until a call */
export function countSpent(): () => Spent {
  const sockets = new Set<Socket>();
  let [requests, statements] = [0, 0];
  before(Socket.prototype, 'connect', (socket) => sockets.add(socket as Socket));
  const client: object = cassandraDriver.Client.prototype;
  const ask = (count: number): void => {
    requests += 1;
    statements += count;
  };
  before(client, 'execute', () => ask(1));
  before(client, 'batch', (_, [batch]) => ask((batch as readonly unknown[]).length));
  return () => {
    let bytes = 0;
    for (const socket of sockets) bytes += socket.bytesRead + socket.bytesWritten;
    const { user, system } = process.cpuUsage();
    return { requests, statements, bytes, coreMs: (user + system) / 1_000 };
  };
}

/** Does something ahead of every call of a method. */
function before(of: object, name: string, work: (self: unknown, args: readonly unknown[]) => void): void {
  const method = Reflect.get(of, name) as (...args: unknown[]) => unknown;
  Reflect.set(of, name, function (this: unknown, ...args: unknown[]) {
    work(this, args);
    return Reflect.apply(method, this, args);
  });
}

/** Of a kernel's clock, on all machines that have such a file. */
const TICK_MS = 10;

/** Core time of another process on this machine; undefined where that is told by no file, or nobody knows which it is. */
export function coreMsOf(pid: number | undefined): number | undefined {
  if (pid === undefined) return undefined;
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  } catch {
    return undefined;
  }
}
