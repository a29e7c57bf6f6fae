/**
 * `ConcursusModule`: wires the three slots to the services of one bounded context. Sync and async registration share one
 * static graph, OPTIONS → BOOT → each port → each service; only where the options come from differs.
 */
import { Global, Logger, Module, type DynamicModule, type InjectionToken, type Provider } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import {
  checkOptions,
  DEFAULT_CONTEXT,
  type ConcursusAsyncOptions,
  type ConcursusOptions,
  type ConcursusOptionsFactory,
  type ConcursusRootOptions,
} from './concursus.options.js';
import { Concursus, type Boot } from './concursus.runtime.js';
import { explore, type Explored, type Feature } from './explorer.js';
import { handlersOf } from './mapping/decorators.js';
import type { AggregateLike } from './mapping/event-class.js';
import { EventRegistry } from './mapping/event-registry.js';
import { loadClassValidator } from './class-validator.js';
import { inMemory } from './memory/in-memory.provider.js';
import { ConfigurationError } from './model/errors.js';
import { Deduplicator } from './pipeline/deduplicator.js';
import { EventBus } from './pipeline/event-bus.js';
import { QuarantineService } from './pipeline/quarantine-service.js';
import { CheckpointStore } from './ports/checkpoint-store.js';
import { Clock, SystemClock } from './ports/clock.js';
import { EventFeed } from './ports/event-feed.js';
import { EventStore } from './ports/event-store.js';
import { EventTransport } from './ports/event-transport.js';
import type { Layer, LayerContext, LayerProvider, Slot } from './ports/layer.js';
import { Quarantine } from './ports/quarantine.js';
import { SnapshotStore } from './ports/snapshot-store.js';
import { TransientCache } from './ports/transient-cache.js';
import { ViewStore } from './ports/view-store.js';
import { Pacer } from './projection/pacer.js';
import { projectionModel, type ProjectionInstance } from './projection/projection-model.js';
import type { ProjectionModel } from './projection/projection.js';
import { ProjectionRunner, type RunnerParts } from './projection/projection-runner.js';
import { Projections } from './projection/projections.js';
import { Catalogue, CATALOGUE, catalogueModel } from './query/catalogue.js';
import { Histories } from './query/event-source.js';
import { States } from './query/state-repository.js';
import { refuseScoped } from './start-up-check.js';
import { CONTEXT, FEATURE, getPortToken, OPTIONS } from './tokens.js';

const BOOT = Symbol.for('concursus.boot');
const RUNNER = Symbol.for('concursus.runner');
const DEDUPLICATOR = Symbol.for('concursus.deduplicator');

/**
 * Ports are provided under their plain class in every context, so that `overrideProvider(EventStore)` reaches each of them;
 * services under the context's own tokens, so that `app.get(EventBus)` is the default context's.
 */
const PORTS = [
  EventStore,
  EventFeed,
  ViewStore,
  SnapshotStore,
  CheckpointStore,
  Quarantine,
  EventTransport,
  TransientCache,
  Clock,
] as const;
const SERVICES = [
  Concursus,
  EventBus,
  Histories,
  States,
  Catalogue,
  Projections,
  QuarantineService,
  EventRegistry,
] as const;

@Module({})
export class ConcursusModule {
  /**
   * Registers a bounded context. Each slot is given a provider: `forRoot({ persistent: lmdb({ path: './data' }) })`.
   * Wiring mistakes end the start with a `ConfigurationError`; nothing is opened before `onModuleInit`.
   */
  static forRoot(options: ConcursusRootOptions = {}): DynamicModule {
    const { context, isGlobal, ...rest } = options;
    return contextModule(context, isGlobal, [{ provide: OPTIONS, useValue: rest satisfies ConcursusOptions }], []);
  }

  /** The same with options made by `useFactory`, `useClass` or `useExisting`. The context's name is known beforehand. */
  static forRootAsync(options: ConcursusAsyncOptions): DynamicModule {
    return contextModule(options.context, options.isGlobal, optionProviders(options), options.imports ?? []);
  }

  /** Assigns aggregates to a context; without a name to the default one. */
  static forFeature(aggregates: readonly AggregateLike[], options: { readonly context?: string } = {}): DynamicModule {
    const feature: Feature = { context: options.context ?? DEFAULT_CONTEXT, aggregates };
    return { module: ConcursusFeatureModule, providers: [{ provide: FEATURE, useValue: feature }] };
  }
}

/** Carries what `forFeature` assigns to where the explorer looks. */
@Global()
@Module({})
class ConcursusFeatureModule {}

function optionProviders(options: ConcursusAsyncOptions): Provider[] {
  if (options.useFactory !== undefined) {
    return [
      {
        provide: OPTIONS,
        useFactory: options.useFactory as (...args: unknown[]) => unknown,
        inject: [...(options.inject ?? [])] as InjectionToken[],
      },
    ];
  }
  const factory = options.useExisting ?? options.useClass;
  if (factory === undefined) {
    throw new ConfigurationError(
      'INVALID_OPTION',
      'forRootAsync was given neither useFactory, useClass nor useExisting.',
      { fix: 'Give one of the three.' },
    );
  }
  const made: Provider = {
    provide: OPTIONS,
    useFactory: (from: ConcursusOptionsFactory) => from.createConcursusOptions(),
    inject: [factory],
  };
  return options.useExisting === undefined ? [{ provide: factory, useClass: factory }, made] : [made];
}

function contextModule(
  name: string | undefined,
  isGlobal: boolean | undefined,
  options: Provider[],
  imports: NonNullable<DynamicModule['imports']>,
): DynamicModule {
  const context = name ?? DEFAULT_CONTEXT;
  const aliases: Provider[] =
    context === DEFAULT_CONTEXT
      ? []
      : PORTS.map((cls) => ({ provide: getPortToken(cls, context), useExisting: cls as InjectionToken }));
  return {
    module: ConcursusModule,
    global: isGlobal ?? true,
    imports,
    providers: [{ provide: CONTEXT, useValue: context }, ...options, ...services(context), ...aliases],
    exports: [...PORTS, ...SERVICES].map((cls) => getPortToken(cls, context)),
  };
}

function services(context: string): Provider[] {
  const own = (service: (typeof SERVICES)[number]): InjectionToken => getPortToken(service, context);
  const port = (token: abstract new (...args: never[]) => object, pick: (boot: Boot) => unknown): Provider => ({
    provide: token as unknown as InjectionToken,
    useFactory: pick,
    inject: [BOOT],
  });
  return [
    {
      provide: BOOT,
      useFactory: (container: ModulesContainer, options: ConcursusOptions) => boot(context, container, options),
      inject: [ModulesContainer, OPTIONS],
    },
    port(Clock, (made) => made.options.clock ?? new SystemClock()),
    port(EventStore, (made) => made.layers.persistent.ports.eventStore),
    port(EventFeed, (made) => made.layers.persistent.ports.eventFeed),
    port(ViewStore, (made) => made.layers.persistent.ports.viewStore),
    port(SnapshotStore, (made) => made.layers.persistent.ports.snapshotStore),
    port(CheckpointStore, (made) => made.layers.persistent.ports.checkpointStore),
    port(Quarantine, (made) => made.layers.persistent.ports.quarantine),
    port(EventTransport, (made) => made.layers.durable?.ports.eventTransport ?? null),
    port(TransientCache, (made) => made.layers.transient?.ports.transientCache ?? null),
    { provide: own(EventRegistry), useFactory: (made: Boot) => made.registry, inject: [BOOT] },
    {
      provide: DEDUPLICATOR,
      useFactory: (cache: TransientCache | null, store: EventStore, feed: EventFeed, clock: Clock) =>
        cache === null
          ? undefined
          : new Deduplicator({
              cache,
              store,
              clock,
              context,
              parsePosition: (text) => feed.parsePosition(text),
              onError: reporter(context),
            }),
      inject: [TransientCache as never, EventStore as never, EventFeed as never, Clock as never],
    },
    {
      provide: own(EventBus),
      useFactory: (
        made: Boot,
        store: EventStore,
        quarantine: Quarantine,
        clock: Clock,
        transport: EventTransport | null,
        deduplicator: Deduplicator | undefined,
        running: Running,
      ) =>
        new EventBus({
          pacer: running.pacer,
          registry: made.registry,
          store,
          quarantine,
          clock,
          transport: transport ?? undefined,
          deduplicator,
          onError: reporter(context),
          ...(made.options.batchSizeMax === undefined ? {} : { batchSizeMax: made.options.batchSizeMax }),
          ...(made.options.publishQueueMax === undefined ? {} : { publishQueueMax: made.options.publishQueueMax }),
        }),
      inject: [
        BOOT,
        EventStore as never,
        Quarantine as never,
        Clock as never,
        EventTransport as never,
        DEDUPLICATOR,
        RUNNER,
      ],
    },
    {
      provide: own(QuarantineService),
      useFactory: (quarantine: Quarantine, bus: EventBus) => new QuarantineService(quarantine, bus),
      inject: [Quarantine as never, own(EventBus)],
    },
    {
      provide: own(Histories),
      useFactory: (store: EventStore, registry: EventRegistry, clock: Clock) => new Histories(store, registry, clock),
      inject: [EventStore as never, own(EventRegistry), Clock as never],
    },
    {
      provide: own(States),
      useFactory: (store: EventStore, registry: EventRegistry, histories: Histories) =>
        new States(store, registry, histories),
      inject: [EventStore as never, own(EventRegistry), own(Histories)],
    },
    {
      provide: RUNNER,
      useFactory: (
        made: Boot,
        store: EventStore,
        feed: EventFeed,
        views: ViewStore,
        checkpoints: CheckpointStore,
        clock: Clock,
      ) =>
        runner(made, {
          store,
          feed,
          views,
          checkpoints,
          clock,
          registry: made.registry,
          logger: new Logger(`Concursus ${context}`),
          process: made.process,
        }),
      inject: [
        BOOT,
        EventStore as never,
        EventFeed as never,
        ViewStore as never,
        CheckpointStore as never,
        Clock as never,
      ],
    },
    {
      provide: own(Projections),
      useFactory: (running: { runner: ProjectionRunner; parts: RunnerParts }) =>
        new Projections(running.parts, running.runner, () => {
          const layer = inMemory().create({
            context: 'scratch',
            clock: running.parts.clock,
            logger: running.parts.logger,
          }) as Layer<'persistent'>;
          return { views: layer.ports.viewStore, checkpoints: layer.ports.checkpointStore };
        }),
      inject: [RUNNER],
    },
    {
      provide: own(Catalogue),
      useFactory: (projections: Projections, registry: EventRegistry) =>
        new Catalogue(projections.names.includes(CATALOGUE) ? projections.view(CATALOGUE) : undefined, registry),
      inject: [own(Projections), own(EventRegistry)],
    },
    {
      provide: own(Concursus),
      useFactory: (
        made: Boot,
        bus: EventBus,
        deduplicator: Deduplicator | undefined,
        running: { runner: ProjectionRunner },
        projections: Projections,
        feed: EventFeed,
        checkpoints: CheckpointStore,
        clock: Clock,
      ) =>
        new Concursus({ boot: made, bus, deduplicator, runner: running.runner, projections, feed, checkpoints, clock }),
      inject: [
        BOOT,
        own(EventBus),
        DEDUPLICATOR,
        RUNNER,
        own(Projections),
        EventFeed as never,
        CheckpointStore as never,
        Clock as never,
      ],
    },
  ];
}

function reporter(context: string): (error: unknown, where: string) => void {
  const logger = new Logger(`Concursus ${context}`);
  return (error, where) =>
    logger.error(
      `${where}: ${error instanceof Error ? error.message : String(error)}`,
      error instanceof Error ? error.stack : undefined,
    );
}

/** Explores, checks and makes the layers; keeps a problem for `onModuleInit`. */
async function boot(context: string, container: ModulesContainer, options: ConcursusOptions): Promise<Boot> {
  const clock = options.clock ?? new SystemClock();
  const logger = new Logger(`Concursus ${context}`);
  let explored: Explored | undefined;
  let registry: EventRegistry | undefined;
  let problem: unknown;
  let persistent: LayerProvider<'persistent'> = options.persistent ?? inMemory();
  let checked = options;
  try {
    checkOptions(context, options);
    explored = explore(container);
    registry = new EventRegistry(context, [...explored.aggregates.get(context)!] as AggregateLike[], {
      classValidator: await loadClassValidator(),
    });
  } catch (error) {
    problem = error;
    // The rest of the container can be made; the start fails before anything is used.
    persistent = inMemory();
    checked = {};
  }
  const make = <S extends Slot>(provider: LayerProvider<S>): Layer<S> | Promise<Layer<S>> =>
    provider.create({ context, clock, logger } satisfies LayerContext);
  return {
    context,
    options: checked,
    persistent,
    layers: {
      persistent: await make(persistent),
      durable: checked.durable === undefined ? undefined : await make(checked.durable),
      transient: checked.transient === undefined ? undefined : await make(checked.transient),
    },
    explored,
    registry: registry ?? new EventRegistry(context, []),
    process: [...clock.randomBytes(8)].map((byte) => byte.toString(16).padStart(2, '0')).join(''),
    problem,
  };
}

/** What runs the projections of one context. */
interface Running {
  readonly runner: ProjectionRunner;
  readonly parts: RunnerParts;
  readonly pacer: Pacer;
}

/** The context's projections and the runner of those this process will own. */
function runner(made: Boot, parts: RunnerParts): Running {
  const models: ProjectionModel[] = [];
  if (made.problem === undefined && made.explored !== undefined) {
    if (made.options.catalogue !== false) models.push(catalogueModel(made.registry));
    try {
      for (const found of made.explored.projections) {
        if (!made.registry.has(found.meta.of as AggregateLike)) continue;
        refuseScoped(found, 'projection');
        const model = projectionModel(
          found.cls as never,
          found.meta,
          handlersOf(found.cls),
          made.registry.aggregate(found.meta.of as AggregateLike),
          () => found.instance() as ProjectionInstance,
        );
        if (models.some((other) => other.name === model.name)) {
          throw new ConfigurationError(
            'DUPLICATE_PROJECTION',
            `Two projections of the context "${made.context}" are named "${model.name}"; one is ${found.cls.name} in ${found.module}.`,
            {
              fix: 'Give each its own name in @Projection({ name }).',
            },
          );
        }
        models.push(model);
      }
    } catch (error) {
      (made as { problem: unknown }).problem = error;
    }
  }
  const options = {
    ...(made.options.projectionPageSize === undefined ? {} : { pageSize: made.options.projectionPageSize }),
    ...(made.options.leaseMs === undefined ? {} : { leaseMs: made.options.leaseMs }),
  };
  const runner = new ProjectionRunner(parts, models, options);
  return { runner, parts, pacer: new Pacer({ ...parts, nextStep: () => runner.nextStep() }, models) };
}
