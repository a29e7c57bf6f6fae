/**
 * Parked events of one handler name: what could not be handled, and what came behind it for the same aggregate, in order.
 * Other aggregates run on. They stand in an ordered index of the handler's view, by aggregate, then by number.
 */
import { aggregateKeyText, type AggregateKey, type WireValue } from '../model/event.js';
import { ConcursusError } from '../model/errors.js';
import type { EventFeed } from '../ports/event-feed.js';
import type { ViewRef, ViewStore } from '../ports/view-store.js';
import type { EffectLedger } from './effect-ledger.js';
import type { Entry, EntryKind, Origin } from './entry.js';
import type { FactRef } from './fact-ref.js';

const PARKED = 'parked';
const DISCARDED = 'discarded';
/** Parked events looked at together. */
const PAGE = 500;
/** Characters of an error's message that are kept. */
const MESSAGE_MAX = 2_000;

/** Why an event is parked; null for one that only waits behind another. */
export interface ParkedError {
  readonly name: string;
  readonly code: string | null;
  readonly message: string;
}

/** As the index holds it. */
interface Stored {
  readonly key: string;
  readonly kind: EntryKind;
  readonly aggregate: readonly [string, string, string];
  readonly fact: FactRef;
  readonly target?: FactRef;
  readonly late?: number;
  readonly before?: string;
  readonly known?: string;
  readonly item?: WireValue;
  /** What its meaning is read up to. */
  readonly upTo: string;
  /** Calls of it that are done. */
  readonly done: readonly string[];
  readonly attempts: number;
  readonly error: ParkedError | null;
  readonly since: number;
}

/** An event, a correction, or what settled, that waits for a person. */
export interface ParkedEvent {
  /** Its place in the list: pass it as `after` to go on behind it. */
  readonly cursor: string;
  /** As handed to the handler; names the event for `discard`. */
  readonly idempotencyKey: string;
  readonly kind: EntryKind;
  readonly aggregate: AggregateKey;
  /** The event's name; of what settled, what it is. */
  readonly name: string;
  /** Event time as recorded, or when it settled, epoch milliseconds. */
  readonly at: number;
  readonly streamId: string;
  readonly sequence: number;
  readonly digest: string;
  /** Calls so far. */
  readonly attempts: number;
  /** Why; null when it only waits behind an earlier event of its aggregate. */
  readonly error: ParkedError | null;
  /** Since when, epoch milliseconds. */
  readonly since: number;
}

/** An event that a person decided not to have handled. */
export interface DiscardedEvent {
  readonly idempotencyKey: string;
  readonly aggregate: AggregateKey;
  readonly name: string;
  readonly at: number;
  readonly by: string;
  readonly reason: string;
  /** When, epoch milliseconds. */
  readonly discardedAt: number;
}

export class Parking {
  total = 0;
  private readonly counts = new Map<string, number>();
  private number = 0;

  private constructor(
    private readonly views: ViewStore,
    private readonly feed: EventFeed,
    private readonly view: ViewRef,
    private readonly ledger: EffectLedger,
  ) {}

  /** Counts what is parked, aggregate by aggregate: memory for their keys, not for the events. */
  static async open(views: ViewStore, feed: EventFeed, view: ViewRef, ledger: EffectLedger): Promise<Parking> {
    const parking = new Parking(views, feed, view, ledger);
    for (let after: string | undefined; ;) {
      const page = await views.readIndex(
        view,
        PARKED,
        '',
        after === undefined ? { limit: PAGE } : { limit: PAGE, after },
      );
      for (const { order } of page) {
        parking.count(aggregateOf(order), 1);
        parking.number = Math.max(parking.number, Number(order.slice(order.lastIndexOf('\u0000') + 1)) + 1);
        after = order;
      }
      if (page.length < PAGE) return parking;
    }
  }

  has(aggregateText: string): boolean {
    return this.counts.has(aggregateText);
  }

  get aggregates(): string[] {
    return [...this.counts.keys()];
  }

  /** Keeps an entry behind what is parked of its aggregate already, and out of the way of others. */
  park(entry: Entry, error: unknown, nowMs: number): void {
    const { tenant, type, id } = entry.aggregate;
    const stored: Stored = {
      key: entry.key,
      kind: entry.kind,
      aggregate: [tenant, type, id],
      fact: entry.fact,
      ...(entry.target === undefined ? {} : { target: entry.target }),
      ...(entry.late === undefined ? {} : { late: entry.late }),
      ...(entry.before === undefined ? {} : { before: entry.before }),
      ...(entry.known === undefined ? {} : { known: entry.known }),
      ...(entry.item === undefined ? {} : { item: entry.item }),
      upTo: entry.upTo().toString(),
      done: [...entry.done],
      attempts: entry.attempt,
      error: error === undefined ? null : parkedError(error),
      since: nowMs,
    };
    const order = `${entry.aggregateText}\u0000${String(this.number++).padStart(16, '0')}`;
    this.ledger.put(PARKED, order, stored as unknown as WireValue);
    this.count(entry.aggregateText, 1);
  }

  /** The next parked entries of an aggregate behind `after`, to be tried again in a lane of their own. */
  async load(
    aggregateText: string,
    lane: string,
    after: string | undefined,
    limit: number,
    handled: () => void,
  ): Promise<Entry[]> {
    const prefix = `${aggregateText}\u0000`;
    const page = await this.views.readIndex(
      this.view,
      PARKED,
      '',
      after === undefined ? { prefix, limit } : { prefix, limit, after },
    );
    return page.map(({ order, value }) =>
      this.entryOf(order, value as unknown as Stored, aggregateText, lane, handled),
    );
  }

  private entryOf(order: string, stored: Stored, aggregateText: string, lane: string, handled: () => void): Entry {
    const [tenant, type, id] = stored.aggregate;
    const now = (entry: Entry): Stored => ({
      ...stored,
      done: [...entry.done],
      ...(entry.item === undefined ? {} : { item: entry.item }),
    });
    const origin: Origin = {
      leave: () => {
        this.ledger.remove(PARKED, order);
        this.count(aggregateText, -1);
        handled();
      },
      called: (entry) => this.keep(order, now(entry)),
      prepared: (entry) => this.keep(order, now(entry)),
      failedAgain: (entry, error) =>
        this.keep(order, { ...now(entry), attempts: entry.attempt, error: parkedError(error) }),
    };
    const upTo = this.feed.parsePosition(stored.upTo);
    return {
      key: stored.key,
      lane,
      kind: stored.kind,
      aggregate: { tenant, type, id },
      aggregateText,
      fact: stored.fact,
      target: stored.target,
      loaded: undefined,
      characters: order.length,
      origin,
      order,
      upTo: () => upTo,
      late: stored.late,
      before: stored.before,
      known: stored.known,
      item: stored.item,
      attempt: Math.max(stored.attempts, this.ledger.attemptOf(stored.key)[0]),
      failures: 0,
      calls: undefined,
      done: new Set(stored.done),
    };
  }

  private keep(order: string, stored: Stored): void {
    this.ledger.put(PARKED, order, stored as unknown as WireValue);
  }

  /** Takes parked events out for good and keeps who decided so, when and why. @returns how many */
  async discard(
    which: { readonly idempotencyKey?: string; readonly aggregateText?: string },
    decision: { readonly by: string; readonly reason: string; readonly discardedAt: number },
  ): Promise<number> {
    const prefix = which.aggregateText === undefined ? '' : `${which.aggregateText}\u0000`;
    let count = 0;
    for (let after: string | undefined; ;) {
      const page = await this.views.readIndex(
        this.view,
        PARKED,
        '',
        after === undefined ? { prefix, limit: PAGE } : { prefix, limit: PAGE, after },
      );
      for (const { order, value } of page) {
        after = order;
        const { key, aggregate, fact } = value as unknown as Stored;
        if (which.idempotencyKey !== undefined && which.idempotencyKey !== key) continue;
        this.ledger.remove(PARKED, order);
        this.ledger.unmark(key);
        this.ledger.put(DISCARDED, key, { aggregate, fact, ...decision } as unknown as WireValue);
        this.count(aggregateOf(order), -1);
        count++;
        if (which.idempotencyKey !== undefined) return count;
      }
      if (page.length < PAGE) return count;
    }
  }

  /** Whether it was decided not to handle this event. */
  async isDiscarded(key: string): Promise<boolean> {
    const pending = this.ledger.pending(DISCARDED, key);
    if (pending !== undefined) return pending !== null;
    return (await this.views.readIndex(this.view, DISCARDED, '', { prefix: key, limit: 1 })).length > 0;
  }

  private count(aggregateText: string, by: number): void {
    const count = (this.counts.get(aggregateText) ?? 0) + by;
    this.total += by;
    if (count === 0) this.counts.delete(aggregateText);
    else this.counts.set(aggregateText, count);
  }
}

function aggregateOf(order: string): string {
  return order.slice(0, order.lastIndexOf('\u0000'));
}

function parkedError(error: unknown): ParkedError {
  const message = error instanceof Error ? error.message : String(error);
  return {
    name: error instanceof Error ? error.name : 'Error',
    code: ConcursusError.isInstance(error) ? error.code : null,
    message: message.slice(0, MESSAGE_MAX).toWellFormed(),
  };
}

/** What is parked, in any process; the owner may be changing it. */
export async function readParked(
  views: ViewStore,
  view: ViewRef,
  options: { readonly after?: string; readonly limit: number },
): Promise<ParkedEvent[]> {
  const page = await views.readIndex(view, PARKED, '', options);
  return page.map(({ order, value }) => {
    const { key, kind, aggregate, fact, attempts, error, since } = value as unknown as Stored;
    const [tenant, type, id] = aggregate;
    const [at, streamId, sequence, name, digest] = fact;
    return {
      cursor: order,
      idempotencyKey: key,
      kind,
      aggregate: { tenant, type, id },
      name,
      at,
      streamId,
      sequence,
      digest,
      attempts,
      error,
      since,
    };
  });
}

/** What was discarded, by idempotency key. */
export async function readDiscarded(
  views: ViewStore,
  view: ViewRef,
  options: { readonly after?: string; readonly limit: number },
): Promise<DiscardedEvent[]> {
  const page = await views.readIndex(view, DISCARDED, '', options);
  return page.map(({ order, value }) => {
    const stored = value as unknown as Pick<Stored, 'aggregate' | 'fact'> &
      Pick<DiscardedEvent, 'by' | 'reason' | 'discardedAt'>;
    const [tenant, type, id] = stored.aggregate;
    return {
      idempotencyKey: order,
      aggregate: { tenant, type, id },
      name: stored.fact[3],
      at: stored.fact[0],
      by: stored.by,
      reason: stored.reason,
      discardedAt: stored.discardedAt,
    };
  });
}

export function textOf(aggregate: AggregateKey): string {
  return aggregateKeyText(aggregate.tenant, aggregate.type, aggregate.id);
}
