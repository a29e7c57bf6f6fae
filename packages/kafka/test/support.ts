/** What the specs of this package share: names that nothing else uses, and a bare reader of topics. */
import { randomBytes } from 'node:crypto';
import { Kafka, logLevel, type Admin, type KafkaMessage } from 'kafkajs';

/** A name that nobody has used before. */
export function fresh(what: string): string {
  return `${what}.${randomBytes(6).toString('hex')}`;
}

/** The bare client, as somebody else would use it. */
export function bareKafka(addresses: readonly string[]): Kafka {
  return new Kafka({ brokers: [...addresses], clientId: 'downstream', logLevel: logLevel.NOTHING });
}

/** Does something with the bare client's administration. */
export async function administer<T>(addresses: readonly string[], action: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = bareKafka(addresses).admin();
  await admin.connect();
  try {
    return await action(admin);
  } finally {
    await admin.disconnect();
  }
}

/** A message as a reader gets it. */
export interface ReadMessage {
  readonly topic: string;
  readonly partition: number;
  readonly message: KafkaMessage;
}

/** Reads topics from their beginning to where they end now, with a consumer group of its own. */
export async function readTopics(addresses: readonly string[], topics: readonly string[]): Promise<ReadMessage[]> {
  const ends = await administer(addresses, (admin) =>
    Promise.all(topics.map(async (topic) => ({ topic, partitions: await admin.fetchTopicOffsets(topic) }))),
  );
  const missing = new Map<string, bigint>();
  for (const { topic, partitions } of ends) {
    for (const { partition, low, high } of partitions) {
      if (BigInt(high) > BigInt(low)) missing.set(`${topic}/${partition}`, BigInt(high) - 1n);
    }
  }
  const read: ReadMessage[] = [];
  if (missing.size === 0) return read;
  const consumer = bareKafka(addresses).consumer({ groupId: fresh('reader'), maxWaitTimeInMs: 50 });
  await consumer.connect();
  await consumer.subscribe({ topics: [...topics], fromBeginning: true });
  await new Promise<void>((resolve, reject) => {
    // One that the client begins again by itself goes on.
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      if (!payload.restart) reject(payload.error);
    });
    void consumer.run({
      eachBatch: async ({ batch }) => {
        const { topic, partition, messages } = batch;
        for (const message of messages) read.push({ topic, partition, message });
        const place = `${topic}/${partition}`;
        const end = missing.get(place);
        if (end !== undefined && BigInt(messages.at(-1)?.offset ?? batch.lastOffset()) >= end) missing.delete(place);
        if (missing.size === 0) resolve();
      },
    });
  });
  await consumer.disconnect();
  return read;
}
