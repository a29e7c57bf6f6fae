/** A small JSON object as a body, with known fields only: what says something about a source is no report, so it is not kept. */
import { InvalidEventError, isForbiddenKey, type InvalidEventCode } from '@concursus/core';
import type { Request } from 'express';
import { BrokenBody, readWhole } from './body.js';
import { checkMedia } from './media-type.js';
import { Problem } from './problem.js';

/** A few times and numbers take some hundred bytes. */
const BYTES_MAX = 4_096;

function refuse(code: InvalidEventCode, reason: string, fix: string): never {
  throw new InvalidEventError(code, reason, { fix });
}

/** What the object holds. An empty body is an empty object. @throws InvalidEventError, or Problem 400, 413, 415 */
export async function readSmall(
  request: Request,
  fields: readonly string[],
  fix: string,
): Promise<Readonly<Record<string, unknown>>> {
  const isEmpty = request.headers['content-type'] === undefined && request.headers['transfer-encoding'] === undefined;
  if (!isEmpty || (request.headers['content-length'] ?? '0') !== '0')
    checkMedia(request, 'application/json', ['identity']);
  const body = await readWhole(request, BYTES_MAX).catch((error: unknown) => {
    if (error instanceof BrokenBody) throw new Problem(400, error.code, error.message, 'Send it again.');
    throw error;
  });
  if (body.digest !== undefined) {
    throw new Problem(413, 'LIMIT_EXCEEDED', `The body has ${body.sizeBytes} bytes; ${BYTES_MAX} are allowed.`, fix);
  }
  if (body.bytes.length === 0) return {};
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body.bytes));
  } catch {
    return refuse('INVALID_JSON', 'The body is no JSON.', fix);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return refuse('INVALID_EVENT', 'The body is not an object.', fix);
  }
  for (const key of Object.keys(value)) {
    if (isForbiddenKey(key)) refuse('FORBIDDEN_KEY', `The body has the key ${key}.`, fix);
    if (!fields.includes(key)) {
      refuse('INVALID_EVENT', `The body has the unknown key "${key.slice(0, 60).toWellFormed()}".`, fix);
    }
  }
  return value as Readonly<Record<string, unknown>>;
}

/** An ISO time in epoch ms; undefined when the field is absent. @throws InvalidEventError `INVALID_TIME` */
export function timeIn(body: Readonly<Record<string, unknown>>, field: string, fix: string): string | undefined {
  const value = body[field];
  if (value === undefined || typeof value === 'string') return value;
  return refuse('INVALID_TIME', `The field ${field} is no ISO time.`, fix);
}
