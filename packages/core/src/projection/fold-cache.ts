/**
 * The folded aggregates of the projections that stand at one position. An event at the end of a history folds onto the
 * state kept here; a late one goes back to the nearest state kept before its place and folds on from there, so it costs
 * its distance. It only saves work: what it forgot is folded again from the store, up to the same position.
 */
import type { AggregateModel, FoldState } from '../mapping/event-registry.js';
import type { AggregateKey, Fact } from '../model/event.js';
import { isCorrection } from '../model/correction.js';
import type { Rulings } from '../model/effective-facts.js';
import { compareIdentity, RANK_INITIAL } from '../model/event-order.js';
import type { Position } from '../model/position.js';
import type { EventStore } from '../ports/event-store.js';
import { hasSiblings } from '../query/effective-history.js';
import { foldHistory } from '../query/fold-history.js';
import { foldFrom, type Snapshots } from '../query/snapshots.js';
import { copyState, stateBytes } from './copy-state.js';
import { Seen } from './seen.js';
import { compareInFold, placeInFold } from './fold-place.js';

/** Facts between two states of a tail: what a late event folds beyond its distance. A copy costs less than one fold. */
const SEGMENT_FACTS = 8;
/** Segments of a tail at first and at most. Each late event that came before its tail doubles them: who has none pays for none. */
const SEGMENTS_MIN = 4;
const SEGMENTS_MAX = 16;
/** Histories longer than this are folded from a snapshot when they must be read again. */
const LONG_HISTORY = 1_000;
/** Bytes of all states and of all tails kept, about. Tails go first: a state alone takes events in order. */
const STATES_BYTES_MAX = 16 * 1_048_576;
const TAILS_BYTES_MAX = 48 * 1_048_576;
/** Of an entry, and of a fact beside its content. */
const ENTRY_BYTES = 300;
const FACT_BYTES = 320;

/** A stretch of a history, and the state before it. */
interface Segment {
  readonly state: FoldState;
  readonly events: number;
  readonly initials: number;
  /** The fact before its first; undefined at the beginning of the history. */
  readonly before: Fact | undefined;
  /** In fold order. */
  readonly facts: Fact[];
  /** Of the state, and of the facts. */
  readonly stateBytes: number;
  factBytes: number;
}

/** One aggregate's history as folded up to the position. */
export interface Folded {
  readonly state: FoldState;
  readonly events: number;
  readonly initials: number;
  /** The last in fold order. */
  readonly last: Fact | undefined;
}

interface Kept extends Folded {
  state: FoldState;
  events: number;
  initials: number;
  last: Fact | undefined;
  /** The end of the history, as far as it is kept: nothing, or segments that follow each other. */
  tail: Segment[];
  /** The corrections of its history; undefined when there are none. */
  rulings: Rulings | undefined;
  /** Some of its contents may have been left out by the conflict policy: they are in no tail, so the store says what is contested. */
  partial: boolean;
  /** What it counts among the states, as weighed last. */
  bytes: number;
  /** The sweep of tails in which it was used last. */
  used: number;
}

export class FoldCache {
  // Two generations instead of an order of use: what neither saw again is dropped as a whole.
  private young = new Map<string, Kept>();
  private old = new Map<string, Kept>();
  private youngBytes = 0;
  private tailBytes = 0;
  private sweeps = 0;
  private segments = SEGMENTS_MIN;
  /** Aggregates that had facts and are not kept; undefined when there may be any. */
  private dropped: Seen | undefined;

  /** @param fromStart nothing was read before: an aggregate never seen has no history, and needs no read */
  constructor(
    private readonly store: EventStore,
    fromStart: boolean,
    private readonly snapshots?: Snapshots | undefined,
  ) {
    this.dropped = fromStart ? new Seen() : undefined;
  }

  clear(): void {
    this.young.clear();
    this.old.clear();
    this.youngBytes = 0;
    this.tailBytes = 0;
    this.dropped = undefined;
  }

  /** The aggregate had facts that no projection folds now. */
  forget(text: string): void {
    const kept = this.young.get(text) ?? this.old.get(text);
    if (kept !== undefined) {
      this.dropTail(kept);
      if (this.young.delete(text)) this.youngBytes -= kept.bytes;
      this.old.delete(text);
    }
    this.dropped?.add(text);
  }

  /**
   * The aggregate's state with `facts` (new at this step, in feed order) taken in; equal to the feed before `position`.
   * It is changed by the next call. Whatever a fold throws goes to the caller, and the aggregate is forgotten.
   */
  advance(
    model: AggregateModel,
    text: string,
    key: AggregateKey,
    facts: readonly Fact[],
    position: Position,
  ): Folded | Promise<Folded> {
    let kept = this.find(text);
    if (kept === undefined) {
      if (this.dropped === undefined || this.dropped.has(text)) return this.load(model, text, key, position);
      kept = this.keep(text, emptyOf(model));
    }
    if (changesMeaning(model, kept, facts)) return this.load(model, text, key, position);
    return kept.partial
      ? this.advancePartial(model, text, key, kept, facts, position)
      : this.extend(model, text, key, kept, facts, position);
  }

  private async advancePartial(
    model: AggregateModel,
    text: string,
    key: AggregateKey,
    kept: Kept,
    facts: readonly Fact[],
    position: Position,
  ): Promise<Folded> {
    const again = await hasSiblings(this.store, key, facts, position);
    return again ? this.load(model, text, key, position) : this.extend(model, text, key, kept, facts, position);
  }

  /** The facts add to what is kept, and change none of it. */
  private extend(
    model: AggregateModel,
    text: string,
    key: AggregateKey,
    kept: Kept,
    facts: readonly Fact[],
    position: Position,
  ): Folded | Promise<Folded> {
    try {
      if (!this.take(model, kept, facts.length === 1 ? facts : model.sortFold(facts.slice()))) {
        return this.load(model, text, key, position);
      }
    } catch (error) {
      this.forget(text);
      throw error;
    }
    kept.used = this.sweeps;
    if (this.tailBytes > TAILS_BYTES_MAX) this.sweep();
    return kept;
  }

  private find(text: string): Kept | undefined {
    const kept = this.young.get(text);
    if (kept !== undefined) return kept;
    const older = this.old.get(text);
    if (older === undefined) return undefined;
    this.old.delete(text);
    return this.keep(text, older);
  }

  private keep(text: string, kept: Kept): Kept {
    this.young.set(text, kept);
    this.youngBytes += kept.bytes;
    if (this.youngBytes * 2 <= STATES_BYTES_MAX) return kept;
    for (const [each, gone] of this.old) {
      this.dropTail(gone);
      this.dropped?.add(each);
    }
    this.old = this.young;
    this.young = new Map();
    this.youngBytes = 0;
    return kept;
  }

  /** Takes facts in, given in fold order; false when the history must be read again. */
  private take(model: AggregateModel, kept: Kept, facts: readonly Fact[]): boolean {
    const { last } = kept;
    if (last === undefined || compareInFold(model, facts[0]!, last) > 0) {
      for (let i = 0; i < facts.length; i++) this.append(model, kept, facts[i]!);
      return true;
    }
    return this.insert(model, kept, facts);
  }

  /** Folds one more fact at the end. */
  private append(model: AggregateModel, kept: Kept, fact: Fact): void {
    const { tail } = kept;
    let segment = tail[tail.length - 1];
    // A state is copied once for so many facts, and never for fewer bytes of facts than its own.
    if (segment === undefined || (segment.facts.length >= SEGMENT_FACTS && segment.factBytes >= segment.stateBytes)) {
      segment = this.segment(kept);
      tail.push(segment);
      if (tail.length > this.segments) this.tailBytes -= bytesOf(tail.shift()!);
    }
    kept.state = model.apply(kept.state, fact);
    // Initial events fold first: behind another one none follows.
    if (kept.initials === kept.events && model.rankOf(fact) === RANK_INITIAL) kept.initials++;
    kept.events++;
    kept.last = fact;
    segment.facts.push(fact);
    const bytes = FACT_BYTES + fact.content.length;
    segment.factBytes += bytes;
    this.tailBytes += bytes;
  }

  /** A stretch that begins where the history ends now. */
  private segment(kept: Kept): Segment {
    const bytes = stateBytes(kept.state);
    this.tailBytes += bytes;
    const grown = ENTRY_BYTES + bytes - kept.bytes;
    kept.bytes += grown;
    this.youngBytes += grown;
    return {
      state: copyState(kept.state),
      events: kept.events,
      initials: kept.initials,
      before: kept.last,
      facts: [],
      stateBytes: bytes,
      factBytes: 0,
    };
  }

  /** Late facts: back to the state before their place, then everything from there on in order. */
  private insert(model: AggregateModel, kept: Kept, late: readonly Fact[]): boolean {
    const { tail } = kept;
    let s = tail.length - 1;
    const first = late[0]!;
    for (; s >= 0; s--) {
      const { before } = tail[s]!;
      if (before === undefined || compareInFold(model, first, before) > 0) break;
    }
    if (s < 0) {
      this.segments = Math.min(this.segments * 2, SEGMENTS_MAX);
      return false;
    }
    const back = tail.splice(s);
    const { state, events, initials, before } = back[0]!;
    const known: Fact[] = [];
    for (const segment of back) {
      for (const fact of segment.facts) known.push(fact);
      this.tailBytes -= bytesOf(segment);
    }
    kept.state = state;
    kept.events = events;
    kept.initials = initials;
    kept.last = before;
    let k = 0;
    for (const fact of late) {
      // Few are late and many stand behind them: a place is looked for, not walked to.
      const place = placeInFold(model, known, k, fact);
      for (; k < place; k++) this.append(model, kept, known[k]!);
      if (k < known.length && compareInFold(model, fact, known[k]!) === 0) continue;
      this.append(model, kept, fact);
    }
    for (; k < known.length; k++) this.append(model, kept, known[k]!);
    return true;
  }

  private async load(model: AggregateModel, text: string, key: AggregateKey, position: Position): Promise<Folded> {
    const long = (this.young.get(text) ?? this.old.get(text))?.events ?? 0;
    this.forget(text);
    if (this.snapshots !== undefined && long > LONG_HISTORY) return this.loadLong(model, text, key, position);
    const kept = emptyOf(model);
    try {
      const history = await foldHistory(this.store, model, key, { upTo: position }, (fact) =>
        this.append(model, kept, fact),
      );
      kept.rulings = history.rulings;
      kept.partial = model.conflicts !== 'both';
    } catch (error) {
      this.dropTail(kept);
      throw error;
    } finally {
      this.youngBytes -= kept.bytes - ENTRY_BYTES; // counted while it grew, and as a whole below
    }
    kept.used = this.sweeps;
    this.keep(text, kept);
    if (this.tailBytes > TAILS_BYTES_MAX) this.sweep();
    return kept;
  }

  /** A long history is not read whole: its state comes from the nearest snapshot that holds, and its tail grows with what comes. */
  private async loadLong(model: AggregateModel, text: string, key: AggregateKey, position: Position): Promise<Folded> {
    const found = await foldFrom(this.snapshots, this.store, model, key, { upTo: position }, { long: true });
    const kept: Kept = {
      ...emptyOf(model),
      state: found.state,
      events: found.events,
      initials: found.initials,
      last: found.last,
      rulings: found.rulings,
      partial: model.conflicts !== 'both',
      bytes: ENTRY_BYTES + stateBytes(found.state),
      used: this.sweeps,
    };
    return this.keep(text, kept);
  }

  private dropTail(kept: Kept): void {
    for (const segment of kept.tail) this.tailBytes -= bytesOf(segment);
    kept.tail = [];
  }

  /** Frees a quarter: first the tails not used since the last sweep, then all but the last stretch of each, then those as they come. */
  private sweep(): void {
    const enough = TAILS_BYTES_MAX * 0.75;
    const each = (free: (kept: Kept) => void): void => {
      for (const map of [this.old, this.young]) {
        for (const kept of map.values()) {
          if (this.tailBytes <= enough) return;
          free(kept);
        }
      }
    };
    each((kept) => {
      if (kept.used < this.sweeps) this.dropTail(kept);
    });
    each((kept) => {
      while (kept.tail.length > 1) this.tailBytes -= bytesOf(kept.tail.shift()!);
    });
    each((kept) => this.dropTail(kept));
    this.sweeps++;
  }
}

function emptyOf(model: AggregateModel): Kept {
  return {
    state: model.newState(),
    events: 0,
    initials: 0,
    last: undefined,
    tail: [],
    rulings: undefined,
    partial: false,
    bytes: ENTRY_BYTES,
    used: 0,
  };
}

function bytesOf(segment: Segment): number {
  return segment.stateBytes + segment.factBytes;
}

/** Whether new facts change what others mean, or mean something else themselves: then the history is read again, corrected. */
function changesMeaning(model: AggregateModel, kept: Kept, facts: readonly Fact[]): boolean {
  const { rulings } = kept;
  if (rulings !== undefined && model.conflicts !== 'both') return true;
  for (let i = 0; i < facts.length; i++) {
    const fact = facts[i]!;
    if (isCorrection(fact) || rulings?.of(fact) !== undefined) return true;
    if (
      model.conflicts !== 'both' &&
      (isInTail(kept, fact) || facts.some((other, j) => j < i && isSibling(other, fact)))
    )
      return true;
  }
  return false;
}

/** Whether another content of the identity is among what is kept. What is older than the tail is read again anyway. */
function isInTail(kept: Kept, fact: Fact): boolean {
  if (kept.last !== undefined && isSibling(kept.last, fact)) return true;
  for (const { before, facts } of kept.tail) {
    if (before !== undefined && isSibling(before, fact)) return true;
    for (const one of facts) if (isSibling(one, fact)) return true;
  }
  return false;
}

function isSibling(a: Fact, b: Fact): boolean {
  return compareIdentity(a, b) === 0;
}
