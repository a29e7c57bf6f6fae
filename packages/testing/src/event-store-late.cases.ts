/** Cases of EventStore: the two short lists beside a history (corrections, late facts), its aggregates, and what is counted of sources. */
import assert from 'node:assert/strict';
import { compareKey, parseProcessingId, type Fact, type ProcessingTime } from '@concursus/core';
import { factOf } from './event-arbitraries.js';
import type { ContractCase } from './contract.js';
import { contents, latest, P1, readAll, record, scanAt, times } from './history-checks.js';

const BEFORE_ALL: ProcessingTime = { ms: 0, tick: 0 };
/** As the bit of a correction; what else makes one is no store's business. */
const correctionAt = (at: number, name: string): Fact =>
  scanAt(at, { name: `$correction.${name}`, characteristics: 4 });
const OTHER = { tenant: '', type: 'parcel', id: 'p2' };

export const lateCases: readonly ContractCase<'persistent'>[] = [
  {
    name: 'finds the corrections of many aggregates, each in key order, and none where there are none',
    async run(opened) {
      const { eventStore } = opened.ports;
      await record(opened, [correctionAt(5, 'b'), scanAt(5), correctionAt(9, 'c')]);
      await record(opened, [scanAt(7), correctionAt(2, 'a'), factOf({ id: 'p2', at: 5 })]);
      const [of1, of2, ofNone] = await eventStore.readCorrections([P1, OTHER, { ...P1, id: 'none' }]);
      assert.deepEqual(times(of1!), [2, 5, 9]);
      assert.deepEqual([of2, ofNone], [[], []]);
      assert.deepEqual(times(await readAll(eventStore)), [2, 5, 5, 7, 9], 'they stand in the history, too');
      await record(opened, [correctionAt(2, 'a')]);
      assert.equal((await eventStore.readCorrections([P1]))[0]!.length, 3, 'a repeat adds none');
    },
  },
  {
    name: 'finds corrections as known at a processing time and up to a position',
    async run(opened) {
      const { eventStore, eventFeed } = opened.ports;
      const first = correctionAt(5, 'a');
      await record(opened, [first]);
      const position = await eventFeed.end();
      await opened.clock.advance(1_000);
      await record(opened, [correctionAt(5, 'b')]);
      const [known] = await eventStore.readCorrections([P1], { knownAt: latest([first]) });
      const beside = eventStore.read(P1, { knownAt: latest([first]), names: [] }).beside?.(BEFORE_ALL, 100);
      if (beside !== undefined) assert.deepEqual(contents(beside.corrections), contents(known!), 'the same at once');
      assert.deepEqual(contents(known!), contents([first]));
      const [upTo] = await eventStore.readCorrections([P1], { upTo: position });
      assert.deepEqual(contents(upTo!), contents([first]));
    },
  },
  {
    name: 'lists what was recorded behind a later key, and corrections, in recorded order; not what came at the end',
    async run(opened) {
      const { eventStore } = opened.ports;
      await record(opened, [scanAt(10), scanAt(30)]);
      await record(opened, [scanAt(20)]);
      await record(opened, [correctionAt(40, 'a')]);
      await record(opened, [scanAt(50), factOf({ id: 'p2', at: 1 })]);
      await record(opened, [scanAt(5), scanAt(60), scanAt(50, { parameters: { other: 'content' } })]);
      await record(opened, [scanAt(20)]);
      const late = await eventStore.readLate(P1, { after: BEFORE_ALL, limit: 100 });
      assert.deepEqual(times(late), [20, 40, 5, 50]);
      assert.deepEqual(times(await eventStore.readLate(P1, { after: BEFORE_ALL, limit: 2 })), [20, 40]);
      assert.deepEqual(await eventStore.readLate(OTHER, { after: BEFORE_ALL, limit: 100 }), []);
    },
  },
  {
    name: 'lists late facts of a span of processing time: above its start, up to its end',
    async run(opened) {
      const { eventStore } = opened.ports;
      await record(opened, [scanAt(100)]);
      const recorded: Fact[] = [];
      for (const at of [90, 80, 70, 60]) {
        await opened.clock.advance(1);
        const fact = scanAt(at);
        await record(opened, [fact]);
        recorded.push(fact);
      }
      const time = (index: number): ProcessingTime => parseProcessingId(recorded[index]!.processingId);
      const late = await eventStore.readLate(P1, { after: time(0), knownAt: time(2), limit: 100 });
      assert.deepEqual(times(late), [80, 70]);
      assert.deepEqual(await eventStore.readLate(P1, { after: time(3), limit: 100 }), []);
    },
  },
  {
    name: 'a state folded at any moment is wrong at most about late facts and about what stands behind its last key',
    async run(opened) {
      const { eventStore } = opened.ports;
      const at = [50, 10, 40, 60, 20, 55, 30, 70];
      for (let i = 0; i < at.length; i++) {
        await record(opened, [scanAt(at[i]!)]);
        await opened.clock.advance(1);
      }
      const all = await readAll(eventStore);
      const inOrder = [...all].sort((a, b) => (a.processedAt < b.processedAt ? -1 : 1));
      for (let known = 1; known < inOrder.length; known++) {
        const before = inOrder.slice(0, known);
        const last = [...before].sort(compareKey).at(-1)!;
        const late = await eventStore.readLate(P1, { after: latest(before), limit: 100 });
        const beside = eventStore.read(P1).beside?.(latest(before), 100);
        if (beside !== undefined) assert.deepEqual(contents(beside.late), contents(late), 'the same at once');
        const behind = all.filter((fact) => compareKey(fact, last) > 0);
        const seen = new Set([...before, ...late, ...behind].map((fact) => fact.eventTime));
        assert.equal(seen.size, all.length, `known ${known}`);
      }
    },
  },
  {
    name: 'lists the aggregates that have a history, in the order of their keys, in pages',
    async run(opened) {
      const { eventStore } = opened.ports;
      await record(opened, [
        factOf({ id: 'b' }),
        factOf({ id: 'a' }),
        factOf({ id: 'a:b' }),
        factOf({ tenant: 't', id: 'a' }),
        factOf({ type: 'box', id: 'z' }),
        factOf({ id: 'a', at: 2_000 }),
      ]);
      const expected = ['/box/z', '/parcel/a', '/parcel/a:b', '/parcel/b', 't/parcel/a'];
      const text = (key: { tenant: string; type: string; id: string }): string => `${key.tenant}/${key.type}/${key.id}`;
      assert.deepEqual((await eventStore.scanAggregates(undefined, 100)).map(text), expected);
      const paged: string[] = [];
      let page = await eventStore.scanAggregates(undefined, 2);
      while (page.length > 0) {
        paged.push(...page.map(text));
        page = await eventStore.scanAggregates(page.at(-1), 2);
      }
      assert.deepEqual(paged, expected);
    },
  },
  {
    name: 'counts repeats and conflicts of each source',
    async run(opened) {
      const { eventStore } = opened.ports;
      const scan = (stream: string, parameters = {}): Fact => scanAt(1, { stream, parameters });
      await record(opened, [scan('a'), scan('b'), scan('quiet')]);
      await record(opened, [scan('a'), scan('a', { n: 1 }), scan('b', { n: 1 }), scan('a', { n: 1 })]);
      await record(opened, [scan('a')]);
      const counts = [...(await eventStore.readSourceCounts())].sort((a, b) => (a.streamId < b.streamId ? -1 : 1));
      assert.deepEqual(counts, [
        { streamId: 'a', repeated: 3, conflicting: 1 },
        { streamId: 'b', repeated: 0, conflicting: 1 },
      ]);
    },
  },
];
