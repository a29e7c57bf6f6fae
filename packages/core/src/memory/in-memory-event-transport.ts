/**
 * The durable layer in memory: a bounded queue and, for each group, how far it has acknowledged. What it holds is gone
 * with the process, so it decouples and smooths; it does not protect against a crash.
 */
import { UnavailableError } from '../model/errors.js';
import { EventTransport, type TransportItem, type TransportSubscription } from '../ports/event-transport.js';
import { Bell } from '../ports/bell.js';
import type { MemorySession } from './session.js';

const BATCH_SIZE_MAX = 512;
/** The first wait after a batch was given back, and the longest: doubling in between. */
const BACK_OFF_MS = 10;
const BACK_OFF_MAX_MS = 5_000;

interface Subscriber {
  readonly handle: (items: readonly TransportItem[]) => Promise<void>;
  readonly batchSizeMax: number;
  readonly stop: AbortController;
}

class Group {
  /** How many items of all ever published are done. */
  acknowledged = 0;
  /** The first waits for work or for its turn; one batch at a time keeps each key in order. */
  readonly subscribers: Subscriber[] = [];
  running: Promise<void> | undefined;
}

export class InMemoryEventTransport extends EventTransport {
  private items: TransportItem[] = [];
  /** How many items were let go, all groups having acknowledged them. */
  private released = 0;
  private readonly groups = new Map<string, Group>();
  private readonly bell = new Bell();
  private readonly closing = new AbortController();

  constructor(
    private readonly session: MemorySession,
    private readonly itemsMax: number,
  ) {
    super();
    session.onClose(() => {
      this.closing.abort();
      this.bell.ring();
    });
  }

  async publish(items: readonly TransportItem[]): Promise<void> {
    this.session.checkOpen();
    if (this.items.length + items.length > this.itemsMax) this.release(true);
    if (this.items.length + items.length > this.itemsMax) {
      throw new UnavailableError(
        'OVERLOADED',
        `The buffer holds ${this.items.length} of at most ${this.itemsMax} items; ${items.length} more do not fit.`,
        { fix: 'Wait until what it holds has been handled, then publish again.', details: { held: this.items.length } },
      );
    }
    for (const { key, bytes, acceptedAt } of items) this.items.push({ key, bytes: bytes.slice(), acceptedAt });
    this.bell.ring();
  }

  async subscribe(
    group: string,
    handle: (items: readonly TransportItem[]) => Promise<void>,
    options: { readonly batchSizeMax?: number } = {},
  ): Promise<TransportSubscription> {
    this.session.checkOpen();
    const one = this.groupOf(group);
    const { subscribers } = one;
    const subscriber: Subscriber = {
      handle,
      batchSizeMax: options.batchSizeMax ?? BATCH_SIZE_MAX,
      stop: new AbortController(),
    };
    subscribers.push(subscriber);
    one.running ??= this.pump(one);
    return {
      close: async () => {
        subscriber.stop.abort();
        const index = subscribers.indexOf(subscriber);
        if (index >= 0) subscribers.splice(index, 1);
        this.bell.ring();
        await inHand.get(subscriber);
      },
    };
  }

  async lag(group: string): Promise<number> {
    this.session.checkOpen();
    const end = this.released + this.items.length;
    return end - (this.groups.get(group)?.acknowledged ?? this.heldFrom);
  }

  /** Resolves when every group with a subscriber has acknowledged everything, or at close. */
  async drain(): Promise<void> {
    const end = (): number => this.released + this.items.length;
    const busy = (): boolean =>
      [...this.groups.values()].some((group) => group.subscribers.length > 0 && group.acknowledged < end());
    while (this.session.isOpen && busy()) await this.bell.wait(this.closing.signal);
  }

  /** Resolves when no handler runs any more. */
  async closed(): Promise<void> {
    for (const group of this.groups.values()) await group.running;
  }

  private groupOf(name: string): Group {
    let group = this.groups.get(name);
    if (group === undefined) {
      const { heldFrom } = this;
      this.groups.set(name, (group = new Group()));
      group.acknowledged = heldFrom;
    }
    return group;
  }

  /** Hands out one batch after the other while anybody listens; subscribers take turns. */
  private async pump(group: Group): Promise<void> {
    let failures = 0;
    while (this.session.isOpen && group.subscribers.length > 0) {
      const start = group.acknowledged - this.released;
      if (start >= this.items.length) {
        await this.bell.wait(this.closing.signal);
        continue;
      }
      const subscriber = group.subscribers.shift()!;
      group.subscribers.push(subscriber);
      const batch = this.items.slice(start, start + subscriber.batchSizeMax);
      if (await this.hand(subscriber, batch)) {
        failures = 0;
        group.acknowledged += batch.length;
        this.release(false);
        this.bell.ring();
      } else {
        const waitMs = Math.min(BACK_OFF_MS * 2 ** Math.min(failures, 10), BACK_OFF_MAX_MS);
        failures += 1;
        await this.session.clock.sleep(waitMs, AbortSignal.any([this.closing.signal, subscriber.stop.signal]));
      }
    }
    group.running = undefined;
  }

  /** True when acknowledged. What went wrong is the handler's to report; here the batch just comes again. */
  private async hand(subscriber: Subscriber, batch: readonly TransportItem[]): Promise<boolean> {
    let ended = (): void => undefined;
    inHand.set(subscriber, new Promise((resolve) => (ended = resolve)));
    try {
      await subscriber.handle(batch);
      return true;
    } catch {
      return false;
    } finally {
      inHand.delete(subscriber);
      ended();
    }
  }

  /** The least any group has acknowledged: everything behind it is held for somebody. Before the first group that is all. */
  private get heldFrom(): number {
    let least = Infinity;
    for (const group of this.groups.values()) least = Math.min(least, group.acknowledged);
    return least === Infinity ? this.released : least;
  }

  /** Lets go what every group has acknowledged. */
  private release(now: boolean): void {
    const done = this.heldFrom - this.released;
    // By halves, so that an item costs no move of all others; at the bound at once.
    if (done === 0 || (!now && done * 2 < this.items.length)) return;
    this.items = this.items.slice(done);
    this.released += done;
  }
}

/** The batch a subscriber works on; its end is what `close` waits for. */
const inHand = new WeakMap<Subscriber, Promise<void>>();
