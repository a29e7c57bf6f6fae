/** What a handler learns about an event beside its parameters. Made per handled event, from the fact, at stops 10 and 13 of the walk. */
import type { CorrectionKind } from '../model/correction.js';
import { correctionOf } from '../model/correction.js';
import type { Fact, Metadata } from '../model/event.js';

/** Its properties are getters, which destructuring reads and a spread does not copy: `JSON.stringify` writes them all. */
export interface EventContext {
  readonly tenant: string;
  readonly aggregateType: string;
  readonly aggregateId: string;
  readonly name: string;
  /** As stored: the parameters handed to the handler may have been upcast from it. */
  readonly version: string;
  /** Event time: when it happened, epoch milliseconds. */
  readonly at: number;
  /** Its source; `''` when there is none. */
  readonly streamId: string;
  /** The source's own number; -1 when it gave none. */
  readonly sequence: number;
  /** Processing time: when the log recorded it, epoch milliseconds; -1 until logged. */
  readonly processedAt: number;
  readonly processingId: string;
  readonly metadata: Metadata;
  /** The content digest, computed when first asked for. */
  readonly digest: string;
}

/** What a durable or persistent handler learns besides: how to do its effect once. */
export interface EffectContext extends EventContext {
  /**
   * The same for each call for this event by this handler, in every process and after every crash: 64 hex digits made of context,
   * handler name, identity and recorded digest. Hand it to the other side, which then drops what it has done already.
   */
  readonly idempotencyKey: string;
  /** Which call for this event this is, from 1; known to the store before the call, so that a crash is counted too. */
  readonly attempt: number;
  /** Persistent handlers: the event came when its time, up to `settledUpTo` (epoch milliseconds), was settled already. Else undefined. */
  readonly late: { readonly settledUpTo: number } | undefined;
}

/** What a correction method learns: the corrected event as it was recorded, and what corrects it. */
export interface CorrectionContext extends EffectContext {
  readonly correction: {
    readonly kind: CorrectionKind;
    /** Epoch milliseconds. */
    readonly decidedAt: number;
    readonly streamId: string;
    readonly sequence: number;
    /** When the log recorded the correction, epoch milliseconds. */
    readonly processedAt: number;
    readonly metadata: Metadata;
  };
}

const NO_METADATA: Metadata = Object.freeze({});

/** The fact behind a face of getters: a context costs one small object, whatever its handler looks at. */
class FactContext implements EventContext {
  readonly #fact: Fact;

  constructor(fact: Fact) {
    this.#fact = fact;
  }

  get tenant(): string {
    return this.#fact.tenant;
  }

  get aggregateType(): string {
    return this.#fact.aggregateType;
  }

  get aggregateId(): string {
    return this.#fact.aggregateId;
  }

  get name(): string {
    return this.#fact.name;
  }

  get version(): string {
    return this.#fact.version;
  }

  get at(): number {
    return this.#fact.eventTime;
  }

  get streamId(): string {
    return this.#fact.streamId;
  }

  get sequence(): number {
    return this.#fact.sequence;
  }

  get processedAt(): number {
    return this.#fact.processedAt;
  }

  get processingId(): string {
    return this.#fact.processingId;
  }

  get metadata(): Metadata {
    const { metadata } = this.#fact;
    if (metadata === undefined) return NO_METADATA;
    return Object.isFrozen(metadata) ? metadata : Object.freeze({ ...metadata });
  }

  get digest(): string {
    return this.#fact.digest;
  }

  /** As a plain object: for logs, and for whoever hands a context on. */
  toJSON(): EventContext {
    const { tenant, aggregateType, aggregateId, name, version, at, streamId, sequence } = this;
    const { processedAt, processingId, metadata, digest } = this;
    return {
      ...{ tenant, aggregateType, aggregateId, name, version, at, streamId, sequence },
      ...{ processedAt, processingId, metadata, digest },
    };
  }
}

/** The context of a fact. It cannot be changed, and nothing that it gives reaches the fact or another handler. */
export function contextOf(fact: Fact): EventContext {
  return new FactContext(fact);
}

/** What the runner of a handler knows of one call. */
export type EffectDetails = Pick<EffectContext, 'idempotencyKey' | 'attempt' | 'late'>;

class EffectFactContext extends FactContext implements EffectContext {
  readonly idempotencyKey: string;
  readonly attempt: number;
  readonly late: { readonly settledUpTo: number } | undefined;

  constructor(fact: Fact, details: EffectDetails) {
    super(fact);
    this.idempotencyKey = details.idempotencyKey;
    this.attempt = details.attempt;
    this.late = details.late;
  }
}

class CorrectionFactContext extends EffectFactContext implements CorrectionContext {
  readonly correction: CorrectionContext['correction'];

  constructor(fact: Fact, by: Fact, details: EffectDetails) {
    super(fact, details);
    const { kind, decidedAt } = correctionOf(by);
    const { streamId, sequence, processedAt } = by;
    this.correction = { kind, decidedAt, streamId, sequence, processedAt, metadata: { ...by.metadata } };
  }
}

/** The context of one call of a durable or persistent handler. */
export function effectContextOf(fact: Fact, details: EffectDetails): EffectContext {
  return new EffectFactContext(fact, details);
}

/** The context of one call of a correction method. */
export function correctionContextOf(fact: Fact, by: Fact, details: EffectDetails): CorrectionContext {
  return new CorrectionFactContext(fact, by, details);
}
