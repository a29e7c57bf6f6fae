/** The deck's parcels, small: what scenarios and proofs are tried on. */
import {
  Aggregate,
  at,
  Count,
  Event,
  EventHandler,
  Projection,
  Sum,
  type EventContext,
  type Rows,
} from '@concursus/core';
import type { EventAbout } from '@concursus/testing';
import fc from 'fast-check';

@Event({ initial: true })
export class ReceivedAtDepot {
  constructor(readonly depotId: string) {}
}

@Event()
export class LoadedOntoTruck {
  constructor(readonly truckId: string) {}
}

@Event({ terminal: true })
export class Delivered {
  constructor(readonly destinationId: string) {}
}

@Aggregate('parcel')
export class Parcel {
  static readonly events = { ReceivedAtDepot, LoadedOntoTruck, Delivered };
  status: 'expected' | 'at depot' | 'on truck' | 'delivered' = 'expected';
  depot = '';

  @EventHandler(ReceivedAtDepot) received(event: ReceivedAtDepot): void {
    this.status = 'at depot';
    this.depot = event.depotId;
  }

  @EventHandler(LoadedOntoTruck) loaded(): void {
    this.status = 'on truck';
  }

  @EventHandler(Delivered) delivered(): void {
    this.status = 'delivered';
  }
}

/** Wrong on purpose: keeps the processing time of its last event. */
@Aggregate('hasty')
export class HastyParcel {
  static readonly events = { ReceivedAtDepot, LoadedOntoTruck };
  learnedAt = 0;

  @EventHandler(LoadedOntoTruck) loaded(_: LoadedOntoTruck, context: EventContext): void {
    this.learnedAt = context.processedAt;
  }
}

export class DepotRow {
  @Sum() here = 0;
  @Count() parcels = 0;
}

@Projection({ name: 'depots', of: Parcel, view: DepotRow })
export class ParcelsAtDepot {
  rows(parcel: Parcel): Rows<DepotRow> {
    return parcel.depot === '' ? [] : [[parcel.depot, { here: parcel.status === 'at depot' ? 1 : 0, parcels: 1 }]];
  }
}

/** Wrong on purpose: counts its own calls. */
@Projection({ name: 'counting', of: Parcel, view: DepotRow })
export class CountingCalls {
  private calls = 0;

  rows(): Rows<DepotRow> {
    this.calls += 1;
    return [['calls', { here: this.calls }]];
  }
}

/** Wrong on purpose: cannot handle a loaded parcel. */
@Projection({ name: 'throwing', of: Parcel, view: DepotRow })
export class ThrowingAtTrucks {
  rows(parcel: Parcel): Rows<DepotRow> {
    if (parcel.status === 'on truck') throw new Error('no trucks here');
    return [];
  }
}

/** Any history of a few parcels, equal instants and conflicts included. */
export const parcelHistories: fc.Arbitrary<readonly EventAbout<ReceivedAtDepot | LoadedOntoTruck | Delivered>[]> =
  fc.array(
    fc
      .tuple(
        fc.constantFrom('p1', 'p2'),
        fc.integer({ min: 1_000, max: 1_004 }),
        fc.constantFrom(
          new ReceivedAtDepot('Lewisham'),
          new ReceivedAtDepot('Hull'),
          new LoadedOntoTruck('t1'),
          new Delivered('d1'),
        ),
      )
      .map(([id, time, event]) => ({ ...at(time, event), id })),
    { minLength: 1, maxLength: 6 },
  );
