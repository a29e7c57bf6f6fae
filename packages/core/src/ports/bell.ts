/** Wakes whoever in this process waits for news. A wait is a promise, never a poll; who waits for other processes looks again by itself. */

export class Bell {
  private waiting = new Set<() => void>();

  /** Resolves everybody who waits now; costs nothing when nobody does. */
  ring(): void {
    if (this.waiting.size === 0) return;
    const woken = this.waiting;
    this.waiting = new Set();
    for (const wake of woken) wake();
  }

  /** Resolves at the next ring, or when the signal aborts, whichever is first; never rejects. */
  wait(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        this.waiting.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.waiting.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }
}
