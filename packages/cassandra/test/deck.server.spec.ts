/**
 * Goal: what the original wrote into its tables comes in as events of our classes, what we record goes out as the rows that it
 * reads, and what its tables cannot hold is refused. Method: its tables, and rows as it wrote them, made with plain CQL on a real
 * server; applications that are wired by configuration alone.
 * Over 400 lines, and one subject: one form of tables, read and written, and the rows that show it.
 */
import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import {
  Aggregate,
  at,
  CheckpointStore,
  Concursus,
  ConcursusModule,
  CORRECTION,
  decodeWireJson,
  Event,
  EventBus,
  EventStore,
  Fact,
  inMemory,
  isProcessingId,
  Quarantine,
  UnavailableError,
  type ConcursusOptions,
  type EventRelay,
  type InletContext,
  type Parameters,
  type RawInput,
  type RelayContext,
  type StreamBatch,
} from '@concursus/core';
import { factOf, refused, type FactSketch } from '@concursus/testing';
import { Test, type TestingModule } from '@nestjs/testing';
import { Client } from 'cassandra-driver';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { deckRelay, deckSource, type DeckRelayOptions } from '../src/index.js';
import { cleanUp, contextOf, openLayer, server, silent, specOptions } from './support.js';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

@Event({ initial: true })
class ReceivedAtDepot {
  constructor(readonly depotId: string) {}
}
@Event()
class LoadedOntoTruck {
  constructor(readonly truckId: string) {}
}
@Event()
class DeliveryFailed {}
@Event({ terminal: true })
class Delivered {
  constructor(readonly destinationId: string) {}
}

@Aggregate('parcel')
class Parcel {
  static readonly events = { ReceivedAtDepot, LoadedOntoTruck, DeliveryFailed, Delivered };
}

@Event({ initial: true })
class Everything {}
@Event({ version: '2' })
class Renamed {}

@Aggregate('sample')
class Sample {
  static readonly events = { Everything, Renamed };
}

/** As the original's own statements make them. */
const TABLES = [
  `CREATE TABLE event (aggregateType text, aggregateId text, eventTimestamp timestamp, streamId text, processingId timeuuid,
    name text, version text, parameters map<text, text>, characteristics int,
    PRIMARY KEY ((aggregateType, aggregateId), eventTimestamp, streamId))
    WITH CLUSTERING ORDER BY (eventTimestamp DESC)`,
  `CREATE TABLE catalogue (aggregateType text, bucket int, aggregateId text,
    PRIMARY KEY ((aggregateType, bucket), aggregateId)) WITH CLUSTERING ORDER BY (aggregateId DESC)`,
];
const INSERT = `INSERT INTO event (aggregatetype, aggregateid, eventtimestamp, streamid, processingid, name, version, parameters, characteristics)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`;

type Row = readonly [
  type: string,
  id: string,
  at: number,
  stream: string,
  processingId: string | null,
  name: string,
  version: string,
  parameters: Readonly<Record<string, string>> | null,
  characteristics: number | null,
];

const T = 1_476_262_800_123;
const HOUR = 3_600_000;
const id = (n: number): string => `2117509${n}-e6f8-11f1-ffff-ffffffffff65`;

/** Rows that the original wrote for its parcel example. */
const parcel: readonly Row[] = [
  ['parcel', 'p1', T, 'depot', id(0), 'receivedAtDepot', '0', { depotId: '"depot-1"' }, 1],
  ['parcel', 'p1', T + HOUR, 'depot', id(1), 'loadedOntoTruck', '0', { truckId: '"truck-7"' }, 0],
  ['parcel', 'p1', T + 5 * HOUR, 'depot', id(2), 'deliveryFailed', '0', null, 0],
  ['parcel', 'p1', T + 20 * HOUR, 'depot', id(3), 'loadedOntoTruck', '0', { truckId: '"truck-9"' }, 0],
  ['parcel', 'p1', T + 26 * HOUR, 'depot', id(4), 'delivered', '0', { destinationId: '"home"' }, 2],
];
/** A parameter of every kind, but for the integer that no reader of JSON keeps. */
const everything = {
  bytes: '"AQL/"',
  colour: '"GREEN"',
  date: '[2016,10,12]',
  decimal: '12.3400',
  f64: '0.1',
  flag: 'true',
  i32: '42',
  instant: '1476262800.123456000',
  lines: '["l1","l2"]',
  list: '["x","y"]',
  map: '{"b":2,"a":1}',
  none: 'null',
  some: '"here"',
  text: '"café \\"q\\" 📦"',
  uuid: '"00000000-0000-4000-8000-000000000001"',
};
const sample: readonly Row[] = [
  ['sample', 's1', T, 'depot', id(5), 'everything', '0', everything, 1],
  ['sample', 's1', T + 1, 'depot', id(6), 'renamed', '2', { 'wire-name': ' "value" ' }, 0],
];

const shown = ({ aggregateType, aggregateId, eventTime, streamId, name, version, parameters }: Fact): unknown[] => [
  aggregateType,
  aggregateId,
  eventTime,
  streamId,
  name,
  version,
  parameters,
];

/** What a row means. */
const meant = ([type, aggregateId, time, stream, , name, version, parameters]: Row): unknown[] => [
  type,
  aggregateId,
  time,
  stream,
  name,
  version,
  Object.fromEntries(Object.entries(parameters ?? {}).map(([key, text]) => [key, JSON.parse(text)])),
];

const keyOf = (type: string, aggregateId: string) => ({ tenant: '', type, id: aggregateId });
const until = (check: () => Promise<void>): Promise<void> => vi.waitFor(check, { timeout: 60_000, interval: 20 });

describe('the tables of the original', () => {
  let client: Client;
  const keyspaces: string[] = [];
  const apps: TestingModule[] = [];
  const relays: EventRelay[] = [];

  beforeAll(async () => {
    const { contactPoints, localDataCenter } = server();
    client = new Client({ contactPoints: [...contactPoints], localDataCenter });
    await client.connect();
  });

  afterEach(async () => {
    for (const app of apps.splice(0)) await app.close();
    for (const relay of relays.splice(0)) await relay.close();
  });

  afterAll(async () => {
    for (const keyspace of keyspaces) await run(`DROP KEYSPACE IF EXISTS ${keyspace}`);
    await client.shutdown();
    await cleanUp();
  });

  function run(statement: string) {
    return client.execute(statement, [], { readTimeout: 30_000 });
  }

  function freshKeyspace(): string {
    const keyspace = `deck_${randomBytes(6).toString('hex')}`;
    keyspaces.push(keyspace);
    return keyspace;
  }

  /** A keyspace as the original made it. */
  async function written(...rows: readonly Row[]): Promise<string> {
    const keyspace = freshKeyspace();
    await run(`CREATE KEYSPACE ${keyspace} WITH replication = { 'class': 'SimpleStrategy', 'replication_factor': 1 }`);
    for (const table of TABLES) await run(table.replace('CREATE TABLE ', `CREATE TABLE ${keyspace}.`));
    for (const row of rows) await insert(keyspace, row);
    return keyspace;
  }

  async function insert(keyspace: string, row: Row): Promise<void> {
    await client.execute(INSERT.replace('event', `${keyspace}.event`), [...row], { prepare: true });
  }

  async function rowsOf(keyspace: string, aggregateId: string, type = 'parcel') {
    const query = `SELECT * FROM ${keyspace}.event WHERE aggregatetype = ? AND aggregateid = ? ORDER BY eventtimestamp ASC`;
    return (await client.execute(query, [type, aggregateId], { prepare: true })).rows;
  }

  async function columnsOf(keyspace: string) {
    const query = `SELECT table_name, column_name, type, kind, position, clustering_order FROM system_schema.columns
      WHERE keyspace_name = ?`;
    return (await client.execute(query, [keyspace], { prepare: true })).rows.map((row) => ({ ...row }));
  }

  async function boot(options: ConcursusOptions): Promise<TestingModule> {
    const app = await Test.createTestingModule({
      imports: [ConcursusModule.forRoot({ persistent: inMemory(), ...options })],
      providers: [Parcel, Sample],
    })
      .setLogger(false as never)
      .compile();
    await app.init();
    apps.push(app);
    return app;
  }

  const source = (keyspace: string, more: { aggregateTypes?: string[] } = {}) =>
    deckSource({ ...server(), keyspace, ...more });

  const isDone = async (app: TestingModule): Promise<void> =>
    expect(await app.get(CheckpointStore).read('inlet/deck')).toBe('done');

  async function openRelay(
    keyspace: string,
    more: Partial<DeckRelayOptions> = {},
    warn: (text: string) => void = () => undefined,
  ): Promise<EventRelay> {
    const context: RelayContext = { ...contextOf('deck'), aggregateTypes: ['parcel'], logger: { ...silent, warn } };
    const relay = deckRelay({ ...server(), keyspace, ...more }).create(context);
    relays.push(relay);
    await relay.connect();
    return relay;
  }

  /** As the log stamped it. */
  const stamped = (n: number, sketch: FactSketch): Fact =>
    new Fact(factOf(sketch), `0000000${n}-e6f8-11f1-8000-000000000001`, T);

  describe('as a source', () => {
    it('give what the original wrote, as events of today’s classes', async () => {
      const keyspace = await written(...parcel, ...sample);
      const app = await boot({ consume: [source(keyspace)] });
      await until(() => isDone(app));
      const store = app.get(EventStore);
      const [p1, s1] = await store.readMany([keyOf('parcel', 'p1'), keyOf('sample', 's1')]);
      expect(p1!.map(shown)).toEqual(parcel.map(meant));
      expect(s1!.map(shown)).toEqual(sample.map(meant));
      expect([...p1!, ...s1!].every((fact) => isProcessingId(fact.processingId))).toBe(true);
      expect(p1!.map((fact) => fact.characteristics)).toEqual([1, 0, 0, 0, 2]);
      const late = await store.readLate(keyOf('parcel', 'p1'), { after: { ms: 0, tick: 0 }, limit: 10 });
      expect(late, 'histories come from their beginning').toEqual([]);
      expect(await app.get(Quarantine).list(undefined, 10)).toEqual([]);
    });

    it('leave what is no event of today in the quarantine, to the digit, and hold up nothing', async () => {
      const large = { id: '9007199254740993' };
      const bad: readonly Row[] = [
        ['parcel', 'q1', T, 'depot', id(0), 'loadedOntoTruck', '0', { truckId: 'truck-unquoted' }, 0],
        ['parcel', 'q1', T + 1, 'depot', id(0), 'loadedOntoTruck', '0', { truckId: '"a","b":1' }, 0],
        ['parcel', 'q1', T + 2, 'depot', id(0), 'stolen', '0', null, 0],
        ['sample', 'q1', T, 'depot', id(0), 'everything', '0', large, 1],
        ['truck', 'q1', T, 'depot', id(0), 'started', '0', null, 1],
      ];
      const good: Row = ['parcel', 'q1', T + 3, '', null, 'deliveryFailed', '0', {}, null];
      const keyspace = await written(...bad, good, ...parcel);
      const app = await boot({ consume: [source(keyspace)] });
      await until(() => isDone(app));
      const [q1, p1] = await app.get(EventStore).readMany([keyOf('parcel', 'q1'), keyOf('parcel', 'p1')]);
      expect(q1!.map(shown)).toEqual([meant(good)]);
      expect(p1).toHaveLength(5);
      const quarantine = app.get(Quarantine);
      const kept = (await quarantine.list(undefined, 10)).map(({ code, source: sender, bytes }) => ({
        code,
        sender,
        text: Buffer.from(bytes).toString(),
      }));
      expect(kept.map((item) => item.code).sort()).toEqual([
        'INVALID_JSON',
        'INVALID_JSON',
        'PARAMETER_TYPE',
        'UNKNOWN_AGGREGATE',
        'UNKNOWN_EVENT_TYPE',
      ]);
      expect(new Set(kept.map((item) => item.sender))).toEqual(new Set([`deck/${keyspace}`]));
      expect(kept.find((item) => item.code === 'PARAMETER_TYPE')!.text).toContain('{"id":9007199254740993}');
      expect(kept.filter((item) => item.text.includes('"truckId":"truck-unquoted"'))).toHaveLength(1);
    });

    it('give only the aggregate types that are asked for', async () => {
      const keyspace = await written(...parcel, ...sample, ['truck', 't1', T, '', id(0), 'started', '0', null, 1]);
      const app = await boot({ consume: [source(keyspace, { aggregateTypes: ['parcel'] })] });
      await until(() => isDone(app));
      const keys = await app.get(EventStore).scanAggregates(undefined, 10);
      expect(keys).toEqual([keyOf('parcel', 'p1')]);
      expect(await app.get(Quarantine).list(undefined, 10)).toEqual([]);
    });

    it('go on where they were after a failure and after a restart', async () => {
      const rows = Array.from({ length: 250 }, (_, n): Row => [
        'parcel',
        `r${n}`,
        T,
        '',
        id(0),
        'delivered',
        '0',
        null,
        2,
      ]);
      const keyspace = await written();
      for (const row of rows) await insert(keyspace, row);
      const layer = await inMemory().create(contextOf('deck'));
      const taken: string[] = [];
      let calls = 0;
      let failures = 1;
      const open = () => {
        const context: InletContext = {
          ...contextOf('deck'),
          checkpoints: layer.ports.checkpointStore,
          async record(stream) {
            calls += 1;
            const ids: string[] = [];
            for await (const item of stream) {
              for (const { bytes } of (item as StreamBatch<RawInput>).items) {
                ids.push(decodeWireJson(Buffer.from(bytes).toString()).aggregateId);
              }
            }
            // What was read and not recorded is read again.
            if (calls === 2 && failures-- > 0) throw new UnavailableError('STORE_UNREACHABLE', 'away', { fix: '' });
            taken.push(...ids);
            return { recorded: ids.length, rejected: 0 } as Awaited<ReturnType<InletContext['record']>>;
          },
        };
        return source(keyspace).create(context);
      };
      const first = open();
      await first.connect();
      await first.start();
      await until(async () => expect(taken.length).toBeGreaterThanOrEqual(200));
      await first.close();
      const before = taken.length;
      const second = open();
      await second.connect();
      await second.start();
      await until(async () => expect(await layer.ports.checkpointStore.read('inlet/deck')).toBe('done'));
      await second.close();
      expect(taken.length).toBe(250);
      expect(new Set(taken).size).toBe(250);
      expect(before % 100 === 0 || before === 250).toBe(true);
      const third = open();
      await third.connect();
      await third.start();
      await third.close();
      expect(taken.length, 'all is read').toBe(250);
    });

    it('are refused when they are not there, or are those of another form', async () => {
      await (await openLayer('tables')).close();
      for (const keyspace of [freshKeyspace(), specOptions().keyspace!]) {
        const context = { ...contextOf('deck'), checkpoints: undefined as never, record: undefined as never };
        const inlet = source(keyspace).create(context);
        await refused('SCHEMA_MISMATCH', () => inlet.connect());
        await inlet.close();
      }
      await refused('SCHEMA_MISMATCH', () => openRelay(specOptions().keyspace!));
    });
  });

  describe('as a relay', () => {
    it('hold what we record as the original wrote it', async () => {
      const keyspace = freshKeyspace();
      const app = await boot({ publish: [deckRelay({ ...server(), keyspace })] });
      const bus = app.get(EventBus);
      const stream = 'depot';
      // As it comes: the end first.
      const p1 = bus.for(Parcel, 'p1');
      await p1.record(at(T + 26 * HOUR, new Delivered('home'), { stream }));
      await p1.record(at(T + HOUR, new LoadedOntoTruck('truck-7'), { stream }));
      await p1.record(at(T, new ReceivedAtDepot('depot-1'), { stream }));
      await p1.record(at(T + 5 * HOUR, new DeliveryFailed(), { stream }));
      await p1.record(at(T + 20 * HOUR, new LoadedOntoTruck('truck-9'), { stream }));
      for (const parcelId of ['p2', 'p3', 'p4']) {
        await bus.for(Parcel, parcelId).record(at(T, new ReceivedAtDepot('depot-1'), { stream }));
      }
      const parameters = Object.fromEntries(Object.entries(everything).map(([key, text]) => [key, JSON.parse(text)]));
      await bus.record([
        { aggregateType: 'sample', aggregateId: 's1', name: 'everything', at: T, streamId: stream, parameters },
      ]);
      await until(async () => {
        expect(await rowsOf(keyspace, 's1', 'sample')).toHaveLength(1);
      });
      const rows = await rowsOf(keyspace, 'p1');
      expect(
        rows.map((row) => [
          row['aggregatetype'],
          row['aggregateid'],
          (row['eventtimestamp'] as Date).getTime(),
          row['streamid'],
          row['name'],
          row['version'],
          row['parameters'],
          row['characteristics'],
        ]),
      ).toEqual(
        parcel.map(([type, aggregateId, time, streamId, , name, version, texts, characteristics]) => [
          type,
          aggregateId,
          time,
          streamId,
          name,
          version,
          texts,
          characteristics,
        ]),
      );
      const facts = await app.get(EventStore).readMany([keyOf('parcel', 'p1')]);
      expect(rows.map((row) => String(row['processingid']))).toEqual(facts[0]!.map((fact) => fact.processingId));
      const [s1] = await rowsOf(keyspace, 's1', 'sample');
      // The same values; trailing zeros are gone, and keys are sorted, which its readers do not mind.
      expect(s1!['parameters']).toEqual({
        ...everything,
        decimal: '12.34',
        instant: '1476262800.123456',
        map: '{"a":1,"b":2}',
      });
      const listed = await run(`SELECT aggregatetype, bucket, aggregateid FROM ${keyspace}.catalogue`);
      expect(
        new Set(listed.rows.map((row) => `${row['aggregatetype']}|${row['bucket']}|${row['aggregateid']}`)),
      ).toEqual(new Set(['parcel|2|p2', 'parcel|3|p3', 'parcel|4|p4', 'sample|6|s1']));
      // The tables that it made are those that the original makes.
      expect(await columnsOf(keyspace)).toEqual(await columnsOf(await written()));
    });

    it('give back to a source what they were given', async () => {
      const keyspace = freshKeyspace();
      const writing = await boot({ publish: [deckRelay({ ...server(), keyspace })] });
      for (const row of [...parcel, ...sample]) {
        const [aggregateType, aggregateId, time, streamId, , name, version] = row;
        const parameters = meant(row)[6] as Parameters;
        await writing
          .get(EventBus)
          .record([{ aggregateType, aggregateId, at: time, streamId, name, version, parameters }]);
      }
      await until(async () => {
        expect(await rowsOf(keyspace, 's1', 'sample')).toHaveLength(2);
      });
      const reading = await boot({ consume: [source(keyspace)] });
      await until(() => isDone(reading));
      const keys = [keyOf('parcel', 'p1'), keyOf('sample', 's1')];
      const [there, here] = await Promise.all([writing, reading].map((app) => app.get(EventStore).readMany(keys)));
      const contents = (facts: readonly (readonly Fact[])[]) =>
        facts.flat().map((fact) => [...shown(fact), fact.content, fact.digest, fact.characteristics]);
      expect(contents(here!)).toEqual(contents(there!));
      expect(here!.flat()).toHaveLength(7);
    });

    it('refuse what they cannot hold, and leave what stands there as it is', async () => {
      const keyspace = await written(...parcel);
      const relay = await openRelay(keyspace);
      const before = await rowsOf(keyspace, 'p1');
      const scan = { name: 'scanned', at: T, stream: 'x', id: 'p9' };
      for (const unfit of [
        { ...scan, tenant: 'acme' },
        { ...scan, sequence: 0 },
        { ...scan, characteristics: CORRECTION },
        { name: 'scanned', at: T, stream: 'depot', id: 'p1' },
        { name: 'receivedAtDepot', at: T, stream: 'depot', id: 'p1', parameters: { depotId: 'depot-2' } },
        { name: 'receivedAtDepot', at: T, stream: 'depot', id: 'p1', parameters: { depotId: 'depot-1' }, version: '1' },
      ]) {
        await refused('CAPABILITY_MISSING', () => relay.publish([stamped(1, unfit)]));
      }
      // Two of one row in one call: neither order of writing would be right.
      await refused('CAPABILITY_MISSING', () =>
        relay.publish([stamped(1, scan), stamped(2, { ...scan, parameters: { n: 1 } })]),
      );
      expect(await rowsOf(keyspace, 'p9')).toEqual([]);
      // What stands there already, and what comes twice, is there.
      const known = { name: 'receivedAtDepot', at: T, stream: 'depot', id: 'p1', parameters: { depotId: 'depot-1' } };
      await relay.publish([stamped(3, known), stamped(4, known), stamped(5, scan), stamped(5, scan)]);
      await relay.publish([stamped(6, scan)]);
      expect(await rowsOf(keyspace, 'p1')).toEqual(before);
      const [p9] = await rowsOf(keyspace, 'p9');
      expect([String(p9!['processingid']), p9!['parameters']]).toEqual(['00000005-e6f8-11f1-8000-000000000001', null]);
    });

    it('go on without it where they are told to, and say so', async () => {
      const keyspace = await written();
      const warnings: string[] = [];
      const relay = await openRelay(keyspace, { unfit: 'leave-out' }, (text) => void warnings.push(text));
      await relay.publish([
        stamped(1, { id: 'p9', sequence: 1 }),
        stamped(2, { id: 'p9' }),
        stamped(3, { id: 'p9', name: 'other' }),
      ]);
      expect(await rowsOf(keyspace, 'p9')).toHaveLength(1);
      expect(warnings).toEqual([expect.stringContaining('2 events have no place')]);
    });

    it('list an aggregate by what happened last, in whatever order it comes', async () => {
      const keyspace = await written();
      const relay = await openRelay(keyspace);
      const first = stamped(1, { id: 'p2', name: 'received', at: T, characteristics: 1 });
      const last = stamped(2, { id: 'p2', name: 'delivered', at: T + 1, characteristics: 2 });
      const again = stamped(3, { id: 'p2', name: 'received', at: T + 2, characteristics: 1 });
      const listed = async () => (await run(`SELECT aggregateid FROM ${keyspace}.catalogue`)).rowLength;
      await relay.publish([last]);
      await relay.publish([first]);
      expect(await listed()).toBe(0);
      await relay.publish([again]);
      expect(await listed()).toBe(1);
      await relay.close();
      await refused('STORE_CLOSED', () => relay.publish([first]));
      await refused('STORE_CLOSED', () => relay.connect());
    });

    it('hold up only their own relay when something does not fit', async () => {
      const keyspace = freshKeyspace();
      const app = await boot({ publish: [deckRelay({ ...server(), keyspace })] });
      const parcelOf = (name: string) => app.get(EventBus).for(Parcel, name);
      await parcelOf('p1').record(at(T, new DeliveryFailed()));
      await until(async () => expect(await rowsOf(keyspace, 'p1')).toHaveLength(1));
      await parcelOf('p1').record(at(T, new LoadedOntoTruck('truck-7')));
      await until(async () => {
        expect(app.get(Concursus).relays()).toMatchObject([{ name: 'deck', state: 'failing' }]);
      });
      await parcelOf('p2').record(at(T, new DeliveryFailed()));
      expect(await rowsOf(keyspace, 'p2')).toEqual([]);
      expect(await app.get(EventStore).scanAggregates(undefined, 10)).toHaveLength(2);
    });
  });
});
