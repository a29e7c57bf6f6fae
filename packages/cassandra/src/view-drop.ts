/** Removes a view: first its head says so, then its partitions go, then the head. Interrupted, it is still listed, and done again. */
import type { ViewRef } from '@concursus/core';
import { types } from 'cassandra-driver';
import type { Session, Statement } from './session.js';
import { blockOf, removeBlocks } from './view-changes.js';
import type { Head, ViewHeads } from './view-head.js';
import { allParts } from './view-keys.js';
import { settled } from './view-records.js';

const REMOVE_PART = 'DELETE FROM view_record WHERE context = ? AND view_id = ? AND part = ?';
/** Partitions removed side by side. */
const STEP = 32;
/** What a commit that never came to be may have staged behind the last change. */
const BLOCKS_STAGED = 8;
/** Above every write timestamp there is, so that what is still under way of this life is removed, too. */
const LAST_TIMESTAMP = types.Long.fromBits(0, 0x4000_0000);
/** Each is begun because somebody committed meanwhile. */
const TRIES = 5;

export async function dropView(session: Session, heads: ViewHeads, view: ViewRef): Promise<void> {
  for (let tries = 0; tries < TRIES; tries++) {
    const found = await heads.readLast(view);
    if (found === undefined) return;
    const head = await heads.beginDrop(view, found);
    if (head === undefined) continue;
    await endDrop(session, heads, view, head);
    return;
  }
}

/** Does what is left of a drop that has begun. */
export async function endDrop(session: Session, heads: ViewHeads, view: ViewRef, head: Head): Promise<void> {
  const { context } = session;
  const { reset, firstBlock, lastChange, old } = head.state;
  const statements: Statement[] = allParts.map((part) => ({ query: REMOVE_PART, params: [context, head.data, part] }));
  const blocks: readonly (readonly [number, number, number])[] = [...old, [reset, firstBlock, blockOf(lastChange)]];
  for (const [number, from, to] of blocks) {
    statements.push(...removeBlocks(context, head.data, number, from, to + 1 + BLOCKS_STAGED));
  }
  for (let i = 0; i < statements.length; i += STEP) {
    const step = statements.slice(i, i + STEP);
    await settled(step.map((statement) => session.batch([statement], { timestamp: LAST_TIMESTAMP })));
  }
  await heads.endDrop(view, head);
}
