/** Histories fold to states in fold order, whatever the order they are given in; the edges of a history are flagged. */
import { describe, expect, it } from 'vitest';
import { Aggregate, Event, EventHandler } from '../../src/mapping/decorators.js';
import { EventRegistry } from '../../src/mapping/event-registry.js';
import { defineAggregate } from '../../src/mapping/fold-aggregate.js';
import { RANK_INITIAL, RANK_PLAIN, RANK_TERMINAL } from '../../src/model/event-order.js';
import type { Fact } from '../../src/model/event.js';
import { Delivered, fact, LoadedOntoTruck, Parcel, ReceivedAtDepot, registry } from './parcels.js';

const model = registry.aggregate(Parcel);
const fold = (facts: readonly Fact[]) => model.foldAll(model.sortFold([...facts]));

const received = fact('receivedAtDepot', 100, { depotId: 'Lewisham' });
const loaded = fact('loadedOntoTruck', 200, { truckId: 'CU50 ZCV' });
const delivered = fact('delivered', 300, { destinationId: 'x' });

describe('folding a history', () => {
  it('gives a fresh instance of the aggregate class, with its handlers called in fold order', () => {
    const { state, info } = fold([delivered, loaded, received]);
    expect(state).toBeInstanceOf(Parcel);
    expect(state).toMatchObject({ status: 'delivered', trucks: ['CU50 ZCV'], lastAt: 200 });
    expect(info).toEqual({
      events: 3,
      incomplete: false,
      secondInitial: 0,
      afterTerminal: 0,
      unknown: 0,
      lastEventTime: 300,
    });
    expect(fold([]).state).toEqual(new Parcel());
  });

  it('is the same for every order of arrival', () => {
    const facts = [received, loaded, delivered, fact('loadedOntoTruck', 250, { truckId: 'B' })];
    const want = JSON.stringify(fold(facts));
    for (let i = 0; i < facts.length; i++) {
      const turned = [...facts.slice(i), ...facts.slice(0, i)];
      expect(JSON.stringify(fold(turned))).toBe(want);
      expect(JSON.stringify(fold(turned.reverse()))).toBe(want);
    }
  });

  it('leaves an already sorted list as it is', () => {
    const facts = [received, loaded, delivered];
    expect(model.sortFold(facts)).toBe(facts);
    expect(facts).toEqual([received, loaded, delivered]);
  });

  it('ignores an event without a handler and one of an unknown name or version, and counts the unknown', () => {
    const odd = [
      fact('deliveryFailed', 150, { reason: 'nobody home' }),
      fact('lost', 160),
      fact('loadedOntoTruck', 170, { truckId: 'Z' }, { version: '9' }),
    ];
    const { state, info } = fold([received, ...odd]);
    expect(state).toMatchObject({ status: 'at depot', trucks: [] });
    expect(info.unknown).toBe(2);
  });

  it('passes what a handler throws on', () => {
    @Event()
    class Broke {}
    @Aggregate('lamp')
    class Lamp {
      static readonly events = { Broke };
      @EventHandler(Broke) broke() {
        throw new Error('no bulb');
      }
    }
    const lamp = new EventRegistry('', [Lamp]).aggregate(Lamp);
    expect(() => lamp.apply(lamp.newState(), fact('broke', 1))).toThrow('no bulb');
  });

  it('uses the overriding method of a subclass and several handlers of one event in order', () => {
    @Event()
    class Switched {}
    class Base {
      calls: string[] = [];
      @EventHandler(Switched) one() {
        this.calls.push('base');
      }
      @EventHandler(Switched) two() {
        this.calls.push('two');
      }
    }
    @Aggregate('lamp')
    class Lamp extends Base {
      static readonly events = { Switched };
      override one() {
        this.calls.push('derived');
      }
    }
    const lamp = new EventRegistry('', [Lamp]).aggregate(Lamp);
    expect(lamp.apply(lamp.newState(), fact('switched', 1))).toMatchObject({ calls: ['derived', 'two'] });
  });
});

describe('the edges of a history', () => {
  it('marks a state without its initial event as incomplete', () => {
    expect(fold([loaded]).info.incomplete).toBe(true);
    expect(fold([]).info.incomplete).toBe(true);
    expect(fold([received]).info.incomplete).toBe(false);
  });

  it('does not ask for an initial event where the aggregate declares none', () => {
    @Event()
    class Switched {}
    @Aggregate('lamp')
    class Lamp {
      static readonly events = { Switched };
    }
    const lamp = new EventRegistry('', [Lamp]).aggregate(Lamp);
    expect(lamp.hasInitial).toBe(false);
    expect(lamp.foldAll([]).info.incomplete).toBe(false);
  });

  it('keeps and folds a second initial event, right after the first', () => {
    const second = fact('receivedAtDepot', 250, { depotId: 'Deptford' });
    const sorted = model.sortFold([loaded, second, received]);
    expect(sorted).toEqual([received, second, loaded]);
    expect(fold(sorted).info.secondInitial).toBe(1);
  });

  it('keeps events after a terminal one, folds them before it and counts them', () => {
    const late = fact('loadedOntoTruck', 400, { truckId: 'L' });
    const again = fact('delivered', 500, { destinationId: 'y' });
    const { state, info } = fold([received, delivered, late, again]);
    expect(state).toMatchObject({ status: 'delivered', trucks: ['L'] });
    expect(info.afterTerminal).toBe(2);
    expect(fold([received, loaded, delivered]).info.afterTerminal).toBe(0);
  });

  it('ranks initial, ordered, plain and terminal events, and unknown ones by their characteristics', () => {
    @Event({ initial: true })
    class A {}
    @Event({ order: 2 })
    class B {}
    @Event({ order: -5 })
    class C {}
    @Event()
    class D {}
    @Event({ terminal: true })
    class E {}
    @Aggregate('ranked')
    class Ranked {
      static readonly events = { A, B, C, D, E };
    }
    const ranked = new EventRegistry('', [Ranked]).aggregate(Ranked);
    const named = (name: string) => ranked.rankOf(fact(name, 0));
    expect([named('a'), named('c'), named('b'), named('d'), named('e')]).toEqual([
      RANK_INITIAL,
      -5,
      2,
      RANK_PLAIN,
      RANK_TERMINAL,
    ]);
    expect(ranked.rankOf(fact('x', 0, {}, { characteristics: 1 }))).toBe(RANK_INITIAL);
    expect(ranked.rankOf(fact('x', 0, {}, { characteristics: 2 }))).toBe(RANK_TERMINAL);
    expect(ranked.rankOf(fact('x', 0))).toBe(RANK_PLAIN);
    const sorted = ranked.sortFold(['e', 'd', 'b', 'c', 'a'].map((name, i) => fact(name, i)));
    expect(sorted.map((one) => one.name)).toEqual(['a', 'c', 'b', 'd', 'e']);
  });

  it('knows an event that is both the first and the last', () => {
    @Event({ initial: true, terminal: true })
    class Only {}
    @Event()
    class Other {}
    @Aggregate('once')
    class Once {
      static readonly events = { Only, Other };
    }
    const once = new EventRegistry('', [Once]).aggregate(Once);
    const { info } = once.foldAll(once.sortFold([fact('other', 9), fact('only', 5)]));
    expect(info).toMatchObject({ incomplete: false, afterTerminal: 1 });
  });
});

describe('a pure fold', () => {
  const events = { ReceivedAtDepot, LoadedOntoTruck, Delivered };
  const Route = defineAggregate('parcel', {
    version: 3,
    events,
    initial: { stops: [] as readonly string[] },
    fold: {
      ReceivedAtDepot: (state, event) => ({ stops: [...state.stops, event.depotId] }),
      LoadedOntoTruck: (state, event, context) => ({ stops: [...state.stops, `${event.truckId}@${context.at}`] }),
      Delivered: (state) => state,
    },
  });
  const route = new EventRegistry('', [Route]).aggregate(Route);

  it('stands where an aggregate class does', () => {
    expect(route.target).toBe(Route);
    expect([route.type, route.version]).toEqual(['parcel', 3]);
    const facts = route.sortFold([delivered, loaded, received]);
    expect(route.foldAll(facts).state).toEqual({ stops: ['Lewisham', 'CU50 ZCV@200'] });
  });

  it('begins each fold with its own copy of the initial value', () => {
    const one = route.newState() as { stops: string[] };
    one.stops.push('changed');
    expect(route.newState()).toEqual({ stops: [] });
  });

  it('takes a function that makes the initial state', () => {
    let made = 0;
    const Counted = defineAggregate('c', {
      events: { Delivered },
      initial: () => ({ n: ++made }),
      fold: { Delivered: (s) => s },
    });
    const counted = new EventRegistry('', [Counted]).aggregate(Counted);
    expect((counted.newState() as { n: number }).n).toBeGreaterThan(1);
  });
});
