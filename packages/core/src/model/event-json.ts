/**
 * Wire JSON, both ways: the flat form of the original's release 0.6, byte for byte, so that its data reads here and
 * ours reads there. What that form lacks (sequence, tenant, metadata) follows in extra fields, absent when unused.
 * Also the form in which a history is shown.
 */
import { canonicalJson, isForbiddenKey } from './canonical-json.js';
import { CORRECTION } from './correction.js';
import { InvalidEventError } from './errors.js';
import type { InvalidEventCode } from './errors.js';
import type { EventInput } from './event-input.js';
import type { Fact, Parameters } from './event.js';
import { checkAggregateId, checkMetadata, checkName, checkSequence, checkStreamId, checkTenant } from './identity.js';
import { limits } from './limits.js';
import { isProcessingId } from './processing-id.js';
import { formatTime, parseEventTime } from './time.js';

/** An event read from wire JSON. Its processing id and characteristics are what the sender says: our log gives its own. */
export interface EventFromJson extends EventInput {
  readonly version: string;
  /** Epoch milliseconds. */
  readonly at: number;
  readonly streamId: string;
  /** A type-1 UUID of any variant, or `''` when it was not logged. */
  readonly processingId: string;
  /** Bits: 1 initial, 2 terminal. */
  readonly characteristics: number;
}

const FIELDS = new Set([
  'aggregateType',
  'aggregateId',
  'name',
  'version',
  'eventTimestamp',
  'streamId',
  'processingId',
  'characteristics',
  'parameters',
  'sequence',
  'tenant',
  'metadata',
]);

/** One line without spaces, parameters in alphabetical order, as the original writes it; a processing id only once logged. */
export function toEventJson(fact: Fact): string {
  let text =
    `{"aggregateType":${JSON.stringify(fact.aggregateType)},"aggregateId":${JSON.stringify(fact.aggregateId)}` +
    `,"name":${JSON.stringify(fact.name)},"version":${JSON.stringify(fact.version)}` +
    `,"eventTimestamp":${fact.eventTime},"streamId":${JSON.stringify(fact.streamId)}` +
    `,"processingId":"${fact.processingId}","characteristics":${fact.characteristics},"parameters":${fact.content}`;
  if (fact.sequence !== -1) text += `,"sequence":${fact.sequence}`;
  if (fact.tenant !== '') text += `,"tenant":${JSON.stringify(fact.tenant)}`;
  if (fact.metadata !== undefined) text += `,"metadata":${canonicalJson(fact.metadata)}`;
  return `${text}}`;
}

/** The same objects in an array: what the original's Kafka listener reads. */
export function toEventsJson(facts: Iterable<Fact>): string {
  let text = '';
  for (const fact of facts) text += text === '' ? toEventJson(fact) : `,${toEventJson(fact)}`;
  return `[${text}]`;
}

/**
 * One event of wire JSON, checked: ids, names, time, and the parameters as `canonicalJson` checks them. An integer that
 * JSON's readers would alter (9007199254740993) is refused, not rounded. White space and the order of keys are free;
 * absent `characteristics` are 0 and an absent `processingId` is `''`.
 * @throws InvalidEventError `INVALID_JSON` (no JSON), `INVALID_EVENT` (no object; a field missing, unknown or of another
 * type), `INVALID_ID`, `INVALID_TIME`, `INVALID_SEQUENCE`, `PARAMETER_TYPE`, `FORBIDDEN_KEY`, `INVALID_TEXT`, `LIMIT_EXCEEDED`
 */
export function fromEventJson(json: string | object): EventFromJson {
  return readEvent(typeof json === 'string' ? parse(json) : json, '');
}

/**
 * The events of a JSON array, all of them or none; what is wrong is said with its place: `[3].name`.
 * @throws InvalidEventError as `fromEventJson`, and `LIMIT_EXCEEDED` for more than 10,000 events
 */
export function fromEventsJson(json: string | readonly object[]): EventFromJson[] {
  const value: unknown = typeof json === 'string' ? parse(json) : json;
  if (!Array.isArray(value)) refuse('INVALID_EVENT', 'The JSON is no array of events.', 'Send [{…}, {…}].');
  if (value.length > limits.appendEvents) {
    refuse(
      'LIMIT_EXCEEDED',
      `The array has ${value.length} events; ${limits.appendEvents} are allowed.`,
      'Send it in parts.',
    );
  }
  return value.map((event: unknown, i) => readEvent(event, `[${i}]`));
}

function refuse(
  code: InvalidEventCode,
  reason: string,
  fix: string,
  details?: Readonly<Record<string, unknown>>,
): never {
  throw new InvalidEventError(code, reason, details === undefined ? { fix } : { fix, details });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new InvalidEventError('INVALID_JSON', 'The text is not JSON.', {
      fix: 'Send one whole JSON value; numbers and keys as in RFC 8259, no comments or trailing commas.',
      cause,
    });
  }
}

function readEvent(value: unknown, where: string): EventFromJson {
  if (where === '') return readFields(value);
  try {
    return readFields(value);
  } catch (error) {
    if (!(error instanceof InvalidEventError)) throw error;
    throw new InvalidEventError(error.code, `At ${where}: ${error.reason}`, {
      fix: error.fix,
      details: { ...error.details, at: where },
      cause: error,
    });
  }
}

function readFields(value: unknown): EventFromJson {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const what = Array.isArray(value) ? 'an array' : value === null ? 'null' : `a ${typeof value}`;
    refuse('INVALID_EVENT', `The JSON is ${what}, not one event.`, 'Send one object with the fields of an event.');
  }
  const event = value as Readonly<Record<string, unknown>>;
  for (const field of Object.keys(event)) {
    if (FIELDS.has(field)) continue;
    const shown = JSON.stringify(field.slice(0, 40));
    if (isForbiddenKey(field)) refuse('FORBIDDEN_KEY', `The event has a field ${shown}.`, 'Remove it.', { field });
    refuse(
      'INVALID_EVENT',
      `The event has an unknown field ${shown}.`,
      'Put what belongs to the fact into parameters, what describes its way into metadata.',
    );
  }
  const aggregateType = textOf(event, 'aggregateType');
  checkName('aggregate type', aggregateType);
  const aggregateId = textOf(event, 'aggregateId');
  checkAggregateId(aggregateId);
  const name = textOf(event, 'name');
  checkName('event name', name);
  const version = textOf(event, 'version');
  checkName('version', version);
  const streamId = textOf(event, 'streamId');
  checkStreamId(streamId);
  const { tenant, sequence, metadata } = event;
  if (tenant !== undefined) checkTenant(tenant);
  if (sequence !== undefined) checkSequence(sequence);
  if (metadata !== undefined) checkMetadata(metadata);
  const parameters = event['parameters'];
  if (typeof parameters !== 'object' || parameters === null || Array.isArray(parameters)) {
    refuse('INVALID_EVENT', 'The field parameters is missing or no object.', 'Send {} when there are none.');
  }
  canonicalJson(parameters); // for its refusals, with the path
  return {
    tenant: tenant ?? '',
    aggregateType,
    aggregateId,
    name,
    version,
    at: timeOf(event['eventTimestamp']),
    streamId,
    sequence: sequence ?? -1,
    parameters: parameters as Parameters,
    metadata,
    processingId: processingIdOf(event['processingId']),
    characteristics: characteristicsOf(event['characteristics']),
  };
}

function textOf(event: Readonly<Record<string, unknown>>, field: string): string {
  const value = event[field];
  if (typeof value === 'string') return value;
  const what = value === undefined ? 'missing' : 'no text';
  refuse('INVALID_EVENT', `The field ${field} is ${what}.`, 'Send all fields of the 0.6 form; empty ones as "".', {
    field,
  });
}

function timeOf(value: unknown): number {
  if (typeof value === 'number') return parseEventTime(value);
  refuse(
    value === undefined ? 'INVALID_EVENT' : 'INVALID_TIME',
    `The field eventTimestamp is ${value === undefined ? 'missing' : 'no number'}.`,
    'Send whole epoch milliseconds; ISO text is not part of this form.',
  );
}

function processingIdOf(value: unknown): string {
  if (value === undefined || value === '') return '';
  if (typeof value === 'string' && isProcessingId(value)) return value;
  refuse(
    'INVALID_EVENT',
    'The field processingId is neither a type-1 UUID nor "".',
    'Send "" for an event that was not logged: the log gives ids.',
  );
}

function characteristicsOf(value: unknown): number {
  if (value === undefined) return 0;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= CORRECTION) return value;
  refuse(
    'INVALID_EVENT',
    'The field characteristics is not 0 to 4.',
    'Send 1 for initial, 2 for terminal, 4 for a correction, else 0.',
  );
}

/** How a history shows an event. Times are ISO texts in UTC. */
export interface HistoryJson {
  readonly name: string;
  readonly at: string;
  /** Null for an event that was not logged. */
  readonly processedAt: string | null;
  readonly stream: string;
  /** -1 when its source gave none. */
  readonly sequence: number;
  /** SHA-256 in hex: tells conflicting contents of one identity apart. */
  readonly digest: string;
  /** Shared with the fact: never change them. */
  readonly parameters: Parameters;
  /** How often it came again; 0 unless the read was asked to count. */
  readonly repeats: number;
}

/** A fact as histories are shown to people and over HTTP. */
export function toHistoryJson(fact: Fact): HistoryJson {
  return {
    name: fact.name,
    at: formatTime(fact.eventTime),
    processedAt: fact.processingId === '' ? null : formatTime(fact.processedAt),
    stream: fact.streamId,
    sequence: fact.sequence,
    digest: fact.digest,
    parameters: fact.parameters,
    repeats: fact.repeats,
  };
}
