/** Scenarios read as stories, run on in-memory providers, and fail with what differs. */
import { at } from '@concursus/core';
import { scenario } from '@concursus/testing';
import { describe, expect, it } from 'vitest';
import { Delivered, LoadedOntoTruck, Parcel, ParcelsAtDepot, ReceivedAtDepot, ThrowingAtTrucks } from './parcels.js';

const received = at('2016-10-12T09:06:31.432Z', new ReceivedAtDepot('Lewisham'));
const loaded = at('2016-10-12T11:35:02.163Z', new LoadedOntoTruck('CU50 ZCV'));
const delivered = at('2016-10-12T15:00:31.322Z', new Delivered('d7'));

describe('a scenario', () => {
  it('tells state, history and row after what was given and what happened', async () => {
    const story = scenario(ParcelsAtDepot)
      .given(Parcel, 'p1', delivered)
      .given(Parcel, 'p2', received)
      .when(({ events }) => events.for(Parcel, 'p1').record(loaded, received));
    await story.thenState(Parcel, 'p1', { status: 'delivered', depot: 'Lewisham' });
    await story.thenState(Parcel, 'p2', { status: 'at depot' });
    await story.thenState(Parcel, 'p3', undefined);
    await story.thenEvents(Parcel, 'p1', received, loaded, delivered);
    await story.thenRow(ParcelsAtDepot, 'Lewisham', { here: 1, parcels: 2 });
    await story.thenRow(ParcelsAtDepot, 'Hull', undefined);
  });

  it('expects a refusal by its code, and throws it on to every other then', async () => {
    const story = scenario(Parcel).when(({ states }) => states.get('flight', 'x'));
    await story.thenError('UNKNOWN_AGGREGATE');
    await expect(story.thenState(Parcel, 'p1', undefined)).rejects.toThrow('UNKNOWN_AGGREGATE');
    await expect(scenario(Parcel).thenError('LIMIT_EXCEEDED')).rejects.toThrow('nothing was thrown');
  });

  it('fails when a field, a row or a history differs', async () => {
    const story = scenario(ParcelsAtDepot).given(Parcel, 'p1', received);
    await expect(story.thenState(Parcel, 'p1', { status: 'on truck' })).rejects.toThrow('the state of p1');
    await expect(story.thenState(Parcel, 'p1', undefined)).rejects.toThrow('the state of p1');
    await expect(story.thenRow(ParcelsAtDepot, 'Lewisham', { here: 2 })).rejects.toThrow('the row Lewisham');
    await expect(story.thenEvents(Parcel, 'p1', received, loaded)).rejects.toThrow('the history of p1');
  });

  it('fails when a given event is rejected or a projection cannot handle it', async () => {
    const rejected = scenario(Parcel).given(Parcel, 'p1', at('2016-03-38', new ReceivedAtDepot('x')));
    await expect(rejected.thenState(Parcel, 'p1', undefined)).rejects.toThrow('INVALID_TIME');
    const parked = scenario(ThrowingAtTrucks).given(Parcel, 'p1', loaded);
    await expect(parked.thenRow(ThrowingAtTrucks, 'x', undefined)).rejects.toThrow('no trucks here');
  });
});
