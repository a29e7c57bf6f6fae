/** What was told long ago: kept for ever, or forgotten a time behind what is settled, and then said to be. */
import { describe, expect, it } from 'vitest';
import type { Settling } from '@concursus/core';
import { complete, consumer, event, place, record, rest, started, stop, T, until, type World } from './support.js';

const on = (at: number, id = 'a') => event({ id, at });
const lamp = (at: number, wattage: number, id = 'a') =>
  event({ id, at, name: 'screwedIn', parameters: { room: 'hall', wattage } });
const burnt = (at: number, id = 'a') => event({ id, at, name: 'burnt' });
const HOUR: Settling = { kind: 'tumbling', sizeMs: 10, offsetMs: T };
const DEADLINE: Settling = {
  kind: 'deadline',
  after: new Set(['screwedIn']),
  withinMs: 10,
  unless: new Set(['burnt']),
};

describe('what was told long ago', () => {
  const states = async (w: World): Promise<unknown[]> => {
    const view = { name: '.settling.spec', version: 1, slice: -1 };
    return (await w.ports.viewStore.readIndex(view, 'told', '', { limit: 1_000 })).map(
      ({ value }) => (value as { state: string | null }).state,
    );
  };

  it('is kept for ever, or forgotten behind what is settled; a correction then says so, and tells what is', async () => {
    const { w, clock, seen } = await place();
    const runner = await started(w, [consumer(w, HOUR, seen, { keepToldMs: 20 })]);
    await record(w, on(1), on(12), on(23), complete(29));
    await until(() => seen.lines.length === 3);
    expect(await states(w)).not.toContain(null);
    // 10 lies 20 behind 30.
    await record(w, complete(30));
    await rest();
    expect((await states(w)).filter((state) => state === null)).toHaveLength(1);
    await record(w, on(2), on(13));
    await until(() => seen.lines.length === 5);
    expect(seen.lines.slice(3)).toEqual(['a [0,10) forgotten -> [0,10) 0W 2x', 'a [10,20) 0W 1x -> [10,20) 0W 2x']);
    expect(seen.corrected.map(({ before, context }) => [before[0] === undefined, context.before[0]])).toEqual([
      [true, { from: T, to: T + 10, events: 1, forgotten: true }],
      [false, { from: T + 10, to: T + 20, events: 1 }],
    ]);
    // What a correction told is kept until the line goes on; a second straggler then finds it forgotten again.
    await record(w, on(3));
    await until(() => seen.lines.length === 6);
    await record(w, complete(31));
    await rest();
    await record(w, on(4));
    await until(() => seen.lines.length === 7);
    expect(seen.lines.slice(5)).toEqual(['a [0,10) 0W 2x -> [0,10) 0W 3x', 'a [0,10) forgotten -> [0,10) 0W 4x']);
    await stop(runner, clock);
    await w.close();
  });

  it('keeps nothing of what was told but where it was, over any number of items and a restart', async () => {
    const { w, clock, seen } = await place();
    const one = consumer(w, HOUR, seen, { keepToldMs: 100 });
    let runner = await started(w, [one]);
    for (let n = 0; n < 700; n += 10) {
      await record(
        w,
        Array.from({ length: 10 }, (_, i) => on((n + i) * 10)),
        complete((n + 10) * 10 - 1),
      );
    }
    await until(() => seen.lines.length === 700);
    await rest();
    // Those that end above 6,899.
    expect((await states(w)).filter((state) => state !== null)).toHaveLength(11);
    await stop(runner, clock);
    runner = await started(w, [one], { process: 'two' });
    await record(w, complete(8_000));
    await rest();
    expect(new Set(await states(w))).toEqual(new Set([null]));
    await record(w, on(11));
    await until(() => seen.lines.length === 701);
    expect(seen.lines[700]).toBe('a [10,20) forgotten -> [10,20) 0W 2x');
    await stop(runner, clock);
    await w.close();
  });

  it('is told of a deadline without what was said, once that is forgotten', async () => {
    const { w, clock, seen } = await place();
    const runner = await started(w, [consumer(w, DEADLINE, seen, { keepToldMs: 5 })]);
    await record(w, lamp(1, 60), complete(11));
    await until(() => seen.lines.length === 1);
    await record(w, complete(16));
    await rest();
    await record(w, burnt(4));
    await until(() => seen.lines.length === 2);
    expect(seen.lines).toEqual(['a[1,11) 60W 0x', 'a[1,11) withdrawn forgotten->60W 0x']);
    await stop(runner, clock);
    await w.close();
  });
});
