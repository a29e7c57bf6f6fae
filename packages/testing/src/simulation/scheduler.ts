/**
 * Virtual time: what happens next is the least due event, and nothing else happens while it does. Between two events all
 * code of all simulated processes stands at an `await`, so an end there is a crash at that `await`.
 */
import { setImmediate } from 'node:timers/promises';

/** One run of one simulated process. What belongs to it comes only while it lives, and not while it is paused. */
export class Life {
  dead = false;
  paused = false;
  /** What came while it was paused. */
  readonly deferred: (() => void | Promise<void>)[] = [];
  /** Port calls it waits for, now and at most. */
  outstanding = 0;
  outstandingMax = 0;
  /** Senders' calls it works on, now and at most. */
  calls = 0;
  callsMax = 0;

  constructor(
    readonly name: string,
    readonly slot: number,
    readonly startedAtMs: number,
  ) {}

  called(): void {
    this.calls++;
    if (this.calls > this.callsMax) this.callsMax = this.calls;
  }
}

interface Due {
  readonly atMs: number;
  readonly order: number;
  readonly life: Life | undefined;
  readonly run: () => void | Promise<void>;
}

/** Steps after which the machine's own loop gets its turn: publishers hand on in it. */
const TURN_STEPS = 64;
const LEAP_MS = 20;

export class Scheduler {
  nowMs = 0;
  steps = 0;
  /** A binary heap by due time, then by order of planning. */
  private readonly heap: Due[] = [];
  private order = 0;

  /** Plans an event. One that belongs to a life is dropped when that ends, and waits while it is paused. */
  at(atMs: number, run: () => void | Promise<void>, life?: Life): void {
    const due: Due = { atMs: Math.max(atMs, this.nowMs), order: this.order++, life, run };
    const { heap } = this;
    let i = heap.length;
    heap.push(due);
    while (i > 0) {
      const parent = (i - 1) >>> 1;
      if (!before(due, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = due;
  }

  after(ms: number, run: () => void | Promise<void>, life?: Life): void {
    this.at(this.nowMs + ms, run, life);
  }

  /** Goes on from event to event until `done` says so or nothing is planned. */
  async run(done: () => boolean): Promise<void> {
    await settled();
    while (!done()) {
      // Before time leaps: what waits for the machine's own loop takes no virtual time.
      if (this.heap.length > 0 && this.heap[0]!.atMs - this.nowMs > LEAP_MS) await turns();
      const due = this.pop();
      if (due === undefined) return;
      this.nowMs = due.atMs;
      const { life } = due;
      if (life !== undefined) {
        if (life.dead) continue;
        if (life.paused) {
          life.deferred.push(due.run);
          continue;
        }
      }
      this.steps++;
      const running = due.run();
      if (running !== undefined) await running;
      await (this.steps % TURN_STEPS === 0 ? setImmediate() : settled());
    }
  }

  private pop(): Due | undefined {
    const { heap } = this;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
    return first;
  }
}

async function turns(): Promise<void> {
  for (let i = 0; i < 3; i++) await setImmediate();
}

function before(a: Due, b: Due): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** Resolves when every promise that can go on has gone on: the queue of ticks comes after all microtasks. */
function settled(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}
