/** Bare part: a change needs its reason in the same commit. A sorted list in blocks of 512: the quickest known for late events at every length. */
import type { LampRecord } from '../model.js';
import { before, insertSorted } from './sorted-map.js';

const BLOCK = 512;

export class BlockedArray {
  private readonly blocks: LampRecord[][] = [[]];
  size = 0;

  /** @returns false for a second event of the same identity */
  insert(event: LampRecord): boolean {
    const { blocks } = this;
    let b = blocks.length - 1;
    const last = blocks[b]!;
    if (last.length === 0 || before(last[last.length - 1]!, event) < 0) {
      if (last.length >= BLOCK) blocks.push([event]);
      else last.push(event);
      this.size++;
      return true;
    }
    let low = 0;
    while (low < b) {
      const middle = (low + b) >>> 1;
      const block = blocks[middle]!;
      if (before(block[block.length - 1]!, event) < 0) low = middle + 1;
      else b = middle;
    }
    const block = blocks[low]!;
    if (!insertSorted(block, event)) return false;
    if (block.length > 2 * BLOCK) blocks.splice(low + 1, 0, block.splice(BLOCK));
    this.size++;
    return true;
  }
}
