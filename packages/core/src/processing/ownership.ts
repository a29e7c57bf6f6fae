/**
 * Who may run a consumer. One process at a time holds its owner row; the epoch in it, checked by the store in each of the
 * owner's transactions, refuses a former holder. The lease only decides *when* another may try, never whether it is right.
 *
 * No clock is compared between processes: a watcher claims after it saw the row's beat stand still for the lease, by its
 * own monotonic clock. A paused owner that wakes up finds its epoch old and its writes refused.
 */
import type { CheckpointStore, OwnerRow } from '../ports/checkpoint-store.js';
import type { Clock } from '../ports/clock.js';
import type { LayerLogger } from '../ports/layer.js';
import { ConflictError } from '../model/errors.js';

export interface OwnershipOptions {
  /** An owner whose beat stands still this long may be replaced. Default 2,000 ms: with the poll, a dead owner is replaced within 3 s. */
  readonly leaseMs?: number;
  /** Between two beats, and between two looks at another's. Default 400 ms. */
  readonly beatMs?: number;
}

interface Watch {
  readonly name: string;
  held: OwnerRow | undefined;
  seen: OwnerRow | undefined;
  seenSinceMs: number;
}

/** Holds or watches the owner rows of this process's consumers. */
export class Ownership {
  private readonly watches = new Map<string, Watch>();
  private readonly stopping = new AbortController();
  private running: Promise<void> | undefined;
  private readonly leaseMs: number;
  private readonly beatMs: number;

  constructor(
    private readonly store: CheckpointStore,
    private readonly clock: Clock,
    private readonly logger: LayerLogger,
    /** A name no other process has. */
    private readonly process: string,
    /** Called when a row was won or lost. */
    private readonly changed: () => void,
    options: OwnershipOptions = {},
  ) {
    this.leaseMs = options.leaseMs ?? 2_000;
    this.beatMs = options.beatMs ?? 400;
  }

  /** Registers a consumer; call before `start`. */
  watch(name: string): void {
    this.watches.set(name, { name, held: undefined, seen: undefined, seenSinceMs: Number.NEGATIVE_INFINITY });
  }

  /** The row while this process holds it. */
  held(name: string): OwnerRow | undefined {
    return this.watches.get(name)?.held;
  }

  /** Told by a consumer whose write was refused: the row is another's now. */
  lost(name: string): void {
    const watch = this.watches.get(name);
    if (watch !== undefined) this.forget(watch);
  }

  /** Claims what is free at once, and watches the rest. */
  async start(): Promise<void> {
    await this.look();
    this.running = this.loop();
  }

  /** Gives all rows up, so that others may claim them at once. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
    const held = [...this.watches.values()].filter((watch) => watch.held !== undefined);
    await Promise.all(held.map((watch) => this.store.release(watch.held!)));
    for (const watch of held) watch.held = undefined;
  }

  private async loop(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      await this.clock.sleep(this.beatMs, this.stopping.signal);
      if (this.stopping.signal.aborted) return;
      try {
        await this.look();
      } catch (error) {
        this.logger.warn(`The owner rows could not be read or renewed, trying again: ${String(error)}`);
      }
    }
  }

  private async look(): Promise<void> {
    await Promise.all(
      [...this.watches.values()].map((watch) => (watch.held === undefined ? this.tryClaim(watch) : this.renew(watch))),
    );
  }

  private async renew(watch: Watch): Promise<void> {
    const row = watch.held!;
    try {
      const renewed = await this.store.renew(row);
      // Told to be lost meanwhile, it stays lost until it is claimed anew: its consumer has gone, and nobody would tell it.
      if (watch.held === row) watch.held = renewed;
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
      if (watch.held !== row) return;
      this.logger.warn(`"${watch.name}" is run by another process now.`);
      this.forget(watch);
    }
  }

  private async tryClaim(watch: Watch): Promise<void> {
    const row = await this.store.readOwner(watch.name);
    const now = this.clock.monotonicMs();
    if (row !== undefined && row.owner !== '') {
      if (watch.seen?.epoch !== row.epoch || watch.seen.beat !== row.beat) {
        watch.seen = row;
        watch.seenSinceMs = now;
        return;
      }
      if (now - watch.seenSinceMs < this.leaseMs) return;
    }
    const held = await this.store.claim(watch.name, this.process, row);
    if (held === undefined) return;
    watch.held = held;
    this.changed();
  }

  private forget(watch: Watch): void {
    watch.held = undefined;
    watch.seen = undefined;
    this.changed();
  }
}
