/** What left one airport on one day: a row `EWR 2013-01-01`, made of what each flight adds. */
import { Projection, Sum, type Rows, type RowsContext } from '@concursus/core';
import { Flight } from './flight.js';
import { minutesBetween } from './delay.js';
import { dayOf, originOf } from './flight-id.js';

export class OriginDayCell {
  @Sum() flights = 0;
  @Sum() arrived = 0;
  @Sum() cancelled = 0;
  @Sum() diverted = 0;
  /** Over all flights that departed, once their schedule is known; early ones count negative. */
  @Sum() departureDelayMinutes = 0;
}

@Projection({ name: 'origin-day', of: Flight, view: OriginDayCell })
export class OriginDay {
  rows(flight: Flight, { id }: RowsContext): Rows<OriginDayCell> {
    return [
      [
        originDayKey(originOf(id), dayOf(id)),
        {
          flights: 1,
          arrived: flight.status === 'arrived' ? 1 : 0,
          cancelled: flight.status === 'cancelled' ? 1 : 0,
          diverted: flight.status === 'diverted' ? 1 : 0,
          departureDelayMinutes: minutesBetween(flight.scheduledDeparture, flight.departedAt) ?? 0,
        },
      ],
    ];
  }
}

export const originDayKey = (origin: string, day: string): string => `${origin} ${day}`;
