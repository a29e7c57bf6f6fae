/**
 * The durable layer on Kafka: one topic a context, an item's key decides its partition, and each of our groups is a consumer
 * group. Accepted means that every in-sync replica has it; acknowledged, that the group's offset is committed behind it.
 */
import {
  EventTransport,
  UnavailableError,
  type Clock,
  type LayerLogger,
  type TransportItem,
  type TransportSubscription,
} from '@concursus/core';
import type { Admin } from 'kafkajs';
import { BufferRetention } from './buffer-retention.js';
import type { GroupOptions, KafkaClient } from './client.js';
import { DeadLetters, type DeadLetter } from './dead-letters.js';
import { GroupConsumer, type ReceivedPart } from './group-consumer.js';
import { OrderedProducer, type OutgoingMessage } from './ordered-producer.js';
import { ensureTopics, type TopicOptions } from './topics.js';

/** What the transport of one context is made of. */
export interface KafkaTransportParts {
  readonly client: KafkaClient;
  readonly clock: Clock;
  readonly logger: LayerLogger;
  readonly topic: string;
  readonly deadLetterTopic: string;
  readonly deadLetterRetentionMs: number;
  readonly topics: TopicOptions;
  readonly group: Omit<GroupOptions, 'groupId'>;
  readonly trim: boolean;
  readonly trimEveryMs: number;
}

const BATCH_SIZE = 512;

export class KafkaEventTransport extends EventTransport {
  private readonly admin: Admin;
  private readonly producer: OrderedProducer;
  private readonly deadLetters: DeadLetters;
  private readonly retention: BufferRetention;
  private readonly subscriptions = new Set<GroupConsumer>();
  private readonly utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  private state: 'new' | 'open' | 'closed' = 'new';

  constructor(private readonly parts: KafkaTransportParts) {
    super();
    const { client, logger } = parts;
    this.admin = client.admin();
    this.producer = new OrderedProducer(client, logger);
    this.deadLetters = new DeadLetters(this.producer, parts.clock, parts.deadLetterTopic, logger);
    this.retention = new BufferRetention({
      admin: this.admin,
      clock: parts.clock,
      logger,
      topic: parts.topic,
      retentionMs: parts.topics.retentionMs ?? -1,
      trim: parts.trim,
      everyMs: parts.trimEveryMs,
    });
  }

  /** @throws ConfigurationError `INVALID_OPTION` (a topic is not fit) · UnavailableError `STORE_UNREACHABLE`, `TIMEOUT` */
  async connect(): Promise<void> {
    const { client, topic, deadLetterTopic, deadLetterRetentionMs, topics } = this.parts;
    try {
      await this.admin.connect();
    } catch (error) {
      throw client.unavailable('connecting', error);
    }
    await ensureTopics(client, this.admin, this.parts, [
      {
        ...topics,
        topic,
        purpose: 'the buffer in front of the store',
        eventTimes: false,
        written: true,
        trimmed: this.parts.trim,
      },
      {
        ...DeadLetters.topicOptions(topics, deadLetterRetentionMs),
        topic: deadLetterTopic,
        purpose: 'what the buffer held and nobody can read',
        eventTimes: false,
        written: true,
      },
    ]);
    await this.producer.connect();
    this.state = 'open';
    this.retention.start();
  }

  async publish(items: readonly TransportItem[]): Promise<void> {
    this.checkOpen();
    const { topic } = this.parts;
    const messages: OutgoingMessage[] = [];
    for (const { key, bytes, acceptedAt } of items) {
      messages.push({
        topic,
        key: Buffer.from(key),
        value: asBuffer(bytes),
        timestamp: String(acceptedAt),
      });
    }
    await this.producer.send(messages);
  }

  async subscribe(
    group: string,
    handle: (items: readonly TransportItem[]) => Promise<void>,
    options: { readonly batchSizeMax?: number } = {},
  ): Promise<TransportSubscription> {
    this.checkOpen();
    const { client, clock, logger, topic } = this.parts;
    await this.retention.reads(this.groupId(group));
    const consumer = new GroupConsumer(client, clock, logger, {
      topics: [topic],
      group: { ...this.parts.group, groupId: this.groupId(group) },
      sizeMax: options.batchSizeMax ?? BATCH_SIZE,
      fromBeginning: true,
      handle: (parts) => this.take(parts, handle),
    });
    this.subscriptions.add(consumer);
    try {
      await consumer.start();
    } catch (error) {
      this.subscriptions.delete(consumer);
      throw error;
    }
    return {
      close: async () => {
        await consumer.stop();
        this.subscriptions.delete(consumer);
      },
    };
  }

  async lag(group: string): Promise<number> {
    this.checkOpen();
    const { client, topic } = this.parts;
    try {
      const [ends, committed] = await Promise.all([
        this.admin.fetchTopicOffsets(topic),
        this.admin.fetchOffsets({ groupId: this.groupId(group), topics: [topic] }),
      ]);
      const done = new Map(committed[0]?.partitions.map(({ partition, offset }) => [partition, Number(offset)]));
      let lag = 0;
      for (const { partition, low, high } of ends) {
        lag += Math.max(0, Number(high) - Math.max(Number(low), done.get(partition) ?? -1));
      }
      return lag;
    } catch (error) {
      throw client.unavailable(`asking how far the group "${group}" is`, error);
    }
  }

  override async problem(group: string): Promise<string | undefined> {
    this.checkOpen();
    return this.retention.problem(this.groupId(group));
  }

  /** Resolves when what was published is held, or was refused. What waits to be handled stays where it is, for the next start. */
  drain(): Promise<void> {
    return this.producer.idle();
  }

  /** Ends every subscription, each after the batch in hand, then the connections. Idempotent. */
  async close(): Promise<void> {
    if (this.state === 'closed') return;
    this.state = 'closed';
    await Promise.all([...this.subscriptions].map((consumer) => consumer.stop()));
    this.subscriptions.clear();
    await this.retention.stop();
    await this.producer.close();
    await this.admin.disconnect();
  }

  /** The consumer group of one of our groups: topics are a cluster's, and so are the names of groups. */
  private groupId(group: string): string {
    return `${this.parts.topic}.${group}`;
  }

  private async take(
    parts: readonly ReceivedPart[],
    handle: (items: readonly TransportItem[]) => Promise<void>,
  ): Promise<void> {
    const items: TransportItem[] = [];
    const unreadable: DeadLetter[] = [];
    for (const { topic, partition, messages } of parts) {
      for (const message of messages) {
        const key = this.keyOf(message.key);
        const reason = key === undefined ? 'its key is no UTF-8 text' : message.value === null ? 'it has no value' : '';
        if (reason !== '') unreadable.push({ topic, partition, message, reason });
        else items.push({ key: key!, bytes: message.value!, acceptedAt: Number(message.timestamp) });
      }
    }
    if (unreadable.length > 0) await this.deadLetters.put(unreadable);
    if (items.length > 0) await handle(items);
  }

  private keyOf(key: Uint8Array | null): string | undefined {
    if (key === null) return undefined;
    try {
      return this.utf8.decode(key);
    } catch {
      return undefined;
    }
  }

  private checkOpen(): void {
    if (this.state === 'open') return;
    throw new UnavailableError('STORE_CLOSED', `The buffer on ${this.parts.client.name} is not open.`, {
      fix: 'Use it only between connect() and close().',
    });
  }
}

/** The same bytes, not a copy. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
