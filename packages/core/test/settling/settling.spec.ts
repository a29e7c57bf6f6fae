/** What happens when time settles: each kind by hand, on the in-memory ports, with time moved by markers. */
import { describe, expect, it } from 'vitest';
import { ParkedEvents, type Settling } from '@concursus/core';
import {
  complete,
  consumer,
  correction,
  event,
  lists,
  nobody,
  place,
  record,
  rest,
  started,
  stop,
  T,
  until,
} from './support.js';

const on = (at: number, id = 'a') => event({ id, at });
const lamp = (at: number, wattage: number, id = 'a') =>
  event({ id, at, name: 'screwedIn', parameters: { room: 'hall', wattage } });
const burnt = (at: number, id = 'a') => event({ id, at, name: 'burnt' });
const HISTORY: Settling = { kind: 'history', quietMs: undefined };
const QUIET: Settling = { kind: 'history', quietMs: 10 };
const HOUR: Settling = { kind: 'tumbling', sizeMs: 10, offsetMs: T };
const SESSION: Settling = { kind: 'session', gapMs: 10 };
const DEADLINE: Settling = {
  kind: 'deadline',
  after: new Set(['screwedIn']),
  withinMs: 10,
  unless: new Set(['burnt']),
};

describe('a whole history', () => {
  it('is told once, when what is settled has passed its terminal event, with all its events', async () => {
    const { w, clock, seen } = await place();
    const runner = await started(w, [consumer(w, HISTORY, seen)]);
    await record(w, lamp(1, 60), on(2), burnt(5), on(7));
    await rest();
    expect(seen.lines).toEqual([]);
    await record(w, complete(4));
    await rest();
    expect(seen.lines).toEqual([]);
    await record(w, complete(5));
    await until(() => seen.lines.length === 1);
    await rest();
    expect(seen.lines).toEqual(['a[1,8) 60W 2x']);
    expect(seen.settled[0]!.context).toMatchObject({
      tenant: '',
      aggregateType: 'bulb',
      aggregateId: 'a',
      events: 4,
      settledUpTo: T + 5,
      attempt: 1,
    });
    expect(seen.settled[0]!.context.idempotencyKey).toMatch(/^[0-9a-f]{64}$/);
    await stop(runner, clock);
    await w.close();
  });

  it('is corrected by a straggler and by a correction, with exactly what was handed over; what comes to the same is not told', async () => {
    const { w, clock, seen } = await place();
    const runner = await started(w, [consumer(w, HISTORY, seen)]);
    await record(w, lamp(1, 60), burnt(5), complete(5));
    await until(() => seen.lines.length === 1);
    // The caller's own: what it does to it changes nothing that is kept.
    seen.settled[0]!.state.wattage = 1_000;
    await record(w, on(3));
    await until(() => seen.lines.length === 2);
    await record(
      w,
      correction({ at: 1, name: 'screwedIn' }, 'amend', { decidedAt: 9, parameters: { room: 'hall', wattage: 40 } }),
    );
    await until(() => seen.lines.length === 3);
    await record(w, correction({ at: 8 }, 'retract', { decidedAt: 9 }), on(8));
    await rest();
    expect(seen.lines).toEqual(['a[1,6) 60W 0x', 'a [1,6) 60W 0x -> [1,6) 60W 1x', 'a [1,6) 60W 1x -> [1,6) 40W 1x']);
    expect(new Set([...seen.settled, ...seen.corrected].map(({ context }) => context.idempotencyKey)).size).toBe(3);
    await stop(runner, clock);
    await w.close();
  });

  it('settles a quiet time after its last event, is taken back by a later one, and settles again', async () => {
    const { w, clock, seen } = await place();
    const runner = await started(w, [consumer(w, QUIET, seen)]);
    await record(w, lamp(1, 60), complete(11));
    await until(() => seen.lines.length === 1);
    await record(w, on(20));
    await until(() => seen.lines.length === 2);
    await record(w, complete(30));
    await until(() => seen.lines.length === 3);
    expect(seen.lines).toEqual(['a[1,2) 60W 0x', 'a [1,2) 60W 0x -> nothing', 'a[1,21) 60W 1x']);
    expect(seen.settled[0]!.context.idempotencyKey).not.toBe(seen.settled[1]!.context.idempotencyKey);
    await stop(runner, clock);
    await w.close();
  });
});

describe('windows', () => {
  it('are told one by one with the events in them only, and corrected alone', async () => {
    const { w, clock, seen } = await place();
    const runner = await started(w, [consumer(w, HOUR, seen)]);
    await record(w, on(1), on(3), on(12), on(35), complete(29));
    await until(() => seen.lines.length === 2);
    await record(w, on(14));
    await until(() => seen.lines.length === 3);
    await record(
      w,
      correction({ at: 1 }, 'retract', { decidedAt: 5 }),
      correction({ at: 3 }, 'retract', { decidedAt: 5 }),
    );
    await until(() => seen.lines.length >= 4);
    await rest();
    expect(seen.lines.slice(0, 3)).toEqual(['a[0,10) 0W 2x', 'a[10,20) 0W 1x', 'a [10,20) 0W 1x -> [10,20) 0W 2x']);
    expect(seen.lines.at(-1)).toMatch(/^a \[0,10\) 0W [12]x -> nothing$/);
    await stop(runner, clock);
    await w.close();
  });

  it('slide: an event is told in each it stands in', async () => {
    const { w, clock, seen } = await place();
    const runner = await started(w, [consumer(w, { kind: 'sliding', sizeMs: 10, everyMs: 5, offsetMs: T }, seen)]);
    await record(w, on(7), on(12), complete(19));
    await until(() => seen.lines.length === 3);
    expect(seen.lines).toEqual(['a[0,10) 0W 1x', 'a[5,15) 0W 2x', 'a[10,20) 0W 1x']);
    await stop(runner, clock);
    await w.close();
  });

  it('are moved between by an amendment: one loses the event, another gets it', async () => {
    const { w, clock, seen } = await place();
    const runner = await started(w, [consumer(w, HOUR, seen)]);
    await record(w, on(1), on(2), on(12), complete(29));
    await until(() => seen.lines.length === 2);
    await record(w, correction({ at: 2 }, 'amend', { decidedAt: 5, at: 13 }));
    await until(() => seen.lines.length === 4);
    expect(seen.lines.slice(2).sort()).toEqual(['a [0,10) 0W 2x -> [0,10) 0W 1x', 'a [10,20) 0W 1x -> [10,20) 0W 2x']);
    await stop(runner, clock);
    await w.close();
  });
});

describe('sessions', () => {
  it('that a straggler merges are corrected by one call, and one that is divided again too', async () => {
    const { w, clock, seen } = await place();
    const runner = await started(w, [consumer(w, SESSION, seen)]);
    await record(w, on(0), on(12), on(40), complete(60));
    await until(() => seen.lines.length === 3);
    await record(w, on(6));
    await until(() => seen.lines.length === 4);
    await record(w, correction({ at: 6 }, 'retract', { decidedAt: 5 }));
    await until(() => seen.lines.length === 5);
    await rest();
    expect(seen.lines).toEqual([
      'a[0,10) 0W 1x',
      'a[12,22) 0W 1x',
      'a[40,50) 0W 1x',
      'a [0,10) 0W 1x + [12,22) 0W 1x -> [0,22) 0W 3x',
      'a [0,22) 0W 3x -> [0,10) 0W 1x + [12,22) 0W 1x',
    ]);
    await stop(runner, clock);
    await w.close();
  });
});

describe('a deadline', () => {
  it('is told once it is overdue with the state of the whole history, listed, and withdrawn when the event comes after all', async () => {
    const { w, clock, seen } = await place();
    const runner = await started(w, [consumer(w, DEADLINE, seen)]);
    const { deadlines } = lists(w, () => runner);
    await record(w, lamp(1, 60), on(2), lamp(3, 40, 'b'), lamp(4, 25, 'c'), burnt(5, 'c'), complete(10));
    await rest();
    expect(seen.lines).toEqual([]);
    expect(
      (await deadlines.pending('spec')).items.map((one) => [one.aggregate.id, one.due - T, one.since - T]),
    ).toEqual([
      ['a', 11, 1],
      ['b', 13, 3],
    ]);
    await record(w, complete(13));
    await until(() => seen.lines.length === 2);
    const page = await deadlines.overdue('spec', { limit: 1 });
    expect(page).toMatchObject({ settledUpTo: T + 13, items: [{ aggregate: { id: 'a' }, due: T + 11, since: T + 1 }] });
    const next = await deadlines.overdue('spec', { limit: 1, after: page.next! });
    expect(next).toMatchObject({ next: undefined, items: [{ aggregate: { id: 'b' } }] });
    await record(w, burnt(20));
    await until(() => seen.lines.length === 3);
    await record(w, correction({ at: 3, name: 'screwedIn', id: 'b' }, 'retract', { decidedAt: 50 }));
    await until(() => seen.lines.length === 4);
    expect(seen.lines).toEqual([
      'a[1,11) 60W 1x',
      'b[3,13) 40W 0x',
      'a[1,11) withdrawn 60W 1x->60W 1x',
      'b[3,13) withdrawn 40W 0x->0W 0x',
    ]);
    expect((await deadlines.overdue('spec')).items).toEqual([]);
    // What had come after all did not come: it is overdue again, under another key.
    await record(w, correction({ at: 20, name: 'burnt' }, 'retract', { decidedAt: 60 }));
    await until(() => seen.lines.length === 5);
    expect(seen.settled.map(({ context }) => context.idempotencyKey)).toHaveLength(3);
    expect(new Set(seen.settled.map(({ context }) => context.idempotencyKey)).size).toBe(3);
    await stop(runner, clock);
    await w.close();
  });

  it('is listed with no method at all, and moves with its event', async () => {
    const { w, clock, seen } = await place();
    const { settled: _settled, withdrawn: _withdrawn, ...listed } = consumer(w, DEADLINE, seen);
    const runner = await started(w, [listed]);
    const { deadlines } = lists(w, () => runner);
    await record(w, lamp(1, 60), complete(15));
    await rest();
    expect((await deadlines.overdue('spec')).items).toHaveLength(1);
    await record(w, correction({ at: 1, name: 'screwedIn' }, 'amend', { decidedAt: 2, at: 9 }));
    await rest();
    expect((await deadlines.overdue('spec')).items).toEqual([]);
    expect((await deadlines.pending('spec')).items.map((one) => one.due - T)).toEqual([19]);
    await expect(deadlines.overdue('other')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await expect(deadlines.overdue('spec', { limit: 0 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' });
    await stop(runner, clock);
    await w.close();
  });
});

describe('a name', () => {
  it('that is new begins at the end of the feed; from the beginning, what is settled already is told once, as it is', async () => {
    const { w, clock, seen } = await place();
    await record(w, lamp(1, 60), burnt(5), complete(5), on(3), lamp(7, 40, 'b'));
    const all = nobody();
    const runner = await started(w, [
      consumer(w, HISTORY, seen),
      consumer(w, HISTORY, all, { name: 'all', from: 'beginning' }),
    ]);
    await until(() => all.lines.length === 1);
    await record(w, burnt(9, 'b'), complete(9));
    await until(() => all.lines.length === 2 && seen.lines.length === 1);
    expect(seen.lines).toEqual(['b[7,10) 40W 0x']);
    expect(all.lines).toEqual(['a[1,6) 60W 1x', 'b[7,10) 40W 0x']);
    await stop(runner, clock);
    await w.close();
  });

  it('without a correction method counts and lists what is out of date', async () => {
    const { w, clock, seen } = await place();
    const { corrected: _corrected, ...deaf } = consumer(w, HISTORY, seen);
    const runner = await started(w, [deaf]);
    const { items } = lists(w, () => runner);
    await record(w, lamp(1, 60), burnt(5), complete(5));
    await until(() => seen.lines.length === 1);
    await record(w, on(3));
    await rest();
    expect(runner.states()[0]).toMatchObject({ uncorrected: 1, schedule: 'settling' });
    expect((await items.outdated('spec')).items).toEqual([
      { aggregate: { tenant: '', type: 'bulb', id: 'a' }, from: T + 1, to: T + 6, settledUpTo: T + 5 },
    ]);
    await record(w, correction({ at: 3 }, 'retract', { decidedAt: 9 }));
    await rest();
    expect((await items.outdated('spec')).items).toEqual([]);
    expect(seen.lines).toHaveLength(1);
    await stop(runner, clock);
    await w.close();
  });

  it('that fails parks what it could not tell, and what follows of that aggregate behind it; others go on', async () => {
    const { w, clock, seen } = await place();
    let broken = true;
    const one = consumer(w, HISTORY, seen, { retry: { attempts: 2, firstMs: 10, jitter: 0 } });
    const runner = await started(w, [
      {
        ...one,
        settled: (state, context) => {
          if (broken && context.aggregateId === 'a') throw new Error(`no paper, try ${context.attempt}`);
          return one.settled!(state, context);
        },
      },
    ]);
    const parked = new ParkedEvents(w.ports.viewStore, () => runner);
    await record(w, lamp(1, 60), burnt(5), lamp(2, 40, 'b'), burnt(6, 'b'), complete(6));
    await until(() => seen.lines.length === 1);
    await rest();
    await clock.advance(50);
    await record(w, on(3));
    await rest();
    const { events } = await parked.list('spec');
    expect(events.map(({ kind, name, error, attempts }) => [kind, name, error?.message, attempts])).toEqual([
      ['settled', 'settled history', 'no paper, try 2', 2],
      ['corrected', 'corrected history', undefined, 0],
    ]);
    broken = false;
    expect(await parked.retry('spec', { type: 'bulb', id: 'a' })).toBe(2);
    // The first is told as it was; the second corrects exactly that.
    expect(seen.lines).toEqual(['b[2,7) 40W 0x', 'a[1,6) 60W 0x', 'a [1,6) 60W 0x -> [1,6) 60W 1x']);
    expect((await parked.list('spec')).events).toEqual([]);
    await stop(runner, clock);
    await w.close();
  });

  it('tells nothing of what a person discarded, and no correction of it', async () => {
    const { w, clock, seen } = await place();
    const runner = await started(w, [
      consumer(w, HISTORY, seen, {
        retry: { attempts: 1, jitter: 0 },
        settled: () => {
          throw new Error('never');
        },
      }),
    ]);
    const parked = new ParkedEvents(w.ports.viewStore, () => runner);
    await record(w, lamp(1, 60), burnt(5), complete(6));
    await rest();
    const [stuck] = (await parked.list('spec')).events;
    expect(await parked.discard('spec', stuck!.idempotencyKey, { by: 'me', reason: 'a test' })).toBe(1);
    await record(w, on(3));
    await rest();
    expect(seen.lines).toEqual([]);
    expect(runner.states()[0]).toMatchObject({ waiting: 0, parked: 0 });
    await stop(runner, clock);
    await w.close();
  });

  it('goes on after a restart with its timers, and repeats a call that had not answered under the same key', async () => {
    const { w, clock, seen } = await place();
    const keys: string[] = [];
    const attempts: number[] = [];
    const hanging = consumer(w, QUIET, seen, {
      settled: (_state, context) => {
        keys.push(context.idempotencyKey);
        attempts.push(context.attempt);
        return new Promise(() => undefined);
      },
    });
    const first = await started(w, [hanging]);
    await record(w, lamp(1, 60), on(20, 'b'), complete(11));
    await until(() => keys.length === 1);
    // Killed: it never answers, and somebody else takes over.
    const second = await started(
      w,
      [
        consumer(w, QUIET, seen, {
          settled: (_state, context) => {
            keys.push(context.idempotencyKey);
            attempts.push(context.attempt);
          },
        }),
      ],
      { process: 'two', runner: { leaseMs: 1 } },
    );
    const row = (await w.ports.checkpointStore.readOwner('settling:spec'))!;
    await w.ports.checkpointStore.claim('settling:spec', 'two', row);
    await clock.advance(3_000);
    await rest();
    void first;
    for (let i = 0; i < 20 && keys.length < 2; i++) await clock.advance(500);
    expect(keys[1]).toBe(keys[0]);
    expect(attempts).toEqual([1, 2]);
    await record(w, complete(30));
    await rest();
    expect(keys).toHaveLength(3);
    await stop(second, clock);
    await w.close();
  });
});
