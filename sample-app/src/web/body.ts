/**
 * A request's bytes as they come, decompressed if need be. Unlike the request's own iterator and `pipe`, it leaves the
 * socket open when it ends early or the body breaks, so that the sender can still be answered.
 */
import { createHash } from 'node:crypto';
import { createGunzip } from 'node:zlib';
import { limits } from '@concursus/core';
import type { Request } from 'express';
import { onBreak } from './broken-bodies.js';

/** Compressed bytes taken at once: however well they are packed, they become 4 MB at most. */
const SLICE_BYTES = 4_096;

/** The body ended before it was whole, or is not what its encoding says. */
export class BrokenBody extends Error {
  constructor(
    readonly code: 'BROKEN_BODY' | 'BROKEN_GZIP',
    message: string,
  ) {
    super(message);
  }
}

export class Body {
  /** Set when the body broke; what came before it was handed on. */
  failure: BrokenBody | undefined;
  /** As sent. */
  bytes = 0;
  private readonly hash = createHash('sha256');
  private readonly kept: Buffer[] = [];
  private wake: () => void = () => undefined;

  constructor(
    private readonly request: Request,
    private readonly encoding: 'gzip' | 'identity',
  ) {}

  /** @throws BrokenBody after everything that came before the break */
  chunks(): AsyncGenerator<Buffer> {
    return this.encoding === 'gzip' ? this.decompressed() : this.received();
  }

  /** How a compressed body began, for the quarantine. */
  beginning(): Buffer {
    return Buffer.concat(this.kept);
  }

  digest(): string {
    return this.hash.digest('hex');
  }

  private broke(code: BrokenBody['code'], message: string): void {
    this.failure ??= new BrokenBody(code, message);
    this.wake();
  }

  private async *received(): AsyncGenerator<Buffer> {
    const { request } = this;
    const wake = (): void => this.wake();
    const broke = (): void => {
      if (!request.readableEnded)
        this.broke('BROKEN_BODY', 'The body broke off: the connection was lost in the middle of it.');
    };
    const forget = onBreak(request.socket, (message) => this.broke('BROKEN_BODY', message));
    request.on('readable', wake).on('end', wake).on('error', broke).on('close', broke);
    try {
      for (;;) {
        const chunk = request.read() as Buffer | null;
        if (chunk !== null) yield chunk;
        else if (request.readableEnded) return;
        else if (this.failure !== undefined) throw this.failure;
        else await new Promise<void>((resolve) => (this.wake = resolve));
      }
    } finally {
      forget();
      request.off('readable', wake).off('end', wake).off('close', broke);
    }
  }

  private async *decompressed(): AsyncGenerator<Buffer> {
    const inflater = new Inflater();
    // Always one slice behind: when a slice breaks, it tells what came before the break within that slice.
    const behind = new Inflater();
    try {
      for await (const chunk of this.received()) {
        this.note(chunk);
        for (let at = 0; at < chunk.length; at += SLICE_BYTES) {
          const slice = chunk.subarray(at, at + SLICE_BYTES);
          const handedOn = yield* inflater.push(slice);
          if (inflater.failure !== undefined) {
            yield* behind.pushUntilBreak(slice, handedOn);
            throw this.brokenBy(inflater.failure);
          }
          for await (const _ of behind.push(slice));
        }
      }
      if (this.bytes > 0) yield* inflater.end();
      if (inflater.failure !== undefined) throw this.brokenBy(inflater.failure);
    } finally {
      inflater.destroy();
      behind.destroy();
    }
  }

  private brokenBy(error: Error): BrokenBody {
    this.broke('BROKEN_GZIP', `The body does not decompress: ${error.message}.`);
    return this.failure!;
  }

  private note(chunk: Buffer): void {
    // A copy: the beginning outlives the chunk it came in.
    if (this.bytes < limits.quarantineBytes)
      this.kept.push(Buffer.from(chunk.subarray(0, limits.quarantineBytes - this.bytes)));
    this.bytes += chunk.length;
    this.hash.update(chunk);
  }
}

/** The driver's inflater, a write at a time. It drops what a failing write decompressed: see `pushUntilBreak`. */
class Inflater {
  failure: Error | undefined;
  private readonly gunzip = createGunzip({ chunkSize: 65_536 });
  private readonly ready: Buffer[] = [];
  private done: () => void = () => undefined;

  constructor() {
    // Flowing, so that what was decompressed by earlier writes is not dropped with the stream.
    this.gunzip.on('data', (chunk: Buffer) => this.ready.push(chunk));
    this.gunzip.on('end', () => this.done());
    this.gunzip.on('error', (error: Error) => {
      this.failure = error;
      this.done();
    });
  }

  /** Hands on what the bytes decompress to. @returns how many bytes that were */
  async *push(bytes: Buffer): AsyncGenerator<Buffer, number> {
    await new Promise<void>((resolve) => {
      this.done = resolve;
      this.gunzip.write(bytes, () => resolve());
    });
    return yield* this.take();
  }

  /** Byte by byte, so that the write that fails holds nothing else. @param skip bytes of it that were handed on already */
  async *pushUntilBreak(bytes: Buffer, skip: number): AsyncGenerator<Buffer> {
    for (let at = 0; at < bytes.length && this.failure === undefined; at++) {
      for await (const chunk of this.push(bytes.subarray(at, at + 1))) {
        if (chunk.length > skip) yield chunk.subarray(skip);
        skip = Math.max(0, skip - chunk.length);
      }
    }
  }

  /** The end of the body: what is left, and whether it was whole. */
  async *end(): AsyncGenerator<Buffer> {
    await new Promise<void>((resolve) => {
      this.done = resolve;
      this.gunzip.end();
    });
    yield* this.take();
  }

  destroy(): void {
    this.gunzip.destroy();
  }

  private *take(): Generator<Buffer, number> {
    let bytes = 0;
    for (const chunk of this.ready.splice(0)) {
      bytes += chunk.length;
      yield chunk;
    }
    return bytes;
  }
}

/** A whole body of at most `bytesMax`; of a longer one its beginning, the rest only measured and hashed. */
export interface WholeBody {
  readonly bytes: Buffer;
  readonly sizeBytes: number;
  /** SHA-256 in hex; only of a body longer than allowed. */
  readonly digest: string | undefined;
}

export async function readWhole(request: Request, bytesMax: number): Promise<WholeBody> {
  const parts: Buffer[] = [];
  let size = 0;
  let hash: ReturnType<typeof createHash> | undefined;
  for await (const chunk of new Body(request, 'identity').chunks()) {
    size += chunk.length;
    if (hash === undefined) {
      parts.push(chunk);
      if (size <= bytesMax) continue;
      hash = createHash('sha256');
      for (const part of parts) hash.update(part);
      const head = Buffer.concat(parts).subarray(0, limits.quarantineBytes);
      parts.splice(0, parts.length, Buffer.from(head));
    } else hash.update(chunk);
  }
  return { bytes: Buffer.concat(parts), sizeBytes: size, digest: hash?.digest('hex') };
}
