/** Our side of the cases: one context on any provider, put together by hand as the module does it. */
import {
  EventBus,
  EventRegistry,
  handlersOf,
  Histories,
  inMemory,
  projectionMetaOf,
  projectionModel,
  ProjectionRunner,
  States,
  SystemClock,
  type FeedPages,
  type Layer,
  type LayerProvider,
  type PersistentPorts,
  type RunnerOptions,
  type ViewRef,
} from '@concursus/core';
import { lmdb } from '@concursus/lmdb';
import { lamps } from './model.js';

export const quiet = { log: () => undefined, warn: () => undefined, error: () => undefined };
export const clock = new SystemClock();

type ProjectionClass = new () => object;

export interface Road {
  readonly layer: Layer<'persistent'>;
  readonly ports: PersistentPorts;
  readonly registry: EventRegistry;
  readonly bus: EventBus;
  readonly states: States;
  close(): Promise<void>;
}

export async function openLayer(
  provider: LayerProvider<'persistent'>,
  context = 'bench',
): Promise<Layer<'persistent'>> {
  const layer = await provider.create({ context, clock, logger: quiet });
  await layer.connect();
  return layer;
}

export function memoryLayer(): Promise<Layer<'persistent'>> {
  return openLayer(inMemory());
}

export function lmdbLayer(path: string): Promise<Layer<'persistent'>> {
  return openLayer(lmdb({ path }));
}

/** A bus and its reads on a layer; an error that nobody could be told ends the case. */
export function roadOn(layer: Layer<'persistent'>): Road {
  const { ports } = layer;
  const registry = lamps;
  const bus = new EventBus({
    registry,
    store: ports.eventStore,
    quarantine: ports.quarantine,
    clock,
    publishQueueMax: 1_000_000,
    onError: (error) => {
      throw error;
    },
  });
  const histories = new Histories(ports.eventStore, registry, clock);
  return {
    layer,
    ports,
    registry,
    bus,
    states: new States(ports.eventStore, registry, histories),
    close: async () => {
      await bus.drain();
      await layer.close();
    },
  };
}

/** What a runner writes into; by default the road's own. */
export interface ViewTarget {
  readonly viewStore: PersistentPorts['viewStore'];
  readonly checkpointStore: PersistentPorts['checkpointStore'];
}

/** Projections of a road, not yet started. */
export function runnerOf(
  road: Road,
  projections: readonly ProjectionClass[],
  target: ViewTarget = road.ports,
  options: RunnerOptions = {},
  pages?: FeedPages,
): ProjectionRunner {
  const models = projections.map((cls) => {
    const meta = projectionMetaOf(cls)!;
    const instance = new cls();
    return projectionModel(cls, meta, handlersOf(cls), road.registry.aggregate(meta.of), () => instance as never);
  });
  return new ProjectionRunner(
    {
      store: road.ports.eventStore,
      feed: road.ports.eventFeed,
      pages,
      views: target.viewStore,
      checkpoints: target.checkpointStore,
      registry: road.registry,
      clock,
      logger: quiet,
      process: 'bench',
    },
    models,
    options,
  );
}

export function viewRefOf(projection: ProjectionClass): ViewRef {
  const { name, version } = projectionMetaOf(projection)!;
  return { name, version, slice: -1 };
}

/** Waits, without polling, until the views hold everything recorded. */
export async function caughtUp(
  road: Road,
  runner: ProjectionRunner,
  projections: readonly ProjectionClass[],
  target: ViewTarget = road.ports,
): Promise<void> {
  const end = await road.ports.eventFeed.end();
  for (const projection of projections) {
    for (;;) {
      const step = runner.nextStep();
      const checkpoint = await target.viewStore.readCheckpoint(viewRefOf(projection));
      if (checkpoint !== undefined && road.ports.eventFeed.parsePosition(checkpoint).covers(end)) break;
      await step;
    }
  }
}
