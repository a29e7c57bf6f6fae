/** The generations of one projection as this process knows them: which is read, which is asked for, and what is under way here. */
import type { OwnerRow } from '../ports/checkpoint-store.js';
import { Generations, sameGeneration, type Generation, type RebuildRequest } from './generations.js';
import type { ProjectionModel } from './projection.js';
import type { Track } from './track.js';

/** Work beside the loop. */
export interface Task {
  readonly stop: AbortController;
  readonly done: Promise<void>;
}

export class Lineage {
  /** Building from the histories; then `built` waits for the loop. */
  build: (Task & { readonly owner: OwnerRow }) | undefined;
  built: Track | undefined;
  /** Taking over: neither of both is in the loop meanwhile. */
  switching: (Task & { readonly live: Track | undefined }) | undefined;
  /** After trouble, the next generation is left alone until then, by the monotonic clock. */
  resumeAtMs: number | undefined;
  failures = 0;
  /** Owner rows of its generations that this process holds or watches. */
  readonly watched = new Set<string>();

  constructor(
    readonly model: ProjectionModel,
    public live: Generation,
    private readonly generations: Generations,
    public request: RebuildRequest | undefined = undefined,
  ) {}

  /** Whether this process has the code of the view that is read. */
  get own(): boolean {
    return this.live.version === this.model.version;
  }

  /** What is to be built, if this process has the code for it. */
  get next(): RebuildRequest | undefined {
    const { request, model, live } = this;
    return request?.version === model.version && !sameGeneration(request, live) ? request : undefined;
  }

  /** Reads what is read and asked for, and ends a switch that was decided and not made. True when something is new. */
  async look(): Promise<boolean> {
    const { name, version } = this.model;
    for (;;) {
      const live = await this.generations.read(name, version);
      const heir = await this.generations.retiredFor(name, live);
      if (heir !== undefined) {
        await this.generations.follow(name, live, heir);
        continue;
      }
      const request = await this.generations.requested(name);
      const same = sameGeneration(live, this.live) && sameGeneration(request, this.request);
      this.live = live;
      this.request = request;
      return !same;
    }
  }
}
