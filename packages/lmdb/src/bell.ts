/** Wakes who waits for something new: at once when this process wrote it, within 20 ms when another one did. */
import type { Clock } from '@concursus/core';

/** Half of the 20 ms promised by the ports: the other half is for a timer that fires late. */
const POLL_MS = 10;

export class Bell {
  private readonly waiting = new Set<() => void>();

  ring(): void {
    if (this.waiting.size === 0) return;
    const all = [...this.waiting];
    this.waiting.clear();
    for (const wake of all) wake();
  }

  /** Resolves when `ready()` holds, looking again at each ring and every 10 ms, or when the signal aborts. */
  async wait(clock: Clock, signal: AbortSignal, ready: () => boolean): Promise<void> {
    while (!signal.aborted && !ready()) {
      const pause = new AbortController();
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.waiting.delete(wake);
          signal.removeEventListener('abort', wake);
          resolve();
        };
        this.waiting.add(wake);
        signal.addEventListener('abort', wake, { once: true });
        void clock.sleep(POLL_MS, pause.signal).then(wake);
      });
      pause.abort();
    }
  }
}
