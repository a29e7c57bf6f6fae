/** Handlers without Nest for the specs of processing: a world of bulbs, runners over it, and facts put into the store as a log would. */
import { setImmediate } from 'node:timers/promises';
import {
  aggregateKeyOf,
  CORRECTION,
  correctionEvent,
  canonicalJson,
  Fact,
  HandlerRunner,
  type ConsumerModel,
  type CorrectionInput,
  type EffectContext,
  type HandlerConsumer,
  type HandlerRunnerOptions,
  type PersistentPorts,
  type WatermarkFactory,
} from '@concursus/core';
import { Bulb, T, type World } from '../projection/support.js';

export interface Seen {
  readonly id: string;
  /** Event time less `T`. */
  readonly at: number;
  readonly name: string;
  readonly context: EffectContext;
}

export interface RunOptions {
  readonly process?: string;
  readonly runner?: HandlerRunnerOptions;
  readonly ports?: Partial<PersistentPorts>;
  readonly watermarks?: WatermarkFactory;
}

/** Which event of a bulb is handled how. */
export type Handle = (seen: Seen, event: object) => unknown;

/** A consumer of the bulb's events `screwedIn` and `switchedOn`. */
export function consumer(w: World, handle: Handle, options: Partial<HandlerConsumer> = {}): HandlerConsumer {
  const { events } = w.registry.aggregate(Bulb);
  return {
    name: 'spec',
    schedule: 'durable',
    retry: { jitter: 0 },
    handlers: ['screwedIn', 'switchedOn'].map((name) => ({
      model: events.get(name)!,
      handle: (event: object, context: EffectContext) =>
        handle({ id: context.aggregateId, at: context.at - T, name: context.name, context }, event),
    })),
    ...options,
  };
}

/** Runs consumers as one process would; resolves when it started. */
export async function run(
  w: World,
  consumers: readonly (HandlerConsumer | ConsumerModel)[],
  options: RunOptions = {},
): Promise<HandlerRunner> {
  const ports = { ...w.ports, ...options.ports };
  const runner = new HandlerRunner(
    {
      context: 'spec',
      store: ports.eventStore,
      feed: ports.eventFeed,
      views: ports.viewStore,
      checkpoints: ports.checkpointStore,
      clock: w.clock,
      logger: w.logger,
      process: options.process ?? 'one',
      ...(options.watermarks === undefined ? {} : { watermarks: options.watermarks }),
    },
    consumers,
    options.runner,
  );
  await runner.start();
  return runner;
}

export interface EventParts {
  readonly id?: string;
  readonly at: number;
  readonly name?: string;
  readonly parameters?: Readonly<Record<string, string | number>>;
  readonly stream?: string;
}

export function event({ id = 'a', at, name = 'switchedOn', parameters = {}, stream = '' }: EventParts): Fact {
  return new Fact({
    tenant: '',
    aggregateType: 'bulb',
    aggregateId: id,
    name,
    version: '0',
    eventTime: T + at,
    streamId: stream,
    sequence: -1,
    characteristics: name === 'screwedIn' ? 1 : 0,
    content: canonicalJson(parameters),
  });
}

/** A correction of one of a bulb's events, as a fact; `target` is what `event` would take. */
export function correction(
  target: EventParts & { readonly digest?: string },
  kind: 'retract' | 'amend' | 'reinstate',
  parts: { readonly decidedAt: number; readonly at?: number; readonly parameters?: Record<string, unknown> },
): Fact {
  const input: CorrectionInput = {
    aggregateType: 'bulb',
    aggregateId: target.id ?? 'a',
    kind,
    target: {
      at: T + target.at,
      name: target.name ?? 'switchedOn',
      streamId: target.stream ?? '',
      ...(target.digest === undefined ? {} : { digest: target.digest }),
    },
    decidedAt: T + parts.decidedAt,
    ...(parts.at === undefined ? {} : { at: T + parts.at }),
    ...(parts.parameters === undefined ? {} : { parameters: parts.parameters }),
  };
  const given = correctionEvent(input);
  return new Fact({
    tenant: '',
    aggregateType: 'bulb',
    aggregateId: target.id ?? 'a',
    name: given.name,
    version: '0',
    eventTime: T + target.at,
    streamId: '',
    sequence: -1,
    characteristics: CORRECTION,
    content: canonicalJson(given.parameters!),
  });
}

/** Records facts, each in an append of its own unless they come as a list. */
export async function record(w: World, ...facts: (Fact | readonly Fact[])[]): Promise<void> {
  for (const one of facts) {
    const list = Array.isArray(one) ? (one as readonly Fact[]) : [one as Fact];
    await w.ports.eventStore.append([{ facts: list, receivedAt: w.clock.now() }]);
  }
}

/** Lets everything that can go on without time go on. */
export async function quiet(turns = 60): Promise<void> {
  for (let i = 0; i < turns; i++) await setImmediate();
}

export async function until(done: () => boolean): Promise<void> {
  for (let i = 0; i < 100_000; i++) {
    if (done()) return;
    await setImmediate();
  }
  throw new Error('It did not come to pass.');
}

/** Everything a handler's view keeps, for a look into it. */
export async function kept(w: World, name = 'spec'): Promise<Record<string, unknown>> {
  const view = { name: `.handler.${name}`, version: 1, slice: -1 };
  const notes = await w.ports.viewStore.readNotes(view, '');
  const rows: Record<string, unknown> = { checkpoint: await w.ports.viewStore.readCheckpoint(view) };
  for (const { key, value } of notes) rows[key] = value;
  for (const row of ['parked', 'queue', 'withheld', 'discarded']) {
    const entries = await w.ports.viewStore.readIndex(view, row, '', { limit: 10_000 });
    if (entries.length > 0) rows[row] = entries.length;
  }
  return rows;
}

export { aggregateKeyOf, T };
