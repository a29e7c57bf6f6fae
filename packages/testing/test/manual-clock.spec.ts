/** A clock moved by hand: sleepers wake in order and at their own times. */
import { ManualClock } from '@concursus/testing';
import { describe, expect, it } from 'vitest';

describe('a manual clock', () => {
  it('wakes sleepers in the order of their times, each at its time', async () => {
    const clock = new ManualClock(1_000);
    const woken: string[] = [];
    const sleep = async (name: string, ms: number): Promise<void> => {
      await clock.sleep(ms);
      woken.push(`${name}@${clock.now()}`);
    };
    const all = [sleep('late', 30), sleep('soon', 10), sleep('same', 10), sleep('now', 0)];
    await clock.advance(9);
    expect(woken).toEqual(['now@1000']);
    await clock.advance(21);
    await Promise.all(all);
    expect(woken).toEqual(['now@1000', 'soon@1010', 'same@1010', 'late@1030']);
  });

  it('wakes who sleeps again while time passes', async () => {
    const clock = new ManualClock(0);
    const ticks: number[] = [];
    const loop = (async () => {
      for (let i = 0; i < 3; i++) {
        await clock.sleep(10);
        ticks.push(clock.monotonicMs());
      }
    })();
    await clock.advance(100);
    await loop;
    expect(ticks).toEqual([10, 20, 30]);
    expect(clock.monotonicMs()).toBe(100);
  });

  it('ends a sleep without an error when its signal aborts', async () => {
    const clock = new ManualClock();
    const stop = new AbortController();
    const sleeping = clock.sleep(10, stop.signal);
    expect(clock.sleeping).toBe(1);
    stop.abort();
    await sleeping;
    await clock.sleep(10, AbortSignal.abort());
    expect(clock.sleeping).toBe(0);
  });

  it('sets the wall clock back without moving monotonic time', async () => {
    const clock = new ManualClock(5_000);
    await clock.advance(5);
    clock.set(100);
    expect([clock.now(), clock.monotonicMs()]).toEqual([100, 5]);
  });

  it('tells whole milliseconds, whatever parts of one are slept for', async () => {
    const clock = new ManualClock(1_356_998_400_000);
    const told: number[] = [];
    void (async () => {
      for (let i = 0; i < 30; i++) {
        await clock.sleep(0.1 + i / 7);
        told.push(clock.now());
      }
    })();
    for (let ms = 1; ms <= 80; ms++) {
      await clock.advance(1);
      expect(clock.now()).toBe(1_356_998_400_000 + ms);
    }
    expect(told).toHaveLength(30);
    expect(told.filter((ms) => !Number.isInteger(ms))).toEqual([]);
  });

  it('draws the same bytes from the same seed, and others from another clock', () => {
    const bytes = (clock: ManualClock): number[] => [...clock.randomBytes(8)];
    expect(bytes(new ManualClock(0, 1))).toEqual(bytes(new ManualClock(0, 1)));
    expect(bytes(new ManualClock())).not.toEqual(bytes(new ManualClock()));
  });
});
