/** How punctual each carrier's arrived flights were: a row a carrier, also for one whose flights have not arrived yet. */
import { Projection, Sum, type Rows, type RowsContext } from '@concursus/core';
import { Flight } from './flight.js';
import { minutesBetween } from './delay.js';
import { carrierOf } from './flight-id.js';

export class CarrierCell {
  @Sum() arrived = 0;
  @Sum() arrivalDelayMinutes = 0;
  @Sum() over15MinutesLate = 0;
}

@Projection({ name: 'carriers', of: Flight, view: CarrierCell })
export class Carriers {
  rows(flight: Flight, { id }: RowsContext): Rows<CarrierCell> {
    const arrived = flight.status === 'arrived';
    const delay = arrived ? (minutesBetween(flight.scheduledArrival, flight.arrivedAt) ?? 0) : 0;
    return [
      [carrierOf(id), { arrived: arrived ? 1 : 0, arrivalDelayMinutes: delay, over15MinutesLate: delay > 15 ? 1 : 0 }],
    ];
  }
}
