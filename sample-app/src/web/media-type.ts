/** What a body says it is, before a byte of it is read. */
import type { Request } from 'express';
import { Problem } from './problem.js';

/** `gzip` when the body must be decompressed. @throws Problem 415 */
export function checkMedia(request: Request, type: string, encodings: readonly string[]): 'gzip' | 'identity' {
  const given = (request.headers['content-type'] ?? '').split(';');
  const charset = given
    .slice(1)
    .map((part) => part.trim().toLowerCase())
    .find((part) => part.startsWith('charset='));
  const isUtf8 = charset === undefined || /^charset="?utf-?8"?$/.test(charset);
  if (given[0]!.trim().toLowerCase() !== type || !isUtf8) {
    const sent = request.headers['content-type']?.slice(0, 80) ?? 'absent';
    throw new Problem(415, 'UNSUPPORTED_MEDIA_TYPE', `The content type is ${sent}.`, `Send ${type}, as UTF-8.`);
  }
  const encoding = (request.headers['content-encoding'] ?? 'identity').trim().toLowerCase();
  if (!encodings.includes(encoding)) {
    throw new Problem(
      415,
      'UNSUPPORTED_MEDIA_TYPE',
      `The content encoding is ${encoding.slice(0, 80)}.`,
      `Send the body ${encodings.includes('gzip') ? 'plain or with gzip' : 'plain'}.`,
    );
  }
  return encoding === 'gzip' ? 'gzip' : 'identity';
}
