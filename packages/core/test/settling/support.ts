/** What settles, without Nest: a world of bulbs with real sources, and everything that was told, in words. */
import {
  Deadlines,
  Fact,
  HandlerRunner,
  SettledItems,
  SettlingModel,
  sourceFacts,
  SourceTable,
  TERMINAL,
  type CorrectedContext,
  type EventInput,
  type SettledContext,
  type Settling,
  type SettlingConsumer,
  type TimeOptions,
} from '@concursus/core';
import { canonicalJson } from '@concursus/core';
import { ManualClock } from '@concursus/testing';
import { Bulb, T, world, type World } from '../projection/support.js';
import { event as plainEvent, quiet, run, type EventParts, type RunOptions } from '../processing/support.js';

export { correction, quiet, record, until } from '../processing/support.js';
export { Bulb, T, type World };

/** A bulb's event as the log would have it: that a bulb has burnt ends its history. */
export function event(parts: EventParts): Fact {
  const fact = plainEvent(parts);
  return fact.name === 'burnt' ? new Fact({ ...fact, content: fact.content, characteristics: TERMINAL }) : fact;
}

/** Sources that are complete up to their newest event: time settles by markers and by what comes. */
export const TIME: TimeOptions = { boundMs: 1_000_000 };

export type BulbState = Bulb;

/** What the methods saw, as `a[0,10) 2` with the times less `T` and the count of switches. */
export interface Seen {
  readonly lines: string[];
  readonly settled: { state: BulbState; context: SettledContext }[];
  readonly corrected: {
    before: readonly (BulbState | undefined)[];
    after: readonly BulbState[];
    context: CorrectedContext;
  }[];
}

export const span = ({ from, to }: { from: number; to: number }): string => `[${from - T},${to - T})`;

export function consumer(
  w: World,
  settling: Settling,
  seen: Seen,
  options: Partial<SettlingConsumer> = {},
): SettlingConsumer {
  const told = (state: BulbState | undefined): string =>
    state === undefined ? 'forgotten' : `${state.wattage}W ${state.switched}x`;
  return {
    name: 'spec',
    aggregate: w.registry.aggregate(Bulb),
    settling,
    retry: { jitter: 0 },
    settled: (state, context) => {
      seen.settled.push({ state: state as Bulb, context });
      seen.lines.push(`${context.aggregateId}${span(context)} ${told(state as Bulb)}`);
    },
    ...(settling.kind === 'deadline'
      ? {
          withdrawn: (before: object | undefined, now: object, context: SettledContext) => {
            seen.lines.push(
              `${context.aggregateId}${span(context)} withdrawn ${told(before as Bulb)}->${told(now as Bulb)}`,
            );
          },
        }
      : {
          corrected: (before: readonly (object | undefined)[], after: readonly object[], context: CorrectedContext) => {
            seen.corrected.push({ before: before as (Bulb | undefined)[], after: after as Bulb[], context });
            const side = (
              states: readonly (object | undefined)[],
              spans: readonly { from: number; to: number }[],
            ): string => states.map((state, i) => `${span(spans[i]!)} ${told(state as Bulb)}`).join(' + ') || 'nothing';
            seen.lines.push(`${context.aggregateId} ${side(before, context.before)} -> ${side(after, context.after)}`);
          },
        }),
    ...options,
  };
}

export const nobody = (): Seen => ({ lines: [], settled: [], corrected: [] });

export async function place(): Promise<{ w: World; clock: ManualClock; seen: Seen }> {
  const clock = new ManualClock(T);
  return { w: await world({ clock }), clock, seen: nobody() };
}

export async function started(
  w: World,
  consumers: readonly SettlingConsumer[],
  options: RunOptions = {},
): Promise<HandlerRunner> {
  const models = consumers.map((one) => new SettlingModel(one));
  return await run(w, models, { watermarks: (notes) => SourceTable.load(TIME, notes), ...options });
}

/** A fact of the library's own, as the log would have it. */
function reserved(input: EventInput): Fact {
  const {
    aggregateType,
    aggregateId,
    name,
    at,
    streamId = '',
    sequence = -1,
    parameters = {},
  } = input as EventInput & {
    readonly at: number;
  };
  return new Fact({
    tenant: '',
    aggregateType,
    aggregateId,
    name,
    version: '0',
    eventTime: at,
    streamId,
    sequence,
    characteristics: 0,
    content: canonicalJson(parameters),
  });
}

/** Nothing of the bulbs' source at or before this time comes any more. */
export const complete = (upTo: number): Fact => reserved(sourceFacts.complete('', { upTo: T + upTo }));
export const retire = (upTo: number): Fact => reserved(sourceFacts.retire('', { upTo: T + upTo, at: T + upTo }));

export function lists(w: World, runner: () => HandlerRunner): { deadlines: Deadlines; items: SettledItems } {
  return { deadlines: new Deadlines(w.ports.viewStore, runner), items: new SettledItems(w.ports.viewStore, runner) };
}

export async function stop(runner: HandlerRunner, clock: ManualClock): Promise<void> {
  const stopped = runner.stop();
  await clock.advance(5_000);
  await stopped;
}

/** Everything has come to rest. */
export async function rest(turns = 80): Promise<void> {
  await quiet(turns);
}
