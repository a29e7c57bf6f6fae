/** Cases of EventStore: ranges, names, pages, positions, and what was known when (law 5). */
import assert from 'node:assert/strict';
import { compareKey, Fact, parseProcessingId, type ProcessingTime, type ReadOptions } from '@concursus/core';
import { refused, type ContractCase } from './contract.js';
import { P1, record, readAll, contents, times, latest, scanAt } from './history-checks.js';

export const readingCases: readonly ContractCase<'persistent'>[] = [
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
    name: 'refuses more histories at once than it promises to read',
    async run(opened) {
      const keys = Array.from({ length: 10_001 }, (_, i) => ({ ...P1, id: `p${i}` }));
      await refused('LIMIT_EXCEEDED', () => opened.ports.eventStore.readMany(keys));
      assert.equal((await opened.ports.eventStore.readMany(keys.slice(1))).length, 10_000);
    },
  },
  {
    name: 'reads a history up to a position of the feed',
    async run(opened) {
      const { eventStore } = opened.ports;
      const at: Awaited<ReturnType<typeof eventStore.append>>[number]['position'][] = [];
      for (const eventTime of [5, 1, 3, 2, 4]) {
        const receivedAt = opened.clock.now();
        const [result] = await eventStore.append([{ facts: [scanAt(eventTime), scanAt(eventTime + 10)], receivedAt }]);
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
    name: 'reads up to a position what stood there, also when more is recorded between two pages',
    async run(opened) {
      const { eventStore, eventFeed } = opened.ports;
      await record(
        opened,
        [1, 2, 3].map((at) => scanAt(at)),
      );
      const upTo = await eventFeed.end();
      const read: Fact[] = [];
      for await (const page of eventStore.read(P1, { upTo, pageSize: 1 })) {
        read.push(...page);
        await record(opened, [scanAt(10 + read.length)]);
      }
      assert.deepEqual(times(read), [1, 2, 3]);
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
];
