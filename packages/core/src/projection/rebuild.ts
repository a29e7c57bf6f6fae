/**
 * Builds a generation of a view from the histories, beside the one that is read: each history up to a fixed place of the feed
 * is folded once, whatever the order in which it came. From there on it follows the feed like any other.
 *
 * What is known of sources at that place is the same for every view that stands there, so it is taken from the view that is
 * read. How far it got stands in the commits themselves: who goes on after a crash repeats nothing that was committed.
 */
import { aggregateKeyText, type AggregateKey, type Fact, type WireValue } from '../model/event.js';
import type { EventRegistry } from '../mapping/event-registry.js';
import type { Position } from '../model/position.js';
import type { CheckpointStore, OwnerRow } from '../ports/checkpoint-store.js';
import type { Clock } from '../ports/clock.js';
import type { EventFeed, FeedPage } from '../ports/event-feed.js';
import type { EventStore, HistoryPages } from '../ports/event-store.js';
import type { LayerLogger } from '../ports/layer.js';
import type { ViewRef, ViewStore } from '../ports/view-store.js';
import { SETTLEMENT_NOTES } from '../time/settlement.js';
import { TimePolicies } from '../time/time-options.js';
import { generationText, viewRefOf, type Generation, type RebuildRequest } from './generations.js';
import type { Note } from './packed-notes.js';
import { firstAfter, foldContribution, type FoldedContribution } from './parked.js';
import type { ProjectionModel } from './projection.js';
import { isWanted } from './shares.js';
import { readSources, SOURCES_PACKED } from './source-track.js';
import type { Touched } from './touched.js';
import { SETTLED_UP_TO, Track, type Computed } from './track.js';

export interface RebuildOptions {
  /** Rest after every 15 ms of work, so that live views and callers have their turn: 0 to 1,000. Default 1 ms. */
  readonly pauseMs?: number;
  /** Aggregates of one commit, 1 to 10,000. Default 500. */
  readonly pageSize?: number;
}

/** How far the next generation of a view is. */
export interface RebuildProgress extends RebuildRequest {
  /** `histories`: they are folded. `feed`: it follows what was recorded meanwhile, to where the live view stands. */
  readonly phase: 'waiting' | 'histories' | 'feed';
  /** The place of the feed up to which histories are folded, or where it stands. */
  readonly position: string | undefined;
  /** Of the work, 0 to 1; the rest is what was recorded meanwhile. */
  readonly share: number;
  readonly aggregates: number;
}

/** Where the building stands, kept in the view itself; gone once it follows the feed. */
interface Plan {
  readonly upTo: string;
  readonly after: AggregateKey | null;
  readonly done: number;
  readonly total: number;
}

export interface RebuildParts {
  readonly store: EventStore;
  readonly feed: EventFeed;
  readonly views: ViewStore;
  readonly checkpoints: CheckpointStore;
  readonly registry: EventRegistry;
  readonly clock: Clock;
  readonly logger: LayerLogger;
  readonly time?: TimePolicies | undefined;
}

const PLAN = 'rebuild/plan';
const PAGE_SIZE = 500;
const PAUSE_MS = 1;
/** Work between two rests. */
const TURN_MS = 15;
/** Histories that are read at once. Long ones come in pages, so this bounds what is held. */
const AT_ONCE = 16;
const SCAN_PAGE = 10_000;
/** Parked aggregates that are logged one by one. */
const LOGGED_MAX = 10;
const STILL_TRIES = 200;

/** Takes the turns: work of some milliseconds, then a rest. */
export class Turns {
  private since: number;
  private resting: Promise<void> | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly pauseMs: number,
    private readonly signal: AbortSignal,
  ) {
    this.since = clock.monotonicMs();
  }

  /** Asked between two pieces of work; a promise means rest. */
  next(): Promise<void> | undefined {
    if (this.pauseMs === 0) return undefined;
    if (this.resting !== undefined) return this.resting;
    if (this.clock.monotonicMs() - this.since < TURN_MS) return undefined;
    this.resting = this.clock.sleep(this.pauseMs, this.signal).then(() => {
      this.since = this.clock.monotonicMs();
      this.resting = undefined;
    });
    return this.resting;
  }
}

/** The store, resting between the pages of a long history. */
export function restful(store: EventStore, turns: Turns): EventStore {
  const read: EventStore['read'] = (key, options) => new RestfulPages(store.read(key, options), turns);
  return new Proxy(store, {
    get: (target, name) => {
      if (name === 'read') return read;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
  });
}

class RestfulPages implements HistoryPages {
  constructor(
    private readonly pages: HistoryPages,
    private readonly turns: Turns,
  ) {}

  whole(): readonly Fact[] | undefined {
    return this.pages.whole?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly Fact[]> {
    for await (const page of this.pages) {
      const rest = this.turns.next();
      if (rest !== undefined) await rest;
      yield page;
    }
  }
}

/** What of the live view's notes holds for every view that stands where it stands. */
function isShared({ key }: Note): boolean {
  return key.startsWith(SOURCES_PACKED) || key === SETTLEMENT_NOTES || key === SETTLED_UP_TO;
}

/** The live view's place and notes, of one moment; undefined when it is nowhere, or never stands still. */
async function standOf(
  parts: RebuildParts,
  live: ViewRef,
  signal: AbortSignal,
): Promise<{ readonly checkpoint: string; readonly notes: readonly Note[] } | undefined> {
  for (let n = 0; n < STILL_TRIES && !signal.aborted; n++) {
    const checkpoint = await parts.views.readCheckpoint(live);
    if (checkpoint === undefined) return undefined;
    const notes = await parts.views.readNotes(live, '');
    if ((await parts.views.readCheckpoint(live)) === checkpoint) return { checkpoint, notes: notes.filter(isShared) };
    await parts.clock.sleep(1, signal);
  }
  return undefined;
}

/**
 * Builds up to a place of the feed; the track that is returned goes on along the feed from there.
 * @param live the generation that is read
 * @param owner the owner row as it is now: its beats are renewed meanwhile
 * @throws what the stores throw, and nothing of the page in hand is kept: call it again. UnavailableError `ABORTED` never: an aborted one returns undefined
 */
export async function buildGeneration(
  parts: RebuildParts,
  model: ProjectionModel,
  request: RebuildRequest,
  live: Generation,
  owner: OwnerRow,
  options: RebuildOptions,
  signal: AbortSignal,
): Promise<Track | undefined> {
  const { feed, views } = parts;
  const ref = viewRefOf(model.name, request);
  let checkpoint = await views.readCheckpoint(ref);
  const fresh = checkpoint === undefined;
  const start = feed.start().toString();
  if (fresh) {
    // The view of sources reads no histories, and a live view that stands nowhere has nothing before it.
    const stand = model.statistics === true ? undefined : await standOf(parts, viewRefOf(model.name, live), signal);
    if (stand === undefined) {
      return signal.aborted ? undefined : new Track(model, views, owner, undefined, feed.start(), request, true);
    }
    const plan: Plan = { upTo: stand.checkpoint, after: null, done: 0, total: await countOf(parts, model, signal) };
    const maker = new Track(model, views, owner, undefined, feed.start(), request, true);
    await maker.put({ notes: [...stand.notes, planNote(plan)] });
    checkpoint = start;
  }
  const [note] = await views.readNotes(ref, PLAN);
  if (note === undefined) {
    const track = new Track(model, views, owner, checkpoint, feed.parsePosition(checkpoint!), request, true);
    await track.load();
    return track;
  }
  // Made for a view that holds nothing yet, where that is so: what it writes first it need not look for.
  const track = new Track(model, views, owner, fresh ? undefined : checkpoint, feed.start(), request, true);
  track.checkpoint = checkpoint;
  await track.load();
  const time = parts.time ?? new TimePolicies({});
  track.stand(readSources(time, await track.sourceNotes(), false).table.inputWatermark);
  await foldHistories(parts, track, note.value as unknown as Plan, options, signal);
  return signal.aborted ? undefined : track;
}

function planNote(plan: Plan | null): Note {
  return { key: PLAN, value: plan as unknown as WireValue };
}

/** Aggregates the projection reads: for progress. */
async function countOf(parts: RebuildParts, model: ProjectionModel, signal: AbortSignal): Promise<number> {
  let count = 0;
  let after: AggregateKey | undefined;
  while (!signal.aborted) {
    const keys = await parts.store.scanAggregates(after, SCAN_PAGE);
    for (const key of keys) if (isWanted(model, key)) count++;
    if (keys.length < SCAN_PAGE) break;
    after = keys.at(-1)!;
  }
  return count;
}

interface FoldedPage {
  readonly touched: readonly Touched[];
  readonly computed: readonly Computed[];
  readonly after: AggregateKey | undefined;
}

async function foldHistories(
  parts: RebuildParts,
  track: Track,
  plan: Plan,
  options: RebuildOptions,
  signal: AbortSignal,
): Promise<void> {
  const { clock, logger } = parts;
  const { model } = track;
  const turns = new Turns(clock, options.pauseMs ?? PAUSE_MS, signal);
  const store = restful(parts.store, turns);
  const upTo = parts.feed.parsePosition(plan.upTo);
  const pageSize = options.pageSize ?? PAGE_SIZE;
  const what = `The view "${model.name}" (${generationText(track.generation)})`;
  let parked = 0;
  let { after, done } = plan;
  let told = Math.floor((10 * done) / Math.max(1, plan.total));
  logger.log(
    `${what} is built from ${plan.total} histories${done === 0 ? '' : `, going on at ${done}`}; the one that is read goes on meanwhile.`,
  );
  let page: FoldedPage | undefined = await foldPage(
    { ...parts, store },
    track,
    turns,
    after ?? undefined,
    pageSize,
    upTo,
  );
  while (page !== undefined && !signal.aborted) {
    const { touched, computed }: FoldedPage = page;
    const last: AggregateKey | undefined = page.after;
    done += touched.length;
    if (last !== undefined) after = last;
    const atEnd: boolean = last === undefined;
    const next: Promise<FoldedPage> | undefined = atEnd
      ? undefined
      : foldPage({ ...parts, store }, track, turns, last, pageSize, upTo);
    // Met at once: a commit that fails may leave it behind.
    next?.catch(() => undefined);
    await track.commit(
      touched,
      computed,
      [],
      undefined,
      atEnd ? upTo : track.position,
      clock.now(),
      (one, above) => firstAfter(parts.store, one, above, upTo),
      ({ key }, error) => {
        if (++parked > LOGGED_MAX) return;
        logger.error(`${what} could not handle ${key.type} ${key.id} and parked it: ${error.message}`, error.stack);
      },
      { notes: [planNote(atEnd ? null : { ...plan, after, done })] },
    );
    const share = Math.floor((10 * done) / Math.max(1, plan.total));
    if (share > told && share <= 10) {
      told = share;
      logger.log(`${what} is built to ${share * 10} %: ${done} of ${plan.total} histories.`);
    }
    const rest = turns.next();
    if (rest !== undefined) await rest;
    page = next === undefined ? undefined : await next;
  }
  if (parked > LOGGED_MAX) logger.error(`${what} parked ${parked} aggregates.`);
}

/**
 * The next aggregates and what each adds; `after` is undefined behind the last. Histories that the store has at once are folded
 * one by one, and looked at in turns; others are waited for side by side.
 */
async function foldPage(
  parts: RebuildParts,
  track: Track,
  turns: Turns,
  after: AggregateKey | undefined,
  pageSize: number,
  upTo: Position,
): Promise<FoldedPage> {
  const keys = await parts.store.scanAggregates(after, pageSize);
  const wanted = keys.filter((key) => isWanted(track.model, key));
  const touched: Touched[] = [];
  const computed: Computed[] = [];
  const put = (i: number, one: Touched, { computed: made, reach }: FoldedContribution): void => {
    if (reach !== Number.NEGATIVE_INFINITY) one.reach = reach;
    touched[i] = one;
    computed[i] = made;
  };
  let waiting: Promise<void>[] = [];
  for (let i = 0; i < wanted.length; i++) {
    const key = wanted[i]!;
    const one: Touched = {
      text: aggregateKeyText(key.tenant, key.type, key.id),
      key,
      facts: [],
      reach: undefined,
    };
    const folded = foldContribution(parts, track, one, upTo);
    if (folded instanceof Promise) {
      const taken = folded.then((made) => put(i, one, made));
      // Met at once: it may fail while another one rests.
      taken.catch(() => undefined);
      waiting.push(taken);
      if (waiting.length < AT_ONCE) continue;
      await Promise.all(waiting);
      waiting = [];
      continue;
    }
    put(i, one, folded);
    const rest = turns.next();
    if (rest !== undefined) await rest;
  }
  await Promise.all(waiting);
  return { touched, computed, after: keys.length < pageSize ? undefined : keys.at(-1) };
}

/**
 * A page of the feed that passes no place behind `target`: of one writer's feed, up to exactly there. Undefined when even the
 * shortest page would.
 */
export async function readUpTo(
  feed: EventFeed,
  from: Position,
  target: Position,
  limit: number,
): Promise<FeedPage | undefined> {
  const page = await feed.read(from, limit);
  if (target.covers(page.next)) return page;
  let best: FeedPage | undefined;
  let low = 1;
  let high = Math.min(limit, page.facts.length);
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const shorter = await feed.read(from, middle);
    if (target.covers(shorter.next)) {
      best = shorter;
      low = middle + 1;
    } else high = middle - 1;
  }
  return best;
}

/** How far a building is, as any process can read it. */
export async function readProgress(
  parts: Pick<RebuildParts, 'views'>,
  name: string,
  request: RebuildRequest,
): Promise<RebuildProgress> {
  const ref = viewRefOf(name, request);
  const checkpoint = await parts.views.readCheckpoint(ref);
  if (checkpoint === undefined) {
    return { ...request, phase: 'waiting', position: undefined, share: 0, aggregates: 0 };
  }
  const [note] = await parts.views.readNotes(ref, PLAN);
  if (note === undefined) return { ...request, phase: 'feed', position: checkpoint, share: 1, aggregates: 0 };
  const { upTo, done, total } = note.value as unknown as Plan;
  return {
    ...request,
    phase: 'histories',
    position: upTo,
    share: total === 0 ? 0 : Math.min(1, done / total),
    aggregates: total,
  };
}

/** How far the shares of one view are together: those that are built, as the one that is least far, and what is done of all. */
export function progressOf(shares: readonly (RebuildProgress | undefined)[]): RebuildProgress | undefined {
  const building = shares.filter((one) => one !== undefined);
  const [first] = building;
  if (first === undefined) return undefined;
  const least = building.reduce((one, other) => (other.share < one.share ? other : one), first);
  const done = building.reduce((sum, { share }) => sum + share, shares.length - building.length);
  const aggregates = building.reduce((sum, one) => sum + one.aggregates, 0);
  return { ...least, share: done / shares.length, aggregates };
}
