/**
 * What a handler is about to be called for: read ahead, in order within each lane, at most one entry of a lane under way.
 * A lane is an aggregate, or the whole context where a handler takes one event at a time.
 */
import type { Entry } from './entry.js';

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
