/** Translates what the driver throws at this package's border. Every refusal a caller meets is made here. */
import { ConcursusError, ConfigurationError, InvalidEventError, limits, UnavailableError } from '@concursus/core';
import { errors, types } from 'cassandra-driver';

/** The numbers of the protocol: an error's code is one of them. */
const codes: Readonly<Record<keyof typeof types.responseErrorCodes, number>> = types.responseErrorCodes;

/**
 * Answers that say for certain that the request changed nothing. That too few replicas live is none of them: it may be found
 * out after a condition was decided and before its outcome is told to all.
 */
const REFUSED_BEFORE: ReadonlySet<number> = new Set([
  codes.protocolError,
  codes.badCredentials,
  codes.isBootstrapping,
  codes.syntaxError,
  codes.unauthorized,
  codes.invalid,
  codes.configError,
  codes.alreadyExists,
  codes.unprepared,
]);

export function closedError(keyspace: string): UnavailableError {
  return new UnavailableError('STORE_CLOSED', `The Cassandra keyspace "${keyspace}" is not open.`, {
    fix: 'Call it after the layer is connected and before it is closed.',
    details: { keyspace },
  });
}

export function overloadedError(waiting: number): UnavailableError {
  return new UnavailableError('OVERLOADED', `${waiting} requests wait for Cassandra already.`, {
    fix: 'Send less at once, or raise requestsMax or waitingMax; nothing of the call was stored.',
    details: { waiting },
  });
}

/** What a conditional write came to could not be found out: it may have been made, or not. */
export function unknownOutcomeError(what: string, cause: unknown): UnavailableError {
  return new UnavailableError('TIMEOUT', `Whether ${what} could not be found out.`, {
    fix: 'Read what is stored, then decide again.',
    cause,
  });
}

export function schemaMismatch(keyspace: string, reason: string, cause?: unknown): ConfigurationError {
  return new ConfigurationError('SCHEMA_MISMATCH', `The keyspace "${keyspace}" ${reason}`, {
    fix: 'Use the version that made it, let one process make it (createSchema: true), or name another keyspace.',
    details: { keyspace },
    cause,
  });
}

/** True when a failed request may still have been, or may yet be, carried out. */
export function mayHaveHappened(error: unknown): boolean {
  if (error instanceof errors.ArgumentError || error instanceof errors.BusyConnectionError) return false;
  // Another host is tried only for what was not sent, so that no host was available means that none got it.
  if (error instanceof errors.NoHostAvailableError) return false;
  return !(error instanceof errors.ResponseError && REFUSED_BEFORE.has(error.code));
}

/** The error a caller gets for whatever the driver threw; errors of this toolkit pass as they are. */
export function translated(error: unknown): Error {
  if (ConcursusError.isInstance(error)) return error;
  const text = error instanceof Error ? error.message : String(error);
  if (error instanceof errors.BusyConnectionError) return busy(text, error);
  if (error instanceof errors.OperationTimedOutError) return timedOut(text, error);
  if (error instanceof errors.ResponseError) {
    switch (error.code) {
      case codes.writeTimeout:
      case codes.readTimeout:
        return timedOut(text, error);
      case codes.overloaded:
        return busy(text, error);
      case codes.badCredentials:
      case codes.unauthorized:
        return unreachable(text, 'Give the layer credentials that may read and write the keyspace.', error);
      case codes.invalid:
        // The server words it so; nothing else it calls invalid can come from prepared statements of this package.
        if (/too large|exceeds the maximum/i.test(text)) {
          return new InvalidEventError('LIMIT_EXCEEDED', `Cassandra takes no request of this size: ${text}`, {
            fix: 'Send less at once, or smaller values.',
            cause: error,
          });
        }
        break;
      default:
    }
  }
  if (error instanceof errors.AuthenticationError) {
    return unreachable(text, 'Give the layer credentials that may read and write the keyspace.', error);
  }
  return unreachable(text, 'Retrying is safe. If it stays, look at the cause and at the cluster.', error);
}

function timedOut(text: string, cause: unknown): UnavailableError {
  return new UnavailableError('TIMEOUT', `Cassandra did not answer in time: ${text}`, {
    fix: 'Retrying is safe. If it stays, look at the load of the cluster.',
    cause,
  });
}

function busy(text: string, cause: unknown): UnavailableError {
  return new UnavailableError('OVERLOADED', `Cassandra takes no more requests now: ${text}`, {
    fix: 'Try again later, with less at once.',
    cause,
  });
}

function unreachable(text: string, fix: string, cause: unknown): UnavailableError {
  return new UnavailableError('STORE_UNREACHABLE', `Cassandra failed: ${text}`, { fix, cause });
}

/** @throws InvalidEventError `LIMIT_EXCEEDED` */
export function checkAppendSize(facts: number): void {
  if (facts >= 1 && facts <= limits.appendEvents) return;
  throw new InvalidEventError('LIMIT_EXCEEDED', `An append of ${facts} events was given.`, {
    fix: `Give 1 to ${limits.appendEvents} events an append.`,
  });
}

/** What a caller is told whose append may be recorded yet. */
export function notInTimeError(ms: number): UnavailableError {
  return new UnavailableError('TIMEOUT', `What was appended is not surely recorded after ${ms} ms.`, {
    fix: 'Send it again: what is recorded already will be a repeat.',
    details: { ms },
  });
}
