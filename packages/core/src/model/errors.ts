/**
 * Every error a user can meet. One class for each *reaction the caller can have*; the closed code tells the case.
 * A message has three parts: what happened with its values, why it matters, how to go on.
 */

/** Codes of wiring mistakes, thrown at start-up only. */
export type ConfigurationCode =
  | 'WRONG_SLOT'
  | 'MISSING_CAPABILITY'
  | 'DUPLICATE_EVENT_TYPE'
  | 'EVENT_WITHOUT_AGGREGATE'
  | 'AMBIGUOUS_AGGREGATE'
  | 'AGGREGATE_WITHOUT_EVENTS'
  | 'EVENT_NOT_LISTED'
  | 'AGGREGATE_CONSTRUCTOR'
  | 'STATE_NOT_PLAIN'
  | 'NOT_AN_EVENT'
  | 'NOT_AN_AGGREGATE'
  | 'NO_CONTEXT'
  | 'DUPLICATE_CONTEXT'
  | 'DUPLICATE_AGGREGATE'
  | 'DUPLICATE_PROJECTION'
  | 'DUPLICATE_RELAY'
  | 'DUPLICATE_INLET'
  | 'PROJECTION_SHAPE'
  | 'SHARES_CHANGED'
  | 'REQUEST_SCOPED_HANDLER'
  | 'INVALID_OPTION'
  | 'SCHEMA_MISMATCH'
  | 'UPCASTER_CHAIN';

/** Codes of input that is no valid event, query or argument: fix the event or its sender. */
export type InvalidEventCode =
  | 'UNKNOWN_AGGREGATE'
  | 'UNKNOWN_EVENT_TYPE'
  | 'PARAMETER_TYPE'
  | 'PARAMETER_MISSING'
  | 'PARAMETER_UNDECLARED'
  | 'FORBIDDEN_KEY'
  | 'INVALID_JSON'
  | 'INVALID_UTF8'
  | 'INVALID_TEXT'
  | 'INVALID_ID'
  | 'INVALID_TIME'
  | 'INVALID_SEQUENCE'
  | 'INVALID_EVENT'
  | 'INVALID_CORRECTION'
  | 'INVALID_ARGUMENT'
  | 'INVALID_POSITION'
  | 'LIMIT_EXCEEDED'
  | 'NOT_YET_KNOWN'
  | 'REFUSED';

/** Codes of lost races: read again, decide again. */
export type ConflictCode = 'LEASE_LOST' | 'CHECKPOINT_MOVED';

/** Codes of passing trouble: try again later. */
export type UnavailableCode =
  | 'STORE_UNREACHABLE'
  | 'STORE_FULL'
  | 'STORE_CLOSED'
  | 'SHUTTING_DOWN'
  | 'OVERLOADED'
  | 'TIMEOUT'
  | 'ABORTED'
  | 'CLOCK_SKEW'
  | 'CHANGES_TRIMMED';

/** Codes of what a provider declares it cannot do. */
export type UnsupportedCode = 'CAPABILITY_MISSING';

/** Codes of a user's handler, fold or projection that threw. */
export type HandlerCode = 'HANDLER_FAILED' | 'PROJECTION_FAILED';

/** Every code there is. */
export type ErrorCode =
  ConfigurationCode | InvalidEventCode | ConflictCode | UnavailableCode | UnsupportedCode | HandlerCode;

export interface ErrorOptions {
  /** How to go on, one sentence; appended to the message and kept apart as `fix`. */
  readonly fix?: string;
  /** Plain data: ids, times, limits. Never a payload, which may be private. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

const MARKER = Symbol.for('concursus.error');

/** The base of every error thrown by Concursus. Recognise it with `ConcursusError.isInstance`, which also works across two installed versions. */
export abstract class ConcursusError extends Error {
  abstract readonly code: ErrorCode;
  /** True when the same call may succeed later without a change. */
  readonly retryable: boolean = false;
  readonly fix: string;
  readonly details: Readonly<Record<string, unknown>>;
  /** What happened, without the code and the fix. */
  readonly reason: string;

  protected constructor(code: ErrorCode, reason: string, options: ErrorOptions = {}) {
    super(
      options.fix === undefined ? `${code}: ${reason}` : `${code}: ${reason}\n${options.fix}`,
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.name = new.target.name;
    this.reason = reason;
    this.fix = options.fix ?? '';
    this.details = options.details ?? {};
    Object.defineProperty(this, MARKER, { value: true });
  }

  static isInstance(error: unknown): error is ConcursusError {
    return typeof error === 'object' && error !== null && MARKER in error;
  }
}

/** The application is wired wrongly: fix the module. Thrown at start-up only. */
export class ConfigurationError extends ConcursusError {
  constructor(
    readonly code: ConfigurationCode,
    reason: string,
    options?: ErrorOptions,
  ) {
    super(code, reason, options);
  }
}

/** The event, id, time or argument is not valid: fix it or its sender. */
export class InvalidEventError extends ConcursusError {
  constructor(
    readonly code: InvalidEventCode,
    reason: string,
    options?: ErrorOptions,
  ) {
    super(code, reason, options);
  }
}

/** Somebody else was first: read again and decide again. */
export class ConflictError extends ConcursusError {
  constructor(
    readonly code: ConflictCode,
    reason: string,
    options?: ErrorOptions,
  ) {
    super(code, reason, options);
  }
}

/** Not now: try again later. */
export class UnavailableError extends ConcursusError {
  override readonly retryable = true;
  constructor(
    readonly code: UnavailableCode,
    reason: string,
    options?: ErrorOptions,
  ) {
    super(code, reason, options);
  }
}

/** The configured provider cannot do this: choose another provider or another call. */
export class UnsupportedError extends ConcursusError {
  constructor(
    readonly code: UnsupportedCode,
    reason: string,
    options?: ErrorOptions,
  ) {
    super(code, reason, options);
  }
}

/** A handler, fold or projection threw: look at it; the event is kept. */
export class HandlerError extends ConcursusError {
  constructor(
    readonly code: HandlerCode,
    reason: string,
    options?: ErrorOptions,
  ) {
    super(code, reason, options);
  }
}
