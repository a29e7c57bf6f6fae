/** One event in one body: read whole, recorded as it came, and answered with its outcome. */
import { EventBus, limits, type Decode, type RawInput } from '@concursus/core';
import type { Request } from 'express';
import { BrokenBody, readWhole } from './body.js';
import { checkMedia } from './media-type.js';
import { Problem } from './problem.js';

/** The body's own bytes, so that what is refused is kept as it was sent. @throws Problem 400, 413, 415 */
export async function readJson(request: Request, source: string): Promise<RawInput> {
  checkMedia(request, 'application/json', ['identity']);
  const body = await readWhole(request, limits.inputBytes).catch((error: unknown) => {
    if (error instanceof BrokenBody) throw new Problem(400, error.code, error.message, 'Send it again.');
    throw error;
  });
  return {
    bytes: body.bytes,
    line: 1,
    source,
    sizeBytes: body.sizeBytes,
    ...(body.digest === undefined ? {} : { digest: body.digest }),
  };
}

async function* one(raw: RawInput): AsyncGenerator<RawInput> {
  yield raw;
}

/** @returns recorded, repeated, conflicting, buffered or dropped @throws Problem 400 when it is rejected; its bytes are in the quarantine then */
export async function recordOne(bus: EventBus, raw: RawInput, decode: Decode): Promise<string> {
  // As a stream of one: so the body's own bytes are what is kept when it is refused.
  const summary = await bus.record(one(raw), { decode, source: raw.source });
  const rejection = summary.rejections[0];
  if (rejection !== undefined) throw new Problem(400, rejection.code, rejection.reason, rejection.fix);
  if (summary.recorded > 0) return 'recorded';
  if (summary.repeated > 0) return 'repeated';
  if (summary.conflicting > 0) return 'conflicting';
  return summary.buffered > 0 ? 'buffered' : 'dropped';
}
