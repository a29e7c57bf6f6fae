/** The snapshots of this process, by aggregate: the least lately used go when their states are more bytes than allowed. */
import type { Rung } from './snapshot-form.js';

/** Counted for each aggregate and each snapshot beside its text: keys, times, one fact. */
const ENTRY_BYTES = 256;
const RUNG_BYTES = 512;

export interface Ladder {
  /** The longest prefix first. Empty: there are none, as far as this process knows. */
  readonly rungs: readonly Rung[];
  /** How many events the history had when no snapshot of it could be laid; undefined when one could. */
  readonly barrenAt: number | undefined;
}

export class SnapshotCache {
  /** In order of use. */
  private readonly entries = new Map<string, { readonly ladder: Ladder; readonly bytes: number }>();
  private held = 0;
  /** Used last: it need not be moved to the end. */
  private newest: object | undefined;

  constructor(private readonly bytesMax: number) {}

  /** Bytes held: never more than allowed. */
  get bytes(): number {
    return this.held;
  }

  get(key: string): Ladder | undefined {
    const entry = this.entries.get(key);
    if (entry === undefined) return undefined;
    if (entry !== this.newest) {
      this.entries.delete(key);
      this.entries.set(key, entry);
      this.newest = entry;
    }
    return entry.ladder;
  }

  set(key: string, ladder: Ladder): void {
    this.delete(key);
    let bytes = ENTRY_BYTES;
    for (const rung of ladder.rungs) {
      bytes += RUNG_BYTES + rung.state.length + rung.last.content.length;
      for (const fact of rung.terminals) bytes += RUNG_BYTES + fact.content.length;
    }
    if (bytes > this.bytesMax) return;
    this.entries.set(key, { ladder, bytes });
    this.newest = undefined;
    this.held += bytes;
    for (const [oldest, entry] of this.entries) {
      if (this.held <= this.bytesMax) return;
      this.entries.delete(oldest);
      this.held -= entry.bytes;
    }
  }

  delete(key: string): void {
    const entry = this.entries.get(key);
    if (entry === undefined) return;
    this.entries.delete(key);
    this.held -= entry.bytes;
  }
}
