/**
 * Stop 4 of the walk: raw inputs and complete events become facts, or are rejected with code, reason and fix.
 * One synchronous loop a batch, without a promise an event; only a schema that is asynchronous itself makes it wait.
 */
import type { AggregateModel, EventModel } from '../mapping/event-registry.js';
import type { ValidationResult } from '../mapping/validation.js';
import { canonicalJson } from '../model/canonical-json.js';
import { CORRECTION, CORRECTION_PREFIX, correctionName, readCorrection } from '../model/correction.js';
import { ConcursusError, InvalidEventError } from '../model/errors.js';
import type { EventInput } from '../model/event-input.js';
import { fromEventJson } from '../model/event-json.js';
import { Fact, type Parameters } from '../model/event.js';
import { checkAggregateId, checkMetadata, checkSequence, checkStreamId, checkTenant } from '../model/identity.js';
import { limits } from '../model/limits.js';
import { utf8Length } from '../model/text.js';
import { parseEventTime } from '../model/time.js';
import { isReserved, sourceFactOf } from '../time/source-facts.js';
import type { Batch, BatchItem } from './batch.js';
import type { Decode, RawInput, RecordOptions } from './record.js';

/** What the receiver asks of the registry. */
export interface KnownAggregates {
  /** @throws InvalidEventError `UNKNOWN_AGGREGATE` */
  aggregate(type: string): AggregateModel;
}

/** A reason is shown and stored: it may quote input, so it is cut and made well-formed. */
const REASON_LENGTH_MAX = 500;

/** Also for objects whose getters throw: those are events, and rejected as such. */
export function isRawInput(input: unknown): input is RawInput {
  try {
    return typeof input === 'object' && input !== null && (input as Partial<RawInput>).bytes instanceof Uint8Array;
  } catch {
    return false;
  }
}

/** The default `Decode`: one event in wire JSON. @throws InvalidEventError */
export function decodeWireJson(text: string): EventInput {
  refuseDeepJson(text);
  return fromEventJson(text);
}

/** Reads wire JSON, or an event as `record()` takes it, written as JSON: what the quarantine holds of inputs that were not raw. @throws InvalidEventError */
export function decodeKeptEvent(text: string): EventInput {
  refuseDeepJson(text);
  const value: unknown = JSON.parse(text);
  if (typeof value === 'object' && value !== null && 'at' in value && !('eventTimestamp' in value)) {
    return value as EventInput; // checked field by field when it becomes a fact
  }
  return fromEventJson(text);
}

/**
 * Refuses JSON that is nested deeper than parameters may be, before anything recursive reads it. Counts brackets only
 * in texts that hold enough of them to be too deep; those inside strings do not count.
 */
function refuseDeepJson(text: string): void {
  const deepest = limits.parametersDepth + 8; // the envelope around the parameters
  let openings = 0;
  for (let at = text.indexOf('{'); at !== -1 && openings <= deepest; at = text.indexOf('{', at + 1)) openings++;
  for (let at = text.indexOf('['); at !== -1 && openings <= deepest; at = text.indexOf('[', at + 1)) openings++;
  if (openings <= deepest) return;
  let depth = 0;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (quoted) {
      if (c === 0x5c) i++;
      else if (c === 0x22) quoted = false;
    } else if (c === 0x22) quoted = true;
    else if (c === 0x7b || c === 0x5b) {
      if (++depth > deepest) {
        throw new InvalidEventError('LIMIT_EXCEEDED', `The JSON is nested deeper than ${deepest} levels.`, {
          fix: `Flatten it: parameters may have ${limits.parametersDepth} levels.`,
        });
      }
    } else if (c === 0x7d || c === 0x5d) depth--;
  }
}

export class Receiver {
  /** `ignoreBOM` keeps a byte-order mark in the text, where JSON refuses it: nothing is stripped silently. */
  private readonly utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

  /** Checked last: events of one aggregate or source mostly come together. */
  private lastId: string | undefined = undefined;
  private lastStream = '';
  private lastAggregate: AggregateModel | undefined = undefined;

  constructor(private readonly registry: KnownAggregates) {}

  /** Decides each pending item of the batch: it has a fact afterwards, or is rejected. Never throws for an input. */
  receive(batch: Batch, options: RecordOptions, firstIndex: number): void | Promise<void> {
    const items = batch.items;
    let waiting: Promise<void>[] | undefined;
    for (let i = 0; i < items.length; i++) {
      const pending = this.admit(items[i]!, options, firstIndex + i);
      if (pending !== undefined) (waiting ??= []).push(pending);
    }
    return waiting === undefined ? undefined : Promise.all(waiting).then(() => undefined);
  }

  /** The same for one item; a promise only when its schema is asynchronous. */
  admit(item: BatchItem, options: RecordOptions, index: number): void | Promise<void> {
    try {
      const raw = isRawInput(item.input) ? item.input : undefined;
      const input = raw === undefined ? (item.input as EventInput) : this.decode(raw, options.decode ?? decodeWireJson);
      if (options.receivedAt !== undefined) item.receivedAt = options.receivedAt(input, index) ?? item.receivedAt;
      return this.makeFact(item, input, raw !== undefined);
    } catch (error) {
      rejectWith(item, error);
      return undefined;
    }
  }

  private decode(raw: RawInput, decode: Decode): EventInput {
    if (raw.error !== undefined) throw raw.error;
    const size = raw.sizeBytes ?? raw.bytes.byteLength;
    if (size > limits.inputBytes) {
      throw new InvalidEventError('LIMIT_EXCEEDED', `The input has ${size} bytes; ${limits.inputBytes} are allowed.`, {
        fix: 'Split it, or keep large values elsewhere and send a reference.',
      });
    }
    let text: string;
    try {
      text = this.utf8.decode(raw.bytes);
    } catch {
      throw new InvalidEventError('INVALID_UTF8', 'The input is not valid UTF-8.', {
        fix: 'Send text encoded as UTF-8; the bytes are kept in the quarantine.',
      });
    }
    return decode(text, raw);
  }

  private makeFact(item: BatchItem, input: EventInput, decoded: boolean): void | Promise<void> {
    if (typeof input !== 'object' || input === null) {
      throw new InvalidEventError(
        'INVALID_EVENT',
        `The input is ${input === null ? 'null' : `a ${typeof input}`}, not an event.`,
        {
          fix: 'Send an object with aggregateType, aggregateId, name, at and parameters.',
        },
      );
    }
    const tenant = input.tenant ?? '';
    if (tenant !== '') checkTenant(tenant);
    const aggregateType = textOf(input.aggregateType, 'aggregateType');
    let aggregate = this.lastAggregate;
    if (aggregate === undefined || aggregate.type !== aggregateType) {
      // Types with $ are the library's own: nothing but a well-formed fact about a source comes in under one.
      if (isReserved(aggregateType)) {
        item.fact = sourceFactOf(input);
        return undefined;
      }
      aggregate = this.lastAggregate = this.registry.aggregate(aggregateType);
    }
    const name = textOf(input.name, 'name');
    const event = aggregate.events.get(name);
    // No event of a user's has such a name.
    if (event === undefined && name.startsWith(CORRECTION_PREFIX)) {
      return this.makeCorrection(item, input, aggregate, decoded);
    }
    const version = input.version ?? event?.version;
    if (event === undefined || version === undefined || !accepts(event, version)) {
      throw unknownEvent(aggregate, name, event, version);
    }
    const aggregateId = textOf(input.aggregateId, 'aggregateId');
    if (aggregateId !== this.lastId) {
      checkAggregateId(aggregateId);
      this.lastId = aggregateId;
    }
    const eventTime = parseEventTime(input.at);
    const streamId = input.streamId ?? '';
    if (streamId !== this.lastStream) {
      checkStreamId(streamId);
      this.lastStream = streamId;
    }
    const sequence = input.sequence ?? -1;
    if (sequence !== -1) checkSequence(sequence);
    let metadata = input.metadata;
    if (metadata !== undefined) {
      // A caller's object may change later; a decoder's is ours already.
      if (!decoded) metadata = { ...metadata };
      checkMetadata(metadata);
    }
    const parameters: unknown = input.parameters;
    if (typeof parameters !== 'object' || parameters === null || Array.isArray(parameters)) {
      throw new InvalidEventError('PARAMETER_TYPE', `The parameters of ${aggregateType} "${name}" are no object.`, {
        fix: 'Send an object, {} when there are none.',
      });
    }
    // Before validation: this bounds the depth and refuses forbidden keys, so that what follows may recurse and copy.
    const { copier } = event;
    const held = copier.copy(parameters, limits.parametersBytes);
    const { characteristics } = event;
    let judged: Parameters;
    if (held === undefined) {
      const content = contentOf(parameters, aggregateType, name);
      judged = parameters as Parameters;
      item.fact = new Fact({
        ...{ tenant, aggregateType, aggregateId, name, version, eventTime },
        ...{ streamId, sequence, characteristics, content, metadata },
      });
    } else {
      judged = held;
      item.fact = new Fact({
        tenant,
        aggregateType,
        aggregateId,
        name,
        version,
        eventTime,
        streamId,
        sequence,
        characteristics,
        content: undefined,
        metadata,
        held,
        flat: copier.flat,
        shape: copier.shape,
      });
    }
    const result = event.validate(judged, version);
    if (result instanceof Promise) {
      return result.then(
        (settled) => judge(item, settled),
        (error: unknown) => rejectWith(item, error),
      );
    }
    judge(item, result);
    return undefined;
  }

  /** A correction of one of the aggregate's events: its name must be made of what it says, and amended parameters pass like the event's own. */
  private makeCorrection(
    item: BatchItem,
    input: EventInput,
    aggregate: AggregateModel,
    decoded: boolean,
  ): void | Promise<void> {
    const tenant = input.tenant ?? '';
    if (tenant !== '') checkTenant(tenant);
    checkAggregateId(textOf(input.aggregateId, 'aggregateId'));
    checkStreamId(input.streamId ?? '');
    checkSequence(input.sequence ?? -1);
    if (input.metadata !== undefined) checkMetadata(input.metadata);
    const { parameters } = input;
    if (typeof parameters !== 'object' || parameters === null || Array.isArray(parameters)) {
      throw new InvalidEventError('INVALID_CORRECTION', 'The parameters of a correction are no object.', {
        fix: 'Make corrections with correctionEvent().',
      });
    }
    const content = canonicalJson(parameters);
    if (content.length * 3 > limits.parametersBytes && utf8Length(content) > limits.parametersBytes) {
      throw new InvalidEventError('LIMIT_EXCEEDED', `The correction has more than ${limits.parametersBytes} bytes.`, {
        fix: 'Keep large values elsewhere and send a reference.',
      });
    }
    const eventTime = parseEventTime(input.at);
    const correction = readCorrection(eventTime, parameters);
    if (correctionName(correction) !== input.name) {
      throw new InvalidEventError('INVALID_CORRECTION', 'The correction’s name is not that of what it corrects.', {
        fix: 'Make corrections with correctionEvent(), or by retract, amend and reinstate of an emitter.',
      });
    }
    const event = aggregate.events.get(correction.target.name);
    const version = correction.version ?? event?.version;
    if (event === undefined || version === undefined || !accepts(event, version)) {
      throw unknownEvent(aggregate, correction.target.name, event, version);
    }
    item.fact = new Fact({
      tenant,
      aggregateType: aggregate.type,
      aggregateId: input.aggregateId,
      name: input.name,
      version: '0',
      eventTime,
      streamId: input.streamId ?? '',
      sequence: input.sequence ?? -1,
      characteristics: CORRECTION,
      content,
      metadata: input.metadata === undefined || decoded ? input.metadata : { ...input.metadata },
    });
    if (correction.content === undefined) return undefined;
    const result = event.validate(JSON.parse(correction.content) as Parameters, version);
    if (result instanceof Promise) {
      return result.then(
        (settled) => judge(item, settled),
        (error: unknown) => rejectWith(item, error),
      );
    }
    judge(item, result);
    return undefined;
  }
}

/** The text of parameters that are not in order, or large: made at once, to refuse what is wrong in them. */
function contentOf(parameters: object, aggregateType: string, name: string): string {
  const content = canonicalJson(parameters);
  if (content.length * 3 > limits.parametersBytes && utf8Length(content) > limits.parametersBytes) {
    throw new InvalidEventError(
      'LIMIT_EXCEEDED',
      `The parameters of ${aggregateType} "${name}" have more than ${limits.parametersBytes} bytes.`,
      { fix: 'Keep large values elsewhere and send a reference.' },
    );
  }
  return content;
}

function accepts(event: EventModel, version: string): boolean {
  return version === event.version || event.accepts(version);
}

function unknownEvent(
  aggregate: AggregateModel,
  name: string,
  event: EventModel | undefined,
  version: string | undefined,
): InvalidEventError {
  const what =
    event === undefined
      ? `Aggregate "${aggregate.type}" has no event "${name.slice(0, 80)}".`
      : `Event "${name}" of "${aggregate.type}" is known in version "${event.version}", not "${String(version).slice(0, 40)}".`;
  return new InvalidEventError('UNKNOWN_EVENT_TYPE', what, {
    fix:
      event === undefined
        ? 'Correct the name, or list the event in the aggregate’s events.'
        : 'Send the known version, or declare an upcaster for the older one.',
    details: { aggregateType: aggregate.type },
  });
}

function textOf(value: unknown, field: string): string {
  if (typeof value === 'string') return value;
  throw new InvalidEventError(
    'INVALID_EVENT',
    `The field ${field} is ${value === undefined ? 'missing' : 'no text'}.`,
    {
      fix: 'Send an object with aggregateType, aggregateId, name, at and parameters.',
      details: { field },
    },
  );
}

function judge(item: BatchItem, result: ValidationResult): void {
  if (result.ok) {
    item.undeclared = result.undeclared;
    return;
  }
  item.fact = undefined;
  item.reject(result.code, bounded(result.reason), result.fix);
}

/** Any error rejects: a decoder's mistake must not lose what it was given, and the bytes can be retried once it is mended. */
function rejectWith(item: BatchItem, error: unknown): void {
  item.fact = undefined;
  if (error instanceof InvalidEventError || (ConcursusError.isInstance(error) && error.name === 'InvalidEventError')) {
    item.reject(error.code, bounded(error.reason), error.fix);
  } else if (error instanceof SyntaxError) {
    item.reject('INVALID_JSON', bounded(error.message), 'Send one whole JSON object.');
  } else {
    const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    item.reject(
      'INVALID_EVENT',
      bounded(`Reading the input failed with ${what}`),
      'Correct the input, or the decoder and then retry it from the quarantine.',
    );
  }
}

function bounded(reason: string): string {
  return (reason.length > REASON_LENGTH_MAX ? `${reason.slice(0, REASON_LENGTH_MAX)}…` : reason).toWellFormed();
}
