/**
 * A relay of `ConcursusModule.forRoot({ publish: […] })` into topics: one an aggregate type, an aggregate's events in one
 * partition, in recorded order. How far it is and who runs it are the core's to keep.
 */
import {
  ConfigurationError,
  EventRelay,
  UnavailableError,
  type Fact,
  type RelayContext,
  type RelayProvider,
  type RelaySelection,
} from '@concursus/core';
import { KafkaClient, type KafkaConnectionOptions } from './client.js';
import { checkConnection, checkTopicName, topicOptions } from './kafka.provider.js';
import { OrderedProducer, type OutgoingMessage } from './ordered-producer.js';
import { checkTopicOptions, ensureTopics, isTopicName, type TopicOptions } from './topics.js';
import { messageOf, type ValueForm } from './wire.js';

/** What `kafkaRelay` takes. */
export interface KafkaRelayOptions extends KafkaConnectionOptions, TopicOptions, RelaySelection {
  /** Its place in the feed is kept under this name. Default `kafka`. */
  readonly name?: string;
  /** Where a name begins that is new. Default `beginning`. */
  readonly from?: 'beginning' | 'end';
  /** One topic for all, or the topic of an aggregate type. Default `<context>.<type>`. */
  readonly topic?: string | ((aggregateType: string, context: string) => string);
  /** `array` for readers that expect a JSON array a value. Default `event`. */
  readonly form?: ValueForm;
}

/**
 * Publishes recorded events to Kafka: at least once, those of an aggregate in recorded order, each with a key by which
 * readers drop repeats (README.md). Messages bear the time of their event, so topics are created to keep them for ever, and
 * one that would delete events of the past is refused.
 *
 * @throws ConfigurationError `INVALID_OPTION`
 * @example
 * ConcursusModule.forRoot({ publish: [kafkaRelay({ brokers: ['127.0.0.1:9092'], types: [Delivered] })] })
 */
export function kafkaRelay(options: KafkaRelayOptions): RelayProvider {
  checkConnection('kafkaRelay', options);
  checkTopicOptions('kafkaRelay', options);
  const { name = 'kafka', topic, form = 'event', from, aggregates, types, where } = options;
  if (topic !== undefined && typeof topic !== 'function') checkTopicName('kafkaRelay', 'topic', topic);
  if (form !== 'event' && form !== 'array') {
    throw new ConfigurationError('INVALID_OPTION', `kafkaRelay was given the form "${String(form)}".`, {
      fix: "Choose 'event' or 'array'.",
    });
  }
  return {
    slot: 'publish',
    name,
    ...(from === undefined ? {} : { from }),
    ...(aggregates === undefined ? {} : { aggregates }),
    ...(types === undefined ? {} : { types }),
    ...(where === undefined ? {} : { where }),
    create: (context) => new KafkaRelay(options, context, form),
  };
}

class KafkaRelay extends EventRelay {
  private readonly client: KafkaClient;
  private readonly producer: OrderedProducer;
  private readonly topicOf = new Map<string, string>();
  private state: 'new' | 'open' | 'closed' = 'new';
  private connecting: Promise<void> | undefined;

  constructor(
    private readonly options: KafkaRelayOptions,
    private readonly context: RelayContext,
    private readonly form: ValueForm,
  ) {
    super();
    this.client = new KafkaClient(options, context.logger);
    this.producer = new OrderedProducer(this.client, context.logger);
    for (const type of context.aggregateTypes) this.topic(type);
  }

  async connect(): Promise<void> {
    if (this.state === 'open') return;
    if (this.state === 'closed') throw this.closedError();
    this.connecting ??= this.open();
    try {
      await this.connecting;
    } finally {
      this.connecting = undefined;
    }
  }

  async publish(facts: readonly Fact[]): Promise<void> {
    if (this.state !== 'open') throw this.closedError();
    const { context } = this.context;
    const messages: OutgoingMessage[] = [];
    for (const fact of facts) {
      messages.push(messageOf(context, this.topic(fact.aggregateType), fact, this.form));
    }
    await this.producer.send(messages);
  }

  async close(): Promise<void> {
    if (this.state === 'closed') return;
    this.state = 'closed';
    await this.producer.close();
  }

  private async open(): Promise<void> {
    const topics = topicOptions(this.options);
    const admin = this.client.admin();
    try {
      await admin.connect();
      await ensureTopics(
        this.client,
        admin,
        this.context,
        [...new Set(this.topicOf.values())].map((topic) => ({
          ...topics,
          topic,
          purpose: `events of the context "${this.context.context}"`,
          eventTimes: true,
          written: true,
        })),
      );
      await this.producer.connect();
    } catch (error) {
      if (error instanceof ConfigurationError) throw error;
      throw this.client.unavailable('connecting a relay', error);
    } finally {
      await admin.disconnect().catch(() => undefined);
    }
    if (this.state === 'new') this.state = 'open';
  }

  private topic(aggregateType: string): string {
    let topic = this.topicOf.get(aggregateType);
    if (topic !== undefined) return topic;
    const { context } = this.context;
    const { topic: given } = this.options;
    topic = typeof given === 'function' ? given(aggregateType, context) : (given ?? `${context}.${aggregateType}`);
    if (!isTopicName(topic)) {
      throw new ConfigurationError(
        'INVALID_OPTION',
        `Events of "${aggregateType}" would go to the topic "${topic.slice(0, 80)}", which is no name of one.`,
        {
          fix: 'Name it: kafkaRelay({ topic: (aggregateType, context) => … }), up to 249 letters, digits, dots, dashes and underscores.',
        },
      );
    }
    this.topicOf.set(aggregateType, topic);
    return topic;
  }

  private closedError(): UnavailableError {
    return new UnavailableError('STORE_CLOSED', `The relay to ${this.client.name} is not open.`, {
      fix: 'Publish only between connect() and close().',
    });
  }
}
