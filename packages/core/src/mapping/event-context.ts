/** What a handler learns about an event beside its parameters. Made per handled event, from the fact, at stops 10 and 13 of the walk. */
import type { Fact, Metadata } from '../model/event.js';

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

/** One hidden class for all contexts; the digest stays with the fact, so that it is hashed at most once. */
class FactContext implements EventContext {
  readonly tenant: string;
  readonly aggregateType: string;
  readonly aggregateId: string;
  readonly name: string;
  readonly version: string;
  readonly at: number;
  readonly streamId: string;
  readonly sequence: number;
  readonly processedAt: number;
  readonly processingId: string;
  readonly metadata: Metadata;
  readonly #fact: Fact;

  constructor(fact: Fact) {
    this.tenant = fact.tenant;
    this.aggregateType = fact.aggregateType;
    this.aggregateId = fact.aggregateId;
    this.name = fact.name;
    this.version = fact.version;
    this.at = fact.eventTime;
    this.streamId = fact.streamId;
    this.sequence = fact.sequence;
    this.processedAt = fact.processedAt;
    this.processingId = fact.processingId;
    this.metadata =
      fact.metadata === undefined
        ? NO_METADATA
        : Object.isFrozen(fact.metadata)
          ? fact.metadata
          : Object.freeze({ ...fact.metadata });
    this.#fact = fact;
  }

  get digest(): string {
    return this.#fact.digest;
  }
}

/** The context of a fact. Changing it reaches nobody else: neither the fact nor another handler's context. */
export function contextOf(fact: Fact): EventContext {
  return new FactContext(fact);
}
