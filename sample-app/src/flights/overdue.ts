/** Flights that left and did not come: due at their destination 20 hours of event time after they departed, as far as time is settled. */
import { Injectable } from '@nestjs/common';
import { Deadline, Deadlines, InjectPort } from '@concursus/core';
import { FLIGHTS } from './context.js';
import { Arrived, Cancelled, Departed, Diverted } from './flight.events.js';
import { Flight } from './flight.js';

const ARRIVAL = 'arrival';
/** No flight out of New York takes longer, its delay in the air included: the longest, to Honolulu, take 11. */
const WITHIN_MS = 20 * 3_600_000;
const PAGE = 1_000;

@Deadline({
  of: Flight,
  name: ARRIVAL,
  after: [Departed],
  withinMs: WITHIN_MS,
  unless: [Arrived, Cancelled, Diverted],
  // Also of the flights that were recorded before this application knew of deadlines.
  from: 'beginning',
})
@Injectable()
export class Overdue {
  constructor(@InjectPort(Deadlines, FLIGHTS) private readonly deadlines: Deadlines) {}

  /** The ids, sorted; each once, however often it departed. */
  async flights(): Promise<string[]> {
    const ids = new Set<string>();
    let after: string | undefined;
    do {
      const page = await this.deadlines.overdue(ARRIVAL, { limit: PAGE, ...(after === undefined ? {} : { after }) });
      for (const { aggregate } of page.items) ids.add(aggregate.id);
      after = page.next;
    } while (after !== undefined);
    return [...ids].sort();
  }
}
