/**
 * The law of EventStore: what it keeps, what it answers, how it stamps. Histories are compared with the sorted set of the
 * distinct facts, which is what they mean (laws 2 to 5); one file, because it is one port.
 */
import assert from 'node:assert/strict';
import {
  compareKey,
  compareProcessingIds,
  compareProcessingTime,
  compareText,
  Fact,
  isProcessingId,
  limits,
  parseProcessingId,
  type AggregateKey,
  type AppendOutcome,
  type EventStore,
  type FactInit,
  type ProcessingTime,
  type ReadOptions,
} from '@concursus/core';
import fc from 'fast-check';
import { refused, type Contract, type Opened } from './contract.js';
import { delivered, deliveredTwice, factOf, histories, type FactSketch } from './event-arbitraries.js';

type World = Opened<'persistent'>;

const P1: AggregateKey = { tenant: '', type: 'parcel', id: 'p1' };

/** One append of new facts, at the clock's time. */
export async function record(opened: World, facts: readonly Fact[]): Promise<readonly AppendOutcome[]> {
  const [result] = await opened.ports.eventStore.append([{ facts, receivedAt: opened.clock.now() }]);
  return result!.outcomes;
}

export async function readAll(
  store: EventStore,
  key: AggregateKey = P1,
  options?: ReadOptions,
): Promise<readonly Fact[]> {
  const all: Fact[] = [];
  for await (const page of store.read(key, options)) {
    assert.ok(page.length > 0, 'no empty page');
    all.push(...page);
  }
  return all;
}

/** Everything of a fact that its sender gave. */
export function contentOf(fact: Fact | FactInit): unknown[] {
  return [
    fact.tenant,
    fact.aggregateType,
    fact.aggregateId,
    fact.eventTime,
    fact.streamId,
    fact.sequence,
    fact.name,
    fact.version,
    fact.content,
  ];
}

export const contents = (facts: readonly (Fact | FactInit)[]): unknown[][] => facts.map(contentOf);
const times = (facts: readonly Fact[]): number[] => facts.map((fact) => fact.eventTime);

/** What the histories of these facts are, whatever the way they came: per aggregate the distinct facts in key order. */
export function meaningOf(inits: readonly FactInit[]): ReadonlyMap<string, readonly Fact[]> {
  const byAggregate = new Map<string, Map<string, Fact>>();
  for (const init of inits) {
    const key = JSON.stringify([init.tenant, init.aggregateType, init.aggregateId]);
    let distinct = byAggregate.get(key);
    if (distinct === undefined) byAggregate.set(key, (distinct = new Map()));
    distinct.set(JSON.stringify(contentOf(init)), new Fact(init));
  }
  return new Map([...byAggregate].map(([key, distinct]) => [key, [...distinct.values()].sort(compareKey)]));
}

export function keyFrom(text: string): AggregateKey {
  const [tenant, type, id] = JSON.parse(text) as [string, string, string];
  return { tenant, type, id };
}

/** The greatest processing time among facts. */
function latest(facts: readonly Fact[]): ProcessingTime {
  return facts
    .map((fact) => parseProcessingId(fact.processingId))
    .reduce((a, b) => (compareProcessingTime(a, b) > 0 ? a : b));
}

/** A tenant for each run of a property, so that runs share a store and nothing in it. */
let tenants = 0;
const inTenant = (inits: readonly FactInit[], tenant: string): FactInit[] => inits.map((init) => ({ ...init, tenant }));
const nextTenant = (): string => `run${++tenants}`;

async function deliver(opened: World, batches: readonly (readonly FactInit[])[]): Promise<AppendOutcome[]> {
  const answers = await Promise.all(
    batches.map((batch) =>
      record(
        opened,
        batch.map((init) => new Fact(init)),
      ),
    ),
  );
  return answers.flat();
}

const scanAt = (at: number, more: FactSketch = {}): Fact => factOf({ ...more, at });

export const eventStoreContract: Contract<'persistent'> = {
  name: 'EventStore',
  cases: [
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
    {
      name: 'keeps a long history that arrives backwards in key order, and pages through it',
      async run(opened) {
        const { eventStore } = opened.ports;
        const length = 3_000;
        const all = Array.from({ length }, (_, i) => length - i);
        const facts = all.map((at) => scanAt(at));
        for (let i = 0; i < length; i += 250) {
          await eventStore.append(
            facts.slice(i, i + 250).map((fact) => ({ facts: [fact], receivedAt: opened.clock.now() })),
          );
        }
        const expected = all.toReversed();
        assert.deepEqual(times(await readAll(eventStore)), expected);
        assert.deepEqual(times(await readAll(eventStore, P1, { pageSize: 7 })), expected);
        assert.deepEqual(times(await readAll(eventStore, P1, { descending: true, pageSize: 501 })), all);
        for await (const page of eventStore.read(P1, { pageSize: 250 })) assert.ok(page.length <= 250);
        const [many] = await eventStore.readMany([P1]);
        assert.deepEqual(times(many!), expected);
      },
    },
    {
      name: 'reads ranges with inclusive, exclusive and open bounds, in both directions',
      async run(opened) {
        const { eventStore } = opened.ports;
        await record(
          opened,
          [5, 3, 1, 4, 2].map((at) => scanAt(at)),
        );
        await record(opened, [scanAt(3, { stream: 's' })]);
        const cases: [NonNullable<ReadOptions['range']>, number[]][] = [
          [{}, [1, 2, 3, 3, 4, 5]],
          [{ from: 2 }, [2, 3, 3, 4, 5]],
          [{ from: 2, fromExclusive: true }, [3, 3, 4, 5]],
          [{ to: 3 }, [1, 2, 3, 3]],
          [{ to: 3, toExclusive: true }, [1, 2]],
          [{ from: 2, to: 4 }, [2, 3, 3, 4]],
          [{ from: 2, fromExclusive: true, to: 4, toExclusive: true }, [3, 3]],
          [{ from: 3, to: 3 }, [3, 3]],
          [{ from: 3, fromExclusive: true, to: 3 }, []],
          [{ from: 3, to: 3, toExclusive: true }, []],
          [{ from: 4, to: 2 }, []],
          [{ from: 6 }, []],
          [{ to: 0 }, []],
          [{ from: -5, to: 9 }, [1, 2, 3, 3, 4, 5]],
        ];
        for (const [range, expected] of cases) {
          const say = JSON.stringify(range);
          assert.deepEqual(times(await readAll(eventStore, P1, { range })), expected, say);
          assert.deepEqual(times(await readAll(eventStore, P1, { range, pageSize: 1 })), expected, say);
          const down = await readAll(eventStore, P1, { range, descending: true, pageSize: 2 });
          assert.deepEqual(times(down), expected.toReversed(), say);
          const [many] = await eventStore.readMany([P1], { range });
          assert.deepEqual(times(many!), expected, say);
        }
      },
    },
    {
      name: 'reads only the names asked for',
      async run(opened) {
        const { eventStore } = opened.ports;
        await record(opened, [scanAt(1), scanAt(2, { name: 'loaded' }), scanAt(3), scanAt(4, { name: 'delivered' })]);
        assert.deepEqual(times(await readAll(eventStore, P1, { names: ['loaded', 'delivered'] })), [2, 4]);
        assert.deepEqual(times(await readAll(eventStore, P1, { names: ['scanned'], pageSize: 1 })), [1, 3]);
        assert.deepEqual(times(await readAll(eventStore, P1, { names: ['unheard'] })), []);
        const [many] = await eventStore.readMany([P1], { names: ['scanned'], descending: true });
        assert.deepEqual(times(many!), [3, 1]);
      },
    },
    {
      name: 'does not lose or repeat conflicting contents at the edge of a page',
      async run(opened) {
        const { eventStore } = opened.ports;
        const facts = [1, 2, 3].flatMap((at) => [1, 2, 3, 4].map((n) => scanAt(at, { parameters: { n } })));
        const expected = contents(facts.toSorted(compareKey));
        await record(opened, facts);
        for (const pageSize of [1, 2, 3, 5]) {
          assert.deepEqual(contents(await readAll(eventStore, P1, { pageSize })), expected);
          const down = await readAll(eventStore, P1, { pageSize, descending: true });
          assert.deepEqual(contents(down), expected.toReversed());
        }
      },
    },
    {
      name: 'reads on behind a page that was read when events were recorded before and after it',
      async run(opened) {
        const { eventStore } = opened.ports;
        await record(
          opened,
          [10, 20, 30].map((at) => scanAt(at)),
        );
        const seen: number[] = [];
        for await (const page of eventStore.read(P1, { pageSize: 1 })) {
          seen.push(...times(page));
          if (seen.length === 1) await record(opened, [scanAt(5), scanAt(25)]);
        }
        assert.deepEqual(
          seen.filter((at) => at === 10 || at === 20 || at === 30),
          [10, 20, 30],
        );
        assert.deepEqual(
          seen,
          seen.toSorted((a, b) => a - b),
        );
        assert.ok(!seen.includes(5), 'what is recorded before the place read so far is not seen');
      },
    },
    {
      name: 'yields no page for an unknown aggregate and an empty list among many',
      async run(opened) {
        await record(opened, [scanAt(1)]);
        assert.deepEqual(await readAll(opened.ports.eventStore, { ...P1, id: 'nobody' }), []);
        const many = await opened.ports.eventStore.readMany([{ ...P1, id: 'nobody' }, P1, { ...P1, tenant: 'x' }, P1]);
        assert.deepEqual(many.map(times), [[], [1], [], [1]]);
        assert.deepEqual(await opened.ports.eventStore.readMany([]), []);
      },
    },
    {
      name: 'ends a read early and without an error when the signal aborts',
      async run(opened) {
        await record(
          opened,
          [1, 2, 3, 4].map((at) => scanAt(at)),
        );
        const stop = new AbortController();
        const seen: number[] = [];
        for await (const page of opened.ports.eventStore.read(P1, { pageSize: 1, signal: stop.signal })) {
          seen.push(...times(page));
          if (seen.length === 2) stop.abort();
        }
        assert.deepEqual(seen, [1, 2]);
        assert.deepEqual(await readAll(opened.ports.eventStore, P1, { signal: AbortSignal.abort() }), []);
      },
    },
    {
      name: 'keeps its histories when a caller changes what a read returned',
      async run(opened) {
        const { eventStore } = opened.ports;
        await record(opened, [scanAt(1), scanAt(2)]);
        for await (const page of eventStore.read(P1)) (page as Fact[]).length = 0;
        const [many] = await eventStore.readMany([P1]);
        (many as Fact[]).reverse();
        assert.deepEqual(times(await readAll(eventStore)), [1, 2]);
      },
    },
    {
      name: 'stamps new facts with a processing id and time, one time an append, and leaves repeats unstamped',
      async run(opened) {
        opened.clock.set(1_700_000_000_000);
        const facts = [scanAt(1), scanAt(2), scanAt(1)];
        await record(opened, facts);
        assert.deepEqual(
          facts.map((fact) => fact.processedAt),
          [1_700_000_000_000, 1_700_000_000_000, -1],
        );
        assert.equal(facts[2]!.processingId, '');
        for (const fact of facts.slice(0, 2)) {
          assert.ok(isProcessingId(fact.processingId));
          assert.equal(parseProcessingId(fact.processingId).ms, fact.processedAt);
        }
        assert.equal(
          compareProcessingTime(parseProcessingId(facts[0]!.processingId), parseProcessingId(facts[1]!.processingId)),
          0,
        );
        assert.notEqual(facts[0]!.processingId, facts[1]!.processingId);
        const read = await readAll(opened.ports.eventStore);
        assert.deepEqual(
          read.map((fact) => fact.processingId),
          facts.slice(0, 2).map((fact) => fact.processingId),
        );
      },
    },
    {
      name: 'gives each append of a call a processing time of its own: when it was received',
      async run(opened) {
        const received = [
          1_700_000_000_000, 1_700_000_005_000, 1_700_000_005_000, 1_600_000_000_000, 1_700_000_006_000,
        ];
        const facts = received.map((_, at) => scanAt(at));
        await opened.ports.eventStore.append(facts.map((fact, i) => ({ facts: [fact], receivedAt: received[i]! })));
        assert.deepEqual(
          facts.map((fact) => fact.processedAt),
          [1_700_000_000_000, 1_700_000_005_000, 1_700_000_005_000, 1_700_000_005_000, 1_700_000_006_000],
        );
        for (let i = 1; i < facts.length; i++) {
          const [before, after] = [
            parseProcessingId(facts[i - 1]!.processingId),
            parseProcessingId(facts[i]!.processingId),
          ];
          assert.ok(compareProcessingTime(before, after) < 0, `append ${i} is above the one before`);
        }
      },
    },
    {
      name: 'gives ascending processing ids in feed order when the clock stands still or steps back',
      async run(opened) {
        const { clock } = opened;
        for (const [step, at] of [0, 0, -5_000, 1, -100_000, 0, 3, 2_000].entries()) {
          clock.set(clock.now() + at);
          await record(opened, [scanAt(step), scanAt(step + 100)]);
        }
        const { facts } = await opened.ports.eventFeed.read(opened.ports.eventFeed.start(), 1_000);
        assert.equal(facts.length, 16);
        for (let i = 1; i < facts.length; i++) {
          assert.ok(compareProcessingIds(facts[i - 1]!.processingId, facts[i]!.processingId) < 0);
        }
      },
    },
    {
      name: 'gives every event of the largest append an id of its own',
      async run(opened) {
        const facts = Array.from({ length: limits.appendEvents }, (_, at) => scanAt(at, { id: `p${at % 100}` }));
        const outcomes = await record(opened, facts);
        assert.ok(outcomes.every((outcome) => outcome === 'recorded'));
        assert.equal(new Set(facts.map((fact) => fact.processingId)).size, limits.appendEvents);
        const { facts: read, atEnd } = await opened.ports.eventFeed.read(opened.ports.eventFeed.start(), 1);
        assert.equal(read.length, limits.appendEvents, 'a page ends on an append’s edge');
        assert.ok(atEnd);
      },
    },
    {
      name: 'refuses an append of nothing or of too much before any part of the call is stored',
      needs: 'atomicAppend',
      async run(opened) {
        const { eventStore, eventFeed } = opened.ports;
        const receivedAt = opened.clock.now();
        const tooMany = Array.from({ length: limits.appendEvents + 1 }, (_, at) => scanAt(at));
        for (const facts of [[], tooMany]) {
          await refused('LIMIT_EXCEEDED', () =>
            eventStore.append([
              { facts: [scanAt(1)], receivedAt },
              { facts, receivedAt },
            ]),
          );
        }
        assert.deepEqual(await readAll(eventStore), []);
        assert.deepEqual((await eventFeed.read(eventFeed.start(), 10)).facts, []);
      },
    },
    {
      name: 'refuses more histories at once than it promises to read',
      async run(opened) {
        const keys = Array.from({ length: 10_001 }, (_, i) => ({ ...P1, id: `p${i}` }));
        await refused('LIMIT_EXCEEDED', () => opened.ports.eventStore.readMany(keys));
        assert.equal((await opened.ports.eventStore.readMany(keys.slice(1))).length, 10_000);
      },
    },
    {
      name: 'takes a call without appends as done',
      async run(opened) {
        assert.deepEqual(await opened.ports.eventStore.append([]), []);
      },
    },
    {
      name: 'answers positions that cover what was appended, also what was found stored',
      async run(opened) {
        const { eventStore, eventFeed } = opened.ports;
        const append = async (...facts: Fact[]) =>
          (await eventStore.append([{ facts, receivedAt: opened.clock.now() }]))[0]!.position;
        const first = await append(scanAt(1));
        const second = await append(scanAt(2));
        const repeated = await append(scanAt(1));
        assert.ok(second.covers(first) && !first.covers(second));
        assert.ok(repeated.covers(first));
        assert.ok((await eventFeed.end()).covers(second));
        assert.ok(!eventFeed.start().covers(first));
        const page = await eventFeed.read(first, 100);
        assert.deepEqual(times(page.facts), [2]);
      },
    },
    {
      name: 'reads a history up to a position of the feed',
      async run(opened) {
        const { eventStore } = opened.ports;
        const at: Awaited<ReturnType<typeof eventStore.append>>[number]['position'][] = [];
        for (const eventTime of [5, 1, 3, 2, 4]) {
          const receivedAt = opened.clock.now();
          const [result] = await eventStore.append([
            { facts: [scanAt(eventTime), scanAt(eventTime + 10)], receivedAt },
          ]);
          at.push(result!.position);
        }
        const expected = [
          [5, 15],
          [1, 5, 11, 15],
          [1, 3, 5, 11, 13, 15],
          [1, 2, 3, 5, 11, 12, 13, 15],
        ];
        for (const [i, upTo] of at.slice(0, 4).entries()) {
          assert.deepEqual(times(await readAll(eventStore, P1, { upTo })), expected[i]);
          assert.deepEqual(times(await readAll(eventStore, P1, { upTo, pageSize: 1 })), expected[i]);
          const [many] = await eventStore.readMany([P1], { upTo, descending: true });
          assert.deepEqual(times(many!), expected[i]!.toReversed());
        }
        assert.deepEqual(await readAll(eventStore, P1, { upTo: opened.ports.eventFeed.start() }), []);
        assert.equal((await readAll(eventStore, P1, { upTo: at[4]! })).length, 10);
      },
    },
    {
      name: 'answers as known at a processing time, and never changes that answer',
      needs: 'knownAt',
      async run(opened) {
        const { eventStore } = opened.ports;
        const known: { at: ProcessingTime; history: readonly Fact[] }[] = [];
        for (const [i, at] of [50, 10, 30, 20, 40, 60, 5].entries()) {
          // Several appends in one millisecond differ by ticks.
          if (i % 3 === 0) await opened.clock.advance(1);
          const fact = scanAt(at);
          await record(opened, [fact, scanAt(at, { parameters: { i } })]);
          known.push({ at: parseProcessingId(fact.processingId), history: await readAll(eventStore) });
          for (const { at: knownAt, history } of known) {
            assert.deepEqual(contents(await readAll(eventStore, P1, { knownAt })), contents(history));
            assert.deepEqual(contents(await readAll(eventStore, P1, { knownAt, pageSize: 3 })), contents(history));
            const [many] = await eventStore.readMany([P1], { knownAt });
            assert.deepEqual(contents(many!), contents(history));
          }
        }
        assert.deepEqual(await readAll(eventStore, P1, { knownAt: { ms: known[0]!.at.ms - 1, tick: 9_999 } }), []);
        const all = await readAll(eventStore, P1, { knownAt: latest(known.at(-1)!.history) });
        assert.equal(all.length, 14);
      },
      async refuses(opened) {
        await record(opened, [scanAt(1)]);
        const knownAt = { ms: opened.clock.now(), tick: 0 };
        await refused('CAPABILITY_MISSING', () => readAll(opened.ports.eventStore, P1, { knownAt }));
        await refused('CAPABILITY_MISSING', () => opened.ports.eventStore.readMany([P1], { knownAt }));
      },
    },
    {
      name: 'gives no processing time at or below a kept floor any more',
      async run(opened) {
        const { eventStore } = opened.ports;
        const start = opened.clock.now();
        await record(opened, [scanAt(1)]);
        await eventStore.keepFloor(start + 10);
        await eventStore.keepFloor(start - 10);
        const after = scanAt(2);
        await record(opened, [after]);
        assert.ok(after.processedAt > start + 10, `${after.processedAt} is above the floor`);
        await eventStore.keepFloor(after.processedAt);
        const last = scanAt(3);
        await record(opened, [last]);
        assert.ok(last.processedAt > after.processedAt);
        assert.equal((await readAll(eventStore)).length, 3);
      },
    },
    {
      name: 'closes the past at a floor for appends under way: visible after it, or above it',
      async run(opened) {
        const { eventStore } = opened.ports;
        const floor = opened.clock.now() + 5;
        const facts = Array.from({ length: 40 }, (_, at) => scanAt(at));
        const appends: Promise<unknown>[] = [];
        let known: readonly Fact[] = [];
        let kept: Promise<void> | undefined;
        for (const [i, fact] of facts.entries()) {
          appends.push(eventStore.append([{ facts: [fact], receivedAt: floor - 5 + (i % 11) }]));
          if (i === 20) kept = eventStore.keepFloor(floor).then(async () => void (known = await readAll(eventStore)));
        }
        await kept;
        await Promise.all(appends);
        const early = (await readAll(eventStore)).filter((fact) => fact.processedAt <= floor);
        assert.deepEqual(contents(known.filter((fact) => fact.processedAt <= floor)), contents(early));
      },
    },
    {
      name: 'stores a checkpoint with an append, all or nothing',
      needs: 'appendWithCheckpoint',
      async run(opened) {
        const { eventStore, checkpointStore } = opened.ports;
        const append = (at: number, value: string, epoch: number) =>
          eventStore.append([{ facts: [scanAt(at)], receivedAt: opened.clock.now() }], {
            checkpoint: { name: 'load', value, epoch },
          });
        await append(1, 'one', 0);
        assert.equal(await checkpointStore.read('load'), 'one');
        const owner = await checkpointStore.claim('load', 'me', undefined);
        assert.ok(owner !== undefined);
        await refused('LEASE_LOST', () => append(2, 'two', 0));
        await refused('LEASE_LOST', () => append(2, 'two', owner.epoch + 1));
        assert.equal(await checkpointStore.read('load'), 'one');
        assert.deepEqual(times(await readAll(eventStore)), [1], 'nothing of a refused append is stored');
        await append(3, 'three', owner.epoch);
        await append(1, 'four', owner.epoch);
        assert.equal(await checkpointStore.read('load'), 'four', 'also when every fact was a repeat');
        assert.deepEqual(times(await readAll(eventStore)), [1, 3]);
      },
      async refuses(opened) {
        const receivedAt = opened.clock.now();
        const checkpoint = { name: 'load', value: 'one', epoch: 0 };
        await refused('CAPABILITY_MISSING', () =>
          opened.ports.eventStore.append([{ facts: [scanAt(1)], receivedAt }], { checkpoint }),
        );
        assert.deepEqual(await readAll(opened.ports.eventStore), []);
      },
    },
    {
      name: 'loses nothing of what many writers append at once',
      async run(opened) {
        const { eventStore, eventFeed } = opened.ports;
        const writers = 8;
        const each = 25;
        const write = async (writer: number): Promise<void> => {
          for (let i = 0; i < each; i++) {
            const outcomes = await record(opened, [
              scanAt(i, { stream: `w${writer}` }),
              scanAt(i, { id: `w${writer}` }),
            ]);
            assert.deepEqual(outcomes, ['recorded', 'recorded']);
          }
        };
        await Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
        assert.equal((await readAll(eventStore)).length, writers * each);
        for (let writer = 0; writer < writers; writer++) {
          const own = await readAll(eventStore, { ...P1, id: `w${writer}` });
          assert.deepEqual(
            times(own),
            Array.from({ length: each }, (_, i) => i),
          );
        }
        const { facts } = await eventFeed.read(eventFeed.start(), 10_000);
        assert.equal(facts.length, 2 * writers * each);
        assert.equal(new Set(facts.map((fact) => fact.processingId)).size, facts.length);
      },
    },
    {
      name: 'refuses every call after close, and what was acknowledged before it is not half done',
      async run(opened) {
        const { eventStore, eventFeed } = opened.ports;
        const inFlight = Array.from({ length: 20 }, (_, at) => record(opened, [scanAt(at)]));
        const settled = Promise.allSettled(inFlight);
        await opened.close();
        for (const answer of await settled) {
          if (answer.status === 'fulfilled') assert.deepEqual(answer.value, ['recorded']);
          else await refused('STORE_CLOSED', () => Promise.reject(answer.reason as Error));
        }
        await refused('STORE_CLOSED', () => record(opened, [scanAt(99)]));
        await refused('STORE_CLOSED', () => readAll(eventStore));
        await refused('STORE_CLOSED', () => eventStore.readMany([P1]));
        await refused('STORE_CLOSED', () => eventStore.keepFloor(1));
        await refused('STORE_CLOSED', () => eventFeed.end());
        await opened.close();
      },
    },
    {
      name: 'holds after a restart what it acknowledged: facts, order, stamps, repeats and floors',
      needs: 'survivesRestart',
      async run(opened) {
        await record(opened, [scanAt(2), scanAt(1), scanAt(2, { parameters: { n: 1 } })]);
        await record(opened, [scanAt(1)]);
        const before = await readAll(opened.ports.eventStore, P1, { withRepeats: true });
        const floor = opened.clock.now() + 1_000;
        await opened.ports.eventStore.keepFloor(floor);
        const again = await opened.reopen!();
        const after = await readAll(again.ports.eventStore, P1, { withRepeats: true });
        assert.deepEqual(contents(after), contents(before));
        assert.deepEqual(
          after.map((fact) => [fact.processingId, fact.processedAt, fact.repeats]),
          before.map((fact) => [fact.processingId, fact.processedAt, fact.repeats]),
        );
        again.clock.set(again.clock.now() - 60_000);
        const late = scanAt(3);
        assert.deepEqual(await record(again, [late, scanAt(1), scanAt(2, { parameters: { n: 2 } })]), [
          'recorded',
          'repeated',
          'conflicting',
        ]);
        assert.ok(late.processedAt > floor, 'the floor is kept and the ids go on above it');
        const { facts } = await again.ports.eventFeed.read(again.ports.eventFeed.start(), 100);
        assert.equal(facts.length, 5);
      },
    },
    {
      name: 'holds after a restart whatever was acknowledged when it was closed in mid-flight',
      needs: 'survivesRestart',
      async run(opened) {
        const inFlight = Array.from({ length: 30 }, (_, at) => record(opened, [scanAt(at), scanAt(at + 1_000)]));
        const settled = Promise.allSettled(inFlight);
        const again = await opened.reopen!();
        const stored = new Set(times(await readAll(again.ports.eventStore)));
        for (const [at, answer] of (await settled).entries()) {
          if (answer.status === 'fulfilled') assert.ok(stored.has(at), `${at} was acknowledged`);
          assert.equal(stored.has(at), stored.has(at + 1_000), `append ${at} is whole`);
        }
      },
    },
    {
      name: 'is one store for two processes: one of them records, both read, ids ascend over both',
      needs: 'multiProcess',
      async run(opened) {
        const other = await opened.another!();
        const answers = await Promise.all(
          Array.from({ length: 20 }, (_, at) => [record(opened, [scanAt(at)]), record(other, [scanAt(at)])]).flat(),
        );
        assert.equal(answers.flat().filter((outcome) => outcome === 'recorded').length, 20);
        for (const { ports } of [opened, other]) {
          assert.deepEqual(
            times(await readAll(ports.eventStore)),
            Array.from({ length: 20 }, (_, at) => at),
          );
          const { facts } = await ports.eventFeed.read(ports.eventFeed.start(), 100);
          for (let i = 1; i < facts.length; i++) {
            assert.ok(compareProcessingIds(facts[i - 1]!.processingId, facts[i]!.processingId) < 0);
          }
        }
        const floor = opened.clock.now() + 5_000;
        await opened.ports.eventStore.keepFloor(floor);
        const above = scanAt(100);
        await record(other, [above]);
        assert.ok(above.processedAt > floor, 'a floor holds in every process');
      },
    },
    {
      name: 'law 2: any two deliveries of the same facts come to the same histories',
      async run(opened, { runs }) {
        await fc.assert(
          fc.asyncProperty(deliveredTwice(histories()), async ({ items, one, other }) => {
            for (const delivery of [one, other]) {
              const tenant = nextTenant();
              await deliver(
                opened,
                delivery.map((batch) => inTenant(batch, tenant)),
              );
              for (const [text, expected] of meaningOf(inTenant(items, tenant))) {
                const read = await readAll(opened.ports.eventStore, keyFrom(text));
                assert.deepEqual(contents(read), contents(expected));
              }
            }
          }),
          { numRuns: runs },
        );
      },
    },
    {
      name: 'law 3: of any delivery each distinct fact is stored once, each repeat is counted, each conflict is told',
      async run(opened, { runs }) {
        await fc.assert(
          fc.asyncProperty(delivered(histories()), async ({ items, batches }) => {
            const tenant = nextTenant();
            const outcomes = await deliver(
              opened,
              batches.map((batch) => inTenant(batch, tenant)),
            );
            let distinct = 0;
            let identities = 0;
            let repeats = 0;
            for (const [text, expected] of meaningOf(inTenant(items, tenant))) {
              distinct += expected.length;
              identities += new Set(
                expected.map((fact) => JSON.stringify([fact.eventTime, fact.streamId, fact.sequence, fact.name])),
              ).size;
              const read = await readAll(opened.ports.eventStore, keyFrom(text), { withRepeats: true });
              assert.equal(read.length, expected.length);
              for (const fact of read) repeats += fact.repeats;
            }
            const count = (outcome: AppendOutcome): number => outcomes.filter((each) => each === outcome).length;
            assert.equal(count('recorded'), identities);
            assert.equal(count('conflicting'), distinct - identities);
            assert.equal(count('repeated'), outcomes.length - distinct);
            assert.equal(repeats, count('repeated'));
          }),
          { numRuns: runs },
        );
      },
    },
    {
      name: 'law 4: key order is total and free of arrival, whatever page size and direction',
      async run(opened, { runs }) {
        const pageSizes = fc.integer({ min: 1, max: 5 });
        await fc.assert(
          fc.asyncProperty(
            delivered(histories({ id: 'one', lengthMax: 20 })),
            pageSizes,
            async ({ batches }, pageSize) => {
              const tenant = nextTenant();
              await deliver(
                opened,
                batches.map((batch) => inTenant(batch, tenant)),
              );
              const key = { tenant, type: 'parcel', id: 'one' };
              const read = await readAll(opened.ports.eventStore, key, { pageSize });
              for (let i = 1; i < read.length; i++) assert.ok(compareKey(read[i - 1]!, read[i]!) < 0);
              const down = await readAll(opened.ports.eventStore, key, { pageSize, descending: true });
              assert.deepEqual(contents(down), contents(read.toReversed()));
            },
          ),
          { numRuns: runs },
        );
      },
    },
    {
      name: 'law 5: what was known at a processing time stays, whatever arrives later',
      needs: 'knownAt',
      async run(opened, { runs }) {
        await fc.assert(
          fc.asyncProperty(delivered(histories({ id: 'one' })), async ({ batches }) => {
            const tenant = nextTenant();
            const key = { tenant, type: 'parcel', id: 'one' };
            let half: { knownAt: ProcessingTime; answer: unknown[][] } | undefined;
            for (const [i, batch] of batches.entries()) {
              await record(
                opened,
                inTenant(batch, tenant).map((init) => new Fact(init)),
              );
              if (half !== undefined || i < Math.floor(batches.length / 2)) continue;
              const now = await readAll(opened.ports.eventStore, key);
              half = { knownAt: latest(now), answer: contents(now) };
            }
            const { knownAt, answer } = half!;
            assert.deepEqual(contents(await readAll(opened.ports.eventStore, key, { knownAt })), answer);
          }),
          { numRuns: runs },
        );
      },
    },
  ],
};
