/** The original's two tables on a real server, rows as it wrote them, and applications that are wired to them by configuration alone. */
import 'reflect-metadata';
import { randomBytes } from 'node:crypto';
import {
  Aggregate,
  CheckpointStore,
  ConcursusModule,
  Event,
  inMemory,
  type ConcursusOptions,
  type EventRelay,
  type Fact,
  type InletProvider,
  type RelayContext,
} from '@concursus/core';
import { Test, type TestingModule } from '@nestjs/testing';
import { Client, type types } from 'cassandra-driver';
import { expect, vi } from 'vitest';
import { deckRelay, deckSource, type DeckRelayOptions } from '../src/index.js';
import { cleanUp, contextOf, server, silent } from './support.js';

@Event({ initial: true })
export class ReceivedAtDepot {
  constructor(readonly depotId: string) {}
}
@Event()
export class LoadedOntoTruck {
  constructor(readonly truckId: string) {}
}
@Event()
export class DeliveryFailed {}
@Event({ terminal: true })
export class Delivered {
  constructor(readonly destinationId: string) {}
}

@Aggregate('parcel')
export class Parcel {
  static readonly events = { ReceivedAtDepot, LoadedOntoTruck, DeliveryFailed, Delivered };
}

@Event({ initial: true })
export class Everything {}
@Event({ version: '2' })
export class Renamed {}

@Aggregate('sample')
export class Sample {
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

export type Row = readonly [
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

export const T = 1_476_262_800_123;
export const HOUR = 3_600_000;
export const id = (n: number): string => `2117509${n}-e6f8-11f1-ffff-ffffffffff65`;

/** Rows that the original wrote for its parcel example. */
export const parcel: readonly Row[] = [
  ['parcel', 'p1', T, 'depot', id(0), 'receivedAtDepot', '0', { depotId: '"depot-1"' }, 1],
  ['parcel', 'p1', T + HOUR, 'depot', id(1), 'loadedOntoTruck', '0', { truckId: '"truck-7"' }, 0],
  ['parcel', 'p1', T + 5 * HOUR, 'depot', id(2), 'deliveryFailed', '0', null, 0],
  ['parcel', 'p1', T + 20 * HOUR, 'depot', id(3), 'loadedOntoTruck', '0', { truckId: '"truck-9"' }, 0],
  ['parcel', 'p1', T + 26 * HOUR, 'depot', id(4), 'delivered', '0', { destinationId: '"home"' }, 2],
];
/** A parameter of every kind, but for the integer that no reader of JSON keeps. */
export const everything = {
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
export const sample: readonly Row[] = [
  ['sample', 's1', T, 'depot', id(5), 'everything', '0', everything, 1],
  ['sample', 's1', T + 1, 'depot', id(6), 'renamed', '2', { 'wire-name': ' "value" ' }, 0],
];

export const shown = ({
  aggregateType,
  aggregateId,
  eventTime,
  streamId,
  name,
  version,
  parameters,
}: Fact): unknown[] => [aggregateType, aggregateId, eventTime, streamId, name, version, parameters];

/** What a row means. */
export const meant = ([type, aggregateId, time, stream, , name, version, parameters]: Row): unknown[] => [
  type,
  aggregateId,
  time,
  stream,
  name,
  version,
  Object.fromEntries(Object.entries(parameters ?? {}).map(([key, text]) => [key, JSON.parse(text)])),
];

export const keyOf = (type: string, aggregateId: string) => ({ tenant: '', type, id: aggregateId });
export const until = (check: () => Promise<void>): Promise<void> =>
  vi.waitFor(check, { timeout: 60_000, interval: 20 });

/** Keyspaces of one spec file, and what was opened over them. */
export class Deck {
  private client!: Client;
  private readonly keyspaces: string[] = [];
  private readonly apps: TestingModule[] = [];
  private readonly relays: EventRelay[] = [];

  async connect(): Promise<void> {
    const { contactPoints, localDataCenter } = server();
    this.client = new Client({ contactPoints: [...contactPoints], localDataCenter });
    await this.client.connect();
  }

  /** Closes what a case opened. */
  async closeAll(): Promise<void> {
    for (const app of this.apps.splice(0)) await app.close();
    for (const relay of this.relays.splice(0)) await relay.close();
  }

  async end(): Promise<void> {
    for (const keyspace of this.keyspaces) await this.run(`DROP KEYSPACE IF EXISTS ${keyspace}`);
    await this.client.shutdown();
    await cleanUp();
  }

  run(statement: string): Promise<types.ResultSet> {
    return this.client.execute(statement, [], { readTimeout: 30_000 });
  }

  freshKeyspace(): string {
    const keyspace = `deck_${randomBytes(6).toString('hex')}`;
    this.keyspaces.push(keyspace);
    return keyspace;
  }

  /** A keyspace as the original made it. */
  async written(...rows: readonly Row[]): Promise<string> {
    const keyspace = this.freshKeyspace();
    await this.run(
      `CREATE KEYSPACE ${keyspace} WITH replication = { 'class': 'SimpleStrategy', 'replication_factor': 1 }`,
    );
    for (const table of TABLES) await this.run(table.replace('CREATE TABLE ', `CREATE TABLE ${keyspace}.`));
    const insert = INSERT.replace('event', `${keyspace}.event`);
    for (const row of rows) await this.client.execute(insert, [...row], { prepare: true });
    return keyspace;
  }

  async rowsOf(keyspace: string, aggregateId: string, type = 'parcel'): Promise<types.Row[]> {
    const query = `SELECT * FROM ${keyspace}.event WHERE aggregatetype = ? AND aggregateid = ? ORDER BY eventtimestamp ASC`;
    return (await this.client.execute(query, [type, aggregateId], { prepare: true })).rows;
  }

  async columnsOf(keyspace: string): Promise<readonly object[]> {
    const query = `SELECT table_name, column_name, type, kind, position, clustering_order FROM system_schema.columns
      WHERE keyspace_name = ?`;
    return (await this.client.execute(query, [keyspace], { prepare: true })).rows.map((row) => ({ ...row }));
  }

  async boot(options: ConcursusOptions): Promise<TestingModule> {
    const app = await Test.createTestingModule({
      imports: [ConcursusModule.forRoot({ persistent: inMemory(), ...options })],
      providers: [Parcel, Sample],
    })
      .setLogger(false as never)
      .compile();
    await app.init();
    this.apps.push(app);
    return app;
  }

  async openRelay(
    keyspace: string,
    more: Partial<DeckRelayOptions> = {},
    warn: (text: string) => void = () => undefined,
  ): Promise<EventRelay> {
    const context: RelayContext = { ...contextOf('deck'), aggregateTypes: ['parcel'], logger: { ...silent, warn } };
    const relay = deckRelay({ ...server(), keyspace, ...more }).create(context);
    this.relays.push(relay);
    await relay.connect();
    return relay;
  }
}

export function sourceOf(keyspace: string, more: { aggregateTypes?: string[] } = {}): InletProvider {
  return deckSource({ ...server(), keyspace, ...more });
}

/** The source has read all. */
export async function isDone(app: TestingModule): Promise<void> {
  expect(await app.get(CheckpointStore).read('inlet/deck')).toBe('done');
}
