/** What fails too often is parked in order of its aggregate, out of the way of others, until a person retries or discards it. */
import { expect, it } from 'vitest';
import { ParkedEvents } from '@concursus/core';
import { ManualClock } from '@concursus/testing';
import { Bulb, world, type World } from '../projection/support.js';
import { consumer, event, kept, quiet, record, run, T, until } from './support.js';

interface Shop {
  readonly clock: ManualClock;
  readonly w: World;
  readonly seen: string[];
  readonly broken: Set<string>;
  readonly attempts: number[];
}

async function shop(): Promise<Shop> {
  const clock = new ManualClock(T);
  return { clock, w: await world({ clock }), seen: [], broken: new Set(), attempts: [] };
}

function following({ w, seen, broken, attempts }: Shop) {
  return consumer(w, ({ id, at, context }) => {
    if (broken.has(`${id}${at}`)) {
      attempts.push(w.clock.monotonicMs());
      throw new Error(`no ${id}${at}`);
    }
    seen.push(`${id}${at}${context.attempt > 1 ? `#${context.attempt}` : ''}`);
  });
}

async function pass(clock: ManualClock, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 100) {
    await clock.advance(100);
    await quiet(6);
  }
}

it('parks after the attempts with growing waits, and what follows of the aggregate behind it', async () => {
  const s = await shop();
  s.broken.add('a1');
  const runner = await run(s.w, [following(s)]);
  const parked = new ParkedEvents(s.w.ports.viewStore, () => runner);
  await record(s.w, event({ at: 0 }), event({ at: 1 }), event({ at: 2 }), event({ id: 'b', at: 3 }));
  await pass(s.clock, 2_000);
  expect(s.attempts.map((ms) => ms - s.attempts[0]!)).toEqual([0, 100, 300, 700, 1_500]);
  await record(s.w, event({ at: 4 }), event({ id: 'b', at: 5 }));
  await quiet();
  expect(s.seen).toEqual(['a0', 'b3', 'b5']);
  const { events, next } = await parked.list('spec');
  expect(next).toBeUndefined();
  expect(events.map(({ at, error, attempts }) => [at - T, error?.message, attempts])).toEqual([
    [1, 'no a1', 5],
    [2, undefined, 0],
    [4, undefined, 0],
  ]);
  expect(events[0]).toMatchObject({
    aggregate: { tenant: '', type: 'bulb', id: 'a' },
    name: 'switchedOn',
    kind: 'event',
  });
  expect((await kept(s.w))['checkpoint']).toBe((await s.w.ports.eventFeed.end()).toString());
  expect(runner.states()).toEqual([
    { name: 'spec', schedule: 'durable', state: 'running', waiting: 0, inFlight: 0, parked: 3, uncorrected: 0 },
  ]);
  await runner.stop();
  await s.w.close();
});

it('handles parked events by retry in order, with a higher attempt, and stops at what fails again', async () => {
  const s = await shop();
  for (const one of ['a1', 'a3', 'b1']) s.broken.add(one);
  const first = await run(s.w, [following(s)]);
  for (let at = 0; at < 6; at++) await record(s.w, event({ at }), event({ id: 'b', at }));
  await pass(s.clock, 3_000);
  expect(s.seen.sort()).toEqual(['a0', 'b0']);
  await first.stop();

  const runner = await run(s.w, [following(s)], { process: 'two' });
  const parked = new ParkedEvents(s.w.ports.viewStore, () => runner);
  await quiet();
  s.seen.length = 0;
  s.broken.delete('a1');
  expect(await parked.retry('spec', { type: 'bulb', id: 'a' })).toBe(2);
  expect(s.seen).toEqual(['a1#6', 'a2']);
  expect((await parked.list('spec', { limit: 1 })).events[0]).toMatchObject({ at: T + 3, attempts: 1 });
  s.broken.clear();
  await record(s.w, event({ at: 6 }), event({ id: 'b', at: 6 }));
  expect(await parked.retry('spec')).toBe(10);
  await record(s.w, event({ at: 7 }), event({ id: 'b', at: 7 }));
  await until(() => s.seen.filter((one) => one.includes('7')).length === 2);
  for (const id of ['a', 'b']) {
    const mine = s.seen.filter((one) => one.startsWith(id)).map((one) => Number(one.slice(1).split('#')[0]));
    expect(mine).toEqual(id === 'a' ? [1, 2, 3, 4, 5, 6, 7] : [1, 2, 3, 4, 5, 6, 7]);
  }
  expect((await parked.list('spec')).events).toEqual([]);
  expect(await parked.retry('spec')).toBe(0);
  await runner.stop();
  expect(Object.keys(await kept(s.w)).filter((key) => /^[acd][0-9a-f]/.test(key))).toEqual([]);
  await s.w.close();
});

it('reads parked events anew, through the code of now', async () => {
  const s = await shop();
  const { w } = s;
  const seen: object[] = [];
  const model = w.registry.aggregate(Bulb).events.get('screwedIn')!;
  let broken = true;
  const upcast = {
    ...following(s),
    handlers: [{ model, handle: (e: object) => (broken ? Promise.reject(new Error('x')) : seen.push(e)) }],
  };
  const runner = await run(w, [upcast]);
  await record(w, event({ at: 0, name: 'screwedIn', parameters: { room: 'hall', wattage: 40 } }));
  await pass(s.clock, 2_000);
  broken = false;
  const parked = new ParkedEvents(w.ports.viewStore, () => runner);
  expect(await parked.retry('spec')).toBe(1);
  expect(seen).toEqual([{ room: 'hall', wattage: 40 }]);
  await runner.stop();
  await w.close();
});

it('discards by key or aggregate, keeps who decided it, and never calls for it again', async () => {
  const s = await shop();
  s.broken.add('a0').add('b0');
  const runner = await run(s.w, [following(s)]);
  const parked = new ParkedEvents(s.w.ports.viewStore, () => runner);
  for (let at = 0; at < 3; at++) await record(s.w, event({ at }), event({ id: 'b', at }));
  await pass(s.clock, 3_000);
  const { events } = await parked.list('spec');
  const [head] = events;
  expect(await parked.discard('spec', head!.idempotencyKey, { by: 'Ann', reason: 'sent by hand' })).toBe(1);
  expect(s.seen).toEqual([]);
  expect(await parked.retry('spec', { type: 'bulb', id: 'a' })).toBe(2);
  expect(s.seen).toEqual(['a1', 'a2']);
  expect(await parked.discard('spec', { type: 'bulb', id: 'b' }, { by: 'Bob', reason: 'closed' })).toBe(3);
  expect(await parked.discard('spec', 'nobody', { by: 'Bob', reason: 'closed' })).toBe(0);
  const gone = await parked.discarded('spec');
  expect(gone.events).toHaveLength(4);
  expect(gone.events.find((one) => one.idempotencyKey === head!.idempotencyKey)).toMatchObject({
    by: 'Ann',
    reason: 'sent by hand',
    discardedAt: s.clock.now(),
    at: T,
  });
  await record(s.w, event({ id: 'b', at: 9 }));
  await until(() => s.seen.includes('b9'));
  expect(s.seen).toEqual(['a1', 'a2', 'b9']);
  await runner.stop();
  await s.w.close();
});

it('stops at its bound with nothing lost, and goes on when some of it is handled', async () => {
  const s = await shop();
  for (let at = 0; at < 5; at++) s.broken.add(`p${at}0`);
  const runner = await run(s.w, [following(s)], { runner: { parkedMax: 3 } });
  const parked = new ParkedEvents(s.w.ports.viewStore, () => runner);
  for (let at = 0; at < 5; at++) await record(s.w, event({ id: `p${at}`, at: 0 }));
  await pass(s.clock, 4_000);
  await record(s.w, event({ id: 'free', at: 1 }));
  await pass(s.clock, 4_000);
  expect(runner.states()[0]!.state).toBe('halted');
  expect(s.seen).toEqual([]);
  expect(s.w.logger.lines.filter((line) => line.includes('calls nothing more'))).toHaveLength(1);
  s.broken.clear();
  expect(await parked.retry('spec')).toBeGreaterThanOrEqual(3);
  await pass(s.clock, 4_000);
  expect(s.seen.map((one) => one.split('#')[0]!).sort()).toEqual(['free1', 'p00', 'p10', 'p20', 'p30', 'p40']);
  expect(runner.states()[0]!.state).toBe('running');
  await runner.stop();
  await s.w.close();
});

it('is served from a process that does not run the handler', async () => {
  const s = await shop();
  s.broken.add('a0');
  const owner = await run(s.w, [following(s)]);
  const other = await run(s.w, [following(s)], { process: 'two' });
  const parked = new ParkedEvents(s.w.ports.viewStore, () => other);
  await record(s.w, event({ at: 0 }), event({ at: 1 }));
  await pass(s.clock, 3_000);
  expect(other.states()[0]!.state).toBe('elsewhere');
  expect((await parked.list('spec')).events).toHaveLength(2);
  s.broken.clear();
  const answer = parked.retry('spec');
  await pass(s.clock, 2_000);
  expect(await answer).toBe(2);
  await owner.stop();
  await other.stop();
  // Nobody runs it any more.
  const lonely = parked.retry('spec', undefined, 1_000).catch((error: unknown) => error);
  await pass(s.clock, 3_000);
  expect(await lonely).toMatchObject({ code: 'TIMEOUT' });
  await s.w.close();
});

it('refuses a name that is no handler’s, and a limit out of bounds', async () => {
  const s = await shop();
  const runner = await run(s.w, [following(s)]);
  const parked = new ParkedEvents(s.w.ports.viewStore, () => runner);
  await expect(parked.list('nobody')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  await expect(parked.list('spec', { limit: 0 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  await expect(parked.retry('nobody')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
  await expect(new ParkedEvents(s.w.ports.viewStore, () => undefined).list('spec')).rejects.toMatchObject({
    code: 'SHUTTING_DOWN',
  });
  await runner.stop();
  await s.w.close();
});
