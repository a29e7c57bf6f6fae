/** What every consumer whose calls are kept has: a name, a view of its own, bounds. */
import type { RetryPolicy } from '../mapping/decorators.js';
import type { ViewRef } from '../ports/view-store.js';
import { RETRY_DEFAULTS } from './retry-policy.js';

/** When calls come: soon, in the order of event time, or for what settles. */
export type Schedule = 'durable' | 'persistent' | 'settling';

/** What is said of any of them. */
export interface ConsumerOptions {
  /** Its state is kept under this name. */
  readonly name: string;
  readonly from?: 'end' | 'beginning';
  readonly retry?: RetryPolicy;
  readonly inFlightMax?: number;
}

export abstract class ConsumerModel {
  abstract readonly schedule: Schedule;
  readonly name: string;
  readonly fromBeginning: boolean;
  readonly retry: Required<RetryPolicy>;
  /** Calls under way together at most, hence calls repeated after a crash. */
  readonly inFlightMax: number;

  constructor(
    options: ConsumerOptions,
    /** Holds everything the name knows. */
    readonly view: ViewRef,
    /** The owner row whose epoch each commit carries. */
    readonly ownerName: string,
  ) {
    this.name = options.name;
    this.fromBeginning = options.from === 'beginning';
    this.retry = { ...RETRY_DEFAULTS, ...options.retry };
    this.inFlightMax = options.inFlightMax ?? 16;
  }
}
