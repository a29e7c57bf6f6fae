/**
 * The clock of the flights context. While a sample is loaded it stands where the loaded lines were received, so that
 * processing time means what it meant; afterwards it is the machine's. It never goes back.
 */
import { Clock, SystemClock } from '@concursus/core';

export class LoadClock extends Clock {
  private readonly machine = new SystemClock();
  private loading = false;
  /** Until it is known whether there is something to load, nobody records anything, and the time given out binds nothing. */
  private decided = false;
  /** The latest time given, or followed. */
  private last = Number.NEGATIVE_INFINITY;

  now(): number {
    if (this.loading) return Math.max(this.last, 0);
    const now = Math.max(this.last, this.machine.now());
    if (this.decided) this.last = now;
    return now;
  }

  /** Time stands still from here, and is moved by `follow`. Without effect once the machine's time was given to an event. */
  beginLoad(): void {
    this.loading = true;
    this.decided = true;
  }

  /** Moves time to when a line was received, unless that is behind; a time that is still to come is taken for now. */
  follow(receivedAt: number): void {
    this.last = Math.max(this.last, Math.min(receivedAt, this.machine.now()));
  }

  /** Live time from here. */
  endLoad(): void {
    this.loading = false;
    this.decided = true;
  }

  monotonicMs(): number {
    return this.machine.monotonicMs();
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return this.machine.sleep(ms, signal);
  }

  randomBytes(length: number): Uint8Array {
    return this.machine.randomBytes(length);
  }
}
