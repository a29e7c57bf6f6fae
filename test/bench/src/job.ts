/** What the driver hands to the process of one case. */
import type { ServerAddresses } from './case.js';

export interface Job {
  readonly id: string;
  readonly quick: boolean;
  readonly peers: boolean;
  readonly servers: ServerAddresses;
  readonly rounds: number;
  readonly roundMs: number;
  /** Warm-up of each side, ms of its own work. */
  readonly warmMs: number;
  /** Only the side of this name runs: for profiles. */
  readonly side: string | undefined;
  /** Where a CPU profile goes; undefined for none. */
  readonly profile: string | undefined;
  /** The disk to measure; default: a folder of the bench's own. */
  readonly folder: string | undefined;
}

/** Begins the line that holds the result. */
export const RESULT_MARK = '@@';
