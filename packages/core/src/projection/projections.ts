/** The projections of one context: their views, what is parked, and the audit that compares a view with its rebuild. */
import { canonicalJson } from '../model/canonical-json.js';
import { InvalidEventError } from '../model/errors.js';
import type { AggregateKey } from '../model/event.js';
import type { CheckpointStore } from '../ports/checkpoint-store.js';
import type { StoredRow, ViewRef, ViewStore } from '../ports/view-store.js';
import { Histories } from '../query/event-source.js';
import type { ProjectionModel } from './projection.js';
import { ProjectionRunner, type RunnerParts } from './projection-runner.js';
import { readReport, type RebuildReport } from './adoption.js';
import {
  currentView,
  generationOf,
  generationText,
  Generations,
  sameGeneration,
  viewRefOf,
  type Generation,
  type RebuildRequest,
} from './generations.js';
import { readProgress, type RebuildProgress } from './rebuild.js';
import { replay, type ReplayOptions } from './replay.js';
import { PARKED, type ParkedAggregate } from './track.js';
import { StoredView, type View } from './view.js';

/** A row in which a view and its rebuild differ; null where one has none. */
export interface ViewDifference {
  readonly key: string;
  readonly live: string | null;
  readonly rebuilt: string | null;
}

export interface ViewAudit {
  /** The position both stand at. */
  readonly position: string;
  readonly rows: number;
  /** At most 100. */
  readonly differences: readonly ViewDifference[];
}

/** A generation of a view that the store holds. */
export interface ViewGeneration extends Generation {
  /** `live`: it is read. `building`: it will be. `kept`: it was, or its building was given up; `Projections.drop` removes it. */
  readonly state: 'live' | 'building' | 'kept';
  readonly position: string | undefined;
}

/** An empty place to rebuild in; the in-memory provider makes one. */
export interface Scratch {
  readonly views: ViewStore;
  readonly checkpoints: CheckpointStore;
}

const DIFFERENCES_MAX = 100;

export class Projections {
  private readonly byName: ReadonlyMap<string, ProjectionModel>;
  private readonly kept: Generations;

  constructor(
    private readonly parts: RunnerParts,
    private readonly runner: ProjectionRunner,
    private readonly scratch: () => Scratch,
  ) {
    this.byName = new Map(runner.models.map((model) => [model.name, model]));
    this.kept = new Generations(parts.checkpoints, parts.views);
  }

  get names(): readonly string[] {
    return [...this.byName.keys()];
  }

  /** @throws InvalidEventError `INVALID_ARGUMENT` for a name that no projection of this context has */
  view<V extends object>(name: string): View<V> {
    return new StoredView<V>(this.model(name), {
      views: this.parts.views,
      checkpoints: this.parts.checkpoints,
      feed: this.parts.feed,
      clock: this.parts.clock,
      nextStep: () => this.runner.nextStep(),
      time: this.parts.time,
      replay: (options) => this.replay(name, options),
    });
  }

  private replay(name: string, options: ReplayOptions): Promise<readonly StoredRow[]> {
    const { store, registry, clock, feed } = this.parts;
    const histories = new Histories(store, registry, clock);
    const parts = { store, registry, histories, start: feed.start(), scratch: () => this.scratch().views };
    return replay(parts, this.model(name), options);
  }

  /** Whether this process runs the projection now; another may. */
  runsHere(name: string): boolean {
    return this.runner.runs(name);
  }

  /** Aggregates the projection could not handle, each with the error. Any process may ask. */
  async parked(name: string): Promise<readonly ParkedAggregate[]> {
    const notes = await this.parts.views.readNotes(await this.ref(name), PARKED);
    return notes.map((note) => note.value as unknown as ParkedAggregate);
  }

  /** Tries a parked aggregate (or all of them) again; resolves to how many were released. Works in the process that runs the projection. */
  retryParked(name: string, aggregate?: AggregateKey): Promise<number> {
    this.model(name);
    return this.runner.retryParked(name, aggregate);
  }

  /**
   * Has the view built anew, from all histories, beside the one that is read; when it stands where that one stands, all
   * processes go over to it, and its changes follow on those before. It is built where the projection runs, survives that
   * process, and takes over by itself: see `rebuilding` and `report`. One that is asked for already is what is answered.
   * @throws InvalidEventError `INVALID_ARGUMENT`, `LIMIT_EXCEEDED`
   */
  async rebuild(name: string): Promise<RebuildRequest> {
    const { version } = this.model(name);
    const request = await this.kept.request(name, version, this.parts.clock.now(), 'asked');
    await this.runner.lookNow();
    return request;
  }

  /** How far the next generation of a view is; undefined when none is built. Any process may ask. */
  async rebuilding(name: string): Promise<RebuildProgress | undefined> {
    const { version } = this.model(name);
    const request = await this.kept.requested(name);
    if (request === undefined || sameGeneration(request, await this.kept.read(name, version))) return undefined;
    return readProgress(this.parts, name, request);
  }

  /** What the switch to the generation that is read changed; undefined for the first one. */
  async report(name: string): Promise<RebuildReport | undefined> {
    return readReport(this.parts.views, await this.ref(name));
  }

  /** Every generation of the view that the store holds, in the order of versions. */
  async generations(name: string): Promise<readonly ViewGeneration[]> {
    const { version } = this.model(name);
    const live = await this.kept.read(name, version);
    const request = await this.kept.requested(name);
    const found: ViewGeneration[] = [];
    for (const one of (await this.parts.views.versions(name)).map(generationOf)) {
      const state = sameGeneration(one, live) ? 'live' : sameGeneration(one, request) ? 'building' : 'kept';
      found.push({ ...one, state, position: await this.parts.views.readCheckpoint(viewRefOf(name, one)) });
    }
    return found.sort((a, b) => a.version - b.version || a.generation - b.generation);
  }

  /**
   * Removes a generation that is no longer read. Who follows the view's changes and is still behind the switch must then begin anew.
   * @throws InvalidEventError `INVALID_ARGUMENT` for one that is read or built
   */
  async drop(name: string, generation: Generation): Promise<void> {
    const found = (await this.generations(name)).find((one) => sameGeneration(one, generation));
    if (found === undefined) return;
    if (found.state !== 'kept') {
      const reason = `The view "${name}" is ${found.state === 'live' ? 'read from' : 'being built as'} ${generationText(generation)}.`;
      throw new InvalidEventError('INVALID_ARGUMENT', reason, { fix: 'Drop what `generations` lists as kept.' });
    }
    await this.parts.views.drop(viewRefOf(name, generation));
  }

  private ref(name: string): Promise<ViewRef> {
    return currentView(this.parts.checkpoints, name, this.model(name).version);
  }

  /**
   * Builds the view from scratch, from the feed's start to where the live view stands, and compares all rows (law 6).
   * Reads the live rows after the rebuild: on a view that moves meanwhile, wait with `caughtUp` and stop recording first.
   */
  async audit(name: string): Promise<ViewAudit> {
    const model = this.model(name);
    const { views, checkpoints } = this.scratch();
    const live = await this.parts.views.readCheckpoint(await this.ref(name));
    const rebuild = new ProjectionRunner({ ...this.parts, views, checkpoints }, [model]);
    const end = live === undefined ? this.parts.feed.start() : this.parts.feed.parsePosition(live);
    try {
      await rebuild.start();
      await new StoredView(model, { ...this.parts, views, checkpoints, nextStep: () => rebuild.nextStep() }).caughtUp(
        { position: end },
        { timeoutMs: 3_600_000 },
      );
    } finally {
      await rebuild.stop();
    }
    return this.compare(model, views, live ?? end.toString());
  }

  private async compare(model: ProjectionModel, rebuilt: ViewStore, position: string): Promise<ViewAudit> {
    const liveRef = await this.ref(model.name);
    const scratchRef = viewRefOf(model.name, { version: model.version, generation: 0 });
    const differences: ViewDifference[] = [];
    const rows = new Map<string, string>();
    const each = async (views: ViewStore, ref: ViewRef, row: (key: string, text: string) => void): Promise<void> => {
      let after: string | undefined;
      for (;;) {
        const page = await views.findRows(ref, {
          limit: 1_000,
          ...(after === undefined ? {} : { from: after, fromExclusive: true }),
        });
        for (const one of page) row(one.key, canonicalJson({ fields: one.fields, contributors: one.contributors }));
        if (page.length < 1_000) return;
        after = page.at(-1)!.key;
      }
    };
    await each(rebuilt, scratchRef, (key, text) => rows.set(key, text));
    const count = rows.size;
    await each(this.parts.views, liveRef, (key, text) => {
      const other = rows.get(key);
      if (other !== text && differences.length < DIFFERENCES_MAX)
        differences.push({ key, live: text, rebuilt: other ?? null });
      rows.delete(key);
    });
    for (const [key, text] of rows)
      if (differences.length < DIFFERENCES_MAX) differences.push({ key, live: null, rebuilt: text });
    return { position, rows: count, differences };
  }

  private model(name: string): ProjectionModel {
    const model = this.byName.get(name);
    if (model !== undefined) return model;
    throw new InvalidEventError('INVALID_ARGUMENT', `No projection of this context is named "${name}".`, {
      fix: `Known: ${this.names.join(', ')}.`,
    });
  }
}
