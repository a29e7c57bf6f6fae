/**
 * Snapshots: where a fold may start instead of at the beginning. They are kept by the `SnapshotStore` and, bounded in bytes,
 * by this process; each is checked at each use (snapshot-validity.ts), so that one that is stale, corrupt or missing costs
 * time and never an answer. Reads that had to go far have new ones laid behind their back (ladder.ts).
 * Above 400 lines and one subject: to find one that holds, and to have others laid where none was near, are one decision
 * over the same ladder at hand.
 */
import type { AggregateModel, FoldState } from '../mapping/event-registry.js';
import type { Rulings } from '../model/effective-facts.js';
import { aggregateKeyText, type AggregateKey, type Fact } from '../model/event.js';
import { RANK_PLAIN } from '../model/event-order.js';
import type { Position } from '../model/position.js';
import { compareProcessingTime, type ProcessingTime } from '../model/processing-id.js';
import { lacks } from '../ports/capabilities.js';
import type { Clock } from '../ports/clock.js';
import type { EventStore, EventTimeRange, KnownOptions } from '../ports/event-store.js';
import type { SnapshotStore } from '../ports/snapshot-store.js';
import { readEffective, rulingsOf } from './effective-history.js';
import {
  foldAtOnce,
  foldHistory,
  foldShort,
  RANKED_MAX,
  type EachFact,
  type EachPage,
  type FoldBounds,
  type FoldedHistory,
} from './fold-history.js';
import { climb, placesOf, thin, type Climbed } from './ladder.js';
import { SnapshotCache, type Ladder } from './snapshot-cache.js';
import { foldKeyOf, fromStored, toStored, type Rung } from './snapshot-form.js';
import { covers, foldsBefore, hasNewcomers, isOvertaken, placeOf } from './snapshot-validity.js';
import { Tally } from './tally.js';

export interface SnapshotOptions {
  /** A fold of so many events behind the last snapshot has a new one laid. 1 to 1,000,000, default 256: less than a millisecond's work in memory. */
  readonly everyEvents?: number;
  /** Snapshots kept of one aggregate, 1 to 64. Default 12, which reach back half a million events, doubling from 256. */
  readonly keep?: number;
  /** Bytes of states this process keeps at hand, 0 to 16 GB, measured by the length of their JSON. Default 32 MB. */
  readonly cacheBytes?: number;
}

export interface SnapshotParts {
  readonly store: EventStore;
  readonly snapshots: SnapshotStore;
  readonly clock: Clock;
  /** Event time up to which everything has come, as far as this process knows; -Infinity or absent: nothing is known. */
  readonly settledUpTo?: () => number;
  /** A snapshot that could not be read, laid or saved. */
  readonly onError: (error: unknown, where: string) => void;
  /** One line for an aggregate type whose states cannot be kept. */
  readonly onUnfit?: (line: string) => void;
}

/** Late facts looked through for one snapshot; with more it is taken for overtaken. */
const LATE_MAX = 10_000;
/** Aggregates that wait for their snapshots; beyond, the next long read of theirs asks again. */
const WAITING_MAX = 64;
/** Read of one aggregate at once: a ladder and what another process is about to remove. */
const READ_MAX = 100;
const PAGE = 1_000;
/** The last 100 ns of a millisecond. */
const LAST_TICK = 9_999;
const NONE: Ladder = { rungs: [], barrenAt: undefined };

interface Waiting {
  readonly model: AggregateModel;
  readonly key: AggregateKey;
  /** Events the read came upon; undefined when it saw a part of the history only. */
  readonly events: number | undefined;
}

/** One read's look for a snapshot that holds. */
interface Check {
  readonly model: AggregateModel;
  readonly key: AggregateKey;
  readonly bounds: FoldBounds;
  readonly known: KnownOptions;
  /** Those that cover no more than the read, the longest first. */
  readonly rungs: readonly Rung[];
  at: number;
  /** The corrections at the moment of the first look. */
  rulings: Rulings | undefined;
  /** Facts met that are held against the snapshots still to come. */
  readonly against: Fact[];
}

/** What a history folds to. */
export interface FoldedState extends FoldedHistory {
  /** The caller's own. */
  readonly state: FoldState;
  /** Events that happened later than the first terminal one. */
  readonly afterTerminal: number;
  /** Events that a snapshot stood for; 0 when all were read. */
  readonly skipped: number;
}

export class Snapshots {
  private readonly everyEvents: number;
  private readonly keep: number;
  private readonly cache: SnapshotCache;
  private readonly on: boolean;
  /** A history that fits into one such page is folded without a look for snapshots. */
  private readonly shortPage: number;
  /** Aggregates whose states cannot be kept. */
  private readonly unfit = new Set<AggregateModel>();
  /** Checksums of snapshots at hand, as they are stored. */
  private readonly sums = new WeakMap<Rung, string>();
  private readonly waiting = new Map<string, Waiting>();
  private working: Promise<void> | undefined;
  private stopped = false;

  constructor(
    private readonly parts: SnapshotParts,
    options: SnapshotOptions = {},
  ) {
    this.everyEvents = options.everyEvents ?? 256;
    this.keep = options.keep ?? 12;
    this.shortPage = Math.max(1, Math.floor(this.everyEvents / 2));
    this.cache = new SnapshotCache(options.cacheBytes ?? 32 * 1_048_576);
    this.on = lacks(parts.store.capabilities, 'knownAt') === undefined;
  }

  /** Bytes this process keeps at hand; never more than `cacheBytes`. */
  get cacheBytes(): number {
    return this.cache.bytes;
  }

  /** Resolves when every snapshot asked for so far is laid and saved, or has failed and was reported. */
  async flush(): Promise<void> {
    while (this.working !== undefined) await this.working;
  }

  /** Lays what is under way and nothing more. Folds go on with what there is. */
  async stop(): Promise<void> {
    this.stopped = true;
    this.waiting.clear();
    await this.flush();
  }

  /**
   * Folds a history of which the store has without waiting what it takes: a short one, or what stands behind the longest of
   * the snapshots at hand. Undefined when it takes `fold`.
   */
  foldNow(model: AggregateModel, key: AggregateKey, bounds: FoldBounds): FoldedState | undefined {
    const { store } = this.parts;
    if (!this.on || this.unfit.has(model)) return wholeNow(store, model, key, bounds, PAGE);
    const ladder = this.cache.get(textOf(model, key));
    if (ladder === undefined) return wholeNow(store, model, key, bounds, this.shortPage);
    const { knownAt } = bounds;
    const to = bounds.range?.to;
    const through = to ?? Number.POSITIVE_INFINITY;
    let rung: Rung | undefined;
    for (let i = 0; rung === undefined && i < ladder.rungs.length; i++) {
      if (covers(ladder.rungs[i]!, through, knownAt)) rung = ladder.rungs[i];
    }
    // Whatever needs a second look is left to `fold`.
    if (rung === undefined || bounds.upTo !== undefined || rung.origins.length > 0 || model.conflicts !== 'both') {
      return undefined;
    }
    const range = behind(rung, to);
    const pages = store.read(
      key,
      knownAt === undefined ? { range, pageSize: PAGE } : { knownAt, range, pageSize: PAGE },
    );
    const beside = pages.beside?.(justBefore(rung.recorded), LATE_MAX);
    if (beside === undefined || beside.corrections.length > 0 || beside.late.length >= LATE_MAX) return undefined;
    if (isOvertaken(model, rung, beside.late)) return undefined;
    const tail = pages.whole?.();
    if (tail === undefined) return undefined;
    const tally = new Tally(model, rung);
    const terminals: Fact[] = [];
    if (takeTail(model, rung, tally, tail, terminals) !== undefined || isTooMany(rung, terminals)) return undefined;
    endTail(model, rung, tally, terminals);
    this.grew(model, key, bounds, ladder, rung, tally);
    return folded(tally, undefined, undefined, rung.events);
  }

  /**
   * Folds from the nearest snapshot that holds, or says undefined.
   * @param long whether the history is known to be long, so that asking for its snapshots is worth it
   */
  async fold(
    model: AggregateModel,
    key: AggregateKey,
    bounds: FoldBounds,
    long: boolean,
  ): Promise<FoldedState | undefined> {
    if (!this.on || this.unfit.has(model)) return undefined;
    const text = textOf(model, key);
    const { store } = this.parts;
    let ladder = this.cache.get(text);
    if (ladder === undefined && !long) {
      const tally = new Tally(model);
      const whole = await foldShort(store, model, key, bounds, ...takersOf(tally), this.shortPage);
      if (whole !== undefined) return folded(tally, whole.facts, whole.rulings, 0);
    }
    ladder ??= await this.load(model, key);
    const check = this.check(model, key, bounds, ladder);
    for (let rung = await this.next(check); rung !== undefined; rung = await this.next(check)) {
      const tally = new Tally(model, rung);
      if (!(await foldTail(store, check, rung, tally))) continue;
      this.grew(model, key, bounds, ladder, rung, tally);
      const { rulings } = check;
      return folded(tally, undefined, rulings?.isEmpty === false ? rulings : undefined, rung.events);
    }
    return undefined;
  }

  /** Folded from a snapshot: far behind it the next one is laid. */
  private grew(
    model: AggregateModel,
    key: AggregateKey,
    bounds: FoldBounds,
    ladder: Ladder,
    rung: Rung,
    { events }: Tally,
  ): void {
    if (events - rung.events < this.everyEvents || !isHead(bounds)) return;
    this.ask({ model, key, events: bounds.upTo === undefined ? events : undefined }, ladder);
  }

  /** A history was folded from its beginning: the next time it should not be. */
  missed(model: AggregateModel, key: AggregateKey, bounds: FoldBounds, events: number): void {
    if (!this.on || events < this.everyEvents || this.unfit.has(model)) return;
    const ladder = this.cache.get(textOf(model, key)) ?? NONE;
    if (!isHead(bounds) && ladder.rungs.length > 0) return;
    this.ask({ model, key, events: isHead(bounds) && bounds.upTo === undefined ? events : undefined }, ladder);
  }

  private check(model: AggregateModel, key: AggregateKey, bounds: FoldBounds, ladder: Ladder): Check {
    const through = bounds.range?.to ?? Number.POSITIVE_INFINITY;
    const rungs = ladder.rungs.filter((rung) => covers(rung, through, bounds.knownAt));
    return { model, key, bounds, known: knownOf(bounds), rungs, at: 0, rulings: undefined, against: [] };
  }

  /** The next snapshot that holds, the longest first; undefined when there is none. */
  private async next(check: Check): Promise<Rung | undefined> {
    const { store } = this.parts;
    const { model, key, known, rungs, against } = check;
    while (check.at < rungs.length) {
      const rung = rungs[check.at++]!;
      if (isOvertaken(model, rung, against)) continue;
      if (known.upTo !== undefined && !(await this.isBefore(key, rung, known.upTo))) continue;
      // Before the late facts: a correction that the fold applies is then among them.
      check.rulings ??= await rulingsOf(store, key, known);
      const late = await store.readLate(key, { ...known, after: justBefore(rung.recorded), limit: LATE_MAX });
      if (late.length >= LATE_MAX) continue;
      if (isOvertaken(model, rung, late)) {
        against.push(...late);
        continue;
      }
      if (rung.origins.length > 0 && hasNewcomers(rung, await this.at(key, rung.origins, known))) continue;
      return rung;
    }
    return undefined;
  }

  /** What stands at some event times. */
  private async at(key: AggregateKey, times: readonly number[], known: KnownOptions): Promise<readonly Fact[]> {
    const facts: Fact[] = [];
    for (const time of times) {
      const [here] = await this.parts.store.readMany([key], { ...known, range: { from: time, to: time } });
      facts.push(...here!);
    }
    return facts;
  }

  /** Whether all a snapshot was made from stands before a position: one history's facts stand there in the order of their ids. */
  private async isBefore(key: AggregateKey, { newest }: Rung, upTo: Position): Promise<boolean> {
    const range = { from: newest.eventTime, to: newest.eventTime };
    const [facts] = await this.parts.store.readMany([key], { range, names: [newest.name], upTo });
    return facts!.some((fact) => fact.processingId === newest.id);
  }

  /** As the store has them now. Never throws: what cannot be read is not there. */
  private async load(model: AggregateModel, key: AggregateKey): Promise<Ladder> {
    try {
      const stored = await this.parts.snapshots.read(key, model.version, READ_MAX);
      const atHand = this.cache.get(textOf(model, key))?.rungs ?? [];
      const rungs: Rung[] = [];
      for (const one of stored) {
        // What was read or saved under this sum before need not be summed again.
        const rung = atHand.find((each) => this.sums.get(each) === one.checksum) ?? fromStored(model, key, one);
        if (rung === undefined) continue;
        this.sums.set(rung, one.checksum);
        rungs.push(rung);
      }
      rungs.sort((a, b) => b.through - a.through);
      const ladder = { rungs, barrenAt: undefined };
      this.cache.set(textOf(model, key), ladder);
      return ladder;
    } catch (error) {
      this.parts.onError(error, `reading snapshots of ${key.type} ${key.id}`);
      return NONE;
    }
  }

  private ask(waiting: Waiting, { barrenAt }: Ladder): void {
    // Nowhere to lay one in so many events: it is tried again when there are many more.
    const { events } = waiting;
    if (
      barrenAt !== undefined &&
      (events === undefined || events < barrenAt + Math.max(barrenAt / 4, this.everyEvents))
    )
      return;
    const text = textOf(waiting.model, waiting.key);
    if (this.stopped || (this.waiting.size >= WAITING_MAX && !this.waiting.has(text))) return;
    this.waiting.set(text, waiting);
    this.working ??= this.work();
  }

  /** One aggregate at a time, between the reads of others. */
  private async work(): Promise<void> {
    for (;;) {
      await turn();
      const [first] = this.waiting;
      if (first === undefined) break;
      const [text, waiting] = first;
      this.waiting.delete(text);
      try {
        await this.lay(waiting);
      } catch (error) {
        this.parts.onError(error, `laying snapshots of ${waiting.key.type} ${waiting.key.id}`);
      }
    }
    this.working = undefined;
  }

  private async lay({ model, key, events: seen }: Waiting): Promise<void> {
    const { store, clock } = this.parts;
    if (this.unfit.has(model)) return;
    // A closed moment: nothing is recorded at or before it any more, so what is known at it is all of that.
    // The millisecond before: ids of this one stay in it.
    const ms = clock.now() - 1;
    await store.keepFloor(ms);
    const moment: KnownOptions & { readonly knownAt: ProcessingTime } = { knownAt: { ms, tick: LAST_TICK } };
    const ladder = await this.load(model, key);
    let from: Rung | undefined;
    let events = seen ?? 0;
    let climbed: Climbed | undefined;
    const go = async (start: Rung | undefined): Promise<Climbed | undefined> => {
      from = start;
      if (seen === undefined) events = (start?.events ?? 0) + (await this.count(key, moment, start));
      return climb({
        store,
        model,
        key,
        moment,
        from: start,
        places: placesOf(events, this.everyEvents, this.keep).filter((place) => place > (start?.events ?? 0)),
        settledUpTo: this.parts.settledUpTo?.() ?? Number.NEGATIVE_INFINITY,
        everyEvents: this.everyEvents,
        pause: turn,
      });
    };
    const check = this.check(model, key, moment, ladder);
    while (climbed === undefined) {
      const rung = await this.next(check);
      if (rung === undefined) break;
      climbed = await go(rung);
    }
    climbed ??= await go(undefined);
    if (climbed === undefined) return;
    if (climbed.flaw !== undefined) {
      this.unfit.add(model);
      this.cache.delete(textOf(model, key));
      this.parts.onUnfit?.(`States of ${model.type} are folded from the beginning each time: ${climbed.flaw}.`);
      return;
    }
    if (climbed.rungs.length === 0) {
      // Another process was here before.
      if (from !== undefined && climbed.events - from.events < this.everyEvents) return;
      this.cache.set(textOf(model, key), { rungs: ladder.rungs, barrenAt: events });
      return;
    }
    await this.save(model, key, moment.knownAt, ladder, from, climbed);
  }

  private async save(
    model: AggregateModel,
    key: AggregateKey,
    moment: ProcessingTime,
    ladder: Ladder,
    from: Rung | undefined,
    climbed: Climbed,
  ): Promise<void> {
    // Known at this moment and longer than the one that held: overtaken, and now there are others in their place.
    const left = ladder.rungs.filter(
      (rung) =>
        (from !== undefined && rung.through <= from.through) || compareProcessingTime(rung.recorded, moment) > 0,
    );
    const byEnd = new Map<number, Rung>([...left, ...climbed.rungs].map((rung) => [rung.through, rung]));
    const all = [...byEnd.values()].sort((a, b) => b.through - a.through);
    const kept = thin(all, climbed.events, this.everyEvents, this.keep);
    this.cache.set(textOf(model, key), { rungs: kept, barrenAt: undefined });
    const before = new Set(ladder.rungs);
    for (const rung of kept) {
      if (before.has(rung)) continue;
      const stored = toStored(model, key, rung);
      this.sums.set(rung, stored.checksum);
      await this.parts.snapshots.save(stored);
    }
    const stays = new Set(kept.map((rung) => rung.through));
    const gone = ladder.rungs.filter((rung) => !stays.has(rung.through));
    if (gone.length > 0) {
      await this.parts.snapshots.removeEach(
        key,
        model.version,
        gone.map((rung) => foldKeyOf(rung.through)),
      );
    }
  }

  private async count(key: AggregateKey, moment: KnownOptions, from: Rung | undefined): Promise<number> {
    const range = from === undefined ? {} : { from: from.through, fromExclusive: true };
    let events = 0;
    for await (const page of this.parts.store.read(key, { ...moment, range, pageSize: PAGE })) {
      events += page.length;
      await turn();
    }
    return events;
  }
}

/**
 * Folds one aggregate up to (T, P), or up to a position of the feed, starting from the nearest snapshot that holds; without
 * a source, or where none holds, from the beginning. The answer is the same either way, and the caller's own.
 * `facts` are there only for histories read whole and short.
 * @param options.long the history is known to be longer than some hundred events: its snapshots are asked for at once
 * @throws InvalidEventError `LIMIT_EXCEEDED` as `foldHistory`; whatever a fold throws
 */
export async function foldFrom(
  source: Snapshots | undefined,
  store: EventStore,
  model: AggregateModel,
  key: AggregateKey,
  bounds: FoldBounds = {},
  options: { readonly long?: boolean } = {},
): Promise<FoldedState> {
  const fits = source !== undefined && isPrefix(bounds);
  if (fits) {
    const found = await source.fold(model, key, bounds, options.long === true);
    if (found !== undefined) return found;
  }
  const tally = new Tally(model);
  const history = await foldHistory(store, model, key, bounds, ...takersOf(tally));
  if (fits) source.missed(model, key, bounds, tally.events);
  return folded(tally, history.facts, history.rulings, 0);
}

/**
 * Folds as `foldFrom` does, if the store has all that it takes without waiting; undefined when it takes `foldFrom`. Most states
 * are of histories that are short, or near a snapshot, and promises would be most of what they cost.
 */
export function foldNow(
  source: Snapshots | undefined,
  store: EventStore,
  model: AggregateModel,
  key: AggregateKey,
  bounds: FoldBounds,
): FoldedState | undefined {
  if (source === undefined || !isPrefix(bounds)) return wholeNow(store, model, key, bounds, PAGE);
  return source.foldNow(model, key, bounds);
}

function wholeNow(
  store: EventStore,
  model: AggregateModel,
  key: AggregateKey,
  bounds: FoldBounds,
  pageSize: number,
): FoldedState | undefined {
  const tally = new Tally(model);
  const history = foldAtOnce(store, model, key, bounds, ...takersOf(tally), pageSize);
  return history === undefined ? undefined : folded(tally, history.facts, history.rulings, 0);
}

function takersOf(tally: Tally): [EachFact, EachPage] {
  return [(fact, rank) => tally.take(fact, rank), (page) => tally.takePlain(page)];
}

function behind({ through }: Rung, to: number | undefined): EventTimeRange {
  return to === undefined ? { from: through, fromExclusive: true } : { from: through, fromExclusive: true, to };
}

/** False when the history behind the snapshot shows that it does not hold. */
async function foldTail(store: EventStore, check: Check, rung: Rung, tally: Tally): Promise<boolean> {
  const { model, key, bounds, known, rulings } = check;
  const terminals: Fact[] = [];
  const read = { ...known, range: behind(rung, bounds.range?.to), pageSize: PAGE };
  const plain = rulings!.isEmpty && model.conflicts === 'both';
  // The bare read is what the other would hand through, page by page.
  for await (const page of plain ? store.read(key, read) : readEffective(store, model.conflicts, key, read, rulings)) {
    const against = takeTail(model, rung, tally, page, terminals);
    if (against !== undefined) {
      check.against.push(against);
      return false;
    }
    if (isTooMany(rung, terminals)) return false;
  }
  endTail(model, rung, tally, terminals);
  return true;
}

/** Takes a page of what stands behind a snapshot; terminal events are put aside. @returns what shows that it does not hold */
function takeTail(
  model: AggregateModel,
  rung: Rung,
  tally: Tally,
  page: readonly Fact[],
  terminals: Fact[],
): Fact | undefined {
  if (page.length > 0 && model.foldsAsItComes(page)) {
    tally.takePlain(page);
    return undefined;
  }
  for (const fact of page) {
    if (foldsBefore(model, rung, fact)) return fact;
    const place = placeOf(model, fact.name);
    if (place < RANK_PLAIN) continue;
    if (place === RANK_PLAIN) tally.take(fact, model.rankOf(fact));
    else terminals.push(fact);
  }
  return undefined;
}

/** Too many for any fold: the one from the beginning says so. */
function isTooMany(rung: Rung, terminals: readonly Fact[]): boolean {
  return rung.ranked + rung.terminals.length + terminals.length > RANKED_MAX;
}

function endTail(model: AggregateModel, rung: Rung, tally: Tally, terminals: readonly Fact[]): void {
  for (const fact of rung.terminals) tally.take(fact, model.rankOf(fact));
  for (const fact of terminals) tally.take(fact, model.rankOf(fact));
}

function folded(
  tally: Tally,
  facts: readonly Fact[] | undefined,
  rulings: Rulings | undefined,
  skipped: number,
): FoldedState {
  const { state, events, initials, last, eventTimeMax, afterTerminal } = tally;
  return { state, events, initials, last, eventTimeMax, afterTerminal, facts, rulings, skipped };
}

/** Snapshots fold prefixes: all that happened, or all up to an inclusive time. */
function isPrefix({ range, signal, withRepeats }: FoldBounds): boolean {
  if (signal !== undefined || withRepeats === true) return false;
  return range === undefined || (range.from === undefined && (range.to === undefined || range.toExclusive !== true));
}

/** The whole history as it is now, or as a reader of the feed has it, which is about now. */
function isHead({ range, knownAt }: FoldBounds): boolean {
  return range?.to === undefined && knownAt === undefined;
}

function knownOf({ knownAt, upTo }: FoldBounds): KnownOptions {
  return { ...(knownAt === undefined ? {} : { knownAt }), ...(upTo === undefined ? {} : { upTo }) };
}

/** 100 ns earlier: facts of one append share one processing time, and a snapshot may know a part of them. */
function justBefore({ ms, tick }: ProcessingTime): ProcessingTime {
  return tick > 0 ? { ms, tick: tick - 1 } : { ms: ms - 1, tick: LAST_TICK };
}

function textOf(model: AggregateModel, { tenant, type, id }: AggregateKey): string {
  return `${aggregateKeyText(tenant, type, id)}\u0000${model.version}`;
}

/** Lets input, output and timers have their turn. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
