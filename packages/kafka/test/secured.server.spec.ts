/**
 * Goal: a broker that asks for TLS and a password is used with both, and no other broker is taken for it. Method: a real one
 * of its own, with a certificate that only its authority vouches for.
 */
import { SystemClock, type Layer, type LayerLogger } from '@concursus/core';
import { ownServer } from '@concursus/test/servers';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { kafka, type KafkaOptions } from '../src/index.js';
import { fresh } from './support.js';

/** A start, on a machine that has other things to do. */
const STARTING_MS = 300_000;

let server: Awaited<ReturnType<typeof ownServer<'kafka'>>>;
const lines: string[] = [];
const note = (line: string): void => void lines.push(line);
const logger: LayerLogger = { log: note, warn: note, error: note };

beforeAll(async () => {
  server = await ownServer('kafka', { fast: true, secured: true });
}, STARTING_MS);

afterAll(() => server.stop());

async function open(options: Partial<KafkaOptions>): Promise<Layer<'durable'>> {
  const { brokers } = server.address;
  const provider = kafka({ brokers, topic: fresh('secured'), partitions: 1, heartbeatMs: 200, ...options });
  const layer = (await provider.create({ context: 'secured', clock: new SystemClock(), logger })) as Layer<'durable'>;
  try {
    await layer.connect();
    return layer;
  } catch (error) {
    await layer.close();
    throw error;
  }
}

describe('a Kafka that asks for TLS and a password', { timeout: 120_000 }, () => {
  it('is used with both', async () => {
    const { ca, username, password } = server.access!;
    const layer = await open({ ssl: { ca: [ca] }, sasl: { mechanism: 'plain', username, password } });
    const { eventTransport } = layer.ports;
    const handled: string[] = [];
    const subscription = await eventTransport.subscribe('g', async (items) => {
      for (const { bytes } of items) handled.push(Buffer.from(bytes).toString());
    });
    await eventTransport.publish([{ key: 'k', bytes: Buffer.from('hello'), acceptedAt: 1 }]);
    await vi.waitFor(() => expect(handled).toEqual(['hello']), 60_000);
    await subscription.close();
    await layer.close();
  });

  it('is not trusted when nobody vouches for its certificate', async () => {
    const { ca, username, password } = server.access!;
    const sasl = { mechanism: 'plain', username, password } as const;
    const port = server.address.brokers[0]!.split(':')[1]!;
    const untrusted: Partial<KafkaOptions>[] = [
      { ssl: true, sasl },
      // Of this authority, but for no host of that name.
      { brokers: [`localhost:${port}`], ssl: { ca: [ca] }, sasl },
    ];
    for (const options of untrusted) await expect(open(options)).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
  });

  it('lets nobody in without TLS or with a wrong password, and no line or error says the password', async () => {
    const { ca, username, password } = server.access!;
    const wrong = 'not-to-be-seen';
    const attempts: Partial<KafkaOptions>[] = [
      { sasl: { mechanism: 'plain', username, password } },
      { ssl: { ca: [ca] } },
      { ssl: { ca: [ca] }, sasl: { mechanism: 'plain', username, password: wrong } },
    ];
    for (const options of attempts) {
      const error: unknown = await open(options).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error).toMatchObject({ code: 'STORE_UNREACHABLE' });
      expect([...lines, String(error), JSON.stringify(error)].join('\n')).not.toContain(wrong);
    }
  });
});
