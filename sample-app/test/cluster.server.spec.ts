/**
 * Goal: three processes on a real Cassandra, with a real Kafka behind it, come to the truth whatever is posted to which of
 * them, and whatever happens to processes and servers meanwhile. Method: the application as `npm run cluster` runs it; the
 * bundled month twice over in random order, and three days of it under kills, a process that stands still beyond every
 * lease, and restarts of both servers; at the end every figure of each process, and the topic, read by a plain client.
 * With `SEED=…` another order; with `CLUSTER_LOG=file` what the processes print is kept. Each process has 400 MB of heap and would end with more.
 */
import { appendFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { compareProcessingIds } from '@concursus/core';
import { startCluster, type Cluster, type ClusterOptions, type Servers } from '@concursus/test/cluster';
import { ownServer } from '@concursus/test/servers';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { scratchFolder } from './app.js';
import {
  getJson,
  modelOf,
  monthLines,
  monthTruth,
  plantedReports,
  postLines,
  post,
  randomFrom,
  settled,
  shuffled,
  type Answer,
  type Report,
} from './reports.js';
import { Topic, type Ends, type TopicEvent } from './topic.js';

const SEED = Number(process.env['SEED'] ?? '7');
const LOG = process.env['CLUSTER_LOG'];
const RECORDED = 80_491;
const REPEATED = 2_492;
const REJECTED = 22;
const HEAP_MB = 400;
/** Twice the leases of views and of writers. */
const STANDS_STILL_MS = 20_000;
const SENDERS = 3;
/** Views of three processes on two busy cores. */
const VIEWS_MS = 300_000;
const LOOK_MS = 1_000;
/** Of a process that ended by itself: the reason stands at the end, with what it waited for above it. */
const LAST_LINES = 20;

/** Those of the month that are no garbage. */
const reports = monthLines().flatMap((line): Report[] => {
  try {
    const report = JSON.parse(line) as Partial<Report>;
    const isGood =
      report.flight !== undefined &&
      report.type !== 'teleported' &&
      !Number.isNaN(Date.parse(report.at ?? '')) &&
      (report.type !== 'scheduled' || typeof report.data?.['carrier'] === 'string');
    return isGood ? [report as Report] : [];
  } catch {
    return [];
  }
});
const ofDays = (...days: readonly string[]): Report[] =>
  reports.filter(({ flight }) => days.some((day) => flight.startsWith(`2013-01-${day}/`)));
const textOf = (report: Report): string => JSON.stringify(report);
const identityOf = (report: Report): string =>
  [report.flight, report.source, report.type, Date.parse(report.at)].join(' ');
const identityIn = ({ event }: TopicEvent): string =>
  [event.aggregateId, event.streamId, event.name, event.eventTimestamp].join(' ');

function parts<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, at) => items.slice(at * size, (at + 1) * size));
}

function sum(
  answers: readonly Answer[],
  field: 'received' | 'recorded' | 'repeated' | 'conflicting' | 'rejected',
): number {
  return answers.reduce((total, answer) => total + answer[field], 0);
}

/** Some senders at once, each with the next item as soon as it is through. */
async function together<T>(items: readonly T[], send: (item: T, at: number) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: SENDERS }, async () => {
      for (let at = next++; at < items.length; at = next++) await send(items[at]!, at);
    }),
  );
}

describe('three processes on Cassandra and Kafka', { timeout: 1_500_000 }, () => {
  let servers: Servers;
  let cluster: Cluster | undefined;
  let before: Ends;
  let topic: Topic;
  const said: string[] = [];
  const printed: string[] = [];

  beforeAll(async () => {
    const [cassandra, kafka] = await Promise.all([ownServer('cassandra'), ownServer('kafka')]);
    servers = { cassandra, kafka };
    topic = new Topic(kafka.address.brokers, 'flights.flight');
  });

  afterAll(async () => {
    await Promise.all([servers.cassandra.stop(), servers.kafka.stop()]);
  });

  afterEach(async ({ task }) => {
    await cluster?.stop();
    cluster = undefined;
    if (task.result?.state === 'fail')
      console.log(
        [...said, ...printed.filter((line) => / (WARN|ERROR) |^\w+ \d+ (?!\[Nest)/.test(line)).slice(-200)].join('\n'),
      );
  });

  async function start(keyspace: string, options: Partial<ClusterOptions> = {}): Promise<Cluster> {
    said.length = printed.length = 0;
    before = await topic.ends();
    cluster = await startCluster({
      servers,
      nodeOptions: [`--max-old-space-size=${HEAP_MB}`],
      say: (line) => {
        said.push(line);
        printed.push(line);
      },
      onLine: (name, line) => {
        printed.push(`${name} ${line}`);
        if (LOG !== undefined) appendFileSync(LOG, `${name} ${line}\n`);
      },
      ...options,
      env: { CASSANDRA_KEYSPACE: keyspace, ...options.env },
    });
    return cluster;
  }

  const urls = (): string[] => cluster!.apps.map(({ url }) => url!);

  /** Every figure of every process. */
  async function figuresDiffer(truth: Parameters<typeof settled>[1]): Promise<string[]> {
    const found: string[] = [];
    for (const url of urls()) found.push(...(await settled(url, truth, VIEWS_MS, LOOK_MS)));
    return found;
  }

  /** Each event once by its key, the events of a flight in the order in which they were recorded. */
  async function expectInTopic(wanted: ReadonlySet<string>): Promise<void> {
    const found = new Map<string, TopicEvent>();
    const last = new Map<string, string>();
    const disorder: string[] = [];
    // The relay is behind the views by its own pace.
    const until = performance.now() + VIEWS_MS;
    let events: TopicEvent[] = [];
    let missing: string[] = [];
    do {
      events = await topic.read(before);
      const there = new Set(events.map(identityIn));
      missing = [...wanted].filter((identity) => !there.has(identity));
      if (missing.length > 0) await sleep(LOOK_MS);
    } while (missing.length > 0 && performance.now() < until);
    expect(missing).toEqual([]);
    const twice: string[] = [];
    for (const event of events) {
      const known = found.get(event.key);
      if (known !== undefined) {
        // A relay may repeat itself; what two processes recorded at one moment is one event of one processing time.
        if (known.processingId !== event.processingId)
          twice.push(`${identityIn(event)}: ${known.processingId} and ${event.processingId}`);
        continue;
      }
      found.set(event.key, event);
      const previous = last.get(event.aggregateId);
      if (previous !== undefined && compareProcessingIds(previous, event.processingId) >= 0)
        disorder.push(`${event.aggregateId}: ${event.processingId} behind ${previous}`);
      last.set(event.aggregateId, event.processingId);
    }
    expect(twice).toEqual([]);
    expect(disorder).toEqual([]);
    expect(found.size).toBe(wanted.size);
  }

  /** What a process printed last before it ended; its last words may be read behind the line that says so. */
  function lastLines(endedAt: number): string {
    const ended = printed[endedAt]!;
    const name = ended.slice(0, ended.indexOf(':'));
    const again = printed.findIndex((line, at) => at > endedAt && line.startsWith(`${name}: process `));
    const its = printed.slice(0, again < 0 ? undefined : again).filter((line) => line.startsWith(`${name} `));
    return [ended, ...its.slice(-LAST_LINES)].join('\n');
  }

  /** Nobody ended but those that were killed, and nothing was thrown that nobody caught. */
  function expectCalm(allowed = /SIGKILL/): void {
    const ended = printed.flatMap((line, at) => (/ended by itself/.test(line) && !allowed.test(line) ? [at] : []));
    expect(ended.map(lastLines)).toEqual([]);
    expect(printed.filter((line) => /unhandled|uncaught|heap out of memory/i.test(line))).toEqual([]);
  }

  it(`come to the month's truth, posted twice over in random order to all of them (seed ${SEED})`, async () => {
    await start('month');
    const lines = monthLines();
    const mixed = shuffled([...lines, ...lines], SEED);
    const answers: Answer[] = [];
    /** Lines of posts that were refused in the middle, and sent again: what became of them at first nobody was told. */
    let inDoubt = 0;
    await together(parts(mixed, 2_000), async (part, at) => {
      for (;;) {
        const response = await post(urls()[at % 3]!, part.join('\n'));
        const answer = (await response.json()) as Answer;
        if (response.status === 200) return void answers.push(answer);
        // The servers are slower than they may be, which is no matter of truth.
        expect({ status: response.status, answer }).toMatchObject({ status: 503, answer: { code: 'TIMEOUT' } });
        inDoubt += part.length;
      }
    });
    expect(sum(answers, 'received')).toBe(2 * lines.length);
    expect(sum(answers, 'rejected')).toBe(2 * REJECTED);
    expect(sum(answers, 'conflicting')).toBe(0);
    expect(sum(answers, 'recorded') + sum(answers, 'repeated')).toBe(2 * (RECORDED + REPEATED));
    // What two processes record at the very same moment both may call recorded; it counts once.
    expect(sum(answers, 'recorded') + inDoubt).toBeGreaterThanOrEqual(RECORDED);
    expect(await figuresDiffer(monthTruth())).toEqual([]);
    const wanted = new Set(reports.map(identityOf));
    expect(wanted.size).toBe(RECORDED);
    await expectInTopic(wanted);
    for (const url of urls()) {
      const { recorded } = await getJson<{ recorded: number }>(`${url}/board/summary`);
      expect(recorded).toBe(RECORDED);
    }

    // A line that is posted to all of them at once is recorded by at least one.
    const planted = plantedReports(20, SEED).map(textOf);
    for (const line of new Set(planted)) {
      const three = await Promise.all(urls().map((url) => postLines(url, [line])));
      expect(sum(three, 'recorded') + sum(three, 'conflicting')).toBeGreaterThanOrEqual(1);
      expect(sum(three, 'rejected')).toBe(0);
    }
    expectCalm();
  });

  it(`lose nothing that was recorded, whoever fails meanwhile: three days of it (seed ${SEED})`, async () => {
    const { apps, url } = await start('faults');
    const random = randomFrom(SEED);
    const some = ofDays('01', '02', '03');
    const model = modelOf(some);
    const lines = some.map(textOf);
    const [first = [], ...rest] = parts(shuffled([...lines, ...lines], SEED), 250);

    await postLines(urls()[0]!, first);
    const flights = [...new Set(first.map((line) => (JSON.parse(line) as Report).flight))].slice(0, 20);
    const closedAt = new Date().toISOString();
    const asKnown = (from: string): Promise<unknown[]> =>
      Promise.all(
        flights.flatMap((flight) =>
          ['', '/history'].map(async (what) => {
            const url = `${from}/flights/${encodeURIComponent(flight)}${what}?knownAt=${closedAt}`;
            const answer = await getJson<object | readonly object[]>(url);
            // How often an event came again is counted for ever.
            return Array.isArray(answer) ? answer.map((event: object) => ({ ...event, repeats: undefined })) : answer;
          }),
        ),
      );
    const known = await asKnown(urls()[0]!);

    let faulty = true;
    let posted = 0;
    const acknowledged = new Set<number>();
    const refusals = new Map<number, number>();
    /** Sends a part through the one address until it is taken. */
    const send = async (at: number): Promise<void> => {
      for (;;) {
        const response = await post(url, rest[at]!.join('\n')).catch(() => undefined);
        const text = await response?.text().catch(() => undefined);
        if (response?.status === 200 && text !== undefined) {
          expect(JSON.parse(text)).toMatchObject({ received: rest[at]!.length, conflicting: 0, rejected: 0 });
          acknowledged.add(at);
          posted++;
          return;
        }
        if (response !== undefined && response.status !== 200)
          refusals.set(response.status, (refusals.get(response.status) ?? 0) + 1);
        await sleep(100);
      }
    };
    const loading = Promise.all(
      Array.from({ length: SENDERS }, async (_, sender) => {
        // As long as something fails there is something posted, again if need be.
        for (let at = sender; faulty || acknowledged.size < rest.length; at = (at + SENDERS) % (rest.length + 1))
          if (at < rest.length) await send(at);
      }),
    );
    const morePosted = async (count: number): Promise<void> => {
      const until = posted + count;
      while (posted < until) await Promise.race([sleep(50), loading]);
    };
    const anyone = (): (typeof apps)[number] => apps[Math.floor(random() * apps.length)]!;
    const killed = async (): Promise<void> => {
      const app = anyone();
      await app.listening();
      app.signal('SIGKILL');
    };
    try {
      await morePosted(2);
      for (let i = 0; i < 3; i++) {
        await killed();
        await morePosted(1 + Math.floor(random() * 8));
      }
      await Promise.all(apps.map((app) => app.listening()));
      const paused = anyone();
      paused.signal('SIGSTOP');
      await sleep(STANDS_STILL_MS);
      paused.signal('SIGCONT');
      await morePosted(5);
      await servers.kafka.restart();
      await killed();
      await morePosted(5);
      await servers.cassandra.restart();
      await morePosted(5);
      await killed();
      await morePosted(3);
    } finally {
      faulty = false;
    }
    await loading;
    await Promise.all(apps.map((app) => app.listening()));

    expect([...refusals.keys()].filter((status) => status !== 503)).toEqual([]);
    expect(await figuresDiffer(model)).toEqual([]);
    for (const each of urls()) expect(await asKnown(each)).toEqual(known);
    expect(await postLines(urls()[1]!, lines)).toMatchObject({ recorded: 0, conflicting: 0, rejected: 0 });
    await expectInTopic(new Set(some.map(identityOf)));
    // One that begins while a server is away says so, ends, and is begun again.
    expectCalm(/SIGKILL|exit code 1\)/);
  });

  it('count once what is posted to all of them at the same moment', async () => {
    await start('moments');
    const some = ofDays('09');
    const lines = some.map(textOf);
    const answers = await Promise.all(urls().map((url) => postLines(url, lines)));
    const { recorded } = modelOf(some);
    expect(sum(answers, 'recorded')).toBeGreaterThanOrEqual(recorded);
    expect(sum(answers, 'recorded') + sum(answers, 'repeated')).toBe(3 * lines.length);
    expect(await figuresDiffer(modelOf(some))).toEqual([]);
    await expectInTopic(new Set(some.map(identityOf)));
    for (const url of urls()) expect(await getJson(`${url}/board/summary`)).toMatchObject({ recorded });
    expectCalm();
  });

  it('answer buffered with a broker in front, and come to the same', async () => {
    await start('buffered', { env: { CONCURSUS_BUFFER: 'kafka' } });
    const some = ofDays('04');
    const lines = shuffled([...some, ...some], SEED).map(textOf);
    await together(parts(lines, 500), async (part, at) => {
      const answer = await postLines(urls()[at % 3]!, part);
      expect(answer).toMatchObject({ received: part.length, buffered: part.length, recorded: 0, repeated: 0 });
    });
    expect(await figuresDiffer(modelOf(some))).toEqual([]);
    await expectInTopic(new Set(some.map(identityOf)));
    expectCalm();
  });

  it('load a file once, by one of them and under live time, also when that one is killed', async () => {
    const folder = await scratchFolder();
    try {
      const some = ofDays('05', '06', '07', '08');
      const file = join(folder.path, 'days.ndjson');
      await writeFile(file, some.map(textOf).join('\n'));
      const { apps } = await start('loaded', { data: file });
      const loads = (): string[] => printed.filter((line) => line.includes('Loading days.ndjson:'));
      while (loads().length < 2) await sleep(50);
      const loader = apps.find(({ name }) => loads()[0]!.startsWith(name))!;
      const { starts } = loader;
      loader.signal('SIGKILL');
      while (loader.starts === starts) await sleep(50);
      await loader.listening();
      expect(await figuresDiffer(modelOf(some))).toEqual([]);
      while (!loads().some((line) => line.includes(': 100 %'))) await sleep(50);
      expect(loads().filter((line) => line.includes(': 100 %')).length).toBe(1);
      const { flight } = some[0]!;
      const history = await getJson<{ processedAt: string }[]>(
        `${urls()[0]}/flights/${encodeURIComponent(flight)}/history`,
      );
      for (const { processedAt } of history) expect(Date.parse(processedAt)).toBeGreaterThan(Date.parse('2020-01-01'));
      expectCalm();
    } finally {
      await folder.clean();
    }
  });
});
