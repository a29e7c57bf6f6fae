/** A parcel as its history tells it: where it is now. */
import { Aggregate, EventHandler } from '@concursus/core';
import { Delivered, DeliveryFailed, LoadedOntoTruck, ReceivedAtDepot } from './parcel.events.js';

export type ParcelStatus = 'expected' | 'at depot' | 'on truck' | 'delivered' | 'delivery failed';

@Aggregate('parcel')
export class Parcel {
  static readonly events = { ReceivedAtDepot, LoadedOntoTruck, Delivered, DeliveryFailed };

  status: ParcelStatus = 'expected';
  depotId: string | null = null;
  truckId: string | null = null;
  destinationId: string | null = null;

  @EventHandler(ReceivedAtDepot) received(event: ReceivedAtDepot): void {
    this.status = 'at depot';
    this.depotId = event.depotId;
    this.truckId = null;
  }

  @EventHandler(LoadedOntoTruck) loaded(event: LoadedOntoTruck): void {
    this.status = 'on truck';
    this.depotId = null;
    this.truckId = event.truckId;
  }

  @EventHandler(Delivered) delivered(event: Delivered): void {
    this.status = 'delivered';
    this.depotId = null;
    this.truckId = null;
    this.destinationId = event.destinationId;
  }

  @EventHandler(DeliveryFailed) failed(_event: DeliveryFailed): void {
    this.status = 'delivery failed';
  }
}
