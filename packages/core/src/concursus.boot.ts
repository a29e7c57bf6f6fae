/** Before any provider of a context is made: the application is explored, the wiring checked, the layers made and not yet connected. */
import { Logger } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { checkOptions, timePolicies, type ConcursusOptions } from './concursus.options.js';
import { explore, type Explored } from './explorer.js';
import { handlersOf } from './mapping/decorators.js';
import type { AggregateLike } from './mapping/event-class.js';
import { EventRegistry } from './mapping/event-registry.js';
import { loadClassValidator } from './class-validator.js';
import { inMemory } from './memory/in-memory.provider.js';
import { ConfigurationError } from './model/errors.js';
import { SystemClock } from './ports/clock.js';
import type { Layer, LayerContext, LayerProvider, Slot } from './ports/layer.js';
import { relaysOf } from './pipeline/relay-selection.js';
import type { RelayWork } from './pipeline/relay-selection.js';
import { FairShares } from './processing/fair-shares.js';
import { Pacer } from './projection/pacer.js';
import { projectionModel, type ProjectionInstance } from './projection/projection-model.js';
import type { ProjectionModel } from './projection/projection.js';
import { ProjectionRunner, type RunnerParts } from './projection/projection-runner.js';
import { sharesOf, wholeOf } from './projection/shares.js';
import { catalogueModel } from './query/catalogue.js';
import { sourcesModel } from './projection/source-view.js';
import type { TimePolicies } from './time/time-options.js';

/** What was found out before any provider was made. A problem is kept until `onModuleInit`, so that it fails the start, not the container. */
export interface Boot {
  readonly context: string;
  readonly options: ConcursusOptions;
  readonly persistent: LayerProvider<'persistent'>;
  readonly layers: {
    readonly persistent: Layer<'persistent'>;
    readonly durable: Layer<'durable'> | undefined;
    readonly transient: Layer<'transient'> | undefined;
  };
  /** What publishes recorded events, made and not connected. */
  readonly relays: readonly RelayWork[];
  /** What was found before the other providers were made; undefined with a problem. */
  readonly explored: Explored | undefined;
  /** Looks again: providers made by a factory show their class only once it is done. */
  readonly explore: () => Explored;
  readonly registry: EventRegistry;
  readonly process: string;
  /** How late sources may be. */
  readonly time: TimePolicies;
  /** The input watermark, as the projections of this process know it; for work that is best done where time has settled. */
  readonly settled: { upTo: number };
  readonly problem: unknown;
}

/** Explores, checks and makes the layers; keeps a problem for `onModuleInit`. */
export async function boot(context: string, container: ModulesContainer, given: ConcursusOptions): Promise<Boot> {
  // A factory may give anything; what is no object is refused below.
  const options = typeof given === 'object' && given !== null ? given : {};
  const clock = options.clock ?? new SystemClock();
  const logger = new Logger(`Concursus ${context}`);
  let explored: Explored | undefined;
  let registry: EventRegistry | undefined;
  let problem: unknown;
  let persistent: LayerProvider<'persistent'> = options.persistent ?? inMemory();
  let checked = options;
  let relays: readonly RelayWork[] = [];
  try {
    checkOptions(context, given);
    explored = explore(container);
    registry = new EventRegistry(context, [...explored.aggregates.get(context)!] as AggregateLike[], {
      classValidator: await loadClassValidator(),
    });
    relays = relaysOf(checked.publish ?? [], registry, { context, clock, logger });
  } catch (error) {
    problem = error;
    // The rest of the container can be made; the start fails before anything is used.
    persistent = inMemory();
    checked = {};
    relays = [];
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
    relays,
    explored,
    explore: () => explore(container),
    registry: registry ?? new EventRegistry(context, []),
    time: timePolicies(checked),
    settled: { upTo: Number.NEGATIVE_INFINITY },
    process: [...clock.randomBytes(8)].map((byte) => byte.toString(16).padStart(2, '0')).join(''),
    problem,
  };
}

/** What runs the projections of one context. */
export interface Running {
  readonly runner: ProjectionRunner;
  readonly parts: RunnerParts;
  readonly pacer: Pacer;
  /** Spreads names over the processes of the context. */
  readonly sharing: FairShares;
}

/** The context's projections and the runner of those this process will own. */
export function runner(made: Boot, parts: RunnerParts): Running {
  const models: ProjectionModel[] = [];
  if (made.problem === undefined && made.explored !== undefined) {
    models.push(sourcesModel);
    if (made.options.catalogue !== false) models.push(catalogueModel(made.registry));
    try {
      for (const found of made.explored.projections) {
        if (!made.registry.has(found.meta.of as AggregateLike)) continue;
        const model = projectionModel(
          found.cls as never,
          found.meta,
          handlersOf(found.cls),
          made.registry.aggregate(found.meta.of as AggregateLike),
          () => found.instance() as ProjectionInstance,
        );
        if (models.some((other) => wholeOf(other).name === model.name)) {
          throw new ConfigurationError(
            'DUPLICATE_PROJECTION',
            `Two projections of the context "${made.context}" are named "${model.name}"; one is ${found.cls.name} in ${found.module}.`,
            {
              fix: 'Give each its own name in @Projection({ name }).',
            },
          );
        }
        models.push(...sharesOf(model, made.registry.context));
      }
    } catch (error) {
      (made as { problem: unknown }).problem = error;
    }
  }
  const lease = made.options.leaseMs === undefined ? {} : { leaseMs: made.options.leaseMs };
  const sharing = new FairShares(parts.checkpoints, parts.clock, parts.logger, parts.process, lease);
  const options = {
    ...lease,
    sharing,
    ...(made.options.projectionPageSize === undefined ? {} : { pageSize: made.options.projectionPageSize }),
    ...(made.options.rebuild === undefined ? {} : { rebuild: made.options.rebuild }),
  };
  const runner = new ProjectionRunner(parts, models, options);
  return { runner, parts, sharing, pacer: new Pacer({ ...parts, nextStep: () => runner.nextStep() }, models) };
}
