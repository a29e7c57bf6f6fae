/** How many flights are in each status now: a row a status, moved by every flight that changes. */
import { Projection, Sum, type Rows } from '@concursus/core';
import { Flight } from './flight.js';

export class StatusCell {
  @Sum() flights = 0;
}

@Projection({ name: 'flight-status', of: Flight, view: StatusCell })
export class FlightStatuses {
  rows(flight: Flight): Rows<StatusCell> {
    return [[flight.status, { flights: 1 }]];
  }
}
