/** The static graph of one context, the same for sync and async registration: BOOT → each port → each service. */
import { Logger, type InjectionToken, type Provider } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { boot, runner, type Boot, type Running } from './concursus.boot.js';
import { type ConcursusOptions } from './concursus.options.js';
import { ConcursusHealth } from './concursus.health.js';
import { Concursus } from './concursus.runtime.js';
import { EventRegistry } from './mapping/event-registry.js';
import { inMemory } from './memory/in-memory.provider.js';
import { Deduplicator } from './pipeline/deduplicator.js';
import { EventBus } from './pipeline/event-bus.js';
import { QuarantineService } from './pipeline/quarantine-service.js';
import { CheckpointStore } from './ports/checkpoint-store.js';
import { Clock, SystemClock } from './ports/clock.js';
import { EventFeed } from './ports/event-feed.js';
import { EventStore } from './ports/event-store.js';
import { EventTransport } from './ports/event-transport.js';
import type { Layer } from './ports/layer.js';
import { Quarantine } from './ports/quarantine.js';
import { SnapshotStore } from './ports/snapshot-store.js';
import { TransientCache } from './ports/transient-cache.js';
import { ViewStore } from './ports/view-store.js';
import { FeedPages } from './processing/feed-pages.js';
import { ParkedEvents } from './processing/parked-events.js';
import { Auditor } from './projection/auditor.js';
import { ProjectionRunner, type RunnerParts } from './projection/projection-runner.js';
import { Projections } from './projection/projections.js';
import { Catalogue, CATALOGUE } from './query/catalogue.js';
import { Histories } from './query/event-source.js';
import { Snapshots } from './query/snapshots.js';
import { Deadlines, SettledItems } from './settling/deadlines.js';
import { States } from './query/state-repository.js';
import { readCounts, readSourceTable } from './projection/source-view.js';
import { SourceTable } from './time/source-table.js';
import { Sources } from './time/sources.js';
import { getPortToken, OPTIONS } from './tokens.js';

const BOOT = Symbol.for('concursus.boot');
const RUNNER = Symbol.for('concursus.runner');
const DEDUPLICATOR = Symbol.for('concursus.deduplicator');
/** Undefined with `snapshots: false`. */
const SNAPSHOTS = Symbol.for('concursus.snapshots');

/**
 * Ports are provided under their plain class in every context, so that `overrideProvider(EventStore)` reaches each of them;
 * services under the context's own tokens, so that `app.get(EventBus)` is the default context's.
 */
export const PORTS = [
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
export const SERVICES = [
  Concursus,
  ConcursusHealth,
  EventBus,
  Histories,
  States,
  Catalogue,
  Sources,
  Projections,
  Auditor,
  QuarantineService,
  ParkedEvents,
  Deadlines,
  SettledItems,
  EventRegistry,
] as const;

export function services(context: string): Provider[] {
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
      provide: SNAPSHOTS,
      useFactory: (made: Boot, store: EventStore, snapshots: SnapshotStore, clock: Clock) => {
        const options = made.options.snapshots;
        if (options === false) return undefined;
        const logger = new Logger(`Concursus ${context}`);
        return new Snapshots(
          {
            store,
            snapshots,
            clock,
            settledUpTo: () => made.settled.upTo,
            onError: reporter(context),
            onUnfit: (line) => logger.warn(line),
          },
          options,
        );
      },
      inject: [BOOT, EventStore as never, SnapshotStore as never, Clock as never],
    },
    {
      provide: own(States),
      useFactory: (
        store: EventStore,
        registry: EventRegistry,
        histories: Histories,
        snapshots: Snapshots | undefined,
      ) => new States(store, registry, histories, snapshots),
      inject: [EventStore as never, own(EventRegistry), own(Histories), SNAPSHOTS],
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
        snapshots: Snapshots | undefined,
      ) =>
        runner(made, {
          snapshots,
          time: made.time,
          onWatermark: (upTo) => (made.settled.upTo = upTo),
          store,
          feed,
          pages: new FeedPages(feed, clock),
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
        SNAPSHOTS,
      ],
    },
    {
      provide: own(Sources),
      useFactory: (
        made: Boot,
        bus: EventBus,
        store: EventStore,
        views: ViewStore,
        checkpoints: CheckpointStore,
        clock: Clock,
      ) =>
        new Sources(
          (input) => bus.record(input),
          clock,
          async () => ({
            table: await readSourceTable(views, checkpoints, made.time),
            counts: await readCounts(store),
          }),
          {
            maxSkewMs: made.time.maxSkewMs,
            ...(made.options.time?.heartbeatEveryMs === undefined
              ? {}
              : { heartbeatEveryMs: made.options.time.heartbeatEveryMs }),
          },
        ),
      inject: [BOOT, own(EventBus), EventStore as never, ViewStore as never, CheckpointStore as never, Clock as never],
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
      provide: own(Auditor),
      useFactory: (running: { runner: ProjectionRunner; parts: RunnerParts }, projections: Projections) =>
        new Auditor(running.parts, running.runner, projections),
      inject: [RUNNER, own(Projections)],
    },
    {
      provide: own(Catalogue),
      useFactory: (projections: Projections, registry: EventRegistry) =>
        new Catalogue(projections.names.includes(CATALOGUE) ? projections.view(CATALOGUE) : undefined, registry),
      inject: [own(Projections), own(EventRegistry)],
    },
    {
      provide: own(ParkedEvents),
      useFactory: (views: ViewStore, concursus: Concursus) => new ParkedEvents(views, () => concursus.handlerRunner),
      inject: [ViewStore as never, own(Concursus)],
    },
    {
      provide: own(Deadlines),
      useFactory: (views: ViewStore, concursus: Concursus) => new Deadlines(views, () => concursus.handlerRunner),
      inject: [ViewStore as never, own(Concursus)],
    },
    {
      provide: own(SettledItems),
      useFactory: (views: ViewStore, concursus: Concursus) => new SettledItems(views, () => concursus.handlerRunner),
      inject: [ViewStore as never, own(Concursus)],
    },
    {
      provide: own(ConcursusHealth),
      useFactory: (
        concursus: Concursus,
        projections: Projections,
        checkpoints: CheckpointStore,
        viewStore: ViewStore,
        feed: EventFeed,
        clock: Clock,
      ) => new ConcursusHealth({ concursus, projections, checkpoints, viewStore, feed, clock }),
      inject: [
        own(Concursus),
        own(Projections),
        CheckpointStore as never,
        ViewStore as never,
        EventFeed as never,
        Clock as never,
      ],
    },
    {
      provide: own(Concursus),
      useFactory: (
        made: Boot,
        bus: EventBus,
        deduplicator: Deduplicator | undefined,
        running: Running,
        projections: Projections,
        store: EventStore,
        views: ViewStore,
        feed: EventFeed,
        checkpoints: CheckpointStore,
        clock: Clock,
        snapshots: Snapshots | undefined,
      ) =>
        new Concursus({
          boot: made,
          bus,
          deduplicator,
          runner: running.runner,
          sharing: running.sharing,
          projections,
          store,
          views,
          feed,
          pages: running.parts.pages,
          checkpoints,
          clock,
          snapshots,
          watermarks: (notes) => SourceTable.load(made.time, notes),
        }),
      inject: [
        BOOT,
        own(EventBus),
        DEDUPLICATOR,
        RUNNER,
        own(Projections),
        EventStore as never,
        ViewStore as never,
        EventFeed as never,
        CheckpointStore as never,
        Clock as never,
        SNAPSHOTS,
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
