/**
 * The life of one context: explored and checked at `onModuleInit`, connected there too, started when the whole application
 * is, drained before the connections close. Services of other folders do the work; here is only the order.
 */
import type {
  BeforeApplicationShutdown,
  OnApplicationBootstrap,
  OnApplicationShutdown,
  OnModuleDestroy,
  OnModuleInit,
} from '@nestjs/common';
import { Logger } from '@nestjs/common';
import type { Boot } from './concursus.boot.js';
import { DEFAULT_CONTEXT } from './concursus.options.js';
import { ConcursusError, ConfigurationError } from './model/errors.js';
import type { BatchMiddleware } from './pipeline/middleware.js';
import type { Deduplicator } from './pipeline/deduplicator.js';
import type { BufferState } from './pipeline/buffer.js';
import type { EventBus } from './pipeline/event-bus.js';
import { InletRunner } from './pipeline/inlet.js';
import { RelayRunner, type RelayState } from './pipeline/relay.js';
import type { Clock } from './ports/clock.js';
import type { CheckpointStore } from './ports/checkpoint-store.js';
import type { EventFeed } from './ports/event-feed.js';
import type { EventStore } from './ports/event-store.js';
import type { ViewStore } from './ports/view-store.js';
import type { FairShares } from './processing/fair-shares.js';
import type { FeedPages } from './processing/feed-pages.js';
import { HandlerRunner } from './processing/handler-runner.js';
import type { WatermarkFactory } from './processing/watermark-source.js';
import type { ProjectionRunner } from './projection/projection-runner.js';
import type { Projections } from './projection/projections.js';
import { wholeOf } from './projection/shares.js';
import type { Snapshots } from './query/snapshots.js';
import { SettlingModel } from './settling/settling-model.js';
import { placeSettlings, settlingReport } from './settling-check.js';
import {
  bootReport,
  checkNeeds,
  handlerConsumers,
  methodOf,
  need,
  placeCorrections,
  placeHandlers,
  refuseScoped,
} from './start-up-check.js';

export interface RuntimeParts {
  readonly boot: Boot;
  readonly bus: EventBus;
  readonly deduplicator: Deduplicator | undefined;
  readonly runner: ProjectionRunner;
  readonly sharing: FairShares;
  readonly projections: Projections;
  readonly store: EventStore;
  readonly views: ViewStore;
  /** How persistent handlers learn what is settled. */
  readonly watermarks?: WatermarkFactory;
  readonly feed: EventFeed;
  /** Pages of it that projections, handlers and what settles share. */
  readonly pages: FeedPages | undefined;
  readonly checkpoints: CheckpointStore;
  readonly clock: Clock;
  readonly snapshots: Snapshots | undefined;
}

/** Starts and stops one context. Inject it to start by hand (`autoStart: false`), or to ask for its name. */
export class Concursus
  implements OnModuleInit, OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown, OnApplicationShutdown
{
  private readonly logger: Logger;
  private handlers: HandlerRunner | undefined;
  private relayRunner: RelayRunner | undefined;
  private inlets: InletRunner | undefined;
  /** Projections are. */
  private started = false;
  /** Handlers are. */
  private handling = false;
  /** Steps of a start that were taken. */
  private readonly begun = new Set<string>();
  private starting: Promise<void> | undefined;
  private stopped: Promise<void> | undefined;

  constructor(private readonly parts: RuntimeParts) {
    this.logger = new Logger(`Concursus ${parts.boot.context}`);
  }

  /** The bounded context this is. */
  get context(): string {
    return this.parts.boot.context;
  }

  /** What runs its durable and persistent handlers, and what settles; undefined before `onModuleInit`. @internal */
  get handlerRunner(): HandlerRunner | undefined {
    return this.handlers;
  }

  /** How each relay is doing, as this process sees it; empty before `onModuleInit`. */
  relays(): readonly RelayState[] {
    return this.relayRunner?.states() ?? [];
  }

  /**
   * How the buffer in front of the store is doing: what waits in it, and whether anything of it is in danger; undefined without a
   * `durable` slot. @throws UnavailableError when it does not answer
   */
  buffer(): Promise<BufferState | undefined> {
    return this.parts.bus.bufferState();
  }

  /** Checks the wiring, connects the layers and says what was found. @throws ConfigurationError with the class, the module and the fix */
  async onModuleInit(): Promise<void> {
    const { boot, bus, runner, projections } = this.parts;
    if (boot.problem !== undefined) throw boot.problem;
    const explored = boot.explore();
    const handlers = placeHandlers(explored, boot.context, boot.registry);
    const corrections = placeCorrections(explored, boot.context, boot.registry);
    const mine = explored.projections.filter(
      (found) =>
        runner.models.some((model) => wholeOf(model).name === found.meta.name) && boot.registry.has(found.meta.of),
    );
    for (const found of mine) refuseScoped(found, 'projection');
    for (const { cls, meta, module } of explored.projections) {
      if (!boot.registry.has(meta.of) || boot.explored!.projections.some((known) => known.cls === cls)) continue;
      throw new ConfigurationError(
        'PROJECTION_SHAPE',
        `The projection ${cls.name} in ${module} is made by a factory under another name than its class, so it was found too late to be run.`,
        { fix: `Provide it under its class: { provide: ${cls.name}, useFactory: … }.` },
      );
    }
    checkNeeds(boot.persistent, handlers, mine);
    for (const { provider } of boot.relays) need(boot.persistent, 'feed', `The relay "${provider.name}"`);
    const consumers = handlerConsumers(handlers, corrections);
    const names = consumers.map(({ name }) => name);
    const settlings = placeSettlings(explored, boot.context, boot.registry, boot.persistent, names);
    for (const found of explored.middleware) {
      refuseScoped(found, 'middleware');
      const context = found.meta.context ?? DEFAULT_CONTEXT;
      if (!explored.contexts.includes(context)) {
        throw new ConfigurationError(
          'NO_CONTEXT',
          `The middleware ${found.cls.name} in ${found.module} is for the context "${context}", and there is none of this name.`,
          { fix: `Name one: @Middleware({ stage: '${found.meta.stage}', context: '${boot.context}' }).` },
        );
      }
      if (context !== boot.context) continue;
      bus.use(found.instance() as unknown as BatchMiddleware, found.meta);
    }
    for (const { found, handler, model } of handlers) {
      if ((handler.options.schedule ?? 'transient') !== 'transient') continue;
      bus.handle(model, methodOf(found, handler.method), `${found.cls.name}.${handler.method}`);
    }
    for (const found of mine) {
      const view = projections.view(found.meta.name);
      giveView(found.instance(), view);
      for (const other of found.others) giveView(other(), view);
    }
    const { context, options, persistent, registry } = boot;
    for (const line of bootReport(context, options, persistent, registry, handlers, runner.models, corrections))
      this.logger.log(line);
    for (const line of settlingReport(settlings)) this.logger.log(line);
    await boot.layers.persistent.connect();
    await boot.layers.durable?.connect();
    await boot.layers.transient?.connect();
    await this.connectRelays();
    this.inlets = new InletRunner(this.makeInlets(), this.parts.clock, this.logger);
    await this.inlets.connect();
    await this.parts.deduplicator?.open(this.parts.checkpoints);
    const { sharing } = this.parts;
    const owning = { sharing, ...(options.leaseMs === undefined ? {} : { leaseMs: options.leaseMs }) };
    this.handlers = new HandlerRunner(
      {
        context,
        store: this.parts.store,
        views: this.parts.views,
        ...(this.parts.watermarks === undefined ? {} : { watermarks: this.parts.watermarks }),
        feed: this.parts.feed,
        pages: this.parts.pages,
        checkpoints: this.parts.checkpoints,
        clock: this.parts.clock,
        logger: this.logger,
        process: boot.process,
      },
      [...consumers, ...settlings.map((one) => new SettlingModel(one.consumer, this.parts.snapshots))],
      owning,
    );
    this.relayRunner = new RelayRunner(
      {
        feed: this.parts.feed,
        checkpoints: this.parts.checkpoints,
        clock: this.parts.clock,
        logger: this.logger,
        process: boot.process,
      },
      boot.relays,
      owning,
    );
  }

  private makeInlets() {
    const { boot, bus, clock, checkpoints } = this.parts;
    const { context, options } = boot;
    return (options.consume ?? []).map((provider) => ({
      name: provider.name,
      inlet: provider.create({
        context,
        clock,
        logger: this.logger,
        record: (stream, recordOptions) => bus.record(stream, recordOptions),
        checkpoints,
      }),
    }));
  }

  /** A relay that is wired wrongly ends the start; one whose other side does not answer yet is connected later. */
  private async connectRelays(): Promise<void> {
    await Promise.all(
      this.parts.boot.relays.map(async ({ provider, relay }) => {
        try {
          await relay.connect();
        } catch (error) {
          if (!ConcursusError.isInstance(error) || !error.retryable) throw error;
          this.logger.warn(`The relay "${provider.name}" is not connected yet: ${error.message}`);
        }
      }),
    );
  }

  async onApplicationBootstrap(): Promise<void> {
    const { autoStart } = this.parts.boot.options;
    if (autoStart === 'projections') await this.startViews();
    else if (autoStart !== false) await this.start();
  }

  /**
   * Starts consumers and projections, those that are not started yet. One that failed (the store did not answer) is called
   * again and goes on where it failed; later calls, and those after `drain`, do nothing.
   */
  start(): Promise<void> {
    if (this.stopped !== undefined) return Promise.resolve();
    this.handling = true;
    this.starting ??= this.startAll().finally(() => (this.starting = undefined));
    return this.starting;
  }

  private async startAll(): Promise<void> {
    await this.once('buffer', () => this.parts.bus.startBuffer());
    await this.once('handlers', () => this.handlers?.start());
    await this.once('relays', () => this.relayRunner?.start());
    await this.startViews();
    await this.once('inlets', () => this.inlets?.start());
  }

  private async startViews(): Promise<void> {
    this.started = true;
    await this.once('buffer', () => this.parts.bus.startBuffer());
    await this.once('views', () => this.parts.runner.start());
    this.parts.sharing.start();
  }

  private async once(step: string, begin: () => Promise<void> | undefined): Promise<void> {
    if (this.begun.has(step)) return;
    await begin();
    this.begun.add(step);
  }

  async onModuleDestroy(): Promise<void> {
    await this.drain();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.drain();
  }

  /** Takes nothing new, finishes what is under way, gives up what this process runs. Idempotent. */
  drain(): Promise<void> {
    this.stopped ??= this.stop();
    return this.stopped;
  }

  async onApplicationShutdown(): Promise<void> {
    const { layers, relays } = this.parts.boot;
    await inTurn([
      () => this.drain(),
      () => this.inlets?.close(),
      ...relays.map(
        ({ relay }) =>
          () =>
            relay.close(),
      ),
      () => layers.transient?.close(),
      () => layers.durable?.close(),
      () => layers.persistent.close(),
    ]);
  }

  private async stop(): Promise<void> {
    const { durable } = this.parts.boot.layers;
    await inTurn([
      () => this.inlets?.stop(),
      // A buffer that ends with the process is emptied first; one that survives is taken up again by the next start.
      () => this.parts.bus.drain(durable?.drain === undefined ? undefined : () => durable.drain!()),
      () => this.parts.sharing.stop(),
      () => (this.handling ? this.relayRunner?.stop() : undefined),
      () => (this.handling ? this.handlers?.stop() : undefined),
      () => (this.started ? this.parts.runner.stop() : undefined),
      () => this.parts.snapshots?.stop(),
    ]);
  }
}

/** Takes every step, also after one that fails. @throws the first error */
async function inTurn(steps: readonly (() => Promise<void> | undefined)[]): Promise<void> {
  const errors: unknown[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}

const VIEW_METHODS = [
  'get',
  'getMany',
  'find',
  'changes',
  'lastChange',
  'lastToken',
  'caughtUp',
  'settledUpTo',
  'settled',
  'completeness',
  'replay',
] as const;

/** The projection's provider answers as its view: see `InjectView`. */
function giveView(instance: Record<string, unknown>, view: object): void {
  for (const method of VIEW_METHODS) {
    if (method in instance && !Object.hasOwn(instance, method)) {
      throw new ConfigurationError(
        'PROJECTION_SHAPE',
        `The projection ${instance.constructor.name} has a method ${method}(), which its view has too.`,
        {
          fix: 'Rename the method: the projection’s provider is injected as its view.',
        },
      );
    }
    const call = (view as Record<string, (...args: unknown[]) => unknown>)[method]!;
    Object.defineProperty(instance, method, { value: call.bind(view), configurable: true });
  }
}
