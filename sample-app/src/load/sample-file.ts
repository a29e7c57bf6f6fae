/** A file of reports, plain or .gz, read twice: once to know which file it is and how many lines it has, once to load it. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createGunzip } from 'node:zlib';
import { pipeline } from 'node:stream';

/** The file's content by its digest, whatever it is called and wherever it lies. */
export interface SampleFile {
  readonly path: string;
  readonly digest: string;
  readonly lines: number;
}

/** The decompressed bytes; a file is recognised as gzip by its first two bytes. */
export async function readFileBytes(path: string, onBytes?: (bytes: Buffer) => void): Promise<AsyncIterable<Buffer>> {
  const file = await open(path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(2), 0, 2, 0);
  await file.close();
  const raw = createReadStream(path, { highWaterMark: 65_536 });
  if (onBytes !== undefined) raw.on('data', (chunk) => onBytes(chunk as Buffer));
  if (bytesRead < 2 || buffer[0] !== 0x1f || buffer[1] !== 0x8b) return raw;
  // The error reaches whoever reads; the callback is there so that it is thrown nowhere else.
  return pipeline(raw, createGunzip({ chunkSize: 65_536 }), () => undefined);
}

export async function inspect(path: string): Promise<SampleFile> {
  const hash = createHash('sha256');
  let lines = 0;
  let open = false;
  for await (const chunk of await readFileBytes(path, (bytes) => hash.update(bytes))) {
    for (let at = chunk.indexOf(0x0a); at !== -1; at = chunk.indexOf(0x0a, at + 1)) lines++;
    open = chunk.length > 0 && chunk[chunk.length - 1] !== 0x0a;
  }
  return { path, digest: hash.digest('hex'), lines: open ? lines + 1 : lines };
}
