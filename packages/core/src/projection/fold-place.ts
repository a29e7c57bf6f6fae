/** Where a fact folds among others of its history: by rank, and by key among those of one rank. */
import type { AggregateModel } from '../mapping/event-registry.js';
import { compareEffective } from '../model/effective-facts.js';
import type { Fact } from '../model/event.js';

/** Below 0 when `a` folds before `b`; 0 only for what counts as one. */
export function compareInFold(model: AggregateModel, a: Fact, b: Fact): number {
  return model.rankOf(a) - model.rankOf(b) || compareEffective(a, b);
}

/** The first place at or behind `from` whose fact does not fold before this one; the facts stand in fold order. */
export function placeInFold(model: AggregateModel, facts: readonly Fact[], from: number, fact: Fact): number {
  let low = from;
  let high = facts.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareInFold(model, facts[middle]!, fact) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * The same in all of them, looked for step by step from the end: what stands behind the place is folded anyway, and facts that
 * are looked at one after the other are fetched side by side.
 */
export function placeFromEnd(model: AggregateModel, facts: readonly Fact[], fact: Fact): number {
  const { eventTime } = fact;
  const rank = model.rankOf(fact);
  let place = facts.length;
  for (; place > 0; place--) {
    const other = facts[place - 1]!;
    // Event times mostly decide.
    if (other.eventTime > eventTime && model.rankOf(other) === rank) continue;
    if (compareInFold(model, other, fact) < 0) break;
  }
  return place;
}
