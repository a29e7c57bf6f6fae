/** Whoever waits for an answer may leave: what was to be done for it then need not be. */
import type { Response } from 'express';

/** Aborts when the connection closes before the answer was given. */
export function goneOf(response: Response): AbortSignal {
  const gone = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) gone.abort();
  });
  return gone.signal;
}
