/**
 * The one file that knows the client library: what connects to a cluster, what its log lines become, and what its errors
 * mean. Everything else of this package works with what is made here.
 */
import { UnavailableError, type LayerLogger } from '@concursus/core';
import kafkajs, {
  type Admin,
  type Consumer,
  type ICustomPartitioner,
  type Kafka,
  type KafkaConfig,
  type Producer,
  type ResourceConfigQuery,
  type SASLOptions,
} from 'kafkajs';

// The library is CommonJS, and Node finds only some of its names in it.
const { ConfigResourceTypes, Kafka: Cluster, logLevel } = kafkajs;

/** How a cluster is reached. Credentials are handed to the client and never written anywhere. */
export interface KafkaConnectionOptions {
  /** Addresses of some brokers, `host:port`; the others are learnt from them. */
  readonly brokers: readonly string[];
  /** As the brokers' logs and quotas name this application. Default `concursus`. */
  readonly clientId?: string;
  /** True for TLS with the machine's authorities, or the options of `tls.connect`. */
  readonly ssl?: KafkaConfig['ssl'];
  /** Mechanism and credentials: `{ mechanism: 'scram-sha-512', username, password }`. */
  readonly sasl?: SASLOptions;
  /** Until a connection stands, milliseconds. Default 3,000. */
  readonly connectionTimeoutMs?: number;
  /** Until a broker answers a request, milliseconds. Default 30,000. */
  readonly requestTimeoutMs?: number;
}

/** How one subscription of a group behaves in it. */
export interface GroupOptions {
  readonly groupId: string;
  /** A member that shows no sign of life this long is taken for dead and its partitions are given to others, milliseconds. */
  readonly sessionTimeoutMs: number;
  /** How long members may finish their batches when partitions move, milliseconds. */
  readonly rebalanceTimeoutMs: number;
  /** Between two signs of life, milliseconds; also how soon a member learns that partitions move. */
  readonly heartbeatMs: number;
  /** How long a fetch waits for something new, milliseconds. */
  readonly waitMs: number;
}

/** What is told to retry by the library itself: 17 s and the requests' own time, which outlasts the restart of a broker. */
const RETRIES = { retries: 12, initialRetryTime: 100, maxRetryTime: 2_000, factor: 0.2, multiplier: 2 };
/** At start-up somebody waits: 3 s, then it is said that nobody answers. */
const FIRST_RETRIES = { ...RETRIES, retries: 5 };

/** Lines of the library about choices that were made here on purpose. */
const EXPECTED = /Limiting retries for the idempotent producer/;

/** Makes clients of one cluster. Opens nothing by itself. */
export class KafkaClient {
  private readonly kafka: Kafka;

  constructor(
    private readonly options: KafkaConnectionOptions,
    logger: LayerLogger,
  ) {
    this.kafka = new Cluster({
      brokers: [...options.brokers],
      clientId: options.clientId ?? 'concursus',
      connectionTimeout: options.connectionTimeoutMs ?? 3_000,
      requestTimeout: options.requestTimeoutMs ?? 30_000,
      retry: FIRST_RETRIES,
      logLevel: logLevel.WARN,
      // Of what the library adds to a line only the broker, the group and the error are passed on: never its configuration.
      logCreator: () => (entry) => {
        const { message, broker, groupId, error } = entry.log as unknown as Record<string, unknown>;
        if (typeof message !== 'string' || EXPECTED.test(message)) return;
        const about = [broker, groupId, error].filter((part) => typeof part === 'string' && !message.includes(part));
        logger.warn(`Kafka: ${message}${about.length > 0 ? ` (${about.join(', ')})` : ''}`);
      },
      ...(options.ssl === undefined ? {} : { ssl: options.ssl }),
      ...(options.sasl === undefined ? {} : { sasl: options.sasl }),
    });
  }

  /** As messages name the cluster. */
  get name(): string {
    return `Kafka at ${this.options.brokers.join(', ')}`;
  }

  admin(): Admin {
    return this.kafka.admin({ retry: FIRST_RETRIES });
  }

  /** Idempotent: what the client repeats by itself, a partition holds once. */
  producer(createPartitioner: ICustomPartitioner): Producer {
    return this.kafka.producer({
      idempotent: true,
      allowAutoTopicCreation: false,
      createPartitioner,
      retry: RETRIES,
    });
  }

  /** Does not start again by itself after a crash: whoever runs it does. */
  consumer(group: GroupOptions): Consumer {
    return this.kafka.consumer({
      groupId: group.groupId,
      allowAutoTopicCreation: false,
      sessionTimeout: group.sessionTimeoutMs,
      rebalanceTimeout: group.rebalanceTimeoutMs,
      heartbeatInterval: group.heartbeatMs,
      maxWaitTimeInMs: group.waitMs,
      retry: { ...RETRIES, restartOnFailure: async () => false },
    });
  }

  /** What a failed call means for the caller: try again later, with the reason. Errors of Concursus pass as they are. */
  unavailable(what: string, error: unknown): UnavailableError {
    if (error instanceof UnavailableError) return error;
    const name = error instanceof Error ? error.name : '';
    const reason = error instanceof Error ? error.message : String(error);
    if (name === 'KafkaJSRequestTimeoutError' || name === 'KafkaJSTimeout') {
      return new UnavailableError('TIMEOUT', `${this.name} did not answer in time: ${what}: ${reason}`, {
        fix: 'Send it again: what it has already comes to the same.',
        cause: error,
      });
    }
    return new UnavailableError('STORE_UNREACHABLE', `${this.name} failed: ${what}: ${reason}`, {
      fix: 'See that its brokers run, are reachable and accept these credentials, then try again.',
      cause: error,
    });
  }
}

/** What the library adds to its errors. */
interface KafkaError {
  readonly name?: unknown;
  /** Of an answer of a broker: `NOT_LEADER_FOR_PARTITION`. */
  readonly type?: unknown;
  readonly retriable?: unknown;
  readonly cause?: unknown;
  /** Of a request about many. */
  readonly errors?: readonly unknown[];
}

/** Causes of causes that are looked at. */
const CAUSES_MAX = 5;

/**
 * Whether a refusal passes by itself: brokers that do not all know of a topic, a leader or a group yet, or that are late. Many
 * processes that start at the same moment meet them. A broker that cannot be reached is another matter, and not among them.
 */
export function passes(error: unknown): boolean {
  let at = error;
  for (let causes = 0; causes < CAUSES_MAX && typeof at === 'object' && at !== null; causes++) {
    const { name, type, retriable, cause, errors } = at as KafkaError;
    if (errors !== undefined) return errors.every((one) => hasType(one, 'TOPIC_ALREADY_EXISTS') || passes(one));
    if (typeof type === 'string') return retriable === true;
    if (typeof name === 'string' && PASSING.has(name)) return true;
    at = cause;
  }
  return false;
}

/** Errors of the library itself that say of a broker what the types of others say. */
const PASSING: ReadonlySet<string> = new Set([
  'KafkaJSTimeout',
  'KafkaJSRequestTimeoutError',
  'KafkaJSGroupCoordinatorNotFound',
  'KafkaJSTopicMetadataNotLoaded',
]);

function hasType(error: unknown, type: string): boolean {
  return (error as KafkaError | null)?.type === type;
}

/** Asks for the configuration of a topic. */
export function topicConfig(name: string): ResourceConfigQuery {
  return { type: ConfigResourceTypes.TOPIC, name };
}
