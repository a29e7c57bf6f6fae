/** What a handler learns about an event beside its parameters. Made per handled event, from the fact, at stops 10 and 13 of the walk. */
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
