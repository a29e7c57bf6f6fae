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
