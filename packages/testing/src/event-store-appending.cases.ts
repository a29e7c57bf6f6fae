/** Cases of EventStore: stamps, floors, checkpoints, many writers, restarts and the end. */
import assert from 'node:assert/strict';
import {
  compareProcessingIds,
  compareProcessingTime,
  Fact,
  isProcessingId,
  limits,
  parseProcessingId,
  type AppendOutcome,
} from '@concursus/core';
import { refused, type ContractCase } from './contract.js';
import { P1, record, readAll, contents, times, scanAt } from './history-checks.js';

export const appendingCases: readonly ContractCase<'persistent'>[] = [
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
      const received = [1_700_000_000_000, 1_700_000_005_000, 1_700_000_005_000, 1_600_000_000_000, 1_700_000_006_000];
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
          const outcomes = await record(opened, [scanAt(i, { stream: `w${writer}` }), scanAt(i, { id: `w${writer}` })]);
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
    name: 'is one store for two processes: one of them records, or at once both, both read, ids ascend over both',
    needs: 'multiProcess',
    async run(opened) {
      const other = await opened.another!();
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, at) => [record(opened, [scanAt(at)]), record(other, [scanAt(at)])]).flat(),
      );
      // At the same moment both may say so, where a store has several writers; it is one event all the same.
      const recorded = (outcomes: readonly AppendOutcome[]): number =>
        outcomes.filter((outcome) => outcome === 'recorded').length;
      for (let at = 0; at < 20; at++) assert.ok(recorded([...answers[at * 2]!, ...answers[at * 2 + 1]!]) >= 1);
      const again = await Promise.all([opened, other].map((each) => record(each, [scanAt(3), scanAt(7)])));
      assert.equal(recorded(again.flat()), 0, 'one after the other only the first records');
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
];
