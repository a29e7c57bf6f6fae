/**
 * Goal: a Kafka Streams program that knows nothing of us reads our topics as they are, and what it writes comes back in as
 * events of another aggregate. Method: late and repeated scans go out by two relays, one of single events and one of arrays,
 * so that each event stands in the topics twice; `streams/HourCounts.java`, run by the JDK, counts them by hours of event
 * time, and ends when a record's key or timestamp is not its event's; its counts come in by an inlet.
 */
import 'reflect-metadata';
import { fileURLToPath } from 'node:url';
import { Test, type TestingModule } from '@nestjs/testing';
import {
  Aggregate,
  ConcursusModule,
  Event,
  EventBus,
  Histories,
  QuarantineService,
  SystemClock,
} from '@concursus/core';
import { prepareJava, serverOf, startJava, type JarSet, type JavaProgram } from '@concursus/test/servers';
import { afterEach, beforeAll, expect, it } from 'vitest';
import { kafkaRelay, kafkaSource } from '../src/index.js';
import { administer, fresh, readTopics } from './support.js';

const { brokers } = serverOf('kafka');
const VERSION = '4.3.1';
const JARS: JarSet = {
  name: 'kafka-streams',
  version: VERSION,
  artifacts: [`org.apache.kafka:kafka-streams:${VERSION}`, 'org.slf4j:slf4j-simple:1.7.36'],
};
const SOURCE = fileURLToPath(new URL('streams/HourCounts.java', import.meta.url));
/** A first fetch brings 90 MB. */
const FETCH_MAX_MS = 15 * 60_000;
/** Compiling, starting and a first rebalance take some 10 s on a quiet machine. */
const PATIENCE_MS = 150_000;
const LOOK_MS = 50;
const PARTITIONS = 3;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const START = Date.parse('2013-01-01T10:00:00Z');

@Event()
class Scanned {
  readonly hub!: string;
}

@Aggregate('parcel')
class Parcel {
  static readonly events = { Scanned };
}

@Event()
class Counted {
  readonly scans!: number;
}

/** What is counted of one parcel in one hour: `p1@2013-01-01T10:00:00Z`. */
@Aggregate('parcelHour')
class ParcelHour {
  static readonly events = { Counted };
}

const clock = new SystemClock();
let module: TestingModule | undefined;
let program: JavaProgram | undefined;

let missing: string | undefined;

beforeAll(async () => {
  missing = await prepareJava(JARS, (line) => console.log(line));
}, FETCH_MAX_MS);

afterEach(async () => {
  await module?.close();
  await program?.stop();
});

async function until(condition: () => Promise<boolean>): Promise<void> {
  const startMs = performance.now();
  while (!(await condition())) {
    if (program?.ended !== undefined)
      throw new Error(`The program ended: ${program.ended}\n${await program.logTail()}`);
    if (performance.now() - startMs > PATIENCE_MS)
      throw new Error(`Not within ${PATIENCE_MS} ms: ${String(condition)}\n${await program?.logTail()}`);
    // Not without a pause: what it waits for needs the processor too.
    await clock.sleep(LOOK_MS);
  }
}

it(
  'counts by event time what a relay wrote, and its counts come in as events of another aggregate',
  { timeout: 4 * PATIENCE_MS },
  async ({ skip }) => {
    skip(missing !== undefined, missing);
    const prefix = fresh('streams');
    const [single, arrays, results] = [`${prefix}.single`, `${prefix}.arrays`, `${prefix}.results`];
    await administer(brokers, (admin) =>
      admin.createTopics({ topics: [{ topic: results, numPartitions: PARTITIONS }], waitForLeaders: true }),
    );
    const relay = { brokers, partitions: PARTITIONS, aggregates: [Parcel] };
    module = await Test.createTestingModule({
      imports: [
        ConcursusModule.forRoot({
          publish: [
            kafkaRelay({ ...relay, name: 'single', topic: single }),
            kafkaRelay({ ...relay, name: 'arrays', topic: arrays, form: 'array' }),
          ],
          consume: [kafkaSource({ brokers, topics: [results], group: fresh('group') })],
        }),
      ],
      providers: [Parcel, ParcelHour],
    })
      .setLogger(false as never)
      .compile();
    await module.init();
    const bus = module.get(EventBus);
    const histories = module.get(Histories);
    const scan = (id: string, at: number): object => ({
      aggregateType: 'parcel',
      aggregateId: id,
      name: 'scanned',
      at,
      parameters: { hub: 'Oslo' },
    });
    const record = (id: string, minutes: readonly number[]): Promise<unknown> =>
      bus.record(minutes.map((minute) => scan(id, START + minute * MINUTE_MS)) as never);
    /** Counts as they came in, by hour. */
    const counts = async (id: string, hour: number): Promise<unknown[]> => {
      const from = new Date(START + hour * HOUR_MS).toISOString().replace('.000', '');
      return (await histories.collect(ParcelHour, `${id}@${from}`)).map(({ parameters }) => parameters['scans']);
    };

    await record('p1', [5, 10, 65, 70, 190]);
    await record('p2', [59, 60, 61]);
    // Late by hours, and a repeat: it is recorded once, and published once a relay.
    await record('p1', [20, 10, 66]);
    program = await startJava({
      jars: JARS,
      source: SOURCE,
      arguments: [brokers.join(), `${single},${arrays}`, results, prefix],
      javaOptions: [
        '-Xmx192m',
        '-XX:+UseSerialGC',
        '-XX:TieredStopAtLevel=1',
        '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
      ],
    });
    await until(async () => (await counts('p1', 0)).length === 3 && (await counts('p2', 1)).length === 2);
    await until(async () => (await counts('p1', 1)).length === 3 && (await counts('p1', 3)).length === 1);

    // Late again, when the hour was counted and told; and one that is later than the program waits for.
    await record('p1', [25, -60 * 24 * 30]);
    await record('p1', [200]);
    await until(async () => (await counts('p1', 3)).length === 2);

    expect(await counts('p1', 0)).toEqual([1, 2, 3, 4]);
    expect(await counts('p1', 1)).toEqual([1, 2, 3]);
    expect(await counts('p1', 3)).toEqual([1, 2]);
    expect(await counts('p2', 0)).toEqual([1]);
    expect(await counts('p2', 1)).toEqual([1, 2]);
    // Kafka Streams leaves it out; the history has it.
    expect(await counts('p1', -24 * 30)).toEqual([]);
    expect((await histories.collect(Parcel, 'p1'))[0]!.eventTime).toBe(START - 30 * 24 * HOUR_MS);
    expect((await module.get(QuarantineService).list()).items).toEqual([]);

    // The method holds: each event stood in both topics. Even counts came as arrays.
    const read = await readTopics(brokers, [single, arrays]);
    const keys = read.map(({ message }) => message.headers!['concursus-key']!.toString());
    expect(new Set(keys).size).toBe(keys.length / 2);
  },
);
