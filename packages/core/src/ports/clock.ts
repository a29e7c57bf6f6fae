/** Time as a parameter: nobody but a `Clock` reads the wall clock, sleeps or draws random bytes. */

export abstract class Clock {
  /** Wall-clock epoch milliseconds. May step back; processing ids do not. */
  abstract now(): number;
  /** Milliseconds since some fixed instant; never steps back. For leases and durations. */
  abstract monotonicMs(): number;
  /** Resolves after `ms`; at once, and without an error, when `signal` aborts. Does not keep a process alive. */
  abstract sleep(ms: number, signal?: AbortSignal): Promise<void>;
  abstract randomBytes(length: number): Uint8Array;
}

/** The machine's own clock. */
export class SystemClock extends Clock {
  now(): number {
    return Date.now();
  }

  monotonicMs(): number {
    return performance.now();
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      if (typeof timer === 'object') timer.unref();
      signal?.addEventListener('abort', done, { once: true });
    });
  }

  randomBytes(length: number): Uint8Array {
    return globalThis.crypto.getRandomValues(new Uint8Array(length));
  }
}
