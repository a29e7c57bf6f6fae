/**
 * Stop 7 of the walk: what the store is asked for, and what its answer means to each item. The store stamps facts with
 * their processing time and decides the outcomes, also within one batch; from there an event is a fact.
 */
import type { Fact } from '../model/event.js';
import type { Append, AppendResult } from '../ports/event-store.js';
import type { Batch } from './batch.js';

const NONE: readonly Append[] = Object.freeze([]);

/** Seals the batch and takes what is still pending in it: one append when it came together, else one an item. One call of the store a batch. */
export function appendsOf(batch: Batch): readonly Append[] {
  batch.seal();
  const { items, together } = batch;
  let pending = 0;
  for (let i = 0; i < items.length; i++) if (items[i]!.outcome === 'pending') pending++;
  if (pending === 0) return NONE;
  // Arrays of their full length at once: pushed to, an array of one would hold room for seventeen.
  const facts = together ? Array<Fact>(pending) : undefined;
  const appends = together ? undefined : Array<Append>(pending);
  let receivedAt = 0;
  for (let i = 0, at = 0; at < pending; i++) {
    const item = items[i]!;
    if (item.outcome !== 'pending') continue;
    if (at === 0) receivedAt = item.receivedAt;
    if (facts !== undefined) facts[at++] = item.fact!;
    else appends![at++] = { facts: [item.fact!], receivedAt: item.receivedAt };
  }
  return appends ?? [{ facts: facts!, receivedAt }];
}

/** Gives each pending item the outcome that the store answered, in the same order. */
export function settle(batch: Batch, results: readonly AppendResult[]): void {
  const { items } = batch;
  let at = 0;
  for (let i = 0; i < results.length; i++) {
    const { outcomes, position } = results[i]!;
    for (let j = 0; j < outcomes.length; j++) {
      while (at < items.length && items[at]!.outcome !== 'pending') at++;
      if (at === items.length) throw new Error('The store answered more outcomes than it got facts.');
      items[at++]!.outcome = outcomes[j]!;
    }
    batch.position = batch.position === undefined ? position : batch.position.join(position);
  }
  for (; at < items.length; at++) {
    if (items[at]!.outcome === 'pending') throw new Error('The store answered fewer outcomes than it got facts.');
  }
}
