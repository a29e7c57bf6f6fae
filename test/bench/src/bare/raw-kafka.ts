/**
 * Bare part: a change needs its reason in the same commit. What a careful user of kafkajs would write: an idempotent producer
 * that waits for all in-sync replicas, and a consumer that takes whole batches, decodes them and lets the library commit.
 */
import kafkajs, { type Consumer, type Message, type Producer } from 'kafkajs';
import type { ServerAddresses } from '../case.js';

const { Kafka, logLevel, Partitioners } = kafkajs;

/** As our subscriptions have them: partitions side by side, how long a fetch waits, when a silent member is given up. */
const PARTITIONS_AT_ONCE = 16;
const WAIT_MS = 250;
const SESSION_MS = 60_000;

export class RawKafka {
  private readonly producer: Producer;
  private readonly consumers: Consumer[] = [];
  private readonly kafka;

  constructor(
    address: NonNullable<ServerAddresses['kafka']>,
    private readonly topic: string,
  ) {
    this.kafka = new Kafka({ brokers: [...address.brokers], clientId: 'bare', logLevel: logLevel.ERROR });
    this.producer = this.kafka.producer({
      idempotent: true,
      allowAutoTopicCreation: false,
      createPartitioner: Partitioners.DefaultPartitioner,
    });
  }

  async connect(partitions: number): Promise<void> {
    const admin = this.kafka.admin();
    await admin.connect();
    await admin.createTopics({ waitForLeaders: true, topics: [{ topic: this.topic, numPartitions: partitions }] });
    await admin.disconnect();
    await this.producer.connect();
  }

  async send(messages: Message[]): Promise<void> {
    await this.producer.send({ topic: this.topic, acks: -1, messages });
  }

  /** Hands over the values of each batch, after `before` resolves. Resolves when it is part of its group. */
  async consume(group: string, before: () => Promise<void>, take: (values: readonly Buffer[]) => void): Promise<void> {
    const consumer = this.kafka.consumer({
      groupId: group,
      maxWaitTimeInMs: WAIT_MS,
      sessionTimeout: SESSION_MS,
      allowAutoTopicCreation: false,
    });
    this.consumers.push(consumer);
    const joined = new Promise<void>((resolve) => consumer.on(consumer.events.GROUP_JOIN, () => resolve()));
    await consumer.connect();
    await consumer.subscribe({ topics: [this.topic], fromBeginning: true });
    await consumer.run({
      partitionsConsumedConcurrently: PARTITIONS_AT_ONCE,
      eachBatch: async ({ batch }) => {
        await before();
        take(batch.messages.map(({ value }) => value!));
      },
    });
    await joined;
  }

  async close(): Promise<void> {
    for (const consumer of this.consumers) await consumer.disconnect();
    await this.producer.disconnect();
  }
}
