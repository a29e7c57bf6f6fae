/**
 * What a group of projections knows of sources where it stands: the source table, taken page by page ahead of the commits,
 * and its notes as each view keeps them. Stop 12 of the walk.
 */
import type { Fact } from '../model/event.js';
import { SOURCE_NOTES } from '../time/source.js';
import { SourceTable } from '../time/source-table.js';
import type { TimePolicies } from '../time/time-options.js';
import { PackedNotes, type Note } from './packed-notes.js';

/** What one step of the feed says beside its events: the same for all tracks that make it. */
export interface StepTime {
  /** Notes of the sources, packed. */
  readonly notes: readonly Note[];
  /** Those that only the view of sources keeps. */
  readonly statistics: readonly Note[];
  readonly inputWatermark: number;
}

/** How the entries begin that hold what is known of sources; those of statistics, which one view keeps, begin with it too. */
export const SOURCES_PACKED = 'sources/';
const WATERMARKS = `${SOURCES_PACKED}w/`;
const STATISTICS = `${SOURCES_PACKED}s/`;

/** The table as a view's notes have it. */
export function readSources(
  time: TimePolicies,
  notes: readonly Note[],
  statistics: boolean,
): { readonly table: SourceTable; readonly watermarks: PackedNotes; readonly statistics: PackedNotes } {
  const watermarks = new PackedNotes(
    WATERMARKS,
    notes.filter(({ key }) => key.startsWith(WATERMARKS)),
  );
  const counted = new PackedNotes(
    STATISTICS,
    notes.filter(({ key }) => key.startsWith(STATISTICS)),
  );
  const unpacked = [...watermarks.unpacked(), ...(statistics ? counted.unpacked() : [])];
  return { table: SourceTable.load(time, unpacked, { statistics }), watermarks, statistics: counted };
}

export class SourceTrack {
  readonly table: SourceTable;
  private readonly watermarks: PackedNotes;
  private readonly statistics: PackedNotes;

  constructor(
    time: TimePolicies,
    notes: readonly Note[],
    /** Whether it counts, too. */
    readonly counts: boolean,
  ) {
    ({
      table: this.table,
      watermarks: this.watermarks,
      statistics: this.statistics,
    } = readSources(time, notes, counts));
  }

  /** Takes the next page; what is returned belongs into the commits of that page. A step that is not committed ends the track: make it anew from a view's notes. */
  take(facts: readonly Fact[]): StepTime {
    const { table } = this;
    table.takePage(facts);
    const watermarks: Note[] = [];
    const statistics: Note[] = [];
    for (const note of table.changes()) (note.key.startsWith(SOURCE_NOTES) ? watermarks : statistics).push(note);
    table.saved();
    return {
      notes: this.watermarks.pack(watermarks),
      statistics: this.statistics.pack(statistics),
      inputWatermark: table.inputWatermark,
    };
  }
}
