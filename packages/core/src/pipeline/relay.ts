/**
 * Publication is a reader of the feed with a checkpoint, never a second write: no order of crashes loses an event or invents
 * one. Stop 10 of the walk for other systems. The store waits for no relay.
 *
 *     publish page n · crash · start from the checkpoint before n · publish page n again: repeats, by their keys
 *
 * One process runs a relay at a time, by its owner row. A former owner that wakes up can still publish what it had read; that
 * repeats what its follower publishes anyway. So whoever drops repeats by their keys sees each event once, and those of
 * an aggregate in recorded order, whatever happened to the owners.
 */
import { ConflictError } from '../model/errors.js';
import type { Fact } from '../model/event.js';
import type { Position } from '../model/position.js';
import { parseProcessingId } from '../model/processing-id.js';
import type { CheckpointStore } from '../ports/checkpoint-store.js';
import type { Clock } from '../ports/clock.js';
import type { EventFeed } from '../ports/event-feed.js';
import type { LayerLogger } from '../ports/layer.js';
import { Ownership, type OwnershipOptions } from '../processing/ownership.js';
import type { RelayWork } from './relay-selection.js';

/** What a runner reads from, keeps its place in, and is named by. */
export interface RelayRunnerParts {
  readonly feed: EventFeed;
  readonly checkpoints: CheckpointStore;
  readonly clock: Clock;
  readonly logger: LayerLogger;
  /** A name no other process has. */
  readonly process: string;
}

/** How one relay is doing, as this process sees it. */
export interface RelayState {
  readonly name: string;
  /** `elsewhere`: another process runs it, or nobody yet · `failing`: the last call was refused, and is tried again. */
  readonly state: 'running' | 'failing' | 'elsewhere';
  /** Events published by this process, repeats included. */
  readonly published: number;
  /** Everything chosen before it is published; undefined while it runs elsewhere. */
  readonly position: Position | undefined;
  /**
   * How long ago the oldest event was recorded that it has read and not published, by the clock of this process; 0 when its last
   * look found the end of the feed. Undefined while it runs elsewhere.
   */
  readonly lagMs: number | undefined;
  /** Why it is failing. */
  readonly error: unknown;
}

/** Facts of one page, and so of one call of a relay. */
const PAGE = 1_000;
/** The checkpoint is saved after so many facts or so many milliseconds, whichever comes first: what a crash repeats at most. */
const SAVE_FACTS = 1_000;
const SAVE_MS = 250;
const IDLE_MS = 1_000;
const BACK_OFF_MS = 100;
const BACK_OFF_MAX_MS = 30_000;

class Running {
  readonly row: string;
  published = 0;
  position: Position | undefined = undefined;
  /** When the first event of the page in hand was recorded; undefined at the end of the feed. */
  waitingSinceMs: number | undefined = undefined;
  error: unknown = undefined;
  /** What is under way, until it is saved. */
  working: Promise<void> | undefined = undefined;

  constructor(readonly work: RelayWork) {
    this.row = relayRow(work.provider.name);
  }
}

/** The name of a relay's checkpoint and owner row. */
export function relayRow(name: string): string {
  return `relay/${name}`;
}

/** Runs the relays of one context whose owner rows this process holds. */
export class RelayRunner {
  private readonly relays: readonly Running[];
  private readonly ownership: Ownership;
  private readonly stopping = new AbortController();
  /** Aborted when an owner row was won or lost, and for good when all stops: one signal, since a lasting one would remember every wait. */
  private changed = new AbortController();
  private running: Promise<void>[] = [];

  constructor(
    private readonly parts: RelayRunnerParts,
    works: readonly RelayWork[],
    options: OwnershipOptions = {},
  ) {
    this.relays = works.map((work) => new Running(work));
    const { checkpoints, clock, logger, process } = parts;
    this.ownership = new Ownership(checkpoints, clock, logger, process, () => this.wake(), options);
    for (const relay of this.relays) {
      // `holds` says no more; what it published is saved then. What it throws is the loop's to tell.
      const letGo = (): Promise<void> => relay.working?.catch(() => undefined) ?? Promise.resolve();
      this.ownership.watch(relay.row, { group: relay.row, letGo });
    }
  }

  async start(): Promise<void> {
    if (this.relays.length === 0) return;
    // A new name starts where the feed stands now, whoever will own it.
    for (const relay of this.relays) await this.begin(relay);
    await this.ownership.start();
    this.running = this.relays.map((relay) => this.run(relay));
  }

  /** Finishes the call under way, saves how far it is, and gives the relays up. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.changed.abort();
    await Promise.all(this.running);
    await this.ownership.stop();
  }

  /** For health checks. */
  states(): RelayState[] {
    const now = this.parts.clock.now();
    return this.relays.map(({ work, row, published, position, waitingSinceMs = now, error }) => {
      const here = this.ownership.held(row) !== undefined;
      const state = !here ? 'elsewhere' : error === undefined ? 'running' : 'failing';
      const lagMs = here ? Math.max(0, now - waitingSinceMs) : undefined;
      return { name: work.provider.name, state, published, position: here ? position : undefined, lagMs, error };
    });
  }

  private wake(): void {
    const waited = this.changed;
    if (!this.stopping.signal.aborted) this.changed = new AbortController();
    waited.abort();
  }

  private async begin({ work, row }: Running): Promise<void> {
    if (work.provider.from !== 'end') return;
    const { checkpoints, feed } = this.parts;
    if ((await checkpoints.read(row)) !== undefined) return;
    try {
      await checkpoints.save(row, (await feed.end()).toString(), { epoch: 0 });
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error; // another process began it
    }
  }

  private holds(row: string, epoch: number): boolean {
    return !this.stopping.signal.aborted && this.ownership.held(row)?.epoch === epoch;
  }

  private async run(relay: Running): Promise<void> {
    const { clock, logger } = this.parts;
    let failures = 0;
    while (!this.stopping.signal.aborted) {
      const held = this.ownership.held(relay.row);
      if (held === undefined) {
        await clock.sleep(IDLE_MS, this.changed.signal);
        continue;
      }
      try {
        relay.working = this.runOwned(relay, held.epoch);
        await relay.working;
        failures = 0;
      } catch (error) {
        if (error instanceof ConflictError) {
          this.ownership.lost(relay.row);
          continue;
        }
        relay.error = error;
        const waitMs = backOff(failures++);
        logger.error(
          `The relay "${relay.work.provider.name}" could not be run, trying again in ${waitMs} ms: ${String(error)}`,
          error instanceof Error ? error.stack : undefined,
        );
        await clock.sleep(waitMs, this.stopping.signal);
      } finally {
        relay.working = undefined;
      }
    }
  }

  private async runOwned(relay: Running, epoch: number): Promise<void> {
    const { feed, checkpoints, clock } = this.parts;
    const { row, work } = relay;
    let saved = await checkpoints.read(row);
    let position = saved === undefined ? feed.start() : feed.parsePosition(saved);
    relay.position = position;
    relay.error = undefined;
    let unsaved = 0;
    let savedAtMs = clock.monotonicMs();
    const save = async (): Promise<void> => {
      const value = position.toString();
      if (value !== saved) await checkpoints.save(row, value, { epoch, expected: saved });
      saved = value;
      unsaved = 0;
      savedAtMs = clock.monotonicMs();
    };
    while (this.holds(row, epoch)) {
      const leftMs = SAVE_MS - (clock.monotonicMs() - savedAtMs);
      if (unsaved >= SAVE_FACTS || (unsaved > 0 && leftMs <= 0)) await save();
      const page = await feed.read(position, PAGE);
      const [oldest] = page.facts;
      if (oldest !== undefined) relay.waitingSinceMs = parseProcessingId(oldest.processingId).ms;
      if (page.facts.length === 0 && position.covers(page.next)) {
        relay.waitingSinceMs = undefined;
        await this.wait(position, unsaved > 0 ? leftMs : undefined);
        continue;
      }
      const facts = page.facts.filter((fact) => work.selection.wants(fact));
      if (facts.length > 0 && !(await this.publish(relay, epoch, facts))) break;
      position = page.next;
      relay.position = position;
      if (page.atEnd) relay.waitingSinceMs = undefined;
      unsaved += page.facts.length;
    }
    if (unsaved > 0 && this.ownership.rowOf(row)?.epoch === epoch) await save();
  }

  /** Until something is recorded; with a time, at most that long. */
  private async wait(position: Position, ms: number | undefined): Promise<void> {
    const { feed, clock } = this.parts;
    if (ms === undefined) return feed.wait(position, this.changed.signal);
    const over = new AbortController();
    const signal = AbortSignal.any([this.changed.signal, over.signal]);
    await Promise.race([feed.wait(position, signal), clock.sleep(Math.max(1, ms), signal)]);
    over.abort();
  }

  /** True when the other side has them; false when this process is to stop, or the relay another's. */
  private async publish(relay: Running, epoch: number, facts: readonly Fact[]): Promise<boolean> {
    const { clock, logger } = this.parts;
    for (let failures = 0; ; failures++) {
      try {
        await relay.work.relay.connect();
        await relay.work.relay.publish(facts);
        relay.published += facts.length;
        relay.error = undefined;
        return true;
      } catch (error) {
        relay.error = error;
        const waitMs = backOff(failures);
        if (failures % 10 === 0) {
          logger.warn(
            `The relay "${relay.work.provider.name}" could not publish ${facts.length} events, trying again in ${waitMs} ms: ${String(error)}`,
          );
        }
        await clock.sleep(waitMs, this.changed.signal);
        if (!this.holds(relay.row, epoch)) return false;
      }
    }
  }
}

function backOff(failures: number): number {
  return Math.min(BACK_OFF_MS * 2 ** Math.min(failures, 10), BACK_OFF_MAX_MS);
}
