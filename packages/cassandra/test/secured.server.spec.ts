/**
 * Goal: a server that asks for TLS and a password is used with both, and no other server is taken for it. Method: a real one
 * of its own, with a certificate that only its authority vouches for.
 */
import { ConcursusError, SystemClock, type Layer, type LayerContext } from '@concursus/core';
import { ownServer } from '@concursus/test/servers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cassandra, type CassandraPersistentOptions } from '../src/index.js';

/** A start, on a machine that has other things to do. */
const STARTING_MS = 300_000;

let server: Awaited<ReturnType<typeof ownServer<'cassandra'>>>;
const lines: string[] = [];
const note = (line: string): void => void lines.push(line);
const context: LayerContext = {
  context: 'c',
  clock: new SystemClock(),
  logger: { log: note, warn: note, error: note },
};

beforeAll(async () => {
  server = await ownServer('cassandra', { fast: true, secured: true });
}, STARTING_MS);

afterAll(() => server.stop());

async function open(options: Partial<CassandraPersistentOptions>): Promise<Layer<'persistent'>> {
  const layer = await cassandra({ ...server.address, ...options }).create(context);
  try {
    await layer.connect();
    return layer;
  } catch (error) {
    await layer.close();
    throw error;
  }
}

describe('a Cassandra that asks for TLS and a password', { timeout: 120_000 }, () => {
  it('is used with both', async () => {
    const { ca, username, password } = server.access!;
    const layer = await open({ sslOptions: { ca: [ca] }, credentials: { username, password } });
    await layer.ports.checkpointStore.save('o', 'one', { epoch: 0 });
    expect(await layer.ports.checkpointStore.read('o')).toBe('one');
    await layer.close();
    const again = await open({ clientOptions: { sslOptions: { ca: [ca] } }, credentials: { username, password } });
    expect(await again.ports.checkpointStore.read('o')).toBe('one');
    await again.close();
  });

  it('is not trusted when nobody vouches for its certificate, unless that is asked for', async () => {
    const { username, password } = server.access!;
    const credentials = { username, password };
    const untrusted = [{ sslOptions: {} }, { clientOptions: { sslOptions: {} } }];
    for (const options of untrusted)
      await expect(open({ ...options, credentials })).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
    const layer = await open({ sslOptions: { rejectUnauthorized: false }, credentials });
    await layer.close();
  });

  it('lets nobody in without TLS or with a wrong password, and no line or error says the password', async () => {
    const { ca, username, password } = server.access!;
    const wrong = 'not-to-be-seen';
    const attempts: Partial<CassandraPersistentOptions>[] = [
      { credentials: { username, password } },
      { sslOptions: { ca: [ca] } },
      { sslOptions: { ca: [ca] }, credentials: { username, password: wrong } },
    ];
    for (const options of attempts) {
      const error: unknown = await open(options).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(ConcursusError.isInstance(error) && error.code).toBe('STORE_UNREACHABLE');
      expect([...lines, String(error), JSON.stringify(error)].join('\n')).not.toContain(wrong);
    }
  });
});
