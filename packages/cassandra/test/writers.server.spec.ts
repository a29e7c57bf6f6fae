/**
 * Goal: several processes that record into one context, also such that die or stand still, lose nothing that was acknowledged,
 * and a reader that follows the feed meanwhile passes over nothing and sees nothing twice. Method: real processes on a real
 * server, killed and stopped; feed, histories and what was printed are compared.
 */
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { compareProcessingIds, type EventStore, type Fact, type Layer } from '@concursus/core';
import { factOf } from '@concursus/testing';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { gatedPorts } from './gated-session.js';
import { cleanUp, freshContext, openLayer, specOptions, startChild } from './support.js';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 60_000 });
afterAll(cleanUp);

const LEASE_MS = 1_000;
const options = { leaseMs: LEASE_MS, beatMs: 50 };
const nameOf = (fact: Fact): string => `${fact.aggregateId}#${fact.sequence}`;

/** Follows the feed while others record, and checks what must hold of it at every moment. */
class Follower {
  readonly facts: Fact[] = [];
  private readonly stop = new AbortController();
  private readonly done: Promise<void>;

  constructor(private readonly layer: Layer<'persistent'>) {
    this.done = this.follow();
    this.done.catch(() => undefined);
  }

  private async follow(): Promise<void> {
    const { eventFeed } = this.layer.ports;
    let at = eventFeed.start();
    for (;;) {
      const isLast = this.stop.signal.aborted;
      const page = await eventFeed.read(at, 100);
      for (const fact of page.facts) {
        const before = this.facts.at(-1);
        if (before !== undefined) {
          expect(compareProcessingIds(before.processingId, fact.processingId)).toBeLessThan(0);
        }
        this.facts.push(fact);
      }
      at = page.next;
      if (page.facts.length > 0) continue;
      if (isLast) return;
      await eventFeed.wait(at, this.stop.signal);
    }
  }

  /** Everything recorded by now, once the feed has come so far. */
  async end(): Promise<readonly Fact[]> {
    this.stop.abort();
    await this.done;
    return this.facts;
  }
}

/** What was followed, what a new reader finds and what stands in the histories are the same. */
async function consistent(layer: Layer<'persistent'>, followed: readonly Fact[]): Promise<Set<string>> {
  const { eventFeed, eventStore } = layer.ports;
  const ids = (facts: readonly Fact[]): string[] => facts.map((fact) => `${nameOf(fact)} ${fact.processingId}`);
  const again: Fact[] = [];
  for (let at = eventFeed.start(); ;) {
    const page = await eventFeed.read(at, 37);
    if (page.facts.length === 0) break;
    again.push(...page.facts);
    at = page.next;
  }
  expect(ids(again)).toEqual(ids(followed));
  const names = new Set(again.map(nameOf));
  expect(names.size).toBe(again.length);
  const keys = await eventStore.scanAggregates(undefined, 10_000);
  const histories = await eventStore.readMany(keys);
  expect(ids(histories.flat()).sort()).toEqual(ids(again).sort());
  return names;
}

interface Child {
  readonly acknowledged: string[];
  readonly ready: Promise<unknown>;
  readonly ended: Promise<unknown>;
  readonly pid: number;
  go(): void;
  signal(name: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void;
  /** Resolves when so many appends were acknowledged, or the child ended. */
  after(lines: number): Promise<unknown>;
}

function appending(context: string, seed: string, appends: number): Child {
  const args = [specOptions().keyspace!, context, seed, String(appends), String(LEASE_MS)];
  const child = startChild('appending-child.ts', args);
  const acknowledged: string[] = [];
  const lines = createInterface({ input: child.stdout! });
  const ended = once(child, 'exit');
  const watchers: { readonly lines: number; readonly resolve: () => void }[] = [];
  const ready = new Promise<void>((resolve) => {
    lines.on('line', (line) => {
      if (line === 'ready') resolve();
      else if (!line.startsWith('!')) acknowledged.push(line);
      for (const watcher of watchers) if (acknowledged.length >= watcher.lines) watcher.resolve();
    });
  });
  return {
    acknowledged,
    ready,
    ended,
    pid: child.pid!,
    go: () => void child.stdin!.write('go\n'),
    signal: (name) => void child.kill(name),
    after: (count) => Promise.race([ended, new Promise<void>((resolve) => watchers.push({ lines: count, resolve }))]),
  };
}

function namesOf(child: Child): string[] {
  return child.acknowledged.flatMap((line) => line.split(' ')).map((each) => each.split('=')[0]!);
}

describe('several writers on Cassandra', () => {
  it('record the same facts at once: each is one event, in histories and feed under one id', async () => {
    const context = freshContext();
    const watcher = await openLayer(context, options);
    const follower = new Follower(watcher);
    const children = [1, 2].map(() => appending(context, 'same', 300));
    await Promise.all(children.map((child) => child.ready));
    for (const child of children) child.go();
    await Promise.all(children.map((child) => child.ended));
    const names = await consistent(watcher, await follower.end());
    expect(names.size).toBe(900);
    const recorded = new Set<string>();
    for (const line of children.flatMap((child) => child.acknowledged)) {
      for (const each of line.split(' ')) if (!each.endsWith('=repeated')) recorded.add(each.split('=')[0]!);
    }
    expect(recorded).toEqual(names);
    await watcher.close();
  });

  it('lose nothing that was acknowledged when they are killed, and what is left of them is carried out', async () => {
    const context = freshContext();
    const watcher = await openLayer(context, options);
    const follower = new Follower(watcher);
    const acknowledged: string[] = [];
    for (let round = 0; round < 6; round++) {
      const child = appending(context, `kill-${round}`, 100_000);
      await child.ready;
      child.go();
      await child.after(1 + ((round * 37) % 150));
      child.signal('SIGKILL');
      await child.ended;
      acknowledged.push(...namesOf(child));
      // What died with it is done again at once, however far it had come.
      const next = appending(context, `kill-${round}`, 20);
      await next.ready;
      next.go();
      await next.ended;
      expect(next.acknowledged.length).toBe(20);
      acknowledged.push(...namesOf(next));
    }
    const names = await consistent(watcher, await follower.end());
    for (const name of acknowledged) expect(names.has(name), name).toBe(true);
    await watcher.close();
  });

  it('go on without one that stands still, and it finds its place again when it wakes', async () => {
    const context = freshContext();
    const watcher = await openLayer(context, options);
    const follower = new Follower(watcher);
    const paused = appending(context, 'paused', 400);
    const other = appending(context, 'other', 400);
    await Promise.all([paused.ready, other.ready]);
    paused.go();
    await paused.after(50);
    paused.signal('SIGSTOP');
    other.go();
    await other.ended;
    // All of the other comes through although the first stands: it is replaced.
    const end = await watcher.ports.eventFeed.end();
    for (let at = watcher.ports.eventFeed.start(); !at.covers(end);) {
      at = (await watcher.ports.eventFeed.read(at, 1_000)).next;
    }
    paused.signal('SIGCONT');
    await paused.ended;
    expect(paused.acknowledged.length).toBe(400);
    const names = await consistent(watcher, await follower.end());
    for (const name of [...namesOf(paused), ...namesOf(other)]) expect(names.has(name), name).toBe(true);
    expect(names.size).toBe(new Set([...namesOf(paused), ...namesOf(other)]).size);
    await watcher.close();
  });

  it('begin beside another only when what it saw before they came holds no more', async () => {
    const context = freshContext();
    const append = async (layer: Layer<'persistent'>, at: number): Promise<void> => {
      await layer.ports.eventStore.append([{ facts: [factOf({ at })], receivedAt: Date.now() }]);
    };
    const first = await openLayer(context, { leaseMs: 8_000, beatMs: 100 });
    await append(first, 1);
    const second = await openLayer(context, { leaseMs: 8_000, beatMs: 100 });
    const beganMs = performance.now();
    await append(second, 2);
    // Twice as long as the first may build upon a look; a timer may be a moment early.
    expect(performance.now() - beganMs).toBeGreaterThan(595);
    await second.close();
    await first.close();
  });

  it('do not trust what they remember of histories once another has come in', async () => {
    const context = freshContext();
    // Its beats are so rare that it does not learn of the other before it records.
    const first = await openLayer(context, { leaseMs: 60_000, beatMs: 15_000 });
    const append = async (layer: Layer<'persistent'>, at: number): Promise<readonly string[]> => {
      const [result] = await layer.ports.eventStore.append([{ facts: [factOf({ at })], receivedAt: Date.now() }]);
      return result!.outcomes;
    };
    expect(await append(first, 1)).toEqual(['recorded']);
    const second = await openLayer(context, options);
    expect(await append(second, 2)).toEqual(['recorded']);
    expect(await append(second, 9)).toEqual(['recorded']);
    expect(await append(first, 2), 'behind the end that it remembers').toEqual(['repeated']);
    expect(await append(first, 5)).toEqual(['recorded']);
    const key = { tenant: '', type: 'parcel', id: 'p1' };
    const [history] = await first.ports.eventStore.readMany([key]);
    expect(history!.map((fact) => fact.eventTime)).toEqual([1, 2, 5, 9]);
    const late = await first.ports.eventStore.readLate(key, { after: { ms: 0, tick: 0 }, limit: 10 });
    expect(late.map((fact) => fact.eventTime)).toEqual([5]);
    // The feed goes up to the least promise of both, so it is followed to its end.
    const facts = await new Follower(first).end();
    expect(facts.map((fact) => fact.eventTime)).toEqual([1, 2, 9, 5]);
    await second.close();
    await first.close();
  });

  it('come to its end also where what two recorded at once is the last that was recorded', async () => {
    const context = freshContext();
    const rare = { leaseMs: 60_000, beatMs: 100 };
    const one = await gatedPorts(context, rare);
    const two = await openLayer(context, rare);
    const append = async (eventStore: EventStore, at: number): Promise<readonly string[]> => {
      const [result] = await eventStore.append([{ facts: [factOf({ at })], receivedAt: Date.now() }]);
      return result!.outcomes;
    };
    await append(one.eventStore, 1);
    await append(two.ports.eventStore, 2);
    const log = one.session.hold('INSERT INTO feed_log');
    const again = append(one.eventStore, 3);
    await log.reached;
    expect(await append(two.ports.eventStore, 3)).toEqual(['recorded']);
    log.release();
    expect(await again).toEqual(['recorded']);
    const { eventFeed } = one;
    const end = await eventFeed.end();
    const times: number[] = [];
    let at = eventFeed.start();
    // A page for each fact, one for what is passed over, and one more: who stood before that would read for ever.
    for (let pages = 0; pages < 5 && !at.covers(end); pages++) {
      const page = await eventFeed.read(at, 1);
      times.push(...page.facts.map((fact) => fact.eventTime));
      at = page.next;
    }
    expect(at.covers(end)).toBe(true);
    expect(times).toEqual([1, 2, 3]);
    const page = await eventFeed.read(at, 1);
    expect([page.facts.length, page.next.toString(), page.atEnd]).toEqual([0, at.toString(), true]);
    await two.close();
    await one.stop();
    await one.session.close();
  });
});
