/**
 * Goal: the buffer's topic is as long as what waits, nothing that a group still has to handle is deleted by us, and what the
 * broker deleted or is about to delete by age is said. Method: the real broker, looks every 50 ms, a group that refuses one
 * partition, and a bare client that deletes as a broker does whose retention is over, which would take minutes.
 */
import { SystemClock, type EventTransport, type Layer, type LayerLogger, type TransportItem } from '@concursus/core';
import { serverOf } from '@concursus/test/servers';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { kafka, partitionOf, type KafkaOptions } from '../src/index.js';
import { administer, fresh } from './support.js';

const { brokers } = serverOf('kafka');
const clock = new SystemClock();
const PARTITIONS = 2;
const HOUR_MS = 3_600_000;
const PATIENCE_MS = 60_000;
const layers: Layer<'durable'>[] = [];
const lines: string[] = [];
const logger: LayerLogger = {
  log: (line) => lines.push(line),
  warn: (line) => lines.push(line),
  error: (line) => lines.push(line),
};

beforeEach(() => void (lines.length = 0));
afterEach(async () => {
  for (const layer of layers.splice(0)) await layer.close();
});

async function open(topic: string, options: Partial<KafkaOptions> = {}): Promise<EventTransport> {
  const provider = kafka({ brokers, topic, partitions: PARTITIONS, heartbeatMs: 200, trimEveryMs: 50, ...options });
  const layer = (await provider.create({ context: 'retention', clock, logger })) as Layer<'durable'>;
  layers.push(layer);
  await layer.connect();
  return layer.ports.eventTransport;
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const startMs = clock.monotonicMs();
  while (!(await condition())) {
    if (clock.monotonicMs() - startMs > PATIENCE_MS)
      throw new Error(`Not within ${PATIENCE_MS} ms: ${String(condition)}\n${lines.join('\n')}`);
    await clock.sleep(20);
  }
}

/** The first offset of each partition, and the one behind its last. */
async function ends(topic: string): Promise<{ low: number; high: number }[]> {
  const offsets = await administer(brokers, (admin) => admin.fetchTopicOffsets(topic));
  return offsets
    .toSorted((a, b) => a.partition - b.partition)
    .map(({ low, high }) => ({ low: Number(low), high: Number(high) }));
}

/** A key of each partition. */
const KEYS = Array.from({ length: PARTITIONS }, (_, partition) => {
  for (let n = 0; ; n++) if (partitionOf(Buffer.from(`k${n}`), PARTITIONS) === partition) return `k${n}`;
});
const items = (count: number, acceptedAt = clock.now()): TransportItem[] =>
  KEYS.flatMap((key) => Array.from({ length: count }, (_, n) => ({ key, bytes: Buffer.from(`${n}`), acceptedAt })));

it('deletes what every group has handled, and nothing that one of them has not', async () => {
  const topic = fresh('trimmed');
  const transport = await open(topic);
  let refusing = true;
  await transport.subscribe('quick', async () => undefined);
  await transport.subscribe('slow', async (batch) => {
    if (refusing && batch.some(({ key }) => key === KEYS[1])) throw new Error('not yet');
  });
  await transport.publish(items(20));
  await until(async () => (await ends(topic))[0]!.low === 20);
  expect(await transport.lag('quick')).toBe(0);
  expect(await transport.lag('slow')).toBe(20);
  expect(await ends(topic)).toEqual([
    { low: 20, high: 20 },
    { low: 0, high: 20 },
  ]);
  refusing = false;
  await until(async () => (await ends(topic)).every(({ low, high }) => low === high));
  await transport.publish(items(3));
  await until(async () => (await ends(topic)).every(({ low, high }) => low === 23 && high === 23));
  expect(await transport.lag('slow')).toBe(0);
  expect(await transport.problem('slow')).toBeUndefined();
});

it('leaves what no group reads, and everything with trim: false', async () => {
  const unread = fresh('unread');
  const kept = fresh('kept');
  const [one, other] = await Promise.all([open(unread), open(kept, { trim: false })]);
  await other.subscribe('g', async () => undefined);
  const witness = await open(fresh('witness'));
  await witness.subscribe('g', async () => undefined);
  for (const transport of [one, other, witness]) await transport.publish(items(5));
  const { topic } = (witness as unknown as { parts: { topic: string } }).parts;
  await until(async () => (await other.lag('g')) === 0);
  // By then the others had their looks too.
  await until(async () => (await ends(topic)).every(({ low, high }) => low === 5 && high === 5));
  for (const name of [unread, kept]) expect((await ends(name)).map(({ low }) => low)).toEqual([0, 0]);
});

it('says what was deleted before it was handled, at the start that comes too late', async () => {
  const topic = fresh('lost');
  const before = await open(topic, { retentionMs: HOUR_MS, trim: false });
  const subscription = await before.subscribe('g', async () => undefined);
  await before.publish(items(4));
  await until(async () => (await before.lag('g')) === 0);
  await subscription.close();
  await before.publish(items(10));
  // Else it finds the gap too.
  for (const layer of layers.splice(0)) await layer.close();
  const partitions = (await ends(topic)).map(({ high }, partition) => ({ partition, offset: String(high - 3) }));
  await administer(brokers, async (admin) => {
    await admin.fetchTopicOffsets(topic);
    await admin.deleteTopicRecords({ topic, partitions });
  });
  const after = await open(topic, { retentionMs: HOUR_MS });
  const handled: TransportItem[] = [];
  await after.subscribe('g', async (batch) => void handled.push(...batch));
  expect(await after.problem('g')).toContain('14 messages');
  await until(async () => (await after.lag('g')) === 0);
  expect(handled).toHaveLength(6);
  // It stays said, and said once.
  expect(await after.problem('g')).toContain('14 messages');
  expect(lines.filter((line) => line.includes('were deleted by the broker'))).toHaveLength(1);
});

it('says what has waited for half of the retention, until it is handled', async () => {
  const [late, early] = [fresh('late'), fresh('early')];
  const bounded = (topic: string): Promise<EventTransport> => open(topic, { retentionMs: HOUR_MS });
  const [behind, ahead] = [await bounded(late), await bounded(early)];
  let refusing = true;
  for (const transport of [behind, ahead])
    await transport.subscribe('g', async () => {
      if (refusing) throw new Error('not yet');
    });
  await ahead.publish(items(2, clock.now() - HOUR_MS / 4));
  await behind.publish(items(2, clock.now() - (HOUR_MS * 2) / 3));
  await until(async () => (await behind.problem('g')) !== undefined);
  expect(await behind.problem('g')).toContain(`for more than ${HOUR_MS / 2} ms`);
  expect(await ahead.lag('g')).toBe(4);
  expect(await ahead.problem('g')).toBeUndefined();
  refusing = false;
  await until(async () => (await behind.problem('g')) === undefined);
  expect(lines.filter((line) => line.includes('have waited for the group'))).toHaveLength(1);
});
