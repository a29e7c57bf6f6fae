/**
 * Keeps the views near: a post goes on only when they trail by no more than about a second of events. Whoever sends
 * faster than the figures can follow waits in its socket, so that an answer is never long before its figures.
 */
import { Injectable } from '@nestjs/common';
import {
  Clock,
  ConcursusError,
  InjectPort,
  InjectView,
  OrdinalPosition,
  type Position,
  type View,
} from '@concursus/core';
import { CarrierCell, Carriers } from './carriers.projection.js';
import { FLIGHTS } from './context.js';
import { FlightStatuses, StatusCell } from './flight-status.projection.js';
import { OriginDay, OriginDayCell } from './origin-day.projection.js';

/** Events the views may be behind: about a second of theirs when every event changes another flight. */
const TRAIL_MAX = 4_000;
/** Views that do not come nearer in this time are being taken over, or failing: recording does not depend on them. */
const WAIT_MS = 5_000;
const REST_MS = 10_000;

@Injectable()
export class Pace {
  /** How many events all views hold, as last seen. */
  private seen = 0;
  private waiting: Promise<void> | undefined;
  private restUntilMs = 0;
  private readonly views: readonly Pick<View, 'caughtUp'>[];

  constructor(
    @InjectView(FlightStatuses) statuses: View<StatusCell>,
    @InjectView(OriginDay) originDays: View<OriginDayCell>,
    @InjectView(Carriers) carriers: View<CarrierCell>,
    @InjectPort(Clock, FLIGHTS) private readonly clock: Clock,
  ) {
    this.views = [statuses, originDays, carriers];
  }

  /** Resolves when the views are near enough to `position`, or cannot be waited for. */
  async keep(position: Position | undefined): Promise<void> {
    if (position === undefined) return;
    const wanted = OrdinalPosition.of(position).ordinal - TRAIL_MAX;
    while (wanted > this.seen && this.clock.monotonicMs() >= this.restUntilMs) {
      // Posts under way at one time share one wait.
      this.waiting ??= this.wait(wanted).finally(() => (this.waiting = undefined));
      await this.waiting;
    }
  }

  private async wait(ordinal: number): Promise<void> {
    const position = new OrdinalPosition(ordinal);
    try {
      await Promise.all(this.views.map((view) => view.caughtUp({ position }, { timeoutMs: WAIT_MS })));
      this.seen = Math.max(this.seen, ordinal);
    } catch (error) {
      if (!ConcursusError.isInstance(error) || !error.retryable) throw error;
      this.restUntilMs = this.clock.monotonicMs() + REST_MS;
    }
  }
}
