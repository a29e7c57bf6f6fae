/**
 * What is said about sources, as facts: complete up to, heartbeat, idle, declare, retire, rejoin. They stand in the feed
 * among the events, in order, so that what is known of a source is the same for every reader, and after a restart.
 *
 * Such a fact has the reserved aggregate type `$source`, the id `=<stream>`, the channel as its own stream, and the time it
 * speaks of as its event time: the same marker twice is one fact.
 */
import { canonicalJson } from '../model/canonical-json.js';
import { InvalidEventError } from '../model/errors.js';
import type { EventInput } from '../model/event-input.js';
import { Fact, type Parameters } from '../model/event.js';
import { checkMetadata, checkStreamId } from '../model/identity.js';
import { parseEventTime } from '../model/time.js';

/** The aggregate type of facts about sources. */
export const SOURCE_TYPE = '$source';

const DOLLAR = 0x24;

/** Whether an aggregate type or event name is the library's own: it begins with `$`. No user's class may have such a one. */
export function isReserved(type: string): boolean {
  return type.charCodeAt(0) === DOLLAR;
}

/**
 * `complete`: nothing at or before its time comes any more · `heartbeat`: alive at its time · `idle`: its channel was found at its end ·
 * `declare`: it must report · `retire`: it reports no more · `rejoin`: it reports again.
 */
export type SourceFactKind = 'complete' | 'heartbeat' | 'idle' | 'declare' | 'retire' | 'rejoin';

/** A fact about a source, read. */
export interface SourceFact {
  readonly kind: SourceFactKind;
  readonly stream: string;
  /** `''` when it names none. */
  readonly channel: string;
  /** The time it speaks of, epoch milliseconds: of `complete` up to when, of `idle` when that was proven, otherwise since when. */
  readonly at: number;
  /** Of `complete`: the last number its stream gave up to then; -1 when not said. */
  readonly lastSequence: number;
  /** Of `retire`: up to when it was complete; undefined when not said. */
  readonly upTo: number | undefined;
}

type Time = number | string | Date;

interface OfChannel {
  /** The receiving channel it speaks of, at most 256 bytes; absent means `''`. */
  readonly channel?: string;
}

const NAMES: ReadonlyMap<string, SourceFactKind> = new Map(
  (['complete', 'heartbeat', 'idle', 'declare', 'retire', 'rejoin'] as const).map((kind) => [`$${kind}`, kind]),
);
const KEYS: Readonly<Record<SourceFactKind, string | undefined>> = {
  complete: 'lastSequence',
  heartbeat: undefined,
  idle: undefined,
  declare: undefined,
  retire: 'upTo',
  rejoin: undefined,
};

const SHAPE =
  'Use the builders of `sourceFacts`: aggregateType $source, aggregateId "=" and the stream, a name such as $complete, the channel as streamId, no sequence.';

function refuse(what: string): InvalidEventError {
  return new InvalidEventError('INVALID_EVENT', what, { fix: SHAPE });
}

function build(kind: SourceFactKind, stream: string, at: Time, of: OfChannel, parameters: Parameters = {}): EventInput {
  const input: EventInput = {
    aggregateType: SOURCE_TYPE,
    aggregateId: `=${String(stream)}`,
    name: `$${kind}`,
    version: '0',
    at: parseEventTime(at),
    streamId: of.channel ?? '',
    parameters,
  };
  checkStreamId(stream);
  sourceFactOf(input);
  return input;
}

/**
 * The events that say something about a source: hand them to `EventBus.record`, a topic or any other consumer of events.
 * Each throws `InvalidEventError`: `INVALID_TIME`, `INVALID_ID` (stream or channel), `LIMIT_EXCEEDED` (their 256 bytes), `INVALID_EVENT` (a number that is none).
 */
export const sourceFacts = {
  /** Nothing of this source at or before `upTo` comes any more; `lastSequence`: the last number given until then, so that missing ones show. */
  complete(stream: string, said: OfChannel & { readonly upTo: Time; readonly lastSequence?: number }): EventInput {
    const { lastSequence } = said;
    return build('complete', stream, said.upTo, said, lastSequence === undefined ? {} : { lastSequence });
  },
  /** It lives, and what it sends from now on is at most its bound older than `at`. */
  heartbeat(stream: string, said: OfChannel & { readonly at: Time }): EventInput {
    return build('heartbeat', stream, said.at, said);
  },
  /**
   * Its channel was read to its end at wall time `provenAt`, and was neither paused nor back-pressured meanwhile.
   * It is for whoever reads the channel to prove this (`IdleProver`); a silence alone proves nothing.
   */
  idle(stream: string, said: OfChannel & { readonly provenAt: Time }): EventInput {
    return build('idle', stream, said.provenAt, said);
  },
  /** It must report: from here on it holds what settles, also before its first event. */
  declare(stream: string, said: OfChannel & { readonly at: Time }): EventInput {
    return build('declare', stream, said.at, said);
  },
  /**
   * It reports no more and holds nothing; `upTo`: it was complete up to then. `at` is when that was decided, absent: `upTo`.
   * Give `at` where one source may retire twice: the same fact twice is one.
   */
  retire(stream: string, said: OfChannel & { readonly at?: Time; readonly upTo?: Time }): EventInput {
    const at = said.at ?? said.upTo;
    if (at === undefined) throw refuse('The retirement says neither when it was decided nor up to when.');
    return build('retire', stream, at, said, said.upTo === undefined ? {} : { upTo: parseEventTime(said.upTo) });
  },
  /** It reports again, from the input watermark on. */
  rejoin(stream: string, said: OfChannel & { readonly at: Time }): EventInput {
    return build('rejoin', stream, said.at, said);
  },
} as const;

/**
 * The receiver's door for reserved aggregate types: only facts about sources, of exactly this shape, become facts.
 * @throws InvalidEventError `INVALID_EVENT`, `INVALID_TIME`, `INVALID_ID`, and what stream ids, metadata and parameters throw
 */
export function sourceFactOf(input: EventInput): Fact {
  if (input.aggregateType !== SOURCE_TYPE) {
    throw refuse(
      `"${String(input.aggregateType).slice(0, 40)}" is reserved: aggregate types with $ are the library's.`,
    );
  }
  const kind = typeof input.name === 'string' ? NAMES.get(input.name) : undefined;
  if (kind === undefined) throw refuse(`A source has no event "${String(input.name).slice(0, 40)}".`);
  if ((input.version ?? '0') !== '0') throw refuse(`${input.name} has no such version.`);
  if ((input.tenant ?? '') !== '') throw refuse('A source belongs to no tenant.');
  if ((input.sequence ?? -1) !== -1) throw refuse(`${input.name} has a sequence.`);
  if (typeof input.aggregateId !== 'string' || input.aggregateId.charCodeAt(0) !== 0x3d) {
    throw new InvalidEventError('INVALID_ID', 'The id of a source does not begin with "=".', { fix: SHAPE });
  }
  checkStreamId(input.aggregateId.slice(1));
  const channel = input.streamId ?? '';
  checkStreamId(channel);
  const eventTime = parseEventTime(input.at);
  const parameters: unknown = input.parameters;
  if (typeof parameters !== 'object' || parameters === null || Array.isArray(parameters)) {
    throw refuse(`The parameters of ${input.name} are no object.`);
  }
  checkParameters(kind, parameters as Parameters);
  let { metadata } = input;
  if (metadata !== undefined) {
    checkMetadata(metadata);
    metadata = { ...metadata };
  }
  return new Fact({
    tenant: '',
    aggregateType: SOURCE_TYPE,
    aggregateId: input.aggregateId,
    name: input.name,
    version: '0',
    eventTime,
    streamId: channel,
    sequence: -1,
    characteristics: 0,
    content: canonicalJson(parameters),
    metadata,
  });
}

function checkParameters(kind: SourceFactKind, parameters: Parameters): void {
  const known = KEYS[kind];
  const other = Object.keys(parameters).find((key) => key !== known);
  if (other !== undefined) throw refuse(`$${kind} has a parameter "${other.slice(0, 40)}".`);
  if (known === undefined || !(known in parameters)) return;
  const value = parameters[known];
  if (kind === 'complete' && !(typeof value === 'number' && Number.isSafeInteger(value) && value >= 0)) {
    throw refuse(`The last sequence of $complete is no whole number from 0.`);
  }
  if (kind === 'retire') {
    if (typeof value !== 'number') throw refuse('upTo of $retire is no time in epoch milliseconds.');
    parseEventTime(value);
  }
}

/** What a fact says about a source; undefined for every other fact, and for one of a kind this version does not know. */
export function readSourceFact(fact: Fact): SourceFact | undefined {
  if (fact.aggregateType !== SOURCE_TYPE) return undefined;
  const kind = NAMES.get(fact.name);
  if (kind === undefined) return undefined;
  const { lastSequence, upTo } = fact.parameters;
  return {
    kind,
    stream: fact.aggregateId.slice(1),
    channel: fact.streamId,
    at: fact.eventTime,
    lastSequence: kind === 'complete' && typeof lastSequence === 'number' ? lastSequence : -1,
    upTo: kind === 'retire' && typeof upTo === 'number' ? upTo : undefined,
  };
}
