/**
 * A view of events under a policy that does not keep both contents of an identity: it is what the policy leaves, whenever the
 * second content comes, and a page costs one look into the histories, a late fact in it one more.
 */
import { expect, it } from 'vitest';
import {
  Aggregate,
  Event,
  EventBus,
  EventRegistry,
  inMemory,
  projectionModel,
  ProjectionRunner,
  Projections,
  SystemClock,
  Sum,
  type EventStore,
  type Rows,
} from '@concursus/core';
import { QuietLogger, T } from './support.js';

@Event()
class Read {
  constructor(readonly value: number) {}
}
@Aggregate('meter', { conflicts: 'neither' })
class Meter {
  static readonly events = { Read };
}
class Totals {
  @Sum() read = 0;
}
class Total {
  read({ value }: Read): Rows<Totals> {
    return [['all', { read: value }]];
  }
}

it('costs one read a page', async () => {
  const [clock, logger] = [new SystemClock(), new QuietLogger()];
  const layer = await inMemory().create({ context: 'spec', clock, logger });
  await layer.connect();
  const { eventStore, eventFeed, viewStore, checkpointStore, quarantine } = layer.ports;
  const registry = new EventRegistry('spec', [Meter]);
  const reads: number[] = [];
  const readMany: EventStore['readMany'] = (keys, options) => {
    reads.push(keys.length);
    return eventStore.readMany(keys, options);
  };
  const parts = {
    store: Object.assign(Object.create(eventStore) as EventStore, { readMany }),
    feed: eventFeed,
    views: viewStore,
    checkpoints: checkpointStore,
    registry,
    clock,
    logger,
    process: 'one',
  };
  const meta = { name: 'spec', version: 1, of: Meter, view: Totals };
  const methods = [{ method: 'read', event: Read, options: {} }];
  const total = new Total();
  const model = projectionModel(Total, meta, methods, registry.aggregate(Meter), () => total as never);
  const runner = new ProjectionRunner(parts, [model]);
  const view = new Projections(parts, runner, () => {
    throw new Error('not here');
  }).view<Totals>('spec');
  const bus = new EventBus({ registry, store: eventStore, quarantine, clock, onError: () => undefined });
  await runner.start();
  const record = async (...given: (readonly [id: number, ms: number, value: number])[]): Promise<number> => {
    const inputs = given.map(([id, ms, value]) => ({
      aggregateType: 'meter',
      aggregateId: `m${id}`,
      at: T + ms,
      name: 'read',
      parameters: { value },
    }));
    reads.length = 0;
    await view.caughtUp(await bus.record(inputs));
    return (await view.get('all'))!.value.read;
  };
  const page = Array.from({ length: 300 }, (_, i) => [i % 40, i * 1_000, 1] as const);
  expect(await record(...page)).toBe(300);
  expect(reads).toEqual([40]);
  // Another content of what was read an hour before comes among new ones: neither counts.
  expect(await record([1, 1_000, 7], ...page.map(([id, ms, value]) => [id, ms + 3_600_000, value] as const))).toBe(599);
  expect(reads).toEqual([1, 39]);
  // Two at once, of an identity that was not known.
  expect(await record([3, 9_000_000, 1], [3, 9_000_000, 2], [4, 9_000_500, 5])).toBe(604);
  expect(reads).toEqual([2]);
  await runner.stop();
  await layer.close();
});
