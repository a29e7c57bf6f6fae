/**
 * One address for several processes: each connection goes whole to the next process that takes it. Bytes pass as they come,
 * held back by whoever is slower, so that bodies and streams of any length cost no memory here.
 *
 * A process that is gone is passed over. What was under way with it breaks off, and is the client's to send again: recording
 * may be repeated. One that keeps its connections and does nothing is not noticed.
 */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** Each holds two sockets and their buffers, some 64 kB. */
const CONNECTIONS_MAX = 1_024;
/** On one machine a process that runs accepts at once. */
const CONNECT_MAX_MS = 2_000;
/** How long the rest of a body is let pass unread when the process has answered and gone: else the answer would be lost. */
const LINGER_MS = 5_000;

const NOBODY_BODY = JSON.stringify({
  statusCode: 503,
  code: 'STORE_UNREACHABLE',
  message: 'No process of the cluster takes requests now.',
  fix: 'Send it again in a moment.',
});
const NOBODY =
  'HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-type: application/json\r\n' +
  `content-length: ${Buffer.byteLength(NOBODY_BODY)}\r\n\r\n${NOBODY_BODY}`;

export interface BalancerOptions {
  /** 0 for any free one. */
  readonly port: number;
  /** The ports of 127.0.0.1 to choose from, asked anew for each connection. */
  ports(): readonly number[];
}

export interface Balancer {
  readonly url: string;
  /** Cuts what is under way. */
  stop(): Promise<void>;
}

/** Listens on 127.0.0.1. Rejects when the port is taken. */
export async function startBalancer(options: BalancerOptions): Promise<Balancer> {
  const sockets = new Set<Socket>();
  const known = (socket: Socket): Socket => {
    sockets.add(socket);
    // Whoever breaks off is known by its close.
    socket.on('error', () => undefined);
    return socket.once('close', () => sockets.delete(socket));
  };
  let turn = 0;
  const reach = async (): Promise<Socket | undefined> => {
    const choice = options.ports();
    const first = turn++;
    for (let i = 0; i < choice.length; i++) {
      const socket = known(
        connect({ port: choice[(first + i) % choice.length] ?? 0, host: '127.0.0.1', allowHalfOpen: true }),
      );
      if (await connected(socket)) return socket;
    }
    return undefined;
  };
  const serve = async (client: Socket): Promise<void> => {
    const process = await reach();
    if (client.destroyed) process?.destroy();
    else if (process === undefined) linger(client.end(NOBODY));
    else join(client, process);
  };
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (client) => {
    void serve(known(client));
  });
  server.maxConnections = CONNECTIONS_MAX;
  server.listen(options.port, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () => stopped(server, sockets),
  };
}

function connected(socket: Socket): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (reached: boolean): void => {
      socket.setTimeout(0);
      socket.off('close', refused).off('timeout', refused);
      if (!reached) socket.destroy();
      resolve(reached);
    };
    const refused = (): void => end(false);
    socket.once('connect', () => end(true));
    socket.once('close', refused).once('timeout', refused);
    socket.setTimeout(CONNECT_MAX_MS);
  });
}

function join(client: Socket, process: Socket): void {
  client.pipe(process);
  process.pipe(client);
  client.once('close', () => process.destroy());
  process.once('close', (broken) => {
    if (broken || !process.readableEnded) client.destroy();
    else linger(client.unpipe());
  });
}

/** It has all that it will get. */
function linger(client: Socket): void {
  if (client.destroyed) return;
  client.resume();
  const cut = setTimeout(() => client.destroy(), LINGER_MS);
  client.once('close', () => clearTimeout(cut));
}

async function stopped(server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, 'close');
  server.close();
  for (const socket of sockets) socket.destroy();
  await closed;
}
