/**
 * The facts of one in-memory log in recorded order, in blocks: one more costs the same in a log of a thousand and of a
 * million. One list of all would be copied whole whenever it grows, which took a third of an append.
 */
import type { Fact } from '../model/event.js';

const BLOCK_BITS = 10;
const BLOCK_SIZE = 1 << BLOCK_BITS;

export class RecordedFacts {
  private readonly blocks: Fact[][] = [];
  private last: Fact[] = [];
  /** Of the last block. */
  private used = BLOCK_SIZE;
  private before = 0;

  get length(): number {
    return this.before + this.used - BLOCK_SIZE;
  }

  push(fact: Fact): void {
    if (this.used === BLOCK_SIZE) {
      this.blocks.push((this.last = Array<Fact>(BLOCK_SIZE)));
      this.before += BLOCK_SIZE;
      this.used = 0;
    }
    this.last[this.used++] = fact;
  }

  /** From 0, below `length`. */
  at(ordinal: number): Fact {
    return this.blocks[ordinal >> BLOCK_BITS]![ordinal & (BLOCK_SIZE - 1)]!;
  }

  /** From `start` up to `end`, which is at most `length`. */
  slice(start: number, end: number): Fact[] {
    const parts: Fact[][] = [];
    for (let at = start; at < end;) {
      const first = at & (BLOCK_SIZE - 1);
      const count = Math.min(BLOCK_SIZE - first, end - at);
      parts.push(this.blocks[at >> BLOCK_BITS]!.slice(first, first + count));
      at += count;
    }
    return parts.length === 1 ? parts[0]! : ([] as Fact[]).concat(...parts);
  }
}
