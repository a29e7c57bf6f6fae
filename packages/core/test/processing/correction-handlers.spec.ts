/** A changed past calls the correction method: once for each correction and event the handler has done, with what it meant before and means now. */
import { describe, expect, it } from 'vitest';
import { ParkedEvents, type CorrectionContext, type HandlerConsumer } from '@concursus/core';
import { Faults, ManualClock } from '@concursus/testing';
import { Bulb, world, type World } from '../projection/support.js';
import { consumer, correction, event, kept, quiet, record, run, T, until } from './support.js';

type Lamp = { readonly room: string; readonly wattage: number } | null;

interface Log {
  readonly lines: string[];
  readonly contexts: CorrectionContext[];
}

const text = (lamp: Lamp): string => (lamp === null ? 'nothing' : `${lamp.wattage} W`);

function following(w: World, log: Log, options: Partial<HandlerConsumer> = {}): HandlerConsumer {
  const model = w.registry.aggregate(Bulb).events.get('screwedIn')!;
  return consumer(
    w,
    ({ id, at, name }, e) => log.lines.push(`${id}${at} ${name === 'screwedIn' ? text(e as Lamp) : name}`),
    {
      corrections: [
        {
          model,
          handle: (before, after, context) => {
            log.lines.push(`${context.aggregateId}${context.at - T} ${text(before as Lamp)} -> ${text(after as Lamp)}`);
            log.contexts.push(context);
          },
        },
      ],
      ...options,
    },
  );
}

const lamp = (at: number, wattage: number, id = 'a') =>
  event({ at, id, name: 'screwedIn', parameters: { room: 'hall', wattage } });
const target = (at: number, id = 'a') => ({ at, id, name: 'screwedIn' });
const newLog = (): Log => ({ lines: [], contexts: [] });

describe('a correction of what was done', () => {
  it('comes after it: retracted, reinstated, amended, each told with what it meant before', async () => {
    const w = await world({ clock: new ManualClock(T) });
    const log = newLog();
    const runner = await run(w, [following(w, log)]);
    await record(w, lamp(0, 40));
    await record(w, correction(target(0), 'retract', { decidedAt: 10 }));
    await record(w, correction(target(0), 'reinstate', { decidedAt: 11 }));
    await record(w, correction(target(0), 'amend', { decidedAt: 12, parameters: { room: 'hall', wattage: 60 } }));
    await record(w, event({ at: 5 }));
    await until(() => log.lines.length === 5);
    expect(log.lines).toEqual([
      'a0 40 W',
      'a0 40 W -> nothing',
      'a0 nothing -> 40 W',
      'a0 40 W -> 60 W',
      'a5 switchedOn',
    ]);
    expect(log.contexts.map(({ correction: { kind, decidedAt }, attempt }) => [kind, decidedAt - T, attempt])).toEqual([
      ['retract', 10, 1],
      ['reinstate', 11, 1],
      ['amend', 12, 1],
    ]);
    expect(new Set(log.contexts.map((one) => one.idempotencyKey)).size).toBe(3);
    await runner.stop();
    expect(Object.keys(await kept(w)).filter((key) => /^[acd][0-9a-f]/.test(key))).toEqual([]);
    await w.close();
  });

  it('that changes nothing, because a later decision rules or it says the same, calls nothing', async () => {
    const w = await world({ clock: new ManualClock(T) });
    const log = newLog();
    const runner = await run(w, [following(w, log)]);
    await record(w, lamp(0, 40));
    await record(w, correction(target(0), 'retract', { decidedAt: 20 }));
    await record(w, correction(target(0), 'amend', { decidedAt: 10, parameters: { room: 'hall', wattage: 60 } }));
    await record(w, correction(target(0), 'retract', { decidedAt: 30 }));
    await record(w, lamp(1, 25, 'b'));
    await until(() => log.lines.length === 3);
    expect(log.lines.filter((line) => line.startsWith('a'))).toEqual(['a0 40 W', 'a0 40 W -> nothing']);
    await runner.stop();
    await w.close();
  });

  it('recorded before its target comes right after the target, which is handled as recorded', async () => {
    const w = await world({ clock: new ManualClock(T) });
    const log = newLog();
    const runner = await run(w, [following(w, log)]);
    await record(w, correction(target(0), 'amend', { decidedAt: 10, parameters: { room: 'hall', wattage: 60 } }));
    await record(w, correction(target(0), 'retract', { decidedAt: 11 }));
    await record(w, lamp(0, 40), event({ at: 1 }));
    await until(() => log.lines.length === 4);
    expect(log.lines).toEqual(['a0 40 W', 'a0 40 W -> 60 W', 'a0 60 W -> nothing', 'a1 switchedOn']);
    await runner.stop();
    expect(Object.keys(await kept(w)).filter((key) => /^[acd][0-9a-f]/.test(key))).toEqual([]);
    await w.close();
  });

  it('makes two contents of one identity alike: the first that was recorded stands for both, whatever their digests', async () => {
    for (const [first, second] of [
      [40, 41],
      [41, 40],
    ] as const) {
      const w = await world({ clock: new ManualClock(T) });
      const log = newLog();
      const runner = await run(w, [following(w, log)]);
      await record(w, lamp(0, first));
      await record(w, correction(target(0), 'amend', { decidedAt: 10, parameters: { room: 'hall', wattage: 60 } }));
      await record(w, lamp(0, second));
      const other = lamp(0, first);
      await record(w, correction({ ...target(0), digest: other.digest }, 'retract', { decidedAt: 11 }));
      await until(() => log.lines.length === 6);
      // At every moment what was told adds up to one lamp of 60 W.
      expect(log.lines).toEqual([
        `a0 ${first} W`,
        `a0 ${first} W -> 60 W`,
        `a0 ${second} W`,
        `a0 ${second} W -> nothing`,
        'a0 60 W -> nothing',
        'a0 nothing -> 60 W',
      ]);
      await runner.stop();
      await w.close();
    }
  });

  it('of what was recorded before the handler began calls nothing', async () => {
    const w = await world({ clock: new ManualClock(T) });
    const log = newLog();
    await record(w, lamp(0, 40));
    const runner = await run(w, [following(w, log)]);
    await record(w, correction(target(0), 'retract', { decidedAt: 10 }), lamp(0, 41, 'b'));
    await until(() => log.lines.length === 1);
    await quiet();
    expect(log.lines).toEqual(['b0 41 W']);
    await runner.stop();
    await w.close();
  });

  it('without a method for it is counted, and calls nothing', async () => {
    const w = await world({ clock: new ManualClock(T) });
    const log = newLog();
    const runner = await run(w, [following(w, log, { corrections: [] })]);
    await record(w, lamp(0, 40), correction(target(0), 'retract', { decidedAt: 10 }), event({ at: 1 }));
    await until(() => log.lines.length === 2);
    expect(runner.states()[0]!.uncorrected).toBe(1);
    await runner.stop();
    await w.close();
  });

  it('waits behind a target that is parked, and is handled after it', async () => {
    const clock = new ManualClock(T);
    const w = await world({ clock });
    const log = newLog();
    let broken = true;
    const plain = following(w, log);
    const runner = await run(w, [
      {
        ...plain,
        retry: { attempts: 1, jitter: 0 },
        handlers: plain.handlers.map(({ model, handle }) => ({
          model,
          handle: (e, context) => {
            if (broken) throw new Error('no');
            return handle(e, context);
          },
        })),
      },
    ]);
    const parked = new ParkedEvents(w.ports.viewStore, () => runner);
    await record(w, lamp(0, 40), correction(target(0), 'retract', { decidedAt: 10 }));
    await until(() => w.logger.lines.length > 0);
    await quiet();
    expect((await parked.list('spec')).events.map(({ kind }) => kind)).toEqual(['event', 'correction']);
    broken = false;
    expect(await parked.retry('spec')).toBe(2);
    expect(log.lines).toEqual(['a0 40 W', 'a0 40 W -> nothing']);
    await runner.stop();
    await w.close();
  });

  it('of what was discarded calls nothing', async () => {
    const clock = new ManualClock(T);
    const w = await world({ clock });
    const log = newLog();
    const plain = following(w, log);
    const runner = await run(w, [
      {
        ...plain,
        retry: { attempts: 1, jitter: 0 },
        handlers: plain.handlers.map(({ model }) => ({
          model,
          handle: () => {
            throw new Error('no');
          },
        })),
      },
    ]);
    const parked = new ParkedEvents(w.ports.viewStore, () => runner);
    await record(w, lamp(0, 40));
    await until(() => w.logger.lines.length > 0);
    await quiet();
    expect(await parked.discard('spec', { type: 'bulb', id: 'a' }, { by: 'Ann', reason: 'old' })).toBe(1);
    await record(w, correction(target(0), 'retract', { decidedAt: 10 }));
    await quiet();
    expect(log.lines).toEqual([]);
    expect(runner.states()[0]).toMatchObject({ parked: 0, waiting: 0 });
    await runner.stop();
    await w.close();
  });

  it('parks like an event when its method fails, with the event it belongs to done once', async () => {
    const clock = new ManualClock(T);
    const w = await world({ clock });
    const log = newLog();
    let broken = true;
    const plain = following(w, log);
    const options: Partial<HandlerConsumer> = {
      retry: { attempts: 2, firstMs: 10, jitter: 0 },
      corrections: plain.corrections!.map(({ model, handle }) => ({
        model,
        handle: (before, after, context) => {
          if (broken) throw new Error('no');
          return handle(before, after, context);
        },
      })),
    };
    const first = await run(w, [{ ...plain, ...options }]);
    // The correction is there first: event and correction are two calls of one place.
    await record(w, correction(target(0), 'retract', { decidedAt: 10 }), lamp(0, 40), event({ at: 1 }));
    await clock.advance(100);
    await quiet();
    expect(log.lines).toEqual(['a0 40 W']);
    expect(first.states()[0]!.parked).toBe(2);
    await first.stop();
    broken = false;
    const runner = await run(w, [{ ...plain, ...options }], { process: 'two' });
    await quiet();
    expect(await new ParkedEvents(w.ports.viewStore, () => runner).retry('spec')).toBe(2);
    expect(log.lines).toEqual(['a0 40 W', 'a0 40 W -> nothing', 'a1 switchedOn']);
    await runner.stop();
    await w.close();
  });

  it('is not told twice after a crash between the calls of one place', async () => {
    const clock = new ManualClock(T);
    for (let call = 2; call < 8; call++) {
      const w = await world({ clock });
      const log = newLog();
      const faults = new Faults(clock, [{ method: 'commit', call, kind: 'crash-after' }]);
      const dead = await run(w, [following(w, log)], {
        ports: { viewStore: faults.wrap(w.ports.viewStore), checkpointStore: faults.wrap(w.ports.checkpointStore) },
      });
      await record(w, correction(target(0), 'retract', { decidedAt: 10 }), lamp(0, 40));
      await quiet();
      const before = log.lines.length;
      const done = log.contexts.length;
      const runner = await run(w, [following(w, log)], { process: 'two' });
      for (let i = 0; i < 12; i++) {
        await clock.advance(400);
        await quiet(10);
      }
      await record(w, event({ at: 9 }));
      for (let i = 0; i < 20 && !log.lines.includes('a9 switchedOn'); i++) {
        await clock.advance(400);
        await quiet(10);
      }
      expect(log.lines.at(-1)).toBe('a9 switchedOn');
      // At most the one call under way is repeated, and none is left out.
      expect(log.lines.filter((line) => line === 'a0 40 W').length).toBeLessThanOrEqual(2);
      expect(log.lines.filter((line) => line === 'a0 40 W -> nothing').length).toBeGreaterThan(0);
      expect(log.lines.length).toBeLessThanOrEqual(4);
      expect(before).toBeGreaterThanOrEqual(done);
      await runner.stop();
      void dead;
      await w.close();
    }
  });
});
