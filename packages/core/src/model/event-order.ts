/**
 * The two total orders of a history. Neither ever looks at processing time: arrival decides nothing (law 4).
 * Key order is how stores keep it; fold order puts causal ranks in front.
 */
import type { Fact } from './event.js';
import { compareText } from './text.js';

/** The place of a fact in its aggregate's history, without rank and digest: its identity within the aggregate. */
export interface IdentityKey {
  readonly eventTime: number;
  readonly streamId: string;
  readonly sequence: number;
  readonly name: string;
}

/** Orders by event time, stream, sequence, name: 0 means the same identity (of one aggregate). */
export function compareIdentity(a: IdentityKey, b: IdentityKey): number {
  return (
    a.eventTime - b.eventTime ||
    (a.streamId === b.streamId ? 0 : compareText(a.streamId, b.streamId)) ||
    a.sequence - b.sequence ||
    (a.name === b.name ? 0 : compareText(a.name, b.name))
  );
}

/** Key order: identity, then digest. The order in which every store keeps and returns a history. */
export function compareKey(a: Fact, b: Fact): number {
  const byIdentity = compareIdentity(a, b);
  if (byIdentity !== 0) return byIdentity;
  if (a.content === b.content && a.version === b.version) return 0;
  return a.digest < b.digest ? -1 : a.digest > b.digest ? 1 : 0;
}

/** Causal ranks: initial events fold first, `@Ordered(n)` ones by n, plain ones next, terminal ones last. */
export const RANK_INITIAL = -2_147_483_648;
/** The rank of an event that declares none; `@Ordered` numbers are below it. */
export const RANK_PLAIN = 1_073_741_824;
/** The rank of a terminal event: last. */
export const RANK_TERMINAL = 2_147_483_647;

/** Gives a fact its rank, from the event classes of one aggregate. */
export type RankOf = (fact: Fact) => number;

/** Fold order: rank, then key order. Total and free of arrival. */
export function compareFold(rankOf: RankOf): (a: Fact, b: Fact) => number {
  return (a, b) => rankOf(a) - rankOf(b) || compareKey(a, b);
}
