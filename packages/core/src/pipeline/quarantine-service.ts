/**
 * What an operator does with quarantined input: look at it, retry it after a fix, or let it go. A retry takes the same
 * road as the first time, with the decoder its source had.
 */
import { InvalidEventError } from '../model/errors.js';
import { limits } from '../model/limits.js';
import type { Quarantine, QuarantinedItem } from '../ports/quarantine.js';
import type { EventBus } from './event-bus.js';
import { decodeKeptEvent } from './receiver.js';
import type { Decode, RawInput, Rejection } from './record.js';

export interface RetryOptions {
  /** Reads the bytes; default: the decoder registered for the item's source, else wire JSON or an event as `record()` takes it. */
  readonly decode?: Decode;
}

export interface RetryResult {
  readonly id: string;
  readonly outcome: 'recorded' | 'repeated' | 'conflicting' | 'dropped' | 'buffered' | 'rejected';
  /** Why it is rejected again: the item then stays as it was, its count too. */
  readonly rejection: Rejection | undefined;
  /** True when the item left the quarantine. */
  readonly removed: boolean;
}

export interface QuarantinePage {
  readonly items: readonly QuarantinedItem[];
  /** Pass it as `after` for the next page; undefined on the last one. */
  readonly next: string | undefined;
}

export class QuarantineService {
  private readonly decoders = new Map<string, Decode>();

  constructor(
    private readonly quarantine: Quarantine,
    private readonly bus: EventBus,
  ) {}

  /** Says how inputs of a source are read when they are retried. The last one registered counts. */
  registerDecode(source: string, decode: Decode): void {
    this.decoders.set(source, decode);
  }

  /** Items in the order of their first arrival. @throws InvalidEventError `INVALID_ARGUMENT` when `limit` is not 1 to 1,000 */
  async list(after?: string, limit = 100): Promise<QuarantinePage> {
    if (!Number.isInteger(limit) || limit < 1 || limit > 1_000) {
      throw new InvalidEventError('INVALID_ARGUMENT', `A page of ${limit} items was asked for.`, {
        fix: 'Ask for 1 to 1,000.',
      });
    }
    const items = await this.quarantine.list(after, limit);
    return { items, next: items.length < limit ? undefined : items.at(-1)!.id };
  }

  get(id: string): Promise<QuarantinedItem | undefined> {
    return this.quarantine.get(id);
  }

  /**
   * Records the item's bytes. `dropped` counts as success: a middleware wanted it so.
   * @throws InvalidEventError `INVALID_ARGUMENT` for an unknown id, `LIMIT_EXCEEDED` when only the beginning of the bytes is kept
   */
  async retry(id: string, options: RetryOptions = {}): Promise<RetryResult> {
    const item = await this.quarantine.get(id);
    if (item === undefined) {
      throw new InvalidEventError('INVALID_ARGUMENT', `The quarantine holds no item "${id.slice(0, 80)}".`, {
        fix: 'List the quarantine: the item was retried or discarded already.',
      });
    }
    if (item.bytes.byteLength < item.sizeBytes) {
      throw new InvalidEventError(
        'LIMIT_EXCEEDED',
        `Item "${id}" has ${item.sizeBytes} bytes; ${item.bytes.byteLength} of them are kept.`,
        {
          fix: `Ask its source to send it again: at most ${limits.quarantineBytes} bytes of an input are kept.`,
        },
      );
    }
    const decode = options.decode ?? this.decoders.get(item.source) ?? decodeKeptEvent;
    const raw: RawInput = { bytes: item.bytes, line: item.line, source: item.source };
    const summary = await this.bus.record(one(raw), { decode, source: item.source, quarantine: false });
    const removed = summary.rejected === 0 && (await this.quarantine.remove(id));
    return { id, outcome: outcomeOf(summary), rejection: summary.rejections[0], removed };
  }

  /** Removes an item for good. True when it was there. */
  discard(id: string): Promise<boolean> {
    return this.quarantine.remove(id);
  }
}

async function* one(raw: RawInput): AsyncGenerator<RawInput> {
  yield raw;
}

function outcomeOf(counts: Readonly<Record<RetryResult['outcome'], number>>): RetryResult['outcome'] {
  if (counts.recorded > 0) return 'recorded';
  if (counts.repeated > 0) return 'repeated';
  if (counts.conflicting > 0) return 'conflicting';
  if (counts.buffered > 0) return 'buffered';
  return counts.dropped > 0 ? 'dropped' : 'rejected';
}
