/**
 * Goal: what we record goes out as the rows that the original reads, and what its tables cannot hold is refused. Method: its
 * tables, made with plain CQL on a real server or by the relay, compared column by column with rows as it wrote them.
 */
import { at, Concursus, CORRECTION, EventBus, EventStore, Fact, type Parameters } from '@concursus/core';
import { factOf, refused, type FactSketch } from '@concursus/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { deckRelay } from '../src/index.js';
import {
  Deck,
  Delivered,
  DeliveryFailed,
  LoadedOntoTruck,
  Parcel,
  ReceivedAtDepot,
  HOUR,
  T,
  everything,
  isDone,
  keyOf,
  meant,
  parcel,
  sample,
  shown,
  sourceOf,
  until,
} from './deck-support.js';
import { server } from './support.js';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

const deck = new Deck();
beforeAll(() => deck.connect());
afterEach(() => deck.closeAll());
afterAll(() => deck.end());

/** As the log stamped it. */
const stamped = (n: number, sketch: FactSketch): Fact =>
  new Fact(factOf(sketch), `0000000${n}-e6f8-11f1-8000-000000000001`, T);

describe('the tables of the original as a relay', () => {
  it('hold what we record as the original wrote it', async () => {
    const keyspace = deck.freshKeyspace();
    const app = await deck.boot({ publish: [deckRelay({ ...server(), keyspace })] });
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
      expect(await deck.rowsOf(keyspace, 's1', 'sample')).toHaveLength(1);
    });
    const rows = await deck.rowsOf(keyspace, 'p1');
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
    const [s1] = await deck.rowsOf(keyspace, 's1', 'sample');
    // The same values; trailing zeros are gone, and keys are sorted, which its readers do not mind.
    expect(s1!['parameters']).toEqual({
      ...everything,
      decimal: '12.34',
      instant: '1476262800.123456',
      map: '{"a":1,"b":2}',
    });
    const listed = await deck.run(`SELECT aggregatetype, bucket, aggregateid FROM ${keyspace}.catalogue`);
    expect(new Set(listed.rows.map((row) => `${row['aggregatetype']}|${row['bucket']}|${row['aggregateid']}`))).toEqual(
      new Set(['parcel|2|p2', 'parcel|3|p3', 'parcel|4|p4', 'sample|6|s1']),
    );
    // The tables that it made are those that the original makes.
    expect(await deck.columnsOf(keyspace)).toEqual(await deck.columnsOf(await deck.written()));
  });

  it('give back to a source what they were given', async () => {
    const keyspace = deck.freshKeyspace();
    const writing = await deck.boot({ publish: [deckRelay({ ...server(), keyspace })] });
    for (const row of [...parcel, ...sample]) {
      const [aggregateType, aggregateId, time, streamId, , name, version] = row;
      const parameters = meant(row)[6] as Parameters;
      await writing
        .get(EventBus)
        .record([{ aggregateType, aggregateId, at: time, streamId, name, version, parameters }]);
    }
    await until(async () => {
      expect(await deck.rowsOf(keyspace, 's1', 'sample')).toHaveLength(2);
    });
    const reading = await deck.boot({ consume: [sourceOf(keyspace)] });
    await until(() => isDone(reading));
    const keys = [keyOf('parcel', 'p1'), keyOf('sample', 's1')];
    const [there, here] = await Promise.all([writing, reading].map((app) => app.get(EventStore).readMany(keys)));
    const contents = (facts: readonly (readonly Fact[])[]) =>
      facts.flat().map((fact) => [...shown(fact), fact.content, fact.digest, fact.characteristics]);
    expect(contents(here!)).toEqual(contents(there!));
    expect(here!.flat()).toHaveLength(7);
  });

  it('refuse what they cannot hold, and leave what stands there as it is', async () => {
    const keyspace = await deck.written(...parcel);
    const relay = await deck.openRelay(keyspace);
    const before = await deck.rowsOf(keyspace, 'p1');
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
    expect(await deck.rowsOf(keyspace, 'p9')).toEqual([]);
    // What stands there already, and what comes twice, is there.
    const known = { name: 'receivedAtDepot', at: T, stream: 'depot', id: 'p1', parameters: { depotId: 'depot-1' } };
    await relay.publish([stamped(3, known), stamped(4, known), stamped(5, scan), stamped(5, scan)]);
    await relay.publish([stamped(6, scan)]);
    expect(await deck.rowsOf(keyspace, 'p1')).toEqual(before);
    const [p9] = await deck.rowsOf(keyspace, 'p9');
    expect([String(p9!['processingid']), p9!['parameters']]).toEqual(['00000005-e6f8-11f1-8000-000000000001', null]);
  });

  it('go on without it where they are told to, and say so', async () => {
    const keyspace = await deck.written();
    const warnings: string[] = [];
    const relay = await deck.openRelay(keyspace, { unfit: 'leave-out' }, (text) => void warnings.push(text));
    await relay.publish([
      stamped(1, { id: 'p9', sequence: 1 }),
      stamped(2, { id: 'p9' }),
      stamped(3, { id: 'p9', name: 'other' }),
    ]);
    expect(await deck.rowsOf(keyspace, 'p9')).toHaveLength(1);
    expect(warnings).toEqual([expect.stringContaining('2 events have no place')]);
  });

  it('list an aggregate by what happened last, in whatever order it comes', async () => {
    const keyspace = await deck.written();
    const relay = await deck.openRelay(keyspace);
    const first = stamped(1, { id: 'p2', name: 'received', at: T, characteristics: 1 });
    const last = stamped(2, { id: 'p2', name: 'delivered', at: T + 1, characteristics: 2 });
    const again = stamped(3, { id: 'p2', name: 'received', at: T + 2, characteristics: 1 });
    const listed = async () => (await deck.run(`SELECT aggregateid FROM ${keyspace}.catalogue`)).rowLength;
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
    const keyspace = deck.freshKeyspace();
    const app = await deck.boot({ publish: [deckRelay({ ...server(), keyspace })] });
    const parcelOf = (name: string) => app.get(EventBus).for(Parcel, name);
    await parcelOf('p1').record(at(T, new DeliveryFailed()));
    await until(async () => expect(await deck.rowsOf(keyspace, 'p1')).toHaveLength(1));
    await parcelOf('p1').record(at(T, new LoadedOntoTruck('truck-7')));
    await until(async () => {
      expect(app.get(Concursus).relays()).toMatchObject([{ name: 'deck', state: 'failing' }]);
    });
    await parcelOf('p2').record(at(T, new DeliveryFailed()));
    expect(await deck.rowsOf(keyspace, 'p2')).toEqual([]);
    expect(await app.get(EventStore).scanAggregates(undefined, 10)).toHaveLength(2);
  });
});
