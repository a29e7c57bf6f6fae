/** From a decorated projection to what the engine runs. */
import type { AggregateModel, EventModel } from '../mapping/event-registry.js';
import { contextOf, type EventContext } from '../mapping/handler-map.js';
import type { HandlerMeta } from '../mapping/decorators.js';
import type { Fact } from '../model/event.js';
import { ConfigurationError } from '../model/errors.js';
import { VERSIONS_MAX } from './generations.js';
import { fieldsOf } from './merge.js';
import { SHARES_MAX } from './shares.js';
import { checkProjectionName, type ProjectionMeta, type ProjectionModel, type RowsContext } from './projection.js';

/** What the container made of the projection's class. */
export interface ProjectionInstance {
  rows?(state: object, context: RowsContext): unknown;
  readonly [method: string]: unknown;
}

/**
 * The model of one decorated class: its form, its fields and the rows it returns, checked.
 * @param instance read when the first event comes, so that it may be made later
 * @throws ConfigurationError `PROJECTION_SHAPE`, `EVENT_NOT_LISTED`
 */
export function projectionModel(
  cls: { readonly name: string; readonly prototype: object },
  meta: ProjectionMeta,
  handlers: readonly HandlerMeta[],
  aggregate: AggregateModel,
  instance: () => ProjectionInstance,
): ProjectionModel {
  checkProjectionName(meta.name, cls.name);
  if (!Number.isSafeInteger(meta.version) || meta.version < 1 || meta.version >= VERSIONS_MAX) {
    throw new ConfigurationError(
      'PROJECTION_SHAPE',
      `The projection ${cls.name} has the version ${String(meta.version)}.`,
      { fix: 'Give a whole number from 1 to 999,999.' },
    );
  }
  const { shares = 1 } = meta;
  if (!Number.isInteger(shares) || shares < 1 || shares > SHARES_MAX) {
    throw new ConfigurationError(
      'PROJECTION_SHAPE',
      `The projection ${cls.name} is to be kept in ${String(shares)} shares.`,
      { fix: `Give a whole number from 1 to ${SHARES_MAX}.` },
    );
  }
  const hasRows = typeof (cls.prototype as { rows?: unknown }).rows === 'function';
  if (hasRows === handlers.length > 0) {
    throw new ConfigurationError(
      'PROJECTION_SHAPE',
      `The projection ${cls.name} has ${hasRows ? 'both rows() and @EventHandler methods' : 'neither rows() nor an @EventHandler method'}.`,
      {
        fix: 'Write rows(state) to derive rows from a state, or @EventHandler methods that return the rows one event adds: one of both.',
      },
    );
  }
  const base = {
    name: meta.name,
    version: meta.version,
    shares,
    types: new Set([aggregate.type]),
    fields: fieldsOf(meta.view),
  };
  if (hasRows) return { ...base, rowsOf: (state, context) => instance().rows!(state, context) };
  const byName = new Map<string, { readonly model: EventModel; readonly method: string }[]>();
  for (const handler of handlers) {
    const model = [...aggregate.events.values()].find((event) => event.cls === handler.event);
    if (model === undefined) {
      throw new ConfigurationError(
        'EVENT_NOT_LISTED',
        `The projection ${cls.name} handles ${handler.event.name} in ${handler.method}(), which "${aggregate.type}" does not list.`,
        {
          fix: 'Add the event to the aggregate’s `static events`, or name the right aggregate in `of`.',
        },
      );
    }
    byName.set(model.name, [...(byName.get(model.name) ?? []), { model, method: handler.method }]);
  }
  return {
    ...base,
    rowsOfEvent: (fact) => rowsOfEvent(fact, byName.get(fact.name), instance()),
    rankOf: (fact) => aggregate.rankOf(fact),
  };
}

function rowsOfEvent(
  fact: Fact,
  handlers: readonly { readonly model: EventModel; readonly method: string }[] | undefined,
  instance: ProjectionInstance,
): unknown {
  if (handlers === undefined) return undefined;
  const rows: unknown[] = [];
  for (const { model, method } of handlers) {
    const handle = instance[method] as (event: object, context: EventContext) => unknown;
    const given = handle.call(instance, model.hydrate(fact), contextOf(fact));
    if (Array.isArray(given)) rows.push(...(given as unknown[]));
    else if (given !== undefined && given !== null) rows.push(given);
  }
  return rows;
}
