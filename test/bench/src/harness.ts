/**
 * Runs the sides of one case in turn, in many short rounds of one process. What disturbs the machine disturbs neighbours
 * alike, so the ratio of neighbouring rounds holds where absolute rates do not; its median over the rounds is the result.
 */
import type { BenchCase, CaseContext, CaseResult, RatioResult, Round, Side, SideResult, Spread } from './case.js';
import { CpuProfile, type Window } from './profile.js';
import { allocatedBy, collect, GcWatch, heapMB, now } from './measure.js';

export interface HarnessOptions {
  /** Rounds of each side that count. */
  readonly rounds: number;
  /** How long a round is to take, ms. */
  readonly roundMs: number;
  /** Warm-up of each side, ms of its own work: V8, and a server where there is one, has compiled what is hot by then. */
  readonly warmMs: number;
  /** A warm-up ends sooner where rounds take long to make ready: what is measured then is not compared with whole runs. */
  readonly quick: boolean;
  /** Only this side runs. */
  readonly side: string | undefined;
  /** Where to write a CPU profile of the rounds that count; undefined for none. */
  readonly profile: string | undefined;
}

/** Rounds of a warm-up: a side that is quick beyond measure ends there. */
const WARM_ROUNDS_MAX = 100;
/** So many times its own work a side may take to warm up in all, in a quick run and else: one whose rounds take long to make ready ends there. */
const WARM_READY_FACTOR = { quick: 5, whole: 100 };
/** No round grows beyond this: its input is made beforehand, and is to fit beside what is measured. */
const OPERATIONS_MAX = 40_000;
/**
 * What a round of ours may allocate: well within the young generation. Else one that allocates a little more than its
 * neighbour would have a collection of everything that both keep in each of its rounds, and the neighbour none. Peers go
 * on until their time is over: some grow slower with what they hold, and collections are part of what they cost.
 */
const ROUND_BYTES_MAX = 48 * 1_048_576;
/** A round of fewer operations cannot allocate so much. */
const ALLOCATING_MIN = 1_000;
const ALLOCATION_TRIES = 6;

class Lane {
  operations = 1;
  readonly rates: number[] = [];
  readonly windows: (readonly [startMs: number, endMs: number])[] = [];
  readonly windowsNs: Window[] = [];

  constructor(readonly side: Side) {}

  /** One round. @returns operations a second, and what it took in ns */
  async go(): Promise<{ readonly perSecond: number; readonly ns: number }> {
    const round: Round = await this.side.round(this.operations);
    collect('minor');
    const startMs = performance.now();
    const start = now();
    const running = round.run();
    if (running instanceof Promise) await running;
    const ns = Math.max(1, now() - start);
    this.windows.push([startMs, performance.now()]);
    this.windowsNs.push([start, start + ns]);
    await round.done?.();
    return { perSecond: (round.operations / ns) * 1e9, ns };
  }

  /** Finds how many operations fill a round, and warms up on the way. */
  async warm({ roundMs, warmMs, quick }: HarnessOptions): Promise<void> {
    let spent = 0;
    const end = performance.now() + warmMs * WARM_READY_FACTOR[quick ? 'quick' : 'whole'];
    for (let i = 0; i < WARM_ROUNDS_MAX && spent < warmMs * 1e6 && performance.now() < end; i++) {
      const { ns } = await this.go();
      spent += ns;
      const factor = Math.min(4, (roundMs * 1e6) / ns);
      this.operations = Math.max(1, Math.min(OPERATIONS_MAX, Math.round(this.operations * factor)));
    }
    if (this.side.part === 'ours' && this.operations >= ALLOCATING_MIN) {
      const bytes = await allocated(this.side, this.operations);
      if (bytes !== undefined) this.operations = Math.min(this.operations, Math.ceil(ROUND_BYTES_MAX / bytes));
    }
    this.windows.length = 0;
    this.windowsNs.length = 0;
  }
}

export async function runCase(one: BenchCase, context: CaseContext, options: HarnessOptions): Promise<CaseResult> {
  const sides = (await one.sides?.(context)) ?? [];
  const lanes = sides
    .filter((side) => options.side === undefined || side.name === options.side)
    .map((side) => new Lane(side));
  const watch = new GcWatch();
  for (const lane of lanes) await lane.warm(options);
  // Even: each goes there and back.
  const rounds = lanes.length === 0 ? 0 : Math.ceil(Math.min(options.rounds, one.rounds ?? options.rounds) / 2) * 2;
  const profile = options.profile === undefined ? undefined : new CpuProfile();
  await profile?.start();
  for (let r = 0; r < rounds; r++) {
    // There and back again, so that nobody always runs behind the same neighbour.
    const order = r % 2 === 0 ? lanes : [...lanes].reverse();
    for (const lane of order) lane.rates.push((await lane.go()).perSecond);
  }
  const windows = lanes.flatMap((lane) => lane.windowsNs).sort((a, b) => a[0] - b[0]);
  const top = await profile?.stop(options.profile!, windows);
  const results: SideResult[] = [];
  for (const lane of lanes) {
    const gcShare = await watch.shareOf(lane.windows);
    results.push({
      name: lane.side.name,
      part: lane.side.part,
      perSecond: spreadOf(lane.rates),
      gcShare,
      allocatedBytes: await allocated(lane.side, lane.operations),
    });
  }
  watch.stop();
  collect('full');
  const heap = heapMB();
  for (const side of sides) await side.close?.();
  return {
    id: one.id,
    operation: one.operation,
    sides: results,
    ratios: ratiosOf(one, lanes),
    counts: options.side === undefined ? ((await one.counts?.(context)) ?? {}) : {},
    values: options.side === undefined ? ((await one.values?.(context)) ?? {}) : {},
    heapMB: heap,
    rssMB: Math.round(process.resourceUsage().maxRSS / 1024),
    profile: top,
  };
}

/** The heap's growth over a round without a collection, divided by its operations; smaller rounds until there is none. */
async function allocated(side: Side, operations: number): Promise<number | undefined> {
  let size = Math.max(1, Math.min(operations, 10_000));
  for (let i = 0; i < ALLOCATION_TRIES; i++, size = Math.max(1, Math.floor(size / 3))) {
    const round = await side.round(size);
    const bytes = await allocatedBy(() => round.run());
    await round.done?.();
    if (bytes !== undefined) return Math.round(bytes / round.operations);
  }
  return undefined;
}

function ratiosOf(one: BenchCase, lanes: readonly Lane[]): RatioResult[] {
  const named = (name: string): Lane | undefined => lanes.find((lane) => lane.side.name === name);
  const ours = lanes.find((lane) => lane.side.part === 'ours');
  const pairs =
    one.compare ??
    lanes.filter((lane) => lane !== ours).map((lane) => [ours?.side.name ?? '', lane.side.name] as const);
  const found: RatioResult[] = [];
  for (const [of, to] of pairs) {
    const [above, below] = [named(of), named(to)];
    // A peer that is not installed has no lane.
    if (above === undefined || below === undefined) continue;
    found.push({ of, to, rounds: above.rates.length, ...spreadOf(pairedRatios(above.rates, below.rates)) });
  }
  return found;
}

/** One ratio a round there and back: whatever a side's place in the order does to it, it does the other way round in the next round. */
function pairedRatios(above: readonly number[], below: readonly number[]): number[] {
  const ratios: number[] = [];
  for (let r = 0; r + 1 < above.length; r += 2)
    ratios.push(Math.sqrt((above[r]! / below[r]!) * (above[r + 1]! / below[r + 1]!)));
  return ratios;
}

/** Median and quartiles. */
export function spreadOf(numbers: readonly number[]): Spread {
  const sorted = [...numbers].sort((a, b) => a - b);
  return { median: quantile(sorted, 0.5), p25: quantile(sorted, 0.25), p75: quantile(sorted, 0.75) };
}

/** Of sorted numbers, between neighbours in proportion. */
export function quantile(sorted: readonly number[], q: number): number {
  if (sorted.length === 0) return Number.NaN;
  const at = (sorted.length - 1) * q;
  const low = Math.floor(at);
  const above = sorted[Math.min(low + 1, sorted.length - 1)]!;
  return sorted[low]! + (above - sorted[low]!) * (at - low);
}
