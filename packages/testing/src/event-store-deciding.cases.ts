/** Cases of EventStore: decisions, of which exactly one counts on each head, and command ids that are answered once and for all. */
import assert from 'node:assert/strict';
import { limits, type AggregateKey, type DecisionAnswer, type DecisionAppend, type Fact } from '@concursus/core';
import { refused, type ContractCase } from './contract.js';
import { P1, readAll, record, scanAt, times, type World } from './history-checks.js';

const needs = 'conditionalAppend';

type Sketch = Partial<Omit<DecisionAppend, 'receivedAt'>>;

/** Decides of P1 on an empty head unless the sketch says otherwise. */
function decide(opened: World, sketch: Sketch): Promise<DecisionAnswer> {
  return opened.ports.eventStore.decide({
    aggregate: P1,
    head: 0,
    commandId: 'c',
    facts: [],
    result: '',
    receivedAt: opened.clock.now(),
    ...sketch,
  });
}

/** An answer without its position. */
async function answer(opened: World, sketch: Sketch): Promise<unknown> {
  const { outcome, head, ...rest } = await decide(opened, sketch);
  return 'result' in rest ? { outcome, head, result: rest.result } : { outcome, head };
}

/** As a provider without decisions refuses them. */
async function refuses(opened: World): Promise<void> {
  await refused('CAPABILITY_MISSING', () => decide(opened, { facts: [scanAt(1)] }));
  await refused('CAPABILITY_MISSING', () => opened.ports.eventStore.readHead(P1));
  assert.deepEqual(await readAll(opened.ports.eventStore), []);
}

/** Reads the head, then the history, decides by what is there, and begins again while others are faster. */
async function decideNext(opened: World, commandId: string, of: (history: readonly Fact[]) => number): Promise<void> {
  const { eventStore } = opened.ports;
  for (;;) {
    const head = await eventStore.readHead(P1);
    const fact = scanAt(of(await readAll(eventStore)));
    const { outcome } = await decide(opened, { head, commandId, facts: [fact] });
    if (outcome === 'decided') return;
    assert.equal(outcome, 'stale', 'nobody else has this command id');
  }
}

export const decidingCases: readonly ContractCase<'persistent'>[] = [
  {
    name: 'records the events of a decision with its head and its answer',
    needs,
    refuses,
    async run(opened) {
      const { eventStore, eventFeed } = opened.ports;
      assert.equal(await eventStore.readHead(P1), 0);
      const facts = [scanAt(1), scanAt(2)];
      const first = await decide(opened, { commandId: 'c1', facts, result: '{"ok":true}' });
      assert.ok(first.outcome === 'decided');
      assert.deepEqual([first.head, first.result], [1, '{"ok":true}']);
      assert.equal(await eventStore.readHead(P1), 1);
      const history = await readAll(eventStore);
      assert.deepEqual(times(history), [1, 2]);
      assert.deepEqual(
        history.map((fact) => fact.processingId),
        facts.map((fact) => fact.processingId),
        'stamped like those of an append',
      );
      const second = await decide(opened, { head: 1, commandId: 'c2', facts: [scanAt(3)], result: 'b' });
      assert.ok(second.outcome === 'decided');
      assert.equal(second.head, 2);
      assert.ok(second.position.covers(first.position) && !first.position.covers(second.position));
      assert.ok((await eventFeed.end()).covers(second.position));
      assert.deepEqual(times((await eventFeed.read(first.position, 10)).facts), [3]);
    },
  },
  {
    name: 'refuses a decision on an older head, or on one that is not there yet, as stale, and stores nothing of it',
    needs,
    refuses,
    async run(opened) {
      const { eventStore } = opened.ports;
      await decide(opened, { commandId: 'c1', facts: [scanAt(1)] });
      for (const head of [0, 2]) {
        const late = scanAt(2);
        assert.deepEqual(await answer(opened, { head, commandId: 'c2', facts: [late] }), { outcome: 'stale', head: 1 });
        assert.equal(late.processingId, '', 'left unstamped');
      }
      assert.equal(await eventStore.readHead(P1), 1);
      assert.deepEqual(times(await readAll(eventStore)), [1]);
      const again = await answer(opened, { head: 1, commandId: 'c2', facts: [scanAt(2)], result: 'r' });
      assert.deepEqual(again, { outcome: 'decided', head: 2, result: 'r' }, 'its command is not decided yet');
    },
  },
  {
    name: 'answers a command id that was decided the same again, whatever else is asked, and records nothing',
    needs,
    refuses,
    async run(opened) {
      const { eventStore } = opened.ports;
      await decide(opened, { commandId: 'c1', facts: [scanAt(1)], result: 'one' });
      await decide(opened, { head: 1, commandId: 'c2', facts: [scanAt(2)], result: 'two' });
      // As it came, on the head of now, on one that never was; with other events and another answer.
      for (const [head, at] of [
        [0, 1],
        [2, 8],
        [9, 9],
      ] as const) {
        const fact = scanAt(at);
        const again = await answer(opened, { head, commandId: 'c1', facts: [fact], result: 'other' });
        assert.deepEqual(again, { outcome: 'answered', head: 2, result: 'one' });
        assert.equal(fact.processingId, '');
      }
      assert.deepEqual(times(await readAll(eventStore)), [1, 2]);
      const history = await readAll(eventStore, P1, { withRepeats: true });
      assert.deepEqual(
        history.map((fact) => fact.repeats),
        [0, 0],
        'not even counted as repeats',
      );
    },
  },
  {
    name: 'leaves facts from elsewhere alone: they move no head, before or after, and none of them is refused',
    needs,
    refuses,
    async run(opened) {
      const { eventStore } = opened.ports;
      await record(opened, [scanAt(5)]);
      assert.equal(await eventStore.readHead(P1), 0);
      assert.deepEqual(await answer(opened, { commandId: 'c1', facts: [scanAt(1)] }), {
        outcome: 'decided',
        head: 1,
        result: '',
      });
      assert.deepEqual(await record(opened, [scanAt(3), scanAt(1)]), ['recorded', 'repeated']);
      assert.equal(await eventStore.readHead(P1), 1);
      // An event of a decision that is known already is one event, and the decision counts all the same.
      const second = await answer(opened, { head: 1, commandId: 'c2', facts: [scanAt(3), scanAt(4)] });
      assert.deepEqual(second, { outcome: 'decided', head: 2, result: '' });
      assert.deepEqual(times(await readAll(eventStore)), [1, 3, 4, 5]);
    },
  },
  {
    name: 'takes a decision without events, and one of as many and as large as the limits allow',
    needs,
    refuses,
    async run(opened) {
      const { eventStore, eventFeed } = opened.ports;
      const nothing = await decide(opened, { commandId: 'c1', result: 'refused: no such parcel' });
      assert.ok(nothing.outcome === 'decided');
      assert.ok((await eventFeed.end()).covers(nothing.position));
      assert.deepEqual(await readAll(eventStore), []);
      const each = Math.floor(limits.decisionBytes / limits.decisionEvents);
      const facts = Array.from({ length: limits.decisionEvents }, (_, at) =>
        scanAt(at, { parameters: { text: 'x'.repeat(each - 11) } }),
      );
      const result = 'ü'.repeat(limits.decisionResultBytes / 2);
      const large = await answer(opened, { head: 1, commandId: '\u{1f600}'.repeat(128), facts, result });
      assert.deepEqual(large, { outcome: 'decided', head: 2, result });
      assert.equal((await readAll(eventStore)).length, limits.decisionEvents);
      assert.deepEqual(await answer(opened, { commandId: '\u{1f600}'.repeat(128) }), {
        outcome: 'answered',
        head: 2,
        result,
      });
    },
  },
  {
    name: 'refuses what is beyond its bounds, and events of another aggregate, before anything is stored',
    needs,
    refuses,
    async run(opened) {
      const { eventStore } = opened.ports;
      const tooMany = Array.from({ length: limits.decisionEvents + 1 }, (_, at) => scanAt(at));
      const tooLarge = [scanAt(1, { parameters: { text: 'x'.repeat(limits.decisionBytes) } })];
      await refused('LIMIT_EXCEEDED', () => decide(opened, { facts: tooMany }));
      await refused('LIMIT_EXCEEDED', () => decide(opened, { facts: tooLarge }));
      await refused('LIMIT_EXCEEDED', () => decide(opened, { result: 'x'.repeat(limits.decisionResultBytes + 1) }));
      await refused('LIMIT_EXCEEDED', () => decide(opened, { commandId: 'x'.repeat(limits.idBytes + 1) }));
      await refused('INVALID_TEXT', () => decide(opened, { result: '\ud800' }));
      for (const commandId of ['', 'a\u0000b', '\ud800']) {
        await refused('INVALID_ID', () => decide(opened, { commandId }));
      }
      for (const head of [-1, 0.5, Number.NaN]) await refused('INVALID_ARGUMENT', () => decide(opened, { head }));
      await refused('INVALID_ARGUMENT', () => decide(opened, { epoch: -1 }));
      for (const other of [{ id: 'p2' }, { type: 'truck' }, { tenant: 't' }]) {
        await refused('INVALID_ARGUMENT', () => decide(opened, { facts: [scanAt(1), scanAt(2, other)] }));
      }
      assert.equal(await eventStore.readHead(P1), 0);
      assert.deepEqual(await readAll(eventStore), []);
    },
  },
  {
    name: 'keeps heads and command ids of aggregates and tenants apart',
    needs,
    refuses,
    async run(opened) {
      const { eventStore } = opened.ports;
      const keys: AggregateKey[] = [P1, { ...P1, id: 'p2' }, { ...P1, type: 'truck' }, { ...P1, tenant: 't' }];
      for (const [i, aggregate] of keys.entries()) {
        assert.equal(await eventStore.readHead(aggregate), 0);
        const fact = scanAt(1, { tenant: aggregate.tenant, type: aggregate.type, id: aggregate.id });
        const made = await answer(opened, { aggregate, commandId: 'c', facts: [fact], result: `${i}` });
        assert.deepEqual(made, { outcome: 'decided', head: 1, result: `${i}` });
      }
      for (const [i, aggregate] of keys.entries()) {
        const again = await answer(opened, { aggregate, commandId: 'c' });
        assert.deepEqual(again, { outcome: 'answered', head: 1, result: `${i}` });
        assert.equal((await readAll(eventStore, aggregate)).length, 1);
      }
    },
  },
  {
    name: 'refuses the epoch of a former owner once a later one decided, but still answers what was decided',
    needs,
    refuses,
    async run(opened) {
      const { eventStore } = opened.ports;
      await decide(opened, { commandId: 'c1', epoch: 1, facts: [scanAt(1)], result: 'one' });
      await decide(opened, { head: 1, commandId: 'c2', epoch: 3, facts: [scanAt(2)] });
      for (const epoch of [undefined, 1, 2]) {
        const options = epoch === undefined ? {} : { epoch };
        for (const head of [1, 2]) {
          const fact = scanAt(3);
          await refused('LEASE_LOST', () => decide(opened, { head, commandId: 'c3', facts: [fact], ...options }));
          assert.equal(fact.processingId, '');
        }
        const again = await answer(opened, { head: 0, commandId: 'c1', ...options });
        assert.deepEqual(again, { outcome: 'answered', head: 2, result: 'one' });
      }
      const next = await answer(opened, { head: 2, commandId: 'c3', epoch: 3, facts: [scanAt(3)] });
      assert.deepEqual(next, { outcome: 'decided', head: 3, result: '' });
      assert.deepEqual(times(await readAll(eventStore)), [1, 2, 3]);
    },
  },
  {
    name: 'of many who decide on one head at once lets exactly one, here and in another process',
    needs,
    refuses,
    async run(opened) {
      const other = (await opened.another?.()) ?? opened;
      const answers = await Promise.all(
        Array.from({ length: 8 }, (_, i) =>
          decide(i % 2 === 0 ? opened : other, { commandId: `c${i}`, facts: [scanAt(i)], result: `${i}` }),
        ),
      );
      const decided = answers.map((each) => each.outcome).indexOf('decided');
      for (const [i, each] of answers.entries()) {
        assert.deepEqual([each.outcome, each.head], [i === decided ? 'decided' : 'stale', 1]);
      }
      for (const { ports } of [opened, other]) {
        assert.equal(await ports.eventStore.readHead(P1), 1);
        assert.deepEqual(times(await readAll(ports.eventStore)), [decided]);
      }
    },
  },
  {
    name: 'of one command that comes many times at once decides it once, and answers the others the same',
    needs,
    refuses,
    async run(opened) {
      const other = (await opened.another?.()) ?? opened;
      const answers = await Promise.all(
        Array.from({ length: 8 }, (_, i) =>
          decide(i % 2 === 0 ? opened : other, { facts: [scanAt(i)], result: `${i}` }),
        ),
      );
      const decided = answers.filter((each) => each.outcome === 'decided');
      assert.equal(decided.length, 1);
      const at = answers.indexOf(decided[0]!);
      for (const each of answers) {
        assert.ok(each.outcome !== 'stale');
        assert.deepEqual([each.result, each.head], [`${at}`, 1]);
      }
      assert.deepEqual(times(await readAll(other.ports.eventStore)), [at]);
    },
  },
  {
    name: 'makes decisions serial: each sees the events of all before it, however many decide at once, while facts come in',
    needs,
    refuses,
    async run(opened) {
      const other = (await opened.another?.()) ?? opened;
      const deciders = 4;
      const each = 5;
      const own = (facts: readonly Fact[]): readonly Fact[] => facts.filter((fact) => fact.streamId === '');
      const run = async (world: World, decider: number): Promise<void> => {
        for (let i = 0; i < each; i++) {
          await decideNext(world, `${decider}/${i}`, (history) => own(history).length);
          await record(world, [scanAt(i, { stream: `s${decider}` })]);
        }
      };
      await Promise.all(Array.from({ length: deciders }, (_, i) => run(i % 2 === 0 ? opened : other, i)));
      const history = await readAll(opened.ports.eventStore);
      assert.deepEqual(
        times(own(history)),
        Array.from({ length: deciders * each }, (_, i) => i),
        'no number is missing and none came twice',
      );
      assert.equal(history.length, 2 * deciders * each);
      assert.equal(await other.ports.eventStore.readHead(P1), deciders * each);
    },
  },
  {
    name: 'knows heads, epochs and answers in every process, and after a restart where what is acknowledged survives one',
    needs,
    refuses,
    async run(opened) {
      await decide(opened, { commandId: 'c1', facts: [scanAt(1)], result: 'one', epoch: 2 });
      await decide(opened, { head: 1, commandId: 'c2', facts: [scanAt(2)], result: 'two', epoch: 2 });
      const other = (await opened.another?.()) ?? opened;
      const again = (await opened.reopen?.()) ?? opened;
      for (const world of [other, again]) {
        assert.equal(await world.ports.eventStore.readHead(P1), 2);
        assert.deepEqual(times(await readAll(world.ports.eventStore)), [1, 2]);
        assert.deepEqual(await answer(world, { commandId: 'c1' }), { outcome: 'answered', head: 2, result: 'one' });
        assert.deepEqual(await answer(world, { commandId: 'c3', epoch: 2 }), { outcome: 'stale', head: 2 });
        await refused('LEASE_LOST', () => decide(world, { head: 2, commandId: 'c3', epoch: 1 }));
      }
    },
  },
  {
    name: 'refuses decisions after close, and what was acknowledged before it is not half done',
    needs,
    refuses,
    async run(opened) {
      const { eventStore } = opened.ports;
      const inFlight = Array.from({ length: 10 }, (_, at) =>
        decide(opened, { aggregate: { ...P1, id: `p${at}` }, facts: [scanAt(1, { id: `p${at}` })] }),
      );
      const settled = Promise.allSettled(inFlight);
      await opened.close();
      for (const each of await settled) {
        if (each.status === 'fulfilled') assert.equal(each.value.outcome, 'decided');
        else await refused('STORE_CLOSED', () => Promise.reject(each.reason as Error));
      }
      await refused('STORE_CLOSED', () => decide(opened, {}));
      await refused('STORE_CLOSED', () => eventStore.readHead(P1));
    },
  },
];
