/** One simulated process: the production code as an application has it, on ports that a bad network stands in front of. */
import {
  Catalogue,
  CATALOGUE,
  catalogueModel,
  Deduplicator,
  EventBus,
  EventRegistry,
  HandlerRunner,
  handlersOf,
  Histories,
  inMemory,
  projectionMetaOf,
  projectionModel,
  ProjectionRunner,
  Projections,
  Snapshots,
  States,
  type Clock,
  type EffectContext,
  type Layer,
  type LayerLogger,
  type PersistentPorts,
  type ProjectionModel,
  type TransientCache,
} from '@concursus/core';
import { IN_FLIGHT_MAX } from './effects.js';
import { ByEvent, ByState, Fragile, Thing } from './domain.js';

const quiet: LayerLogger = { log: () => undefined, warn: () => undefined, error: () => undefined };

/** Immutable, so all worlds share them. */
export const registry = new EventRegistry('simulation', [Thing]);
export const models: readonly ProjectionModel[] = [
  catalogueModel(registry),
  ...[ByState, ByEvent, Fragile].map((cls) => {
    const instance = new cls();
    return projectionModel(
      cls,
      projectionMetaOf(cls)!,
      handlersOf(cls),
      registry.aggregate(Thing),
      () => instance as never,
    );
  }),
];

/** The services of one context, wired as the module wires them. */
export class SimProcess {
  readonly bus: EventBus;
  readonly histories: Histories;
  readonly states: States;
  readonly projections: Projections;
  readonly catalogue: Catalogue;
  private readonly snapshots: Snapshots | undefined;
  private readonly runner: ProjectionRunner;
  private readonly handlers: HandlerRunner | undefined;
  private readonly deduplicator: Deduplicator | undefined;

  constructor(
    name: string,
    private readonly ports: PersistentPorts,
    cache: TransientCache | undefined,
    clock: Clock,
    options: { readonly leaseMs: number; readonly pageSize: number; readonly snapshots: boolean },
    effect?: (context: EffectContext) => Promise<void>,
  ) {
    const { eventStore: store, eventFeed: feed, viewStore: views, checkpointStore: checkpoints, quarantine } = ports;
    this.deduplicator =
      cache === undefined
        ? undefined
        : new Deduplicator({
            cache,
            store,
            clock,
            context: 'simulation',
            parsePosition: (text) => feed.parsePosition(text),
            onError: () => undefined,
          });
    this.bus = new EventBus({
      registry,
      store,
      quarantine,
      clock,
      deduplicator: this.deduplicator,
      onError: () => undefined,
    });
    this.histories = new Histories(store, registry, clock);
    // Of histories as short as these too.
    this.snapshots = options.snapshots
      ? new Snapshots(
          { store, snapshots: ports.snapshotStore, clock, onError: () => undefined },
          { everyEvents: 2, keep: 4 },
        )
      : undefined;
    this.states = new States(store, registry, this.histories, this.snapshots);
    const parts = { store, feed, views, checkpoints, registry, clock, logger: quiet, process: name };
    const model = registry.aggregate(Thing).events.get('moved')!;
    this.handlers =
      effect === undefined
        ? undefined
        : new HandlerRunner(
            { ...parts, context: 'simulation' },
            [
              {
                name: 'notify',
                schedule: 'durable',
                from: 'beginning',
                inFlightMax: IN_FLIGHT_MAX,
                handlers: [{ model, handle: (_, context) => effect(context) }],
              },
            ],
            { leaseMs: options.leaseMs, beatMs: options.leaseMs / 3 },
          );
    this.runner = new ProjectionRunner(parts, models, {
      leaseMs: options.leaseMs,
      beatMs: options.leaseMs / 3,
      pageSize: options.pageSize,
    });
    this.projections = new Projections(parts, this.runner, () => {
      const layer = inMemory().create({ context: 'scratch', clock, logger: quiet }) as Layer<'persistent'>;
      return { views: layer.ports.viewStore, checkpoints: layer.ports.checkpointStore };
    });
    this.catalogue = new Catalogue(this.projections.view(CATALOGUE), registry);
  }

  /** @throws what a port throws: the process then ends, as an application does that cannot start */
  async start(): Promise<void> {
    await this.deduplicator?.open(this.ports.checkpointStore);
    await this.handlers?.start();
    await this.runner.start();
  }

  /** As an application that is told to stop: finishes what is under way and gives up what it owns. */
  async stop(): Promise<void> {
    await this.bus.drain();
    await this.handlers?.stop();
    await this.snapshots?.stop();
    await this.runner.stop();
  }
}
