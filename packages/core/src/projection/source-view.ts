/**
 * The view of sources: a built-in projection without rows that keeps what is counted of each source (lateness, rates, gaps)
 * in the transactions of its steps, so that it survives restarts and every process can read it.
 */
import type { EventStore } from '../ports/event-store.js';
import type { CheckpointStore } from '../ports/checkpoint-store.js';
import type { ViewStore } from '../ports/view-store.js';
import type { SourceTable } from '../time/source-table.js';
import type { TimePolicies } from '../time/time-options.js';
import { currentView } from './generations.js';
import type { ProjectionModel } from './projection.js';
import { readSources, SOURCES_PACKED } from './source-track.js';

/** Names starting with a dot are the library's own: no user's projection can take them. */
export const SOURCES = '.sources';

/** It reads no aggregate; what it is about is the feed itself. */
export const sourcesModel: ProjectionModel = {
  name: SOURCES,
  version: 1,
  types: new Set(),
  fields: [{ name: 'none', merge: 'count', scale: 0, additive: true }],
  rowsOfEvent: () => undefined,
  statistics: true,
};

/** The table of sources with its statistics, as the view has it now, whoever writes it. */
export async function readSourceTable(
  views: ViewStore,
  checkpoints: CheckpointStore,
  time: TimePolicies,
): Promise<SourceTable> {
  const notes = await views.readNotes(await currentView(checkpoints, SOURCES, sourcesModel.version), SOURCES_PACKED);
  return readSources(time, notes, true).table;
}

/** Repeats and conflicts by source. */
export async function readCounts(
  store: EventStore,
): Promise<ReadonlyMap<string, { readonly repeated: number; readonly conflicting: number }>> {
  return new Map((await store.readSourceCounts()).map(({ streamId, ...counts }) => [streamId, counts]));
}
