/**
 * From one line of a report to an event: the `Decode` of the flights' door. Everything a line must hold is checked here,
 * by hand and once, as this runs for every line; what remains (text, depth, sizes) the core checks for all events.
 */
import {
  correctionEvent,
  InvalidEventError,
  isForbiddenKey,
  parseEventTime,
  type CorrectionKind,
  type EventInput,
  type InvalidEventCode,
  type Metadata,
} from '@concursus/core';
import { checkFlightId } from './flight-id.js';

type Kind = 'text' | 'integer' | 'time';
type Field = readonly [name: string, kind: Kind];

/** The fields a report's `data` must have, by type; more is allowed. */
const FIELDS: ReadonlyMap<string, readonly Field[]> = new Map<string, readonly Field[]>([
  [
    'scheduled',
    [
      ['carrier', 'text'],
      ['number', 'integer'],
      ['origin', 'text'],
      ['destination', 'text'],
      ['scheduledDeparture', 'time'],
      ['scheduledArrival', 'time'],
      ['distanceMiles', 'integer'],
    ],
  ],
  ['departed', [['tail', 'text']]],
  ['arrived', [['tail', 'text']]],
  ['cancelled', [['reason', 'text']]],
  ['diverted', []],
]);

const EXAMPLE =
  'Send one object a line: {"source":"airport:EWR","flight":"2013-01-01/UA1545/EWR-0515","type":"departed","at":"2013-01-01T10:17:00.000Z","data":{"tail":"N14228"}}';

function refuse(code: InvalidEventCode, reason: string, fix = EXAMPLE): never {
  throw new InvalidEventError(code, reason, { fix });
}

function shown(value: unknown): string {
  if (typeof value === 'string') return `"${value.slice(0, 60).toWellFormed()}${value.length > 60 ? '…' : ''}"`;
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return String(value);
  return Array.isArray(value) ? 'an array' : `of type ${typeof value}`;
}

function textOf(value: unknown, field: string): string {
  if (typeof value === 'string' && value !== '') return value;
  return value === undefined
    ? refuse('INVALID_EVENT', `The report has no ${field}.`)
    : refuse('INVALID_EVENT', `The report's ${field} is ${value === '' ? 'empty' : shown(value)}, not a text.`);
}

/** Event times are read by the core; here only that it is a text: of a bare number nobody knows the unit. */
function timeOf(value: unknown, field: string): string {
  if (typeof value === 'string') return value;
  return value === undefined
    ? refuse('INVALID_TIME', `The report has no ${field}.`)
    : refuse('INVALID_TIME', `The report's ${field} is ${shown(value)}, not an ISO time.`);
}

function checkField(data: Record<string, unknown>, [name, kind]: Field, type: string): void {
  if (!Object.hasOwn(data, name)) refuse('PARAMETER_MISSING', `The data of a ${type} report has no ${name}.`);
  const value = data[name];
  if (kind === 'integer') {
    if (Number.isSafeInteger(value)) return;
  } else if (typeof value === 'string') {
    if (kind === 'text') return;
    parseEventTime(value);
    return;
  }
  const wanted = kind === 'integer' ? 'a whole number' : kind === 'text' ? 'a text' : 'an ISO time';
  refuse('PARAMETER_TYPE', `The ${name} of a ${type} report is ${shown(value)}, not ${wanted}.`);
}

const NO_METADATA: Metadata = Object.freeze({});

/** Whatever the line is beside an object would otherwise fail somewhere less clear. */
function objectOf(value: unknown, what: string, code: InvalidEventCode): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  return refuse(code, `${what} is ${value === undefined ? 'missing' : shown(value)}, not an object.`);
}

function fieldsOf(type: string): readonly Field[] {
  return (
    FIELDS.get(type) ??
    refuse(
      'UNKNOWN_EVENT_TYPE',
      `The report's type is ${shown(type)}.`,
      'Send scheduled, departed, arrived, cancelled or diverted.',
    )
  );
}

function sequenceOf(value: unknown): number {
  if (value === undefined) return -1;
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  return refuse(
    'INVALID_SEQUENCE',
    `The report's sequence is ${shown(value)}.`,
    'Send a whole number from 0, or leave it out.',
  );
}

function dataOf(value: unknown, fields: readonly Field[], type: string): Record<string, unknown> {
  const data = objectOf(value, "The report's data", value === undefined ? 'PARAMETER_MISSING' : 'PARAMETER_TYPE');
  for (let i = 0; i < fields.length; i++) checkField(data, fields[i]!, type);
  return data;
}

const CORRECTION_KEYS: ReadonlySet<string> = new Set([
  'kind',
  'target',
  'decidedAt',
  'source',
  'sequence',
  'at',
  'data',
]);
const TARGET_KEYS: ReadonlySet<string> = new Set(['at', 'source', 'sequence', 'type', 'digest']);
const CORRECTION_EXAMPLE =
  'Send { "kind": "retract" | "amend" | "reinstate", "target": { "at", "source", "sequence"?, "type", "digest"? }, "decidedAt", "source", "sequence"?, "at"?, "data"? }.';

function onlyKeys(object: Record<string, unknown>, known: ReadonlySet<string>, what: string): void {
  for (const key in object) {
    if (isForbiddenKey(key)) refuse('FORBIDDEN_KEY', `${what} has the key ${key}.`, CORRECTION_EXAMPLE);
    if (!known.has(key)) refuse('INVALID_CORRECTION', `${what} has a key ${shown(key)}.`, CORRECTION_EXAMPLE);
  }
}

/**
 * Reads a correction of one flight's report: the same door for its times, texts and amended data as for reports.
 * @throws InvalidEventError with the field and what was found
 */
export function readCorrectionOf(flight: string, text: string): EventInput {
  checkFlightId(flight);
  const body = objectOf(JSON.parse(text), 'The correction', 'INVALID_CORRECTION');
  onlyKeys(body, CORRECTION_KEYS, 'The correction');
  const target = objectOf(body['target'], "The correction's target", 'INVALID_CORRECTION');
  onlyKeys(target, TARGET_KEYS, "The correction's target");
  const type = textOf(target['type'], 'target.type');
  const fields = fieldsOf(type);
  const { digest } = target;
  if (digest !== undefined && typeof digest !== 'string') refuse('INVALID_CORRECTION', 'The digest is no text.');
  return correctionEvent({
    aggregateType: 'flight',
    aggregateId: flight,
    kind: body['kind'] as CorrectionKind,
    target: {
      at: timeOf(target['at'], 'target.at'),
      streamId: textOf(target['source'], 'target.source'),
      sequence: sequenceOf(target['sequence']),
      name: type,
      ...(digest === undefined ? {} : { digest }),
    },
    decidedAt: timeOf(body['decidedAt'], 'decidedAt'),
    streamId: textOf(body['source'], 'source'),
    sequence: sequenceOf(body['sequence']),
    ...(body['at'] === undefined ? {} : { at: timeOf(body['at'], 'at') }),
    ...(body['data'] === undefined ? {} : { parameters: dataOf(body['data'], fields, type), version: '0' }),
  });
}

/**
 * Reads one line. Identity is flight, `at`, source (the stream), sequence and type; content is `data`; `receivedAt` is in
 * neither and is kept as metadata.
 * @throws InvalidEventError with the field and what was found
 */
export function readReport(text: string): EventInput {
  const report = objectOf(JSON.parse(text), 'The line', 'INVALID_EVENT');
  for (const key in report) {
    if (isForbiddenKey(key)) {
      refuse('FORBIDDEN_KEY', `The report has the key ${key}, which could change an object's prototype.`);
    }
  }
  const source = textOf(report['source'], 'source');
  const flight = textOf(report['flight'], 'flight');
  checkFlightId(flight);
  const type = textOf(report['type'], 'type');
  const fields = fieldsOf(type);
  const at = timeOf(report['at'], 'at');
  const sequence = sequenceOf(report['sequence']);
  const receivedAt = report['receivedAt'];
  if (receivedAt !== undefined) parseEventTime(timeOf(receivedAt, 'receivedAt'));
  const data = dataOf(report['data'], fields, type);
  return {
    aggregateType: 'flight',
    aggregateId: flight,
    name: type,
    version: '0',
    at,
    streamId: source,
    sequence,
    parameters: data,
    metadata: receivedAt === undefined ? NO_METADATA : { receivedAt: receivedAt as string },
  };
}
