/** How a name under which something settles takes up its work. */
import type { Work, WorkParts } from '../processing/work-model.js';
import type { Snapshots } from '../query/snapshots.js';
import { SettlingName, type SettlingConsumer } from './settling-name.js';
import { SettlingPlan } from './settling-plan.js';
import { SettlingQueue } from './settling-queue.js';
import { ToldStates } from './told-states.js';

export class SettlingModel extends SettlingName {
  /** @param snapshots where folds of whole histories may start */
  constructor(
    consumer: SettlingConsumer,
    private readonly snapshots?: Snapshots,
  ) {
    super(consumer);
  }

  override async open(parts: WorkParts): Promise<Work> {
    const told = new ToldStates(parts, this.view, this.consumer.keepToldMs);
    const plan = new SettlingPlan(parts, this.consumer, told, this.snapshots);
    return { plan, intake: await SettlingQueue.open(parts, this, plan, told) };
  }
}
