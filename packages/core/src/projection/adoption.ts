/**
 * How a generation takes over from the one before it: both stand still, all rows are compared in the order of their keys, and
 * what differs is appended as changes behind the old one's last. Rows that are the same keep their revision and say nothing.
 *
 * Until the pointer is moved nobody reads the new generation, so the commits are pages; after a crash in the middle everything
 * is done again from the old generation as it stands then, and the first commit forgets the changes of the attempt before.
 *
 * From that commit on the new generation keeps its changes: the old one may be ended by the attempt, and the pointer moved by
 * whoever finds that later, when the new one has gone on.
 */
import { canonicalJson } from '../model/canonical-json.js';
import { ConflictError, UnavailableError } from '../model/errors.js';
import type { WireValue } from '../model/event.js';
import { compareText } from '../model/text.js';
import type { CheckpointStore, OwnerRow } from '../ports/checkpoint-store.js';
import type { Clock } from '../ports/clock.js';
import type { EventFeed } from '../ports/event-feed.js';
import type { ChangeRecord, Fields, StoredRow, ViewRef, ViewStore } from '../ports/view-store.js';
import { rowReaching } from './ahead.js';
import { ownerNameOf, TAKEN_FROM, viewRefOf, type Generation } from './generations.js';
import { emptyOf, type FieldModel } from './merge.js';
import type { Track } from './track.js';

/** A note of a view: what its taking over changed. */
const REPORT = 'rebuild/report';

export interface TakenFrom extends Generation {
  readonly changesFrom: number;
}

/** A row in which two generations differ; null where one has none. */
export interface RebuildDifference {
  readonly key: string;
  readonly before: Fields | null;
  readonly after: Fields | null;
}

/** What the switch to a new generation changed. */
export interface RebuildReport {
  readonly from: Generation;
  readonly to: Generation;
  /** Where the new one stood. */
  readonly position: string;
  /** Live rows of the new one. */
  readonly rows: number;
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
  /** At most 100. */
  readonly examples: readonly RebuildDifference[];
  /** Epoch ms: when it was asked for, and when both were equal but for these differences. */
  readonly startedAt: number;
  readonly comparedAt: number;
}

const PAGE = 1_000;
const EXAMPLES_MAX = 100;
/** Characters of one example's fields; longer ones are left out and only counted. */
const EXAMPLE_CHARACTERS_MAX = 4_000;

/** All rows, removed ones too, one at a time. */
async function* rowsOf(views: ViewStore, ref: ViewRef): AsyncGenerator<readonly StoredRow[]> {
  let from: string | undefined;
  for (;;) {
    const range = from === undefined ? {} : { from, fromExclusive: true };
    const page = await views.findRows(ref, { ...range, limit: PAGE, removed: true });
    if (page.length > 0) yield page;
    if (page.length < PAGE) return;
    from = page.at(-1)!.key;
  }
}

/** One page ahead, row by row. */
class Cursor {
  private page: readonly StoredRow[] = [];
  private at = 0;
  private readonly pages: AsyncGenerator<readonly StoredRow[]>;

  constructor(views: ViewStore, ref: ViewRef) {
    this.pages = rowsOf(views, ref);
  }

  get row(): StoredRow | undefined {
    return this.page[this.at];
  }

  /** A promise only where a page must be read. */
  next(): Promise<void> | undefined {
    if (++this.at < this.page.length) return undefined;
    return this.turn();
  }

  async turn(): Promise<void> {
    this.at = 0;
    const next = await this.pages.next();
    this.page = next.done === true ? [] : next.value;
  }
}

/** Pairs of two views' rows by key. */
export async function* pairs(
  views: ViewStore,
  one: ViewRef,
  other: ViewRef,
): AsyncGenerator<readonly (readonly [StoredRow | undefined, StoredRow | undefined])[]> {
  const a = new Cursor(views, one);
  const b = new Cursor(views, other);
  await Promise.all([a.turn(), b.turn()]);
  let page: [StoredRow | undefined, StoredRow | undefined][] = [];
  for (;;) {
    const { row: left } = a;
    const { row: right } = b;
    if (left === undefined && right === undefined) break;
    const order = left === undefined ? 1 : right === undefined ? -1 : compareText(left.key, right.key);
    page.push([order <= 0 ? left : undefined, order >= 0 ? right : undefined]);
    const stepped = order <= 0 ? a.next() : undefined;
    if (stepped !== undefined) await stepped;
    const followed = order >= 0 ? b.next() : undefined;
    if (followed !== undefined) await followed;
    if (page.length === PAGE) {
      yield page;
      page = [];
    }
  }
  if (page.length > 0) yield page;
}

/** What becomes of one row, from the old one as its readers know it; and the change to tell, if any. */
function takeOver(
  fields: readonly FieldModel[],
  old: StoredRow | undefined,
  made: StoredRow | undefined,
): { readonly row: StoredRow; readonly change: ChangeRecord | undefined } {
  const key = (old ?? made)!.key;
  const before = old !== undefined && old.contributors > 0 ? old.fields : null;
  const after = made !== undefined && made.contributors > 0 ? made.fields : null;
  const same = before === null || after === null ? before === after : canonicalJson(before) === canonicalJson(after);
  // A row that only the new one had, and has no more, was seen by nobody: should it come back, it comes for the first time.
  const revision = old === undefined ? (after === null ? 0 : 1) : old.revision + (same ? 0 : 1);
  const empty: Record<string, WireValue> = {};
  if (made === undefined) for (const field of fields) empty[field.name] = emptyOf(field);
  // How far it reaches is the new one's: it was made of all that counts, the old one may hold what was withdrawn since.
  const row = rowReaching(
    { key, revision, contributors: made?.contributors ?? 0, fields: made?.fields ?? empty },
    made?.through ?? Number.NEGATIVE_INFINITY,
    made?.ahead,
  );
  return { row, change: same ? undefined : { key, revision, retract: before, assert: after, cause: [] } };
}

export interface AdoptionParts {
  readonly views: ViewStore;
  readonly clock: Clock;
}

/**
 * Makes a generation ready to take over. Neither may move meanwhile.
 * @param alive called between pages: the caller's right to hold the old one still is renewed there
 * @throws UnavailableError `ABORTED` · ConflictError `LEASE_LOST`; what was written is made again by the next attempt
 */
export async function adopt(
  parts: AdoptionParts,
  old: { readonly ref: ViewRef; readonly generation: Generation },
  track: Track,
  startedAt: number,
  signal: AbortSignal,
  alive: () => Promise<void>,
): Promise<RebuildReport> {
  const { views, clock } = parts;
  const changesFrom = await views.lastChange(old.ref);
  const from: TakenFrom = { ...old.generation, changesFrom };
  await track.put({ changesFrom, notes: [{ key: TAKEN_FROM, value: from as unknown as WireValue }] });
  let rows = 0;
  let added = 0;
  let removed = 0;
  let changed = 0;
  const examples: RebuildDifference[] = [];
  for await (const page of pairs(views, old.ref, track.view)) {
    if (signal.aborted) throw new UnavailableError('ABORTED', 'The take-over was ended.', { fix: 'It is done again.' });
    await alive();
    const written: StoredRow[] = [];
    const changes: ChangeRecord[] = [];
    for (const [before, made] of page) {
      const { row, change } = takeOver(track.model.fields, before, made);
      if (made === undefined || row.revision !== made.revision) written.push(row);
      if (row.contributors > 0) rows++;
      if (change === undefined) continue;
      changes.push(change);
      const { retract, assert } = change;
      if (retract === null) added++;
      else if (assert === null) removed++;
      else changed++;
      if (examples.length >= EXAMPLES_MAX) continue;
      if (JSON.stringify([retract, assert]).length > EXAMPLE_CHARACTERS_MAX) continue;
      examples.push({ key: change.key, before: retract, after: assert });
    }
    if (written.length > 0 || changes.length > 0) await track.put({ rows: written, changes });
  }
  const report: RebuildReport = {
    from: old.generation,
    to: track.generation,
    position: track.position.toString(),
    rows,
    added,
    removed,
    changed,
    examples,
    startedAt,
    comparedAt: clock.now(),
  };
  await track.put({ notes: [{ key: REPORT, value: report as unknown as WireValue }] });
  track.dropCaches();
  return report;
}

/** The report of a generation that took over; undefined for one that did not. */
export async function readReport(views: ViewStore, ref: ViewRef): Promise<RebuildReport | undefined> {
  const [note] = await views.readNotes(ref, REPORT);
  return note?.value as unknown as RebuildReport | undefined;
}

/** What the switches of the shares of one view changed together; the first that there is says from what to what. */
export function reportOf(reports: readonly (RebuildReport | undefined)[]): RebuildReport | undefined {
  const found = reports.filter((report) => report !== undefined);
  return found.reduce<RebuildReport | undefined>(
    (sum, one) =>
      sum === undefined
        ? one
        : {
            ...sum,
            rows: sum.rows + one.rows,
            added: sum.added + one.added,
            removed: sum.removed + one.removed,
            changed: sum.changed + one.changed,
            examples: [...sum.examples, ...one.examples].slice(0, EXAMPLES_MAX),
            comparedAt: Math.max(sum.comparedAt, one.comparedAt),
          },
    undefined,
  );
}

/**
 * Stops whoever still runs an old version that nobody here has the code of, by the next epoch of its row; the row is the
 * caller's to renew and release.
 * @throws ConflictError `LEASE_LOST` it is claimed by another process
 */
export async function claimNext(checkpoints: CheckpointStore, owner: string, process: string): Promise<OwnerRow> {
  const row = await checkpoints.claim(owner, process, await checkpoints.readOwner(owner));
  if (row === undefined) throw wentOn(owner);
  return row;
}

/**
 * Asks the store where the old one stands, which nobody writes any more. Its last commit may be done and not answered.
 * @throws ConflictError `LEASE_LOST` it went on behind where the new one stands
 */
export async function checkStanding(
  parts: AdoptionParts & { readonly feed: EventFeed },
  name: string,
  old: Generation,
  track: Track,
): Promise<void> {
  const checkpoint = await parts.views.readCheckpoint(viewRefOf(name, old));
  if (checkpoint === undefined || track.position.covers(parts.feed.parsePosition(checkpoint))) return;
  throw wentOn(ownerNameOf(name, old));
}

function wentOn(owner: string): ConflictError {
  return new ConflictError('LEASE_LOST', `"${owner}" went on meanwhile.`, { fix: 'It is tried again.' });
}
