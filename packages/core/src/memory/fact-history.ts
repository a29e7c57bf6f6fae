/**
 * One aggregate's history in key order: blocks of sorted facts. An event at the end costs one comparison; a late one
 * moves at most one block, so it costs the same in a history of a thousand events and of a million.
 */
import { CORRECTION } from '../model/correction.js';
import type { Fact } from '../model/event.js';
import { sameContent } from '../model/event.js';
import { compareIdentity, compareKey } from '../model/event-order.js';
import type { AppendOutcome, EventTimeRange } from '../ports/event-store.js';

/** Facts of one block at most: moving half of 512 pointers costs about as much as finding the block. */
const BLOCK_SIZE_MAX = 512;
const MOVED_BY_HAND_MAX = 64;
const JOINED_AT_ONCE = 10_000;

/** Lets a fact through, or not. */
export type FactFilter = (fact: Fact) => boolean;

export class FactHistory {
  /** Never empty; none but the only one is an empty block. */
  private readonly blocks: Fact[][];
  /** The last block, and the event time of its last fact: what nearly every event is compared with, one look away. */
  private tail: Fact[] = [];
  private lastTime = Number.NEGATIVE_INFINITY;
  private repeats: Map<Fact, number> | undefined;
  /** Recorded behind a later key, and corrections, in recorded order. */
  late: Fact[] | undefined;
  /** In key order. */
  corrections: Fact[] | undefined;

  constructor() {
    this.blocks = [this.tail];
  }

  /** Keeps a fact, unless the same content is known under its identity: then it is counted there. */
  add(fact: Fact): AppendOutcome {
    const { blocks, tail } = this;
    const { eventTime } = fact;
    if (
      eventTime > this.lastTime ||
      (eventTime === this.lastTime && compareIdentity(tail[tail.length - 1]!, fact) < 0)
    ) {
      this.lastTime = eventTime;
      if (tail.length < BLOCK_SIZE_MAX) tail.push(fact);
      else blocks.push((this.tail = [fact]));
      if ((fact.characteristics & CORRECTION) !== 0) this.note(fact);
      return 'recorded';
    }
    let b = this.blockOf(fact);
    let block = blocks[b]!;
    let i = lowerBound(block, fact);
    let outcome: AppendOutcome = 'recorded';
    // The end of a block and the start of the next are one place; look for the identity in the next one.
    if (i === block.length && b + 1 < blocks.length && compareIdentity(blocks[b + 1]![0]!, fact) === 0) {
      b += 1;
      block = blocks[b]!;
      i = 0;
    }
    if (i < block.length && compareIdentity(block[i]!, fact) === 0) {
      const same = this.sameAs(fact, b, i);
      if (same !== undefined) {
        this.repeats ??= new Map();
        this.repeats.set(same, (this.repeats.get(same) ?? 0) + 1);
        return 'repeated';
      }
      outcome = 'conflicting';
      // Contents of one identity stand in the order of their digests.
      while (compareKey(block[i]!, fact) < 0) {
        i += 1;
        if (i < block.length) continue;
        if (b + 1 === blocks.length || compareIdentity(blocks[b + 1]![0]!, fact) !== 0) break;
        b += 1;
        block = blocks[b]!;
        i = 0;
      }
    }
    insertAt(block, i, fact);
    if (block.length > BLOCK_SIZE_MAX) {
      blocks.splice(b + 1, 0, block.splice(block.length >>> 1));
      this.tail = blocks[blocks.length - 1]!;
    }
    this.note(fact);
    return outcome;
  }

  /** The two short lists beside the history: see `EventStore.readLate` and `readCorrections`. */
  private note(fact: Fact): void {
    (this.late ??= []).push(fact);
    if ((fact.characteristics & CORRECTION) === 0) return;
    const corrections = (this.corrections ??= []);
    let at = corrections.length;
    while (at > 0 && compareKey(corrections[at - 1]!, fact) > 0) at--;
    corrections.splice(at, 0, fact);
  }

  /** How often a fact of this history came again. */
  repeatsOf(fact: Fact): number {
    return this.repeats?.get(fact) ?? 0;
  }

  /** The facts of a range, in key order or its reverse: those behind `after`, at most `limit`. */
  slice(
    range: EventTimeRange | undefined,
    options: { descending: boolean; filter: FactFilter | undefined; after: Fact | undefined; limit: number },
  ): Fact[] {
    const { descending, filter, after, limit } = options;
    const { blocks } = this;
    if (range === undefined && filter === undefined && after === undefined && !descending) {
      if (blocks.length === 1 && blocks[0]!.length <= limit) return blocks[0]!.slice();
    }
    let [startBlock, start] = this.startOf(range);
    let [endBlock, end] = this.endOf(range);
    if (after !== undefined && descending) [endBlock, end] = this.place((fact) => compareKey(fact, after) < 0);
    if (after !== undefined && !descending) [startBlock, start] = this.place((fact) => compareKey(fact, after) <= 0);
    if (filter === undefined && !descending) return this.stretch(startBlock, start, endBlock, end, limit);
    const out: Fact[] = [];
    if (descending) {
      for (let b = endBlock; b >= startBlock; b--) {
        const block = blocks[b] ?? [];
        const first = b === startBlock ? start : 0;
        for (let i = (b === endBlock ? end : block.length) - 1; i >= first; i--) {
          const fact = block[i]!;
          if (filter !== undefined && !filter(fact)) continue;
          out.push(fact);
          if (out.length === limit) return out;
        }
      }
      return out;
    }
    for (let b = startBlock; b <= endBlock && b < blocks.length; b++) {
      const block = blocks[b]!;
      const last = b === endBlock ? end : block.length;
      for (let i = b === startBlock ? start : 0; i < last; i++) {
        const fact = block[i]!;
        if (!filter!(fact)) continue;
        out.push(fact);
        if (out.length === limit) return out;
      }
    }
    return out;
  }

  /** What stands between two places, at most `limit`: blocks are copied whole, not fact by fact. */
  private stretch(startBlock: number, start: number, endBlock: number, end: number, limit: number): Fact[] {
    const { blocks } = this;
    const parts: Fact[][] = [];
    let left = limit;
    for (let b = startBlock; b <= endBlock && b < blocks.length && left > 0; b++) {
      const block = blocks[b]!;
      const first = b === startBlock ? start : 0;
      const part = block.slice(first, Math.min(b === endBlock ? end : block.length, first + left));
      left -= part.length;
      parts.push(part);
    }
    return joined(parts);
  }

  private startOf(range: EventTimeRange | undefined): [number, number] {
    const from = range?.from;
    if (from === undefined) return [0, 0];
    return range?.fromExclusive === true
      ? this.place((fact) => fact.eventTime <= from)
      : this.place((fact) => fact.eventTime < from);
  }

  private endOf(range: EventTimeRange | undefined): [number, number] {
    const to = range?.to;
    if (to === undefined) return [this.blocks.length, 0];
    return range?.toExclusive === true
      ? this.place((fact) => fact.eventTime < to)
      : this.place((fact) => fact.eventTime <= to);
  }

  /** The first place whose fact is not `before`: block and index; (number of blocks, 0) when all are. */
  private place(before: FactFilter): [number, number] {
    const { blocks } = this;
    let low = 0;
    let high = blocks.length;
    // Most reads that begin within a history are of its end: what stands behind a snapshot.
    const tail = blocks[high - 1]!;
    if (tail.length > 0 && before(tail[0]!)) low = high - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const block = blocks[middle]!;
      if (block.length === 0 || before(block[block.length - 1]!)) low = middle + 1;
      else high = middle;
    }
    if (low === blocks.length) return [low, 0];
    const block = blocks[low]!;
    let first = 0;
    let last = block.length - 1;
    while (first < last) {
      const middle = (first + last) >>> 1;
      if (before(block[middle]!)) first = middle + 1;
      else last = middle;
    }
    return [low, first];
  }

  /** The last block that starts before the fact, or the first. Late events are mostly a little late: the last two are tried at once. */
  private blockOf(fact: Fact): number {
    const { blocks } = this;
    let high = blocks.length - 1;
    for (let tries = 0; tries < 2; tries++) {
      if (high === 0 || compareIdentity(blocks[high]![0]!, fact) < 0) return high;
      high -= 1;
    }
    let low = 0;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (compareIdentity(blocks[middle]![0]!, fact) < 0) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Looks through the contents of one identity, which may go on in the next block. */
  private sameAs(fact: Fact, b: number, i: number): Fact | undefined {
    for (; b < this.blocks.length; b++, i = 0) {
      const block = this.blocks[b]!;
      for (; i < block.length; i++) {
        const other = block[i]!;
        if (compareIdentity(other, fact) !== 0) return undefined;
        if (sameContent(other, fact)) return other;
      }
    }
    return undefined;
  }
}

/** Lists put together: by `concat`, which copies them whole; `flat` looks at each item and takes a hundred times as long. */
function joined(parts: readonly Fact[][]): Fact[] {
  let all: Fact[] = parts[0] ?? [];
  // So many at a time as may be arguments of one call.
  for (let i = 1; i < parts.length; i += JOINED_AT_ONCE) all = all.concat(...parts.slice(i, i + JOINED_AT_ONCE));
  return all;
}

/** Late ones are mostly a little late: moving a few by hand is quicker than a splice, which also makes a list of what it removed. */
function insertAt(block: Fact[], i: number, fact: Fact): void {
  const size = block.length;
  if (size - i > MOVED_BY_HAND_MAX) {
    block.splice(i, 0, fact);
    return;
  }
  block.push(fact);
  for (let k = size; k > i; k--) block[k] = block[k - 1]!;
  block[i] = fact;
}

/** The first index whose fact is not before the identity. */
function lowerBound(block: readonly Fact[], fact: Fact): number {
  const { eventTime } = fact;
  let low = 0;
  let high = block.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = block[middle]!;
    // Event times mostly decide: read once each.
    const time = other.eventTime;
    if (time < eventTime || (time === eventTime && compareIdentity(other, fact) < 0)) low = middle + 1;
    else high = middle;
  }
  return low;
}
