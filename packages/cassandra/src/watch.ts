/** Wakes who waits for a number to grow: at once when this process made it, within 20 ms when another one did. */
import type { Clock } from '@concursus/core';

/** Half of the 20 ms promised by the ports: the other half is for the answer and for a timer that fires late. */
const POLL_MS = 10;

interface Waiter {
  readonly after: number;
  readonly wake: () => void;
}

/** However many wait, the number is asked for once at a time. */
export class Watch {
  private readonly waiters = new Set<Waiter>();
  private polling = false;

  constructor(
    private readonly clock: Clock,
    private readonly ask: () => Promise<number>,
  ) {}

  /** Wakes those who wait for a number up to `number`. */
  changed(number: number): void {
    for (const waiter of this.waiters) if (waiter.after < number) waiter.wake();
  }

  /** Nobody waits. */
  get isIdle(): boolean {
    return this.waiters.size === 0;
  }

  /** Wakes everybody: nothing may come any more. */
  end(): void {
    for (const waiter of this.waiters) waiter.wake();
  }

  /** Resolves when the number is above `after`, cannot be had, or the signal aborts. */
  async wait(after: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    await new Promise<void>((resolve) => {
      const waiter: Waiter = {
        after,
        wake: () => {
          this.waiters.delete(waiter);
          signal.removeEventListener('abort', waiter.wake);
          resolve();
        },
      };
      this.waiters.add(waiter);
      signal.addEventListener('abort', waiter.wake, { once: true });
      void this.poll();
    });
  }

  private async poll(): Promise<void> {
    if (this.polling) return;
    this.polling = true;
    try {
      while (this.waiters.size > 0) {
        this.changed(await this.ask());
        if (this.waiters.size > 0) await this.clock.sleep(POLL_MS);
      }
    } catch {
      // Whoever waits looks itself, and meets the error where it can be told.
      this.end();
    } finally {
      this.polling = false;
    }
  }
}
