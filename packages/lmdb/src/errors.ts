/** Translates what the driver throws at this package's border. Every refusal a caller meets is made here. */
import { ConcursusError, InvalidEventError, limits, UnavailableError } from '@concursus/core';

/** The longest key LMDB takes on pages of 4,096 bytes. */
export const KEY_BYTES_MAX = 1_978;

export function closedError(path: string): UnavailableError {
  return new UnavailableError('STORE_CLOSED', `The LMDB environment at ${path} is not open.`, {
    fix: 'Call it after the layer is connected and before it is closed.',
    details: { path },
  });
}

export function fullError(path: string, usedBytes: number, boundBytes: number | undefined, cause?: unknown): Error {
  return new UnavailableError(
    'STORE_FULL',
    boundBytes === undefined
      ? `The disk under ${path} is full; nothing of the call was stored.`
      : `The LMDB environment at ${path} holds ${usedBytes} bytes and may hold ${boundBytes}; nothing of the call was stored.`,
    {
      fix: 'Raise mapSizeBytes or free disk space, then send it again.',
      details: { path, usedBytes, boundBytes },
      cause,
    },
  );
}

export function keyTooLongError(what: string): InvalidEventError {
  return new InvalidEventError(
    'LIMIT_EXCEEDED',
    `The key of ${what} is longer than the ${KEY_BYTES_MAX} bytes an LMDB key holds.`,
    {
      fix: `Shorten its parts: an aggregate id may have ${limits.idBytes} bytes, a stream id ${limits.streamBytes}, a name ${limits.nameBytes}.`,
    },
  );
}

/** The error a caller gets for whatever the driver threw; errors of this toolkit pass as they are. */
export function translated(error: unknown, path: string): Error {
  if (ConcursusError.isInstance(error)) return error;
  const text = error instanceof Error ? error.message : String(error);
  if (/MDB_MAP_FULL|ENOSPC|No space left|MDB_TXN_FULL/i.test(text)) return fullError(path, 0, undefined, error);
  return new UnavailableError('STORE_UNREACHABLE', `LMDB at ${path} failed: ${text}`, {
    fix: 'Nothing of the call was stored; retrying is safe. If it stays, look at the cause, the disk and the rights on the folder.',
    details: { path },
    cause: error,
  });
}
