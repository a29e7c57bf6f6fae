/**
 * A view as of T, as known at P: folded from the histories, aggregate by aggregate, in an empty place. It shares everything
 * with the live engine but the feed, so that for the present it comes to the same rows.
 */
import { HandlerError } from '../model/errors.js';
import { aggregateKeyText, type AggregateKey } from '../model/event.js';
import { RANK_INITIAL } from '../model/event-order.js';
import type { EventRegistry } from '../mapping/event-registry.js';
import type { EventStore, ReadOptions } from '../ports/event-store.js';
import type { StoredRow, ViewStore } from '../ports/view-store.js';
import type { Histories, HistoryOptions } from '../query/event-source.js';
import { readManyEffective } from '../query/effective-history.js';
import { inFoldOrder } from '../query/fold-history.js';
import type { Position } from '../model/position.js';
import { NOTHING, type Contribution } from './contribution.js';
import type { ProjectionModel } from './projection.js';
import type { Touched } from './touched.js';
import { ownerNameOf } from './generations.js';
import { asError, Track } from './track.js';

/** Which moment is asked about. */
export type ReplayOptions = Pick<HistoryOptions, 'asOf' | 'knownAt' | 'waitMs' | 'signal'>;

export interface ReplayParts {
  readonly store: EventStore;
  readonly registry: EventRegistry;
  readonly histories: Histories;
  /** Where the feed begins: the place of a view that has read nothing. */
  readonly start: Position;
  /** An empty place for the rows. */
  readonly scratch: () => ViewStore;
}

/** Aggregates read, and committed, at once. */
const AT_ONCE = 500;
const ROWS_AT_ONCE = 10_000;

/** @throws InvalidEventError `INVALID_TIME`, `NOT_YET_KNOWN` · HandlerError `PROJECTION_FAILED` */
export async function replay(
  parts: ReplayParts,
  model: ProjectionModel,
  options: ReplayOptions,
): Promise<readonly StoredRow[]> {
  const { signal: _signal, ...bounds } = await parts.histories.bounds(options);
  const views = parts.scratch();
  const owner = {
    name: ownerNameOf(model.name, { version: model.version, generation: 0 }),
    owner: '',
    epoch: 0,
    beat: 0,
  };
  const track = new Track(model, views, owner, undefined, parts.start);
  let after: AggregateKey | undefined;
  for (;;) {
    if (options.signal?.aborted === true) break;
    const keys = await parts.store.scanAggregates(after, AT_ONCE);
    if (keys.length === 0) break;
    after = keys.at(-1)!;
    const wanted = keys.filter((key) => track.wants(key));
    if (wanted.length === 0) continue;
    const touched = wanted.map((key): Touched => ({
      text: aggregateKeyText(key.tenant, key.type, key.id),
      key,
      facts: [],
    }));
    const computed = await contributionsOf(parts, track, touched, bounds);
    await track.commit(
      touched,
      computed,
      [],
      undefined,
      parts.start,
      0,
      async () => undefined,
      (one, error) => {
        throw new HandlerError(
          'PROJECTION_FAILED',
          `"${model.name}" cannot handle ${one.key.type} ${one.key.id}: ${error.message}`,
          {
            fix: 'See the cause; the live view has parked this aggregate.',
            cause: error,
          },
        );
      },
    );
  }
  const rows: StoredRow[] = [];
  let from: string | undefined;
  for (;;) {
    const range = from === undefined ? {} : { from, fromExclusive: true };
    const page = await views.findRows(track.view, { ...range, limit: ROWS_AT_ONCE });
    rows.push(...page);
    if (page.length < ROWS_AT_ONCE) return rows;
    from = page.at(-1)!.key;
  }
}

async function contributionsOf(
  parts: ReplayParts,
  track: Track,
  touched: readonly Touched[],
  bounds: ReadOptions,
): Promise<(Contribution | Error)[]> {
  const contributions: (Contribution | Error)[] = new Array<Contribution>(touched.length).fill(NOTHING);
  const byType = new Map<string, number[]>();
  touched.forEach((one, i) => {
    const list = byType.get(one.key.type);
    if (list === undefined) byType.set(one.key.type, [i]);
    else list.push(i);
  });
  for (const [type, places] of byType) {
    const model = parts.registry.find(type);
    const keys = places.map((i) => touched[i]!.key);
    const histories = await readManyEffective(parts.store, model?.conflicts ?? 'both', keys, bounds);
    for (let n = 0; n < places.length; n++) {
      const one = touched[places[n]!]!;
      const facts = histories[n]!;
      if (facts.length === 0) continue;
      try {
        if (track.model.rowsOf === undefined) contributions[places[n]!] = track.fromEvents(NOTHING, facts, one.text);
        else if (model !== undefined) {
          const ordered = inFoldOrder(model, facts);
          let state = model.newState();
          let initials = 0;
          for (const fact of ordered) {
            state = model.apply(state, fact);
            if (model.rankOf(fact) === RANK_INITIAL) initials++;
          }
          contributions[places[n]!] = track.fromState(one, model, {
            state,
            events: ordered.length,
            initials,
            last: ordered.at(-1),
          });
        }
      } catch (error) {
        contributions[places[n]!] = asError(error);
      }
    }
  }
  return contributions;
}
