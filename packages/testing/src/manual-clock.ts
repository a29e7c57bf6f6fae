/** A clock moved by the test's hand: no spec sleeps, and whoever sleeps on it wakes in order. */
import { setImmediate } from 'node:timers/promises';
import { Clock } from '@concursus/core';

interface Sleeper {
  readonly dueMs: number;
  readonly wake: () => void;
}

/** 2013-01-01T00:00:00.000Z, a day like any other. */
const START_MS = 1_356_998_400_000;

let seeds = 0;

export class ManualClock extends Clock {
  /** The wall clock when it was set last, and where the steady one stood then. */
  private wallMs: number;
  private setAtMs = 0;
  private steadyMs = 0;
  private state: number;
  /** By due time; of one time, who slept first comes first. */
  private readonly sleepers: Sleeper[] = [];

  /** @param seed of `randomBytes`; each clock of a process has another one unless told */
  constructor(startMs: number = START_MS, seed: number = ++seeds) {
    super();
    this.wallMs = startMs;
    this.state = seed;
  }

  /** In whole milliseconds, as a machine's; who slept for a part of one does not show. */
  now(): number {
    return this.wallMs + Math.floor(this.steadyMs - this.setAtMs);
  }

  monotonicMs(): number {
    return this.steadyMs;
  }

  /** How many sleep now. */
  get sleeping(): number {
    return this.sleepers.length;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        const index = this.sleepers.indexOf(sleeper);
        if (index >= 0) this.sleepers.splice(index, 1);
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      const sleeper: Sleeper = { dueMs: this.steadyMs + Math.max(0, ms), wake };
      let i = this.sleepers.length;
      while (i > 0 && this.sleepers[i - 1]!.dueMs > sleeper.dueMs) i -= 1;
      this.sleepers.splice(i, 0, sleeper);
      signal?.addEventListener('abort', wake, { once: true });
    });
  }

  /**
   * Lets time pass. Sleepers wake in the order of their times, each at its own time, and what they do next (also sleeping
   * again) happens before the next one wakes.
   */
  async advance(ms: number): Promise<void> {
    const end = this.steadyMs + ms;
    await setImmediate();
    for (let next = this.sleepers[0]; next !== undefined && next.dueMs <= end; next = this.sleepers[0]) {
      this.passTo(next.dueMs);
      next.wake();
      await setImmediate();
    }
    this.passTo(end);
  }

  /** Sets the wall clock, also back. Sleepers and `monotonicMs` do not notice, as on a machine. */
  set(nowMs: number): void {
    this.wallMs = nowMs;
    this.setAtMs = this.steadyMs;
  }

  /** Bytes that look random and are the same in each run of one seed. */
  randomBytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) {
      // mulberry32
      this.state = (this.state + 0x6d2b79f5) | 0;
      let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      bytes[i] = (t ^ (t >>> 14)) & 0xff;
    }
    return bytes;
  }

  /** Assigned, not added up: differences of fractions would never come to a whole again. */
  private passTo(ms: number): void {
    if (ms > this.steadyMs) this.steadyMs = ms;
  }
}
