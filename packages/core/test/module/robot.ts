/** What most specs of the module are about: a robot, and where it is. */
import { Aggregate, Event, EventHandler } from '@concursus/core';

@Event()
export class Moved {
  constructor(readonly to: number) {}
}

@Aggregate('robot')
export class Robot {
  static readonly events = { Moved };
  place = 0;
  @EventHandler(Moved) moved({ to }: Moved): void {
    this.place = to;
  }
}

export const T = Date.parse('2026-01-01T00:00:00Z');
