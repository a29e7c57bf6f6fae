/**
 * Stop 7 of the walk: hands what is still pending to the store, which stamps it with its processing time and keeps it.
 * From here an event is a fact. One call of the store a batch; the store decides the outcomes, also within one batch.
 */
import type { Fact } from '../model/event.js';
import type { Append, AppendOptions, EventStore } from '../ports/event-store.js';
import type { Batch, BatchItem } from './batch.js';

export class EventLog {
  constructor(private readonly store: EventStore) {}

  /**
   * Stores the pending items: as one append when they came together, else each as its own. Resolves when they are as
   * durable as the store promises, every item with its outcome; rejects with nothing of it acknowledged.
   */
  async append(batch: Batch, options: AppendOptions | undefined): Promise<void> {
    batch.seal();
    const items: BatchItem[] = [];
    const appends: Append[] = [];
    if (batch.together) {
      const facts: Fact[] = [];
      for (let i = 0; i < batch.items.length; i++) {
        const item = batch.items[i]!;
        if (item.outcome !== 'pending') continue;
        items.push(item);
        facts.push(item.fact!);
      }
      if (facts.length > 0) appends.push({ facts, receivedAt: items[0]!.receivedAt });
    } else {
      for (let i = 0; i < batch.items.length; i++) {
        const item = batch.items[i]!;
        if (item.outcome !== 'pending') continue;
        items.push(item);
        appends.push({ facts: [item.fact!], receivedAt: item.receivedAt });
      }
    }
    if (items.length === 0) return;

    const results = await this.store.append(appends, options);
    let at = 0;
    for (let i = 0; i < results.length; i++) {
      const { outcomes, position } = results[i]!;
      for (let j = 0; j < outcomes.length; j++) items[at++]!.outcome = outcomes[j]!;
      batch.position = batch.position === undefined ? position : batch.position.join(position);
    }
    if (at !== items.length) throw new Error(`The store answered ${at} outcomes for ${items.length} facts.`);
  }
}
