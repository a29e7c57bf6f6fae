/**
 * Lays snapshots: folds a history as known at one moment and keeps the state at places that lie ever farther apart behind
 * its end, so that a late event, or a question about the past, finds one about as far behind it as it is late.
 */
import type { AggregateModel, FoldState } from '../mapping/event-registry.js';
import type { Rulings } from '../model/effective-facts.js';
import type { AggregateKey, Fact } from '../model/event.js';
import { compareFold, RANK_INITIAL, RANK_PLAIN, RANK_TERMINAL } from '../model/event-order.js';
import { compareProcessingIds, parseProcessingId } from '../model/processing-id.js';
import type { EventStore, KnownOptions, ReadOptions } from '../ports/event-store.js';
import { readEffective, rulingsOf, type HistoryReader } from './effective-history.js';
import { RANKED_MAX } from './fold-history.js';
import { LIST_CHARACTERS_MAX, LIST_MAX, ORIGINS_MAX, type Rung } from './snapshot-form.js';
import { foldsBefore, originsOf, placeOf } from './snapshot-validity.js';
import { decodeState, encodeState, Unfit } from './state-codec.js';
import { countAbove } from './tally.js';

const PAGE = 1_000;
/** After each snapshot so many events are also folded on a copy of it: the copy must go on as the original does. */
const TRIAL_EVENTS = 64;

export interface Climb {
  readonly store: EventStore;
  readonly model: AggregateModel;
  readonly key: AggregateKey;
  /** One moment, closed: what is recorded later is not in any of the snapshots. */
  readonly moment: KnownOptions;
  /** Valid at that moment; undefined: from the beginning. */
  readonly from: Rung | undefined;
  /** Numbers of events after which a snapshot is wanted, ascending; it ends with the next whole millisecond. */
  readonly places: readonly number[];
  /** Event time at which one is wanted too, and none behind it if it is near: everything up to it has come. -Infinity when nothing is known. */
  readonly settledUpTo: number;
  /** How many events are near. */
  readonly everyEvents: number;
  /** Between pages: lets others go on. */
  readonly pause: () => Promise<void>;
}

export interface Climbed {
  readonly rungs: readonly Rung[];
  /** Events of the history at that moment, without terminal ones. */
  readonly events: number;
  /** Why states of this aggregate cannot be kept; none of the rungs may be used then. */
  readonly flaw: string | undefined;
}

/** Undefined when the history behind `from` shows that it does not hold. Whatever a fold throws goes to the caller. */
export async function climb(parts: Climb): Promise<Climbed | undefined> {
  const { store, model, key, moment, from } = parts;
  const watch = new Watch(store);
  const rulings = await rulingsOf(watch, key, moment);
  const walk = new Walk(model, from);
  if (from === undefined && !(await walk.takeRanked(watch, key, moment)))
    return { rungs: [], events: 0, flaw: undefined };
  const rungs: Rung[] = [];
  let trial: Trial | undefined;
  let next = 0;
  let settled: Rung | undefined;
  const range: ReadOptions['range'] = from === undefined ? {} : { from: from.through, fromExclusive: true };
  try {
    for await (const page of readEffective(
      watch,
      model.conflicts,
      key,
      { ...moment, range, pageSize: PAGE },
      rulings,
    )) {
      for (const fact of page) {
        if (from !== undefined && foldsBefore(model, from, fact)) return undefined;
        const place = placeOf(model, fact.name);
        if (place < RANK_PLAIN) continue;
        const { through } = walk;
        // Known to end a millisecond: another one has begun.
        if (fact.eventTime > through && walk.tail > 0) {
          const settles = through <= parts.settledUpTo && parts.settledUpTo < fact.eventTime;
          let wanted = settles;
          while (next < parts.places.length && parts.places[next]! <= walk.events) {
            wanted = true;
            next++;
          }
          if (wanted && watch.eventTimeMax > through) {
            const rung = walk.rung(watch, rulings);
            if (rung !== undefined) {
              trial?.end(model, walk.state);
              trial = new Trial(model, rung);
              rungs.push(rung);
              if (settles) settled = rung;
            }
          }
        }
        if (place > RANK_PLAIN) walk.takeTerminal(fact);
        else {
          walk.takePlain(fact);
          if (trial?.take(model, fact, walk.state) === true) trial = undefined;
        }
      }
      await parts.pause();
    }
    trial?.end(model, walk.state);
  } catch (error) {
    if (error instanceof Unfit) return { rungs: [], events: walk.events, flaw: error.message };
    throw error;
  }
  // What is not settled yet is likely to change: a snapshot of it would soon be overtaken.
  if (settled !== undefined && walk.events - settled.events < parts.everyEvents) {
    rungs.splice(rungs.indexOf(settled) + 1);
  }
  return { rungs, events: walk.events, flaw: undefined };
}

/** The fold under way, with the counts that a rung holds. */
class Walk {
  state: FoldState;
  events: number;
  /** Event time of the plain or terminal event met last. */
  through: number;
  /** Plain events taken since the start. */
  tail = 0;
  private last: Fact | undefined;
  private initials: number;
  private ranked: number;
  private eventTimeMax: number;
  /** Of ranked events; those at or before the start are left out, which come before every terminal event still to come. */
  private rankedTimes: readonly number[];
  private firstTerminal: number;
  private afterTerminal: number;
  private readonly terminals: Fact[];

  constructor(
    private readonly model: AggregateModel,
    private readonly from: Rung | undefined,
  ) {
    this.state = from === undefined ? model.newState() : decodeState(model, from.state);
    this.events = from?.events ?? 0;
    this.through = from?.through ?? Number.NEGATIVE_INFINITY;
    this.last = from?.last;
    this.initials = from?.initials ?? 0;
    this.ranked = from?.ranked ?? 0;
    this.eventTimeMax = from?.eventTimeMax ?? Number.NEGATIVE_INFINITY;
    this.rankedTimes = from?.above ?? [];
    this.firstTerminal = from?.firstTerminal ?? Number.POSITIVE_INFINITY;
    this.afterTerminal = from?.afterTerminal ?? 0;
    this.terminals = [...(from?.terminals ?? [])];
  }

  /** False when there are too many of them to fold the history at all. */
  async takeRanked(store: HistoryReader, key: AggregateKey, moment: KnownOptions): Promise<boolean> {
    const { model } = this;
    const names = [...model.events.values()].filter((event) => event.rank < RANK_PLAIN).map((event) => event.name);
    const facts: Fact[] = [];
    if (names.length > 0) {
      for await (const page of readEffective(store, model.conflicts, key, { ...moment, names, pageSize: PAGE })) {
        facts.push(...page);
        if (facts.length > RANKED_MAX) return false;
      }
    }
    facts.sort(compareFold((fact) => model.rankOf(fact)));
    for (const fact of facts) {
      this.state = model.apply(this.state, fact);
      if (model.rankOf(fact) === RANK_INITIAL) this.initials++;
      this.see(fact);
    }
    this.ranked = facts.length;
    this.rankedTimes = facts.map((fact) => fact.eventTime);
    return true;
  }

  takePlain(fact: Fact): void {
    const { model } = this;
    this.state = model.apply(this.state, fact);
    // Of a name the aggregate does not know: what it says of itself is counted.
    const rank = model.rankOf(fact);
    if (rank === RANK_INITIAL) this.initials++;
    if (rank === RANK_TERMINAL) this.end(fact);
    this.see(fact);
    if (fact.eventTime > this.firstTerminal) this.afterTerminal++;
    this.through = fact.eventTime;
    this.last = fact;
    this.tail++;
  }

  takeTerminal(fact: Fact): void {
    this.terminals.push(fact);
    this.through = fact.eventTime;
    this.end(fact);
  }

  /** Facts come by event time, so the first terminal one that is met is the first, and no plain one so far is later. */
  private end(fact: Fact): void {
    if (this.firstTerminal !== Number.POSITIVE_INFINITY) return;
    this.firstTerminal = fact.eventTime;
    this.afterTerminal = countAbove(this.rankedTimes, fact.eventTime);
  }

  private see(fact: Fact): void {
    this.events++;
    if (fact.eventTime > this.eventTimeMax) this.eventTimeMax = fact.eventTime;
  }

  /** Undefined when its lists would be too long. @throws Unfit */
  rung(watch: Watch, rulings: Rulings): Rung | undefined {
    const { from, terminals, through } = this;
    const above = this.rankedTimes.filter((time) => time > through);
    const origins = originsOf(rulings, through);
    if (above.length > LIST_MAX || terminals.length > LIST_MAX || origins.length > ORIGINS_MAX) return undefined;
    let characters = charactersOf(this.last!);
    for (const fact of terminals) characters += charactersOf(fact);
    if (characters > LIST_CHARACTERS_MAX) return undefined;
    const newest =
      from !== undefined && compareProcessingIds(from.newest.id, watch.newest!.processingId) > 0
        ? from.newest
        : { id: watch.newest!.processingId, eventTime: watch.newest!.eventTime, name: watch.newest!.name };
    const ended = this.firstTerminal !== Number.POSITIVE_INFINITY;
    return {
      through,
      eventTimeMax: Math.max(this.eventTimeMax, through),
      newest,
      recorded: parseProcessingId(newest.id),
      events: this.events,
      initials: this.initials,
      ranked: this.ranked,
      above,
      firstTerminal: ended ? this.firstTerminal : undefined,
      afterTerminal: this.afterTerminal,
      terminals: [...terminals],
      last: this.last!,
      origins,
      state: encodeState(this.model, this.state),
    };
  }
}

function charactersOf(fact: Fact): number {
  return fact.content.length + (fact.amends === undefined ? 0 : charactersOf(fact.amends));
}

/** A copy that folds on beside its original. */
class Trial {
  private state: FoldState;
  private left = TRIAL_EVENTS;

  constructor(model: AggregateModel, rung: Rung) {
    this.state = decodeState(model, rung.state);
    if (encodeState(model, this.state) !== rung.state) throw new Unfit('it does not come back from text as it was');
  }

  /** True when it is over. @throws Unfit */
  take(model: AggregateModel, fact: Fact, original: FoldState): boolean {
    try {
      this.state = model.apply(this.state, fact);
    } catch (cause) {
      throw new Unfit(`a copy of it cannot go on where the original can (${String(cause).slice(0, 200)})`, { cause });
    }
    if (--this.left > 0) return false;
    this.end(model, original);
    return true;
  }

  /** @throws Unfit */
  end(model: AggregateModel, original: FoldState): void {
    if (encodeState(model, this.state) !== encodeState(model, original)) {
      throw new Unfit('a copy of it does not go on as the original does');
    }
  }
}

/** Notes which stored facts a fold was made from, also those that corrections leave out. */
class Watch implements HistoryReader {
  /** Recorded last. */
  newest: Fact | undefined;
  eventTimeMax = Number.NEGATIVE_INFINITY;

  constructor(private readonly store: HistoryReader) {}

  private see(facts: readonly Fact[]): void {
    for (const fact of facts) {
      if (fact.eventTime > this.eventTimeMax) this.eventTimeMax = fact.eventTime;
      const { newest } = this;
      if (newest !== undefined && fact.processedAt < newest.processedAt) continue;
      if (
        newest === undefined ||
        fact.processedAt > newest.processedAt ||
        compareProcessingIds(fact.processingId, newest.processingId) > 0
      ) {
        this.newest = fact;
      }
    }
  }

  async *read(key: AggregateKey, options?: ReadOptions): AsyncGenerator<readonly Fact[]> {
    for await (const page of this.store.read(key, options)) {
      this.see(page);
      yield page;
    }
  }

  async readMany(
    keys: readonly AggregateKey[],
    options?: Omit<ReadOptions, 'pageSize' | 'signal'>,
  ): Promise<readonly (readonly Fact[])[]> {
    const histories = await this.store.readMany(keys, options);
    for (const facts of histories) this.see(facts);
    return histories;
  }

  async readCorrections(keys: readonly AggregateKey[], options?: KnownOptions): Promise<readonly (readonly Fact[])[]> {
    const corrections = await this.store.readCorrections(keys, options);
    for (const facts of corrections) this.see(facts);
    return corrections;
  }
}

/** Distances behind the end at which snapshots are wanted: a first one close to it, then ever farther, at most `keep`. */
export function placesOf(events: number, everyEvents: number, keep: number): number[] {
  const ratio = Math.max(2, (events / everyEvents) ** (1 / Math.max(1, keep - 1)));
  const places: number[] = [];
  let distance = Math.max(1, Math.floor(everyEvents / 4));
  for (let i = 0; i < keep && distance < events; i++) {
    places.push(events - distance);
    distance = i === 0 ? Math.max(everyEvents, distance + 1) : Math.ceil(distance * ratio);
  }
  return places.reverse();
}

/**
 * Which rungs of a ladder stay: the longest, the shortest, and between them as few as leave no step more than twice as far
 * behind the end as the one before it, or more than that when they would be more than `keep`.
 * @param rungs the longest first
 */
export function thin(rungs: readonly Rung[], events: number, everyEvents: number, keep: number): readonly Rung[] {
  if (rungs.length < 2 || keep === 1) return rungs.slice(0, 1);
  for (let ratio = 2; ; ratio *= 1.25) {
    const kept = [rungs[0]!];
    for (let i = 1; i < rungs.length - 1; i++) {
      const before = Math.max(events - kept.at(-1)!.events, everyEvents / 2);
      if (events - rungs[i + 1]!.events > before * ratio) kept.push(rungs[i]!);
    }
    kept.push(rungs.at(-1)!);
    if (kept.length <= keep) return kept;
  }
}
