/**
 * Stop 6 of the walk, where a durable slot is configured: accepted events wait in the transport, and a consumer of it
 * takes them to the store. It acknowledges *after* the store has them, so a crash between the two repeats, never loses.
 */
import { aggregateKeyText } from '../model/event.js';
import { toEventJson } from '../model/event-json.js';
import type { Clock } from '../ports/clock.js';
import type { EventTransport, TransportItem, TransportSubscription } from '../ports/event-transport.js';
import { Batch, BatchItem } from './batch.js';
import type { AdmitAdded } from './batch.js';
import type { RawInput } from './record.js';

/** The transport's group of the consumer that stores. */
const GROUP = 'concursus.log';
/** The quarantine's source of what the buffer held and no one can read. */
export const BUFFER_SOURCE = 'buffer';

/** How the buffer in front of the store is doing, all processes together. */
export interface BufferState {
  /** Events that were answered `buffered` and are not stored yet. */
  readonly lagEvents: number;
  /** Why some of them were, or may soon be, lost, as far as this process knows; undefined when none is. */
  readonly problem: string | undefined;
}

export interface EventBufferOptions {
  readonly transport: EventTransport;
  readonly clock: Clock;
  readonly batchSizeMax: number;
  readonly admit: AdmitAdded;
  /** Takes a batch from validation to the store; rejects when it must come again. */
  readonly store: (batch: Batch) => Promise<void>;
}

export class EventBuffer {
  private readonly encoder = new TextEncoder();
  private subscription: Promise<TransportSubscription> | undefined = undefined;

  constructor(private readonly options: EventBufferOptions) {}

  /** Hands the pending items over as wire JSON, in order per aggregate; each is `buffered` when the transport holds them all. Rejects with none accepted. */
  async publish(batch: Batch): Promise<void> {
    batch.seal();
    const accepted: BatchItem[] = [];
    const items: TransportItem[] = [];
    for (let i = 0; i < batch.items.length; i++) {
      const item = batch.items[i]!;
      if (item.outcome !== 'pending') continue;
      const fact = item.fact!;
      accepted.push(item);
      items.push({
        key: aggregateKeyText(fact.tenant, fact.aggregateType, fact.aggregateId),
        bytes: this.encoder.encode(toEventJson(fact)),
        acceptedAt: item.receivedAt,
      });
    }
    if (items.length === 0) return;
    await this.options.transport.publish(items);
    for (const item of accepted) item.outcome = 'buffered';
  }

  /** For health checks. @throws UnavailableError as the transport's `lag` */
  async state(): Promise<BufferState> {
    const { transport } = this.options;
    const [lagEvents, problem] = await Promise.all([transport.lag(GROUP), transport.problem(GROUP)]);
    return { lagEvents, problem };
  }

  /** Starts the consumer. Idempotent; one that was refused may be started again. */
  async start(): Promise<void> {
    this.subscription ??= this.options.transport.subscribe(GROUP, (items) => this.consume(items), {
      batchSizeMax: this.options.batchSizeMax,
    });
    try {
      await this.subscription;
    } catch (error) {
      this.subscription = undefined;
      throw error;
    }
  }

  /** Stops the consumer; the batch in hand is stored and acknowledged, or comes again. */
  async stop(): Promise<void> {
    const subscription = this.subscription;
    this.subscription = undefined;
    if (subscription !== undefined) await (await subscription).close();
  }

  /** Resolves when the store has the items; only then does the transport forget them. Each gets the processing time of now: the log has seen it only now. */
  private async consume(items: readonly TransportItem[]): Promise<void> {
    const batch = new Batch(false, BUFFER_SOURCE, this.options.admit);
    const now = this.options.clock.now();
    for (let i = 0; i < items.length; i++) {
      const raw: RawInput = { bytes: items[i]!.bytes, line: i + 1, source: BUFFER_SOURCE };
      const item = new BatchItem(i + 1, raw, false);
      item.receivedAt = now;
      batch.items.push(item);
    }
    await this.options.store(batch);
  }
}
