/** Positions with compare-and-set, and owner rows: who may run a consumer, fenced by an epoch that only grows. */
import { ConflictError } from '../model/errors.js';

export interface OwnerRow {
  readonly name: string;
  /** The owner's process, a random name of its own. */
  readonly owner: string;
  /** Grows by one with each claim. Everything an owner writes carries it; an old one is refused. */
  readonly epoch: number;
  /** Grows with each renewal: a watcher who sees it stand still for the lease may claim. No clock is compared between processes. */
  readonly beat: number;
}

export abstract class CheckpointStore {
  /** The saved value, or undefined. */
  abstract read(name: string): Promise<string | undefined>;
  /**
   * Saves when the epoch is the owner's (or, without an owner row, 0) and the stored value equals `expected`.
   * @throws ConflictError `LEASE_LOST` or `CHECKPOINT_MOVED`; nothing is saved.
   */
  abstract save(name: string, value: string, options: { epoch: number; expected?: string | undefined }): Promise<void>;

  abstract readOwner(name: string): Promise<OwnerRow | undefined>;
  /**
   * Takes the row over when it is as `seen` (same epoch and beat; `undefined`: no row yet), with the next epoch.
   * Resolves to the new row, or to undefined when somebody was faster. Durable before it resolves.
   */
  abstract claim(name: string, owner: string, seen: OwnerRow | undefined): Promise<OwnerRow | undefined>;
  /** Next beat. @throws ConflictError `LEASE_LOST` when the epoch is no longer ours. */
  abstract renew(row: OwnerRow): Promise<OwnerRow>;
  /** Gives the row up so that the next may claim at once: owner becomes `''`, the epoch stays. Without effect when it is no longer ours. */
  abstract release(row: OwnerRow): Promise<void>;
}

/** The refusal of a write with an epoch that is not the owner's. */
export function leaseLost(name: string, epoch: number, current: number): ConflictError {
  return new ConflictError('LEASE_LOST', `"${name}" has epoch ${current}, not ${epoch}; nothing was stored.`, {
    fix: 'Another process owns it now: stop, and claim it again when the beat of its row stands still.',
    details: { name, epoch, current },
  });
}

/** The refusal of a write over another checkpoint than the one expected. */
export function checkpointMoved(name: string, expected: string | undefined, found: string | undefined): ConflictError {
  return new ConflictError(
    'CHECKPOINT_MOVED',
    `The checkpoint of "${name}" is ${found ?? 'not set'}, not ${expected ?? 'unset'}; nothing was stored.`,
    { fix: 'Read the checkpoint again and go on from there.', details: { name, expected, found } },
  );
}
