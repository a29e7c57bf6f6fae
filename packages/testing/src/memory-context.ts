/** One context on in-memory providers and a manual clock, without a Nest application: what scenarios and proofs run in. */
import {
  canonicalJson,
  EventBus,
  EventRegistry,
  handlersOf,
  Histories,
  inMemory,
  loadClassValidator,
  projectionMetaOf,
  projectionModel,
  ProjectionRunner,
  States,
  type AggregateLike,
  type EventInput,
  type Fields,
  type Layer,
  type PersistentPorts,
  type ProjectionMeta,
  type WireValue,
} from '@concursus/core';
import assert from 'node:assert/strict';
import { eventually } from './contract.js';
import { ManualClock } from './manual-clock.js';

/** A class of `@Projection` that can be made without the container. */
export type ProjectionClass = new () => object;

/** What a context is made of: aggregates, and projections (whose aggregates come by themselves). */
export type Part = AggregateLike | ProjectionClass;

const ROWS_MAX = 10_000;

export class MemoryContext {
  readonly ports: PersistentPorts;
  readonly bus: EventBus;
  readonly states: States;
  readonly histories: Histories;
  private readonly runner: ProjectionRunner;

  private constructor(
    readonly registry: EventRegistry,
    readonly clock: ManualClock,
    private readonly layer: Layer<'persistent'>,
    private readonly projections: ReadonlyMap<ProjectionClass, ProjectionMeta>,
  ) {
    this.ports = layer.ports;
    const { eventStore, eventFeed, viewStore, checkpointStore, quarantine } = layer.ports;
    this.bus = new EventBus({
      registry,
      store: eventStore,
      quarantine,
      clock: this.clock,
      onError: (error) => {
        throw error;
      },
    });
    this.histories = new Histories(eventStore, registry, this.clock);
    this.states = new States(eventStore, registry, this.histories);
    const models = [...projections].map(([cls, meta]) => {
      const instance = new cls();
      return projectionModel(cls, meta, handlersOf(cls), registry.aggregate(meta.of), () => instance as never);
    });
    this.runner = new ProjectionRunner(
      {
        store: eventStore,
        feed: eventFeed,
        views: viewStore,
        checkpoints: checkpointStore,
        registry,
        clock: this.clock,
        logger: quiet,
        process: 'scenario',
      },
      models,
    );
  }

  /** @throws ConfigurationError for whatever would also stop an application from starting */
  static async open(parts: readonly Part[]): Promise<MemoryContext> {
    const projections = new Map<ProjectionClass, ProjectionMeta>();
    const aggregates = new Set<AggregateLike>();
    for (const part of parts) {
      const meta = projectionMetaOf(part);
      if (meta === undefined) aggregates.add(part as AggregateLike);
      else {
        projections.set(part as ProjectionClass, meta);
        aggregates.add(meta.of as AggregateLike);
      }
    }
    const registry = new EventRegistry('scenario', [...aggregates], { classValidator: await loadClassValidator() });
    const clock = new ManualClock();
    const layer = await inMemory().create({ context: 'scenario', clock, logger: quiet });
    const context = new MemoryContext(registry, clock, layer, projections);
    await layer.connect();
    await context.runner.start();
    return context;
  }

  /** Records complete events as one append. @throws AssertionError when one of them is rejected */
  async record(inputs: readonly EventInput[]): Promise<void> {
    if (inputs.length === 0) return;
    const { rejected, rejections } = await this.bus.record(inputs, { quarantine: false });
    const [first] = rejections;
    assert.equal(rejected, 0, `an event was rejected: ${first?.code} ${first?.reason} ${first?.fix}`);
  }

  /** Waits until the projection holds everything recorded. @throws AssertionError when it could not handle an aggregate */
  async caughtUp(projection: ProjectionClass): Promise<void> {
    const { name, version } = this.metaOf(projection);
    const ref = { name, version, slice: -1 };
    const { viewStore, eventFeed } = this.ports;
    const end = await eventFeed.end();
    await eventually(
      async () => {
        const checkpoint = await viewStore.readCheckpoint(ref);
        return (checkpoint === undefined ? eventFeed.start() : eventFeed.parsePosition(checkpoint)).covers(end);
      },
      this.clock,
      `the view "${name}" caught up`,
    );
    const [parked] = this.runner.parkedOf(name) ?? [];
    assert.ok(
      parked === undefined,
      `the projection "${name}" could not handle ${parked?.aggregate.type} ${parked?.aggregate.id}: ${parked?.error}`,
    );
  }

  /** All live rows of a view by key. At most 10,000. */
  async rowsOf(projection: ProjectionClass): Promise<ReadonlyMap<string, Fields>> {
    await this.caughtUp(projection);
    const { name, version } = this.metaOf(projection);
    const rows = await this.ports.viewStore.findRows({ name, version, slice: -1 }, { limit: ROWS_MAX });
    return new Map(rows.map((row) => [row.key, row.fields]));
  }

  async close(): Promise<void> {
    await this.runner.stop();
    await this.layer.close();
  }

  private metaOf(projection: ProjectionClass): ProjectionMeta {
    const meta = this.projections.get(projection);
    assert.ok(meta !== undefined, `${projection.name} is no projection of this scenario: name it in scenario(…)`);
    return meta;
  }
}

/** A state as plain data: what it would be in JSON, keys sorted; values JSON cannot hold are named. */
export function plainOf(value: unknown): WireValue {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (typeof value === 'bigint') return `${value}n`;
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(plainOf);
  if (value instanceof Map) return [...value].map(([key, each]) => [plainOf(key), plainOf(each)]);
  if (value instanceof Set) return [...value].map(plainOf);
  if (typeof value !== 'object') return String(value);
  const plain: Record<string, WireValue> = {};
  for (const key of Object.keys(value).sort()) plain[key] = plainOf((value as Record<string, unknown>)[key]);
  return plain;
}

/** Text by which two answers are compared. */
export function textOf(value: unknown): string {
  return canonicalJson(plainOf(value));
}

const quiet = { log: () => undefined, warn: () => undefined, error: () => undefined };
