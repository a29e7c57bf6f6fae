/**
 * Which of the facts that were recorded together moved an answer: of these, a least set that gives the new answer by itself.
 * So none of those named can be taken away, and one that changed nothing, or only what another changes as well, is not named.
 */
import type { Fact } from '../model/event.js';

/** Answers that may still be worked out to find movers. */
export interface MoverBudget {
  left: number;
}

/**
 * @param facts recorded together, in an order; of some that come to the same the first is named
 * @param isSameWithout whether the new answer stays when these are taken away; a pure function of the set
 * @returns in the given order. With all of `facts` gone the answer is another one, so it is never empty. Once the budget is
 *   used up, those not looked at are named, too
 */
export function moversOf(
  facts: readonly Fact[],
  isSameWithout: (away: ReadonlySet<Fact>) => boolean,
  budget: MoverBudget,
): readonly Fact[] {
  if (facts.length < 2) return facts;
  const away = new Set<Fact>();
  const goes = (some: readonly Fact[]): boolean => {
    // Something must have moved it.
    if (budget.left <= 0 || away.size + some.length === facts.length) return false;
    budget.left--;
    for (const fact of some) away.add(fact);
    if (isSameWithout(away)) return true;
    for (const fact of some) away.delete(fact);
    return false;
  };
  // By halves, the later one first: of many that changed nothing, few answers tell.
  const takeFrom = (some: readonly Fact[]): void => {
    const middle = some.length >>> 1;
    const stay = [some.slice(middle), some.slice(0, middle)].filter((part) => !goes(part));
    for (const part of stay) if (part.length > 1) takeFrom(part);
  };
  takeFrom(facts);
  // One may have been needed only beside another that went after it.
  for (let before = 0; before !== away.size;) {
    before = away.size;
    for (const fact of facts.toReversed()) if (!away.has(fact)) goes([fact]);
  }
  return facts.filter((fact) => !away.has(fact));
}
