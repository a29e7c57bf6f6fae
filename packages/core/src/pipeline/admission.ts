/** The bound on what is under way (law 12): items of all calls together, first come, first served. */
import { UnavailableError } from '../model/errors.js';

/** Bytes of a raw input that count as one item: a bound of so many items is one of memory too. */
const BYTES_AN_ITEM = 2_048;

export function weightOfBytes(bytes: number): number {
  return 1 + Math.floor(bytes / BYTES_AN_ITEM);
}

/** One that waits for room. */
interface Waiter {
  readonly items: number;
  readonly admit: () => void;
}

export class Admission {
  private held = 0;
  private readonly waiting: Waiter[] = [];

  /** @param itemsMax items under way at most · @param callsMax calls that may wait; streams wait without counting, as each brings one batch at a time */
  constructor(
    private readonly itemsMax: number,
    private readonly callsMax: number,
  ) {}

  get itemsInFlight(): number {
    return this.held;
  }

  /**
   * Takes room for `items`; undefined when there is room now, else a promise for its turn. Every `enter` is followed by one `leave`.
   * @throws UnavailableError `OVERLOADED` when as many calls wait already as may.
   */
  enter(items: number, refusable: boolean): Promise<void> | undefined {
    if (this.waiting.length === 0 && this.fits(items)) {
      this.held += items;
      return undefined;
    }
    if (refusable && this.waiting.length >= this.callsMax) {
      throw new UnavailableError('OVERLOADED', `${this.waiting.length} calls wait for ${this.held} events under way.`, {
        fix: 'Send fewer at once, or as one stream; try again later.',
        details: { waiting: this.waiting.length, itemsInFlight: this.held },
      });
    }
    return new Promise((resolve) => this.waiting.push({ items, admit: resolve }));
  }

  leave(items: number): void {
    this.held -= items;
    while (this.waiting.length > 0 && this.fits(this.waiting[0]!.items)) {
      const waiter = this.waiting.shift()!;
      this.held += waiter.items;
      waiter.admit();
    }
  }

  /** A call larger than the bound is admitted alone. */
  private fits(items: number): boolean {
    return this.held === 0 || this.held + items <= this.itemsMax;
  }
}
