/**
 * The changes of a view on LMDB: those of one commit share entries, each under the sequence of its first; they are read
 * and trimmed one by one all the same. `keys` stands behind the view's beginning, `length` bytes long.
 */
import type { ChangeRecord, Fields, StoredChange } from '@concursus/core';
import type { Texts } from './environment.js';
import { after, readOrdinal, type KeyWriter } from './keys.js';

/** Changes of one stored entry, and characters of their text after which no more are added. */
export const CHANGES_AN_ENTRY = 256;
const CHANGES_CHARACTERS_MAX = 65_536;

type ChangeText = readonly [string, number, Fields | null, Fields | null, readonly string[]];

/** @returns the last sequence */
export function writeChanges(
  changes: Texts,
  keys: KeyWriter,
  length: number,
  records: readonly ChangeRecord[],
  last: number,
): number {
  let entry: string[] = [];
  let characters = 0;
  let sequence = last;
  const put = (): void => {
    changes.putSync(
      keys
        .backTo(length)
        .ordinal(sequence - entry.length + 1)
        .view(),
      `[${entry.join(',')}]`,
    );
    entry = [];
    characters = 0;
  };
  for (const change of records) {
    const text: ChangeText = [change.key, change.revision, change.retract, change.assert, change.cause];
    const json = JSON.stringify(text);
    entry.push(json);
    characters += json.length;
    sequence++;
    if (entry.length === CHANGES_AN_ENTRY || characters > CHANGES_CHARACTERS_MAX) put();
  }
  if (entry.length > 0) put();
  return sequence;
}

/** Removes all of them: a few entries, as changes share them and are trimmed. */
export function removeChanges(changes: Texts, keys: KeyWriter, length: number): void {
  const start = keys.backTo(length).copy();
  for (const key of [...changes.getKeys({ start, end: after(start) })] as Uint8Array[]) changes.removeSync(key);
}

/** Removes the entries that hold nothing but changes before `firstChange`: all that begin before the one that holds it. */
export function trimChanges(changes: Texts, keys: KeyWriter, length: number, firstChange: number): void {
  const start = keys.backTo(length).copy();
  const end = keys
    .backTo(length)
    .ordinal(firstChange + 1)
    .copy();
  const begun = [...changes.getKeys({ start, end })] as Uint8Array[];
  for (let i = 0; i < begun.length - 1; i++) changes.removeSync(begun[i]!);
}

/** At most `limit` changes after a sequence that is still kept. */
export function readChanges(
  changes: Texts,
  keys: KeyWriter,
  length: number,
  afterSequence: number,
  limit: number,
): readonly StoredChange[] {
  const first = keys.backTo(length).copy();
  const end = after(first);
  let start = keys.ordinal(afterSequence + 1).copy();
  // The entry that holds the first one asked for may begin before it.
  for (const key of changes.getKeys({ start, end: first, reverse: true, limit: 1 })) {
    start = Buffer.from(key as Uint8Array);
  }
  const found: StoredChange[] = [];
  for (const { key, value } of changes.getRange({ start, end })) {
    let sequence = readOrdinal(Buffer.from(key as Uint8Array), length);
    for (const [rowKey, revision, retract, assert, cause] of changesOf(value)) {
      if (found.length >= limit) return found;
      if (sequence > afterSequence) found.push({ key: rowKey, revision, retract, assert, cause, sequence });
      sequence++;
    }
  }
  return found;
}

/** An entry's changes; entries of one change alone, without a list around it, were written before. */
function changesOf(value: string): readonly ChangeText[] {
  const stored = JSON.parse(value) as ChangeText | readonly ChangeText[];
  return typeof stored[0] === 'string' ? [stored as ChangeText] : (stored as readonly ChangeText[]);
}
