/**
 * The event as the road carries it: a `Fact`. Stop 2 of the walk makes it, the log stamps it, a store keeps it,
 * and every reader gets it back in the same form.
 */
import { canonicalJson, isForbiddenKey } from './canonical-json.js';
import { digestOf } from './digest.js';
import type { IdStamp } from './processing-id.js';
import type { Shape } from './shape-makers.js';
import type { Parameters, WireValue } from './wire-value.js';

export type { Parameters, WireValue } from './wire-value.js';

/** What goes beside an event and is no part of its content: correlation, causation, trace. */
export type Metadata = { readonly [name: string]: string };

/** Bits of `Fact.characteristics`, as the original's: 1 initial, 2 terminal. */
export const INITIAL = 1;
/** The bit of an event that ends a history. */
export const TERMINAL = 2;

/** The thing events are about, within one context. */
export interface AggregateKey {
  readonly tenant: string;
  readonly type: string;
  readonly id: string;
}

/** What a new fact is made of. All fields are checked before: see `receive` in the pipeline. */
export interface FactInit {
  readonly tenant: string;
  readonly aggregateType: string;
  readonly aggregateId: string;
  readonly name: string;
  readonly version: string;
  /** When it happened, epoch milliseconds. */
  readonly eventTime: number;
  /** Its source; `''` when there is none. */
  readonly streamId: string;
  /** The source's own number; -1 when it gives none. */
  readonly sequence: number;
  readonly characteristics: number;
  /** The parameters as received, in RFC 8785 form. */
  readonly content: string;
  readonly metadata?: Metadata | undefined;
  /** The recorded fact that an amendment gave another time or content; only readers make such facts. */
  readonly amends?: Fact | undefined;
}

/** A new fact whose parameters are at hand, checked and copied (`CanonicalCopier`): its text is written when somebody asks. */
export interface CopiedFactInit extends Omit<FactInit, 'content'> {
  readonly content?: undefined;
  /** Nobody else holds it, or anything in it. */
  readonly held: Parameters;
  /** True when no value of it is an array or object. */
  readonly flat: boolean;
  /** How it was made, when that was by compiled code and it is flat: `JSON.stringify` then writes its RFC 8785 form. */
  readonly shape: Shape | undefined;
}

/** Facts of one call of the parser, and characters after which no more are added: what is read at once is held at once. */
const READ_FACTS = 64;
const READ_CHARACTERS = 65_536;

/**
 * One event. Facts are made by `new Fact` only, so that all share one hidden class; they are never changed after the
 * log stamped them. Its parameters are held as text, as values, or both: whichever it was not made with is made when
 * somebody asks, at most once. So is the digest.
 */
export class Fact {
  // Declared only, so that nothing is written twice and numbers are kept as numbers; the constructor gives each its value, in
  // this order. What a fold looks at comes first: histories are longer than caches, and each line of memory is waited for.
  declare readonly eventTime: number;
  // At least one of these two is there.
  declare private held: Parameters | undefined;
  declare private text: string | undefined;
  declare readonly name: string;
  declare readonly version: string;
  /** Undefined until somebody wants to know. */
  declare private flat: boolean | undefined;
  /** @internal How `held` was made, see `CopiedFactInit`; undefined for what was read from text. */
  declare readonly shape: Shape | undefined;
  declare readonly aggregateId: string;
  declare readonly aggregateType: string;
  declare readonly tenant: string;
  declare readonly streamId: string;
  declare readonly sequence: number;
  declare readonly characteristics: number;
  /** Its processing id, or who puts it together, of this number. */
  declare private id: string | IdStamp;
  declare private number: number;
  /** Processing time, epoch milliseconds, read from `processingId`; -1 until logged. */
  declare processedAt: number;
  declare readonly metadata: Metadata | undefined;
  /** As recorded, when this is how an amendment has it: its identity is that fact's. Undefined for every stored fact. */
  declare readonly amends: Fact | undefined;
  /** How often it came again; filled only by reads that ask for it. Outside states and views. */
  declare repeats: number;
  /** True while the parameters may not be shown: the copy of the receiver, which content and handlers' copies are made of. */
  declare private unshown: boolean;
  declare private hash: string | undefined;

  /** Takes what a fact is made of, also a fact itself or a spread of one: the copy is not logged unless the other arguments say so. */
  constructor(init: FactInit | CopiedFactInit, processingId = '', processedAt = -1) {
    const { content } = init;
    // A spread has the fields that a fact holds instead of its accessors.
    const parts = init as Partial<Omit<CopiedFactInit, 'content'>> & { readonly text?: string };
    this.eventTime = init.eventTime;
    this.held = content === undefined ? parts.held : undefined;
    this.text = content === undefined ? parts.text : content;
    this.name = init.name;
    this.version = init.version;
    this.flat = content === undefined ? parts.flat : undefined;
    this.shape = content === undefined ? parts.shape : undefined;
    this.aggregateId = init.aggregateId;
    this.aggregateType = init.aggregateType;
    this.tenant = init.tenant;
    this.streamId = init.streamId;
    this.sequence = init.sequence;
    this.characteristics = init.characteristics;
    this.id = processingId;
    this.number = 0;
    this.processedAt = processedAt;
    this.metadata = init.metadata;
    this.amends = init.amends;
    this.repeats = 0;
    this.unshown = content === undefined;
    this.hash = undefined;
  }

  /** The type-1 UUID given by the log; `''` until then. */
  get processingId(): string {
    const { id } = this;
    return typeof id === 'string' ? id : (this.id = id.idOf(this.number));
  }

  set processingId(id: string) {
    this.id = id;
  }

  /** True once a log gave it its processing time. */
  get isStamped(): boolean {
    return this.id !== '';
  }

  /** @internal Given by a log that writes its id only for those who ask. */
  stamp(by: IdStamp, number: number, processedAt: number): void {
    this.id = by;
    this.number = number;
    this.processedAt = processedAt;
  }

  /** The parameters as received, in RFC 8785 form: what durable stores keep and digests cover. */
  get content(): string {
    // In one piece at once, where a text put together stays in pieces until it is read.
    return (this.text ??= this.shape !== undefined ? JSON.stringify(this.held) : canonicalJson(this.held));
  }

  /** @internal Characters of its content, as far as it is held as text: what a durable store gave is. */
  get textLength(): number {
    return this.text === undefined ? 0 : this.text.length;
  }

  /** The parameters in wire form. Shared by all readers: never change them; `hydrate` gives a handler its own copy. Those of a fact just received are frozen. */
  get parameters(): Parameters {
    const parameters = this.wire;
    if (this.unshown) {
      freezeDeep(parameters);
      this.unshown = false;
    }
    return parameters;
  }

  /** @internal The parameters for code that only reads and copies them. */
  get wire(): Parameters {
    return (this.held ??= JSON.parse(this.content) as Parameters);
  }

  /**
   * @internal Reads the parameters of facts that hold text alone, many in one call of the parser, which takes half as long as
   * one call each. Those that are not wanted, or are read already, are passed over. What is no JSON is left for `wire` to refuse.
   */
  static readMany(facts: readonly Fact[], wanted: (fact: Fact) => boolean): void {
    let some: Fact[] = [];
    let text = '';
    for (let i = 0; i < facts.length; i++) {
      const fact = facts[i]!;
      if (fact.held !== undefined || fact.text === undefined || !wanted(fact)) continue;
      text += some.length === 0 ? fact.text : `,${fact.text}`;
      some.push(fact);
      if (some.length < READ_FACTS && text.length < READ_CHARACTERS) continue;
      readTogether(some, text);
      some = [];
      text = '';
    }
    readTogether(some, text);
  }

  /** @internal What its text says, from who read it. */
  hold(parameters: Parameters): void {
    this.held ??= parameters;
  }

  /** @internal True when a copy of the parameters need not go deeper than their keys, and each key may be assigned. */
  get isFlat(): boolean {
    return (this.flat ??= flatAndSafe(this.wire));
  }

  /** SHA-256, in hex, of the RFC 8785 form of `{ name, parameters, version }`: tells conflicting contents of one identity apart. */
  get digest(): string {
    return (this.hash ??= digestOf(this.name, this.version, this.content));
  }
}

/** Contents are canonical JSON, one value each, so their list has as many; where it has not, nothing is taken from it. */
function readTogether(facts: readonly Fact[], texts: string): void {
  if (facts.length < 2) return;
  let read: Parameters[];
  try {
    read = JSON.parse(`[${texts}]`) as Parameters[];
  } catch {
    return;
  }
  if (read.length !== facts.length) return;
  for (let i = 0; i < facts.length; i++) facts[i]!.hold(read[i]!);
}

function flatAndSafe(parameters: Parameters): boolean {
  for (const key in parameters) {
    if (typeof parameters[key] === 'object' && parameters[key] !== null) return false;
    if (isForbiddenKey(key)) return false;
  }
  return true;
}

function freezeDeep(value: WireValue | Parameters): void {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return;
  Object.freeze(value);
  for (const part of Object.values(value)) freezeDeep(part as WireValue);
}

/** Whose event it is. */
export function aggregateKeyOf(fact: Fact): AggregateKey {
  return { tenant: fact.tenant, type: fact.aggregateType, id: fact.aggregateId };
}

/** A map key for an aggregate. NUL cannot occur in names or ids, so two aggregates never share it. */
export function aggregateKeyText(tenant: string, type: string, id: string): string {
  return `${tenant}\u0000${type}\u0000${id}`;
}

/** True when both have the same content under the same name and version; cheaper than comparing digests. */
export function sameContent(a: Fact, b: Fact): boolean {
  return a.content === b.content && a.version === b.version && a.name === b.name;
}
