/**
 * The folded aggregates of the projections that stand at one position. An event at the end of a history folds onto the
 * state kept here; a late one goes back to the nearest state kept before its place and folds on from there (`fold-tail.ts`),
 * so it costs its distance. It only saves work: what it forgot is folded again from the store, up to the same position.
 */
import type { AggregateModel, FoldState } from '../mapping/event-registry.js';
import type { AggregateKey, Fact } from '../model/event.js';
import { isCorrection } from '../model/correction.js';
import type { Rulings } from '../model/effective-facts.js';
import { compareIdentity } from '../model/event-order.js';
import type { Position } from '../model/position.js';
import type { EventStore } from '../ports/event-store.js';
import { hasSiblings } from '../query/effective-history.js';
import { foldHistory } from '../query/fold-history.js';
import { foldFrom, type Snapshots } from '../query/snapshots.js';
import { stateBytes } from './copy-state.js';
import { Seen } from './seen.js';
import { compareInFold } from './fold-place.js';
import { FoldTail, type Progress } from './fold-tail.js';

/** Stretches of a tail at first and at most. A late event that reaches behind half of a tail doubles them, before one misses it: who has none pays for none. */
const STRETCHES_MIN = 4;
const STRETCHES_MAX = 16;
/** Histories longer than this are folded from a snapshot when they must be read again. */
const LONG_HISTORY = 1_000;
/** Bytes of all states and of all tails kept, about. Tails go first: a state alone takes events in order. */
const STATES_BYTES_MAX = 16 * 1_048_576;
const TAILS_BYTES_MAX = 48 * 1_048_576;
/** Of an entry, beside its state and tail. */
const ENTRY_BYTES = 300;

/** One aggregate's history as folded up to the position. */
export interface Folded {
  readonly state: FoldState;
  readonly events: number;
  readonly initials: number;
  /** -Infinity before the first. */
  readonly eventTimeMax: number;
  /** The last in fold order. */
  readonly last: Fact | undefined;
}

interface Kept extends Progress {
  /** The end of the history, as far as it is kept. */
  tail: FoldTail;
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
  private stretches = STRETCHES_MIN;
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
    const { tail, last } = kept;
    const { bytes } = tail;
    try {
      if (last === undefined || compareInFold(model, facts[0]!, last) > 0) {
        for (let i = 0; i < facts.length; i++) tail.append(model, kept, facts[i]!, this.stretches);
        return true;
      }
      const reach = tail.insert(model, kept, facts, this.stretches);
      if (reach === undefined || reach * 2 > this.stretches) {
        this.stretches = Math.min(this.stretches * 2, STRETCHES_MAX);
      }
      return reach !== undefined;
    } finally {
      this.tailBytes += tail.bytes - bytes;
      const grown = ENTRY_BYTES + tail.stateBytes - kept.bytes;
      kept.bytes += grown;
      this.youngBytes += grown;
    }
  }

  private async load(model: AggregateModel, text: string, key: AggregateKey, position: Position): Promise<Folded> {
    const long = (this.young.get(text) ?? this.old.get(text))?.events ?? 0;
    this.forget(text);
    if (this.snapshots !== undefined && long > LONG_HISTORY) return this.loadLong(model, text, key, position);
    const kept = emptyOf(model);
    const history = await foldHistory(this.store, model, key, { upTo: position }, (fact) =>
      kept.tail.append(model, kept, fact, this.stretches),
    );
    kept.rulings = history.rulings;
    kept.partial = model.conflicts !== 'both';
    kept.bytes = ENTRY_BYTES + kept.tail.stateBytes;
    kept.used = this.sweeps;
    this.tailBytes += kept.tail.bytes;
    this.keep(text, kept);
    if (this.tailBytes > TAILS_BYTES_MAX) this.sweep();
    return kept;
  }

  /** A long history is not read whole: its state comes from the nearest snapshot that holds, and its tail grows with what comes. */
  private async loadLong(model: AggregateModel, text: string, key: AggregateKey, position: Position): Promise<Folded> {
    const found = await foldFrom(this.snapshots, this.store, model, key, { upTo: position }, { long: true });
    const kept: Kept = {
      ...keptOf(found.state),
      events: found.events,
      initials: found.initials,
      eventTimeMax: found.eventTimeMax,
      last: found.last,
      rulings: found.rulings,
      partial: model.conflicts !== 'both',
      used: this.sweeps,
    };
    return this.keep(text, kept);
  }

  private dropTail(kept: Kept): void {
    this.tailBytes -= kept.tail.bytes;
    kept.tail = new FoldTail(kept.tail.stateBytes);
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
      const { tail } = kept;
      const { bytes } = tail;
      while (tail.stretches > 1) tail.shorten();
      this.tailBytes += tail.bytes - bytes;
    });
    each((kept) => this.dropTail(kept));
    this.sweeps++;
  }
}

function emptyOf(model: AggregateModel): Kept {
  return keptOf(model.newState());
}

function keptOf(state: FoldState): Kept {
  const tail = new FoldTail(stateBytes(state));
  return {
    state,
    events: 0,
    initials: 0,
    eventTimeMax: Number.NEGATIVE_INFINITY,
    last: undefined,
    tail,
    rulings: undefined,
    partial: false,
    bytes: ENTRY_BYTES + tail.stateBytes,
    used: 0,
  };
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
  return (kept.last !== undefined && isSibling(kept.last, fact)) || kept.tail.holdsSibling(fact);
}

function isSibling(a: Fact, b: Fact): boolean {
  return compareIdentity(a, b) === 0;
}
