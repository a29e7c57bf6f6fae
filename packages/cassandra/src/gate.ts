/** Bounds the requests under way: so many at once, so many behind them in order, and no more. */
import { overloadedError } from './errors.js';

export class Gate {
  private running = 0;
  private waiting: (() => void)[] = [];
  /** The first of `waiting` that has not had its turn. */
  private first = 0;
  private idle: (() => void)[] = [];

  constructor(
    private readonly runningMax: number,
    private readonly waitingMax: number,
  ) {}

  /**
   * Runs `work` when its turn comes.
   * @throws UnavailableError `OVERLOADED` when too many wait already; then `work` is not called
   */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.running >= this.runningMax) {
      const count = this.waiting.length - this.first;
      if (count >= this.waitingMax) throw overloadedError(count);
      // Who wakes us hands on its place, so that nobody slips in between.
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    } else {
      this.running += 1;
    }
    try {
      return await work();
    } finally {
      this.handOn();
    }
  }

  /** Resolves when nothing runs or waits. */
  async drained(): Promise<void> {
    if (this.running > 0) await new Promise<void>((resolve) => this.idle.push(resolve));
  }

  private handOn(): void {
    if (this.first < this.waiting.length) {
      this.waiting[this.first]!();
      this.first += 1;
      // Cut off by halves, so that a long queue costs no move of all of it.
      if (this.first > 1_024 && this.first * 2 > this.waiting.length) {
        this.waiting = this.waiting.slice(this.first);
        this.first = 0;
      }
      return;
    }
    this.running -= 1;
    if (this.running > 0) return;
    for (const wake of this.idle.splice(0)) wake();
  }
}
