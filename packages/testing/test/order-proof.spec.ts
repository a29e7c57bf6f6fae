/** The one-call prover finds what depends on delivery, makes it small, and lets through what does not. */
import { at } from '@concursus/core';
import { OrderSensitiveError, provesOrderInsensitive, type EventAbout } from '@concursus/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CountingCalls,
  HastyParcel,
  LoadedOntoTruck,
  Parcel,
  ParcelsAtDepot,
  parcelHistories,
  ReceivedAtDepot,
  ThrowingAtTrucks,
} from './parcels.js';

async function failureOf(proof: Promise<void>): Promise<OrderSensitiveError> {
  const error = await proof.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(OrderSensitiveError);
  return error as OrderSensitiveError;
}

describe('provesOrderInsensitive', () => {
  it('proves an aggregate whose state comes from its history', async () => {
    await provesOrderInsensitive(Parcel, { events: parcelHistories, runs: 200 });
  });

  it('proves a projection while its view catches up between batches', async () => {
    await provesOrderInsensitive(ParcelsAtDepot, { events: parcelHistories, runs: 200 });
  });

  it('takes some histories in place of a generator', async () => {
    const deck = [at(1, new ReceivedAtDepot('Lewisham')), at(2, new LoadedOntoTruck('t'))];
    await provesOrderInsensitive(ParcelsAtDepot, { events: [deck], runs: 20 });
  });

  it('shows the smallest delivery by which an aggregate looks at processing time, and repeats it by its seed', async () => {
    const events: fc.Arbitrary<readonly EventAbout<LoadedOntoTruck>[]> = fc.array(
      fc.integer({ min: 1, max: 5 }).map((time) => at(time, new LoadedOntoTruck('t'))),
      { minLength: 1, maxLength: 6 },
    );
    const error = await failureOf(provesOrderInsensitive(HastyParcel, { events, seed: 7 }));
    expect(error.message).toContain('HastyParcel depends on the order of delivery');
    expect(error.message).toContain('once, in order:');
    expect(error.message).toMatch(/batch 1: one LoadedOntoTruck at 1970-01-01T00:00:00.00\dZ \{"truckId":"t"\}/);
    expect(error.message.split('\n').length).toBeLessThanOrEqual(6);
    const again = await failureOf(provesOrderInsensitive(HastyParcel, { events, seed: error.seed, path: error.path }));
    expect(again.message.split('\n').slice(1, -1)).toEqual(error.message.split('\n').slice(1, -1));
  });

  it('finds a projection that counts its calls', async () => {
    const error = await failureOf(provesOrderInsensitive(CountingCalls, { events: parcelHistories }));
    expect(error.message).toContain('CountingCalls depends on the order of delivery');
  });

  it('tells what a projection threw', async () => {
    const error = await failureOf(provesOrderInsensitive(ThrowingAtTrucks, { events: parcelHistories }));
    expect(error.message).toContain('no trucks here');
  });
});
