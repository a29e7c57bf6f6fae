/** What cannot work is refused before anything is opened: options, and topics that would lose or reorder what they hold. */
import { ConfigurationError, type LayerLogger } from '@concursus/core';
import { describe, expect, it } from 'vitest';
import { kafka, kafkaRelay, kafkaSource } from '../src/index.js';
import { checkTopic, MESSAGE_BYTES_MAX, type TopicNeeds } from '../src/topics.js';

const brokers = ['127.0.0.1:9092'];

describe('options', () => {
  it.each([
    ['no brokers', () => kafka({ brokers: [] })],
    ['nothing', () => kafka(undefined as never)],
    ['a broker without a port', () => kafkaRelay({ brokers: ['kafka'] })],
    ['a topic with a space', () => kafka({ brokers, topic: 'a b' })],
    ['a dead-letter topic with a slash', () => kafka({ brokers, deadLetterTopic: 'a/b' })],
    ['no partitions', () => kafka({ brokers, partitions: 0 })],
    ['a look every 0 ms', () => kafka({ brokers, trimEveryMs: 0 })],
    ['dead letters kept for half a millisecond', () => kafka({ brokers, deadLetterRetentionMs: 0.5 })],
    ['a retention below -1', () => kafkaRelay({ brokers, retentionMs: -2 })],
    ['one heartbeat a session', () => kafka({ brokers, sessionTimeoutMs: 6_000, heartbeatMs: 5_000 })],
    ['a session of no time', () => kafka({ brokers, sessionTimeoutMs: 0 })],
    ['a timeout that is no number', () => kafka({ brokers, requestTimeoutMs: Number.NaN })],
    ['a form that does not exist', () => kafkaRelay({ brokers, form: 'avro' as never })],
    ['no topics', () => kafkaSource({ brokers, topics: [] })],
    ['a group that is no name', () => kafkaSource({ brokers, topics: ['t'], group: '' })],
    ['a batch of nothing', () => kafkaSource({ brokers, topics: ['t'], batchSizeMax: 0 })],
    ['a beginning in between', () => kafkaSource({ brokers, topics: ['t'], from: 'middle' as never })],
  ])('%s: refused', (_, make) => {
    expect(make).toThrow(ConfigurationError);
    expect(make).toThrow('INVALID_OPTION');
  });

  it('an aggregate type that is no topic name needs one', () => {
    const clock = undefined as never;
    const logger = undefined as never;
    const context = { context: 'c', clock, logger, aggregateTypes: ['parcel in transit'] };
    expect(() => kafkaRelay({ brokers }).create(context)).toThrow('INVALID_OPTION');
    expect(() => kafkaRelay({ brokers, topic: (type) => type.replaceAll(' ', '-') }).create(context)).not.toThrow();
  });
});

describe('a topic', () => {
  const needs: TopicNeeds = { topic: 't', purpose: 'a spec', eventTimes: true, written: true };
  const good = {
    'cleanup.policy': 'delete',
    'retention.ms': '-1',
    'max.message.bytes': String(MESSAGE_BYTES_MAX),
    'message.timestamp.type': 'CreateTime',
    'message.timestamp.after.max.ms': '9223372036854775807',
    'min.insync.replicas': '2',
  };
  const check = (config: Record<string, string>, asked: Partial<TopicNeeds> = {}, copies = 3): string[] => {
    const warnings: string[] = [];
    const logger: LayerLogger = { log: () => undefined, warn: (line) => warnings.push(line), error: () => undefined };
    checkTopic({ ...needs, ...asked }, 12, copies, new Map(Object.entries({ ...good, ...config })), logger);
    return warnings;
  };

  it('that is fit is taken without a word', () => {
    expect(check({})).toEqual([]);
    expect(check({ 'retention.ms': '1000' }, { retentionMs: 1_000 })).toEqual([]);
    expect(check({ 'message.timestamp.after.max.ms': '3600000' }, { eventTimes: false })).toEqual([]);
  });

  it.each<[string, Record<string, string>, Partial<TopicNeeds>, string]>([
    ['compacts', { 'cleanup.policy': 'compact' }, {}, 'cleanup.policy=delete'],
    ['compacts and deletes', { 'cleanup.policy': 'compact,delete' }, {}, 'cleanup.policy=delete'],
    ['deletes events of the past', { 'retention.ms': '604800000' }, {}, 'retention.ms=-1'],
    ['deletes earlier than was asked', { 'retention.ms': '1000' }, { retentionMs: 2_000 }, 'retention.ms=2000'],
    ['deletes by size', { 'retention.bytes': '1073741824' }, {}, 'retention.bytes=-1'],
    ['takes too little at once', { 'max.message.bytes': '1048588' }, {}, `max.message.bytes=${MESSAGE_BYTES_MAX}`],
    ['replaces times', { 'message.timestamp.type': 'LogAppendTime' }, {}, 'message.timestamp.type=CreateTime'],
    ['refuses the future', { 'message.timestamp.after.max.ms': '3600000' }, {}, 'message.timestamp.after.max.ms='],
    ['trusts one copy of three', { 'min.insync.replicas': '1' }, {}, 'min.insync.replicas=2'],
    ['trusts fewer copies than asked', {}, { minInsyncReplicas: 3 }, 'min.insync.replicas=3'],
    ['can never be written', { 'min.insync.replicas': '4' }, {}, 'min.insync.replicas=3'],
    ['has other partitions', {}, { partitions: 6 }, 'Ask for 12'],
  ])('that %s is refused with the fix', (_, config, asked, fix) => {
    expect(() => check(config, asked)).toThrow('INVALID_OPTION');
    expect(() => check(config, asked)).toThrow(fix);
  });

  it('that others write is theirs to configure', () => {
    expect(check({ 'cleanup.policy': 'compact', 'retention.ms': '1' }, { written: false })).toEqual([]);
  });

  it('of one copy is taken with a warning', () => {
    expect(check({ 'min.insync.replicas': '1' }, {}, 1).join()).toContain('one copy');
  });
});
