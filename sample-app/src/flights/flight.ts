/** A flight as its history tells it: each field is what the last event in fold order that sets it says. */
import { Aggregate, EventHandler, type EventContext } from '@concursus/core';
import { Arrived, Cancelled, Departed, Diverted, Scheduled } from './flight.events.js';

export const flightStatuses = ['scheduled', 'departed', 'arrived', 'cancelled', 'diverted'] as const;
export type FlightStatus = (typeof flightStatuses)[number];

@Aggregate('flight')
export class Flight {
  static readonly events = { Scheduled, Departed, Arrived, Cancelled, Diverted };

  /** Every event sets it, so a flight that has any never keeps the first value. */
  status: FlightStatus = 'scheduled';
  destination: string | null = null;
  distanceMiles: number | null = null;
  /** As reported, an ISO time; null until the schedule is known. */
  scheduledDeparture: string | null = null;
  scheduledArrival: string | null = null;
  /** Event time, epoch ms. */
  departedAt: number | null = null;
  arrivedAt: number | null = null;
  tail: string | null = null;
  reason: string | null = null;

  @EventHandler(Scheduled) scheduled(event: Scheduled): void {
    this.status = 'scheduled';
    this.destination = event.destination;
    this.distanceMiles = event.distanceMiles;
    this.scheduledDeparture = event.scheduledDeparture;
    this.scheduledArrival = event.scheduledArrival;
  }

  @EventHandler(Departed) departed(event: Departed, { at }: EventContext): void {
    this.status = 'departed';
    this.departedAt = at;
    this.tail = event.tail;
  }

  @EventHandler(Arrived) arrived(event: Arrived, { at }: EventContext): void {
    this.status = 'arrived';
    this.arrivedAt = at;
    this.tail = event.tail;
  }

  @EventHandler(Cancelled) cancelled(event: Cancelled): void {
    this.status = 'cancelled';
    this.reason = event.reason;
  }

  @EventHandler(Diverted) diverted(_event: Diverted): void {
    this.status = 'diverted';
  }
}
