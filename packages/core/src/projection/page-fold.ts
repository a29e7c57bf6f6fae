/**
 * What one page of the feed means to each projection that goes in step: each touched aggregate is folded once for all in the
 * rows form; the event form adds to what was there, or folds anew where the new events change what others mean.
 */
import type { AggregateModel, EventRegistry } from '../mapping/event-registry.js';
import { isPlain } from '../model/effective-facts.js';
import type { Position } from '../model/position.js';
import type { EventStore } from '../ports/event-store.js';
import { NOTHING } from './contribution.js';
import type { FoldCache, Folded } from './fold-cache.js';
import { foldContribution, isUserError } from './parked.js';
import type { Touched } from './touched.js';
import { asError, type Computed, type Track } from './track.js';

export interface FoldParts {
  readonly store: EventStore;
  readonly registry: EventRegistry;
}

/** Aggregates whose corrections are asked for in one read. */
const AGGREGATES_AT_ONCE = 10_000;

/** Facts of a page that are closer in event time are looked up together: what else happened between them is little. */
const STRETCH_GAP_MS = 60_000;

/** One track's part of a step. */
export interface TrackStep {
  readonly track: Track;
  readonly touched: Touched[];
  /** One for each touched: in the rows form always, in the event form where new events do more than add. */
  readonly computed: (Computed | undefined)[];
  /** Events of aggregates that are parked already. */
  readonly held: Touched[];
}

/**
 * Folds what a page touched, up to and with `upTo`, and commits nothing. A handler's error stands in the part it belongs to; what the
 * store throws is thrown on, and folds that ran ahead are the caller's to forget.
 */
export async function foldPage(
  from: FoldParts,
  tracks: readonly Track[],
  folds: FoldCache,
  touched: readonly Touched[],
  upTo: Position,
): Promise<readonly TrackStep[]> {
  const parts = tracks.map((track): TrackStep => ({ track, touched: [], computed: [], held: [] }));
  const corrected = await correctedOf(from, tracks, touched, upTo);
  for (const one of touched) {
    const model = from.registry.find(one.key.type);
    let folding = false;
    one.judged = model !== undefined && model.conflicts !== 'both';
    for (const part of parts) {
      if (!part.track.wants(one.key)) continue;
      if (part.track.parked.size > 0 && part.track.parked.has(one.text)) {
        part.held.push(one);
        continue;
      }
      if (part.track.model.rowsOf !== undefined) {
        part.touched.push(one);
        folding = true;
      } else if (corrected?.has(one) === true) {
        const { computed, reach } = await foldContribution(from, part.track, one, upTo);
        part.touched.push({ ...one, reach });
        part.computed.push(computed);
      } else {
        // Added to what was there: the new events do not change what others mean.
        part.touched.push(one);
        part.computed.push(undefined);
      }
    }
    // A state that misses these facts must not be found by a projection that joins, or is released, later.
    if (model === undefined || !folding) {
      folds.forget(one.text);
      continue;
    }
    let folded: Folded | Error;
    try {
      const result = folds.advance(model, one.text, one.key, one.facts, upTo);
      folded = result instanceof Promise ? await result : result;
      one.reach = folded.eventTimeMax;
    } catch (error) {
      if (!isUserError(error)) throw error;
      folded = asError(error);
    }
    for (const { track, touched: list, computed } of parts) {
      if (track.model.rowsOf === undefined || list[list.length - 1] !== one) continue;
      computed[list.length - 1] = contributionOf(track, model, one, folded);
    }
  }
  return parts;
}

/**
 * Aggregates whose new events do more than add to what they meant: corrections, events that a correction covers, and other
 * contents of a known identity where the policy does not keep both. Only the event form asks; a fold finds out by itself.
 */
async function correctedOf(
  from: FoldParts,
  tracks: readonly Track[],
  touched: readonly Touched[],
  upTo: Position,
): Promise<ReadonlySet<Touched> | undefined> {
  const byEvent = tracks.filter((track) => track.model.rowsOf === undefined);
  const wanted = touched.filter((one) => byEvent.some((track) => track.wants(one.key)));
  if (wanted.length === 0) return undefined;
  let found: Set<Touched> | undefined;
  for (let at = 0; at < wanted.length; at += AGGREGATES_AT_ONCE) {
    const some = wanted.slice(at, at + AGGREGATES_AT_ONCE);
    const corrections = await from.store.readCorrections(
      some.map((one) => one.key),
      { upTo },
    );
    for (let i = 0; i < some.length; i++) if (corrections[i]!.length > 0) (found ??= new Set()).add(some[i]!);
  }
  const judged = wanted.filter(({ key }) => (from.registry.find(key.type)?.conflicts ?? 'both') !== 'both');
  for (const one of await withSiblings(from.store, judged, upTo)) (found ??= new Set()).add(one);
  return found;
}

/**
 * Aggregates of which a new fact shares its identity with another content. Most pages are one stretch of event time and so
 * one read; a late fact is a stretch of its own, lest all between be read.
 */
async function withSiblings(
  store: EventStore,
  touched: readonly Touched[],
  upTo: Position,
): Promise<ReadonlySet<Touched>> {
  const found = new Set<Touched>();
  const moments = touched.flatMap((one) => one.facts.map(({ eventTime }) => ({ one, eventTime })));
  moments.sort((a, b) => a.eventTime - b.eventTime);
  for (let at = 0; at < moments.length;) {
    const times = new Map<Touched, Set<number>>();
    const from = moments[at]!.eventTime;
    let to = from;
    for (; at < moments.length && moments[at]!.eventTime - to <= STRETCH_GAP_MS; at++) {
      const { one, eventTime } = moments[at]!;
      if (times.size === AGGREGATES_AT_ONCE && !times.has(one)) break;
      to = eventTime;
      const known = times.get(one);
      if (known === undefined) times.set(one, new Set([eventTime]));
      else known.add(eventTime);
    }
    const some = [...times.keys()].filter((one) => !found.has(one));
    const histories = await store.readMany(
      some.map(({ key }) => key),
      { range: { from, to }, upTo },
    );
    for (let i = 0; i < some.length; i++) {
      const own = times.get(some[i]!)!;
      const facts = histories[i]!.filter(({ eventTime }) => own.has(eventTime));
      if (!isPlain(facts, 'neither')) found.add(some[i]!);
    }
  }
  return found;
}

/** What the step before parked, when this one was folded already, contributes nothing until it is tried again. */
export function leaveOutParked({ track, touched, computed, held }: TrackStep): void {
  if (track.parked.size === 0) return;
  for (let i = touched.length - 1; i >= 0; i--) {
    if (!track.parked.has(touched[i]!.text)) continue;
    held.push(...touched.splice(i, 1));
    computed.splice(i, 1);
  }
}

/** The rows form's new contribution of one aggregate, from its state with the new facts taken in; or what was thrown. */
function contributionOf(track: Track, model: AggregateModel, one: Touched, folded: Folded | Error): Computed {
  if (folded instanceof Error) return folded;
  // All of it was withdrawn, or was never more than corrections.
  if (folded.events === 0) return NOTHING;
  try {
    return track.fromState(one, model, folded);
  } catch (error) {
    return asError(error);
  }
}
