/**
 * One member of a consumer group: reads batches of partitions, hands them over one call at a time, and commits what was
 * handled. Nothing is committed before its call resolved; a member that must give partitions up finishes the call in hand,
 * commits it, and only then lets the group go on.
 *
 * A partition whose call rejected is read again from its first message not handled, after a wait in which the others go
 * on. What waits of several partitions goes into one call, up to its bound, unless one of them just failed: then it goes
 * alone, so that it fails nobody else.
 */
import type { Clock, LayerLogger } from '@concursus/core';
import type { Consumer, EachBatchPayload, KafkaMessage } from 'kafkajs';
import { passes, type GroupOptions, type KafkaClient } from './client.js';
import { HandQueue } from './hand-queue.js';

/** Messages of one partition, in order. */
export interface ReceivedPart {
  readonly topic: string;
  readonly partition: number;
  readonly messages: readonly KafkaMessage[];
}

/** What a member reads, and who takes it. */
export interface GroupConsumerOptions {
  readonly topics: readonly string[];
  readonly group: GroupOptions;
  /** Messages of one call at most, and of one partition in it. */
  readonly sizeMax: number;
  /** Where a group begins that has committed nothing. */
  readonly fromBeginning: boolean;
  /** Resolves when the messages are taken care of for good; rejects when they must come again. */
  handle(parts: readonly ReceivedPart[]): Promise<void>;
}

const BACK_OFF_MS = 20;
const BACK_OFF_MAX_MS = 5_000;
/** Some 20 s. */
const JOIN_RETRIES = 10;
/** Partitions read side by side: their calls come one after the other all the same. */
const PARTITIONS_MAX = 16;

export class GroupConsumer {
  private readonly stopping = new AbortController();
  private readonly stopped: Promise<void>;
  private readonly queue: HandQueue<ReceivedPart>;
  /** Calls that failed in a row, by partition. */
  private readonly failures = new Map<string, number>();
  private consumer: Consumer | undefined;
  private running: Promise<void> | undefined;
  /** True from the moment in which the group asks for partitions until it has given some. */
  private moving = false;
  /** Batches in hand. */
  private busy = 0;
  private beating: Promise<void> | undefined;
  private committing: Promise<void> | undefined;
  private commitAgain = false;
  /** The request of `committing` that is under way. */
  private request: Promise<void> | undefined;

  constructor(
    private readonly client: KafkaClient,
    private readonly clock: Clock,
    private readonly logger: LayerLogger,
    private readonly options: GroupConsumerOptions,
  ) {
    this.queue = new HandQueue(options.sizeMax, (parts) => options.handle(parts));
    const { signal } = this.stopping;
    this.stopped = new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  }

  /** Resolves when this member is part of its group. @throws UnavailableError `STORE_UNREACHABLE`, `TIMEOUT` */
  async start(): Promise<void> {
    for (let failures = 0; ; failures++) {
      try {
        const { gaveUp } = await this.join();
        this.running = this.stay(gaveUp);
        return;
      } catch (error) {
        await this.leave();
        // A broker that has just started is not ready for groups yet, or not for a topic just made, and says so.
        const again = (error as { readonly retriable?: unknown }).retriable === true || passes(error);
        if (!again || failures >= JOIN_RETRIES || this.stopping.signal.aborted) {
          throw this.client.unavailable(`joining the group "${this.name}" (try ${failures + 1})`, error);
        }
        await this.clock.sleep(backOff(failures), this.stopping.signal);
      }
    }
  }

  /** Finishes the call in hand, commits it, and leaves the group. Idempotent. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.queue.close();
    await this.leave();
    await this.running;
  }

  private get name(): string {
    return this.options.group.groupId;
  }

  /** Joins anew whenever the client gave up, until it is stopped. */
  private async stay(first: Promise<unknown>): Promise<void> {
    const { signal } = this.stopping;
    let gaveUp = first;
    let failures = 0;
    while (!signal.aborted) {
      const error = await Promise.race([gaveUp, this.stopped]);
      if (signal.aborted) return;
      const waitMs = backOff(failures);
      this.logger.warn(
        `The client left the group "${this.name}", and joins it again in ${waitMs} ms: ${String(error)}`,
      );
      await this.clock.sleep(waitMs, signal);
      await this.leave();
      if (signal.aborted) return;
      try {
        ({ gaveUp } = await this.join());
        failures = 0;
      } catch (cause) {
        failures += 1;
        gaveUp = Promise.resolve(cause);
      }
    }
  }

  /** Resolves when partitions were given. `gaveUp` resolves to the reason when the client stops by itself. */
  private async join(): Promise<{ readonly gaveUp: Promise<unknown> }> {
    const { topics, group, fromBeginning } = this.options;
    const consumer = this.client.consumer(group);
    this.consumer = consumer;
    this.moving = false;
    const { GROUP_JOIN, CRASH, REBALANCING } = consumer.events;
    const gaveUp = new Promise<unknown>((resolve) => consumer.on(CRASH, ({ payload }) => resolve(payload.error)));
    const joined = new Promise<undefined>((resolve) => {
      consumer.on(GROUP_JOIN, () => {
        this.moving = false;
        resolve(undefined);
      });
    });
    consumer.on(REBALANCING, () => {
      this.moving = true;
    });
    await consumer.connect();
    await consumer.subscribe({ topics: [...topics], fromBeginning });
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: PARTITIONS_MAX,
      eachBatch: (payload) => this.take(payload),
    });
    const failure = await Promise.race([joined, gaveUp]);
    if (failure !== undefined) throw failure;
    return { gaveUp };
  }

  private async leave(): Promise<void> {
    const { consumer } = this;
    this.consumer = undefined;
    try {
      await consumer?.disconnect();
    } catch (error) {
      this.logger.warn(`A Kafka consumer of the group "${this.name}" could not be disconnected: ${String(error)}`);
    }
  }

  /** One fetched batch of one partition, in parts. Returns early when it is stopped, when partitions move, or when a call failed. */
  private async take(payload: EachBatchPayload): Promise<void> {
    const { topic, partition, messages } = payload.batch;
    const { sizeMax } = this.options;
    // Nobody asks for partitions any more, or the client would have joined anew before it fetched again.
    if (this.busy === 0) this.moving = false;
    this.busy += 1;
    this.beating ??= this.beatWhileBusy(payload);
    try {
      for (let from = 0; from < messages.length; from += sizeMax) {
        if (this.stopping.signal.aborted || this.moving || payload.isStale()) return;
        const part = messages.length <= sizeMax ? messages : messages.slice(from, from + sizeMax);
        if (!(await this.hand({ topic, partition, messages: part }, payload))) return;
        payload.resolveOffset(part.at(-1)!.offset);
        this.commit(payload);
        // Handled and not committed is what comes again after a crash: two calls of a partition are enough. The next request
        // covers this one, while the next call is made.
        if (this.commitAgain) await this.request;
      }
    } finally {
      this.busy -= 1;
      // The partition may go to another member as soon as this returns: what was handled is committed by then.
      await this.committing;
    }
  }

  /** True when it was handled. Otherwise it comes again, here or elsewhere. */
  private async hand(part: ReceivedPart, payload: EachBatchPayload): Promise<boolean> {
    const place = `${part.topic}/${part.partition}`;
    const outcome = await this.queue.hand(part, part.messages.length, this.failures.has(place));
    if (outcome === 'closed') return false;
    if (outcome === 'handled') {
      this.failures.delete(place);
      return true;
    }
    const failures = (this.failures.get(place) ?? 0) + 1;
    this.failures.set(place, failures);
    const waitMs = backOff(failures - 1);
    if (failures === 1 || failures % 10 === 0) {
      this.logger.warn(
        `The group "${this.name}" gives ${part.messages.length} messages of ${place} back and reads them again in ${waitMs} ms, after ${failures} failures: ${String(outcome.error)}`,
      );
    }
    // Only this partition waits; a wait in here would hold up every partition of the broker.
    const resume = payload.pause();
    void this.clock.sleep(waitMs, this.stopping.signal).then(resume);
    return false;
  }

  /** Commits everything handled so far; one request at a time, and the next one covers what was handled meanwhile. */
  private commit(payload: EachBatchPayload): void {
    if (this.committing !== undefined) {
      this.commitAgain = true;
      return;
    }
    this.committing = this.commitAll(payload);
    // Those who have a batch in hand await it; without one, a later commit covers it, or the messages come again.
    this.committing.catch(() => undefined);
  }

  private async commitAll(payload: EachBatchPayload): Promise<void> {
    try {
      do {
        this.commitAgain = false;
        const offsets = payload.uncommittedOffsets();
        if (offsets.topics.length > 0) await (this.request = payload.commitOffsetsIfNecessary(offsets));
      } while (this.commitAgain);
    } finally {
      this.request = undefined;
      this.committing = undefined;
    }
  }

  /** Shows signs of life while calls take long, and learns from the answers that partitions are asked for. */
  private async beatWhileBusy(payload: EachBatchPayload): Promise<void> {
    const { signal } = this.stopping;
    while (this.busy > 0 && !signal.aborted) {
      await this.clock.sleep(this.options.group.heartbeatMs, signal);
      if (this.busy === 0 || signal.aborted) break;
      try {
        await payload.heartbeat();
      } catch {
        // The call in hand is finished; the client finds out the same and joins anew behind it.
        this.moving = true;
        break;
      }
    }
    this.beating = undefined;
  }
}

function backOff(failures: number): number {
  return Math.min(BACK_OFF_MS * 2 ** Math.min(failures, 10), BACK_OFF_MAX_MS);
}
