/** The aggregates of a page, each with its facts; their keys are made once and known again by later pages. */
import { aggregateKeyText, type AggregateKey, type Fact } from '../model/event.js';
import { isReserved } from '../time/source-facts.js';
import type { Reach } from './ahead.js';

/** Keys remembered, about 250 bytes each; up to twice as many before the older half goes. */
const KEYS_KEPT = 20_000;

/** An aggregate of one step, by key text. */
export interface Touched {
  readonly text: string;
  readonly key: AggregateKey;
  /** New facts in feed order. */
  readonly facts: Fact[];
  /** The latest event time of its history as it counts, where it was folded; undefined: that of the facts. */
  reach?: Reach | undefined;
  /** The conflict policy may have left out what counted before. */
  judged?: boolean | undefined;
}

interface Known {
  readonly text: string;
  readonly key: AggregateKey;
  /** Another aggregate of the same id. */
  readonly other: Known | undefined;
  /** In the page at hand. */
  touched: Touched | undefined;
  page: number;
}

export class TouchedAggregates {
  private young = new Map<string, Known>();
  private old = new Map<string, Known>();
  private pages = 0;

  /** In the order of their first facts. */
  of(facts: readonly Fact[]): Touched[] {
    const page = ++this.pages;
    const touched: Touched[] = [];
    for (let i = 0; i < facts.length; i++) {
      const fact = facts[i]!;
      // What is said of sources is no aggregate of a user's.
      if (isReserved(fact.aggregateType)) continue;
      const known = this.find(fact);
      if (known.page === page) {
        known.touched!.facts.push(fact);
        continue;
      }
      known.page = page;
      touched.push(
        (known.touched = { text: known.text, key: known.key, facts: [fact], reach: undefined, judged: undefined }),
      );
    }
    if (this.young.size > KEYS_KEPT) {
      this.old = this.young;
      this.young = new Map();
    }
    return touched;
  }

  private find(fact: Fact): Known {
    const id = fact.aggregateId;
    let first = this.young.get(id);
    if (first === undefined && (first = this.old.get(id)) !== undefined) this.young.set(id, first);
    for (let known = first; known !== undefined; known = known.other) {
      if (known.key.type === fact.aggregateType && known.key.tenant === fact.tenant) return known;
    }
    const key = { tenant: fact.tenant, type: fact.aggregateType, id };
    const made: Known = {
      text: aggregateKeyText(key.tenant, key.type, key.id),
      key,
      other: first,
      touched: undefined,
      page: 0,
    };
    this.young.set(id, made);
    return made;
  }
}
