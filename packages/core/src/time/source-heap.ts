/**
 * Finds the least watermark of many sources that only grow. Keys are lower bounds: a source that moves is not touched
 * here unless it is the least, so a step costs nothing for the others and a logarithm for the one that holds.
 */

/** What the heap orders: `key` and `queued` are the heap's own. */
export interface Held {
  /** Its watermark: never less than before. */
  w: number;
  /** Whether it counts; one that does not leaves when it comes to the top. */
  counts: boolean;
  key: number;
  queued: boolean;
}

export class SourceHeap<T extends Held> {
  private readonly items: T[] = [];

  /** The top, whose key may be behind its watermark until `settle`. */
  get top(): T | undefined {
    return this.items[0];
  }

  add(item: T): void {
    if (item.queued) return; // its old key is still a lower bound
    item.queued = true;
    item.key = item.w;
    const { items } = this;
    let at = items.length;
    items.push(item);
    while (at > 0) {
      const above = (at - 1) >>> 1;
      if (items[above]!.key <= item.key) break;
      items[at] = items[above]!;
      at = above;
    }
    items[at] = item;
  }

  /** The source with the least watermark of all that count, or undefined when none does. */
  settle(): T | undefined {
    for (;;) {
      const top = this.items[0];
      if (top === undefined) return undefined;
      if (!top.counts) {
        top.queued = false;
        const last = this.items.pop()!;
        if (last !== top) this.sink(last);
      } else if (top.key < top.w) {
        top.key = top.w;
        this.sink(top);
      } else return top;
    }
  }

  /** Puts an item into the hole at the top. */
  private sink(item: T): void {
    const { items } = this;
    const length = items.length;
    let at = 0;
    for (;;) {
      let below = at * 2 + 1;
      if (below >= length) break;
      if (below + 1 < length && items[below + 1]!.key < items[below]!.key) below++;
      if (items[below]!.key >= item.key) break;
      items[at] = items[below]!;
      at = below;
    }
    items[at] = item;
  }
}
