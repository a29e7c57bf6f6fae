/** How far event time is settled before each place of the log: what sources have said by then, by plain rules. */
import type { Plan } from './plan.js';
import { EPOCH_MS } from './sim-clock.js';
import type { Entry } from './truth.js';

const NEVER = Number.NEGATIVE_INFINITY;
/** What is later than the clock that recorded it by more than this moves nothing. */
export const SKEW_MS = 60_000;

/** `silent`: only events that are ahead of the clock came. */
interface Source {
  state: 'silent' | 'active' | 'retired';
  reached: number;
}

export class Tide {
  /** By place: settled by what stands before it. */
  private readonly settled = [NEVER];
  private readonly sources = new Map<string, Source>();
  private greatest = NEVER;

  constructor(
    private readonly log: readonly Entry[],
    private readonly time: Plan['time'],
  ) {}

  /** Virtual milliseconds; -Infinity while nothing settles. It never falls. */
  before(place: number): number {
    while (this.settled.length <= place) this.take(this.log[this.settled.length - 1]!);
    return this.settled[place]!;
  }

  /** The places at which exactly this was settled, first and last; undefined when it never was. */
  placesOf(settled: number): readonly [number, number] | undefined {
    this.before(this.log.length);
    const first = this.settled.indexOf(settled);
    return first < 0 ? undefined : [first, this.settled.lastIndexOf(settled)];
  }

  private take({ draft, processedAtMs }: Entry): void {
    const last = this.settled.at(-1)!;
    const time = draft.kind === 'correction' ? Math.min(draft.target.time, draft.time ?? Infinity) : draft.time;
    if (EPOCH_MS + time <= processedAtMs + SKEW_MS) {
      const source = this.sourceOf(draft.stream, draft.kind !== 'correction');
      const reached = time - this.time.boundMs - 1;
      if (draft.kind === 'event') {
        if (source!.state === 'retired' || (source!.state === 'silent' && this.time.joins)) reach(source!, last);
        source!.state = 'active';
        reach(source!, reached);
        this.greatest = Math.max(this.greatest, time);
      } else if (draft.kind === 'marker') {
        if (draft.says === 'retire') source!.state = 'retired';
        else if (source!.state === 'silent') {
          if (this.time.joins) reach(source!, last);
          source!.state = 'active';
        }
        reach(source!, draft.says === 'heartbeat' ? reached : time);
      } else if (source?.state === 'active') reach(source, reached);
    }
    const all = [...this.sources.values()];
    const active = all.filter(({ state }) => state === 'active').map((source) => source.reached);
    const now =
      active.length > 0 ? Math.min(...active) : all.some(({ state }) => state === 'retired') ? this.greatest : NEVER;
    this.settled.push(Math.max(last, now));
  }

  private sourceOf(stream: string, make: boolean): Source | undefined {
    let source = this.sources.get(stream);
    if (source === undefined && make) this.sources.set(stream, (source = { state: 'silent', reached: NEVER }));
    return source;
  }
}

function reach(source: Source, time: number): void {
  source.reached = Math.max(source.reached, time);
}
