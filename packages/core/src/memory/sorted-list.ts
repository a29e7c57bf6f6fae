/**
 * A sorted list in blocks: an insert moves at most one block, so it costs the same in a list of a thousand and of a
 * million. The in-memory stores keep keys of rows, index entries and notes in it; histories have their own (fact-history.ts).
 */

/** Items of one block at most: moving half of 512 pointers costs about as much as finding the block. */
const BLOCK_SIZE_MAX = 512;

export class SortedList<T> {
  private blocks: T[][] = [];

  constructor(private readonly compare: (a: T, b: T) => number) {}

  get isEmpty(): boolean {
    return this.blocks.length === 0;
  }

  /** Inserts, or replaces what compares equal. */
  put(item: T): void {
    const { blocks } = this;
    if (blocks.length === 0) {
      blocks.push([item]);
      return;
    }
    const [b, i] = this.place((other) => this.compare(other, item) < 0);
    const block = blocks[b];
    if (block !== undefined && this.compare(block[i]!, item) === 0) {
      block[i] = item;
      return;
    }
    // Behind the last block's end: it belongs to that block.
    const at = block === undefined ? blocks.length - 1 : b;
    const target = blocks[at]!;
    target.splice(block === undefined ? target.length : i, 0, item);
    if (target.length > BLOCK_SIZE_MAX) blocks.splice(at + 1, 0, target.splice(target.length >>> 1));
  }

  /** Removes what compares equal; true when it was there. */
  remove(item: T): boolean {
    const [b, i] = this.place((other) => this.compare(other, item) < 0);
    const block = this.blocks[b];
    if (block === undefined || this.compare(block[i]!, item) !== 0) return false;
    block.splice(i, 1);
    if (block.length === 0) this.blocks.splice(b, 1);
    return true;
  }

  /** Items in order from the first for which `before` is false. `before` is true for a beginning of the list only. */
  *from(before: (item: T) => boolean): Generator<T, void, undefined> {
    let [b, i] = this.place(before);
    for (; b < this.blocks.length; b++, i = 0) {
      const block = this.blocks[b]!;
      for (; i < block.length; i++) yield block[i]!;
    }
  }

  /** Items in reverse order from the last for which `before` is true. */
  *backFrom(before: (item: T) => boolean): Generator<T, void, undefined> {
    const [b, i] = this.place(before);
    for (let block = b, at = i - 1; block >= 0; block--, at = (this.blocks[block]?.length ?? 0) - 1) {
      for (; at >= 0; at--) yield this.blocks[block]![at]!;
    }
  }

  /** The first place whose item is not `before`: block and index; (number of blocks, 0) when all are. */
  private place(before: (item: T) => boolean): [number, number] {
    const { blocks } = this;
    let low = 0;
    let high = blocks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const block = blocks[middle]!;
      if (before(block[block.length - 1]!)) low = middle + 1;
      else high = middle;
    }
    const block = blocks[low];
    if (block === undefined) return [low, 0];
    let first = 0;
    let last = block.length - 1;
    while (first < last) {
      const middle = (first + last) >>> 1;
      if (before(block[middle]!)) first = middle + 1;
      else last = middle;
    }
    return [low, first];
  }
}
