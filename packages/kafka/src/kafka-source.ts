/**
 * An inlet of `ConcursusModule.forRoot({ consume: […] })`: reads topics that others write, one event or a JSON array of events
 * a value, and commits a message when its events are recorded. What is no event goes to the quarantine and holds up nobody.
 *
 * Each partition is a channel of its own (`metadata.channel`), so that what has settled waits for the slowest of them.
 */
import {
  ConcursusError,
  ConfigurationError,
  decodeWireJson,
  EventInlet,
  fromEventJson,
  InvalidEventError,
  limits,
  StreamBatch,
  type EventInput,
  type InletContext,
  type InletProvider,
  type RawInput,
} from '@concursus/core';
import type { KafkaMessage } from 'kafkajs';
import { KafkaClient, type KafkaConnectionOptions } from './client.js';
import { GroupConsumer, type ReceivedPart } from './group-consumer.js';
import { checkConnection, checkTopicName, groupOptions, type KafkaGroupOptions } from './kafka.provider.js';
import { ensureTopics } from './topics.js';
import { eventHeaders } from './wire.js';

/** A message as a decoder sees it. */
export interface SourceMessage {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly key: Uint8Array | null;
  /** The message's own time, epoch milliseconds. */
  readonly timestamp: number;
  readonly headers: KafkaMessage['headers'];
}

/** What `kafkaSource` takes. */
export interface KafkaSourceOptions extends KafkaConnectionOptions, KafkaGroupOptions {
  /** They must be there. */
  readonly topics: readonly string[];
  /** Default `kafka`. */
  readonly name?: string;
  /** The consumer group, which keeps how far it is. Default `<context>.<name>`. */
  readonly group?: string;
  /** Where a group begins that is new. Default `beginning`. */
  readonly from?: 'beginning' | 'end';
  /** Messages recorded together at most, 1 to 10,000. Default 512. */
  readonly batchSizeMax?: number;
  /** Reads a value of another form. What it throws sends the value to the quarantine. Default: wire JSON, one event or an array. */
  readonly decode?: (text: string, message: SourceMessage) => EventInput | readonly EventInput[];
}

const BATCH_SIZE = 512;

/**
 * Takes in what others write to topics: at least once, those of a partition in order; an event that comes again is recorded once.
 * A message is committed when its events are recorded or quarantined; when the store fails, its partition waits and is read again.
 *
 * @throws ConfigurationError `INVALID_OPTION`
 * @example
 * ConcursusModule.forRoot({ consume: [kafkaSource({ brokers: ['127.0.0.1:9092'], topics: ['scans'] })] })
 */
export function kafkaSource(options: KafkaSourceOptions): InletProvider {
  checkConnection('kafkaSource', options);
  const { topics, name = 'kafka', group, batchSizeMax = BATCH_SIZE, from = 'beginning' } = options;
  if (!Array.isArray(topics) || topics.length === 0) {
    throw new ConfigurationError('INVALID_OPTION', 'kafkaSource was given no topics.', {
      fix: "Name some: topics: ['scans'].",
    });
  }
  for (const topic of topics) checkTopicName('kafkaSource', 'topics', topic);
  if (group !== undefined) checkTopicName('kafkaSource', 'group', group);
  if (from !== 'beginning' && from !== 'end') {
    throw new ConfigurationError('INVALID_OPTION', `kafkaSource was told to begin at "${String(from)}".`, {
      fix: "Let a new group begin at the 'beginning' or at the 'end'.",
    });
  }
  if (!Number.isInteger(batchSizeMax) || batchSizeMax < 1 || batchSizeMax > limits.appendEvents) {
    throw new ConfigurationError('INVALID_OPTION', `kafkaSource was given batchSizeMax ${batchSizeMax}.`, {
      fix: `Give a whole number from 1 to ${limits.appendEvents}.`,
    });
  }
  const member = groupOptions('kafkaSource', options);
  return {
    slot: 'consume',
    name,
    create: (context) => {
      const groupId = group ?? `${context.context}.${name}`;
      return new KafkaSource(options, context, { ...member, groupId }, batchSizeMax, from === 'beginning');
    },
  };
}

type Item = EventInput | RawInput;

class KafkaSource extends EventInlet {
  private readonly client: KafkaClient;
  private readonly utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  private consumer: GroupConsumer | undefined;
  private connected = false;
  private stopped = false;

  constructor(
    private readonly options: KafkaSourceOptions,
    private readonly context: InletContext,
    private readonly group: ReturnType<typeof groupOptions> & { readonly groupId: string },
    private readonly batchSizeMax: number,
    private readonly fromBeginning: boolean,
  ) {
    super();
    this.client = new KafkaClient(options, context.logger);
  }

  async connect(): Promise<void> {
    if (this.connected) return;
    const admin = this.client.admin();
    try {
      await admin.connect();
      const needs = this.options.topics.map((topic) => ({
        topic,
        purpose: 'events that others write',
        eventTimes: false,
        written: false,
        create: false,
      }));
      await ensureTopics(this.client, admin, this.context, needs);
    } catch (error) {
      if (error instanceof ConfigurationError) throw error;
      throw this.client.unavailable('connecting', error);
    } finally {
      await admin.disconnect().catch(() => undefined);
    }
    this.connected = true;
  }

  async start(): Promise<void> {
    if (this.stopped || this.consumer !== undefined) return;
    const { clock, logger } = this.context;
    const consumer = new GroupConsumer(this.client, clock, logger, {
      topics: this.options.topics,
      group: this.group,
      sizeMax: this.batchSizeMax,
      fromBeginning: this.fromBeginning,
      handle: (parts) => this.take(parts),
    });
    await consumer.start();
    this.consumer = consumer;
    // Told to stop while it joined.
    if (this.stopped) await consumer.stop();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.consumer?.stop();
  }

  close(): Promise<void> {
    return this.stop();
  }

  private async take(parts: readonly ReceivedPart[]): Promise<void> {
    const items: Item[] = [];
    for (const { topic, partition, messages } of parts) {
      for (const message of messages) this.read(topic, partition, message, items);
    }
    if (items.length > 0) await this.context.record(once(new StreamBatch(items)), { source: 'kafka' });
  }

  /** Adds what a message holds: events, and what is no event as it came. */
  private read(topic: string, partition: number, message: KafkaMessage, items: Item[]): void {
    const line = items.length + 1;
    const bytes = message.value ?? new Uint8Array(0);
    const refuse = (error: unknown, part: Uint8Array = bytes): void => {
      items.push({ bytes: part, line, source: `kafka/${topic}`, error: asInvalid(error) });
    };
    let text: string;
    try {
      text = this.utf8.decode(bytes);
    } catch (cause) {
      refuse(
        new InvalidEventError('INVALID_UTF8', 'The value is not valid UTF-8.', {
          fix: 'Send text encoded as UTF-8; the bytes are kept in the quarantine.',
          cause,
        }),
      );
      return;
    }
    const add = (event: EventInput): void => {
      items.push(withChannel(event, `${topic}/${partition}`, message));
    };
    const { decode } = this.options;
    try {
      if (decode !== undefined) {
        const { offset, key, headers } = message;
        const decoded = decode(text, { topic, partition, offset, key, headers, timestamp: Number(message.timestamp) });
        for (const event of Array.isArray(decoded) ? (decoded as readonly EventInput[]) : [decoded as EventInput])
          add(event);
      } else if (/^\s*\[/.test(text)) {
        for (const element of JSON.parse(text) as readonly object[]) {
          // Each for itself: one that is wrong is kept alone, and the others are recorded.
          try {
            add(fromEventJson(element));
          } catch (error) {
            refuse(error, Buffer.from(JSON.stringify(element)));
          }
        }
      } else add(decodeWireJson(text));
    } catch (error) {
      refuse(error);
    }
  }
}

async function* once<T>(item: T): AsyncIterable<T> {
  yield item;
}

/** The partition is the event's channel here, whatever the sender's was; a trace goes on. */
function withChannel(event: EventInput, channel: string, { headers }: KafkaMessage): EventInput {
  const metadata: Record<string, string> = { ...event.metadata, channel };
  const traceparent = headers?.[eventHeaders.traceparent]?.toString();
  if (traceparent !== undefined) metadata[eventHeaders.traceparent] ??= traceparent;
  // What would be one entry too many is left as its sender made it.
  return Object.keys(metadata).length > limits.metadataEntries ? event : { ...event, metadata };
}

function asInvalid(error: unknown): InvalidEventError {
  if (error instanceof InvalidEventError) return error;
  const json = error instanceof SyntaxError;
  const reason = ConcursusError.isInstance(error)
    ? error.reason
    : error instanceof Error
      ? error.message
      : String(error);
  return new InvalidEventError(json ? 'INVALID_JSON' : 'INVALID_EVENT', `The value could not be read: ${reason}`, {
    fix: json
      ? 'Send one event or an array of events as JSON.'
      : 'Correct the value, or the decoder, and retry it from the quarantine.',
    cause: error,
  });
}
