/** What an event costs a deadline: nothing when it does not touch it, one look-up of many when an aggregate comes up, and none after that. */
import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { UnavailableError, type EventStore, type Settling } from '@concursus/core';
import {
  complete,
  consumer,
  correction,
  event,
  lists,
  place,
  record,
  rest,
  started,
  stop,
  T,
  until,
} from './support.js';

const DEADLINE: Settling = {
  kind: 'deadline',
  after: new Set(['screwedIn']),
  withinMs: 10,
  unless: new Set(['burnt']),
};
const lamp = (at: number, id = 'a') => event({ id, at, name: 'screwedIn', parameters: { room: 'hall', wattage: 60 } });
const burnt = (at: number, id = 'a') => event({ id, at, name: 'burnt' });

it('looks aggregates up together, once, and anew after a correction', async () => {
  const { w, clock, seen } = await place();
  const { eventStore } = w.ports;
  let reads: string[] = [];
  const counting = Object.assign(Object.create(eventStore) as EventStore, {
    readMany: (...args: Parameters<EventStore['readMany']>) => {
      reads.push(args[0].map(({ id }) => id).join(' '));
      return eventStore.readMany(...args);
    },
    read: (...args: Parameters<EventStore['read']>) => {
      if (args[1]?.names !== undefined) reads.push(`${args[0].id} by itself`);
      return eventStore.read(...args);
    },
  });
  const runner = await started(w, [consumer(w, DEADLINE, seen)], { ports: { eventStore: counting } });
  const { deadlines } = lists(w, () => runner);
  const open = async (): Promise<string[]> => {
    await rest();
    const { items } = await deadlines.pending('spec');
    return items.map(({ aggregate, due }) => `${aggregate.id} ${due - T}`);
  };
  await record(w, [lamp(1), lamp(2, 'b'), event({ id: 'c', at: 3 })]);
  expect(await open()).toEqual(['a 11', 'b 12']);
  expect(reads).toEqual(['a b']);

  // Known: another one, one that came late, one that ends what was open, and one that ends nothing any more.
  reads = [];
  await record(w, [lamp(5), lamp(0), lamp(7, 'b')], event({ at: 6 }), burnt(1));
  expect(await open()).toEqual(['b 12', 'a 15', 'b 17']);
  await record(w, burnt(0), burnt(8, 'b'), lamp(8, 'b'));
  expect(await open()).toEqual(['a 15']);
  expect(reads).toEqual([]);

  // A correction brings back what was ended, and from then on the history is asked.
  await record(w, correction({ at: 1, name: 'burnt' }, 'retract', { decidedAt: 9 }));
  expect(await open()).toEqual(['a 11', 'a 15']);
  await record(w, lamp(9));
  expect(await open()).toEqual(['a 11', 'a 15', 'a 19']);
  expect(reads).toEqual(['a by itself', 'a by itself']);

  // What came due is known to be told: it is withdrawn by an event that is looked up nowhere.
  reads = [];
  await record(w, lamp(10, 'b'), complete(20));
  await until(() => seen.lines.length === 4);
  await record(w, burnt(11, 'b'));
  await until(() => seen.lines.length === 5);
  expect(seen.lines[4]).toMatch(/^b\[10,20\) withdrawn/);
  expect(reads.filter((one) => one !== 'a by itself')).toEqual([]);
  // A process that takes over knows nothing yet, and comes to the same.
  await stop(runner, clock);
  const next = await started(w, [consumer(w, DEADLINE, seen)], { process: 'two' });
  await record(w, burnt(30), lamp(31, 'b'));
  await until(() => seen.lines.length === 8);
  expect(seen.lines.slice(5).every((line) => line.startsWith('a[') && line.includes('withdrawn'))).toBe(true);
  await stop(next, clock);
  await w.close();
});

it('meets a read that fails while others are under way, and looks again', async () => {
  const { w, clock, seen } = await place();
  const { eventStore } = w.ports;
  let failures = 0;
  const failing = Object.assign(Object.create(eventStore) as EventStore, {
    readMany: async (...args: Parameters<EventStore['readMany']>) => {
      // Long enough for the runtime to call what failed meanwhile unhandled, which ends a process, and this run.
      await setImmediate();
      return await eventStore.readMany(...args);
    },
    read: (...args: Parameters<EventStore['read']>) => {
      if (failures++ === 0) throw new UnavailableError('STORE_UNREACHABLE', 'gone', {});
      return eventStore.read(...args);
    },
  });
  await record(w, [lamp(1), correction({ at: 1, name: 'screwedIn' }, 'amend', { decidedAt: 2, at: 3 }), lamp(2, 'b')]);
  const runner = await started(w, [consumer(w, DEADLINE, seen, { from: 'beginning' })], {
    ports: { eventStore: failing },
  });
  const { deadlines } = lists(w, () => runner);
  await until(() => failures > 0);
  await clock.advance(1_000);
  await rest();
  const { items } = await deadlines.pending('spec');
  expect(items.map(({ aggregate, due }) => `${aggregate.id} ${due - T}`)).toEqual(['b 12', 'a 13']);
  await stop(runner, clock);
  await w.close();
});
