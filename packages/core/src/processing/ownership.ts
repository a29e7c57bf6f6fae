/**
 * Who may run a consumer. One process at a time holds its owner row; the epoch in it, checked by the store in each of the
 * owner's transactions, refuses a former holder. The lease only decides *when* another may try, never whether it is right.
 *
 * No clock is compared between processes: a watcher claims after it saw the row's beat stand still for the lease, by its
 * own monotonic clock. A paused owner that wakes up finds its epoch old and its writes refused.
 *
 * Which of several processes holds which names is settled by `fair-shares.ts`; without it, whoever was first holds them all.
 */
import type { CheckpointStore, OwnerRow } from '../ports/checkpoint-store.js';
import type { Clock } from '../ports/clock.js';
import type { LayerLogger } from '../ports/layer.js';
import { ConflictError } from '../model/errors.js';
import { leaseOf, type FairShares, type Holder, type Holding } from './fair-shares.js';

export interface OwnershipOptions {
  /** An owner whose beat stands still this long may be replaced. Default 2,000 ms: with the poll, a dead owner is replaced within 3 s. */
  readonly leaseMs?: number;
  /** Between two beats, and between two looks at another's. Default 400 ms, or a fifth of a shorter lease. */
  readonly beatMs?: number;
  /** Shares names out among the processes that could run them. Without it names stay with whoever holds them. */
  readonly sharing?: FairShares | undefined;
}

/** How a name may be given to another process. */
export interface Sharing {
  /** Names of one group are the shares of one piece of work, and are spread out among themselves. */
  readonly group: string;
  /** Ends what this process does under the name, and saves it; called when `held` says no more that the name is held here. */
  letGo(): Promise<void>;
}

interface Watch {
  readonly name: string;
  sharing: Sharing | undefined;
  held: OwnerRow | undefined;
  seen: OwnerRow | undefined;
  seenSinceMs: number;
  /** Until then it is another's to take: it was given away. */
  leftUntilMs: number;
  /** Free, and left to others that have less, since then. */
  leavingSinceMs: number | undefined;
  giving: boolean;
}

function watchOf(name: string, sharing: Sharing | undefined): Watch {
  return {
    name,
    sharing,
    held: undefined,
    seen: undefined,
    seenSinceMs: Number.NEGATIVE_INFINITY,
    leftUntilMs: Number.NEGATIVE_INFINITY,
    leavingSinceMs: undefined,
    giving: false,
  };
}

/** Holds or watches the owner rows of this process's consumers. */
export class Ownership implements Holder {
  private readonly watches = new Map<string, Watch>();
  private readonly stopping = new AbortController();
  private running: Promise<void> | undefined;
  private readonly gifts = new Set<Promise<void>>();
  private readonly leaseMs: number;
  private readonly beatMs: number;
  private readonly sharing: FairShares | undefined;

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
    ({ leaseMs: this.leaseMs, beatMs: this.beatMs } = leaseOf(options));
    this.sharing = options.sharing;
  }

  /** Registers a consumer; call before `start`. One that cannot let go is never given away. */
  watch(name: string, sharing?: Sharing): void {
    this.watches.set(name, watchOf(name, sharing));
  }

  /**
   * Registers one more after the start, and claims it if it is free.
   * @throws what the store throws: then it is not registered
   */
  async add(name: string): Promise<void> {
    if (this.watches.has(name)) return;
    const watch = watchOf(name, undefined);
    this.watches.set(name, watch);
    try {
      await this.tryClaim(watch);
    } catch (error) {
      this.watches.delete(name);
      throw error;
    }
  }

  /** Gives one up for good. */
  async drop(name: string): Promise<void> {
    const held = this.watches.get(name)?.held;
    this.watches.delete(name);
    try {
      if (held !== undefined) await this.store.release(held);
    } catch (error) {
      this.logger.warn(`"${name}" could not be given up; it is free when its lease is over: ${String(error)}`);
    }
  }

  /** Whether it may be given away. */
  isShared(name: string): boolean {
    return this.watches.get(name)?.sharing !== undefined;
  }

  /** From now on it may be given away. */
  share(name: string, sharing: Sharing): void {
    const watch = this.watches.get(name);
    if (watch !== undefined) watch.sharing = sharing;
  }

  /** The row while this process holds it and does not give it away. */
  held(name: string): OwnerRow | undefined {
    const watch = this.watches.get(name);
    return watch?.giving === true ? undefined : watch?.held;
  }

  /** The row also while it is given away: with it, what was begun is saved. */
  rowOf(name: string): OwnerRow | undefined {
    return this.watches.get(name)?.held;
  }

  /**
   * Takes the next epoch of a row that is held: what its consumer sent, and was not answered, is not written any more.
   * @throws ConflictError `LEASE_LOST` it is held no more · what the store throws
   */
  async raise(name: string): Promise<OwnerRow> {
    const watch = this.watches.get(name);
    const row = watch?.held;
    const next = row === undefined ? undefined : await this.store.claim(name, this.process, row);
    if (next === undefined || watch?.held === undefined)
      throw new ConflictError('LEASE_LOST', `"${name}" is not held any more.`, { fix: 'It is tried again.' });
    watch.held = next;
    return next;
  }

  /** Told by a consumer whose write was refused: the row is another's now. */
  lost(name: string): void {
    const watch = this.watches.get(name);
    if (watch !== undefined) this.forget(watch);
  }

  /** Claims what is free at once, and watches the rest. */
  async start(): Promise<void> {
    this.sharing?.join(this);
    await this.look();
    this.running = this.loop();
  }

  /** Gives all rows up, so that others may claim them at once. */
  async stop(): Promise<void> {
    this.sharing?.leave(this);
    this.stopping.abort();
    await this.running;
    await Promise.all(this.gifts);
    const held = [...this.watches.values()].filter((watch) => watch.held !== undefined);
    await Promise.all(held.map((watch) => this.store.release(watch.held!)));
    for (const watch of held) watch.held = undefined;
  }

  *holdings(): Iterable<Holding> {
    const now = this.clock.monotonicMs();
    for (const { name, sharing, held, seen, seenSinceMs, giving } of this.watches.values()) {
      if (sharing === undefined) continue;
      const isHere = held !== undefined && !giving;
      // A standing beat is a dead owner; what is free, or on its way to another, is nobody's.
      const isAlive = seen !== undefined && now - seenSinceMs < this.leaseMs;
      yield {
        name,
        group: sharing.group,
        owner: isHere ? this.process : held === undefined && isAlive ? seen.owner : '',
      };
    }
  }

  give(name: string): boolean {
    const watch = this.watches.get(name);
    if (watch?.held === undefined || watch.giving || watch.sharing === undefined) return false;
    watch.giving = true;
    const gift = this.giveAway(watch, watch.sharing).finally(() => this.gifts.delete(gift));
    this.gifts.add(gift);
    return true;
  }

  private async giveAway(watch: Watch, sharing: Sharing): Promise<void> {
    try {
      const done = sharing.letGo();
      this.changed();
      await done;
    } catch (error) {
      this.logger.warn(`"${watch.name}" was given away before all was saved, which is done again: ${String(error)}`);
    }
    watch.giving = false;
    watch.leftUntilMs = this.clock.monotonicMs() + this.leaseMs;
    const { held } = watch;
    if (held === undefined) return; // lost meanwhile
    watch.held = undefined;
    watch.seen = undefined;
    try {
      await this.store.release(held);
    } catch (error) {
      this.logger.warn(`"${watch.name}" could not be given up; it is free when its lease is over: ${String(error)}`);
    }
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
    const moved = watch.seen?.epoch !== row?.epoch || watch.seen?.beat !== row?.beat;
    if (moved) {
      watch.seen = row;
      watch.seenSinceMs = now;
    }
    if (row !== undefined && row.owner !== '' && (moved || now - watch.seenSinceMs < this.leaseMs)) {
      watch.leavingSinceMs = undefined;
      return;
    }
    if (this.isLeft(watch, now)) return;
    const end = this.sharing?.claiming(watch.sharing?.group);
    try {
      const held = await this.store.claim(watch.name, this.process, row);
      if (held === undefined) return;
      watch.held = held;
    } finally {
      end?.();
    }
    this.changed();
  }

  /** Whether a free row is another's to take first. What nobody took for a lease is taken. */
  private isLeft(watch: Watch, now: number): boolean {
    if (now < watch.leftUntilMs) return true;
    if (watch.sharing === undefined || this.sharing?.leaves(watch.name, watch.sharing.group) !== true) {
      watch.leavingSinceMs = undefined;
      return false;
    }
    watch.leavingSinceMs ??= now;
    return now - watch.leavingSinceMs < this.leaseMs;
  }

  private forget(watch: Watch): void {
    watch.held = undefined;
    watch.seen = undefined;
    this.changed();
  }
}
