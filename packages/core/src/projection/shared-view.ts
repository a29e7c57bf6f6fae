/**
 * A view that is kept in shares, as its readers see it: one view. Rows of a key are merged where they are read, so a row may
 * hold one share's events up to a place and another's up to a later one; what waits for a place waits for all shares.
 *
 * Its changes are those of the shares, each as the merged row shows it. For that the partial rows beside a change must be known
 * as they were at the reader's place: as they are now, taken back to before their first change behind it.
 */
import { compareText } from '../model/text.js';
import type { Fields, FindOptions, StoredChange, StoredRow, ViewRef } from '../ports/view-store.js';
import type { TakenFrom } from './adoption.js';
import { sequencesOf, tokenOf } from './change-token.js';
import { generationOf, readPointer, TAKEN_FROM, viewRefOf, type Generation } from './generations.js';
import { mergeFields, mergeRows } from './partials.js';
import type { ProjectionModel } from './projection.js';
import { StoredView, type ViewChange, type ViewParts, type ViewRow } from './view.js';

/** One share's row of a key at the reader's place. */
interface Partial {
  readonly fields: Fields | null;
  readonly revision: number;
}
const NEVER: Partial = { fields: null, revision: 0 };

/** What a share adds to a page of changes. */
interface SharePage {
  readonly ref: ViewRef;
  /** They come after this one. */
  readonly after: number;
  readonly changes: readonly StoredChange[];
}

export class SharedView<V extends object> extends StoredView<V> {
  /** @param shares of the model, by index */
  constructor(
    model: ProjectionModel,
    private readonly shares: readonly ProjectionModel[],
    parts: ViewParts,
  ) {
    super(model, parts);
  }

  /**
   * Each share has its own pointer. While some have gone over to another version and others not, the old one is read of all:
   * it stands still in those that went over, until the last follows.
   */
  protected override async refs(): Promise<readonly ViewRef[]> {
    const { checkpoints } = this.parts;
    const read = await Promise.all(this.shares.map(({ name, version }) => readPointer(checkpoints, name, version)));
    const versions = new Set(read.map(({ version }) => version));
    return Promise.all(
      read.map(async (generation, i) => {
        const ref = viewRefOf(this.shares[i]!.name, generation);
        if (versions.size === 1) return ref;
        const before = await this.takenFrom(ref);
        const isBehind = before !== undefined && before.version !== generation.version && versions.has(before.version);
        return isBehind ? viewRefOf(ref.name, before) : ref;
      }),
    );
  }

  /** The generation before, while it is kept. */
  private async takenFrom(ref: ViewRef): Promise<Generation | undefined> {
    const { views } = this.parts;
    const [note] = await views.readNotes(ref, TAKEN_FROM);
    if (note === undefined) return undefined;
    const before = note.value as unknown as TakenFrom;
    const kept = (await views.versions(ref.name)).map(generationOf);
    return kept.find(({ version, generation }) => version === before.version && generation === before.generation);
  }

  /** The whole view's rows of these keys, as one piece would store them. */
  async storedRows(keys: readonly string[]): Promise<readonly (StoredRow | undefined)[]> {
    return this.rowsIn(await this.refs(), keys);
  }

  private async rowsIn(refs: readonly ViewRef[], keys: readonly string[]): Promise<readonly (StoredRow | undefined)[]> {
    const parts = await Promise.all(refs.map((ref) => this.parts.views.readRows(ref, keys)));
    return keys.map((key, i) =>
      mergeRows(
        this.shares[0]!.fields,
        key,
        parts.map((rows) => rows[i]),
      ),
    );
  }

  override async getMany(keys: readonly string[]): Promise<readonly (ViewRow<V> | undefined)[]> {
    const refs = await this.refs();
    const rows = await this.rowsIn(refs, keys);
    const settled = await this.leastSettled(refs);
    return rows.map((row) => (row === undefined || row.contributors === 0 ? undefined : this.rowOf(row, settled)));
  }

  /** The whole view's rows in a range. */
  override async findStored(
    options: FindOptions,
  ): Promise<{ readonly rows: readonly StoredRow[]; readonly settled: number }> {
    const { views } = this.parts;
    const refs = await this.refs();
    const inOrder = options.descending === true ? (a: string, b: string) => compareText(b, a) : compareText;
    const found = await Promise.all(refs.map((ref) => views.findRows(ref, options)));
    // Behind the end of a full page there may be more of that share.
    const ends = found.filter((rows) => rows.length === options.limit).map((rows) => rows.at(-1)!.key);
    const end = ends.sort(inOrder)[0];
    const byKey = found.map((rows) => new Map(rows.map((row) => [row.key, row])));
    const keys = [...new Set(found.flatMap((rows) => rows.map(({ key }) => key)))]
      .filter((key) => end === undefined || inOrder(key, end) <= 0)
      .sort(inOrder)
      .slice(0, options.limit);
    // A partial row that was removed counts in the revision.
    await Promise.all(
      refs.map(async (ref, i) => {
        const missing = options.removed === true ? [] : keys.filter((key) => !byKey[i]!.has(key));
        if (missing.length === 0) return;
        for (const row of await views.readRows(ref, missing)) if (row !== undefined) byKey[i]!.set(row.key, row);
      }),
    );
    const rows = keys.map((key) =>
      mergeRows(
        this.shares[0]!.fields,
        key,
        byKey.map((of) => of.get(key)),
      )!,
    );
    return { rows, settled: await this.leastSettled(refs) };
  }

  private async leastSettled(refs: readonly ViewRef[]): Promise<number> {
    return Math.min(...(await Promise.all(refs.map((ref) => this.settledIn(ref)))));
  }

  override async *changes(
    options: { readonly from?: number | string; readonly signal?: AbortSignal } = {},
  ): AsyncIterable<ViewChange<V>> {
    const signal = options.signal ?? new AbortController().signal;
    const count = this.shares.length;
    const after = sequencesOf(options.from === 'now' ? await this.lastToken() : (options.from ?? 0), count);
    while (!signal.aborted) {
      const refs = await this.refs();
      const pages = await Promise.all(
        refs.map(async (ref, i): Promise<SharePage> => {
          const changes = await this.changesAfter(ref, after[i]!);
          return { ref, after: after[i]!, changes };
        }),
      );
      if (pages.every(({ changes }) => changes.length === 0)) {
        await this.waitForChange(refs, after, signal);
        continue;
      }
      const partials = await this.partialsAt(pages);
      for (const [i, { changes }] of pages.entries()) {
        for (const change of changes) {
          if (signal.aborted) return;
          const rows = partials.get(change.key)!;
          const retract = this.mergedOf(rows);
          rows[i] = { fields: change.assert, revision: change.revision };
          after[i] = change.sequence;
          yield {
            sequence: after.reduce((sum, one) => sum + one, 0),
            token: tokenOf(after),
            key: change.key,
            revision: rows.reduce((sum, one) => sum + one.revision, 0),
            retract,
            assert: this.mergedOf(rows),
            cause: change.cause,
          };
        }
      }
    }
  }

  private mergedOf(rows: readonly Partial[]): V | null {
    return this.shown(
      mergeFields(
        this.shares[0]!.fields,
        rows.map(({ fields }) => fields),
      ),
    );
  }

  /** The partial rows of all keys that change in these pages, as they were before them. */
  private async partialsAt(pages: readonly SharePage[]): Promise<Map<string, Partial[]>> {
    const keys = [...new Set(pages.flatMap(({ changes }) => changes.map(({ key }) => key)))];
    const columns = await Promise.all(pages.map((page) => this.columnAt(page, keys)));
    return new Map(keys.map((key) => [key, columns.map((column) => column.get(key) ?? NEVER)]));
  }

  private async columnAt({ ref, after, changes }: SharePage, keys: readonly string[]): Promise<Map<string, Partial>> {
    const column = new Map<string, Partial>();
    const takeBack = (later: readonly StoredChange[], wanted: ReadonlySet<string>): void => {
      for (const { key, retract, revision } of later) {
        if (wanted.has(key) && !column.has(key)) column.set(key, { fields: retract, revision: revision - 1 });
      }
    };
    takeBack(changes, new Set(keys));
    const open = keys.filter((key) => !column.has(key));
    if (open.length === 0) return column;
    const rows = await this.parts.views.readRows(ref, open);
    // What changed between the page and these rows is found behind the page, and taken back.
    const wanted = new Set(open);
    for (let last = changes.at(-1)?.sequence ?? after; ;) {
      const page = await this.changesAfter(ref, last);
      if (page.length === 0) break;
      takeBack(page, wanted);
      last = page.at(-1)!.sequence;
    }
    rows.forEach((row, i) => {
      if (row === undefined || column.has(open[i]!)) return;
      column.set(open[i]!, { fields: row.contributors > 0 ? row.fields : null, revision: row.revision });
    });
    return column;
  }
}
