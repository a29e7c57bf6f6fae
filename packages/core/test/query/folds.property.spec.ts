/** A state is the same whether its history was had at once, in one page or in many, and with names that nobody knows in it. */
import { expect, it } from 'vitest';
import fc from 'fast-check';
import {
  Aggregate,
  Event,
  EventHandler,
  EventRegistry,
  Fact,
  INITIAL,
  Snapshots,
  States,
  TERMINAL,
  type EventContext,
  type EventStore,
  type FactInit,
} from '@concursus/core';
import { ManualClock } from '@concursus/testing';
import { foldNow } from '../../src/query/snapshots.js';
import { T, world } from '../projection/support.js';

@Event()
class SwitchedOn {}

/** None of its events has a rank, so that most of its histories fold as they come. */
@Aggregate('bulb')
class Plain {
  static readonly events = { SwitchedOn };
  order = '';
  @EventHandler(SwitchedOn) switchedOn(_: SwitchedOn, { at }: EventContext): void {
    this.order = `${this.order.slice(-40)} ${at - T}`;
  }
}

/** The same store, without its answers at once. */
function waiting(store: EventStore): EventStore {
  const read: EventStore['read'] = async function* (key, options) {
    yield* store.read(key, options);
  };
  return new Proxy(store, {
    get(target, name) {
      if (name === 'read') return read;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
  });
}

function factOf(id: string, at: number, name: string, characteristics = 0): Fact {
  const init: FactInit = {
    tenant: '',
    aggregateType: 'bulb',
    aggregateId: id,
    name,
    version: '0',
    eventTime: T + at,
    streamId: '',
    sequence: -1,
    characteristics,
    content: name === 'screwedIn' ? '{"room":"hall","wattage":40}' : '{}',
  };
  return new Fact(init);
}

const odd = fc.record({
  at: fc.integer({ min: 0, max: 2_400 }),
  characteristics: fc.constantFrom(0, INITIAL, TERMINAL),
});

it('folds alike by every way', async () => {
  const clock = new ManualClock(T + 10_000);
  const w = await world({ clock });
  const { eventStore } = w.ports;
  const plain = new EventRegistry('plain', [Plain]);
  const onError = (error: unknown): never => {
    throw error;
  };
  const parts = { store: eventStore, snapshots: w.ports.snapshotStore, clock, onError };
  const kinds = [w.registry, plain].map((registry) => {
    const snapshots = new Snapshots(parts, { everyEvents: 16 });
    const ways = [eventStore, waiting(eventStore)].flatMap((store) => [
      new States(store, registry, w.histories),
      new States(store, registry, w.histories, snapshots),
    ]);
    return { model: registry.aggregate('bulb'), snapshots, ways };
  });
  let behindSnapshots = 0;
  let n = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(0, 1, 9, 999, 1_000, 1_001, 2_300),
      fc.array(odd, { maxLength: 3 }),
      fc.boolean(),
      async (length, odds, known) => {
        const id = `b${++n}`;
        const facts = Array.from({ length }, (_, i) => factOf(id, i, 'switchedOn'));
        if (known) facts.push(factOf(id, 700, 'burnt', TERMINAL), factOf(id, 3, 'screwedIn', INITIAL));
        odds.forEach(({ at, characteristics }, i) => facts.push(factOf(id, at, `odd${i}`, characteristics)));
        await clock.advance(10);
        for (let from = 0; from < facts.length; from += 500) {
          await eventStore.append([{ facts: facts.slice(from, from + 500), receivedAt: clock.now() - 5 }]);
        }
        for (const { model, snapshots, ways } of kinds) {
          const { state, info } = model.foldAll(model.sortFold([...facts]));
          const expected =
            facts.length === 0
              ? undefined
              : {
                  id,
                  state,
                  events: info.events,
                  incomplete: info.incomplete,
                  extraInitial: info.secondInitial,
                  afterTerminal: info.afterTerminal,
                  lastEventTime: info.lastEventTime,
                };
          for (const states of ways) expect(await states.get('bulb', id)).toEqual(expected);
          // Once more, from the snapshots that these reads had laid.
          await snapshots.flush();
          for (const states of ways) expect(await states.get('bulb', id)).toEqual(expected);
          const key = { tenant: '', type: 'bulb', id };
          if ((foldNow(snapshots, eventStore, model, key, {})?.skipped ?? 0) > 0) behindSnapshots++;
        }
      },
    ),
    { numRuns: 60 },
  );
  expect(behindSnapshots).toBeGreaterThan(10);
  await w.close();
});

it('has a short history in memory at once, and more than a page of it not', async () => {
  const w = await world({ clock: new ManualClock(T + 10_000) });
  const { eventStore } = w.ports;
  const key = { tenant: '', type: 'bulb', id: 'a' };
  const facts = [1, 2, 3].map((at) => factOf('a', at, 'switchedOn'));
  await eventStore.append([{ facts, receivedAt: T }]);
  expect(eventStore.read(key).whole?.()).toEqual(facts);
  expect(eventStore.read(key, { pageSize: 3 }).whole?.()).toEqual(facts);
  expect(eventStore.read(key, { pageSize: 2 }).whole?.()).toBeUndefined();
  expect(eventStore.read({ ...key, id: 'nobody' }).whole?.()).toEqual([]);
  await w.close();
  expect(() => eventStore.read(key).whole?.()).toThrow(expect.objectContaining({ code: 'STORE_CLOSED' }));
});
