/**
 * What a handler is about to be called for: read ahead, in order within each lane, at most one entry of a lane under way.
 * A lane is an aggregate, or the whole context where a handler takes one event at a time.
 */
import type { AggregateKey, Fact, WireValue } from '../model/event.js';
import type { Position } from '../model/position.js';
import type { Call } from './effect-plan.js';
import type { FactRef } from './fact-ref.js';

/** Where an entry comes from, and what is written when it is done with. */
export interface Origin {
  /** The entry is done, or parked and kept elsewhere from now on: it never comes from here again. */
  leave(entry: Entry, how: 'done' | 'parked'): void;
  /** What it keeps of a call that is done while others of the entry are not. */
  called(entry: Entry, key: string): void;
  /** What is handed over was made: it is kept with the entry, in the commit before the call. */
  prepared?(entry: Entry): void;
  /** Parked entries: it failed once more. */
  failedAgain?(entry: Entry, error: unknown): void;
}

/** What an entry is about: an event, a correction of one; or a part of a history that settled, was corrected after that, or is overdue no more. */
export type EntryKind = 'event' | 'correction' | 'settled' | 'corrected' | 'withdrawn';

/** One event, one correction, or one thing that settled, on its way to a handler. */
export interface Entry {
  /** The idempotency key of the event, or the key of the correction. */
  readonly key: string;
  readonly lane: string;
  readonly kind: EntryKind;
  readonly aggregate: AggregateKey;
  readonly aggregateText: string;
  readonly fact: FactRef;
  /** Persistent corrections: what is corrected. */
  readonly target: FactRef | undefined;
  readonly loaded: Fact | undefined;
  readonly characters: number;
  readonly origin: Origin;
  /** Its place in the origin's index, or ''. */
  readonly order: string;
  /** Reads for its meaning see the store up to here. */
  readonly upTo: () => Position;
  readonly late: number | undefined;
  /** Corrections from this processing id on came after its release. */
  before: string | undefined;
  /** Corrections above this processing id came after its release. */
  readonly known: string | undefined;
  /** What the plan of a consumer keeps with it, also while it is parked. */
  item?: WireValue | undefined;
  attempt: number;
  failures: number;
  /** What it comes to; undefined until that was looked up. */
  calls: readonly Call[] | undefined;
  /** Keys of its calls that are done. */
  readonly done: Set<string>;
}

interface Lane {
  readonly name: string;
  readonly entries: Entry[];
  state: 'ready' | 'busy' | 'waiting';
  dueMs: number;
}

export class EffectWindow {
  /** Entries not done, those under way included. */
  size = 0;
  /** Characters of their content. */
  characters = 0;
  private readonly lanes = new Map<string, Lane>();
  private ready: Lane[] = [];
  private readonly waiting = new Set<Lane>();

  push(entry: Entry): void {
    this.size++;
    this.characters += entry.characters;
    let lane = this.lanes.get(entry.lane);
    if (lane === undefined) {
      lane = { name: entry.lane, entries: [], state: 'ready', dueMs: 0 };
      this.lanes.set(entry.lane, lane);
      this.ready.push(lane);
    }
    lane.entries.push(entry);
  }

  /** The head of a lane that may go on; its lane is busy until `done`, `again` or `delay`. */
  next(nowMs: number): Entry | undefined {
    for (const lane of this.waiting) {
      if (lane.dueMs > nowMs) continue;
      this.waiting.delete(lane);
      this.makeReady(lane);
    }
    const lane = this.ready.shift();
    if (lane === undefined) return undefined;
    lane.state = 'busy';
    return lane.entries[0];
  }

  /** Removes the head of a lane; the next of it may go on. */
  done(entry: Entry): void {
    const lane = this.lanes.get(entry.lane)!;
    lane.entries.shift();
    this.forget(entry);
    if (lane.entries.length === 0) this.lanes.delete(lane.name);
    else this.makeReady(lane);
  }

  /** The head stays the head, and may go on at once. */
  again(entry: Entry): void {
    this.makeReady(this.lanes.get(entry.lane)!);
  }

  /** The head stays the head, and its lane waits. */
  delay(entry: Entry, dueMs: number): void {
    const lane = this.lanes.get(entry.lane)!;
    lane.state = 'waiting';
    lane.dueMs = dueMs;
    this.waiting.add(lane);
  }

  /** Takes out what waits for an aggregate in a lane, in order; not the head of a busy lane. */
  evict(laneName: string, aggregateText: string): Entry[] {
    const lane = this.lanes.get(laneName);
    if (lane === undefined) return [];
    const first = lane.state === 'busy' ? 1 : 0;
    const out = lane.entries.filter((entry, i) => i >= first && entry.aggregateText === aggregateText);
    if (out.length === 0) return out;
    const kept = lane.entries.filter((entry, i) => i < first || entry.aggregateText !== aggregateText);
    lane.entries.splice(0, lane.entries.length, ...kept);
    for (const entry of out) this.forget(entry);
    if (kept.length === 0) {
      this.lanes.delete(laneName);
      this.waiting.delete(lane);
      this.ready = this.ready.filter((other) => other !== lane);
    }
    return out;
  }

  has(laneName: string): boolean {
    return this.lanes.has(laneName);
  }

  /** When the next waiting lane may go on; undefined without one. */
  get nextDueMs(): number | undefined {
    let least: number | undefined;
    for (const { dueMs } of this.waiting) if (least === undefined || dueMs < least) least = dueMs;
    return least;
  }

  get isReady(): boolean {
    return this.ready.length > 0;
  }

  private makeReady(lane: Lane): void {
    lane.state = 'ready';
    this.ready.push(lane);
  }

  private forget(entry: Entry): void {
    this.size--;
    this.characters -= entry.characters;
  }
}
