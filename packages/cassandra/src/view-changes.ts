/**
 * A view's changes: several of a commit in one entry under the sequence of its first, entries in blocks of a partition each.
 * What is trimmed goes by whole blocks, so that no reader walks over what was removed.
 */
import { UnavailableError } from '@concursus/core';
import type { ChangeRecord, Fields, StoredChange } from '@concursus/core';
import type { Head, Stamp } from './view-head.js';
import { cellOf, Overtaken, stampOf } from './view-records.js';
import type { Session, Statement } from './session.js';

/** Sequences of one block; at 300 bytes each 1.2 MB a partition. */
const BLOCK = 4_096;
/** Changes of one entry, and characters after which one ends. */
const CHANGES_AN_ENTRY = 256;
const ENTRY_LENGTH = 16_384;

/** As stored in an entry, in the order of their sequences. */
type ChangeText = readonly [
  key: string,
  revision: number,
  retract: Fields | null,
  assert: Fields | null,
  cause: readonly string[],
];

const WRITE = 'INSERT INTO view_change (context, view_id, reset, block, first, entry) VALUES (?, ?, ?, ?, ?, ?)';
const READ =
  'SELECT first, entry FROM view_change WHERE context = ? AND view_id = ? AND reset = ? AND block = ? AND first > ? AND first <= ?';
const REMOVE = 'DELETE FROM view_change WHERE context = ? AND view_id = ? AND reset = ? AND block = ?';

export function blockOf(sequence: number): number {
  return Math.floor((sequence - 1) / BLOCK);
}

/** Entries that say `changes`, numbered from `first`; none crosses a block's edge. */
export function changeEntries(
  context: string,
  data: string,
  reset: number,
  first: number,
  changes: readonly ChangeRecord[],
  stamp: Stamp,
): Statement[] {
  const statements: Statement[] = [];
  let start = first;
  let texts: string[] = [];
  let length = 0;
  const end = (): void => {
    if (texts.length === 0) return;
    const entry = cellOf(stamp, `[${texts.join(',')}]`);
    statements.push({ query: WRITE, params: [context, data, reset, blockOf(start), start, entry] });
    start += texts.length;
    texts = [];
    length = 0;
  };
  for (const { key, revision, retract, assert, cause } of changes) {
    const next = start + texts.length;
    if (texts.length >= CHANGES_AN_ENTRY || length > ENTRY_LENGTH || blockOf(next) !== blockOf(start)) end();
    const change: ChangeText = [key, revision, retract, assert, cause];
    const text = JSON.stringify(change);
    texts.push(text);
    length += text.length;
  }
  end();
  return statements;
}

/**
 * Changes above `after`, at most `limit`, as the head has them.
 * @throws UnavailableError `CHANGES_TRIMMED` @throws Overtaken
 */
export async function readChanges(
  session: Session,
  head: Head,
  name: string,
  after: number,
  limit: number,
): Promise<readonly StoredChange[]> {
  const { lastChange, firstChange, reset } = head.state;
  if (after >= lastChange || limit <= 0) return [];
  if (after + 1 < firstChange) {
    throw new UnavailableError(
      'CHANGES_TRIMMED',
      `Changes ${after + 1} to ${firstChange - 1} of view "${name}" are no longer kept.`,
      {
        fix: 'Read the rows as they are now, then follow the changes from the last sequence; or raise changesKept.',
        details: { view: name, after, firstKept: firstChange },
      },
    );
  }
  const last = Math.min(lastChange, after + limit);
  const changes: StoredChange[] = [];
  for (let block = blockOf(after + 1); block <= blockOf(last); block++) {
    // The entry that holds the first one may begin before it.
    const from = Math.max(block * BLOCK, after - CHANGES_AN_ENTRY);
    const key = [session.context, head.data, reset, block, from, last];
    for await (const rows of session.pages(READ, key, { fetchSize: 100 })) {
      for (const row of rows) {
        const cell = row.get('entry') as string;
        const { run, n, at } = stampOf(cell);
        // What was staged and not committed may stand between.
        if (!head.counts(run, n)) continue;
        let sequence = Number(row.get('first'));
        for (const [key, revision, retract, assert, cause] of JSON.parse(cell.slice(at)) as ChangeText[]) {
          if (sequence > after && sequence <= last) changes.push({ key, revision, retract, assert, cause, sequence });
          sequence += 1;
        }
      }
    }
  }
  // Blocks are removed long after they were trimmed: one that is missing says that this head is old.
  if (changes.length !== last - after || changes[0]?.sequence !== after + 1) throw new Overtaken();
  return changes;
}

/** Removes blocks from `from` to before `to`. */
export function removeBlocks(context: string, data: string, reset: number, from: number, to: number): Statement[] {
  const statements: Statement[] = [];
  for (let block = from; block < to; block++) statements.push({ query: REMOVE, params: [context, data, reset, block] });
  return statements;
}
