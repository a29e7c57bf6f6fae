/** One call at a time: what waits for it goes together, up to a bound, in the order in which it came. */

/** What became of something handed over. */
export type HandOutcome = 'handled' | 'closed' | { readonly error: unknown };

interface Waiting<T> {
  readonly part: T;
  readonly size: number;
  readonly alone: boolean;
  done(outcome: HandOutcome): void;
}

export class HandQueue<T> {
  private readonly waiting: Waiting<T>[] = [];
  private running = false;
  private closed = false;

  constructor(
    /** Of the sizes of what goes into one call, unless one part alone has more. */
    private readonly sizeMax: number,
    private readonly handle: (parts: readonly T[]) => Promise<void>,
  ) {}

  /** Resolves when the call that the part went into ended, or at once when it is closed. @param alone share the call with nobody */
  hand(part: T, size: number, alone: boolean): Promise<HandOutcome> {
    if (this.closed) return Promise.resolve('closed');
    return new Promise((done) => {
      this.waiting.push({ part, size, alone, done });
      if (!this.running) void this.run();
    });
  }

  /** What waits is not called any more; the call under way ends as it does. */
  close(): void {
    this.closed = true;
    for (const one of this.waiting.splice(0)) one.done('closed');
  }

  private async run(): Promise<void> {
    this.running = true;
    // A turn later, so that partitions of one fetch share a call.
    await Promise.resolve();
    while (this.waiting.length > 0) {
      const together = this.take();
      let outcome: HandOutcome = 'handled';
      try {
        await this.handle(together.map(({ part }) => part));
      } catch (error) {
        outcome = { error };
      }
      for (const one of together) one.done(outcome);
    }
    this.running = false;
  }

  private take(): Waiting<T>[] {
    const first = this.waiting.shift()!;
    const taken = [first];
    let { size } = first;
    while (!first.alone && this.waiting.length > 0) {
      const next = this.waiting[0]!;
      if (next.alone || size + next.size > this.sizeMax) break;
      size += next.size;
      taken.push(this.waiting.shift()!);
    }
    return taken;
  }
}
