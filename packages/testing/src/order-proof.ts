/**
 * Law 2 for users' own code, in one call: whatever the order, repeats and batches in which events arrive, an aggregate
 * comes to the same states and a projection to the same rows. What breaks it is a handler that looks at something else
 * than its history: processing time, a counter of the class, the wall clock.
 */
import {
  parseEventTime,
  projectionMetaOf,
  type AggregateLike,
  type EventInput,
  type EventOf,
  type TimedEvent,
} from '@concursus/core';
import fc from 'fast-check';
import { deliveryOf, messes, type Mess } from './event-arbitraries.js';
import { MemoryContext, textOf, type ProjectionClass } from './memory-context.js';
import { inputsOf } from './scenario.js';

/** A timed event, and of which aggregate; without an id all are of one. */
export type EventAbout<E extends object = object> = TimedEvent<E> & { readonly id?: string };

export interface OrderProofOptions<E extends object> {
  /** What may happen: a generator of histories, or some of them. */
  readonly events: fc.Arbitrary<readonly EventAbout<E>[]> | readonly (readonly EventAbout<E>[])[];
  /** Deliveries tried. Default 200. */
  readonly runs?: number;
  /** Of a run to repeat, as a failure prints it. */
  readonly seed?: number;
  readonly path?: string;
}

/** Thrown by `provesOrderInsensitive`: the message tells the smallest failing delivery found. */
export class OrderSensitiveError extends Error {
  constructor(
    message: string,
    readonly seed: number,
    readonly path: string,
  ) {
    super(message);
    this.name = 'OrderSensitiveError';
  }
}

type EventsOfTarget<T> = T extends AggregateLike ? EventOf<T> : object;

interface Case {
  readonly events: readonly EventAbout[];
  readonly mess: Mess;
}

/**
 * Delivers generated histories shuffled, repeated, delayed and split into batches, lets views catch up between batches,
 * and compares with the same events delivered once in their own order.
 *
 * @throws OrderSensitiveError with the smallest failing delivery and how to repeat it
 * @example
 * await provesOrderInsensitive(ParcelsAtDepot, { events: fc.array(parcelEvents, { minLength: 1, maxLength: 8 }) });
 */
export async function provesOrderInsensitive<T extends AggregateLike | ProjectionClass>(
  target: T,
  options: OrderProofOptions<EventsOfTarget<T>>,
): Promise<void> {
  const { events } = options;
  const histories = (isArbitrary(events) ? events : fc.constantFrom(...events)) as fc.Arbitrary<readonly EventAbout[]>;
  // Both apart, so that a failure shrinks on both sides.
  const cases: fc.Arbitrary<Case> = fc.record({ events: histories, mess: messes() });
  const name = typeof target === 'function' ? target.name : target.type;
  const result = await fc.check(
    fc.asyncProperty(cases, async ({ events: history, mess }) => {
      const plain = await answerTo(target, history, [history]);
      const messy = await answerTo(target, history, deliveryOf(history, mess));
      if (plain !== messy) throw new Difference(plain, messy);
    }),
    {
      numRuns: options.runs ?? 200,
      ...(options.seed === undefined ? {} : { seed: options.seed }),
      ...(options.path === undefined ? {} : { path: options.path }),
    },
  );
  if (!result.failed) return;
  const path = result.counterexamplePath ?? '';
  const repeat = `Repeat it with { seed: ${result.seed}, path: '${path}' }.`;
  const [found] = result.counterexample ?? [];
  const cause = result.errorInstance;
  if (found === undefined) throw new OrderSensitiveError(`${name} could not be tried. ${repeat}`, result.seed, path);
  const lines = deliveryOf(found.events, found.mess).map(
    (batch, i) => `  batch ${i + 1}: ${batch.map(describe).join('\n           ')}`,
  );
  const told =
    cause instanceof Difference
      ? [`  once, in order: ${cause.plain}`, `  as below:       ${cause.messy}`]
      : [`  it failed with: ${cause instanceof Error ? cause.message : String(cause)}`];
  throw new OrderSensitiveError(
    [
      `${name} ${cause instanceof Difference ? 'depends on the order of' : 'cannot take this'} delivery (try ${result.numRuns}, made smaller ${result.numShrinks} times).`,
      ...told,
      ...lines,
      repeat,
    ].join('\n'),
    result.seed,
    path,
  );
}

class Difference extends Error {
  constructor(
    readonly plain: string,
    readonly messy: string,
  ) {
    super('the answers differ');
  }
}

/** The states or rows, as text, after this delivery. */
async function answerTo(
  target: AggregateLike | ProjectionClass,
  events: readonly EventAbout[],
  delivery: readonly (readonly EventAbout[])[],
): Promise<string> {
  const meta = projectionMetaOf(target);
  const aggregate = (meta?.of ?? target) as AggregateLike;
  const context = await MemoryContext.open([target]);
  try {
    const inputOf = (event: EventAbout): EventInput => inputsOf(context, aggregate, idOf(event), [event as never])[0]!;
    for (const batch of delivery) {
      await context.record(batch.map(inputOf));
      // Between batches the view stands where it was: what comes next corrects it.
      if (meta !== undefined) await context.caughtUp(target as ProjectionClass);
      await context.clock.advance(1);
    }
    if (meta !== undefined) return textOf([...(await context.rowsOf(target as ProjectionClass))]);
    const states: unknown[] = [];
    for (const id of [...new Set(events.map(idOf))].sort()) {
      states.push([id, (await context.states.get(aggregate, id))?.state ?? null]);
    }
    return textOf(states);
  } finally {
    await context.close();
  }
}

function idOf(event: EventAbout): string {
  return event.id ?? 'one';
}

function describe(event: EventAbout): string {
  const { stream = '', sequence } = event.details ?? {};
  const source = `${stream === '' ? '' : ` from ${stream}`}${sequence === undefined ? '' : ` no. ${sequence}`}`;
  const name = event.event.constructor.name;
  const when = new Date(parseEventTime(event.time)).toISOString();
  return `${idOf(event)} ${name} at ${when}${source} ${textOf(event.event)}`;
}

function isArbitrary<T>(value: fc.Arbitrary<T> | readonly T[]): value is fc.Arbitrary<T> {
  return value instanceof fc.Arbitrary;
}
