/**
 * The folded aggregates of the projections that stand at one position. An event at the end of a history folds onto the
 * state kept here; a late one refolds from the facts kept (short histories) or from the store. It only saves work:
 * what it forgot is folded again from the store, up to the same position.
 */
import type { AggregateModel, FoldState } from '../mapping/event-registry.js';
import type { AggregateKey, Fact } from '../model/event.js';
import { compareFold, compareKey, RANK_INITIAL } from '../model/event-order.js';
import type { Position } from '../model/position.js';
import type { EventStore } from '../ports/event-store.js';
import { LruMap } from '../processing/lru.js';
import { foldHistory } from '../query/fold-history.js';

/** Histories up to this length keep their facts, so that a late event costs no read. */
const FACTS_KEPT = 32;
/** Facts (and, for long histories, states) kept over all aggregates: about 25 MB at 500 bytes each; larger ones count by their size. */
const CACHE_WEIGHT = 50_000;
/** Characters of content that count as one fact more. */
const CHARACTERS_A_WEIGHT = 512;

function weightOf(fact: Fact): number {
  return 1 + Math.floor(fact.content.length / CHARACTERS_A_WEIGHT);
}

export interface Folded {
  state: FoldState;
  events: number;
  initials: number;
  last: Fact | undefined;
  /** In fold order; undefined for longer histories. */
  facts: Fact[] | undefined;
  /** Of the facts kept. */
  weight: number;
}

export class FoldCache {
  private readonly folded = new LruMap<string, { readonly value: Folded; readonly weight: number }>(
    CACHE_WEIGHT,
    (entry) => entry.weight,
  );

  constructor(private readonly store: EventStore) {}

  clear(): void {
    this.folded.clear();
  }

  forget(text: string): void {
    this.folded.delete(text);
  }

  /**
   * The aggregate's state with `facts` (new at this step, in feed order) taken in; equal to the feed before `position`.
   * Whatever a fold throws goes to the caller, and the aggregate is forgotten.
   */
  advance(
    model: AggregateModel,
    text: string,
    key: AggregateKey,
    facts: readonly Fact[],
    position: Position,
  ): Folded | Promise<Folded> {
    const kept = this.folded.get(text)?.value;
    if (kept === undefined) return this.load(model, text, key, position);
    try {
      for (const fact of facts) {
        if (!this.take(model, kept, fact)) return this.load(model, text, key, position);
      }
    } catch (error) {
      this.folded.delete(text);
      throw error;
    }
    this.keep(text, kept);
    return kept;
  }

  /** Takes one new fact in; false when the history must be read again. */
  private take(model: AggregateModel, kept: Folded, fact: Fact): boolean {
    const rank = model.rankOf(fact);
    const last = kept.last;
    const order = last === undefined ? 1 : rank - model.rankOf(last) || compareKey(fact, last);
    if (order === 0) return true;
    if (order > 0) {
      kept.state = model.apply(kept.state, fact);
      kept.last = fact;
      kept.events++;
      if (rank === RANK_INITIAL) kept.initials++;
      if (kept.facts !== undefined) {
        if (kept.facts.length < FACTS_KEPT) {
          kept.facts.push(fact);
          kept.weight += weightOf(fact);
        } else kept.facts = undefined;
      }
      return true;
    }
    const facts = kept.facts;
    if (facts === undefined) return false;
    const compare = compareFold(model.rankOf.bind(model));
    let at = facts.length;
    while (at > 0 && compare(facts[at - 1]!, fact) > 0) at--;
    facts.splice(at, 0, fact);
    kept.weight += weightOf(fact);
    kept.events++;
    if (rank === RANK_INITIAL) kept.initials++;
    let state = model.newState();
    for (const one of facts) state = model.apply(state, one);
    kept.state = state;
    if (facts.length > FACTS_KEPT) kept.facts = undefined;
    return true;
  }

  private async load(model: AggregateModel, text: string, key: AggregateKey, position: Position): Promise<Folded> {
    this.folded.delete(text);
    let state = model.newState();
    const history = await foldHistory(this.store, model, key, { upTo: position }, (fact) => {
      state = model.apply(state, fact);
    });
    const facts = history.facts !== undefined && history.facts.length <= FACTS_KEPT ? [...history.facts] : undefined;
    const folded: Folded = {
      state,
      events: history.events,
      initials: history.initials,
      last: history.last,
      facts,
      weight: facts === undefined ? 0 : facts.reduce((sum, fact) => sum + weightOf(fact), 0),
    };
    this.keep(text, folded);
    return folded;
  }

  private keep(text: string, value: Folded): void {
    const weight =
      value.facts !== undefined ? value.weight + 1 : FACTS_KEPT + (value.last === undefined ? 0 : weightOf(value.last));
    const kept = this.folded.get(text);
    if (kept?.value !== value || kept.weight !== weight) this.folded.set(text, { value, weight });
  }
}
