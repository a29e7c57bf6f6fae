/**
 * From a stored history to a state, in fold order, without holding a long history in memory: one page is sorted and
 * folded; a longer one has its ranked events (initial, ordered, terminal) read first and the plain ones streamed between them.
 */
import type { AggregateModel } from '../mapping/event-registry.js';
import type { AggregateKey, Fact } from '../model/event.js';
import { compareFold, RANK_INITIAL, RANK_PLAIN } from '../model/event-order.js';
import { isCorrection } from '../model/correction.js';
import { effectiveFacts, Rulings } from '../model/effective-facts.js';
import { InvalidEventError } from '../model/errors.js';
import type { EventStore, HistoryPages, ReadOptions } from '../ports/event-store.js';
import { readEffective, rulingsOf } from './effective-history.js';

/** Histories up to this length are sorted in memory. */
const PAGE = 1_000;
/** How many ranked events one history may have, and characters of content in them, before it is refused: they are held in memory. */
export const RANKED_MAX = 10_000;
const RANKED_CHARACTERS_MAX = 32 * 1_048_576;

export interface FoldedHistory {
  readonly events: number;
  readonly initials: number;
  /** In fold order; undefined when the history was longer than a page. */
  readonly facts: readonly Fact[] | undefined;
  /** Folded last; undefined for an empty history. */
  readonly last: Fact | undefined;
  readonly eventTimeMax: number;
  /** Undefined when nothing of the history was corrected. */
  readonly rulings: Rulings | undefined;
}

/** Takes one fact and its rank. */
export type EachFact = (fact: Fact, rank: number) => void;

/** Takes a page that folds as it comes, instead of a call for each of its facts. */
export type EachPage = (page: readonly Fact[]) => void;

/** Event time up to which, moment up to which: what a fold may be asked for. */
export type FoldBounds = Omit<ReadOptions, 'pageSize' | 'descending' | 'names'>;

const NOTHING: FoldedHistory = {
  events: 0,
  initials: 0,
  facts: [],
  last: undefined,
  eventTimeMax: Number.NEGATIVE_INFINITY,
  rulings: undefined,
};

/** A bound without an end is none. */
function isWhole(range: FoldBounds['range']): boolean {
  return range === undefined || (range.from === undefined && range.to === undefined);
}

// A history that is read whole in one page brings its corrections along; else they are looked up first.
function pagesOf(
  store: EventStore,
  model: AggregateModel,
  key: AggregateKey,
  options: FoldBounds,
  pageSize: number,
): HistoryPages {
  return isWhole(options.range)
    ? store.read(key, { ...options, pageSize })
    : readEffective(store, model.conflicts, key, { ...options, pageSize });
}

/**
 * Calls `each` for every fact in fold order, or `plain` for all of them, if the history is no longer than one page and the
 * store has it without waiting; else neither is called and the answer is undefined.
 * @param pageSize 1 to 1,000 facts
 */
export function foldAtOnce(
  store: EventStore,
  model: AggregateModel,
  key: AggregateKey,
  options: FoldBounds,
  each: EachFact,
  plain: EachPage,
  pageSize = PAGE,
): FoldedHistory | undefined {
  if (!isWhole(options.range)) return undefined;
  const page = store.read(key, { ...options, pageSize: Math.min(pageSize, PAGE) }).whole?.();
  return page === undefined ? undefined : foldPage(model, options, page, each, plain);
}

/**
 * Calls `each` for every fact in fold order, or `plain` for all of them, if the history fits into one page; else neither is
 * called and the answer is undefined.
 * @param pageSize 1 to 1,000 facts
 */
export async function foldShort(
  store: EventStore,
  model: AggregateModel,
  key: AggregateKey,
  options: FoldBounds,
  each: EachFact,
  plain: EachPage,
  pageSize = PAGE,
): Promise<FoldedHistory | undefined> {
  const pages = pagesOf(store, model, key, options, Math.min(pageSize, PAGE))[Symbol.asyncIterator]();
  const first = await pages.next();
  if (first.done === true) return NOTHING;
  const second = await pages.next();
  if (second.done === true) return foldPage(model, options, first.value, each, plain);
  await pages.return?.();
  return undefined;
}

/**
 * Calls `each` for every fact in fold order, or `plain` for a page of them. A promise only where the history is longer than
 * one page, or the store waits for it: what a fold throws is thrown or rejected with accordingly.
 * @throws InvalidEventError `LIMIT_EXCEEDED` when a history has more than 10,000 ranked events
 */
export function foldHistory(
  store: EventStore,
  model: AggregateModel,
  key: AggregateKey,
  options: FoldBounds,
  each: EachFact,
  plain?: EachPage,
): FoldedHistory | Promise<FoldedHistory> {
  const pages = pagesOf(store, model, key, options, PAGE);
  const whole = pages.whole?.();
  return whole === undefined
    ? foldPages(store, model, key, options, pages, each, plain)
    : foldPage(model, options, whole, each, plain);
}

async function foldPages(
  store: EventStore,
  model: AggregateModel,
  key: AggregateKey,
  options: FoldBounds,
  read: HistoryPages,
  each: EachFact,
  plain: EachPage | undefined,
): Promise<FoldedHistory> {
  const pages = read[Symbol.asyncIterator]();
  const first = await pages.next();
  if (first.done === true) return NOTHING;
  // A short page need not be the last: large facts make short pages.
  const second = await pages.next();
  if (second.done === true) return foldPage(model, options, first.value, each, plain);
  if (isWhole(options.range)) {
    const rulings = await rulingsOf(store, key, options);
    if (!rulings.isEmpty || model.conflicts !== 'both') {
      await pages.return?.();
      const effective = readEffective(store, model.conflicts, key, { ...options, pageSize: PAGE })[
        Symbol.asyncIterator
      ]();
      return foldLong(store, model, key, options, effective, [], rulings.isEmpty ? undefined : rulings, each, plain);
    }
  }
  return foldLong(store, model, key, options, pages, [first.value, second.value], undefined, each, plain);
}

/** A page of a range is corrected already: judged again, events that amendments made alike would pass for a conflict. */
function foldPage(
  model: AggregateModel,
  options: FoldBounds,
  page: readonly Fact[],
  each: EachFact,
  plain: EachPage | undefined,
): FoldedHistory {
  if (page.length === 0) return NOTHING;
  // Without corrections, and without a policy that judges conflicts, most histories are what they hold, as they stand.
  if (plain !== undefined && model.conflicts === 'both' && model.foldsAsItComes(page)) {
    plain(page);
    const last = page[page.length - 1]!;
    return { events: page.length, initials: 0, facts: page, last, eventTimeMax: last.eventTime, rulings: undefined };
  }
  if (!isWhole(options.range)) return tally(model, inFoldOrder(model, page), undefined, each);
  const rulings = page.some(isCorrection) ? new Rulings(page) : undefined;
  return tally(model, inFoldOrder(model, effectiveFacts(page, model.conflicts, rulings)), rulings, each);
}

/** Sorts only when needed: key order is fold order for histories without ranks out of place. */
export function inFoldOrder(model: AggregateModel, facts: readonly Fact[]): readonly Fact[] {
  let before = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < facts.length; i++) {
    const rank = model.rankOf(facts[i]!);
    if (rank < before) return [...facts].sort(compareFold(model.rankOf.bind(model)));
    before = rank;
  }
  return facts;
}

function tally(
  model: AggregateModel,
  facts: readonly Fact[],
  rulings: Rulings | undefined,
  each: EachFact,
): FoldedHistory {
  let initials = 0;
  let eventTimeMax = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < facts.length; i++) {
    const fact = facts[i]!;
    const rank = model.rankOf(fact);
    if (rank === RANK_INITIAL) initials++;
    if (fact.eventTime > eventTimeMax) eventTimeMax = fact.eventTime;
    each(fact, rank);
  }
  return { events: facts.length, initials, facts, last: facts.at(-1), eventTimeMax, rulings };
}

async function foldLong(
  store: EventStore,
  model: AggregateModel,
  key: AggregateKey,
  options: FoldBounds,
  rest: AsyncIterator<readonly Fact[]>,
  started: readonly (readonly Fact[])[],
  rulings: Rulings | undefined,
  each: EachFact,
  asItComes: EachPage | undefined,
): Promise<FoldedHistory> {
  const names = [...model.events.values()].filter((event) => event.rank !== RANK_PLAIN).map((event) => event.name);
  const known = new Set(names);
  const ranked: Fact[] = [];
  let characters = 0;
  if (names.length > 0) {
    for await (const page of readEffective(store, model.conflicts, key, { ...options, names, pageSize: PAGE })) {
      for (const fact of page) {
        ranked.push(fact);
        characters += fact.content.length;
      }
      if (ranked.length > RANKED_MAX || characters > RANKED_CHARACTERS_MAX) {
        throw new InvalidEventError(
          'LIMIT_EXCEEDED',
          `${key.type} ${key.id} has more than ${RANKED_MAX} initial, ordered and terminal events, or more than ${RANKED_CHARACTERS_MAX} characters in them.`,
          {
            fix: 'Declare events that come this often without a causal rank.',
          },
        );
      }
    }
  }
  ranked.sort(compareFold(model.rankOf.bind(model)));
  let events = 0;
  let initials = 0;
  let eventTimeMax = Number.NEGATIVE_INFINITY;
  let last: Fact | undefined;
  const one = (fact: Fact, rank: number): void => {
    events++;
    if (fact.eventTime > eventTimeMax) eventTimeMax = fact.eventTime;
    last = fact;
    each(fact, rank);
  };
  const split = ranked.findIndex((fact) => model.rankOf(fact) > RANK_PLAIN);
  const before = split === -1 ? ranked.length : split;
  for (let i = 0; i < before; i++) {
    const rank = model.rankOf(ranked[i]!);
    if (rank === RANK_INITIAL) initials++;
    one(ranked[i]!, rank);
  }
  const plain = (page: readonly Fact[]): void => {
    if (asItComes !== undefined && model.foldsAsItComes(page)) {
      asItComes(page);
      events += page.length;
      last = page[page.length - 1]!;
      if (last.eventTime > eventTimeMax) eventTimeMax = last.eventTime;
      return;
    }
    for (let i = 0; i < page.length; i++) {
      const fact = page[i]!;
      const rank = model.rankOf(fact);
      if (rank !== RANK_PLAIN && known.has(fact.name)) continue;
      // Of a name the aggregate knows no more: it changes no state, but it is there.
      if (rank === RANK_INITIAL) initials++;
      one(fact, rank);
    }
  };
  for (const page of started) plain(page);
  for (let page = await rest.next(); page.done !== true; page = await rest.next()) plain(page.value);
  for (let i = before; i < ranked.length; i++) one(ranked[i]!, model.rankOf(ranked[i]!));
  return { events, initials, facts: undefined, last, eventTimeMax, rulings };
}
