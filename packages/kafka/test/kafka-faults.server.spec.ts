/**
 * Goal: whatever fails around the durable layer, nothing accepted is lost, nothing is committed before it is handled, and
 * other aggregates go on. Method: the real broker, with handlers that fail or wait, members that come, messages that nobody
 * can read, and a broker of its own that is killed while it takes a load.
 */
import { SystemClock, type EventTransport, type Layer, type LayerLogger, type TransportItem } from '@concursus/core';
import { ownServer, serverOf } from '@concursus/test/servers';
import { afterEach, describe, expect, it } from 'vitest';
import { deadLetterHeaders, kafka, partitionOf, type KafkaOptions } from '../src/index.js';
import { topicConfig } from '../src/client.js';
import { administer, bareKafka, fresh, readTopics } from './support.js';

const { brokers } = serverOf('kafka');
const clock = new SystemClock();
/** A broker that was killed is back within 10 s on a quiet machine, and a dead member forgotten after 10 more. */
const PATIENCE_MS = 100_000;
const layers: Layer<'durable'>[] = [];
const lines: string[] = [];
const logger: LayerLogger = {
  log: (line) => lines.push(line),
  warn: (line) => lines.push(line),
  error: (line) => lines.push(line),
};

afterEach(async () => {
  for (const layer of layers.splice(0)) await layer.close();
});

async function open(options: Partial<KafkaOptions> & { topic: string }): Promise<EventTransport> {
  const provider = kafka({ brokers, partitions: 4, heartbeatMs: 200, ...options });
  const layer = (await provider.create({ context: 'faults', clock, logger })) as Layer<'durable'>;
  layers.push(layer);
  await layer.connect();
  return layer.ports.eventTransport;
}

const item = (key: string, n: number): TransportItem => ({ key, bytes: Buffer.from(`${key} ${n}`), acceptedAt: n });
const textOf = ({ bytes }: TransportItem): string => Buffer.from(bytes).toString();
const numbers = (texts: readonly string[], key: string): number[] =>
  texts.filter((text) => text.startsWith(`${key} `)).map((text) => Number(text.slice(key.length + 1)));
const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const start = clock.monotonicMs();
  while (!(await condition())) {
    if (clock.monotonicMs() - start > PATIENCE_MS)
      throw new Error(`Not within ${PATIENCE_MS} ms: ${String(condition)}`);
    await clock.sleep(5);
  }
}

/** A key of each partition. */
function keysOf(partitions: number): string[] {
  const keys: string[] = [];
  for (let n = 0; keys.filter(Boolean).length < partitions; n++)
    keys[partitionOf(Buffer.from(`k${n}`), partitions)] ??= `k${n}`;
  return keys;
}

describe('the buffer on Kafka', () => {
  it('lets other partitions go on while one fails, and commits nothing of that one', async () => {
    const transport = await open({ topic: fresh('failing') });
    const keys = keysOf(4);
    const handled: string[] = [];
    let failing = true;
    let failures = 0;
    const subscription = await transport.subscribe(
      'g',
      async (items) => {
        if (failing && items.some(({ key }) => key === keys[0])) {
          failures += 1;
          throw new Error('The store refuses it.');
        }
        handled.push(...items.map(textOf));
      },
      { batchSizeMax: 10 },
    );
    for (const n of range(30)) await transport.publish(keys.map((key) => item(key, n)));
    await until(() => keys.slice(1).every((key) => numbers(handled, key).length === 30) && failures > 3);
    expect(numbers(handled, keys[0]!)).toEqual([]);
    await until(async () => (await transport.lag('g')) === 30);
    failing = false;
    await until(async () => (await transport.lag('g')) === 0);
    for (const key of keys) expect(numbers(handled, key)).toEqual(range(30));
    await subscription.close();
  });

  it('finishes and commits the batch in hand before a new member gets its partitions', async () => {
    const transport = await open({ topic: fresh('moving') });
    const keys = keysOf(4);
    for (const n of range(20)) await transport.publish(keys.map((key) => item(key, n)));
    const handled: string[] = [];
    let inHand = 0;
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    let first = true;
    const handle = async (items: readonly TransportItem[]): Promise<void> => {
      inHand += 1;
      if (first) {
        first = false;
        await held;
      }
      handled.push(...items.map(textOf));
      inHand -= 1;
    };
    const one = await transport.subscribe('g', handle, { batchSizeMax: 7 });
    await until(() => inHand === 1);
    let joined = false;
    const elsewhere = await open({ topic: (transport as unknown as { parts: { topic: string } }).parts.topic });
    const joining = elsewhere.subscribe('g', handle, { batchSizeMax: 7 }).then((two) => {
      joined = true;
      return two;
    });
    // Longer than heartbeats and fetches: the group asks for its partitions, and gets none.
    await clock.sleep(1_500);
    expect({ joined, inHand, handled }).toEqual({ joined: false, inHand: 1, handled: [] });
    expect(await transport.lag('g')).toBe(80);
    release();
    const two = await joining;
    await until(async () => (await transport.lag('g')) === 0);
    for (const key of keys) expect(numbers(handled, key)).toEqual(range(20));
    await Promise.all([one.close(), two.close()]);
  });

  it('puts what nobody can read aside, with its bytes and the reason, and handles the rest', async () => {
    const topic = fresh('poison');
    const beganAt = Date.now();
    const transport = await open({ topic });
    const handled: string[] = [];
    const subscription = await transport.subscribe('g', async (items) => void handled.push(...items.map(textOf)));
    const producer = bareKafka(brokers).producer();
    await producer.connect();
    const unreadable = Buffer.from([0xff, 0xfe, 0x41]);
    await producer.send({
      topic,
      messages: [
        { key: 'a', value: 'a 0', partition: 0 },
        { key: unreadable, value: Buffer.from([0, 1, 2, 255]), timestamp: '5', partition: 0, headers: { own: 'kept' } },
        { key: 'b', value: null, partition: 0 },
        { key: null, value: 'no key', partition: 0 },
        { key: 'a', value: 'a 1', partition: 0 },
      ],
    });
    await producer.disconnect();
    await until(async () => (await transport.lag('g')) === 0);
    expect(handled).toEqual(['a 0', 'a 1']);
    const letters = await readTopics(brokers, [`${topic}.dead-letter`]);
    const header = (n: number, name: string): string | undefined => letters[n]!.message.headers![name]?.toString();
    expect(letters).toHaveLength(3);
    expect(letters[0]!.message.key).toEqual(unreadable);
    expect(letters[0]!.message.value).toEqual(Buffer.from([0, 1, 2, 255]));
    expect(header(0, 'own')).toBe('kept');
    expect(header(0, deadLetterHeaders.reason)).toContain('UTF-8');
    expect([0, 1, 2].map((n) => header(n, deadLetterHeaders.offset))).toEqual(['1', '2', '3']);
    expect(header(1, deadLetterHeaders.topic)).toBe(topic);
    expect(header(1, deadLetterHeaders.partition)).toBe('0');
    expect([0, 1, 2].map((n) => header(n, deadLetterHeaders.absent))).toEqual([undefined, 'value', 'key']);
    // It is kept by when it was put aside: else what is old by its own time would go at once.
    expect(header(0, deadLetterHeaders.time)).toBe('5');
    expect(Number(letters[0]!.message.timestamp)).toBeGreaterThanOrEqual(beganAt);
    const { resources } = await administer(brokers, (admin) =>
      admin.describeConfigs({ includeSynonyms: false, resources: [topicConfig(`${topic}.dead-letter`)] }),
    );
    const retention = resources[0]!.configEntries.find(({ configName }) => configName === 'retention.ms');
    expect(retention?.configValue).toBe(String(30 * 24 * 3_600_000));
    await subscription.close();
  });

  it('refuses topics that would lose what they hold, and ones that are not there', async () => {
    const topic = fresh('unfit');
    await expect(open({ topic, create: false })).rejects.toThrow('INVALID_OPTION');
    await administer(brokers, (admin) =>
      admin.createTopics({
        topics: [{ topic, numPartitions: 4, configEntries: [{ name: 'cleanup.policy', value: 'compact' }] }],
      }),
    );
    await expect(open({ topic })).rejects.toThrow('cleanup.policy=delete');
    await expect(open({ topic, partitions: 5 })).rejects.toThrow('has 4 partitions');
  });

  it('never writes credentials, not even when they are refused', async () => {
    const password = 'not-to-be-seen';
    const sasl = { mechanism: 'plain', username: 'somebody-unseen', password } as const;
    lines.length = 0;
    const error: unknown = await open({ topic: fresh('sasl'), sasl }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'STORE_UNREACHABLE', retryable: true });
    const told = [...lines, String(error), JSON.stringify(error), String((error as Error).cause)].join('\n');
    expect(told).not.toContain(password);
    expect(told).not.toContain('somebody-unseen');
  });

  it(
    'loses nothing and keeps the order of each key when the broker is killed under load',
    { timeout: 400_000 },
    async () => {
      const server = await ownServer('kafka');
      try {
        const transport = await open({ brokers: server.address.brokers, topic: fresh('killed') });
        const handled: string[] = [];
        const subscription = await transport.subscribe('g', async (items) => void handled.push(...items.map(textOf)));
        const keys = range(12).map((n) => `k${n}`);
        let refused = 0;
        let stop = false;
        // Each key has a sender of its own that goes on only when its item is held, as an aggregate's would.
        const senders = keys.map(async (key) => {
          let n = 0;
          while (!stop) {
            try {
              await transport.publish([item(key, n)]);
              n += 1;
            } catch {
              refused += 1;
            }
          }
          return n;
        });
        for (let round = 0; round < 2; round++) {
          const before = handled.length;
          await until(() => handled.length > before + 500);
          await server.kill();
          await server.restart();
        }
        const before = handled.length;
        await until(() => handled.length > before + 500);
        stop = true;
        const accepted = await Promise.all(senders);
        await until(async () => (await transport.lag('g').catch(() => -1)) === 0);
        for (const [i, key] of keys.entries()) {
          // What was in doubt when the broker died may stand there twice; the first of each is in order.
          expect([...new Set(numbers(handled, key))]).toEqual(range(accepted[i]!));
        }
        // eslint-disable-next-line no-console
        console.log(`${accepted.reduce((a, b) => a + b)} accepted, ${refused} refused, ${handled.length} handled`);
        await subscription.close();
      } finally {
        for (const layer of layers.splice(0)) await layer.close();
        await server.stop();
      }
    },
  );
});
