/**
 * What the view of something that settles holds, as rows of its ordered index. Orders are made so that what is asked for
 * stands together: of one aggregate by place, of all by time.
 *
 *   items      aggregate, place      an item that waits, or was told
 *   due        time, aggregate, place   an item that waits: the timer
 *   deadlines  time, aggregate, place   deadlines only: pending and overdue ones, for lists
 *   queue      number                what is to be told, in order
 *   told       aggregate, key        exactly what was handed over
 *   kept       time, aggregate, key  what was told and is to be forgotten, by its end; only with `keepToldMs`
 *   outdated   aggregate, key        was handed over, has changed, and nobody is told of that
 *   revisions  aggregate             how often something of it was corrected
 */
import type { AggregateKey } from '../model/event.js';
import { timeOrder } from '../processing/persistent-queue.js';
import type { Settling } from '../time/settled-items.js';

export const ITEMS = 'items';
export const DUE = 'due';
export const DEADLINES = 'deadlines';
export const QUEUE = 'queue';
export const TOLD = 'told';
export const KEPT = 'kept';
export const OUTDATED = 'outdated';
export const REVISIONS = 'revisions';

/** Tenant, type, id. */
export type AggregateParts = readonly [string, string, string];

/** An item as the timers know it. */
export interface Item {
  readonly key: string;
  readonly from: number;
  readonly to: number;
  readonly settlesAt: number;
  /** How often something of its aggregate had been corrected when it came up: tells a second telling from the first. */
  readonly revision: number;
  readonly told: boolean;
}

/** A timer, or a deadline of the list. */
export interface Timer extends Omit<Item, 'told'> {
  readonly aggregate: AggregateParts;
}

/** An item to be told. */
export interface Span {
  readonly key: string;
  readonly from: number;
  readonly to: number;
}

/** What was handed over; the state as text, null once it is forgotten. */
export interface Told extends Span {
  readonly events: number;
  readonly state: string | null;
}

/** What is to be told, from when that was decided until the call has answered. */
export interface Queued {
  readonly kind: 'settled' | 'corrected' | 'withdrawn';
  readonly aggregate: AggregateParts;
  readonly settlesAt: number;
  readonly revision: number;
  readonly old: readonly Span[];
  readonly now: readonly Span[];
  /** Histories are read up to this position of the feed. */
  readonly upTo: string;
  /** What was settled then. */
  readonly line: number;
  /** Why the items of the aggregate could not be told; only to be parked. */
  readonly error?: string;
  /** What is handed over: made before the first call, the same for each. */
  readonly ready?: { readonly old: readonly Told[]; readonly now: readonly Told[] };
}

/** Windows stand by time, so that those around an event are found without the others; else by key. */
export function placeOf(settling: Settling, item: Span): string {
  return settling.kind === 'history' || settling.kind === 'deadline' ? item.key : timeOrder(item.from);
}

export function timerOrder(settlesAt: number, aggregateText: string, place: string): string {
  return `${timeOrder(settlesAt)}\u0000${aggregateText}\u0000${place}`;
}

export function keyOf([tenant, type, id]: AggregateParts): AggregateKey {
  return { tenant, type, id };
}
