/**
 * Corrections: retract, amend and reinstate, facts of the aggregate they correct. They erase nothing: what a history
 * means after them is decided by readers (effective-facts.ts), so they may come in any order, twice, or before their target.
 *
 * A correction stands at its target's event time, under its own stream and sequence, and its name is made of what it
 * corrects and when that was decided: with these its identity is (target, `decidedAt`, stream, sequence), and stores, feed
 * and wire form carry it like any other fact.
 */
import { canonicalJson } from './canonical-json.js';
import { sha256Hex } from './digest.js';
import { InvalidEventError } from './errors.js';
import type { EventInput } from './event-input.js';
import type { Fact, Metadata, Parameters } from './event.js';
import { checkName, checkSequence, checkStreamId, identityText } from './identity.js';
import { formatTime, parseEventTime } from './time.js';

/** The bit of a correction in `Fact.characteristics`, beside 1 initial and 2 terminal. */
export const CORRECTION = 4;
/** How the names of corrections begin. Names that begin with `$` are the library's own. */
export const CORRECTION_PREFIX = '$correction.';

/** `retract`: the event counts no more · `amend`: it counts with another time or content · `reinstate`: it counts as recorded. */
export type CorrectionKind = 'retract' | 'amend' | 'reinstate';

/** Which event is corrected: an identity within its aggregate, and with a digest one content of it only. */
export interface CorrectionTarget {
  /** The event time it was recorded with. */
  readonly at: number | string | Date;
  /** Absent means `''`. */
  readonly streamId?: string;
  /** Absent means -1. */
  readonly sequence?: number;
  /** The event's name, as in `Fact.name`. */
  readonly name: string;
  /** SHA-256 in hex: only the content with this digest. Absent: every content of the identity, also one still to come. */
  readonly digest?: string;
}

/** A correction on its way in. */
export interface CorrectionInput {
  readonly tenant?: string;
  readonly aggregateType: string;
  readonly aggregateId: string;
  readonly kind: CorrectionKind;
  readonly target: CorrectionTarget;
  /** When it was decided. Of several corrections of one content the greatest (`decidedAt`, stream, sequence, digest) rules. */
  readonly decidedAt: number | string | Date;
  /** Who corrects; absent means `''`. */
  readonly streamId?: string;
  /** The corrector's own number; absent means -1. */
  readonly sequence?: number;
  /** Of an amendment: when it happened really. */
  readonly at?: number | string | Date;
  /** Of an amendment: what it said really, in wire form. Absent: the content stays. */
  readonly parameters?: Readonly<Record<string, unknown>>;
  /** The version of `parameters`. Absent: the current one of the event's class. */
  readonly version?: string;
  readonly metadata?: Metadata;
}

/** A correction as its fact holds it. */
export interface Correction {
  readonly kind: CorrectionKind;
  readonly target: {
    readonly eventTime: number;
    readonly streamId: string;
    readonly sequence: number;
    readonly name: string;
    readonly digest: string | undefined;
  };
  readonly decidedAt: number;
  /** Of an amendment: the corrected event time. */
  readonly at: number | undefined;
  readonly version: string | undefined;
  /** Of an amendment: the corrected parameters, in RFC 8785 form. */
  readonly content: string | undefined;
}

const refuse = (what: string, fix: string): InvalidEventError =>
  new InvalidEventError('INVALID_CORRECTION', what, { fix });

const SHAPE =
  'Send { kind: retract | amend | reinstate, target: { at, streamId?, sequence?, name, digest? }, decidedAt }, and for an amendment at, parameters or both.';

/**
 * The event that records a correction: hand it to `EventBus.record`, a topic or any other consumer of events.
 * @throws InvalidEventError `INVALID_CORRECTION`, `INVALID_TIME`, `INVALID_ID`, `INVALID_SEQUENCE`
 */
export function correctionEvent(input: CorrectionInput): EventInput {
  const { target } = input;
  if (typeof target !== 'object' || target === null) throw refuse('The correction names no target.', SHAPE);
  const parameters: Record<string, unknown> = {
    kind: input.kind,
    target: {
      streamId: target.streamId ?? '',
      sequence: target.sequence ?? -1,
      name: target.name,
      ...(target.digest === undefined ? {} : { digest: target.digest }),
    },
    decidedAt: parseEventTime(input.decidedAt),
    ...(input.at === undefined ? {} : { at: parseEventTime(input.at) }),
    ...(input.parameters === undefined ? {} : { parameters: input.parameters }),
    ...(input.parameters === undefined || input.version === undefined ? {} : { version: input.version }),
  };
  const at = parseEventTime(target.at);
  const correction = readCorrection(at, parameters);
  return {
    aggregateType: input.aggregateType,
    aggregateId: input.aggregateId,
    name: correctionName(correction),
    version: '0',
    at,
    streamId: input.streamId ?? '',
    sequence: input.sequence ?? -1,
    parameters,
    ...(input.tenant === undefined ? {} : { tenant: input.tenant }),
    ...(input.metadata === undefined ? {} : { metadata: input.metadata }),
  };
}

/** The name of a correction's fact: what it corrects and when that was decided. */
export function correctionName({ target, decidedAt }: Correction): string {
  const identity = canonicalJson([target.streamId, target.sequence, target.name, target.digest ?? null, decidedAt]);
  return CORRECTION_PREFIX + sha256Hex(identity).slice(0, 32);
}

const KEYS: ReadonlySet<string> = new Set(['kind', 'target', 'decidedAt', 'at', 'parameters', 'version']);
const TARGET_KEYS: ReadonlySet<string> = new Set(['streamId', 'sequence', 'name', 'digest']);

function onlyKeys(object: object, known: ReadonlySet<string>, what: string): void {
  const other = Object.keys(object).find((key) => !known.has(key));
  if (other !== undefined) throw refuse(`The ${what} has a field "${other.slice(0, 40)}".`, SHAPE);
}

/**
 * Reads and checks the parameters of a correction that stands at `eventTime`.
 * @throws InvalidEventError `INVALID_CORRECTION`, `INVALID_TIME`, `INVALID_ID`, `INVALID_SEQUENCE`
 */
export function readCorrection(eventTime: number, parameters: Readonly<Record<string, unknown>>): Correction {
  const { kind, target, decidedAt, at, version, parameters: amended } = parameters;
  if (kind !== 'retract' && kind !== 'amend' && kind !== 'reinstate') {
    throw refuse(`The correction is of no known kind: ${JSON.stringify(kind)?.slice(0, 40)}.`, SHAPE);
  }
  if (typeof target !== 'object' || target === null) throw refuse('The correction names no target.', SHAPE);
  onlyKeys(parameters, KEYS, 'correction');
  onlyKeys(target, TARGET_KEYS, 'target');
  const { streamId, sequence, name, digest } = target as Readonly<Record<string, unknown>>;
  checkStreamId(streamId);
  checkSequence(sequence);
  checkName('event name', name);
  if (name.startsWith('$'))
    throw refuse(`"${name}" is no event of a user.`, 'Correct the event itself, by a later decision.');
  if (digest !== undefined && (typeof digest !== 'string' || !/^[0-9a-f]{64}$/.test(digest))) {
    throw refuse('The target’s digest is no SHA-256 in hex.', 'Send the digest that the history shows, or none.');
  }
  if (kind === 'amend' ? at === undefined && amended === undefined : at !== undefined || amended !== undefined) {
    throw refuse(
      kind === 'amend' ? 'The amendment changes nothing.' : `A correction that is to ${kind} has a time or content.`,
      SHAPE,
    );
  }
  if (amended !== undefined && (typeof amended !== 'object' || amended === null || Array.isArray(amended))) {
    throw refuse('The amended parameters are no object.', SHAPE);
  }
  if (version !== undefined) {
    if (amended === undefined) throw refuse('The correction has a version and no parameters.', SHAPE);
    checkName('version', version);
  }
  return {
    kind,
    target: { eventTime, streamId, sequence, name, digest },
    decidedAt: timeOf(decidedAt, 'decidedAt'),
    at: at === undefined ? undefined : timeOf(at, 'at'),
    version,
    content: amended === undefined ? undefined : canonicalJson(amended),
  };
}

/** Within a fact times are epoch milliseconds, so that one correction has one content. */
function timeOf(value: unknown, field: string): number {
  if (typeof value === 'number') return parseEventTime(value);
  throw refuse(`The correction’s ${field} is no time in epoch milliseconds.`, SHAPE);
}

/** Whether a fact is a correction. */
export function isCorrection(fact: Fact): boolean {
  return (fact.characteristics & CORRECTION) !== 0;
}

const read = new WeakMap<Fact, Correction>();

/** What a correction's fact says. Read once a fact; it was checked when it was recorded. */
export function correctionOf(fact: Fact): Correction {
  let correction = read.get(fact);
  if (correction === undefined) {
    correction = readCorrection(fact.eventTime, fact.parameters as Parameters);
    read.set(fact, correction);
  }
  return correction;
}

/** The event time at which a fact counts for watermarks and snapshots: of an amendment that moves, the earlier of old and new. */
export function effectTimeOf(fact: Fact): number {
  if ((fact.characteristics & CORRECTION) === 0) return fact.eventTime;
  const { at } = correctionOf(fact);
  return at === undefined || at > fact.eventTime ? fact.eventTime : at;
}

/** The latest event time that a fact bears on: of an amendment that moves, the later of old and new. */
export function reachTimeOf(fact: Fact): number {
  if ((fact.characteristics & CORRECTION) === 0) return fact.eventTime;
  const { at } = correctionOf(fact);
  return at === undefined || at < fact.eventTime ? fact.eventTime : at;
}

/** For change records, as `identityText`: of a correction the event it corrects, and what it does to it. */
export function causeText(fact: Fact): string {
  if ((fact.characteristics & CORRECTION) === 0) return identityText(fact);
  const { kind, target } = correctionOf(fact);
  return identityText({
    aggregateType: fact.aggregateType,
    aggregateId: fact.aggregateId,
    eventTime: target.eventTime,
    name: `${target.name} ${kind}`,
  });
}

/** For people: `retract of departed@2013-01-01T10:17:00.000Z, decided 2013-01-02T08:00:00.000Z`. */
export function correctionText(fact: Fact): string {
  const { kind, target, decidedAt } = correctionOf(fact);
  return `${kind} of ${target.name}@${formatTime(target.eventTime)}, decided ${formatTime(decidedAt)}`;
}
