/** The law of EventFeed: every recorded fact once, in recorded order, nothing skipped, positions that stay good. */
import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import {
  compareProcessingIds,
  Fact,
  type EventFeed,
  type FactInit,
  type FeedPage,
  type Position,
} from '@concursus/core';
import fc from 'fast-check';
import { refused, soon, type Contract } from './contract.js';
import { delivered, factOf, histories, type FactSketch } from './event-arbitraries.js';
import { contentOf, contents, meaningOf, readAll, record } from './history-checks.js';

const scanAt = (at: number, more: FactSketch = {}): Fact => factOf({ ...more, at });
const times = (facts: readonly Fact[]): number[] => facts.map((fact) => fact.eventTime);

/** Reads to the end, page by page. */
async function follow(feed: EventFeed, from: Position, limit: number): Promise<{ facts: Fact[]; next: Position }> {
  const facts: Fact[] = [];
  for (;;) {
    const page: FeedPage = await feed.read(from, limit);
    facts.push(...page.facts);
    assert.ok(page.next.covers(from), 'a page never goes back');
    if (from.covers(page.next)) {
      assert.deepEqual(page.facts, [], 'a page with facts moves on');
      assert.ok(page.atEnd, 'a page that does not move on is the end');
      assert.equal(page.next.toString(), from.toString(), 'next is where it was when there was nothing');
      return { facts, next: page.next };
    }
    from = page.next;
  }
}

/** What every EventFeed promises, filled through the EventStore of the same layer. */
export const eventFeedContract: Contract<'persistent'> = {
  name: 'EventFeed',
  cases: [
    {
      name: 'is at its end, at its start, while nothing is recorded',
      async run({ ports: { eventFeed } }) {
        const start = eventFeed.start();
        const page = await eventFeed.read(start, 10);
        assert.deepEqual(page.facts, []);
        assert.ok(page.atEnd);
        assert.equal(page.next.toString(), start.toString());
        const end = await eventFeed.end();
        assert.ok(start.covers(end) && end.covers(start));
      },
    },
    {
      name: 'gives facts in recorded order, whatever their event times, whole as they were recorded',
      async run(opened) {
        const given = [scanAt(5, { parameters: { n: 1 }, metadata: { by: 'me' } }), scanAt(1), scanAt(3, { id: 'p2' })];
        for (const fact of given) await record(opened, [fact]);
        const { facts } = await follow(opened.ports.eventFeed, opened.ports.eventFeed.start(), 100);
        assert.deepEqual(contents(facts), contents(given));
        assert.deepEqual(
          facts.map((fact) => [fact.processingId, fact.processedAt, fact.metadata]),
          given.map((fact) => [fact.processingId, fact.processedAt, fact.metadata]),
        );
      },
    },
    {
      name: 'leaves repeats out and has conflicting contents',
      async run(opened) {
        await record(opened, [scanAt(1), scanAt(1), scanAt(1, { parameters: { n: 1 } })]);
        await record(opened, [scanAt(1), scanAt(1, { parameters: { n: 1 } }), scanAt(1, { parameters: { n: 2 } })]);
        const { facts } = await follow(opened.ports.eventFeed, opened.ports.eventFeed.start(), 1);
        assert.deepEqual(
          facts.map((fact) => fact.content),
          ['{}', '{"n":1}', '{"n":2}'],
        );
      },
    },
    {
      name: 'goes on from where a page ended, in pages of any size, without gap or repeat',
      async run(opened) {
        const { eventFeed } = opened.ports;
        for (let i = 0; i < 40; i++) await record(opened, [scanAt(i * 2), scanAt(i * 2 + 1)]);
        for (const limit of [1, 2, 3, 7, 80, 1_000]) {
          const { facts, next } = await follow(eventFeed, eventFeed.start(), limit);
          assert.deepEqual(
            times(facts),
            Array.from({ length: 80 }, (_, i) => i),
          );
          assert.ok(next.covers(await eventFeed.end()));
        }
      },
    },
    {
      name: 'ends pages on an append’s edge',
      async run(opened) {
        const { eventFeed } = opened.ports;
        await record(opened, [scanAt(1), scanAt(2), scanAt(3)]);
        await record(opened, [scanAt(4)]);
        const first = await eventFeed.read(eventFeed.start(), 2);
        assert.deepEqual(times(first.facts), [1, 2, 3]);
        assert.ok(!first.atEnd);
        const second = await eventFeed.read(first.next, 2);
        assert.deepEqual(times(second.facts), [4]);
        assert.ok(second.atEnd);
      },
    },
    {
      name: 'gives the same facts from the same position again, also after more was recorded',
      async run(opened) {
        const { eventFeed } = opened.ports;
        await record(opened, [scanAt(1)]);
        const after = (await eventFeed.read(eventFeed.start(), 10)).next;
        for (const at of [2, 3, 4]) await record(opened, [scanAt(at)]);
        const once = await eventFeed.read(after, 2);
        await record(opened, [scanAt(0), scanAt(5)]);
        const again = await eventFeed.read(after, 2);
        assert.deepEqual(contents(again.facts), contents(once.facts));
        assert.equal(again.next.toString(), once.next.toString());
      },
    },
    {
      name: 'has an end that covers everything acknowledged, and a start that covers nothing',
      async run(opened) {
        const { eventFeed, eventStore } = opened.ports;
        const appended = await eventStore.append(
          [1, 2, 3].map((at) => ({ facts: [scanAt(at)], receivedAt: opened.clock.now() })),
        );
        const end = await eventFeed.end();
        for (const { position } of appended) {
          assert.ok(end.covers(position));
          assert.ok(!eventFeed.start().covers(position));
          assert.ok(position.join(end).covers(end) && end.join(position).covers(end));
        }
        assert.deepEqual((await eventFeed.read(end, 10)).facts, []);
      },
    },
    {
      name: 'reads a position back from its text, and refuses what is none',
      async run(opened) {
        const { eventFeed } = opened.ports;
        await record(opened, [scanAt(1)]);
        const { next } = await eventFeed.read(eventFeed.start(), 1);
        await record(opened, [scanAt(2)]);
        const parsed = eventFeed.parsePosition(next.toString());
        assert.ok(parsed.covers(next) && next.covers(parsed));
        assert.deepEqual(times((await eventFeed.read(parsed, 10)).facts), [2]);
        const start = eventFeed.parsePosition(eventFeed.start().toString());
        assert.deepEqual(times((await eventFeed.read(start, 10)).facts), [1, 2]);
        for (const text of ['', 'nowhere', '-1', `${next.toString()}x`, 'o1:-1', 'o1:1.5']) {
          await refused('INVALID_POSITION', () => eventFeed.parsePosition(text));
        }
      },
    },
    {
      name: 'wakes who waits when something is recorded, and at once when something is there already',
      async run(opened) {
        const { eventFeed } = opened.ports;
        const { signal } = new AbortController();
        const start = eventFeed.start();
        const first = eventFeed.wait(start, signal);
        await record(opened, [scanAt(1)]);
        await soon(first, opened.clock, 'the wait ends when a fact is recorded');
        await soon(eventFeed.wait(start, signal), opened.clock, 'the wait for what is there already ends');
        const end = await eventFeed.end();
        const all = [eventFeed.wait(end, signal), eventFeed.wait(end, signal)];
        await record(opened, [scanAt(2)]);
        await soon(Promise.all(all), opened.clock, 'every wait ends');
      },
    },
    {
      name: 'ends a wait without an error when the signal aborts or the store closes',
      async run(opened) {
        const { eventFeed } = opened.ports;
        const stop = new AbortController();
        const waiting = eventFeed.wait(eventFeed.start(), stop.signal);
        stop.abort();
        await soon(waiting, opened.clock, 'the aborted wait ends');
        await soon(eventFeed.wait(eventFeed.start(), AbortSignal.abort()), opened.clock, 'a wait aborted before ends');
        const last = eventFeed.wait(eventFeed.start(), new AbortController().signal).catch(() => undefined);
        await opened.close();
        await soon(last, opened.clock, 'the wait ends with the store');
        await refused('STORE_CLOSED', () => eventFeed.end());
        await refused('STORE_CLOSED', () => eventFeed.read(eventFeed.start(), 1));
      },
    },
    {
      name: 'has every fact of concurrent writers once, and a reader beside them passes over none (law 7)',
      async run(opened) {
        const { eventFeed } = opened.ports;
        const writers = 6;
        const each = 30;
        let writing = writers;
        const write = async (writer: number): Promise<void> => {
          for (let i = 0; i < each; i++) await record(opened, [scanAt(i, { id: `w${writer}` })]);
          writing -= 1;
        };
        const read = async (): Promise<Fact[]> => {
          const seen: Fact[] = [];
          let from = eventFeed.start();
          for (;;) {
            const done = writing === 0;
            const page = await eventFeed.read(from, 3);
            seen.push(...page.facts);
            assert.ok(seen.length <= writers * each, 'no fact comes twice');
            from = page.next;
            if (done && page.facts.length === 0) return seen;
            // A page may come without I/O: let the writers have their turn.
            await setImmediate();
          }
        };
        const [seen] = await Promise.all([read(), ...Array.from({ length: writers }, (_, writer) => write(writer))]);
        assert.equal(seen.length, writers * each);
        for (let writer = 0; writer < writers; writer++) {
          const own = seen.filter((fact) => fact.aggregateId === `w${writer}`);
          assert.deepEqual(
            times(own),
            Array.from({ length: each }, (_, i) => i),
          );
        }
        for (let i = 1; i < seen.length; i++) {
          assert.ok(compareProcessingIds(seen[i - 1]!.processingId, seen[i]!.processingId) < 0);
        }
      },
    },
    {
      name: 'keeps its positions over a restart',
      needs: 'survivesRestart',
      async run(opened) {
        for (const at of [3, 1, 2]) await record(opened, [scanAt(at)]);
        const { next } = await opened.ports.eventFeed.read(opened.ports.eventFeed.start(), 2);
        const again = await opened.reopen!();
        const { eventFeed } = again.ports;
        await record(again, [scanAt(0)]);
        const from = eventFeed.parsePosition(next.toString());
        assert.deepEqual(times((await follow(eventFeed, from, 1)).facts), [2, 0]);
        assert.deepEqual(times((await follow(eventFeed, eventFeed.start(), 10)).facts), [3, 1, 2, 0]);
      },
    },
    {
      name: 'wakes who waits in another process',
      needs: 'multiProcess',
      async run(opened) {
        const other = await opened.another!();
        const waiting = other.ports.eventFeed.wait(other.ports.eventFeed.start(), new AbortController().signal);
        await record(opened, [scanAt(1)]);
        await soon(waiting, opened.clock, 'the wait in the other process ends');
        const page = await other.ports.eventFeed.read(other.ports.eventFeed.start(), 10);
        assert.deepEqual(times(page.facts), [1]);
      },
    },
    {
      name: 'law 7: of any delivery the feed has every distinct fact exactly once, in pages of any size',
      async run(opened, { runs }) {
        const limits = fc.integer({ min: 1, max: 9 });
        let run = 0;
        await fc.assert(
          fc.asyncProperty(delivered(histories()), limits, async ({ items, batches }, limit) => {
            const tenant = `feed${++run}`;
            const inTenant = (inits: readonly FactInit[]): FactInit[] => inits.map((init) => ({ ...init, tenant }));
            const { eventFeed } = opened.ports;
            const from = await eventFeed.end();
            await Promise.all(
              batches.map((batch) =>
                record(
                  opened,
                  inTenant(batch).map((init) => new Fact(init)),
                ),
              ),
            );
            const { facts } = await follow(eventFeed, from, limit);
            const say = (fact: Fact): string => JSON.stringify(contentOf(fact));
            const expected = [...meaningOf(inTenant(items)).values()].flat().map(say);
            assert.deepEqual(facts.map(say).sort(), expected.sort());
            for (const fact of facts.slice(0, 1)) {
              const key = { tenant, type: fact.aggregateType, id: fact.aggregateId };
              const stored = await readAll(opened.ports.eventStore, key);
              assert.ok(
                stored.some((each) => each.processingId === fact.processingId),
                'feed and history name one fact by one id',
              );
            }
          }),
          { numRuns: runs },
        );
      },
    },
  ],
};
