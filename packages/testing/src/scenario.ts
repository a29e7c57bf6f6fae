/**
 * Given events, when something happens, then this is so: scenarios for aggregates and projections, on in-memory providers.
 * Nothing runs until the first `then…` is awaited.
 */
import {
  canonicalJson,
  ConcursusError,
  emitterFor,
  type AggregateLike,
  type AggregateModel,
  type ErrorCode,
  type EventBus,
  type EventInput,
  type EventOf,
  type Histories,
  type States,
  type TimedEvent,
} from '@concursus/core';
import assert from 'node:assert/strict';
import type { ManualClock } from './manual-clock.js';
import { MemoryContext, plainOf, type Part, type ProjectionClass } from './memory-context.js';

/** What a `when` may use. */
export interface ScenarioContext {
  readonly events: EventBus;
  readonly states: States;
  readonly histories: Histories;
  readonly clock: ManualClock;
}

export class Scenario {
  private readonly steps: ((context: MemoryContext) => Promise<void>)[] = [];
  private readonly actions: ((context: ScenarioContext) => unknown)[] = [];
  private ran: Promise<{ readonly context: MemoryContext; readonly error: unknown }> | undefined;

  constructor(private readonly parts: readonly Part[]) {}

  /** Events of one aggregate that are recorded already, as one append. Call it again for more, in order of arrival. */
  given<A extends AggregateLike>(aggregate: A, id: string, ...events: readonly TimedEvent<EventOf<A>>[]): this {
    assert.ok(this.ran === undefined, 'given comes before the first then');
    this.steps.push((context) => context.record(inputsOf(context, aggregate, id, events)));
    return this;
  }

  /** What happens then. What it throws is for `thenError`; any other `then…` throws it on. */
  when(action: (context: ScenarioContext) => unknown): this {
    assert.ok(this.ran === undefined, 'when comes before the first then');
    this.actions.push(action);
    return this;
  }

  /** The state has these fields; others are not looked at. `undefined`: there is no event of this aggregate. */
  async thenState<A extends AggregateLike>(
    aggregate: A,
    id: string,
    expected: Readonly<Record<string, unknown>> | undefined,
  ): Promise<void> {
    const context = await this.context();
    const found = await context.states.get(aggregate, id);
    compareFields(found?.state, expected, `the state of ${id}`);
  }

  /** The history is exactly these events, in fold order. */
  async thenEvents<A extends AggregateLike>(
    aggregate: A,
    id: string,
    ...events: readonly TimedEvent<EventOf<A>>[]
  ): Promise<void> {
    const context = await this.context();
    const history = await context.histories.collect(aggregate, id);
    const told = history.map((fact) => `${fact.name} at ${new Date(fact.eventTime).toISOString()} ${fact.content}`);
    const expected = inputsOf(context, aggregate, id, events).map(
      (input) => `${input.name} at ${new Date(input.at).toISOString()} ${canonicalJson(input.parameters)}`,
    );
    assert.deepEqual(told, expected, `the history of ${id}`);
  }

  /** The view's row has these fields. `undefined`: there is no such row. */
  async thenRow(
    projection: ProjectionClass,
    key: string,
    expected: Readonly<Record<string, unknown>> | undefined,
  ): Promise<void> {
    const context = await this.context();
    compareFields((await context.rowsOf(projection)).get(key), expected, `the row ${key} of ${projection.name}`);
  }

  /** The `when` was refused with this code. */
  async thenError(code: ErrorCode): Promise<void> {
    const { error } = await this.run();
    assert.ok(error !== undefined, `expected ${code}, but nothing was thrown`);
    if (!ConcursusError.isInstance(error)) throw error;
    assert.equal(error.code, code, error.message);
  }

  private async context(): Promise<MemoryContext> {
    const { context, error } = await this.run();
    if (error !== undefined) throw error;
    return context;
  }

  private run(): Promise<{ readonly context: MemoryContext; readonly error: unknown }> {
    this.ran ??= this.runOnce();
    return this.ran;
  }

  private async runOnce(): Promise<{ readonly context: MemoryContext; readonly error: unknown }> {
    const context = await MemoryContext.open(this.parts);
    for (const step of this.steps) await step(context);
    const { bus: events, states, histories, clock } = context;
    try {
      for (const action of this.actions) await action({ events, states, histories, clock });
    } catch (error) {
      return { context, error: error ?? new Error('the when threw nothing') };
    }
    return { context, error: undefined };
  }
}

/**
 * A scenario of these aggregates and projections; the aggregates of projections need not be named.
 *
 * @example
 * const story = scenario(Parcel, ParcelsAtDepot)
 *   .given(Parcel, 'p1', at('2016-10-12T09:06:31.432Z', new ReceivedAtDepot('Lewisham')))
 *   .when(({ events }) => events.for(Parcel, 'p1').record(at('2016-10-12T11:35:02.163Z', new LoadedOntoTruck('CU50 ZCV'))));
 * await story.thenState(Parcel, 'p1', { status: 'on truck' });
 * await story.thenRow(ParcelsAtDepot, 'Lewisham', undefined);
 */
export function scenario(...parts: readonly Part[]): Scenario {
  return new Scenario(parts);
}

/** Typed events as the complete ones they are recorded as. */
export function inputsOf<A extends AggregateLike>(
  context: MemoryContext,
  aggregate: A,
  id: string,
  events: readonly TimedEvent<EventOf<A>>[],
): readonly EventInput[] {
  const model = context.registry.aggregate(aggregate) as AggregateModel<A>;
  return emitterFor(model, id, (inputs) => inputs).record(...events);
}

function compareFields(
  found: object | undefined,
  expected: Readonly<Record<string, unknown>> | undefined,
  what: string,
): void {
  if (expected === undefined || found === undefined) {
    assert.deepEqual(
      found === undefined ? undefined : plainOf(found),
      expected === undefined ? undefined : plainOf(expected),
      what,
    );
    return;
  }
  const picked: Record<string, unknown> = {};
  for (const key of Object.keys(expected)) picked[key] = (found as Record<string, unknown>)[key];
  assert.deepEqual(plainOf(picked), plainOf(expected), what);
}
