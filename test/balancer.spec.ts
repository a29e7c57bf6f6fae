/**
 * Goal: one address in front of several processes hands each connection to the next that takes it, whole and as it comes.
 * Method: plain HTTP servers behind it, spoken to by plain HTTP clients without kept connections.
 */
import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { startBalancer, type Balancer } from './cluster/balancer.js';

describe('the balancer', () => {
  const servers: Server[] = [];
  let balancer: Balancer | undefined;

  afterEach(async () => {
    await balancer?.stop();
    for (const server of servers.splice(0)) server.close().closeAllConnections();
  });

  async function serverOf(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<number> {
    const server = createServer(answer);
    servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }

  const named = (name: string): Promise<number> => serverOf((_, response) => response.end(name));

  async function start(ports: readonly number[]): Promise<string> {
    balancer = await startBalancer({ port: 0, ports: () => ports });
    return balancer.url;
  }

  async function ask(url: string): Promise<string> {
    const response = await fetch(url, { headers: { connection: 'close' } });
    return response.text();
  }

  it('goes round', async () => {
    const url = await start([await named('a'), await named('b'), await named('c')]);
    const answers = [];
    for (let i = 0; i < 6; i++) answers.push(await ask(url));
    expect(answers).toEqual(['a', 'b', 'c', 'a', 'b', 'c']);
  });

  it('passes over a process that is gone', async () => {
    const gone = await named('gone');
    const url = await start([await named('a'), gone, await named('c')]);
    servers[0]!.close();
    const answers = [];
    for (let i = 0; i < 4; i++) answers.push(await ask(url));
    expect(answers.toSorted()).toEqual(['a', 'a', 'c', 'c']);
  });

  it('says that nobody is there, and when there is somebody, goes to them', async () => {
    const ports: number[] = [];
    const url = await start(ports);
    const refused = await fetch(url, { method: 'POST', body: 'x'.repeat(100_000) });
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ statusCode: 503, fix: 'Send it again in a moment.' });
    ports.push(await named('a'));
    expect(await ask(url)).toBe('a');
  });

  it('passes a stream on as it comes, both ways', async () => {
    const url = await start([
      await serverOf((request, response) => {
        // An answer that begins before the body ends, and says what came so far.
        response.flushHeaders();
        request.on('data', (part: Buffer) => response.write(`${part.length}\n`));
        request.on('end', () => response.end('end\n'));
      }),
    ]);
    const call = request(url, { method: 'POST', agent: false });
    call.flushHeaders();
    const [response] = (await once(call, 'response')) as [IncomingMessage];
    response.setEncoding('utf8');
    for (const length of [3, 1, 10]) {
      call.write('x'.repeat(length));
      expect(await once(response, 'data')).toEqual([`${length}\n`]);
    }
    call.end();
    expect(await once(response, 'data')).toEqual(['end\n']);
  });

  it('holds a sender back while its process does not read', async () => {
    let resume: () => void = () => undefined;
    const reader = await serverOf((request, response) => {
      resume = () => request.resume();
      request.on('end', () => response.end('read'));
    });
    const ports = [reader];
    const url = await start(ports);
    const call = request(url, { method: 'POST', agent: false });
    const answered = once(call, 'response');
    call.flushHeaders();
    await once(servers[0]!, 'request');
    ports[0] = await named('other');
    // Other requests pass meanwhile; whoever is held back through twenty of them is held back. More than the sockets of
    // both sides can hold, and less than a balancer would gather that takes all.
    let held = false;
    for (let sent = 0; !held && sent < 256;) {
      while (!call.writableNeedDrain && sent++ < 256) call.write(Buffer.alloc(1_048_576));
      for (let i = 0; i < 20; i++) expect(await ask(url)).toBe('other');
      held = call.writableNeedDrain;
    }
    expect(held).toBe(true);
    resume();
    call.end();
    const [response] = (await answered) as [IncomingMessage];
    expect(response.statusCode).toBe(200);
    response.resume();
  });

  it('delivers the answer of a process that takes no more and leaves', async () => {
    const body = Buffer.alloc(1_048_576);
    const leaving = createTcpServer((socket) => {
      let bytes = 0;
      // All that was sent is read, as closing with something unread would be a reset.
      socket.on('data', (part) => {
        if ((bytes += part.length) < body.length) return;
        socket.end('HTTP/1.1 413 Payload Too Large\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno');
        socket.destroySoon();
      });
      socket.on('error', () => undefined);
    });
    leaving.listen(0, '127.0.0.1');
    await once(leaving, 'listening');
    const url = await start([(leaving.address() as AddressInfo).port]);
    const call = request(url, { method: 'POST', agent: false });
    call.on('error', () => undefined);
    const answered = once(call, 'response');
    call.write(body);
    const [response] = (await answered) as [IncomingMessage];
    expect(response.statusCode).toBe(413);
    let text = '';
    for await (const part of response) text += String(part);
    expect(text).toBe('no');
    call.destroy();
    leaving.close();
  });

  it('breaks off with its process', async () => {
    const url = await start([await serverOf((_, response) => response.socket?.destroy())]);
    await expect(fetch(url)).rejects.toThrow('fetch failed');
  });
});
