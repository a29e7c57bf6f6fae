/** What was learned between two moments of knowledge: only the facts that moved the answer are named, whatever came with them. */
import { describe, expect, it } from 'vitest';
import { at, type Changed, type Fact } from '@concursus/core';
import fc from 'fast-check';
import { ManualClock } from '@concursus/testing';
import { moversOf } from '../../src/query/movers.js';
import { Bulb, Burnt, ScrewedIn, SwitchedOn, T, world } from '../projection/support.js';

const tell = (changed: Changed<Bulb>): string[] =>
  changed.learned.map(({ events, state }) => {
    const names = events.map(({ name, eventTime }) => `${name}@${eventTime - T}`).join(' ');
    return `${names} -> ${state === undefined ? 'nothing' : `${state.wattage}W ${state.switched}x`}`;
  });

describe('what changed', () => {
  it('names of the facts of one append those that moved the answer', async () => {
    const clock = new ManualClock(T + 1_000);
    const w = await world({ clock });
    const bulb = w.bus.for(Bulb, 'a');
    await bulb.record(at(T, new ScrewedIn('hall', 60)));
    await clock.advance(1_000);
    const p1 = clock.now();
    await clock.advance(1_000);
    // Behind the moment that is asked for; what changes nothing, as it says what was known; and one that counts.
    await bulb.record(at(T + 900, new SwitchedOn()), at(T + 1, new ScrewedIn('hall', 60)), at(T + 2, new SwitchedOn()));
    await clock.advance(1_000);
    await bulb.record(at(T + 950, new Burnt()));
    await clock.advance(1_000);
    await bulb.record(at(T + 3, new SwitchedOn()), at(T + 4, new SwitchedOn()), at(T + 901, new SwitchedOn()));
    await clock.advance(1_000);
    const changed = await w.states.whatChanged(Bulb, 'a', { asOf: T + 500, between: [p1, clock.now()] });
    expect(tell(changed)).toEqual(['switchedOn@2 -> 60W 1x', 'switchedOn@3 switchedOn@4 -> 60W 3x']);
    expect(changed.before).toMatchObject({ switched: 0 });
    expect(changed.after).toMatchObject({ switched: 3 });
    await w.close();
  });

  it('names a correction, and of two that come to the same the first', async () => {
    const clock = new ManualClock(T + 1_000);
    const w = await world({ clock });
    const bulb = w.bus.for(Bulb, 'a');
    await bulb.record(at(T, new ScrewedIn('hall', 60)), at(T + 1, new SwitchedOn()), at(T + 2, new SwitchedOn()));
    const p1 = clock.now();
    await clock.advance(1_000);
    await bulb.record(at(T + 5, new ScrewedIn('hall', 100)), at(T + 6, new ScrewedIn('hall', 100)));
    const changed = await w.states.whatChanged(Bulb, 'a', { between: [p1, clock.now()] });
    expect(tell(changed)).toEqual(['screwedIn@5 -> 100W 2x']);
    await w.close();
  });
});

describe('movers', () => {
  const facts = Array.from({ length: 12 }, (_, i) => ({ sequence: i }) as Fact);

  it('are a least set that gives the answer, whatever the answer is made of', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -3, max: 3 }), { minLength: 1, maxLength: 12 }),
        fc.nat(3),
        (gives, mod) => {
          const some = facts.slice(0, gives.length);
          const answer = (away: ReadonlySet<Fact>): number => {
            const sum = some.reduce((total, fact) => total + (away.has(fact) ? 0 : gives[fact.sequence]!), 0);
            return mod === 0 ? sum : Math.abs(sum) % (mod + 1);
          };
          const now = answer(new Set());
          fc.pre(now !== answer(new Set(some)));
          const movers = moversOf(some, (away) => answer(away) === now, { left: 10_000 });
          const rest = new Set(some.filter((fact) => !movers.includes(fact)));
          expect(movers.length).toBeGreaterThan(0);
          expect(answer(rest)).toBe(now);
          for (const one of movers) expect(answer(new Set([...rest, one]))).not.toBe(now);
        },
      ),
    );
  });

  it('are found with few answers, and with none left those not looked at are named', () => {
    const many = Array.from({ length: 10_000 }, (_, i) => ({ sequence: i }) as Fact);
    const one = many[7_777]!;
    const budget = { left: 100 };
    expect(moversOf(many, (away) => !away.has(one), budget)).toEqual([one]);
    expect(budget.left).toBeGreaterThan(50);
    expect(moversOf(many, (away) => !away.has(one), { left: 0 })).toHaveLength(10_000);
    expect(moversOf(many, (away) => !away.has(one), { left: 2 })).toEqual(many.slice(5_000, 10_000));
  });
});
