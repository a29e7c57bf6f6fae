/**
 * How the names of one context (views, handlers, relays) are spread over its processes. Nobody decides for all: a process
 * that has less than others asks for names, one at a time; who holds them and has more finishes what it does and gives them up.
 *
 *   newcomer: reads who holds what … asks for b, d        … sees b and d free, claims them, ends its asking
 *   owner:    holds a, b, c, d     … reads what is asked … saves, gives up b and d
 *
 * What is asked stands in one owner row, so that one process asks at a time and a dead one does not ask for ever. Every move
 * makes shares more alike: first those of a group (the shares of one view), then those of all, so it comes to rest with
 * processes at most one name apart. Nothing here is needed for truth: the epochs of owner rows refuse whoever is wrong.
 */
import type { CheckpointStore, OwnerRow } from '../ports/checkpoint-store.js';
import type { Clock } from '../ports/clock.js';
import type { LayerLogger } from '../ports/layer.js';
import { ConflictError } from '../model/errors.js';

/** The lease of all owner rows unless an option says otherwise: a dead owner is replaced within 3 s. */
const LEASE_MS = 2_000;
const BEAT_MS = 400;

/** A short lease needs more beats: of five, four may be late. */
export function leaseOf(options: FairSharesOptions): Required<FairSharesOptions> {
  const leaseMs = options.leaseMs ?? LEASE_MS;
  return { leaseMs, beatMs: options.beatMs ?? Math.min(BEAT_MS, leaseMs / 5) };
}

/** A name that could be run here, and who runs it: a process, or `''` while it is nobody's. */
export interface Holding {
  readonly name: string;
  readonly group: string;
  readonly owner: string;
}

/** Where names are held: `Ownership`. */
export interface Holder {
  holdings(): Iterable<Holding>;
  /** Begins to give a name up; false when it is not held here. */
  give(name: string): boolean;
}

/** The lease of the context's owner rows. */
export interface FairSharesOptions {
  readonly leaseMs?: number;
  readonly beatMs?: number;
}

/** The owner row in which one process says what it asks for. */
const ASKING = 'fair-shares';
/** Names asked for at once. */
const NAMES_MAX = 16;
/** Who asked in vain (the owner runs other code, or is busy with long calls) asks again after so many leases. */
const REST_LEASES = 4;

interface Asked {
  readonly process: string;
  readonly names: ReadonlySet<string>;
}

/** How many names each process holds, in all and of each group. */
class Counts {
  private readonly all = new Map<string, number>();
  private readonly ofGroup = new Map<string, number>();

  add(owner: string, group: string, count: number): void {
    this.all.set(owner, (this.all.get(owner) ?? 0) + count);
    const key = `${group}\u0000${owner}`;
    this.ofGroup.set(key, (this.ofGroup.get(key) ?? 0) + count);
  }

  move(from: string, to: string, group: string): void {
    this.add(from, group, -1);
    this.add(to, group, 1);
  }

  get owners(): Iterable<string> {
    return this.all.keys();
  }

  /** How much more alike a move would make them; 0 when it would not. Those of the group count first. */
  gain(from: string, to: string, group: string): number {
    const inGroup = (this.ofGroup.get(`${group}\u0000${from}`) ?? 0) - (this.ofGroup.get(`${group}\u0000${to}`) ?? 0);
    const inAll = (this.all.get(from) ?? 0) - (this.all.get(to) ?? 0);
    if (inGroup >= 2) return 1_000_000 * inGroup + inAll;
    return inGroup === 1 && inAll >= 2 ? inAll : 0;
  }
}

/** One process's part in sharing the names of a context out. */
export class FairShares {
  private readonly holders = new Set<Holder>();
  /** Claims under way, by group. */
  private readonly claims = new Map<string, number>();
  private seen: OwnerRow | undefined;
  private seenSinceMs = Number.NEGATIVE_INFINITY;
  /** What another process asks for now. */
  private asked: Asked | undefined;
  private asking: { row: OwnerRow; readonly names: ReadonlySet<string>; readonly sinceMs: number } | undefined;
  private restUntilMs = Number.NEGATIVE_INFINITY;
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
    options: FairSharesOptions = {},
  ) {
    ({ leaseMs: this.leaseMs, beatMs: this.beatMs } = leaseOf(options));
  }

  join(holder: Holder): void {
    this.holders.add(holder);
  }

  leave(holder: Holder): void {
    this.holders.delete(holder);
  }

  /** Asks and answers from now on; call when all that this process could run is known. */
  start(): void {
    this.running ??= this.loop();
  }

  /** Asks for nothing more, and gives nothing. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
    const row = this.asking?.row;
    this.asking = undefined;
    if (row !== undefined) await this.store.release(row);
  }

  /** Counts a claim while it is under way; the answer ends it. */
  claiming(group: string | undefined): () => void {
    if (group === undefined) return () => undefined;
    this.claims.set(group, (this.claims.get(group) ?? 0) + 1);
    return () => this.claims.set(group, this.claims.get(group)! - 1);
  }

  /** Whether a free name is better left to another process, for a while. */
  leaves(name: string, group: string): boolean {
    if (this.asked?.names.has(name) === true) return true;
    const counts = this.counts();
    counts.add(this.process, group, 1);
    for (const owner of counts.owners)
      if (owner !== this.process && counts.gain(this.process, owner, group) > 0) return true;
    return false;
  }

  private *holdings(): Iterable<Holding & { readonly holder: Holder }> {
    for (const holder of this.holders) for (const holding of holder.holdings()) yield { ...holding, holder };
  }

  private counts(): Counts {
    const counts = new Counts();
    for (const { owner, group } of this.holdings()) if (owner !== '') counts.add(owner, group, 1);
    for (const [group, count] of this.claims) if (count > 0) counts.add(this.process, group, count);
    return counts;
  }

  private async loop(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      try {
        await this.look();
      } catch (error) {
        this.logger.warn(`What processes ask for could not be read, trying again: ${String(error)}`);
      }
      await this.clock.sleep(this.beatMs, this.stopping.signal);
    }
  }

  private async look(): Promise<void> {
    if (this.holders.size === 0) return;
    const row = await this.store.readOwner(ASKING);
    const now = this.clock.monotonicMs();
    if (this.asking !== undefined) return this.goOnAsking(this.asking, now);
    const moved = this.seen?.epoch !== row?.epoch || this.seen?.beat !== row?.beat;
    if (moved) this.seenSinceMs = now;
    this.seen = row;
    const isAsked = row !== undefined && row.owner !== '' && (moved || now - this.seenSinceMs < this.leaseMs);
    this.asked = isAsked ? askedIn(row.owner) : undefined;
    if (this.asked !== undefined) this.answer(this.asked);
    if (isAsked || now < this.restUntilMs) return;
    const names = this.wanted();
    if (names.length === 0) return;
    const claimed = await this.store.claim(ASKING, JSON.stringify([this.process, names]), row);
    if (claimed !== undefined) this.asking = { row: claimed, names: new Set(names), sinceMs: now };
  }

  private async goOnAsking(asking: NonNullable<FairShares['asking']>, now: number): Promise<void> {
    let open = 0;
    for (const { name, owner } of this.holdings()) if (owner !== this.process && asking.names.has(name)) open++;
    try {
      if (open > 0 && now - asking.sinceMs < this.leaseMs) {
        asking.row = await this.store.renew(asking.row);
        return;
      }
      await this.store.release(asking.row);
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error; // another took it to be dead
    }
    this.asking = undefined;
    this.seen = undefined;
    if (open === asking.names.size) this.restUntilMs = now + REST_LEASES * this.leaseMs;
  }

  /** Names that would be better here, each from whoever has most. */
  private wanted(): string[] {
    const counts = this.counts();
    const held = [...this.holdings()].filter(({ owner }) => owner !== '' && owner !== this.process);
    const names: string[] = [];
    while (names.length < NAMES_MAX) {
      let best = 0;
      let at = -1;
      for (let i = 0; i < held.length; i++) {
        const gain = counts.gain(held[i]!.owner, this.process, held[i]!.group);
        if (gain > best) [best, at] = [gain, i];
      }
      if (at === -1) break;
      const [one] = held.splice(at, 1);
      counts.move(one!.owner, this.process, one!.group);
      names.push(one!.name);
    }
    return names;
  }

  private answer({ process, names }: Asked): void {
    const counts = this.counts();
    for (const { name, group, owner, holder } of [...this.holdings()]) {
      if (owner !== this.process || !names.has(name) || counts.gain(this.process, process, group) === 0) continue;
      if (!holder.give(name)) continue;
      counts.move(this.process, process, group);
      this.logger.log(`"${name}" is given to another process, which has less to do.`);
    }
  }
}

function askedIn(text: string): Asked | undefined {
  try {
    const [process, names] = JSON.parse(text) as [string, string[]];
    return { process, names: new Set(names) };
  } catch {
    return undefined; // written by another version
  }
}
