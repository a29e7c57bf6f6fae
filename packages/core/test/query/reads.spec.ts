/** Histories and states by event time and as known at a processing time; a closed past answers the same for ever. */
import { expect, it } from 'vitest';
import { at, Fact, INITIAL, toHistoryJson } from '@concursus/core';
import { ManualClock } from '@concursus/testing';
import { Bulb, Burnt, ScrewedIn, SwitchedOn, T, world } from '../projection/support.js';

it('answers as of an event time, inclusive, and as known at a processing time', async () => {
  const clock = new ManualClock(T + 1_000);
  const w = await world({ clock });
  const bulb = w.bus.for(Bulb, 'a');
  await bulb.record(at(T, new ScrewedIn('hall', 60)));
  await clock.advance(1_000);
  await bulb.record(at(T + 500, new Burnt()));
  await clock.advance(1_000);
  const late = await bulb.record(at(T + 100, new SwitchedOn()));

  expect((await w.states.get(Bulb, 'a'))?.state).toMatchObject({ switched: 1, burnt: true });
  expect((await w.states.get(Bulb, 'a', { asOf: T + 100 }))?.state).toMatchObject({ switched: 1, burnt: false });
  expect((await w.states.get(Bulb, 'a', { asOf: T + 99 }))?.state).toMatchObject({ switched: 0, burnt: false });
  expect((await w.states.get(Bulb, 'a', { knownAt: T + 2_000 }))?.state).toMatchObject({ switched: 0, burnt: true });
  expect((await w.states.get(Bulb, 'a', { knownAt: T + 1_000, asOf: T + 900 }))?.state).toMatchObject({
    switched: 0,
    burnt: false,
  });
  expect(await w.states.get(Bulb, 'a', { knownAt: T })).toBeUndefined();
  expect(await w.states.get(Bulb, 'nobody')).toBeUndefined();
  const { fact } = late.items[0] as { fact: { processingId: string } };
  expect((await w.states.get(Bulb, 'a', { knownAt: fact.processingId }))?.state).toMatchObject({ switched: 1 });

  await expect(w.states.get(Bulb, 'a', { knownAt: clock.now() + 1 })).rejects.toMatchObject({ code: 'NOT_YET_KNOWN' });
  await expect(w.states.get(Bulb, 'a', { asOf: '2016-03-38' })).rejects.toMatchObject({ code: 'INVALID_TIME' });
  await w.close();
});

it('keeps an answer about the closed past when the clock does not move and steps back', async () => {
  const clock = new ManualClock(T + 1_000);
  const w = await world({ clock });
  await w.bus.for(Bulb, 'a').record(at(T, new ScrewedIn('hall', 60)));
  const knownAt = T + 1_000;
  const before = await w.histories.collect(Bulb, 'a', { knownAt });
  const shown = async (): Promise<unknown> =>
    (await w.histories.collect(Bulb, 'a', { knownAt, withRepeats: true })).map(toHistoryJson);
  const shownBefore = await shown();
  clock.set(T + 500);
  await w.bus.for(Bulb, 'a').record(at(T + 1, new SwitchedOn()), at(T, new ScrewedIn('hall', 60)));
  clock.set(T + 1_000);
  expect(await shown()).toEqual(shownBefore);
  expect((await w.histories.first(Bulb, 'a', { withRepeats: true }))?.repeats).toBe(1);
  expect((await w.histories.collect(Bulb, 'a', { knownAt })).map((fact) => fact.digest)).toEqual(
    before.map((fact) => fact.digest),
  );
  expect(await w.histories.collect(Bulb, 'a')).toHaveLength(2);
  await w.close();
});

it('reads in fold order, ascending and descending, by types and ranges, first and last, and many at once', async () => {
  const w = await world();
  const bulb = w.bus.for(Bulb, 'a');
  await bulb.record(
    at(T + 3, new SwitchedOn()),
    at(T, new Burnt()),
    at(T + 1, new ScrewedIn('hall', 60)),
    at(T + 2, new SwitchedOn()),
  );
  await w.bus.for(Bulb, 'b').record(at(T, new ScrewedIn('attic', 40)));
  const names = async (options: Parameters<typeof w.histories.collect>[2]): Promise<string[]> =>
    (await w.histories.collect(Bulb, 'a', options)).map((fact) => `${fact.name} ${fact.eventTime - T}`);
  expect(await names({})).toEqual(['screwedIn 1', 'switchedOn 2', 'switchedOn 3', 'burnt 0']);
  expect(await names({ order: 'ascending' })).toEqual(['burnt 0', 'screwedIn 1', 'switchedOn 2', 'switchedOn 3']);
  expect(await names({ order: 'descending', from: T + 1, toExclusive: true, to: T + 3 })).toEqual([
    'switchedOn 2',
    'screwedIn 1',
  ]);
  expect(await names({ types: ['switchedOn'], fromExclusive: true, from: T + 2 })).toEqual(['switchedOn 3']);
  expect((await w.histories.first(Bulb, 'a', { order: 'ascending' }))?.name).toBe('burnt');
  expect((await w.histories.last(Bulb, 'a'))?.name).toBe('burnt');
  const many = await w.histories.preload(Bulb, ['a', 'b', 'c']);
  expect([...many].map(([id, facts]) => [id, facts.length])).toEqual([
    ['a', 4],
    ['b', 1],
    ['c', 0],
  ]);
  const states = await w.states.getMany(Bulb, ['a', 'b', 'c']);
  expect([...states.keys()]).toEqual(['a', 'b']);
  // What is odd about a history is said: events after its end, an end without a beginning, a second beginning.
  expect(states.get('a')).toMatchObject({ events: 4, incomplete: false, afterTerminal: 3, extraInitial: 0 });
  await w.bus.for(Bulb, 'c').record(at(T, new Burnt()));
  expect(await w.states.get(Bulb, 'c')).toMatchObject({ incomplete: true });
  await bulb.record(at(T + 9, new ScrewedIn('cellar', 10)));
  expect(await w.states.get(Bulb, 'a')).toMatchObject({ extraInitial: 1, state: { room: 'cellar' } });
  await w.close();
});

it('hands out a state that is the caller’s own', async () => {
  const w = await world();
  await w.bus.for(Bulb, 'a').record(at(T, new ScrewedIn('hall', 60)));
  const first = (await w.states.get(Bulb, 'a'))!;
  first.state.room = 'changed';
  expect((await w.states.get(Bulb, 'a'))!.state.room).toBe('hall');
  await w.close();
});

it('folds a history longer than a page in the same order as a short one', async () => {
  const w = await world();
  const bulb = w.bus.for(Bulb, 'long');
  for (let block = 0; block < 5; block++) {
    await bulb.record(...Array.from({ length: 500 }, (_, i) => at(T + block * 1_000 + i, new SwitchedOn())));
  }
  await bulb.record(at(T - 5, new Burnt()), at(T + 1_000_000, new ScrewedIn('hall', 60)));
  expect(await w.states.get(Bulb, 'long')).toMatchObject({
    events: 2_502,
    incomplete: false,
    state: { switched: 2_500, room: 'hall', burnt: true },
  });
  await w.close();
});

it('counts events of a name that is no longer listed alike in short and long histories', async () => {
  const w = await world();
  const gone = (i: number) =>
    new Fact({
      tenant: '',
      aggregateType: 'bulb',
      aggregateId: 'x',
      name: 'madeOf',
      version: '0',
      eventTime: T + i,
      streamId: '',
      sequence: -1,
      characteristics: INITIAL,
      content: '{}',
    });
  await w.ports.eventStore.append([{ facts: [gone(0), gone(1)], receivedAt: T }]);
  expect(await w.states.get(Bulb, 'x')).toMatchObject({ events: 2, incomplete: false, extraInitial: 1 });
  await w.bus.for(Bulb, 'x').record(...Array.from({ length: 1_100 }, (_, i) => at(T + 10 + i, new SwitchedOn())));
  expect(await w.states.get(Bulb, 'x')).toMatchObject({ events: 1_102, incomplete: false, extraInitial: 1 });
  await w.close();
});
