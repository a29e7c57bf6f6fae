/** Late events, in any number and from any distance: a view that corrects itself page by page equals its rebuild, and what is near costs no read. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  Count,
  Earliest,
  EventHandler,
  Latest,
  Max,
  Min,
  SetOf,
  Sum,
  type EventContext,
  type EventInput,
  type Rows,
} from '@concursus/core';
import { Bulb, ScrewedIn, SwitchedOn, T, world, type World } from './support.js';

class Everything {
  @Sum() switched = 0;
  @Count() burnt: number | boolean = 0;
  @Min() least: number | null = null;
  @Max() most: number | null = null;
  @Latest() last: number | null = null;
  @SetOf() rooms: string[] = [];
}
class ByRoom {
  rows(bulb: Bulb): Rows<Everything> {
    const { room, wattage, switched, burnt } = bulb;
    return [
      [room === '' ? '?' : room, { switched, burnt, least: wattage, most: wattage, last: switched, rooms: [room] }],
      [`watts ${wattage % 3}`, { switched, most: wattage - switched, least: switched }],
    ];
  }
}
class Hours {
  @Count() events = 0;
  @Earliest() first: number | null = null;
  @Max() latest: number | null = null;
}
class ByHour {
  @EventHandler(ScrewedIn) in(_: ScrewedIn, context: EventContext): Rows<Hours> {
    return [[`hour ${context.at % 7}`, { events: 1, first: context.at, latest: context.at }]];
  }
  @EventHandler(SwitchedOn) on(_: SwitchedOn, context: EventContext): Rows<Hours> {
    return [[`hour ${context.at % 5}`, { events: 1, first: context.at, latest: context.at }]];
  }
}

const ROOMS = ['', 'hall', 'attic'];

function input(id: number, kind: number, at: number): EventInput {
  const base = { aggregateType: 'bulb', aggregateId: `b${id}`, at: T + at };
  if (kind === 0) return { ...base, name: 'screwedIn', parameters: { room: ROOMS[at % 3]!, wattage: (at * 7) % 11 } };
  return { ...base, name: kind === 1 ? 'burnt' : 'switchedOn', parameters: {} };
}

async function both(w: World, options: { readonly pageSize: number; readonly catchUpPageSize: number }) {
  const models = [
    w.model(ByRoom, Everything, {}, 'rooms'),
    w.model(ByHour, Hours, { in: ScrewedIn, on: SwitchedOn }, 'hours'),
  ];
  return w.runner(models, 'one', options);
}

describe('a view of histories that arrive in any order', () => {
  it('equals its rebuild, whatever the pages', async () => {
    const event = fc.tuple(fc.nat(2), fc.nat(12), fc.nat(60));
    await fc.assert(
      fc.asyncProperty(
        fc.array(event, { minLength: 20, maxLength: 160 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 40 }),
        fc.boolean(),
        async (events, pageSize, batch, restarted) => {
          const w = await world();
          let { runner, projections } = await both(w, { pageSize, catchUpPageSize: pageSize * 2 });
          await runner.start();
          for (let from = 0; from < events.length; from += batch) {
            const inputs = events.slice(from, from + batch).map(([id, kind, at]) => input(id, kind, at));
            const recorded = await w.bus.record(inputs);
            if (from > events.length / 2 && restarted && runner.runs('rooms')) {
              await runner.stop();
              ({ runner, projections } = await both(w, { pageSize, catchUpPageSize: pageSize }));
              await runner.start();
            }
            for (const name of ['rooms', 'hours']) await projections.view(name).caughtUp(recorded);
          }
          for (const name of ['rooms', 'hours']) expect((await projections.audit(name)).differences).toEqual([]);
          await runner.stop();
          await w.close();
        },
      ),
      { numRuns: 40 },
    );
  }, 60_000);

  it('reads a history again only for what happened before the tail kept of it', async () => {
    const w = await world();
    const { runner, projections } = w.runner([w.model(ByRoom, Everything)]);
    await runner.start();
    const view = projections.view<Everything>('spec');
    let reads = 0;
    const read = w.ports.eventStore.read.bind(w.ports.eventStore);
    w.ports.eventStore.read = (key, options) => {
      reads++;
      return read(key, options);
    };
    const record = async (at: number): Promise<void> => view.caughtUp(await w.bus.record([input(1, 2, at)]));
    for (let at = 0; at < 2_000; at += 10) await record(at);
    for (let at = 1_995; at > 1_900; at -= 10) await record(at);
    expect(reads).toBe(0);
    // Farther back: read once or twice, then the tail reaches that far.
    for (let at = 1_895; at > 1_500; at -= 10) await record(at);
    expect(reads).toBeLessThan(3);
    for (let at = 2_000; at < 2_500; at += 10) await record(at);
    for (let at = 2_495; at > 2_100; at -= 10) await record(at);
    expect(reads).toBeLessThan(3);
    await record(5);
    expect(reads).toBeGreaterThan(0);
    expect((await projections.audit('spec')).differences).toEqual([]);
    await runner.stop();
    await w.close();
  });

  it('reads nothing of aggregates and rows that it meets first', async () => {
    const w = await world();
    const { runner, projections } = w.runner([w.model(ByRoom, Everything)]);
    const asked: string[] = [];
    const { viewStore, eventStore } = w.ports;
    const spy = <P extends object>(port: P, method: keyof P & string): void => {
      const original = port[method] as (...args: unknown[]) => unknown;
      (port as Record<string, unknown>)[method] = (...args: unknown[]) => {
        asked.push(method);
        return original.apply(port, args);
      };
    };
    spy(eventStore, 'read');
    spy(viewStore, 'readContributions');
    spy(viewStore, 'readRows');
    await runner.start();
    const recorded = await w.bus.record([input(1, 0, 0), input(2, 0, 1), input(1, 2, 9)]);
    await projections.view('spec').caughtUp(recorded);
    expect(asked).toEqual([]);
    await runner.stop();
    await w.close();
  });
});

describe('an aggregate that a step parks', () => {
  it('contributes nothing from the pages that were folded while it was parked, until it is tried again', async () => {
    const w = await world();
    let poisoned = true;
    class Moody {
      rows(bulb: Bulb): Rows<Everything> {
        if (poisoned && bulb.switched === 1) throw new Error('not this one');
        return [['all', { switched: bulb.switched }]];
      }
    }
    const { runner, projections } = w.runner([w.model(Moody, Everything)], 'one', { pageSize: 1, catchUpPageSize: 1 });
    const view = projections.view<Everything>('spec');
    let last = await w.bus.record([input(1, 0, 0)]);
    for (let at = 1; at < 9; at++) last = await w.bus.record([input(1, 2, at)]);
    await runner.start();
    await view.caughtUp(last);
    expect((await projections.parked('spec')).map(({ aggregate }) => aggregate.id)).toEqual(['b1']);
    expect(await view.get('all')).toBeUndefined();
    poisoned = false;
    expect(await projections.retryParked('spec')).toBe(1);
    expect((await view.get('all'))?.value.switched).toBe(8);
    await runner.stop();
    await w.close();
  });
});
