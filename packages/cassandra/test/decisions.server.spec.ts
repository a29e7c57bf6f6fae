/**
 * Goal: of decisions on Cassandra exactly one counts on each head, and its events are recorded before anybody is told of it,
 * also when whoever made it dies in between, or when nobody knows what became of its condition. Method: processes that are
 * killed, and a proxy that loses answers, on a real server.
 */
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Append, AppendResult, Layer } from '@concursus/core';
import { factOf, refused } from '@concursus/testing';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { Decisions } from '../src/decisions.js';
import { Session } from '../src/session.js';
import { CuttingProxy } from './cutting-proxy.js';
import { countOne, historyOf, P1, theDecision } from './deciding.js';
import { bareClient, cleanUp, contextOf, freshContext, openLayer, server, specOptions, startChild } from './support.js';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 60_000 });
afterAll(cleanUp);

const options = { leaseMs: 1_000, beatMs: 50 };

describe('a decision whose process died between its head and its events', () => {
  async function dying(context: string): Promise<Layer<'persistent'>> {
    const layer = await openLayer(context, options);
    const child = startChild('deciding-child.ts', [specOptions().keyspace!, context, 'die', '']);
    const [, signal] = (await once(child, 'exit')) as [number | null, string | null];
    expect(signal).toBe('SIGKILL');
    const client = await bareClient();
    const decided = await client.execute('SELECT head, facts FROM decision WHERE context = ? ALLOW FILTERING', [
      context,
    ]);
    expect(decided.first()?.get('head')?.toString()).toBe('1');
    await client.shutdown();
    expect(await historyOf(layer), 'nothing is recorded yet').toEqual([]);
    return layer;
  }

  const contents = (facts: readonly { eventTime: number; content: string; version: string }[]): unknown[] =>
    facts.map(({ eventTime, content, version }) => [eventTime, content, version]);

  it.each([
    ['reads the head', async ({ ports }: Layer<'persistent'>) => expect(await ports.eventStore.readHead(P1)).toBe(1)],
    [
      'brings its command again',
      async ({ ports }: Layer<'persistent'>) =>
        expect(await ports.eventStore.decide(theDecision({ result: 'other' }))).toEqual({
          outcome: 'answered',
          head: 1,
          result: '{"ok":true}',
        }),
    ],
    [
      'decides on its head without having been told of it',
      async ({ ports }: Layer<'persistent'>) => {
        const next = await ports.eventStore.decide(theDecision({ head: 1, commandId: 'c2', facts: [] }));
        expect([next.outcome, next.head]).toEqual(['decided', 2]);
      },
    ],
    [
      'decides on an older head',
      async ({ ports }: Layer<'persistent'>) =>
        expect(await ports.eventStore.decide(theDecision({ commandId: 'c2' }))).toEqual({ outcome: 'stale', head: 1 }),
    ],
  ])('is copied by whoever %s', async (_, come) => {
    const layer = await dying(freshContext());
    await come(layer);
    const history = await historyOf(layer);
    expect(contents(history)).toEqual(contents(theDecision().facts));
    expect(history[0]!.metadata).toEqual({ correlationId: 'k' });
    expect([history[0]!.streamId, history[0]!.sequence, history[1]!.characteristics]).toEqual(['decide', 1, 2]);
    const { eventFeed, eventStore } = layer.ports;
    expect((await eventFeed.read(eventFeed.start(), 10)).facts).toHaveLength(2);
    // Copied once and for all: who comes later records nothing.
    const head = await eventStore.readHead(P1);
    expect((await eventStore.readMany([P1], { withRepeats: true }))[0]!.map((fact) => fact.repeats)).toEqual([0, 0]);
    const next = await eventStore.decide(theDecision({ head, commandId: 'c3', facts: [factOf({ at: 3 })] }));
    expect(next.outcome).toBe('decided');
    expect((await historyOf(layer)).map((fact) => fact.eventTime)).toEqual([1, 2, 3]);
    await layer.close();
  });
});

describe('deciders that are killed at any moment', () => {
  it('count without a gap: each sees what all before it decided, and no command counts twice', async () => {
    const context = freshContext();
    const layer = await openLayer(context, options);
    const acknowledged: string[] = [];
    for (let round = 0; round < 3; round++) {
      const children = [0, 1].map((n) => {
        const child = startChild('deciding-child.ts', [specOptions().keyspace!, context, 'count', `${round}/${n}`]);
        const lines = createInterface({ input: child.stdout! });
        const own: string[] = [];
        const ready = new Promise<void>((resolve) => lines.once('line', () => resolve()));
        const enough = new Promise<void>((resolve) => {
          lines.on('line', (line) => {
            if (line !== 'ready') own.push(line);
            if (own.length >= 4 + 3 * round + n) resolve();
          });
        });
        return { child, own, ready, enough };
      });
      await Promise.all(children.map((each) => each.ready));
      for (const { child } of children) child.stdin!.write('go\n');
      for (const { child, enough } of children) {
        const ended = once(child, 'exit');
        await Promise.race([enough, ended]);
        child.kill('SIGKILL');
        await ended;
      }
      for (const { own } of children) {
        expect(own.length).toBeGreaterThan(3);
        acknowledged.push(...own);
      }
      // What was under way is brought again, as a client does that heard nothing.
      for (const n of [0, 1]) {
        const commandId = `${round}/${n}-${children[n]!.own.length}`;
        expect((await countOne(layer, commandId)).outcome).not.toBe('stale');
        acknowledged.push(commandId);
      }
    }
    const history = await historyOf(layer);
    expect(history.map((fact) => fact.eventTime)).toEqual(history.map((_, i) => i));
    expect(await layer.ports.eventStore.readHead(P1)).toBe(history.length);
    const commands = history.map((fact) => fact.parameters['commandId']);
    expect(new Set(commands).size).toBe(commands.length);
    expect(commands).toEqual(expect.arrayContaining(acknowledged));
    await layer.close();
  });
});

describe('a decision whose answer is lost', () => {
  const open: { close(): Promise<void> }[] = [];

  afterEach(async () => {
    for (const each of open.splice(0).reverse()) await each.close();
  });

  /** Decides through a proxy; records past it. `lose`: from the next condition on, until the outcome is asked for or for good. */
  async function behindProxy(context: string, heal: boolean) {
    const layer = await openLayer(context, options);
    const proxy = await CuttingProxy.before(server().contactPoints[0]!);
    const session = new Session(
      specOptions({ contactPoints: [proxy.address], clientOptions: { socketOptions: { readTimeout: 500 } } }),
      contextOf(context),
    );
    await session.connect();
    open.push(layer, proxy, session);
    const conditional = session.conditional.bind(session);
    const readSerial = session.readSerial.bind(session);
    vi.spyOn(session, 'readSerial').mockImplementation((...args) => {
      if (heal) proxy.heal();
      return readSerial(...args);
    });
    const lose = (): void =>
      void vi.spyOn(session, 'conditional').mockImplementationOnce((...args) => {
        proxy.loseAnswers();
        return conditional(...args);
      });
    const record = async (append: Append): Promise<AppendResult> => (await layer.ports.eventStore.append([append]))[0]!;
    const decisions = new Decisions({ session, record });
    // What was not prepared before answers are lost would not be sent.
    for (const head of [0, 1]) {
      const aggregate = { ...P1, id: 'p0' };
      await decisions.decide(theDecision({ aggregate, head, commandId: `c${head}`, facts: [] }));
    }
    return { layer, proxy, lose, decisions };
  }

  it('is found out to have been made, and is made once', async () => {
    const { layer, lose, decisions } = await behindProxy(freshContext(), true);
    await decisions.decide(theDecision({ commandId: 'c0', facts: [] }));
    lose();
    const answer = await decisions.decide(theDecision({ head: 1 }));
    expect([answer.outcome, answer.head]).toEqual(['decided', 2]);
    expect(await layer.ports.eventStore.readHead(P1)).toBe(2);
    expect(await historyOf(layer)).toHaveLength(2);
  });

  it('is found out not to have been made where another brought the same command, or decided before', async () => {
    const { layer, lose, decisions } = await behindProxy(freshContext(), true);
    await layer.ports.eventStore.decide(theDecision({ result: 'first' }));
    lose();
    expect(await decisions.decide(theDecision({ result: 'second' }))).toEqual({
      outcome: 'answered',
      head: 1,
      result: 'first',
    });
    lose();
    expect(await decisions.decide(theDecision({ commandId: 'c2' }))).toEqual({ outcome: 'stale', head: 1 });
    expect(await historyOf(layer)).toHaveLength(2);
  });

  it('is said not to be known when it cannot be found out, and its command is answered later', async () => {
    const { layer, proxy, lose, decisions } = await behindProxy(freshContext(), false);
    lose();
    await refused('TIMEOUT', () => decisions.decide(theDecision()));
    proxy.heal();
    expect(await historyOf(layer), 'nobody copied it').toEqual([]);
    const again = await layer.ports.eventStore.decide(theDecision({ result: 'other' }));
    expect(again).toEqual({ outcome: 'answered', head: 1, result: '{"ok":true}' });
    expect(await historyOf(layer)).toHaveLength(2);
  });
});
