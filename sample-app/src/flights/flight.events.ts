/**
 * What sources report about a flight. The fields are checked where a report is read (flight-report.ts), once and by
 * hand: 83,000 reports a month come through that one door, so these classes declare shapes only.
 */
import { Event } from '@concursus/core';

@Event({ initial: true })
export class Scheduled {
  carrier!: string;
  number!: number;
  origin!: string;
  destination!: string;
  /** ISO time. */
  scheduledDeparture!: string;
  /** ISO time. */
  scheduledArrival!: string;
  distanceMiles!: number;
}

@Event()
export class Departed {
  /** The aircraft's tail number. */
  tail!: string;
}

@Event({ terminal: true })
export class Arrived {
  tail!: string;
}

@Event({ terminal: true })
export class Cancelled {
  reason!: string;
}

@Event({ terminal: true })
export class Diverted {}
