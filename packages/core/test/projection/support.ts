/** A context without Nest for the specs of the engine: the in-memory ports, one aggregate of bulbs, and a runner over them. */
import {
  Aggregate,
  Event,
  EventBus,
  EventHandler,
  EventRegistry,
  Histories,
  inMemory,
  projectionModel,
  ProjectionRunner,
  Projections,
  States,
  SystemClock,
  type Clock,
  type EventClass,
  type HandlerMeta,
  type Layer,
  type LayerLogger,
  type LayerProvider,
  type PersistentPorts,
  type ProjectionModel,
  type RunnerOptions,
  type RunnerParts,
  type TimePolicies,
  type ViewCommit,
} from '@concursus/core';

@Event({ initial: true })
export class ScrewedIn {
  constructor(
    readonly room: string,
    readonly wattage: number,
  ) {}
}

@Event()
export class SwitchedOn {}

@Event({ terminal: true })
export class Burnt {}

@Aggregate('bulb')
export class Bulb {
  static readonly events = { ScrewedIn, SwitchedOn, Burnt };
  room = '';
  wattage = 0;
  switched = 0;
  burnt = false;
  @EventHandler(ScrewedIn) screwedIn(e: ScrewedIn): void {
    this.room = e.room;
    this.wattage = e.wattage;
  }
  @EventHandler(SwitchedOn) switchedOn(): void {
    this.switched++;
  }
  @EventHandler(Burnt) hasBurnt(): void {
    this.burnt = true;
  }
}

export const T = Date.parse('2026-01-01T00:00:00Z');

/** What a commit is made of that changes nothing. */
export const NOTHING_CHANGED = {
  rows: [],
  contributions: [],
  forget: [],
  indexAdd: [],
  indexRemove: [],
  changes: [],
  notes: [],
} satisfies Partial<ViewCommit>;

/** Collects what is logged, so that a spec may look, and says nothing. */
export class QuietLogger implements LayerLogger {
  readonly lines: string[] = [];
  log(message: string): void {
    this.lines.push(message);
  }
  warn(message: string): void {
    this.lines.push(message);
  }
  error(message: string): void {
    this.lines.push(message);
  }
}

export interface World {
  readonly ports: PersistentPorts;
  readonly bus: EventBus;
  readonly states: States;
  readonly histories: Histories;
  readonly registry: EventRegistry;
  readonly logger: QuietLogger;
  readonly clock: Clock;
  /** What a runner, or an auditor, of a process is made of. */
  parts(process?: string): RunnerParts;
  /** A runner as one more process would have it. */
  runner(
    models: readonly ProjectionModel[],
    process?: string,
    options?: RunnerOptions & { readonly time?: TimePolicies },
  ): { runner: ProjectionRunner; projections: Projections };
  model(
    cls: new () => object,
    view: new () => object,
    handlers?: Readonly<Record<string, EventClass>>,
    name?: string,
    shares?: number,
  ): ProjectionModel;
  close(): Promise<void>;
}

export interface WorldOptions {
  readonly clock?: Clock;
  readonly changesKept?: number;
  /** Bulbs of another kind. */
  readonly bulb?: typeof Bulb;
  /** Another store than memory, with nothing in this context. */
  readonly persistent?: LayerProvider<'persistent'>;
  readonly context?: string;
}

export async function world(options: WorldOptions = {}): Promise<World> {
  const { bulb = Bulb } = options;
  const clock = options.clock ?? new SystemClock();
  const logger = new QuietLogger();
  const { context = 'spec' } = options;
  const persistent =
    options.persistent ?? inMemory(options.changesKept === undefined ? {} : { changesKept: options.changesKept });
  const layer = await persistent.create({ context, clock, logger });
  await layer.connect();
  const { ports } = layer;
  const registry = new EventRegistry(context, [bulb]);
  const histories = new Histories(ports.eventStore, registry, clock);
  const scratch = () => {
    const other = inMemory().create({ context: 'scratch', clock, logger }) as Layer<'persistent'>;
    return { views: other.ports.viewStore, checkpoints: other.ports.checkpointStore };
  };
  const parts = (process = 'one'): RunnerParts => ({
    store: ports.eventStore,
    feed: ports.eventFeed,
    views: ports.viewStore,
    checkpoints: ports.checkpointStore,
    registry,
    clock,
    logger,
    process,
  });
  return {
    ports,
    registry,
    histories,
    logger,
    clock,
    bus: new EventBus({
      registry,
      store: ports.eventStore,
      quarantine: ports.quarantine,
      clock,
      onError: (error) => logger.error(String(error)),
    }),
    states: new States(ports.eventStore, registry, histories),
    parts,
    runner(models, process = 'one', runnerOptions: RunnerOptions & { readonly time?: TimePolicies } = {}) {
      const own: RunnerParts = { ...parts(process), time: runnerOptions.time };
      const runner = new ProjectionRunner(own, models, runnerOptions);
      return { runner, projections: new Projections(own, runner, scratch) };
    },
    model(cls, view, handlers = {}, name = 'spec', shares = 1) {
      const instance = new cls();
      const meta = { name, version: 1, of: Bulb, view, shares };
      const methods: HandlerMeta[] = Object.entries(handlers).map(([method, event]) => ({
        method,
        event,
        options: {},
      }));
      return projectionModel(cls, meta, methods, registry.aggregate(bulb) as never, () => instance as never);
    },
    close: () => layer.close(),
  };
}
