/**
 * Goal: a profile says where events are kept, whatever it needs is asked for at the start, and an answer says `buffered`
 * exactly when a broker stands in front. Method: settings from environments, the slots they come to, and the application
 * over HTTP in the profiles that need no server; a broker is stood in for by the transport in memory.
 */
import { EventTransport, getPortToken, inMemoryTransport, SystemClock, type LayerContext } from '@concursus/core';
import { Test } from '@nestjs/testing';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { afterEach, describe, expect, it } from 'vitest';
import { AppModule } from '../src/app.module.js';
import { slotsOf } from '../src/profiles.js';
import { readSettings } from '../src/settings.js';
import { scratchFolder, startHere } from './app.js';
import { modelOf, plantedReports, post, postLines, settled } from './reports.js';

const CLUSTER = {
  CONCURSUS_PROFILE: 'cluster',
  CASSANDRA_URL: '10.0.0.1:9042,10.0.0.2:9042/dc1',
  KAFKA_URL: '10.0.0.3:9092,10.0.0.4:9092',
};

function namesOf(env: Record<string, string>): Record<string, unknown> {
  const { persistent, durable, publish } = slotsOf(readSettings(env));
  return { persistent: persistent?.name, durable: durable?.name, publish: publish?.map(({ name }) => name) };
}

describe('a profile', () => {
  it('puts providers into the slots', () => {
    expect(namesOf({})).toEqual({ persistent: 'lmdb' });
    expect(namesOf({ CONCURSUS_PROFILE: '' })).toEqual({ persistent: 'lmdb' });
    expect(namesOf({ CONCURSUS_PROFILE: 'memory' })).toEqual({ persistent: 'in-memory' });
    expect(namesOf(CLUSTER)).toEqual({ persistent: 'cassandra', publish: ['kafka'] });
    expect(namesOf({ ...CLUSTER, CONCURSUS_BUFFER: 'kafka' })).toEqual({
      persistent: 'cassandra',
      durable: 'kafka',
      publish: ['kafka'],
    });
    expect(namesOf({ CONCURSUS_BUFFER: 'kafka', KAFKA_URL: CLUSTER.KAFKA_URL })).toEqual({
      persistent: 'lmdb',
      durable: 'kafka',
    });
  });

  it('reads where its servers are', () => {
    expect(readSettings(CLUSTER)).toMatchObject({
      cassandra: {
        contactPoints: ['10.0.0.1:9042', '10.0.0.2:9042'],
        localDataCenter: 'dc1',
        keyspace: 'concursus',
      },
      brokers: ['10.0.0.3:9092', '10.0.0.4:9092'],
    });
    expect(readSettings({ ...CLUSTER, CASSANDRA_KEYSPACE: 'other' }).cassandra?.keyspace).toBe('other');
  });

  it('loads the bundled month, and into a cluster only what it is told to', () => {
    expect(readSettings({}).sampleData).toContain('flights-2013-01');
    expect(readSettings({ CONCURSUS_PROFILE: 'memory' }).sampleData).toContain('flights-2013-01');
    expect(readSettings(CLUSTER).sampleData).toBeUndefined();
    expect(readSettings({ ...CLUSTER, SAMPLE_DATA: 'bundled' }).sampleData).toContain('flights-2013-01');
  });

  it.each([
    [{ CONCURSUS_PROFILE: 'clutser' }, /CONCURSUS_PROFILE is "clutser". Set it to embedded, memory, cluster/],
    [{ CONCURSUS_BUFFER: 'rabbit' }, /CONCURSUS_BUFFER is "rabbit". Set it to kafka/],
    [{ CONCURSUS_BUFFER: 'kafka' }, /KAFKA_URL names none. Set KAFKA_URL=127\.0\.0\.1:9092/],
    [{ CONCURSUS_PROFILE: 'cluster', KAFKA_URL: 'a:1' }, /CASSANDRA_URL names none. Set CASSANDRA_URL=127\.0\.0\.1/],
    [{ ...CLUSTER, KAFKA_URL: '' }, /KAFKA_URL names none/],
    [{ ...CLUSTER, CASSANDRA_URL: '10.0.0.1:9042' }, /CASSANDRA_URL is "10.0.0.1:9042". Write host:port\/datacenter/],
    [{ ...CLUSTER, CASSANDRA_URL: '10.0.0.1/dc1' }, /Write host:port\/datacenter/],
    [{ ...CLUSTER, KAFKA_URL: 'kafka' }, /KAFKA_URL is "kafka". Write host:port/],
    [{ ...CLUSTER, CASSANDRA_KEYSPACE: 'a-b' }, /CASSANDRA_KEYSPACE is "a-b"/],
  ])('is refused with what is wrong and how to set it: %o', (env, message) => {
    expect(() => readSettings(env)).toThrow(message);
  });
});

const reports = plantedReports(60, 3);
const lines = [...reports.map((report) => JSON.stringify(report)), 'no report'];
const model = modelOf(reports);

describe('the profile memory', () => {
  it('keeps nothing on disk, and comes to the same figures', async () => {
    const folder = await scratchFolder();
    const app = await startHere(folder.path, { CONCURSUS_PROFILE: 'memory' });
    try {
      const answer = await postLines(app.url, lines);
      expect(answer).toMatchObject({ recorded: model.recorded, conflicting: model.conflicting, rejected: 1 });
      expect(answer).not.toHaveProperty('buffered');
      expect(await settled(app.url, model)).toEqual([]);
    } finally {
      await app.stop();
      await folder.clean();
    }
  });
});

describe('a broker in front of the store', () => {
  let app: NestExpressApplication | undefined;

  afterEach(async () => {
    await app?.close();
    app = undefined;
  });

  async function startBuffered(): Promise<string> {
    const context: LayerContext = { context: 'flights', clock: new SystemClock(), logger: console };
    const layer = await inMemoryTransport().create(context);
    await layer.connect();
    const settings = readSettings({ CONCURSUS_PROFILE: 'memory', SAMPLE_DATA: 'none' });
    const module = await Test.createTestingModule({ imports: [AppModule.with(settings)] })
      .overrideProvider(EventTransport)
      .useValue(layer.ports.eventTransport)
      .compile();
    app = module.createNestApplication<NestExpressApplication>({ bodyParser: false, logger: false });
    await app.listen(0, '127.0.0.1');
    expect(app.get(getPortToken(EventTransport, 'flights'), { strict: false })).toBe(layer.ports.eventTransport);
    return app.getUrl();
  }

  it('makes an answer count what it holds, and the sum of all counts is what was received', async () => {
    const url = await startBuffered();
    const answer = await post(url, lines.join('\n')).then((response) => response.json());
    expect(answer).toMatchObject({
      received: lines.length,
      recorded: 0,
      repeated: 0,
      conflicting: 0,
      rejected: 1,
      buffered: reports.length,
    });
    expect(await settled(url, model)).toEqual([]);
  });

  it('is in the running totals too, from the first one on', async () => {
    const url = await startBuffered();
    const running = await post(url, lines.join('\n'), { accept: 'application/x-ndjson' });
    const totals = (await running.text())
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, number>);
    expect(totals.length).toBeGreaterThan(1);
    for (const { received, recorded, repeated, conflicting, rejected, buffered } of totals)
      expect(recorded! + repeated! + conflicting! + rejected! + buffered!).toBe(received);
    const empty = await post(url, 'no report').then((response) => response.json());
    expect(empty).toMatchObject({ received: 1, rejected: 1, buffered: 0 });
  });

  it('answers a correction with buffered', async () => {
    const url = await startBuffered();
    await post(url, lines.join('\n'));
    const { flight, at, source, type } = reports.find((report) => report.sequence === undefined)!;
    const response = await fetch(`${url}/flights/${encodeURIComponent(flight)}/corrections`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        kind: 'retract',
        target: { at, source, type },
        decidedAt: '2013-02-05T00:00:00.000Z',
        source: 'desk',
      }),
    });
    expect(await response.json()).toEqual({ outcome: 'buffered' });
  });
});
