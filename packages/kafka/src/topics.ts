/**
 * Topics that are created when they are missing, and checked at every start: one whose configuration would lose or reorder
 * what we promise to keep is refused with the command that mends it.
 */
import { ConfigurationError, type Clock, type LayerLogger } from '@concursus/core';
import type { Admin } from 'kafkajs';
import { passes, topicConfig, type KafkaClient } from './client.js';

/** How topics are created, and what existing ones must be like. */
export interface TopicOptions {
  /** Partitions of a topic that is created; given, an existing one must have as many. Default 12. */
  readonly partitions?: number;
  /** Copies of a topic that is created. Default: the cluster's own, `default.replication.factor`. */
  readonly replicationFactor?: number;
  /** Copies that must have a message before it counts as held. Default: 2 where there are three copies or more, else 1. */
  readonly minInsyncReplicas?: number;
  /** How long a message is kept, milliseconds; -1 for ever. Default -1. */
  readonly retentionMs?: number;
  /** Create topics that are missing. Default true; with false they must be there. */
  readonly create?: boolean;
}

/** One topic to be there. */
export interface TopicNeeds extends TopicOptions {
  readonly topic: string;
  /** What it is for, as messages say it. */
  readonly purpose: string;
  /** What all have handled is deleted, which frees whole segments of the log: they are made small. */
  readonly trimmed?: boolean;
  /** The option that says how long this topic keeps messages. Default `retentionMs`. */
  readonly retentionOption?: string;
  /** Its messages bear times of events, of any year: the broker must take and keep them. */
  readonly eventTimes: boolean;
  /** Count and contents are ours to say; false for topics that only others write. */
  readonly written: boolean;
}

const PARTITIONS = 12;
/** Brokers learn of a topic within some 100 ms; starved of time, within seconds. */
const READY_MAX_MS = 30_000;
const READY_MS = 50;
const READY_STEP_MAX_MS = 1_000;
/** One event of 1 MiB of parameters with everything around it, or a request of many. */
export const MESSAGE_BYTES_MAX = 2_097_152;
/** With 12 partitions 768 MiB beside what waits. */
const TRIMMED_SEGMENT_BYTES = 67_108_864;
const FOR_EVER = '9223372036854775807';
/** Ten years: what accepts events that far ahead accepts all that are meant. */
const AHEAD_MS_MIN = 315_360_000_000;

/** A name Kafka accepts: up to 249 letters, digits, dots, dashes and underscores. */
export function isTopicName(name: unknown): boolean {
  return typeof name === 'string' && /^[A-Za-z0-9._-]{1,249}$/.test(name) && name !== '.' && name !== '..';
}

/** @throws ConfigurationError `INVALID_OPTION` */
export function checkTopicOptions(provider: string, options: TopicOptions): void {
  const bounds: readonly [keyof TopicOptions, number, number][] = [
    ['partitions', 1, 10_000],
    ['replicationFactor', 1, 100],
    ['minInsyncReplicas', 1, 100],
    ['retentionMs', -1, Number.MAX_SAFE_INTEGER],
  ];
  for (const [name, min, max] of bounds) {
    const value = options[name];
    if (value === undefined || (Number.isSafeInteger(value) && Number(value) >= min && Number(value) <= max)) continue;
    throw new ConfigurationError('INVALID_OPTION', `${provider} was given ${name} ${String(value)}.`, {
      fix: `Give ${name} as a whole number from ${min} to ${max}.`,
    });
  }
}

/**
 * Creates what is missing and checks the rest; resolves when what was missing can be written and read. Any number of processes
 * may do it at once, with other topics or the same: what only says that a broker has not heard of a topic yet is asked again.
 *
 *     one: create · created · another: create · exists already · its partitions? · no such topic · (asks again) · 12
 *
 * @throws ConfigurationError `INVALID_OPTION` (a topic is missing, or is not fit for its purpose) · UnavailableError `STORE_UNREACHABLE`, `TIMEOUT`
 */
export async function ensureTopics(
  client: KafkaClient,
  admin: Admin,
  { clock, logger }: { readonly clock: Clock; readonly logger: LayerLogger },
  topics: readonly TopicNeeds[],
): Promise<void> {
  /** Those that were missing when they were looked for: others may still be about to know of them. */
  const young = new Set<string>();
  const begunMs = clock.monotonicMs();
  for (let waitMs = READY_MS; ; waitMs = Math.min(waitMs * 2, READY_STEP_MAX_MS)) {
    try {
      await createMissing(admin, topics, young);
      // A leader stands in the metadata before that broker knows of it: whoever writes or asks by then is refused.
      for (const topic of young) await admin.fetchTopicOffsets(topic);
      await checkTopics(admin, logger, topics);
      return;
    } catch (error) {
      if (error instanceof ConfigurationError) throw error;
      const triedMs = Math.round(clock.monotonicMs() - begunMs);
      if (!passes(error)) throw client.unavailable('creating and checking topics', error);
      if (triedMs >= READY_MAX_MS) throw client.unavailable(`creating and checking topics, for ${triedMs} ms`, error);
      await clock.sleep(waitMs);
    }
  }
}

async function createMissing(admin: Admin, topics: readonly TopicNeeds[], young: Set<string>): Promise<void> {
  const present = new Set(await admin.listTopics());
  const missing = topics.filter(({ topic }) => !present.has(topic));
  for (const needs of missing) {
    if (needs.create === false) throw absent(needs);
    young.add(needs.topic);
  }
  if (missing.length > 0) await admin.createTopics({ topics: missing.map(created), waitForLeaders: true });
}

function created(needs: TopicNeeds): {
  topic: string;
  numPartitions: number;
  replicationFactor: number;
  configEntries: { name: string; value: string }[];
} {
  const entries: [string, string][] = [
    ['cleanup.policy', 'delete'],
    ['retention.ms', String(needs.retentionMs ?? -1)],
    // A cluster may have a default.
    ['retention.bytes', '-1'],
    ['max.message.bytes', String(MESSAGE_BYTES_MAX)],
    ['message.timestamp.type', 'CreateTime'],
    ['unclean.leader.election.enable', 'false'],
  ];
  if (needs.trimmed === true) entries.push(['segment.bytes', String(TRIMMED_SEGMENT_BYTES)]);
  if (needs.eventTimes) entries.push(['message.timestamp.after.max.ms', FOR_EVER]);
  if (needs.minInsyncReplicas !== undefined) entries.push(['min.insync.replicas', String(needs.minInsyncReplicas)]);
  else if ((needs.replicationFactor ?? 0) >= 3) entries.push(['min.insync.replicas', '2']);
  return {
    topic: needs.topic,
    numPartitions: needs.partitions ?? PARTITIONS,
    replicationFactor: needs.replicationFactor ?? -1,
    configEntries: entries.map(([name, value]) => ({ name, value })),
  };
}

async function checkTopics(admin: Admin, logger: LayerLogger, topics: readonly TopicNeeds[]): Promise<void> {
  const { topics: described } = await admin.fetchTopicMetadata({ topics: topics.map(({ topic }) => topic) });
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: topics.map(({ topic }) => topicConfig(topic)),
  });
  for (const needs of topics) {
    const partitions = described.find(({ name }) => name === needs.topic)?.partitions ?? [];
    if (partitions.length === 0) throw absent(needs);
    const entries = resources.find(({ resourceName }) => resourceName === needs.topic)?.configEntries ?? [];
    const config = new Map(entries.map(({ configName, configValue }) => [configName, configValue]));
    const copies = Math.min(...partitions.map(({ replicas }) => replicas.length));
    checkTopic(needs, partitions.length, copies, config, logger);
  }
}

/** Judges one topic. @throws ConfigurationError `INVALID_OPTION` */
export function checkTopic(
  needs: TopicNeeds,
  partitions: number,
  copies: number,
  config: ReadonlyMap<string, string>,
  logger: LayerLogger,
): void {
  const refuse = (what: string, fix: string): never => {
    throw new ConfigurationError('INVALID_OPTION', `The topic "${needs.topic}" (${needs.purpose}) ${what}.`, { fix });
  };
  const set = (setting: string): string =>
    `Set it: kafka-configs --alter --topic ${needs.topic} --add-config ${setting}, or name another topic.`;
  if (needs.partitions !== undefined && partitions !== needs.partitions) {
    refuse(
      `has ${partitions} partitions, and ${needs.partitions} are asked for`,
      `Ask for ${partitions}, or name a new topic: with another number, later events of an aggregate go to another partition than its earlier ones.`,
    );
  }
  if (!needs.written) return;
  const policy = config.get('cleanup.policy') ?? 'delete';
  if (policy.includes('compact')) {
    refuse(
      `has the cleanup policy "${policy}", which keeps of each aggregate its last event only`,
      set('cleanup.policy=delete'),
    );
  }
  const kept = Number(config.get('retention.ms') ?? -1);
  const asked = needs.retentionMs ?? -1;
  if (kept !== -1 && (asked === -1 || kept < asked)) {
    refuse(
      needs.eventTimes
        ? `keeps messages for ${kept} ms from the time of their event, so that events of the past would be deleted at once`
        : `keeps messages for ${kept} ms, whether they were handled by then or not`,
      `${set(`retention.ms=${asked}`)} Or accept it with the option ${needs.retentionOption ?? 'retentionMs'}: ${kept}.`,
    );
  }
  const keptBytes = config.get('retention.bytes') ?? '-1';
  if (keptBytes !== '-1') {
    refuse(
      `keeps ${keptBytes} bytes a partition, and deletes what is beyond them whether it was handled or not`,
      set('retention.bytes=-1'),
    );
  }
  const bytes = Number(config.get('max.message.bytes') ?? MESSAGE_BYTES_MAX);
  if (bytes < MESSAGE_BYTES_MAX) {
    refuse(
      `takes ${bytes} bytes at once, and an event with what is around it may have ${MESSAGE_BYTES_MAX}`,
      set(`max.message.bytes=${MESSAGE_BYTES_MAX}`),
    );
  }
  if ((config.get('message.timestamp.type') ?? 'CreateTime') !== 'CreateTime') {
    refuse('replaces the time of each message by its own', set('message.timestamp.type=CreateTime'));
  }
  if (needs.eventTimes && Number(config.get('message.timestamp.after.max.ms') ?? FOR_EVER) < AHEAD_MS_MIN) {
    refuse(
      `refuses events more than ${config.get('message.timestamp.after.max.ms')} ms ahead of its clock`,
      set(`message.timestamp.after.max.ms=${FOR_EVER}`),
    );
  }
  checkCopies(needs, copies, Number(config.get('min.insync.replicas') ?? 1), refuse, set, logger);
}

function checkCopies(
  needs: TopicNeeds,
  copies: number,
  insync: number,
  refuse: (what: string, fix: string) => never,
  set: (setting: string) => string,
  logger: LayerLogger,
): void {
  if (insync > copies) {
    refuse(
      `has ${copies} copies and min.insync.replicas=${insync}, so that nothing can be written`,
      set(`min.insync.replicas=${copies}`),
    );
  }
  const wanted = needs.minInsyncReplicas ?? (copies >= 3 ? 2 : 1);
  if (insync < wanted) {
    refuse(
      `counts a message as held by ${insync} of ${copies} copies, and ${wanted} are wanted: the loss of one broker could lose it`,
      set(`min.insync.replicas=${wanted}`),
    );
  }
  if (copies < 3) {
    logger.warn(
      `The topic "${needs.topic}" (${needs.purpose}) has ${copies === 1 ? 'one copy' : `${copies} copies`}: what it holds is as safe as ${copies === 1 ? 'that broker’s disk' : 'those brokers’ disks'}.`,
    );
  }
}

function absent({ topic, purpose, create }: TopicNeeds): ConfigurationError {
  return new ConfigurationError('INVALID_OPTION', `There is no topic "${topic}" (${purpose}).`, {
    fix: create === false ? 'Create it, or leave the option create out.' : 'Let this client create it, or create it.',
  });
}
