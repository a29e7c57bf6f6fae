/**
 * Parked aggregates: what a fold or projection could not handle contributes nothing, and is tried again by hand or after a
 * restart. Then its whole history is folded from the store, up to where the view stands.
 */
import type { AggregateModel, EventRegistry, FoldState } from '../mapping/event-registry.js';
import type { Fact } from '../model/event.js';
import type { Position } from '../model/position.js';
import type { Clock } from '../ports/clock.js';
import type { EventStore } from '../ports/event-store.js';
import { readEffective } from '../query/effective-history.js';
import { foldHistory, type FoldedHistory } from '../query/fold-history.js';
import type { Reach } from './ahead.js';
import { NOTHING, type Contribution } from './contribution.js';
import type { Touched } from './touched.js';
import { asError, type Computed, type Track } from './track.js';

export interface ParkedParts {
  readonly store: EventStore;
  readonly registry: EventRegistry;
  readonly clock: Clock;
}

/** Trouble of the store is tried again; whatever a user's fold or projection throws parks the aggregate. */
export function isUserError(error: unknown): boolean {
  return !(typeof error === 'object' && error !== null && 'retryable' in error && error.retryable === true);
}

/**
 * Tries parked aggregates of a projection (one by its key text, or all), each in a commit of its own at the place where the
 * view stands. Ends early when `signal` aborts. @returns how many were released
 */
export async function releaseParked(
  parts: ParkedParts,
  track: Track,
  text: string | undefined,
  signal: AbortSignal,
): Promise<number> {
  const candidates = [...track.parked].filter(([key]) => text === undefined || key === text);
  let released = 0;
  for (const [key, parked] of candidates) {
    if (signal.aborted) break;
    const one: Touched = { text: key, key: parked.aggregate, facts: [] };
    const { computed: result, reach } = await foldContribution(parts, track, one, track.position);
    if (result instanceof Error) continue;
    one.reach = reach;
    await track.commit(
      [one],
      [result],
      [],
      undefined,
      track.position,
      parts.clock.now(),
      (touched, after, upTo) => firstAfter(parts.store, touched, after, upTo),
      () => undefined,
    );
    if (!track.parked.has(key)) released++;
  }
  return released;
}

/** The first event of an aggregate above an event time, as the feed has it up to a place. */
export async function firstAfter(
  store: EventStore,
  { key }: Touched,
  after: number,
  upTo: Position,
): Promise<Fact | undefined> {
  const range = after === Number.NEGATIVE_INFINITY ? {} : { range: { from: after, fromExclusive: true } };
  for await (const page of store.read(key, { ...range, upTo, pageSize: 1 })) return page[0];
  return undefined;
}

/** What one history adds, and what of it was folded. */
export interface FoldedContribution {
  readonly computed: Computed;
  /** How far it reaches; -Infinity of nothing. */
  readonly reach: Reach;
  readonly events: number;
}

/**
 * What one aggregate adds to a view, folded from its whole effective history up to a place, how far it reaches, and the number
 * of events that were folded. A promise only where the store waits. Trouble of the store is thrown.
 */
export function foldContribution(
  parts: Omit<ParkedParts, 'clock'>,
  track: Track,
  one: Touched,
  upTo: Position,
): FoldedContribution | Promise<FoldedContribution> {
  const model = parts.registry.find(one.key.type);
  if (track.model.rowsOf === undefined) return foldEvents(parts, model, track, one, upTo);
  if (model === undefined) return NONE;
  try {
    let state = model.newState();
    const history = foldHistory(
      parts.store,
      model,
      one.key,
      { upTo },
      (fact) => {
        state = model.apply(state, fact);
      },
      (page) => {
        state = model.applyAll(state, page);
      },
    );
    if (!(history instanceof Promise)) return rowsFrom(track, one, model, history, state);
    return history.then((folded) => rowsFrom(track, one, model, folded, state)).catch(parkedBy);
  } catch (error) {
    return parkedBy(error);
  }
}

const NONE: FoldedContribution = { computed: NOTHING, reach: Number.NEGATIVE_INFINITY, events: 0 };

/** @throws what is trouble of the store */
function parkedBy(error: unknown): FoldedContribution {
  if (!isUserError(error)) throw error;
  return { ...NONE, computed: asError(error) };
}

function rowsFrom(
  track: Track,
  one: Touched,
  model: AggregateModel,
  history: FoldedHistory,
  state: FoldState,
): FoldedContribution {
  const { events, eventTimeMax } = history;
  if (events === 0) return NONE;
  return { computed: track.fromState(one, model, { ...history, state }), reach: eventTimeMax, events };
}

/** The event form: what the events add, page by page. */
async function foldEvents(
  parts: Omit<ParkedParts, 'clock'>,
  model: AggregateModel | undefined,
  track: Track,
  { key, text }: Touched,
  upTo: Position,
): Promise<FoldedContribution> {
  let computed: Contribution = NOTHING;
  const reach: (number | undefined)[] = [];
  let events = 0;
  try {
    for await (const page of readEffective(parts.store, model?.conflicts ?? 'both', key, { upTo })) {
      computed = track.fromEvents(computed, page, text, reach);
      events += page.length;
    }
  } catch (error) {
    return parkedBy(error);
  }
  return { computed, reach, events };
}
