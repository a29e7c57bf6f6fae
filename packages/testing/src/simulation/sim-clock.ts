/** The clock of one simulated process: skewed, stepped, and moved by the scheduler alone. */
import { Clock } from '@concursus/core';
import type { Random } from './random.js';
import type { Life, Scheduler } from './scheduler.js';

/** 2026-03-01T00:00:00.000Z: where virtual time begins. */
export const EPOCH_MS = 1_772_323_200_000;

/** What a machine's wall clock is off by; the plan steps it. It outlives the machine's processes. */
export interface WallClock {
  offsetMs: number;
}

export class SimClock extends Clock {
  constructor(
    private readonly scheduler: Scheduler,
    private readonly life: Life,
    private readonly wall: WallClock,
    private readonly random: Random,
  ) {
    super();
  }

  now(): number {
    return EPOCH_MS + Math.floor(this.scheduler.nowMs) + this.wall.offsetMs;
  }

  monotonicMs(): number {
    return this.scheduler.nowMs - this.life.startedAtMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      this.scheduler.after(Math.max(0, ms), wake, this.life);
      signal?.addEventListener('abort', wake, { once: true });
    });
  }

  randomBytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.random.bits() & 0xff);
  }
}
