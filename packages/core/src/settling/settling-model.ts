/** One name under which something settles: what of which aggregate, who is told, and how what its view holds is encoded. */
import type { AggregateModel } from '../mapping/event-registry.js';
import type { CorrectedContext, SettledContext } from '../mapping/settling.js';
import type { ViewRef } from '../ports/view-store.js';
import { type ConsumerOptions, WorkModel, type Work, type WorkParts } from '../processing/consumer-model.js';
import type { Snapshots } from '../query/snapshots.js';
import type { Settling } from '../time/settled-items.js';
import { SettlingPlan } from './settling-plan.js';
import { SettlingQueue } from './settling-queue.js';
import { ToldStates } from './told-states.js';

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

export class SettlingModel extends WorkModel {
  override readonly schedule = 'settling' as const;
  readonly aggregate: AggregateModel;
  readonly settling: Settling;

  /** @param snapshots where folds of whole histories may start */
  constructor(
    readonly consumer: SettlingConsumer,
    private readonly snapshots?: Snapshots,
  ) {
    super(consumer, viewOfSettling(consumer.name), `settling:${consumer.name}`);
    this.aggregate = consumer.aggregate;
    this.settling = consumer.settling;
  }

  override async open(parts: WorkParts): Promise<Work> {
    const told = new ToldStates(parts, this.view, this.consumer.keepToldMs);
    const plan = new SettlingPlan(parts, this.consumer, told, this.snapshots);
    return { plan, intake: await SettlingQueue.open(parts, this, plan, told) };
  }
}
