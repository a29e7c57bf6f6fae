/** The bench's instruments: time, collections, heap, allocations and promises. Needs `--expose-gc`. */
import { createHook } from 'node:async_hooks';
import { PerformanceObserver } from 'node:perf_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';

type Collector = (options?: { readonly type: 'minor' }) => void;

/** Nanoseconds since some fixed instant. */
export function now(): number {
  return Number(process.hrtime.bigint());
}

/**
 * A full collection also throws compiled code away: only `minor` ones stand between rounds, full ones before the heap is weighed.
 * @throws Error when Node was started without `--expose-gc`
 */
export function collect(kind: 'full' | 'minor'): void {
  const gc = (globalThis as { gc?: Collector }).gc;
  if (gc === undefined) throw new Error('The bench cannot collect garbage: start it through its npm scripts.');
  // Without options: a 'major' one asked for by name leaves most of the garbage where it is.
  if (kind === 'full') gc();
  else gc({ type: 'minor' });
}

export function heapMB(): number {
  return Math.round((process.memoryUsage().heapUsed / 1_048_576) * 10) / 10;
}

/** When collections ran, and how long they held the thread. */
export class GcWatch {
  private readonly entries: { readonly start: number; readonly ms: number }[] = [];
  private readonly observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) this.entries.push({ start: entry.startTime, ms: entry.duration });
  });

  constructor() {
    this.observer.observe({ entryTypes: ['gc'] });
  }

  /** The share of these windows of `performance.now()` that went into collections, 0 to 1. */
  async shareOf(windows: readonly (readonly [startMs: number, endMs: number])[]): Promise<number> {
    // Entries are delivered in turns of their own.
    for (let i = 0; i < 4; i++) await nextTurn();
    let total = 0;
    let collecting = 0;
    for (const [start, end] of windows) total += end - start;
    for (const { start, ms } of this.entries) {
      if (windows.some(([from, to]) => start >= from && start <= to)) collecting += ms;
    }
    return total === 0 ? 0 : collecting / total;
  }

  stop(): void {
    this.observer.disconnect();
  }
}

/** Bytes the heap grew by; undefined when a collection hid them. Buffers outside the heap do not count. */
export async function allocatedBy(work: () => unknown): Promise<number | undefined> {
  let collected = 0;
  const observer = new PerformanceObserver((list) => {
    collected += list.getEntries().length;
  });
  collect('minor');
  await nextTurn();
  observer.observe({ entryTypes: ['gc'] });
  const before = process.memoryUsage().heapUsed;
  const running = work();
  if (running instanceof Promise) await running;
  const bytes = process.memoryUsage().heapUsed - before;
  await nextTurn();
  observer.disconnect();
  return collected > 0 || bytes < 0 ? undefined : bytes;
}

/** Bytes of heap and of buffers that what `make` returns keeps alive. */
export async function retainedBy(make: () => unknown): Promise<number> {
  // In turns of their own: what the one before held may still be on the stack.
  await nextTurn();
  collect('full');
  const before = process.memoryUsage();
  const kept = await make();
  await nextTurn();
  collect('full');
  const after = process.memoryUsage();
  // Looked at once more, so that it lives until here.
  if (kept === null) throw new Error('There is nothing to weigh.');
  return after.heapUsed - before.heapUsed + (after.arrayBuffers - before.arrayBuffers);
}

/** How many promises `work` makes until it is done. */
export async function promisesOf(work: () => Promise<unknown>): Promise<number> {
  let made = 0;
  const hook = createHook({
    init: (_id, type) => {
      if (type === 'PROMISE') made++;
    },
  });
  hook.enable();
  const running = work();
  await running;
  hook.disable();
  return made;
}
