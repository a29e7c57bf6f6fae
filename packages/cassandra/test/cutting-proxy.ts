/**
 * Stands between a client and a server, and loses what it is told to: requests, or only their answers. What came through before
 * is with the server, as when a cable is pulled.
 */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export class CuttingProxy {
  private readonly sockets = new Set<Socket>();
  private answersLost = false;

  private constructor(
    private readonly server: Server,
    readonly address: string,
  ) {}

  /** @param target `host:port` */
  static async before(target: string): Promise<CuttingProxy> {
    const [host, port] = target.split(':');
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new CuttingProxy(server, `127.0.0.1:${(server.address() as AddressInfo).port}`);
    server.on('connection', (near) => {
      const far = connect(Number(port), host);
      for (const socket of [near, far]) {
        proxy.sockets.add(socket);
        socket.on('error', () => undefined);
        socket.on('close', () => {
          proxy.sockets.delete(socket);
          near.destroy();
          far.destroy();
        });
      }
      near.on('data', (bytes) => far.write(bytes));
      far.on('data', (bytes) => {
        if (!proxy.answersLost) near.write(bytes);
      });
    });
    return proxy;
  }

  /** From here on no answer comes back. */
  loseAnswers(): void {
    this.answersLost = true;
  }

  /** Answers come back again, on new connections: those that missed one are cut. */
  heal(): void {
    if (!this.answersLost) return;
    this.answersLost = false;
    for (const socket of this.sockets) socket.destroy();
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }
}
