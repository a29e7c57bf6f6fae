/**
 * Where messages go that nobody can read: a topic of their own, with the original key, value and headers, and headers that
 * say why and where from. A group passes such a message only when it is held there. What sends nonsense for ever must not
 * fill the disks: letters are deleted by their age, counted from when they were put aside.
 */
import type { Clock, LayerLogger } from '@concursus/core';
import type { IHeaders, KafkaMessage } from 'kafkajs';
import type { OrderedProducer, OutgoingMessage } from './ordered-producer.js';
import type { TopicNeeds, TopicOptions } from './topics.js';

/** A message and why it could not be read. */
export interface DeadLetter {
  readonly topic: string;
  readonly partition: number;
  readonly message: KafkaMessage;
  readonly reason: string;
}

/** The headers that a dead letter has beside its own. */
export const deadLetterHeaders = {
  reason: 'concursus-dead-reason',
  topic: 'concursus-dead-topic',
  partition: 'concursus-dead-partition',
  offset: 'concursus-dead-offset',
  /** The time of the message where it stood, in milliseconds. */
  time: 'concursus-dead-time',
  /** `key`, `value` or both: what was null, and is empty here. */
  absent: 'concursus-dead-absent',
} as const;

export class DeadLetters {
  constructor(
    private readonly producer: OrderedProducer,
    private readonly clock: Clock,
    private readonly topic: string,
    private readonly logger: LayerLogger,
  ) {}

  /** As the topic it belongs to, with one partition: there are few, and people read them. */
  static topicOptions(
    options: TopicOptions,
    retentionMs: number,
  ): Omit<TopicNeeds, 'topic' | 'purpose' | 'eventTimes' | 'written'> {
    return { ...options, partitions: 1, retentionMs, retentionOption: 'deadLetterRetentionMs' };
  }

  /** Resolves when all of them are held; repeated after a crash, one may stand there twice. @throws UnavailableError as `OrderedProducer.send` */
  async put(letters: readonly DeadLetter[]): Promise<void> {
    await this.producer.send(letters.map((letter) => this.outgoing(letter)));
    const { topic, partition, message, reason } = letters[0]!;
    this.logger.warn(
      `${letters.length} messages could not be read and went to "${this.topic}"; the first: ${topic}/${partition} at ${message.offset}, ${reason}.`,
    );
  }

  private outgoing({ topic, partition, message, reason }: DeadLetter): OutgoingMessage {
    const absent = [message.key === null ? 'key' : '', message.value === null ? 'value' : ''].filter(
      (one) => one !== '',
    );
    const headers: IHeaders = {
      ...message.headers,
      [deadLetterHeaders.reason]: reason,
      [deadLetterHeaders.topic]: topic,
      [deadLetterHeaders.partition]: String(partition),
      [deadLetterHeaders.offset]: message.offset,
      [deadLetterHeaders.time]: message.timestamp,
      ...(absent.length === 0 ? {} : { [deadLetterHeaders.absent]: absent.join() }),
    };
    return {
      topic: this.topic,
      partition: 0,
      key: message.key ?? Buffer.alloc(0),
      value: message.value ?? Buffer.alloc(0),
      headers,
      timestamp: String(this.clock.now()),
    };
  }
}
