/** One name under which something settles: what of which aggregate, who is told, and where everything it knows is kept. */
import type { AggregateModel } from '../mapping/event-registry.js';
import type { CorrectedContext, SettledContext } from '../mapping/settling.js';
import type { ViewRef } from '../ports/view-store.js';
import type { ConsumerOptions } from '../processing/consumer-model.js';
import { WorkModel } from '../processing/work-model.js';
import type { Settling } from '../time/settled-items.js';

/** Made at start-up from `@OnSettled` or `@Deadline`, and what corrects or withdraws it. */
export interface SettlingConsumer extends ConsumerOptions {
  readonly aggregate: AggregateModel;
  readonly settling: Settling;
  /** How far behind what is settled, in event time, the state of what was told is kept. Absent: for ever. */
  readonly keepToldMs?: number;
  readonly settled?: (state: object, context: SettledContext) => unknown;
  readonly corrected?: (
    before: readonly (object | undefined)[],
    after: readonly object[],
    context: CorrectedContext,
  ) => unknown;
  readonly withdrawn?: (before: object | undefined, now: object, context: SettledContext) => unknown;
}

/** The view that holds everything a name knows of what settles. */
export function viewOfSettling(name: string): ViewRef {
  return { name: `.settling.${name}`, version: 1, slice: -1 };
}

export abstract class SettlingName extends WorkModel {
  override readonly schedule = 'settling' as const;
  readonly aggregate: AggregateModel;
  readonly settling: Settling;

  constructor(readonly consumer: SettlingConsumer) {
    super(consumer, viewOfSettling(consumer.name), `settling:${consumer.name}`);
    this.aggregate = consumer.aggregate;
    this.settling = consumer.settling;
  }
}
