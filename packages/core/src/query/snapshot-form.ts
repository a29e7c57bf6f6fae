/**
 * A snapshot as the engine holds it and as stores keep it. What is not whole, of another form, of another shape of the
 * aggregate or changed in any way is no snapshot: `fromStored` then says undefined, and the history is folded again.
 */
import type { AggregateModel } from '../mapping/event-registry.js';
import { sha256Hex } from '../model/digest.js';
import { Fact, type AggregateKey, type Metadata } from '../model/event.js';
import { limits } from '../model/limits.js';
import type { ProcessingTime } from '../model/processing-id.js';
import type { Snapshot } from '../ports/snapshot-store.js';
import { decodeState } from './state-codec.js';

/** Raised when the form changes: older ones are then passed over and made again. */
const FORM = 1;
/** Lists kept with a snapshot, entries each, and characters of the facts in them: a ladder of twelve stays below a megabyte. */
export const LIST_MAX = 64;
/** Times looked at for one check of a snapshot. */
export const ORIGINS_MAX = 16;
export const LIST_CHARACTERS_MAX = 65_536;

/**
 * The fold of a prefix of one history: all initial and `@Ordered` events known, and the plain ones up to the end of the
 * millisecond `through`. It ends with a whole millisecond, so that it never divides contents of one identity.
 */
export interface Rung {
  /** The event time with which the prefix ends, inclusive, epoch ms: that of the last plain or terminal event up to there. */
  readonly through: number;
  /** The greatest event time in it: of `through` and of the ranked events. */
  readonly eventTimeMax: number;
  /** The fact recorded last of those it was made from. All that is recorded up to it was taken into account, nothing behind it. */
  readonly newest: { readonly id: string; readonly eventTime: number; readonly name: string };
  /** Its processing time. */
  readonly recorded: ProcessingTime;
  /** Events folded, without terminal ones. */
  readonly events: number;
  readonly initials: number;
  /** Initial and ordered events in it. */
  readonly ranked: number;
  /** Event times of those that happened behind `through`. */
  readonly above: readonly number[];
  /** Event time of the first terminal event up to `through`; undefined without one. */
  readonly firstTerminal: number | undefined;
  /** Events folded that happened later than that. */
  readonly afterTerminal: number;
  /** Terminal events up to `through` that count, in fold order: they fold last. */
  readonly terminals: readonly Fact[];
  /** The last plain event in it. */
  readonly last: Fact;
  /** Event times behind `through` from which amendments known bring events into it: see snapshot-validity.ts. */
  readonly origins: readonly number[];
  /** See state-codec.ts. */
  readonly state: string;
}

/** What its classes say about an aggregate's events: a fold with others is another fold, also when nobody raised its version. */
export function shapeOf(model: AggregateModel): string {
  let shape = shapes.get(model);
  if (shape === undefined) {
    const events = [...model.events.values()].map(({ name, version, rank }) => [name, version, rank]);
    const policy = typeof model.conflicts === 'function' ? 'function' : model.conflicts;
    shape = sha256Hex(JSON.stringify([policy, events])).slice(0, 16);
    shapes.set(model, shape);
  }
  return shape;
}

const shapes = new WeakMap<AggregateModel, string>();

/** Fixed width, so that text sorts as time does. */
export function foldKeyOf(through: number): string {
  return String(through - limits.eventTimeMin).padStart(16, '0');
}

type FactText = [
  name: string,
  version: string,
  eventTime: number,
  streamId: string,
  sequence: number,
  characteristics: number,
  content: string,
  metadata: Metadata | null,
  processingId: string,
  processedAt: number,
  amends: FactText | null,
];

function factText(fact: Fact): FactText {
  return [
    fact.name,
    fact.version,
    fact.eventTime,
    fact.streamId,
    fact.sequence,
    fact.characteristics,
    fact.content,
    fact.metadata ?? null,
    fact.processingId,
    fact.processedAt,
    fact.amends === undefined ? null : factText(fact.amends),
  ];
}

function factFrom(key: AggregateKey, text: FactText): Fact {
  const [name, version, eventTime, streamId, sequence, characteristics, content, metadata, id, processedAt, amends] =
    text;
  return new Fact(
    {
      tenant: key.tenant,
      aggregateType: key.type,
      aggregateId: key.id,
      name,
      version,
      eventTime,
      streamId,
      sequence,
      characteristics,
      content,
      metadata: metadata ?? undefined,
      amends: amends === null ? undefined : factFrom(key, amends),
    },
    id,
    processedAt,
  );
}

/** The first line of a content; the state's text is the rest. */
interface Head {
  readonly form: number;
  readonly shape: string;
  readonly rung: Omit<Rung, 'state' | 'terminals' | 'last' | 'firstTerminal'> & {
    readonly firstTerminal: number | null;
    readonly terminals: readonly FactText[];
    readonly last: FactText;
  };
}

function checksumOf(snapshot: Omit<Snapshot, 'checksum'>): string {
  const { aggregate, reducerVersion, foldKey, eventTimeMax, recordedMax, events, content } = snapshot;
  const { tenant, type, id } = aggregate;
  const covers = [tenant, type, id, reducerVersion, foldKey, eventTimeMax, recordedMax.ms, recordedMax.tick, events];
  return sha256Hex(JSON.stringify(covers) + content);
}

export function toStored(model: AggregateModel, aggregate: AggregateKey, rung: Rung): Snapshot {
  const { state, ...rest } = rung;
  const head: Head = {
    form: FORM,
    shape: shapeOf(model),
    rung: {
      ...rest,
      firstTerminal: rung.firstTerminal ?? null,
      terminals: rung.terminals.map(factText),
      last: factText(rung.last),
    },
  };
  const snapshot = {
    aggregate,
    reducerVersion: model.version,
    foldKey: foldKeyOf(rung.through),
    eventTimeMax: rung.eventTimeMax,
    recordedMax: rung.recorded,
    events: rung.events,
    content: `${JSON.stringify(head)}\n${state}`,
  };
  return { ...snapshot, checksum: checksumOf(snapshot) };
}

/** Undefined for what is corrupt, half-written, of another form, version or shape, or of another aggregate. */
export function fromStored(model: AggregateModel, key: AggregateKey, snapshot: Snapshot): Rung | undefined {
  const { aggregate } = snapshot;
  if (snapshot.reducerVersion !== model.version) return undefined;
  if (aggregate.id !== key.id || aggregate.type !== key.type || aggregate.tenant !== key.tenant) return undefined;
  try {
    if (checksumOf(snapshot) !== snapshot.checksum) return undefined;
    const line = snapshot.content.indexOf('\n');
    const { form, shape, rung } = JSON.parse(snapshot.content.slice(0, line)) as Head;
    if (form !== FORM || shape !== shapeOf(model)) return undefined;
    const state = snapshot.content.slice(line + 1);
    // Tried once here, so that a read may trust it.
    decodeState(model, state);
    return {
      ...rung,
      state,
      firstTerminal: rung.firstTerminal ?? undefined,
      terminals: rung.terminals.map((text) => factFrom(key, text)),
      last: factFrom(key, rung.last),
    };
  } catch {
    return undefined;
  }
}
