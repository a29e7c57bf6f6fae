/**
 * Flights that left and did not come: due at their destination 20 hours of event time after they departed, as far as time is
 * settled. What settles begins once a sample is loaded: it would take a third of the load's time, for a list nobody reads then.
 */
import { Inject, Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { Concursus, Deadline, Deadlines, InjectPort } from '@concursus/core';
import { Loader } from '../load/loader.js';
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
export class Overdue implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger('Overdue');
  private readonly stopping = new AbortController();

  constructor(
    @InjectPort(Deadlines, FLIGHTS) private readonly deadlines: Deadlines,
    @InjectPort(Concursus, FLIGHTS) private readonly concursus: Concursus,
    @Inject(Loader) private readonly loader: Loader,
  ) {}

  onApplicationBootstrap(): void {
    this.loader
      .loaded(this.stopping.signal)
      .then(() => this.concursus.start())
      .catch((error: unknown) => {
        if (!this.stopping.signal.aborted) this.logger.error(error);
      });
  }

  onModuleDestroy(): void {
    this.stopping.abort();
  }

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
