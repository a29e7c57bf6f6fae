/**
 * Goal: what the original wrote into its tables comes in as events of our classes, once, and what is none is kept aside.
 * Method: its tables, and rows as it wrote them, made with plain CQL on a real server; a source that fails and starts again.
 */
import {
  decodeWireJson,
  EventStore,
  inMemory,
  isProcessingId,
  Quarantine,
  UnavailableError,
  type InletContext,
  type RawInput,
  type StreamBatch,
} from '@concursus/core';
import { refused } from '@concursus/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Deck, T, id, isDone, keyOf, meant, parcel, sample, shown, sourceOf, until, type Row } from './deck-support.js';
import { contextOf, openLayer, specOptions } from './support.js';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

const deck = new Deck();
beforeAll(() => deck.connect());
afterEach(() => deck.closeAll());
afterAll(() => deck.end());

describe('the tables of the original as a source', () => {
  it('give what the original wrote, as events of today’s classes', async () => {
    const keyspace = await deck.written(...parcel, ...sample);
    const app = await deck.boot({ consume: [sourceOf(keyspace)] });
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
    const keyspace = await deck.written(...bad, good, ...parcel);
    const app = await deck.boot({ consume: [sourceOf(keyspace)] });
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
    const keyspace = await deck.written(...parcel, ...sample, ['truck', 't1', T, '', id(0), 'started', '0', null, 1]);
    const app = await deck.boot({ consume: [sourceOf(keyspace, { aggregateTypes: ['parcel'] })] });
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
    const keyspace = await deck.written(...rows);
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
      return sourceOf(keyspace).create(context);
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
    for (const keyspace of [deck.freshKeyspace(), specOptions().keyspace!]) {
      const context = { ...contextOf('deck'), checkpoints: undefined as never, record: undefined as never };
      const inlet = sourceOf(keyspace).create(context);
      await refused('SCHEMA_MISMATCH', () => inlet.connect());
      await inlet.close();
    }
    await refused('SCHEMA_MISMATCH', () => deck.openRelay(specOptions().keyspace!));
  });
});
