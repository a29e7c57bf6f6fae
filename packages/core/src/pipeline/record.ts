/**
 * What a caller hands to `EventBus.record` and what it gets back. The gate of the road: everything else in pipeline/
 * stands between these two.
 */
import type { ErrorCode, InvalidEventError } from '../model/errors.js';
import type { EventInput } from '../model/event-input.js';
import type { Fact } from '../model/event.js';
import type { Position } from '../model/position.js';

/** One line or message as it came, not yet decoded. Whoever splits a body makes it; blank lines are left out there. */
export interface RawInput {
  readonly bytes: Uint8Array;
  /** From 1. */
  readonly line: number;
  /** Names the sender for the quarantine: quotas are per source. */
  readonly source: string;
  /** Of the whole input, when `bytes` holds only its beginning. */
  readonly sizeBytes?: number;
  /** SHA-256 in hex of the whole input, when `bytes` holds only its beginning. */
  readonly digest?: string;
  /** Refused already, by the splitter (a line over the limit): it is quarantined and answered, not decoded. */
  readonly error?: InvalidEventError;
}

/** Turns the text of one input into an event. Throws `InvalidEventError` to reject it; any other error rejects it too, as `INVALID_JSON` (a SyntaxError) or `INVALID_EVENT`. */
export type Decode = (text: string, raw: RawInput) => EventInput;

/** Several items of a stream handed over at once, so that a stream costs no promise an item. Each is an append of its own all the same. */
export class StreamBatch<T> {
  constructor(readonly items: readonly T[]) {}
}

/** What a stream handed to `record()` may yield. */
export type StreamItem = EventInput | RawInput | StreamBatch<EventInput | RawInput>;

export interface RecordOptions {
  /** Reads raw inputs. Default: wire JSON, one event an input. */
  readonly decode?: Decode;
  /** The quarantine's source of inputs that are not raw. Default `record`. */
  readonly source?: string;
  /** Ends the call within one batch: it rejects with `ABORTED`, what was stored by then stays. */
  readonly signal?: AbortSignal;
  /** How many rejections the summary names; all are counted. Default 100. */
  readonly rejectionsMax?: number;
  /** Items of a stream's batch, at least 1. Default: the bus's. */
  readonly batchSizeMax?: number;
  /** Called for each batch of a stream, in order, when it is as durable as promised. The stream waits for it. */
  onBatch?(report: BatchReport): void | Promise<void>;
  /** Saved in one transaction with each batch, so that a load resumes where it was. Batches are then stored one after the other, past the buffer, their rejections first. */
  readonly checkpoint?: { readonly name: string; readonly epoch: number; valueOf(lastLine: number): string };
  /** When an input was received, epoch ms; undefined: now. `index` counts the inputs of the call from 0. */
  receivedAt?(input: EventInput, index: number): number | undefined;
  /** False: rejected inputs are not quarantined (a retry from the quarantine is there already). Default true. */
  readonly quarantine?: boolean;
}

/** Each received input is counted once: `received` is the sum of all others, `added` apart. */
export interface RecordCounts {
  readonly received: number;
  readonly recorded: number;
  readonly repeated: number;
  readonly conflicting: number;
  readonly rejected: number;
  readonly dropped: number;
  readonly buffered: number;
  /** Events that middleware added, stored or buffered; not the sender's, so in none of the others. */
  readonly added: number;
}

/** Why one input was refused, and how to go on. */
export interface Rejection {
  readonly line: number;
  readonly code: ErrorCode;
  readonly reason: string;
  readonly fix: string;
}

export interface RecordSummary extends RecordCounts {
  /** The first `rejectionsMax`. */
  readonly rejections: readonly Rejection[];
  /** Covers everything recorded or found repeated; undefined when nothing reached the store. */
  readonly position: Position | undefined;
  /** One outcome an input, in order; empty for streams, which would not fit. */
  readonly items: readonly ItemOutcome[];
}

export interface BatchReport {
  /** The last line of the batch: everything up to it is as durable as promised. */
  readonly line: number;
  readonly batch: RecordCounts;
  /** Of the call so far, this batch included. */
  readonly totals: RecordCounts;
  /** Of this batch, as far as the summary names them. */
  readonly rejections: readonly Rejection[];
  readonly position: Position | undefined;
}

/** What became of one event of a `record()` call. */
export type ItemOutcome =
  | {
      readonly outcome: 'recorded' | 'repeated' | 'conflicting' | 'dropped' | 'buffered';
      /** Keys that the event's class does not declare: kept in the stored content, seen by no handler. */
      readonly undeclared?: readonly string[];
      /** Stamped when `recorded` or `conflicting`. */
      readonly fact?: Fact;
    }
  | { readonly outcome: 'rejected'; readonly code: ErrorCode; readonly reason: string; readonly fix: string };

/** Running counts of one call; its own class, so that adding up allocates nothing. */
export class Totals implements RecordCounts {
  received = 0;
  recorded = 0;
  repeated = 0;
  conflicting = 0;
  rejected = 0;
  dropped = 0;
  buffered = 0;
  added = 0;

  add(other: RecordCounts): void {
    this.received += other.received;
    this.recorded += other.recorded;
    this.repeated += other.repeated;
    this.conflicting += other.conflicting;
    this.rejected += other.rejected;
    this.dropped += other.dropped;
    this.buffered += other.buffered;
    this.added += other.added;
  }

  copy(): RecordCounts {
    const copy = new Totals();
    copy.add(this);
    return copy;
  }
}

const NO_REJECTIONS: readonly Rejection[] = Object.freeze([]);
const NO_ITEMS: readonly ItemOutcome[] = Object.freeze([]);

/** The answer to a call; counted into, then handed over. */
export class Summary extends Totals implements RecordSummary {
  rejections = NO_REJECTIONS;
  items = NO_ITEMS;

  constructor(readonly position: Position | undefined) {
    super();
  }
}

const summaries = new WeakMap<object, RecordSummary>();

/** The counts so far of a stream whose `record()` rejected with this error, whoever made the error; undefined for others. */
export function summaryOf(error: unknown): RecordSummary | undefined {
  return typeof error === 'object' && error !== null ? summaries.get(error) : undefined;
}

/** Remembers what a stream had come to when it ended early. The last caller wins, should one error end two streams. */
export function attachSummary(error: unknown, summary: RecordSummary): void {
  if (typeof error === 'object' && error !== null) summaries.set(error, summary);
}
