/**
 * Parked aggregates: what a fold or projection could not handle contributes nothing, and is tried again by hand or after a
 * restart. Then its whole history is folded from the store, up to where the view stands.
 */
import type { EventRegistry } from '../mapping/event-registry.js';
import type { Fact } from '../model/event.js';
import type { Position } from '../model/position.js';
import type { Clock } from '../ports/clock.js';
import type { EventStore } from '../ports/event-store.js';
import { readEffective } from '../query/effective-history.js';
import { foldHistory } from '../query/fold-history.js';
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

/**
 * What one aggregate adds to a view, folded from its whole effective history up to a place, how far it reaches, and the number
 * of events that were folded. Trouble of the store is thrown.
 */
export async function foldContribution(
  parts: Omit<ParkedParts, 'clock'>,
  track: Track,
  one: Touched,
  upTo: Position,
): Promise<{ readonly computed: Computed; readonly reach: Reach; readonly events: number }> {
  const { key, text } = one;
  const model = parts.registry.find(key.type);
  const reach = Number.NEGATIVE_INFINITY;
  let events = 0;
  try {
    if (track.model.rowsOf === undefined) {
      let rows: Contribution = NOTHING;
      const reaches: (number | undefined)[] = [];
      for await (const page of readEffective(parts.store, model?.conflicts ?? 'both', key, { upTo })) {
        rows = track.fromEvents(rows, page, text, reaches);
        events += page.length;
      }
      return { computed: rows, reach: reaches, events };
    }
    if (model === undefined) return { computed: NOTHING, reach, events };
    let state = model.newState();
    const history = await foldHistory(parts.store, model, key, { upTo }, (fact) => {
      state = model.apply(state, fact);
    });
    ({ events } = history);
    if (events === 0) return { computed: NOTHING, reach, events };
    return { computed: track.fromState(one, model, { ...history, state }), reach: history.eventTimeMax, events };
  } catch (error) {
    if (!isUserError(error)) throw error;
    return { computed: asError(error), reach, events };
  }
}
