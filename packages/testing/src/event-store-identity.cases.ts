/** Cases of EventStore: what is one fact, what is another, and in which order a history keeps them (laws 3 and 4). */
import assert from 'node:assert/strict';
import { compareKey, compareText, Fact, limits, type AggregateKey } from '@concursus/core';
import { type ContractCase } from './contract.js';
import { factOf, type FactSketch } from './event-arbitraries.js';
import { P1, record, readAll, contentOf, contents, times, scanAt } from './history-checks.js';

export const identityCases: readonly ContractCase<'persistent'>[] = [
  {
    name: 'gives every field and every kind of value back as it was recorded',
    async run(opened) {
      const sketch: FactSketch = {
        tenant: 't:1/\u{1f600}',
        type: 'parcel/a',
        id: 'a:b c/\ufb01\u{1f600}"\\',
        name: 'scanned:twice',
        version: '2',
        at: -62_135_596_800_000,
        stream: 'scanner:7/\u{1f600}',
        sequence: Number.MAX_SAFE_INTEGER,
        characteristics: 3,
        parameters: {
          text: 'a"\\\n\u2028\u{1f600}',
          empty: '',
          integer: Number.MIN_SAFE_INTEGER,
          fraction: 0.1,
          tiny: 5e-324,
          half: 4503599627370495.5,
          yes: true,
          no: false,
          nothing: null,
          list: [1, [2, {}], []],
          nested: { a: { b: { c: 1 } }, '': 0, '1': 1 },
        },
        metadata: { receivedAt: '2013-01-01T00:00:00.000Z', correlationId: '\u{1f600}' },
      };
      const given = factOf(sketch);
      const content = given.content;
      assert.deepEqual(await record(opened, [given]), ['recorded']);
      const key = { tenant: given.tenant, type: given.aggregateType, id: given.aggregateId };
      const [read] = await readAll(opened.ports.eventStore, key);
      assert.ok(read !== undefined);
      assert.deepEqual(contentOf(read), contentOf(factOf(sketch)));
      assert.equal(read.content, content, 'content is kept to the byte');
      assert.equal(read.characteristics, 3);
      assert.deepEqual(read.metadata, sketch.metadata);
      assert.deepEqual(read.parameters, sketch.parameters);
      assert.equal(read.digest, factOf(sketch).digest);
      assert.equal(read.processingId, given.processingId);
      assert.equal(read.processedAt, given.processedAt);
    },
  },
  {
    name: 'keeps the first and the last event time, 0, and a time before 1970, in order',
    async run(opened) {
      const given = [limits.eventTimeMax, 0, limits.eventTimeMin, -1, 1];
      await record(
        opened,
        given.map((at) => scanAt(at)),
      );
      const expected = [limits.eventTimeMin, -1, 0, 1, limits.eventTimeMax];
      assert.deepEqual(times(await readAll(opened.ports.eventStore)), expected);
      const negative = await readAll(opened.ports.eventStore, P1, { range: { from: limits.eventTimeMin, to: -1 } });
      assert.deepEqual(times(negative), [limits.eventTimeMin, -1]);
    },
  },
  {
    name: 'keeps ids, names and contents as long as the limits allow',
    async run(opened) {
      const wide = (bytes: number): string => '\u{1f600}'.repeat(bytes / 4);
      const fact = factOf({
        tenant: wide(limits.contextBytes),
        type: wide(limits.nameBytes),
        id: wide(limits.idBytes),
        name: wide(limits.nameBytes),
        version: wide(limits.nameBytes),
        stream: wide(limits.streamBytes),
        parameters: { text: 'x'.repeat(limits.parametersBytes - 11) },
      });
      const [content, given] = [fact.content, contentOf(fact)];
      assert.equal(content.length, limits.parametersBytes);
      assert.deepEqual(await record(opened, [fact]), ['recorded']);
      const key = { tenant: fact.tenant, type: fact.aggregateType, id: fact.aggregateId };
      assert.deepEqual(contents(await readAll(opened.ports.eventStore, key)), [given]);
    },
  },
  {
    name: 'counts the same fact again as a repeat, in a later append',
    async run(opened) {
      const { eventStore, eventFeed } = opened.ports;
      assert.deepEqual(await record(opened, [scanAt(1)]), ['recorded']);
      const end = await eventFeed.end();
      assert.deepEqual(await record(opened, [scanAt(1)]), ['repeated']);
      assert.deepEqual(await record(opened, [scanAt(1), scanAt(2), scanAt(1)]), ['repeated', 'recorded', 'repeated']);
      assert.deepEqual(times(await readAll(eventStore)), [1, 2]);
      const page = await eventFeed.read(end, 100);
      assert.deepEqual(times(page.facts), [2], 'a repeat adds nothing to the feed');
    },
  },
  {
    name: 'counts the same fact twice in one append, and in two appends of one call, as one',
    async run(opened) {
      const { eventStore } = opened.ports;
      assert.deepEqual(await record(opened, [scanAt(1), scanAt(1)]), ['recorded', 'repeated']);
      const receivedAt = opened.clock.now();
      const results = await eventStore.append([
        { facts: [scanAt(2)], receivedAt },
        { facts: [scanAt(2), scanAt(1)], receivedAt },
      ]);
      assert.deepEqual(
        results.map((result) => result.outcomes),
        [['recorded'], ['repeated', 'repeated']],
      );
      assert.deepEqual(times(await readAll(eventStore)), [1, 2]);
    },
  },
  {
    name: 'says how often each fact came again, beside the event and only when asked',
    async run(opened) {
      const { eventStore } = opened.ports;
      await record(opened, [scanAt(1), scanAt(2), scanAt(1), scanAt(1)]);
      await record(opened, [scanAt(1)]);
      const repeats = (facts: readonly Fact[]): number[] => facts.map((fact) => fact.repeats);
      assert.deepEqual(repeats(await readAll(eventStore, P1, { withRepeats: true })), [3, 0]);
      const [many] = await eventStore.readMany([P1], { withRepeats: true });
      assert.deepEqual(repeats(many!), [3, 0]);
      assert.deepEqual(repeats(await readAll(eventStore)), [0, 0]);
    },
  },
  {
    name: 'counts the repeats of each of two conflicting contents apart',
    async run(opened) {
      const one = (): Fact => scanAt(1, { parameters: { n: 1 } });
      const two = (): Fact => scanAt(1, { parameters: { n: 2 } });
      assert.deepEqual(await record(opened, [one(), two(), two(), one(), two()]), [
        'recorded',
        'conflicting',
        'repeated',
        'repeated',
        'repeated',
      ]);
      const read = await readAll(opened.ports.eventStore, P1, { withRepeats: true });
      assert.deepEqual(
        new Map(read.map((fact) => [fact.content, fact.repeats])),
        new Map([
          ['{"n":1}', 1],
          ['{"n":2}', 2],
        ]),
      );
    },
  },
  {
    name: 'records a fact that many writers send at once exactly once',
    async run(opened) {
      const { eventStore } = opened.ports;
      const answers = await Promise.all(Array.from({ length: 32 }, () => record(opened, [scanAt(1), scanAt(2)])));
      const outcomes = answers.flat();
      assert.equal(outcomes.filter((outcome) => outcome === 'recorded').length, 2);
      assert.equal(outcomes.filter((outcome) => outcome === 'repeated').length, 62);
      const read = await readAll(eventStore, P1, { withRepeats: true });
      assert.deepEqual(
        read.map((fact) => fact.repeats),
        [31, 31],
      );
    },
  },
  {
    name: 'keeps other content of one identity beside it as conflicting, and never overwrites',
    async run(opened) {
      const content = (n: number): Fact => scanAt(1, { parameters: { n } });
      assert.deepEqual(await record(opened, [content(1)]), ['recorded']);
      assert.deepEqual(await record(opened, [content(2)]), ['conflicting']);
      assert.deepEqual(await record(opened, [content(3), content(2), content(1)]), [
        'conflicting',
        'repeated',
        'repeated',
      ]);
      const read = await readAll(opened.ports.eventStore);
      assert.deepEqual(new Set(read.map((fact) => fact.content)), new Set(['{"n":1}', '{"n":2}', '{"n":3}']));
    },
  },
  {
    name: 'orders conflicting contents by digest, whichever came first',
    async run(opened) {
      const inits = Array.from({ length: 9 }, (_, n) => ({ at: 5, parameters: { n } }));
      const expected = inits
        .map((each) => factOf(each))
        .sort(compareKey)
        .map((fact) => fact.content);
      const digests = inits.map((each) => factOf(each).digest).sort();
      for (const [id, order] of [
        ['up', inits],
        ['down', inits.toReversed()],
      ] as const) {
        for (const each of order) await record(opened, [factOf({ ...each, id })]);
        await record(opened, [factOf({ at: 4, id }), factOf({ at: 6, id })]);
        const read = await readAll(opened.ports.eventStore, { ...P1, id });
        assert.deepEqual(times(read), [4, ...Array<number>(9).fill(5), 6]);
        assert.deepEqual(
          read.slice(1, -1).map((fact) => fact.content),
          expected,
        );
        assert.deepEqual(
          read.slice(1, -1).map((fact) => fact.digest),
          digests,
        );
        const down = await readAll(opened.ports.eventStore, { ...P1, id }, { descending: true });
        assert.deepEqual(contents(down), contents(read.toReversed()));
      }
    },
  },
  {
    name: 'takes one name in another version as other content of one identity',
    async run(opened) {
      assert.deepEqual(await record(opened, [scanAt(1, { version: '0' }), scanAt(1, { version: '1' })]), [
        'recorded',
        'conflicting',
      ]);
      assert.deepEqual(await record(opened, [scanAt(1, { version: '1' })]), ['repeated']);
    },
  },
  {
    name: 'does not count metadata or characteristics as content: the first ones are kept',
    async run(opened) {
      await record(opened, [scanAt(1, { metadata: { receivedAt: 'first' }, characteristics: 1 })]);
      assert.deepEqual(await record(opened, [scanAt(1, { metadata: { receivedAt: 'later' } })]), ['repeated']);
      const [read] = await readAll(opened.ports.eventStore);
      assert.deepEqual(read?.metadata, { receivedAt: 'first' });
      assert.equal(read?.characteristics, 1);
    },
  },
  {
    name: 'keeps two events of one millisecond that differ in stream, sequence or name',
    async run(opened) {
      const sketches: FactSketch[] = [
        {},
        { stream: 's' },
        { sequence: 0 },
        { sequence: 1 },
        { name: 'loaded' },
        { stream: 's', sequence: 1 },
        { stream: 's1' },
        { stream: 's', name: '1scanned' },
      ];
      const outcomes = await record(
        opened,
        sketches.map((sketch) => factOf({ at: 7, ...sketch })),
      );
      assert.deepEqual(
        outcomes,
        sketches.map(() => 'recorded'),
      );
      const read = await readAll(opened.ports.eventStore);
      const expected = sketches.map((sketch) => factOf({ at: 7, ...sketch })).sort(compareKey);
      assert.deepEqual(contents(read), contents(expected));
    },
  },
  {
    name: 'never mixes aggregates whose tenant, type and id only look alike',
    async run(opened) {
      const keys: AggregateKey[] = [
        { tenant: '', type: 'a', id: 'b:c' },
        { tenant: '', type: 'a:b', id: 'c' },
        { tenant: 'a', type: 'b', id: 'c' },
        { tenant: '', type: 'a', id: 'b' },
        { tenant: '', type: 'a', id: 'b:' },
        { tenant: '', type: 'a', id: 'b\u0001' },
        { tenant: '', type: 'ab', id: 'c' },
        { tenant: '', type: 'a', id: 'bc' },
        { tenant: 'a', type: 'b:c', id: 'c' },
      ];
      for (const [at, key] of keys.entries())
        assert.deepEqual(await record(opened, [factOf({ ...key, at })]), ['recorded']);
      for (const [at, key] of keys.entries())
        assert.deepEqual(times(await readAll(opened.ports.eventStore, key)), [at]);
      const many = await opened.ports.eventStore.readMany(keys);
      assert.deepEqual(
        many.map(times),
        keys.map((_, at) => [at]),
      );
    },
  },
  {
    name: 'orders text by UTF-8 bytes, not by UTF-16 units',
    async run(opened) {
      const streams = ['\u{1f600}', '\ufb01', 'z', '', 'é', '\ue000', '\ud7ff', 'a', 'ab'];
      await record(
        opened,
        streams.map((stream) => scanAt(1, { stream })),
      );
      const read = await readAll(opened.ports.eventStore);
      assert.deepEqual(
        read.map((fact) => fact.streamId),
        [...streams].sort(compareText),
      );
      assert.equal(read.at(-1)?.streamId, '\u{1f600}');
    },
  },
  {
    name: 'orders sequences as numbers, with -1 (none) first',
    async run(opened) {
      const given = [10, 9, -1, 256, 0, 255, Number.MAX_SAFE_INTEGER, 65_536];
      await record(
        opened,
        given.map((sequence) => scanAt(1, { sequence })),
      );
      const read = await readAll(opened.ports.eventStore);
      assert.deepEqual(
        read.map((fact) => fact.sequence),
        given.toSorted((a, b) => a - b),
      );
    },
  },
];
