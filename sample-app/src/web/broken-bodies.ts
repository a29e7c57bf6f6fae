/**
 * A sender may end its side of the connection in the middle of a body and still listen. Node then gives up the socket;
 * here the request under way is told instead, so that it can answer what it had got by then.
 */
import type { Server } from 'node:http';
import type { Duplex } from 'node:stream';

const listening = new WeakMap<Duplex, (message: string) => void>();

/** Calls `told` when the body of the request under way on this socket breaks off. The result ends it. */
export function onBreak(socket: Duplex, told: (message: string) => void): () => void {
  listening.set(socket, told);
  return () => void listening.delete(socket);
}

export function tellBrokenBodies(server: Server): void {
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    const told = listening.get(socket);
    if (told !== undefined && error.code?.startsWith('HPE_') === true && socket.writable) {
      told(
        `The body broke off: ${error.code === 'HPE_INVALID_EOF_STATE' ? 'the connection ended in the middle of it' : 'its framing is wrong'}.`,
      );
      return;
    }
    if (socket.writable) {
      const body =
        '{"statusCode":400,"code":"BAD_REQUEST","message":"This is no HTTP request.","fix":"See /api for what is expected."}';
      socket.end(
        `HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
      );
    } else socket.destroy(error);
  });
}
