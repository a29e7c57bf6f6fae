/**
 * A durable handler: every event once it can be, in order per aggregate, many aggregates at once, and after any stop from where
 * it was. Over 400 lines, and one subject: the promises of the durable schedule.
 */
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Fact, UnavailableError, type PersistentPorts, type ViewCommit } from '@concursus/core';
import { Faults, ManualClock } from '@concursus/testing';
import { world, type World } from '../projection/support.js';
import { consumer, event, kept, quiet, record, run, T, until, type Seen } from './support.js';

const times = (seen: readonly Seen[]): number[] => seen.map((one) => one.at);

/** A view store whose n-th commit is refused, by an error that does not say to try again unless it is `passing`. */
function failingCommits(
  w: World,
  how: (call: number) => 'not done' | 'done' | 'passing' | undefined,
): PersistentPorts['viewStore'] {
  let commits = 0;
  return new Proxy(w.ports.viewStore, {
    get: (target, name) => {
      if (name !== 'commit') return (Reflect.get(target, name, target) as (...args: never[]) => unknown).bind(target);
      return async (commit: ViewCommit): Promise<void> => {
        const trouble = how(++commits);
        if (trouble === 'passing') throw new UnavailableError('STORE_UNREACHABLE', 'gone', {});
        if (trouble !== 'not done') await target.commit(commit);
        if (trouble !== undefined) throw new Error('the disk is full');
      };
    },
  });
}

describe('a durable handler', () => {
  it('begins at the end of the feed, whoever will own it, and at the beginning when it is told to', async () => {
    const w = await world({ clock: new ManualClock(T) });
    await record(w, event({ at: 0 }), event({ at: 1 }));
    const fromEnd: Seen[] = [];
    const fromStart: Seen[] = [];
    const runner = await run(w, [
      consumer(w, (seen) => fromEnd.push(seen), { name: 'end' }),
      consumer(w, (seen) => fromStart.push(seen), { name: 'start', from: 'beginning' }),
    ]);
    await record(w, event({ at: 2 }));
    await until(() => fromEnd.length === 1 && fromStart.length === 3);
    expect(times(fromEnd)).toEqual([2]);
    expect(times(fromStart)).toEqual([0, 1, 2]);
    await runner.stop();
    await w.close();
  });

  it('may be one of many: the runtime warns of no leak', async () => {
    const w = await world();
    const warnings: Error[] = [];
    const warned = (warning: Error): void => void warnings.push(warning);
    process.on('warning', warned);
    const seen: Seen[] = [];
    const names = Array.from({ length: 12 }, (_, n) => `name ${n}`);
    const consumers = names.map((name) => consumer(w, (one) => seen.push(one), { name }));
    const [runner, waiting] = [await run(w, consumers), await run(w, consumers, { process: 'two' })];
    await record(w, event({ at: 0 }));
    await until(() => seen.length === names.length);
    await Promise.all([runner.stop(), waiting.stop()]);
    await w.close();
    process.off('warning', warned);
    expect(warnings).toEqual([]);
  });

  it('hands over key, attempt and context', async () => {
    const w = await world({ clock: new ManualClock(T) });
    const seen: Seen[] = [];
    const runner = await run(w, [consumer(w, (one) => seen.push(one))]);
    await record(w, event({ at: 0 }), event({ at: 0, parameters: { other: 1 } }), event({ at: 0, id: 'b' }));
    await until(() => seen.length === 3);
    const keys = seen.map(({ context }) => context.idempotencyKey);
    expect(new Set(keys).size).toBe(3);
    for (const key of keys) expect(key).toMatch(/^[0-9a-f]{64}$/);
    expect(seen.map(({ context }) => [context.attempt, context.late])).toEqual(
      Array.from({ length: 3 }, () => [1, undefined]),
    );
    await runner.stop();
    await w.close();
  });

  it('goes on behind what it handled after one that throws, and calls nothing done again', async () => {
    const clock = new ManualClock(T);
    const w = await world({ clock });
    const seen: Seen[] = [];
    let broken = true;
    const runner = await run(w, [
      consumer(w, (one) => {
        seen.push(one);
        if (one.at === 5 && broken) throw new Error('the printer is out of paper');
      }),
    ]);
    await record(
      w,
      Array.from({ length: 20 }, (_, at) => event({ at })),
    );
    await until(() => w.logger.lines.length > 0);
    expect(times(seen)).toEqual([0, 1, 2, 3, 4, 5]);
    await clock.advance(100);
    await quiet();
    expect(times(seen)).toEqual([0, 1, 2, 3, 4, 5, 5]);
    broken = false;
    await clock.advance(200);
    await until(() => seen.length === 22);
    expect(times(seen).slice(7)).toEqual([5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    const five = seen.filter((one) => one.at === 5).map(({ context }) => [context.attempt, context.idempotencyKey]);
    expect(five).toEqual([1, 2, 3].map((attempt) => [attempt, five[0]![1]]));
    await runner.stop();
    await w.close();
  });

  it('saves what it handled when it is stopped, and the next owner goes on behind that', async () => {
    const w = await world({ clock: new ManualClock(T) });
    const seen: number[] = [];
    let stopped: Promise<void> | undefined;
    const first = await run(w, [
      consumer(w, ({ at }) => {
        seen.push(at);
        if (at === 7) stopped = first.stop();
      }),
    ]);
    await record(
      w,
      Array.from({ length: 20 }, (_, at) => event({ at })),
    );
    await until(() => stopped !== undefined);
    await stopped;
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    const second = await run(w, [consumer(w, ({ at }) => seen.push(at))], { process: 'two' });
    await until(() => seen.length >= 20);
    expect(seen).toEqual(Array.from({ length: 20 }, (_, i) => i));
    await second.stop();
    expect(Object.keys(await kept(w)).filter((key) => /^[acd][0-9a-f]/.test(key))).toEqual([]);
    await w.close();
  });

  it('runs aggregates side by side, at most inFlightMax of them, and one at a time of each', async () => {
    const w = await world({ clock: new ManualClock(T) });
    let now = 0;
    let most = 0;
    const busy = new Set<string>();
    const releases: (() => void)[] = [];
    const order = new Map<string, number[]>();
    const runner = await run(w, [
      consumer(
        w,
        async ({ id, at }) => {
          expect(busy.has(id)).toBe(false);
          busy.add(id);
          most = Math.max(most, ++now);
          order.set(id, [...(order.get(id) ?? []), at]);
          await new Promise<void>((resolve) => releases.push(resolve));
          busy.delete(id);
          now--;
        },
        { inFlightMax: 5 },
      ),
    ]);
    const facts = Array.from({ length: 60 }, (_, at) => event({ id: `b${at % 12}`, at }));
    await record(w, ...facts);
    let done = 0;
    while (done < 60) {
      await quiet(20);
      expect(now).toBeLessThanOrEqual(5);
      const release = releases.splice(Math.floor(releases.length / 2), 1)[0];
      if (release !== undefined) done++;
      release?.();
    }
    await quiet();
    expect(most).toBe(5);
    for (const [id, list] of order) {
      expect(list).toEqual(facts.filter((one) => one.aggregateId === id).map((one) => one.eventTime - T));
    }
    await runner.stop();
    await w.close();
  });

  it('is not held up by one aggregate that fails or is slow, and its checkpoint waits for it', async () => {
    const clock = new ManualClock(T);
    const w = await world({ clock });
    const seen: string[] = [];
    let release!: () => void;
    const runner = await run(w, [
      consumer(w, async ({ id, at }) => {
        if (id === 'slow')
          await new Promise<void>((resolve) => {
            release = resolve;
          });
        if (id === 'broken') throw new Error('no');
        seen.push(`${id}${at}`);
      }),
    ]);
    const before = (await kept(w))['checkpoint'];
    await record(w, event({ id: 'slow', at: 0 }), event({ id: 'broken', at: 1 }));
    for (let at = 2; at < 500; at++) await record(w, event({ id: `x${at % 7}`, at }));
    await until(() => seen.length === 498);
    await quiet();
    const state = await kept(w);
    expect(state['checkpoint']).toBe(before);
    expect(Object.keys(state).filter((key) => key.startsWith('d'))).toHaveLength(498);
    release();
    await clock.advance(10_000);
    await until(() => seen.length === 499);
    await quiet();
    const after = await kept(w);
    expect(after['parked']).toBe(1);
    expect(Object.keys(after).filter((key) => /^[acd][0-9a-f]/.test(key))).toEqual([]);
    expect(after['checkpoint']).toBe((await w.ports.eventFeed.end()).toString());
    await runner.stop();
    await w.close();
  });

  it('reads ahead a bounded number of facts', async () => {
    const w = await world({ clock: new ManualClock(T) });
    const runner = await run(w, [consumer(w, () => new Promise<void>(() => undefined))]);
    for (let n = 0; n < 40; n++) {
      await record(
        w,
        Array.from({ length: 100 }, (_, i) => event({ at: n * 100 + i })),
      );
    }
    await quiet();
    const [state] = runner.states();
    expect(state!.waiting).toBeGreaterThanOrEqual(1_000);
    expect(state!.waiting).toBeLessThan(1_500);
    await w.close();
  });

  it('marks attempts before it calls, so that a dead process’s call comes again as a higher one', async () => {
    const clock = new ManualClock(T);
    const w = await world({ clock });
    const seen: Seen[] = [];
    const dead = new Faults(clock, [{ method: 'renew', call: 1, kind: 'crash' }]);
    const hang: Seen[] = [];
    await run(
      w,
      [
        consumer(w, (one) => {
          hang.push(one);
          return new Promise<void>(() => undefined);
        }),
      ],
      { ports: { viewStore: dead.wrap(w.ports.viewStore), checkpointStore: dead.wrap(w.ports.checkpointStore) } },
    );
    await record(
      w,
      Array.from({ length: 40 }, (_, i) => event({ id: `b${i}`, at: i })),
    );
    await until(() => hang.length === 16);
    const runner = await run(w, [consumer(w, (one) => seen.push(one))], { process: 'two' });
    for (let i = 0; i < 12; i++) await clock.advance(400);
    await until(() => seen.length === 40);
    const first = new Map(hang.map(({ context }) => [context.idempotencyKey, context.attempt]));
    for (const { context } of seen) {
      expect(context.attempt).toBe((first.get(context.idempotencyKey) ?? 0) + 1);
    }
    expect(seen.filter(({ context }) => context.attempt === 2)).toHaveLength(16);
    await runner.stop();
    await w.close();
  });

  it('writes an event into the ledger only after its handler has answered', async () => {
    const w = await world({ clock: new ManualClock(T) });
    let release!: () => void;
    const runner = await run(w, [
      consumer(w, ({ id }) =>
        id === 'a'
          ? new Promise<void>((resolve) => {
              release = resolve;
            })
          : undefined,
      ),
    ]);
    await record(w, event({ at: 0 }), event({ id: 'b', at: 1 }));
    await quiet();
    const state = Object.entries(await kept(w));
    expect(state.filter(([key]) => key.startsWith('a'))).toEqual([[expect.any(String), [1, 0]]]);
    expect(state.filter(([key]) => key.startsWith('d'))).toHaveLength(1);
    release();
    await quiet();
    expect(Object.keys(await kept(w)).filter((key) => /^[ad][0-9a-f]/.test(key))).toEqual([]);
    await runner.stop();
    await w.close();
  });

  it('stops calling when the name is another process’s, and its commits are refused', async () => {
    const clock = new ManualClock(T);
    const w = await world({ clock });
    const first: number[] = [];
    let release!: () => void;
    const runner = await run(w, [
      consumer(w, async ({ at }) => {
        first.push(at);
        if (at === 0)
          await new Promise<void>((resolve) => {
            release = resolve;
          });
      }),
    ]);
    await record(w, event({ at: 0 }), event({ at: 1 }));
    await until(() => first.length === 1);
    const row = await w.ports.checkpointStore.readOwner('handler:spec');
    const claimed = await w.ports.checkpointStore.claim('handler:spec', 'two', row);
    expect(claimed!.epoch).toBe(row!.epoch + 1);
    release();
    await quiet();
    expect(first).toEqual([0]);
    expect(Object.keys(await kept(w)).filter((key) => key.startsWith('d'))).toEqual([]);
    expect(runner.states()[0]!.state).toBe('elsewhere');
    await runner.stop();
    await w.close();
  });

  it('goes on after its store failed before and after commits, without losing or repeating what is done', async () => {
    const clock = new ManualClock(T);
    const w = await world({ clock });
    const faults = new Faults(clock, [
      { method: 'commit', call: 2, kind: 'fail' },
      { method: 'commit', call: 4, kind: 'drop-ack' },
      { method: 'commit', call: 7, kind: 'drop-ack' },
      { method: 'read', call: 5, kind: 'fail' },
    ]);
    const seen: number[] = [];
    const runner = await run(w, [consumer(w, ({ at }) => seen.push(at))], {
      ports: { viewStore: faults.wrap(w.ports.viewStore), eventFeed: faults.wrap(w.ports.eventFeed) },
    });
    for (let at = 0; at < 30; at++) {
      await record(w, event({ at }));
      await clock.advance(50);
    }
    for (let i = 0; i < 20 && seen.length < 30; i++) await clock.advance(500);
    expect(seen).toEqual(Array.from({ length: 30 }, (_, i) => i));
    await runner.stop();
    await w.close();
  });

  it('goes on when its store answered neither a commit nor the question whether it is stored', async () => {
    const clock = new ManualClock(T);
    const w = await world({ clock });
    const faults = new Faults(clock, [
      // 1 begins the name, 2 marks the first event's attempt, 3 says that it is done and marks the next one's.
      { method: 'commit', call: 3, kind: 'drop-ack' },
      // 1 to 3 open the name.
      { method: 'readCheckpoint', call: 4, kind: 'fail' },
    ]);
    const seen: Seen[] = [];
    let release!: () => void;
    const first = new Promise<void>((resolve) => {
      release = resolve;
    });
    const handle = (one: Seen): unknown => {
      seen.push(one);
      return one.at === 0 ? first : undefined;
    };
    const runner = await run(w, [consumer(w, handle)], { ports: { viewStore: faults.wrap(w.ports.viewStore) } });
    for (const at of [0, 1, 2]) {
      await record(w, event({ at }));
      await quiet();
    }
    expect(times(seen)).toEqual([0]);
    release();
    for (let i = 0; i < 20; i++) await clock.advance(100);
    expect(faults.calls('readCheckpoint')).toBe(5);
    expect(times(seen)).toEqual([0, 1, 2]);
    // It was the owner all the time, and called each once.
    expect(seen.map(({ context }) => context.attempt)).toEqual([1, 1, 1]);
    await runner.stop();
    await w.close();
  });

  it('calls what it was about to call when its store refused a commit for a reason of its own', async () => {
    const clock = new ManualClock(T);
    const w = await world({ clock });
    const seen: number[] = [];
    const viewStore = failingCommits(w, (call) => (call === 2 || call === 5 ? 'not done' : undefined));
    const runner = await run(w, [consumer(w, ({ at }) => seen.push(at))], { ports: { viewStore } });
    for (let at = 0; at < 5; at++) {
      await record(w, event({ at }));
      await clock.advance(50);
    }
    for (let i = 0; i < 10; i++) await clock.advance(500);
    expect(seen).toEqual([0, 1, 2, 3, 4]);
    await runner.stop();
    await w.close();
  });

  it('takes nothing for saved because a commit it gave up had moved the checkpoint as far', async () => {
    const clock = new ManualClock(T);
    const w = await world({ clock });
    // 4 says that "a" is done; it is stored, and refused all the same. 5 also parks "b", and is refused for a moment.
    const viewStore = failingCommits(w, (call) => (call === 4 ? 'done' : call === 5 ? 'passing' : undefined));
    const ends = new Map<string, () => void>();
    const handle = ({ id }: Seen): unknown =>
      new Promise<void>((resolve, reject) => {
        ends.set(id, () => (id === 'b' ? reject(new Error('broken')) : resolve()));
      });
    const options = { retry: { attempts: 1, jitter: 0 } };
    const runner = await run(w, [consumer(w, handle, options)], { ports: { viewStore } });
    await record(w, event({ id: 'a', at: 0 }));
    await until(() => ends.has('a'));
    // "c" holds the checkpoint behind "a", so that both commits take it to the same place.
    await record(w, [event({ id: 'b', at: 1 }), event({ id: 'c', at: 2 })]);
    await until(() => ends.has('c'));
    ends.get('a')!();
    await quiet();
    ends.get('b')!();
    for (let i = 0; i < 60; i++) {
      await clock.advance(100);
      if (i > 10) for (const end of ends.values()) end();
    }
    expect(runner.states()[0]).toMatchObject({ state: 'running', waiting: 0, parked: 1 });
    expect((await kept(w))['parked']).toBe(1);
    await runner.stop();
    await w.close();
  });

  it('never parks for trouble of our own store', async () => {
    const clock = new ManualClock(T);
    const w = await world({ clock });
    let calls = 0;
    const runner = await run(w, [
      consumer(w, () => {
        if (++calls < 12) throw new UnavailableError('STORE_UNREACHABLE', 'gone', {});
      }),
    ]);
    await record(w, event({ at: 0 }));
    for (let i = 0; i < 12; i++) await clock.advance(30_000);
    await until(() => calls === 12);
    await quiet();
    expect((await kept(w))['parked']).toBeUndefined();
    await runner.stop();
    await w.close();
  });

  it('hands facts of the library to nobody', async () => {
    const w = await world({ clock: new ManualClock(T) });
    const seen: Seen[] = [];
    const runner = await run(w, [consumer(w, (one) => seen.push(one))]);
    const plain = event({ at: 3 });
    const own = new Fact({ ...plain, content: plain.content, aggregateType: '$source', name: '$marker' });
    await record(w, own, event({ at: 4 }));
    await until(() => seen.length === 1);
    await setImmediate();
    expect(times(seen)).toEqual([4]);
    await runner.stop();
    await w.close();
  });
});
