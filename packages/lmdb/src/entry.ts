/** A fact as this package hands it round: with its place in the feed. */
import type { Fact } from '@concursus/core';
import { weightOfChunk, type FeedChunk } from './fact-chunk.js';

/** A fact with its place in the feed and its processing time: what an index needs to know of it. */
export class Entry {
  constructor(
    readonly fact: Fact,
    /** How many facts come before it in the feed. */
    readonly ordinal: number,
    readonly ms: number,
    readonly tick: number,
    /** Its place in its append. */
    readonly index: number,
    /** The process that recorded it. */
    readonly node: string,
  ) {}
}

/** The chunk that these facts were written in: nobody needs to decode it. */
export class WrittenChunk implements FeedChunk {
  readonly first: number;
  readonly count: number;
  readonly node: string;
  readonly ms: number[] = [];
  readonly tick: number[] = [];
  readonly index: number[] = [];
  readonly weight: number;

  constructor(
    private readonly entries: readonly Entry[],
    bytes: number,
  ) {
    this.first = entries[0]!.ordinal;
    this.node = entries[0]!.node;
    this.count = entries.length;
    this.weight = weightOfChunk(bytes, entries.length);
    for (const { ms, tick, index } of entries) {
      this.ms.push(ms);
      this.tick.push(tick);
      this.index.push(index);
    }
  }

  fact(k: number): Fact {
    return this.entries[k]!.fact;
  }
}
