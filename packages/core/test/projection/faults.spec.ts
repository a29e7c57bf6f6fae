/** Trouble in the middle of a step: stores that fail once, projections that part and meet again, sums beyond every bound. The view still equals its rebuild. */
import { describe, expect, it } from 'vitest';
import { at, EventHandler, Max, Sum, UnavailableError, type Rows } from '@concursus/core';
import { ManualClock } from '@concursus/testing';
import { Bulb, ScrewedIn, SwitchedOn, T, world } from './support.js';

class Cell {
  @Sum() bulbs = 0;
  @Sum() switched = 0;
}
class ByRoom {
  rows(bulb: Bulb): Rows<Cell> {
    return [[bulb.room === '' ? '?' : bulb.room, { bulbs: 1, switched: bulb.switched }]];
  }
}
class ByEvent {
  @EventHandler(SwitchedOn) on(): Rows<Cell> {
    return [['all', { switched: 1 }]];
  }
}

const unreachable = (): UnavailableError =>
  new UnavailableError('STORE_UNREACHABLE', 'the disk blinked', { fix: 'wait' });

/** Makes the n-th call (from now) of a port's method that `matches` fail once, before anything happens. */
function failOnce<P extends object, M extends keyof P>(
  port: P,
  method: M,
  matches: (...args: never[]) => boolean,
): void {
  const original = port[method] as (...args: unknown[]) => unknown;
  let done = false;
  (port as Record<M, unknown>)[method] = (...args: unknown[]) => {
    if (done || !(matches as (...a: unknown[]) => boolean)(...args)) return original.apply(port, args);
    done = true;
    throw unreachable();
  };
}

describe('a step that fails half-way', () => {
  it('is made again from the start: what was folded for some aggregates is not folded twice', async () => {
    const w = await world();
    const { runner, projections } = w.runner([w.model(ByRoom, Cell)]);
    await runner.start();
    const view = projections.view<Cell>('spec');
    await view.caughtUp(await w.bus.for(Bulb, 'a').record(at(T, new ScrewedIn('hall', 60))));

    // Of the next page, "a" is folded in the cache (one event at the end, one late), then the history of "b" cannot be read.
    failOnce(w.ports.eventStore, 'read', (key: { id: string }) => key.id === 'b');
    const both = await w.bus.record([
      switched('a', 20),
      switched('a', 10),
      { aggregateType: 'bulb', aggregateId: 'b', name: 'screwedIn', at: T, parameters: { room: 'hall', wattage: 1 } },
    ]);
    await view.caughtUp(both);
    await view.caughtUp(await w.bus.for(Bulb, 'a').record(at(T + 30, new SwitchedOn())));
    expect((await view.get('hall'))?.value).toEqual({ bulbs: 2, switched: 3 });
    expect((await projections.audit('spec')).differences).toEqual([]);
    await runner.stop();
    await w.close();
  });

  it('holds up no other projection, and is tried again with back-off', async () => {
    const clock = new ManualClock(T);
    const w = await world({ clock });
    const broken = w.model(ByEvent, Cell, { on: SwitchedOn }, 'broken');
    const { runner, projections } = w.runner([broken, w.model(ByRoom, Cell, {}, 'good')]);
    // Both views were begun before, so that their contributions are read.
    const begun = w.runner([broken, w.model(ByRoom, Cell, {}, 'good')], 'before');
    await begun.runner.start();
    const first = await w.bus.for(Bulb, 'b').record(at(T, new SwitchedOn()));
    await Promise.all(['broken', 'good'].map((name) => begun.projections.view<Cell>(name).caughtUp(first)));
    await begun.runner.stop();
    let asked = 0;
    const read = w.ports.viewStore.readContributions.bind(w.ports.viewStore);
    w.ports.viewStore.readContributions = (ref, keys) => {
      if (ref.name !== 'broken') return read(ref, keys);
      asked++;
      throw unreachable();
    };
    await w.bus.for(Bulb, 'a').record(at(T, new SwitchedOn()));
    const recorded = await w.bus.for(Bulb, 'b').record(at(T, new ScrewedIn('hall', 60)));
    await runner.start();
    await projections.view<Cell>('good').caughtUp(recorded);
    expect((await projections.view<Cell>('good').get('hall'))?.value.bulbs).toBe(1);
    asked = 0;
    for (let ms = 0; ms < 64_000; ms += 400) await clock.advance(400);
    expect(asked).toBeGreaterThan(10);
    expect(asked).toBeLessThan(40);
    await runner.stop();
    await w.close();
  });
});

describe('projections that part and meet again', () => {
  it('fold what they missed of each other: no state from before the parting is used', async () => {
    const clock = new ManualClock(T);
    const w = await world({ clock });
    const { runner, projections } = w.runner([
      w.model(ByEvent, Cell, { on: SwitchedOn }, 'events'),
      w.model(ByRoom, Cell, {}, 'states'),
    ]);
    await runner.start();
    const states = projections.view<Cell>('states');
    const events = projections.view<Cell>('events');
    const first = await w.bus.for(Bulb, 'a').record(at(T, new ScrewedIn('hall', 60)));
    await Promise.all([states.caughtUp(first), events.caughtUp(first)]);

    failOnce(w.ports.viewStore, 'commit', (commit: { view: { name: string } }) => commit.view.name === 'states');
    for (let i = 1; i < 3; i++) await events.caughtUp(await w.bus.for(Bulb, 'a').record(at(T + i, new SwitchedOn())));
    expect((await states.get('hall'))?.value.switched).toBe(0);
    // The one left behind comes after; from then on both stand at one place and go in step.
    await clock.advance(1_000);
    expect((await states.get('hall'))?.value.switched).toBe(2);
    for (let i = 3; i < 5; i++) {
      const more = await w.bus.for(Bulb, 'a').record(at(T + i, new SwitchedOn()));
      await Promise.all([states.caughtUp(more), events.caughtUp(more)]);
    }
    expect((await states.get('hall'))?.value).toEqual({ bulbs: 1, switched: 4 });
    expect((await projections.audit('states')).differences).toEqual([]);
    await runner.stop();
    await w.close();
  });
});

describe('a sum beyond the safe integers', () => {
  class Watts {
    @Sum() watts = 0;
    @Max() most = 0;
  }
  class ByWatts {
    rows(bulb: Bulb): Rows<Watts> {
      return [['all', { watts: bulb.wattage, most: bulb.wattage }]];
    }
  }

  it('ends the process’s work neither then nor when a withdrawal would pass the bound', async () => {
    const w = await world();
    const { runner, projections } = w.runner([w.model(ByWatts, Watts)]);
    await runner.start();
    const view = projections.view<Watts>('spec');
    const max = Number.MAX_SAFE_INTEGER;
    await view.caughtUp(await w.bus.for(Bulb, 'less').record(at(T, new ScrewedIn('', -5))));
    await view.caughtUp(await w.bus.for(Bulb, 'most').record(at(T, new ScrewedIn('', max))));
    await view.caughtUp(await w.bus.for(Bulb, 'some').record(at(T, new ScrewedIn('', 3))));
    expect((await view.get('all'))?.value.watts).toBe(max - 2);
    // A later fact takes the −5 back.
    await view.caughtUp(await w.bus.for(Bulb, 'less').record(at(T + 1, new ScrewedIn('', 0))));
    await view.caughtUp(await w.bus.for(Bulb, 'most').record(at(T + 1, new ScrewedIn('', 7))));
    expect((await view.get('all'))?.value.watts).toBe(10);
    expect(await projections.parked('spec')).toEqual([]);
    expect((await projections.audit('spec')).differences).toEqual([]);
    await runner.stop();
    await w.close();
  });
});

function switched(id: string, ms: number) {
  return { aggregateType: 'bulb', aggregateId: id, name: 'switchedOn', at: T + ms, parameters: {} };
}
