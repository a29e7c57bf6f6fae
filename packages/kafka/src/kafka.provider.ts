/** Fills the slot `durable` of `ConcursusModule.forRoot` with Kafka. Opens nothing before `connect`. */
import { ConfigurationError, type Layer, type LayerContext, type LayerProvider } from '@concursus/core';
import { kafkaCapabilities } from './capabilities.js';
import { KafkaClient, type KafkaConnectionOptions } from './client.js';
import { KafkaEventTransport } from './kafka-event-transport.js';
import { checkTopicOptions, isTopicName, type TopicOptions } from './topics.js';

/** How members of a group notice each other. */
export interface KafkaGroupOptions {
  /** A process that shows no sign of life this long is taken for dead, and others read on. Default 10,000. */
  readonly sessionTimeoutMs?: number;
  /** How long a process may finish what it has in hand when another one joins or leaves. Default 60,000. */
  readonly rebalanceTimeoutMs?: number;
  /** Between two signs of life, and how soon a process learns that others come and go. Default 1,000. */
  readonly heartbeatMs?: number;
}

/** What `kafka()` takes. */
export interface KafkaOptions extends KafkaConnectionOptions, TopicOptions, KafkaGroupOptions {
  /** Default `<context>.buffer`. */
  readonly topic?: string;
  /** Default `<topic>.dead-letter`. */
  readonly deadLetterTopic?: string;
  /**
   * How long a message that nobody can read is kept there from when it was put aside, milliseconds; -1 for ever.
   * Default 2,592,000,000, thirty days, or `retentionMs` where that is less. A topic that is there already is not changed.
   */
  readonly deadLetterRetentionMs?: number;
  /** Delete what every group has handled, so that the topic holds what waits and not all there ever was. Default true. */
  readonly trim?: boolean;
  /** How often that is done, and with a `retentionMs` how often it is looked whether something waits too long, milliseconds. Default 60,000. */
  readonly trimEveryMs?: number;
}

/** A fetch without anything new ends after this long; then the member may learn that partitions move. */
const FETCH_WAIT_MS = 250;
const TRIM_EVERY_MS = 60_000;
/** Thirty days: long enough for a person to look, and what sends nonsense for ever fills no disk. */
const DEAD_LETTER_RETENTION_MS = 2_592_000_000;

/**
 * The durable buffer on Kafka: `record()` answers `buffered` when every in-sync replica has the event, and the processes of
 * a context share the partitions among them and store what they hold, in order per aggregate. A process that dies is replaced
 * within `sessionTimeoutMs`; what it had not stored comes again.
 *
 * `connect` creates the topics that are missing and refuses those that would lose or reorder what they hold, with
 * ConfigurationError `INVALID_OPTION` and the command that mends them. A call that fails may be held in part: events are
 * recorded once however often they come.
 *
 * @throws ConfigurationError `INVALID_OPTION`
 * @example
 * ConcursusModule.forRoot({ durable: kafka({ brokers: ['127.0.0.1:9092'] }) })
 */
export function kafka(options: KafkaOptions): LayerProvider<'durable'> {
  checkConnection('kafka', options);
  checkTopicOptions('kafka', options);
  const group = groupOptions('kafka', options);
  const { trim = true, trimEveryMs = TRIM_EVERY_MS, deadLetterRetentionMs = letterRetentionMs(options) } = options;
  if (!Number.isSafeInteger(deadLetterRetentionMs) || deadLetterRetentionMs < -1) {
    throw new ConfigurationError(
      'INVALID_OPTION',
      `kafka was given deadLetterRetentionMs ${String(deadLetterRetentionMs)}.`,
      { fix: 'Give deadLetterRetentionMs in whole milliseconds, or -1 to keep dead letters for ever.' },
    );
  }
  if (!Number.isSafeInteger(trimEveryMs) || trimEveryMs < 1 || trimEveryMs > 86_400_000) {
    throw new ConfigurationError('INVALID_OPTION', `kafka was given trimEveryMs ${String(trimEveryMs)}.`, {
      fix: 'Give trimEveryMs in whole milliseconds from 1 to 86,400,000.',
    });
  }
  for (const name of ['topic', 'deadLetterTopic'] as const) {
    if (options[name] !== undefined) checkTopicName('kafka', name, options[name]);
  }
  return {
    slot: 'durable',
    name: 'kafka',
    capabilities: kafkaCapabilities,
    create({ context, clock, logger }: LayerContext): Layer<'durable'> {
      const topic = options.topic ?? `${context}.buffer`;
      const eventTransport = new KafkaEventTransport({
        client: new KafkaClient(options, logger),
        clock,
        logger,
        topic,
        deadLetterTopic: options.deadLetterTopic ?? `${topic}.dead-letter`,
        deadLetterRetentionMs,
        topics: topicOptions(options),
        group,
        trim,
        trimEveryMs,
      });
      return {
        ports: { eventTransport },
        connect: () => eventTransport.connect(),
        drain: () => eventTransport.drain(),
        close: () => eventTransport.close(),
      };
    },
  };
}

function letterRetentionMs({ retentionMs = -1 }: TopicOptions): number {
  return retentionMs === -1 ? DEAD_LETTER_RETENTION_MS : Math.min(retentionMs, DEAD_LETTER_RETENTION_MS);
}

/** The part of the options that is about topics. */
export function topicOptions(options: TopicOptions): TopicOptions {
  const { partitions, replicationFactor, minInsyncReplicas, retentionMs, create } = options;
  return {
    ...(partitions === undefined ? {} : { partitions }),
    ...(replicationFactor === undefined ? {} : { replicationFactor }),
    ...(minInsyncReplicas === undefined ? {} : { minInsyncReplicas }),
    ...(retentionMs === undefined ? {} : { retentionMs }),
    ...(create === undefined ? {} : { create }),
  };
}

/** The members' times, checked. @throws ConfigurationError `INVALID_OPTION` */
export function groupOptions(
  provider: string,
  options: KafkaGroupOptions,
): Required<KafkaGroupOptions> & { readonly waitMs: number } {
  const { sessionTimeoutMs = 10_000, rebalanceTimeoutMs = 60_000, heartbeatMs = 1_000 } = options;
  const times = { sessionTimeoutMs, rebalanceTimeoutMs, heartbeatMs };
  for (const [name, value] of Object.entries(times)) {
    if (Number.isSafeInteger(value) && value >= 1 && value <= 3_600_000) continue;
    throw new ConfigurationError('INVALID_OPTION', `${provider} was given ${name} ${String(value)}.`, {
      fix: `Give ${name} in whole milliseconds from 1 to 3,600,000.`,
    });
  }
  if (heartbeatMs * 2 > sessionTimeoutMs) {
    throw new ConfigurationError(
      'INVALID_OPTION',
      `${provider} was given heartbeatMs ${heartbeatMs} and sessionTimeoutMs ${sessionTimeoutMs}: one late sign of life would end a membership.`,
      { fix: 'Let the session be at least two heartbeats long; three are usual.' },
    );
  }
  return { ...times, waitMs: FETCH_WAIT_MS };
}

/** @throws ConfigurationError `INVALID_OPTION` */
export function checkConnection(provider: string, options: KafkaConnectionOptions): void {
  const { brokers } = (options ?? {}) as Partial<KafkaConnectionOptions>;
  const fits =
    Array.isArray(brokers) && brokers.length > 0 && brokers.every((one) => /^[^\s:]+:\d+$|^\[.+\]:\d+$/.test(one));
  if (!fits) {
    throw new ConfigurationError('INVALID_OPTION', `${provider} was given no brokers it could connect to.`, {
      fix: "Give the addresses of some: brokers: ['127.0.0.1:9092'].",
    });
  }
  for (const name of ['connectionTimeoutMs', 'requestTimeoutMs'] as const) {
    const value = options[name];
    if (value === undefined || (Number.isSafeInteger(value) && value >= 1 && value <= 3_600_000)) continue;
    throw new ConfigurationError('INVALID_OPTION', `${provider} was given ${name} ${String(value)}.`, {
      fix: `Give ${name} in whole milliseconds from 1 to 3,600,000.`,
    });
  }
}

/** @throws ConfigurationError `INVALID_OPTION` */
export function checkTopicName(provider: string, option: string, name: unknown): void {
  if (isTopicName(name)) return;
  throw new ConfigurationError('INVALID_OPTION', `${provider} was given ${option} "${String(name).slice(0, 80)}".`, {
    fix: 'Use up to 249 letters, digits, dots, dashes and underscores.',
  });
}
