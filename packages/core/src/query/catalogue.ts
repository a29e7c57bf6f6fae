/**
 * The catalogue: which aggregates of a type live. A built-in projection: an initial event adds, a terminal one removes,
 * in whichever order they arrive; types without an initial event live from their first event on.
 */
import type { EventRegistry } from '../mapping/event-registry.js';
import { UnsupportedError } from '../model/errors.js';
import { INITIAL, TERMINAL, type Fact } from '../model/event.js';
import type { FieldModel } from '../projection/merge.js';
import type { Position } from '../model/position.js';
import type { ProjectionModel } from '../projection/projection.js';
import type { View } from '../projection/view.js';
import type { AggregateRef } from './event-source.js';

/** Names starting with a dot are the library's own: no user's projection can take them. */
export const CATALOGUE = '.catalogue';

const fields: readonly FieldModel[] = [
  { name: 'initial', merge: 'sum', scale: 0, additive: true },
  { name: 'terminal', merge: 'sum', scale: 0, additive: true },
];

interface CatalogueRow {
  readonly initial: number;
  readonly terminal: number;
}

/** A tenant never holds a slash: it ends at the first; a type ends at the second. */
function rowKey(tenant: string, type: string, id: string): string {
  return `${encodeURIComponent(tenant)}/${encodeURIComponent(type)}/${id}`;
}

/** The catalogue as the projections' runner takes it. */
export function catalogueModel(registry: EventRegistry): ProjectionModel {
  return {
    name: CATALOGUE,
    version: 1,
    types: undefined,
    fields,
    rowsOfEvent(fact: Fact) {
      const model = registry.find(fact.aggregateType);
      const declared = model?.events.get(fact.name)?.characteristics ?? fact.characteristics;
      const terminal = (declared & TERMINAL) !== 0 ? 1 : 0;
      const initial = model?.hasInitial === false || (declared & INITIAL) !== 0 ? 1 : 0;
      if (initial === 0 && terminal === 0) return undefined;
      return [[rowKey(fact.tenant, fact.aggregateType, fact.aggregateId), { initial, terminal }]];
    },
  };
}

export interface CataloguePage {
  readonly ids: readonly string[];
  /** Pass it as `after` for more; undefined at the end. */
  readonly next: string | undefined;
}

export class Catalogue {
  constructor(
    private readonly view: View<CatalogueRow> | undefined,
    private readonly registry: EventRegistry,
  ) {}

  /**
   * Resolves when the catalogue holds everything up to the position of a record summary: list your own writes.
   * @throws UnavailableError `TIMEOUT` · UnsupportedError `CAPABILITY_MISSING` with `catalogue: false`
   */
  async caughtUp(
    recorded: { readonly position: Position | undefined },
    options?: { readonly timeoutMs?: number },
  ): Promise<void> {
    await this.kept().caughtUp(recorded, options);
  }

  /**
   * Ids of living aggregates of a type, in order of their UTF-8 bytes, in pages of at most `limit` (1 to 10,000, default 1,000).
   * @throws UnsupportedError `CAPABILITY_MISSING` with `catalogue: false`
   */
  async list(
    aggregate: AggregateRef,
    options: { readonly tenant?: string; readonly after?: string; readonly limit?: number } = {},
  ): Promise<CataloguePage> {
    const view = this.kept();
    const { type } = this.registry.aggregate(aggregate);
    const limit = options.limit ?? 1_000;
    const prefix = rowKey(options.tenant ?? '', type, '');
    const ids: string[] = [];
    let after = options.after === undefined ? undefined : prefix + options.after;
    for (;;) {
      const page = await view.find({ prefix, limit, ...(after === undefined ? {} : { after }) });
      for (const row of page.rows) {
        if (row.value.initial === 0 || row.value.terminal > 0) continue;
        ids.push(row.key.slice(prefix.length));
        if (ids.length === limit) return { ids, next: ids.at(-1) };
      }
      if (page.next === undefined) return { ids, next: undefined };
      after = page.next;
    }
  }

  private kept(): View<CatalogueRow> {
    if (this.view !== undefined) return this.view;
    throw new UnsupportedError('CAPABILITY_MISSING', 'This context keeps no catalogue.', {
      fix: 'Remove `catalogue: false` from the options of ConcursusModule.',
    });
  }
}
