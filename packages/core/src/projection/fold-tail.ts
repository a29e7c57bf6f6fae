/**
 * The end of one history: its last facts in fold order, and states at marks along them. A late fact goes into its place, and
 * everything from the mark before it on folds anew: it costs its distance, never a read.
 */
import type { AggregateModel, FoldState } from '../mapping/event-registry.js';
import type { Fact } from '../model/event.js';
import { compareIdentity, RANK_INITIAL } from '../model/event-order.js';
import { copyState, stateBytes } from './copy-state.js';
import { compareInFold, placeFromEnd, placeInFold } from './fold-place.js';

/**
 * Facts between two marks; late ones may bring it to nearly twice as many, which is what a late event folds beyond its distance at
 * most. A copy of a state costs less than one fold.
 */
const STRETCH_FACTS = 8;
/** Of a fact beside its content. */
const FACT_BYTES = 320;

/** How far one history is folded. */
export interface Progress {
  state: FoldState;
  events: number;
  initials: number;
  /** -Infinity before the first. */
  eventTimeMax: number;
  /** The last in fold order. */
  last: Fact | undefined;
}

/** The state before a stretch of the tail. */
interface Mark {
  state: FoldState;
  events: number;
  /** Of the state, and of the facts up to the next mark. */
  stateBytes: number;
  factBytes: number;
}

export class FoldTail {
  /** Where looks ahead end up, so that no compiler leaves them out. */
  static looked = 0;
  /** The first mark stands before the first of them. */
  private readonly facts: Fact[] = [];
  private readonly marks: Mark[] = [];
  /** The fact before the first; undefined at the beginning of the history. */
  private before: Fact | undefined;
  /** Of all facts and states in it, about. */
  bytes = 0;

  constructor(
    /** What the state came to when it was weighed last. */
    public stateBytes: number,
  ) {}

  /** Folds one more fact at the end, and keeps it. @param stretches kept at most: the first goes when there are more */
  append(model: AggregateModel, to: Progress, fact: Fact, stretches: number): void {
    const { marks } = this;
    let mark = marks[marks.length - 1];
    // A state is copied once for so many facts, and never for fewer bytes of facts than its own.
    if (mark === undefined || (to.events - mark.events >= STRETCH_FACTS && mark.factBytes >= mark.stateBytes)) {
      if (mark === undefined) this.before = to.last;
      marks.push((mark = this.mark(to)));
      if (marks.length > stretches) this.shorten();
    }
    to.state = model.apply(to.state, fact);
    // Initial events fold first: behind another one none follows.
    if (to.initials === to.events && model.rankOf(fact) === RANK_INITIAL) to.initials++;
    to.events++;
    if (fact.eventTime > to.eventTimeMax) to.eventTimeMax = fact.eventTime;
    to.last = fact;
    this.facts.push(fact);
    this.weigh(mark, fact);
  }

  /**
   * Takes facts in, given in fold order, of which the first folds before the last one kept; what is there already is passed
   * over.
   * @returns the stretches that were there behind the first one's mark; undefined, and nothing is changed, when it belongs before the tail
   */
  insert(model: AggregateModel, to: Progress, given: readonly Fact[], stretches: number): number | undefined {
    const { facts, marks, before } = this;
    if (marks.length === 0 || (before !== undefined && compareInFold(model, given[0]!, before) <= 0)) return undefined;
    let reach = 0;
    const late: Fact[] = [];
    const places: number[] = [];
    let next = 0;
    for (let place = placeFromEnd(model, facts, given[0]!); ; place = placeInFold(model, facts, place, given[next]!)) {
      if (place === facts.length) break;
      const fact = given[next++]!;
      if (compareInFold(model, fact, facts[place]!) !== 0) {
        late.push(fact);
        places.push(place);
      }
      if (next === given.length) break;
    }
    if (late.length > 0) {
      reach = this.foldAnew(model, to, late, places);
      while (marks.length > stretches) this.shorten();
    }
    for (; next < given.length; next++) this.append(model, to, given[next]!, stretches);
    return reach;
  }

  /** Gives up the first stretch. */
  shorten(): void {
    const { facts, marks } = this;
    const [first, second] = marks;
    if (first === undefined) return;
    const gone = second === undefined ? facts.length : second.events - first.events;
    this.before = facts[gone - 1];
    facts.splice(0, gone);
    marks.shift();
    this.bytes -= first.stateBytes + first.factBytes;
  }

  get stretches(): number {
    return this.marks.length;
  }

  /** Whether another content of the identity is in it, or right before it. */
  holdsSibling(fact: Fact): boolean {
    const { before } = this;
    if (before !== undefined && compareIdentity(before, fact) === 0) return true;
    return this.facts.some((one) => compareIdentity(one, fact) === 0);
  }

  /** Facts that stand in their places, and everything from the mark before the first of them folded anew. */
  private foldAnew(model: AggregateModel, to: Progress, late: readonly Fact[], places: readonly number[]): number {
    const { facts, marks } = this;
    const start = marks[0]!.events;
    let m = marks.length - 1;
    while (marks[m]!.events - start > places[0]!) m--;
    mergeInto(facts, late, places);
    const reach = marks.length - m;
    let mark = marks[m]!;
    let at = mark.events - start;
    FoldTail.looked = lookAhead(facts, at);
    let state = copyState(mark.state);
    let taken = 0;
    const anew: Mark[] = [];
    for (;;) {
      const following = marks[m + 1];
      const end = following === undefined ? facts.length - late.length : following.events - start;
      for (; taken < late.length && (following === undefined || places[taken]! < end); taken++) {
        this.weigh(mark, late[taken]!);
        if (model.rankOf(late[taken]!) === RANK_INITIAL) to.initials++;
        // One that is late behind others in fold order may be later than they in time.
        to.eventTimeMax = Math.max(to.eventTimeMax, late[taken]!.eventTime);
      }
      const until = end + taken;
      // A stretch that grew long gets marks within.
      const each = mark.factBytes / (until - at);
      while (until - at >= 2 * STRETCH_FACTS && each * STRETCH_FACTS >= mark.stateBytes) {
        for (const stop = at + STRETCH_FACTS; at < stop; at++) state = model.apply(state, facts[at]!);
        const factBytes = Math.round(each * (until - at));
        mark.factBytes -= factBytes;
        mark = { state: copyState(state), events: start + at, stateBytes: mark.stateBytes, factBytes };
        this.bytes += mark.stateBytes;
        marks.splice(++m, 0, mark);
        anew.push(mark);
      }
      for (; at < until; at++) state = model.apply(state, facts[at]!);
      if (following === undefined) break;
      mark = following;
      mark.state = copyState(state);
      mark.events += taken;
      anew.push(mark);
      m++;
    }
    to.state = state;
    to.events += late.length;
    this.weighAnew(anew);
    return reach;
  }

  /** One late event mostly adds the same to each state behind it, so the last of them is weighed for all. */
  private weighAnew(marks: readonly Mark[]): void {
    const last = marks[marks.length - 1];
    if (last === undefined) return;
    this.stateBytes = stateBytes(last.state);
    const grown = this.stateBytes - last.stateBytes;
    if (grown === 0) return;
    for (const mark of marks) {
      const bytes = Math.max(0, mark.stateBytes + grown);
      this.bytes += bytes - mark.stateBytes;
      mark.stateBytes = bytes;
    }
  }

  /** A mark where the history ends now. */
  private mark({ state, events }: Progress): Mark {
    const bytes = stateBytes(state);
    this.stateBytes = bytes;
    this.bytes += bytes;
    return { state: copyState(state), events, stateBytes: bytes, factBytes: 0 };
  }

  private weigh(mark: Mark, fact: Fact): void {
    const bytes = FACT_BYTES + fact.content.length;
    mark.factBytes += bytes;
    this.bytes += bytes;
  }
}

/** Puts each fact at its place, which is given as it was before the first of them came. */
function mergeInto(facts: Fact[], late: readonly Fact[], places: readonly number[]): void {
  let from = facts.length - 1;
  for (const fact of late) facts.push(fact);
  for (let k = late.length - 1, to = facts.length - 1; k >= 0; to--) {
    facts[to] = from >= places[k]! ? facts[from--]! : late[k--]!;
  }
}

/**
 * Facts of one history lie far apart in memory. Looked at all in a row, they are fetched side by side; each while the one before
 * it folds, one after the other.
 */
function lookAhead(facts: readonly Fact[], from: number): number {
  let seen = 0;
  for (let i = from; i < facts.length; i++) {
    const fact = facts[i]!;
    if (Array.isArray(fact.wire) || !fact.isFlat || fact.name === fact.version || fact.eventTime === 0) seen++;
  }
  return seen;
}
