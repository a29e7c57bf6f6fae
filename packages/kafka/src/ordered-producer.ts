/**
 * Sends in order: one request at a time, and what is handed in meanwhile goes together with the next. So messages of one
 * key stand in their partition in the order in which they were handed in, and many small calls cost few requests.
 *
 * A request that failed leaves its sequence numbers unused in the client, while a broker may have used them. The next
 * messages would get the same numbers, be taken for a repeat, and be acknowledged without being kept. So after a failure the
 * producer is thrown away, and a new one, with an identity of its own, takes its place.
 */
import { UnavailableError, type LayerLogger } from '@concursus/core';
import type { Message, Producer, TopicMessages } from 'kafkajs';
import type { KafkaClient } from './client.js';
import { partitioner } from './partitions.js';

/** Bytes of one request, which may all belong to one partition, where they are one batch: half of what our topics accept. */
const REQUEST_BYTES_MAX = 1_000_000;
/** The library's own grouping costs the square of a partition's part of a request. */
const REQUEST_MESSAGES_MAX = 1_000;
/** What a message takes beside key, value and headers. */
const OVERHEAD_BYTES = 70;
/** Handed in and not yet held: at 300 bytes each some 200,000 messages. */
const WAITING_BYTES_MAX = 64 * 1_048_576;

/** A message and where it goes. Whoever hands it in leaves it alone until it is held. */
export interface OutgoingMessage extends Message {
  readonly topic: string;
  readonly key: Buffer;
  readonly value: Buffer;
}

interface Call {
  readonly messages: readonly OutgoingMessage[];
  readonly bytes: number;
  /** Up to here it has been taken into requests. */
  taken: number;
  resolve(): void;
  reject(error: unknown): void;
}

/** One request: parts of calls, and the calls that are done with it. */
interface Request {
  readonly topics: Map<string, OutgoingMessage[]>;
  readonly calls: Set<Call>;
}

export class OrderedProducer {
  private producer: Producer | undefined;
  private readonly waiting: Call[] = [];
  private waitingBytes = 0;
  private running: Promise<void> | undefined;
  private closed = false;
  /** The partitions of the request under way. */
  private readonly chosen = new Set<string>();

  constructor(
    private readonly client: KafkaClient,
    private readonly logger: LayerLogger,
  ) {}

  /** @throws UnavailableError `STORE_UNREACHABLE` */
  async connect(): Promise<void> {
    try {
      await this.connected();
    } catch (error) {
      throw this.client.unavailable('connecting a producer', error);
    }
  }

  /**
   * Resolves when every in-sync replica of each partition has the messages. Rejected, some of them may be held: sent again, they
   * stand there twice.
   * @throws UnavailableError `OVERLOADED` (too much waits; none was taken), `STORE_UNREACHABLE`, `TIMEOUT`, `STORE_CLOSED`
   */
  send(messages: readonly OutgoingMessage[]): Promise<void> {
    if (messages.length === 0) return Promise.resolve();
    let bytes = 0;
    for (const message of messages) bytes += sizeOf(message);
    if (this.closed) return Promise.reject(this.closedError());
    if (this.waitingBytes > 0 && this.waitingBytes + bytes > WAITING_BYTES_MAX) {
      return Promise.reject(
        new UnavailableError(
          'OVERLOADED',
          `${this.waitingBytes} bytes wait for ${this.client.name}, of at most ${WAITING_BYTES_MAX}; none of ${messages.length} messages was taken.`,
          { fix: 'Send them again later, with less at once.', details: { waitingBytes: this.waitingBytes } },
        ),
      );
    }
    this.waitingBytes += bytes;
    return new Promise((resolve, reject) => {
      this.waiting.push({ messages, bytes, taken: 0, resolve, reject });
      this.running ??= this.run();
    });
  }

  /** Resolves when nothing waits. */
  async idle(): Promise<void> {
    while (this.running !== undefined) await this.running;
  }

  /** Sends what was handed in, then disconnects. Idempotent. */
  async close(): Promise<void> {
    this.closed = true;
    await this.idle();
    const { producer } = this;
    this.producer = undefined;
    await producer?.disconnect();
  }

  private async run(): Promise<void> {
    // A turn later, so that calls of one turn share a request.
    await Promise.resolve();
    while (this.waiting.length > 0) await this.sendNext();
    this.running = undefined;
  }

  private async sendNext(): Promise<void> {
    const request = this.next();
    try {
      await this.sendRequest(request);
    } catch (error) {
      const failure = this.client.unavailable('sending', error);
      for (const call of request.calls) {
        const at = this.waiting.indexOf(call);
        if (at >= 0) this.waiting.splice(at, 1);
        this.waitingBytes -= call.bytes;
        call.reject(failure);
      }
      await this.discard();
      return;
    }
    for (const call of request.calls) {
      if (call.taken < call.messages.length) continue;
      this.waiting.splice(this.waiting.indexOf(call), 1);
      this.waitingBytes -= call.bytes;
      call.resolve();
    }
  }

  private next(): Request {
    const topics = new Map<string, OutgoingMessage[]>();
    const calls = new Set<Call>();
    let bytes = 0;
    let count = 0;
    for (const call of this.waiting) {
      while (call.taken < call.messages.length) {
        const message = call.messages[call.taken]!;
        const size = sizeOf(message);
        if (count > 0 && (bytes + size > REQUEST_BYTES_MAX || count >= REQUEST_MESSAGES_MAX)) return { topics, calls };
        let list = topics.get(message.topic);
        if (list === undefined) topics.set(message.topic, (list = []));
        list.push(message);
        calls.add(call);
        call.taken += 1;
        bytes += size;
        count += 1;
      }
    }
    return { topics, calls };
  }

  private async sendRequest({ topics }: Request): Promise<void> {
    const producer = await this.connected();
    this.chosen.clear();
    const topicMessages: TopicMessages[] = [];
    for (const [topic, messages] of topics) topicMessages.push({ topic, messages });
    const answers = await producer.sendBatch({ acks: -1, topicMessages });
    // When a partition changes its leader between two tries of the library, its part may have been left out of both.
    const held = new Set(answers.map(({ topicName, partition }) => `${topicName}/${partition}`));
    const missing = [...this.chosen].filter((partition) => !held.has(partition));
    if (missing.length === 0) return;
    throw new UnavailableError('STORE_UNREACHABLE', `${this.client.name} did not confirm ${missing.join(', ')}.`, {
      fix: 'Send it again: what it has already comes to the same.',
    });
  }

  private async connected(): Promise<Producer> {
    if (this.producer !== undefined) return this.producer;
    const producer = this.client.producer(
      partitioner((topic, partition) => {
        this.chosen.add(`${topic}/${partition}`);
      }),
    );
    await producer.connect();
    return (this.producer = producer);
  }

  private async discard(): Promise<void> {
    const { producer } = this;
    this.producer = undefined;
    try {
      await producer?.disconnect();
    } catch (error) {
      this.logger.warn(`A Kafka producer that failed could not be disconnected: ${String(error)}`);
    }
  }

  private closedError(): UnavailableError {
    return new UnavailableError('STORE_CLOSED', `The connection to ${this.client.name} is closed.`, {
      fix: 'Use it only between connect() and close().',
    });
  }
}

function sizeOf(message: OutgoingMessage): number {
  let bytes = OVERHEAD_BYTES + message.key.length + message.value.length;
  const { headers } = message;
  if (headers !== undefined) for (const name in headers) bytes += name.length + (headers[name]?.length ?? 0) + 2;
  return bytes;
}
