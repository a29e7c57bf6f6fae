/**
 * How far a view is settled, what is provisional, and what it was: on the running engine. Method: random reports of several
 * sources with markers, retirements, wrong clocks, corrections and aggregates that cannot be handled, with a new runner at
 * random places; against tables and rows kept beside by hand.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '@concursus/testing';
import { correctionEvent, effectTimeOf, isCorrection } from '../../src/model/correction.js';
import type { EventInput } from '../../src/model/event-input.js';
import { Sum, type Rows } from '../../src/index.js';
import { sourceFacts } from '../../src/time/source-facts.js';
import { SourceTable } from '../../src/time/source-table.js';
import { TimePolicies } from '../../src/time/time-options.js';
import { Bulb, ScrewedIn, T, world, type World } from './support.js';

class Room {
  @Sum() switched = 0;
  @Sum() bulbs = 0;
}
/** Cannot handle a bulb of the room "cursed". */
class ByRoom {
  rows(bulb: Bulb): Rows<Room> {
    if (bulb.room === 'cursed') throw new Error('cursed');
    return [[bulb.room === '' ? 'nowhere' : bulb.room, { switched: bulb.switched, bulbs: 1 }]];
  }
}

type Step =
  | {
      readonly kind: 'event';
      readonly bulb: string;
      readonly stream: string;
      readonly late: number;
      readonly room: string;
    }
  | { readonly kind: 'marker'; readonly stream: string; readonly back: number }
  | { readonly kind: 'retire'; readonly stream: string }
  | { readonly kind: 'future'; readonly stream: string }
  | { readonly kind: 'withdraw'; readonly of: number }
  | { readonly kind: 'restart' };

const stream = fc.constantFrom('a', 'b', 'c');
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('event' as const),
      bulb: fc.constantFrom('1', '2', '3'),
      stream,
      late: fc.integer({ min: 0, max: 80 }),
      room: fc.constantFrom('hall', 'kitchen', 'hall', 'cursed', ''),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('marker' as const), stream, back: fc.integer({ min: 0, max: 40 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('retire' as const), stream }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('future' as const), stream }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('withdraw' as const), of: fc.nat() }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'restart' as const }) },
);
const time = new TimePolicies({ boundMs: 30, maxSkewMs: 1_000 });

describe('a running view', () => {
  it('is settled as its sources and parked aggregates allow, never goes back, and was what it was', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 30 }), async (steps) => {
        const clock = new ManualClock(T);
        const w = await world({ clock });
        const model = w.model(ByRoom, Room);
        const started = async () => {
          const { runner, projections } = w.runner([model], 'one', { time });
          await runner.start();
          // What an earlier runner parked is tried again at the start: it is over when this is.
          await projections.retryParked('spec');
          return { runner, view: projections.view<Room>('spec') };
        };
        let running = await started();
        let settled = Number.NEGATIVE_INFINITY;
        const sent: EventInput[] = [];
        const moments: { readonly at: number; readonly rows: unknown; readonly parked: boolean }[] = [];
        for (const [i, one] of steps.entries()) {
          await clock.advance(10);
          if (one.kind === 'restart') {
            await running.runner.stop();
            running = await started();
          } else await send(w, one, i, sent);
          const end = await w.ports.eventFeed.end();
          await running.view.caughtUp({ position: end });
          // The table that reads the whole feed at once says what the input watermark is.
          const table = new SourceTable(time);
          const facts = (await w.ports.eventFeed.read(w.ports.eventFeed.start(), 10_000)).facts;
          for (const fact of facts) table.take(fact);
          const now = await running.view.settledUpTo();
          expect(now).toBeGreaterThanOrEqual(settled);
          expect(now).toBeLessThanOrEqual(Math.max(settled, table.inputWatermark));
          const parked = new Set((running.runner.parkedOf('spec') ?? []).map((p) => p.aggregate.id));
          if (parked.size === 0) expect(now).toBe(Math.max(settled, table.inputWatermark));
          // Nothing settles past an event that is not applied, unless it came when that was settled already.
          for (const fact of facts.filter((f) => parked.has(f.aggregateId) && !isCorrection(f))) {
            if (effectTimeOf(fact) > settled) expect(now).toBeLessThan(effectTimeOf(fact));
          }
          settled = now;
          const { rows } = await running.view.find();
          moments.push({
            at: clock.now(),
            rows: rows.map(({ key, value }) => ({ key, value })),
            parked: parked.size > 0,
          });
          for (const row of rows) if (!row.provisional) expect(settled).toBeGreaterThan(Number.NEGATIVE_INFINITY);
          const complete = await running.view.completeness();
          expect(complete.settledUpTo ?? Number.NEGATIVE_INFINITY).toBe(now);
          expect(complete.parked.map((p) => p.aggregate.id).sort()).toEqual([...parked].sort());
        }
        for (const moment of moments) {
          if (moment.parked) continue;
          const replayed = await running.view.replay({ knownAt: moment.at });
          expect(replayed.rows.map(({ key, value }) => ({ key, value }))).toEqual(moment.rows);
        }
        await running.runner.stop();
        await w.close();
      }),
      { numRuns: Number(process.env['LAW_RUNS'] ?? 60) },
    );
  }, 600_000);

  it('marks a row as provisional until what changed it has settled', async () => {
    const clock = new ManualClock(T);
    const w = await world({ clock });
    const { runner, projections } = w.runner([w.model(ByRoom, Room)], 'one', { time });
    await runner.start();
    const view = projections.view<Room>('spec');
    const record = async (input: EventInput): Promise<void> => view.caughtUp(await w.bus.record(input));
    await record(event('1', 'a', T - 100, 'hall'));
    expect((await view.get('hall'))?.provisional).toBe(true);
    const waiting = view.settled(T - 100);
    await record(sourceFacts.complete('a', { upTo: T - 50 }));
    await waiting;
    expect((await view.get('hall'))?.provisional).toBe(false);
    await expect(view.settled(T, { timeoutMs: 0 })).rejects.toMatchObject({ code: 'TIMEOUT' });
    await runner.stop();
    await w.close();
  });

  it('marks a row to which a straggler brings an aggregate with all that is not settled of it', async () => {
    const w = await world({ clock: new ManualClock(T) });
    const { runner, projections } = w.runner([w.model(ByRoom, Room)], 'one', { time });
    await runner.start();
    const view = projections.view<Room>('spec');
    const record = async (input: EventInput): Promise<void> => view.caughtUp(await w.bus.record(input));
    await record(event('1', 'a', T - 100, 'hall'));
    await record(event('1', 'a', T - 10, ''));
    await record(event('1', 'a', T - 80, 'dock'));
    const settled = await view.settledUpTo();
    expect(settled > T - 80 && settled < T - 10).toBe(true);
    expect((await view.get('dock'))?.provisional).toBe(true);
    await record(sourceFacts.complete('a', { upTo: T - 10 }));
    expect((await view.get('dock'))?.provisional).toBe(false);
    await runner.stop();
    await w.close();
  });
});

function event(bulb: string, streamId: string, at: number, room: string): EventInput {
  return room === ''
    ? { aggregateType: 'bulb', aggregateId: bulb, name: 'switchedOn', at, streamId, parameters: {} }
    : {
        aggregateType: 'bulb',
        aggregateId: bulb,
        name: 'screwedIn',
        at,
        streamId,
        parameters: { ...new ScrewedIn(room, 60) },
      };
}

async function send(w: World, one: Exclude<Step, { kind: 'restart' }>, i: number, sent: EventInput[]): Promise<void> {
  const now = w.clock.now();
  switch (one.kind) {
    case 'event': {
      const input = event(one.bulb, one.stream, now - one.late, one.room);
      sent.push(input);
      await w.bus.record(input);
      return;
    }
    case 'marker':
      await w.bus.record(sourceFacts.complete(one.stream, { upTo: now - one.back }));
      return;
    case 'retire':
      await w.bus.record(sourceFacts.retire(one.stream, { at: now }));
      return;
    case 'future':
      await w.bus.record(event('9', one.stream, Date.UTC(2099, 0, 1) + i, ''));
      return;
    case 'withdraw': {
      const target = sent[one.of % Math.max(1, sent.length)];
      if (target === undefined) return;
      await w.bus.record(
        correctionEvent({
          aggregateType: 'bulb',
          aggregateId: target.aggregateId,
          kind: i % 3 === 0 ? 'reinstate' : 'retract',
          target: { at: target.at, streamId: target.streamId!, name: target.name },
          decidedAt: now,
          streamId: 'desk',
        }),
      );
    }
  }
}
