/**
 * The batch: what flows between the stages of the pipeline, one item an input. Stages and middleware decide items;
 * a decided item stays where it is and blocks nobody.
 */
import { HandlerError, InvalidEventError } from '../model/errors.js';
import type { ErrorCode, InvalidEventCode } from '../model/errors.js';
import type { EventInput } from '../model/event-input.js';
import { Fact } from '../model/event.js';
import type { Metadata } from '../model/event.js';
import { checkMetadata } from '../model/identity.js';
import { limits } from '../model/limits.js';
import type { Position } from '../model/position.js';
import {
  Summary,
  type ItemOutcome,
  type RawInput,
  type RecordOptions,
  type RecordSummary,
  type Rejection,
  type Totals,
} from './record.js';

/** What became of one input so far; `pending` until something decides it. */
export type BatchOutcome = 'pending' | 'recorded' | 'repeated' | 'conflicting' | 'dropped' | 'buffered' | 'rejected';

const NONE: readonly string[] = [];

/** One input on its way. Its fields are changed by the pipeline only; middleware uses the methods of `Batch`. */
export class BatchItem {
  /** The event, once decoded and validated; undefined for a rejected input. */
  fact: Fact | undefined = undefined;
  outcome: BatchOutcome = 'pending';
  /** Keys the event's class does not declare. */
  undeclared: readonly string[] = NONE;
  receivedAt = 0;
  /** How many items it counts as, for bounds on what is under way: raw inputs by their bytes. */
  weight = 1;
  code: ErrorCode | undefined = undefined;
  /** Why it was rejected or dropped. */
  reason = '';
  fix = '';
  /** True once the quarantine holds it. */
  kept = false;

  constructor(
    /** From 1 within the call. */
    readonly line: number,
    /** The input as it came: a `RawInput` or an event. */
    readonly input: EventInput | RawInput,
    /** True when a middleware added it: it is not the sender's, and counts apart. */
    readonly added: boolean,
  ) {}

  /** @internal */
  reject(code: ErrorCode, reason: string, fix: string): void {
    this.outcome = 'rejected';
    this.code = code;
    this.reason = reason;
    this.fix = fix;
  }
}

/** Validates an event that a middleware adds; the receiver's work. */
export type AdmitAdded = (item: BatchItem) => void | Promise<void>;

/** Items that travel together. Middleware may read everything, and change it through these methods until the batch is stored. */
export class Batch {
  readonly items: BatchItem[];
  /** Covers what the store answered; undefined before. */
  position: Position | undefined = undefined;
  /** @internal True once the store or the durable layer has it: the answer stands, whatever happens behind it. */
  answered = false;
  /** @internal True once it went to whoever listens. */
  published = false;
  private sealed = false;

  constructor(
    /** True for one `record()` call: its events share one append and one processing time. False for a stream: each item is its own append. */
    readonly together: boolean,
    /** The quarantine's source of inputs that are not raw. */
    readonly source: string,
    private readonly admit: AdmitAdded,
    /** @internal Of the call it belongs to. */
    readonly options: RecordOptions = {},
    items: BatchItem[] = [],
  ) {
    this.items = items;
  }

  /** Items that nothing has decided yet: those that will be stored if nothing else happens. */
  *pending(): IterableIterator<BatchItem> {
    for (const item of this.items) if (item.outcome === 'pending') yield item;
  }

  /** The line of the sender's last item; 0 in an empty batch. */
  get lastLine(): number {
    for (let i = this.items.length - 1; i >= 0; i--) if (!this.items[i]!.added) return this.items[i]!.line;
    return 0;
  }

  /** True once the store took the batch over: nothing can be changed any more. */
  get stored(): boolean {
    return this.sealed;
  }

  /**
   * Sets one entry of an event's metadata, at most `limits.metadataEntries` of them. Content and identity cannot be changed: they are the sender's.
   * @throws HandlerError `HANDLER_FAILED` when the batch is stored or the item decided · InvalidEventError `LIMIT_EXCEEDED`, `FORBIDDEN_KEY`
   */
  setMetadata(item: BatchItem, key: string, value: string): void {
    const fact = this.open(item, 'setMetadata');
    // Computed, so that even `__proto__` becomes an own key, which the check then refuses.
    const metadata: Metadata = { ...fact.metadata, [key]: value };
    checkMetadata(metadata);
    item.fact = new Fact({
      tenant: fact.tenant,
      aggregateType: fact.aggregateType,
      aggregateId: fact.aggregateId,
      name: fact.name,
      version: fact.version,
      eventTime: fact.eventTime,
      streamId: fact.streamId,
      sequence: fact.sequence,
      characteristics: fact.characteristics,
      content: fact.content,
      metadata,
    });
  }

  /**
   * Adds an event to the batch, validated like any other; it shares the batch's fate and is counted as `added`.
   * Rejects with the InvalidEventError when it is not valid. @throws HandlerError `HANDLER_FAILED` when the batch is stored
   */
  async add(input: EventInput): Promise<BatchItem> {
    this.assertOpen('add');
    if (this.together && this.items.length >= limits.appendEvents) {
      throw new InvalidEventError('LIMIT_EXCEEDED', `A batch of ${limits.appendEvents} events cannot take another.`, {
        fix: 'Record what a middleware derives in a call of its own.',
      });
    }
    const item = new BatchItem(this.items.at(-1)?.line ?? 0, input, true);
    const admitted = this.admit(item);
    if (admitted !== undefined) await admitted;
    if (item.outcome === 'rejected') {
      throw new InvalidEventError(item.code as InvalidEventCode, item.reason, { fix: item.fix });
    }
    // Adding may have waited for an asynchronous schema: the batch may have gone on meanwhile.
    this.assertOpen('add');
    this.items.push(item);
    return item;
  }

  /** Takes an item out without an error: the sender is told `dropped`. */
  drop(item: BatchItem, reason: string): void {
    this.open(item, 'drop');
    item.outcome = 'dropped';
    item.reason = reason;
  }

  /** Rejects an item with the code `REFUSED`; it is quarantined like any other rejected input. */
  refuse(
    item: BatchItem,
    reason: string,
    fix = 'Ask the operator of this application why it refuses such events.',
  ): void {
    this.open(item, 'refuse');
    item.reject('REFUSED', reason, fix);
  }

  /** @internal The store takes over. */
  seal(): void {
    this.sealed = true;
  }

  /** @internal A stage ended without handing the batch on: what is still pending was dropped. */
  dropPending(reason: string): void {
    for (let i = 0; i < this.items.length; i++) {
      const item = this.items[i]!;
      if (item.outcome !== 'pending') continue;
      item.outcome = 'dropped';
      item.reason = reason;
    }
  }

  /** @internal */
  countInto(totals: Totals): void {
    for (let i = 0; i < this.items.length; i++) {
      const item = this.items[i]!;
      if (item.added) {
        if (item.outcome !== 'dropped' && item.outcome !== 'rejected' && item.outcome !== 'pending') totals.added++;
        continue;
      }
      totals.received++;
      switch (item.outcome) {
        case 'recorded':
          totals.recorded++;
          break;
        case 'repeated':
          totals.repeated++;
          break;
        case 'conflicting':
          totals.conflicting++;
          break;
        case 'rejected':
          totals.rejected++;
          break;
        case 'dropped':
          totals.dropped++;
          break;
        case 'buffered':
          totals.buffered++;
          break;
        case 'pending':
          throw undecided();
      }
    }
  }

  /** @internal The first `max` rejections of the sender's items. */
  rejections(max: number): Rejection[] {
    const found: Rejection[] = [];
    for (let i = 0; i < this.items.length && found.length < max; i++) {
      const item = this.items[i]!;
      if (item.outcome !== 'rejected' || item.added) continue;
      found.push({ line: item.line, code: item.code!, reason: item.reason, fix: item.fix });
    }
    return found;
  }

  /** @internal The answer to the call whose whole input this is; every item is decided. */
  summary(): RecordSummary {
    const summary = new Summary(this.position);
    this.countInto(summary);
    if (summary.rejected > 0) summary.rejections = this.rejections(this.options.rejectionsMax ?? 100);
    // Of its full length at once: pushed to, an array of one would hold room for seventeen.
    const outcomes = (summary.items = Array<ItemOutcome>(summary.received));
    const { items } = this;
    for (let i = 0, at = 0; i < items.length; i++) if (!items[i]!.added) outcomes[at++] = outcomeOf(items[i]!);
    return summary;
  }

  private assertOpen(what: string): void {
    if (!this.sealed) return;
    throw new HandlerError('HANDLER_FAILED', `A middleware called ${what} on a batch that is stored already.`, {
      fix: 'Change a batch before calling next(), or in a middleware of an earlier stage.',
    });
  }

  private open(item: BatchItem, what: string): Fact {
    this.assertOpen(what);
    if (item.outcome === 'pending' && item.fact !== undefined) return item.fact;
    throw new HandlerError('HANDLER_FAILED', `A middleware called ${what} on an item that is ${item.outcome}.`, {
      fix: 'Change only the items that pending() gives.',
    });
  }
}

function outcomeOf(item: BatchItem): ItemOutcome {
  const { outcome, undeclared, fact } = item;
  if (outcome === 'rejected') return { outcome, code: item.code!, reason: item.reason, fix: item.fix };
  if (outcome === 'pending') throw undecided();
  return undeclared.length > 0 ? { outcome, undeclared, fact: fact! } : { outcome, fact: fact! };
}

function undecided(): Error {
  return new Error('An item left the pipeline undecided; every stage must decide or hand on.');
}
