/** The facts of one page by their type, sorted out once for all names that read the page: most names are about one type, and most pages have nothing for them. */
import { isCorrection } from '../model/correction.js';
import type { Fact } from '../model/event.js';

/** What a page has of one aggregate type. */
export interface FactsOfType {
  /** In feed order. */
  readonly facts: readonly Fact[];
  /** Names of its events; of corrections, nothing. */
  readonly names: ReadonlySet<string>;
  readonly hasCorrections: boolean;
}

type Sorted = FactsOfType & { facts: Fact[]; names: Set<string>; hasCorrections: boolean };

/** By the list itself, which nobody changes; gone with it. */
const sorted = new WeakMap<readonly Fact[], ReadonlyMap<string, FactsOfType>>();

/** The facts of this type, corrections included; undefined when there is none. */
export function factsOfType(facts: readonly Fact[], type: string): FactsOfType | undefined {
  let byType = sorted.get(facts);
  if (byType === undefined) sorted.set(facts, (byType = sort(facts)));
  return byType.get(type);
}

function sort(facts: readonly Fact[]): ReadonlyMap<string, FactsOfType> {
  const byType = new Map<string, Sorted>();
  let type: string | undefined;
  let name: string | undefined;
  let own: Sorted | undefined;
  for (let i = 0; i < facts.length; i++) {
    const fact = facts[i]!;
    if (own === undefined || fact.aggregateType !== type) {
      type = fact.aggregateType;
      name = undefined;
      own = byType.get(type);
      if (own === undefined) byType.set(type, (own = { facts: [], names: new Set(), hasCorrections: false }));
    }
    own.facts.push(fact);
    if (isCorrection(fact)) own.hasCorrections = true;
    else if (fact.name !== name) own.names.add((name = fact.name));
  }
  return byType;
}
