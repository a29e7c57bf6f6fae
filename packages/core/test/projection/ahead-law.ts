/**
 * The law of provisional rows: one is provisional as long as something that counts in it lies after what is settled, whatever
 * was withdrawn or put right since, far ahead or near. Random reports, some of them of a wrong clock, with corrections,
 * restarts and rebuilds in between; against arrays of the facts that count, sorted and folded by hand.
 */
import fc from 'fast-check';
import { expect } from 'vitest';
import {
  correctionEvent,
  EventHandler,
  Max,
  sharesOf,
  sourceFacts,
  Sum,
  TimePolicies,
  type EventContext,
  type EventInput,
  type Rows,
  type RowsContext,
  type View,
} from '@concursus/core';
import { ManualClock } from '@concursus/testing';
import { Bulb, ScrewedIn, SwitchedOn, T, type World } from './support.js';

class Room {
  @Sum() events = 0;
  /** Mostly another bulb's. */
  @Max() most: number | null = null;
}
/** Each event of a bulb changes the row of its room. Cannot handle a bulb of the room "cursed". */
class ByRoom {
  rows({ room, wattage }: Bulb, { events }: RowsContext): Rows<Room> {
    if (room === 'cursed') throw new Error('cursed');
    return [[room === '' ? '?' : room, { events, most: wattage }]];
  }
}
class Events {
  @Sum() events = 0;
}
class ByEvent {
  @EventHandler(ScrewedIn) in({ room }: ScrewedIn): Rows<Events> {
    return [[`in ${room}`, { events: 1 }]];
  }
  @EventHandler(SwitchedOn) on(_: SwitchedOn, { streamId }: EventContext): Rows<Events> {
    return [[`on ${streamId}`, { events: 1 }]];
  }
}
class Most {
  @Max() most: number | null = null;
}
/** Most events change nothing here, though in the end they may be all that a row rests on. */
class ByWattage {
  @EventHandler(ScrewedIn) in({ room, wattage }: ScrewedIn): Rows<Most> {
    return [[`in ${room}`, { most: wattage }]];
  }
  @EventHandler(SwitchedOn) on(_: SwitchedOn, { streamId }: EventContext): Rows<Most> {
    return [[`on ${streamId}`, { most: 1 }]];
  }
}
const VIEWS = ['rooms', 'events', 'most'] as const;

const STREAMS = ['a', 'b'] as const;
const ROOMS = ['hall', 'attic', 'cursed'] as const;
export const FAR = Date.UTC(2099, 0, 1);
const SECOND = 1_000;
/** What is nearer than this to its recording is passed soon. */
const NEAR_MS = 60_000;
export const time = new TimePolicies({ boundMs: 30 * SECOND, maxSkewMs: SECOND });

type Step =
  | {
      readonly kind: 'event';
      readonly bulb: number;
      readonly stream: (typeof STREAMS)[number];
      readonly ahead: number;
      readonly room: (typeof ROOMS)[number] | undefined;
    }
  | {
      readonly kind: 'retract' | 'amend' | 'reinstate';
      readonly of: number;
      readonly ahead: number;
      readonly room: number;
    }
  | { readonly kind: 'settle' }
  | { readonly kind: 'restart' }
  | { readonly kind: 'rebuild' };

/** Seconds from now, or years. */
const ahead = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: -80, max: 0 }) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 100 }) },
  { weight: 3, arbitrary: fc.constant(1e6) },
);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('event' as const),
      bulb: fc.nat(3),
      stream: fc.constantFrom(...STREAMS),
      ahead,
      room: fc.constantFrom(undefined, undefined, ...ROOMS),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom('retract' as const, 'amend' as const, 'reinstate' as const),
      of: fc.nat(),
      ahead,
      room: fc.nat(2),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ kind: 'settle' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'restart' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'rebuild' as const }) },
);

/** What was reported, and what it says after its last correction. */
interface Report {
  readonly bulb: string;
  readonly at: number;
  readonly stream: string;
  readonly name: 'screwedIn' | 'switchedOn';
  readonly room: string | undefined;
  counts: Counted | undefined;
}
interface Counted {
  readonly at: number;
  readonly room: string | undefined;
  readonly wattage: number;
}

/** By row the latest event time of what counts in it. */
function reachedByRoom(reports: readonly Report[], parked: ReadonlySet<string>): Map<string, number> {
  const reached = new Map<string, number>();
  for (const bulb of new Set(reports.map((one) => one.bulb))) {
    if (parked.has(bulb)) continue;
    const counted = reports.filter((one) => one.bulb === bulb && one.counts !== undefined);
    if (counted.length === 0) continue;
    const screwed = counted.filter(({ name }) => name === 'screwedIn');
    screwed.sort((a, b) => a.counts!.at - b.counts!.at);
    const row = screwed.at(-1)?.counts!.room ?? '?';
    const latest = Math.max(...counted.map(({ counts }) => counts!.at));
    reached.set(row, Math.max(reached.get(row) ?? latest, latest));
  }
  return reached;
}

function reachedByEvent(reports: readonly Report[]): Map<string, number> {
  const reached = new Map<string, number>();
  for (const { name, stream, counts } of reports) {
    if (counts === undefined) continue;
    const row = name === 'screwedIn' ? `in ${counts.room}` : `on ${stream}`;
    reached.set(row, Math.max(reached.get(row) ?? counts.at, counts.at));
  }
  return reached;
}

/** By row the greatest that was given up to a time. */
function mostUpTo(reports: readonly Report[], time: number): Map<string, number> {
  const most = new Map<string, number>();
  for (const { name, stream, counts } of reports) {
    if (counts === undefined || counts.at > time) continue;
    const row = name === 'screwedIn' ? `in ${counts.room}` : `on ${stream}`;
    const given = name === 'screwedIn' ? counts.wattage : 1;
    most.set(row, Math.max(most.get(row) ?? given, given));
  }
  return most;
}

export function report(
  bulb: string,
  at: number,
  room?: string,
  streamId = 'a',
  wattage = 40,
): EventInput & { readonly at: number } {
  const name = room === undefined ? 'switchedOn' : 'screwedIn';
  const parameters = room === undefined ? {} : { room, wattage };
  return { aggregateType: 'bulb', aggregateId: bulb, name, at, streamId, parameters };
}

/** @param open an empty store each time */
export async function checkAheadLaw(open: (clock: ManualClock) => Promise<World>, numRuns: number): Promise<void> {
  const shares = fc.constantFrom(1, 1, 3);
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 30 }), shares, async (steps, count) => {
      const clock = new ManualClock(T);
      const w = await open(clock);
      const models = [
        w.model(ByRoom, Room, {}, 'rooms', count),
        w.model(ByEvent, Events, { in: ScrewedIn, on: SwitchedOn }, 'events', count),
        w.model(ByWattage, Most, { in: ScrewedIn, on: SwitchedOn }, 'most', count),
      ].flatMap((model) => sharesOf(model, w.registry.context));
      const start = async () => {
        const running = w.runner(models, 'one', { time, rebuild: { pauseMs: 0, pageSize: 2 } });
        await running.runner.start();
        await running.projections.retryParked('rooms');
        return running;
      };
      let running = await start();
      const reports: Report[] = [];
      /** The latest time that a fact ever bore on while it was near: rows may be provisional up to it. */
      let near = Number.NEGATIVE_INFINITY;
      const bears = (at: number): void => {
        if (at <= clock.now() + NEAR_MS) near = Math.max(near, at);
      };
      const check = async (name: string, reached: ReadonlyMap<string, number>): Promise<void> => {
        const view: View<object> = running.projections.view(name);
        const settled = await view.settledUpTo();
        const { rows } = await view.find();
        expect(new Set(rows.map(({ key }) => key))).toEqual(new Set(reached.keys()));
        for (const { key, provisional } of rows) {
          const isAhead = reached.get(key)! > settled;
          // An event that changes nothing of what its bulb adds does not count: without it the row is the same.
          const same = name === 'most' && mostUpTo(reports, settled).get(key) === mostUpTo(reports, FAR * 2).get(key);
          if (isAhead ? !same : near <= settled) {
            expect(`${name} ${key} ${provisional}`).toBe(`${name} ${key} ${isAhead}`);
          }
        }
        expect(await view.getMany(rows.map(({ key }) => key))).toEqual(rows);
      };
      for (const [i, one] of steps.entries()) {
        await clock.advance(SECOND);
        const timeOf = (seconds: number): number => (seconds === 1e6 ? FAR : clock.now() + seconds * SECOND) + i;
        if (one.kind === 'event') {
          const { stream, room } = one;
          const at = timeOf(one.ahead);
          const wattage = 40 + one.bulb;
          const input = report(`b${one.bulb}`, at, room, stream, wattage);
          const name = room === undefined ? 'switchedOn' : 'screwedIn';
          reports.push({ bulb: input.aggregateId, at, stream, name, room, counts: { at, room, wattage } });
          bears(at);
          await w.bus.record(input);
        } else if (one.kind === 'settle') {
          await clock.advance(2 * NEAR_MS);
          await w.bus.record(STREAMS.map((stream) => sourceFacts.complete(stream, { upTo: clock.now() })));
        } else if (one.kind === 'restart') {
          await running.runner.stop();
          running = await start();
        } else if (one.kind === 'rebuild') {
          for (const name of VIEWS) await running.projections.rebuild(name);
          for (const name of VIEWS) {
            while ((await running.projections.rebuilding(name)) !== undefined) await clock.advance(10);
          }
        } else if (reports.length > 0) {
          const target = reports[one.of % reports.length]!;
          const { bulb, at, stream, name } = target;
          const to = timeOf(one.ahead);
          const room = target.room === undefined ? undefined : ROOMS[one.room % 2]!;
          const amends =
            one.kind !== 'amend' ? {} : room === undefined ? { at: to } : { at: to, parameters: { room, wattage: 41 } };
          await w.bus.record(
            correctionEvent({
              aggregateType: 'bulb',
              aggregateId: bulb,
              kind: one.kind,
              target: { at, streamId: stream, name },
              decidedAt: clock.now(),
              streamId: 'desk',
              ...amends,
            }),
          );
          const recorded: Counted = { at, room: target.room, wattage: 40 + Number(bulb.slice(1)) };
          const amended: Counted = { at: to, room, wattage: 41 };
          target.counts = one.kind === 'retract' ? undefined : one.kind === 'amend' ? amended : recorded;
          for (const bearing of [at, to]) bears(bearing);
        }
        for (const name of VIEWS) {
          await running.projections.view(name).caughtUp({ position: await w.ports.eventFeed.end() });
        }
        await running.projections.retryParked('rooms');
        const parked = new Set((await running.projections.parked('rooms')).map(({ aggregate }) => aggregate.id));
        await check('rooms', reachedByRoom(reports, parked));
        await check('events', reachedByEvent(reports));
        await check('most', reachedByEvent(reports));
      }
      await running.runner.stop();
      await w.close();
    }),
    { numRuns },
  );
}
