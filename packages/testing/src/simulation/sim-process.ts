/** One simulated process: the production code as an application has it, on ports that a bad network stands in front of. */
import {
  Catalogue,
  CATALOGUE,
  catalogueModel,
  Deduplicator,
  EventBus,
  EventRegistry,
  FairShares,
  HandlerRunner,
  handlersOf,
  FeedPages,
  Histories,
  inMemory,
  projectionMetaOf,
  projectionModel,
  ProjectionRunner,
  Projections,
  SettlingModel,
  sharesOf,
  Snapshots,
  SourceTable,
  States,
  type AggregateModel,
  type Clock,
  type Layer,
  type LayerLogger,
  type PersistentPorts,
  type ProjectionModel,
  type TransientCache,
} from '@concursus/core';
import { ByEvent, ByState, Disputed, Fragile, Thing, Undisputed } from './domain.js';
import type { Consumers } from './other-side.js';
import type { Plan, Policy } from './plan.js';
import { SKEW_MS } from './tide.js';

const quiet: LayerLogger = { log: () => undefined, warn: () => undefined, error: () => undefined };

/** Which version of a projection an application has; 1 unless it is listed. */
export type Versions = ReadonlyMap<string, number>;

/** What an application declares. Immutable, so all worlds share them. */
class Declared {
  readonly registry: EventRegistry;
  private readonly catalogue: ProjectionModel;
  private readonly known = new Map<string, ProjectionModel>();

  constructor(private readonly thing: typeof Thing) {
    this.registry = new EventRegistry('simulation', [thing]);
    this.catalogue = catalogueModel(this.registry);
  }

  models(versions: Versions, shares: number): readonly ProjectionModel[] {
    const views = [ByState, ByEvent, Fragile].map((cls) => this.model(cls, versions, shares));
    return [this.catalogue, ...views.flatMap((model) => sharesOf(model, 'simulation'))];
  }

  private model(
    cls: typeof ByState | typeof ByEvent | typeof Fragile,
    versions: Versions,
    shares: number,
  ): ProjectionModel {
    const meta = projectionMetaOf(cls)!;
    const version = versions.get(meta.name) ?? meta.version;
    const key = `${meta.name} ${version} ${shares}`;
    let model = this.known.get(key);
    if (model === undefined) {
      const instance = new cls();
      const thing = this.registry.aggregate(this.thing);
      model = projectionModel(cls, { ...meta, version, shares }, handlersOf(cls), thing, () => instance as never);
      this.known.set(key, model);
    }
    return model;
  }
}

const applications: Readonly<Record<Policy, Declared>> = {
  both: new Declared(Thing),
  neither: new Declared(Undisputed),
  greatest: new Declared(Disputed),
};

/** That of most worlds. */
export const { registry } = applications.both;

export interface SimOptions {
  readonly leaseMs: number;
  readonly sharing: boolean;
  readonly shares: number;
  readonly pageSize: number;
  readonly snapshots: boolean;
  readonly policy: Policy;
  readonly versions?: Versions;
}

/** What a process runs beside its views. */
export interface SimConsumers {
  readonly time: Plan['time'];
  of(thing: AggregateModel): Consumers;
}

/** The services of one context, wired as the module wires them. */
export class SimProcess {
  readonly bus: EventBus;
  readonly histories: Histories;
  readonly states: States;
  readonly projections: Projections;
  readonly catalogue: Catalogue;
  private readonly snapshots: Snapshots | undefined;
  private readonly runner: ProjectionRunner;
  private readonly handlers: HandlerRunner | undefined = undefined;
  private readonly sharing: FairShares | undefined;
  private readonly deduplicator: Deduplicator | undefined;

  constructor(
    name: string,
    private readonly ports: PersistentPorts,
    cache: TransientCache | undefined,
    clock: Clock,
    options: SimOptions,
    consumers?: SimConsumers,
  ) {
    const { registry } = applications[options.policy];
    const models = applications[options.policy].models(options.versions ?? new Map(), options.shares);
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
    const pages = new FeedPages(feed, clock);
    const parts = { store, feed, pages, views, checkpoints, registry, clock, logger: quiet, process: name };
    const { leaseMs } = options;
    this.sharing = options.sharing
      ? new FairShares(checkpoints, clock, quiet, name, { leaseMs, beatMs: leaseMs / 3 })
      : undefined;
    const owning = { leaseMs, beatMs: leaseMs / 3, sharing: this.sharing };
    if (consumers !== undefined) {
      const { boundMs, joins } = consumers.time;
      const time = { boundMs, maxSkewMs: SKEW_MS, newSources: joins ? 'join' : 'hold' } as const;
      const { handlers, settlings } = consumers.of(registry.aggregate('thing'));
      this.handlers = new HandlerRunner(
        { ...parts, context: 'simulation', watermarks: (notes) => SourceTable.load(time, notes) },
        [...handlers, ...settlings.map((one) => new SettlingModel(one, this.snapshots))],
        owning,
      );
    }
    this.runner = new ProjectionRunner(parts, models, { ...owning, pageSize: options.pageSize });
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
    this.sharing?.start();
  }

  /** As an application that is told to stop: finishes what is under way and gives up what it owns. */
  async stop(): Promise<void> {
    await this.bus.drain();
    await this.sharing?.stop();
    await this.handlers?.stop();
    await this.snapshots?.stop();
    await this.runner.stop();
  }
}
