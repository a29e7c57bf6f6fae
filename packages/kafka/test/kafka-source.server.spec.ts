/**
 * Goal: what others write comes in, once, and a message is committed only when its events are recorded. Method: a bare
 * producer writes single events, arrays and rubbish; the application's store is made to fail for a while.
 */
import 'reflect-metadata';
import { Test } from '@nestjs/testing';
import {
  Aggregate,
  ConcursusModule,
  Event,
  Histories,
  Middleware,
  QuarantineService,
  Sources,
  type Batch,
  type BatchMiddleware,
} from '@concursus/core';
import { serverOf } from '@concursus/test/servers';
import { expect, it } from 'vitest';
import { kafkaRelay, kafkaSource, type KafkaSourceOptions } from '../src/index.js';
import { administer, bareKafka, fresh } from './support.js';

const { brokers } = serverOf('kafka');

@Event()
class Scanned {
  readonly n!: number;
}

@Aggregate('parcel')
class Parcel {
  static readonly events = { Scanned };
}

/** The store, as it may be: away. */
@Middleware({ stage: 'log' })
class Store implements BatchMiddleware {
  away = false;
  refused = 0;
  async handle(_batch: Batch, next: () => Promise<void>): Promise<void> {
    if (this.away) {
      this.refused += 1;
      throw new Error('The store is away.');
    }
    await next();
  }
}

async function application(options: Partial<KafkaSourceOptions> & { topics: string[]; group: string }) {
  const module = await Test.createTestingModule({
    imports: [ConcursusModule.forRoot({ consume: [kafkaSource({ brokers, ...options })] })],
    providers: [Parcel, Store],
  })
    .setLogger(false as never)
    .compile();
  await module.init();
  return module;
}

async function topicOf(partitions: number): Promise<string> {
  const topic = fresh('incoming');
  await administer(brokers, (admin) =>
    admin.createTopics({ topics: [{ topic, numPartitions: partitions }], waitForLeaders: true }),
  );
  return topic;
}

const event = (id: string, n: number, name = 'scanned'): object => ({
  aggregateType: 'parcel',
  aggregateId: id,
  name,
  version: '0',
  eventTimestamp: 1_700_000_000_000 + n,
  streamId: 'scanner',
  processingId: '',
  characteristics: 0,
  parameters: { n },
});

interface Outgoing {
  readonly key?: string;
  readonly value: string | Buffer | null;
  readonly partition?: number;
}

async function write(topic: string, messages: readonly Outgoing[]): Promise<void> {
  const producer = bareKafka(brokers).producer();
  await producer.connect();
  await producer.send({ topic, messages: [...messages] });
  await producer.disconnect();
}

async function lag(topic: string, group: string): Promise<number> {
  return administer(brokers, async (admin) => {
    const [ends, [done]] = await Promise.all([
      admin.fetchTopicOffsets(topic),
      admin.fetchOffsets({ groupId: group, topics: [topic] }),
    ]);
    const offsets = new Map(done!.partitions.map(({ partition, offset }) => [partition, Number(offset)]));
    return ends.reduce((sum, { partition, high }) => sum + Number(high) - Math.max(0, offsets.get(partition) ?? 0), 0);
  });
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const start = performance.now();
  while (!(await condition())) {
    if (performance.now() - start > 60_000) throw new Error(`Not within a minute: ${String(condition)}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

it('records single events and arrays, each partition a channel of its own, and quarantines what is broken alone', async () => {
  const topic = await topicOf(2);
  const group = fresh('group');
  const broken = Buffer.from([0x7b, 0xff, 0x7d]);
  await write(topic, [
    { key: 'a', value: JSON.stringify(event('a', 1)), partition: 0 },
    { key: 'a', value: broken, partition: 0 },
    { key: 'a', value: '{"no":"event"}', partition: 0 },
    {
      key: 'a',
      value: JSON.stringify([event('a', 2), event('a', 3, 'unknown'), { half: 1 }, event('a', 4)]),
      partition: 0,
    },
    { key: 'b', value: '[not json', partition: 1 },
    { value: null, partition: 1 },
    { key: 'b', value: JSON.stringify([event('b', 1)]), partition: 1 },
  ]);
  const module = await application({ topics: [topic], group });
  await until(async () => (await lag(topic, group)) === 0);
  const numbers = async (id: string): Promise<unknown[]> =>
    (await module.get(Histories).collect(Parcel, id)).map(({ parameters }) => parameters['n']);
  expect(await numbers('a')).toEqual([1, 2, 4]);
  expect(await numbers('b')).toEqual([1]);
  const { items } = await module.get(QuarantineService).list();
  expect(items.map(({ code }) => code).toSorted((a, b) => a.localeCompare(b))).toEqual([
    'INVALID_EVENT',
    'INVALID_EVENT',
    'INVALID_JSON',
    'INVALID_JSON',
    'INVALID_UTF8',
    'UNKNOWN_EVENT_TYPE',
  ]);
  expect(items.filter(({ source }) => source !== `kafka/${topic}`).map(({ code }) => code)).toEqual([
    'UNKNOWN_EVENT_TYPE',
  ]);
  const kept = items.find(({ code }) => code === 'INVALID_UTF8')!;
  expect(Buffer.from(kept.bytes)).toEqual(broken);
  await until(async () => (await module.get(Sources).list()).length === 2);
  const channels = (await module.get(Sources).list()).map(({ stream, channel }) => [stream, channel]);
  expect(channels).toEqual([
    ['scanner', `${topic}/0`],
    ['scanner', `${topic}/1`],
  ]);
  await module.close();
});

it('commits nothing while the store fails, and records everything once when it is back', async () => {
  const topic = await topicOf(3);
  const group = fresh('group');
  const module = await application({ topics: [topic], group, batchSizeMax: 10 });
  const store = module.get(Store);
  store.away = true;
  const count = 90;
  await write(
    topic,
    Array.from({ length: count }, (_, n) => ({ key: `p${n % 9}`, value: JSON.stringify(event(`p${n % 9}`, n)) })),
  );
  await until(() => store.refused > 5);
  expect(await lag(topic, group)).toBe(count);
  store.away = false;
  await until(async () => (await lag(topic, group)) === 0);
  for (let id = 0; id < 9; id++) {
    const facts = await module.get(Histories).collect(Parcel, `p${id}`);
    expect(facts.map(({ parameters }) => parameters['n'])).toEqual(Array.from({ length: 10 }, (_, n) => n * 9 + id));
  }
  expect((await module.get(QuarantineService).list()).items).toEqual([]);
  await module.close();
});

it('reads other forms with a decoder, and the topic of a relay that writes arrays', async () => {
  const prefix = fresh('arrays');
  const from = await Test.createTestingModule({
    imports: [
      ConcursusModule.forRoot({ publish: [kafkaRelay({ brokers, topic: prefix, form: 'array', partitions: 2 })] }),
    ],
    providers: [Parcel],
  })
    .setLogger(false as never)
    .compile();
  await from.init();
  const other = await topicOf(1);
  const group = fresh('group');
  const source = kafkaSource({
    brokers,
    name: 'csv',
    group,
    topics: [other],
    decode: (text, { key, timestamp }) =>
      text.split(',').map((n) => ({
        aggregateType: 'parcel',
        aggregateId: Buffer.from(key!).toString(),
        name: 'scanned',
        at: timestamp + Number(n),
        parameters: { n: Number(n) },
      })),
  });
  const to = await Test.createTestingModule({
    imports: [
      ConcursusModule.forRoot({ consume: [source, kafkaSource({ brokers, topics: [prefix], group: fresh('group') })] }),
    ],
    providers: [Parcel],
  })
    .setLogger(false as never)
    .compile();
  await write(other, [
    { key: 'csv', value: '7,8' },
    { key: 'csv', value: 'x' },
  ]);
  const { EventBus } = await import('@concursus/core');
  await from
    .get(EventBus)
    .record(
      [1, 2].map((n) => ({ aggregateType: 'parcel', aggregateId: 'a', name: 'scanned', at: n, parameters: { n } })),
    );
  await to.init();
  await until(async () => (await to.get(Histories).collect(Parcel, 'a')).length === 2);
  await until(async () => (await lag(other, group)) === 0);
  const facts = await to.get(Histories).collect(Parcel, 'csv');
  expect(facts.map(({ parameters }) => parameters['n'])).toEqual([7, 8]);
  const { items } = await to.get(QuarantineService).list();
  expect(items.map(({ code }) => code)).toEqual(['INVALID_TIME']);
  await Promise.all([from.close(), to.close()]);
});
