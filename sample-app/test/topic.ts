/** Reads a topic as anybody could: a plain client, the value's JSON, and the header by which repeats are dropped. */
import { Kafka, logLevel, type Consumer } from 'kafkajs';

/** One message; `key` is the same for repeats of one event. */
export interface TopicEvent {
  readonly key: string;
  readonly aggregateId: string;
  readonly processingId: string;
  readonly event: {
    readonly aggregateId: string;
    readonly name: string;
    readonly eventTimestamp: number;
    readonly streamId: string;
  };
}

/** Where each partition ends, by partition. */
export type Ends = ReadonlyMap<number, bigint>;

export class Topic {
  private readonly kafka: Kafka;

  constructor(
    brokers: readonly string[],
    private readonly name: string,
  ) {
    this.kafka = new Kafka({ brokers: [...brokers], clientId: 'reader', logLevel: logLevel.NOTHING });
  }

  async ends(): Promise<Ends> {
    const admin = this.kafka.admin();
    await admin.connect();
    try {
      if (!(await admin.listTopics()).includes(this.name)) return new Map();
      const offsets = await admin.fetchTopicOffsets(this.name);
      return new Map(offsets.map(({ partition, high }) => [partition, BigInt(high)]));
    } finally {
      await admin.disconnect();
    }
  }

  /** What stands behind `from` and before the ends of now, in the order of each partition. */
  async read(from: Ends): Promise<TopicEvent[]> {
    const to = await this.ends();
    const left = new Set([...to].flatMap(([partition, end]) => (end > (from.get(partition) ?? 0n) ? [partition] : [])));
    if (left.size === 0) return [];
    const consumer = this.kafka.consumer({ groupId: `reader-${process.pid}-${performance.now()}` });
    await consumer.connect();
    try {
      await consumer.subscribe({ topic: this.name, fromBeginning: true });
      return await this.readUntil(consumer, from, to, left);
    } finally {
      await consumer.disconnect();
    }
  }

  private readUntil(consumer: Consumer, from: Ends, to: Ends, left: Set<number>): Promise<TopicEvent[]> {
    const found: TopicEvent[] = [];
    return new Promise((resolve, reject) => {
      consumer
        .run({
          autoCommit: false,
          eachBatch: async ({ batch: { messages, partition, highWatermark } }) => {
            for (const { offset, key, value, headers } of messages) {
              if (BigInt(offset) < (from.get(partition) ?? 0n)) continue;
              found.push({
                key: String(headers?.['concursus-key']),
                aggregateId: String(key),
                processingId: String(headers?.['concursus-processing-id']),
                event: JSON.parse(String(value)) as TopicEvent['event'],
              });
            }
            const last = messages.at(-1)?.offset ?? String(BigInt(highWatermark) - 1n);
            if (BigInt(last) + 1n >= to.get(partition)!) left.delete(partition);
            if (left.size === 0) resolve(found);
          },
        })
        .catch(reject);
    });
  }
}
