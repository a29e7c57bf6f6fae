/** The projections of one context: their views, what is parked, and the audit that compares a view with its rebuild. */
import { canonicalJson } from '../model/canonical-json.js';
import { InvalidEventError } from '../model/errors.js';
import type { AggregateKey } from '../model/event.js';
import type { CheckpointStore } from '../ports/checkpoint-store.js';
import type { StoredRow, ViewRef, ViewStore } from '../ports/view-store.js';
import { Histories } from '../query/event-source.js';
import type { ProjectionModel } from './projection.js';
import { ProjectionRunner, type RunnerParts } from './projection-runner.js';
import { readReport, reportOf, type RebuildReport } from './adoption.js';
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
import { progressOf, readProgress, type RebuildProgress } from './rebuild.js';
import { replay, type ReplayOptions } from './replay.js';
import { PARKED, type ParkedAggregate } from './track.js';
import { SharedView } from './shared-view.js';
import { wholeOf } from './shares.js';
import { StoredView, type View, type ViewParts } from './view.js';

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
  /** Of a view that is kept in shares: which one. */
  readonly share?: number;
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
    this.byName = new Map(runner.models.map(wholeOf).map((model) => [model.name, model]));
    this.kept = new Generations(parts.checkpoints, parts.views);
  }

  get names(): readonly string[] {
    return [...this.byName.keys()];
  }

  /** @throws InvalidEventError `INVALID_ARGUMENT` for a name that no projection of this context has */
  view<V extends object>(name: string): View<V> {
    return this.stored<V>(name);
  }

  private stored<V extends object>(name: string): StoredView<V> {
    const parts: ViewParts = {
      views: this.parts.views,
      checkpoints: this.parts.checkpoints,
      feed: this.parts.feed,
      clock: this.parts.clock,
      nextStep: () => this.runner.nextStep(),
      time: this.parts.time,
      replay: (options) => this.replay(name, options),
    };
    const shares = this.sharesOf(name);
    return shares[0]!.share === undefined
      ? new StoredView<V>(this.model(name), parts)
      : new SharedView<V>(this.model(name), shares, parts);
  }

  /** What is run of a projection: itself, or its shares. */
  private sharesOf(name: string): readonly ProjectionModel[] {
    const whole = this.model(name);
    return this.runner.models.filter((model) => wholeOf(model) === whole);
  }

  private replay(name: string, options: ReplayOptions): Promise<readonly StoredRow[]> {
    const { store, registry, clock, feed } = this.parts;
    const histories = new Histories(store, registry, clock);
    const parts = { store, registry, histories, start: feed.start(), scratch: () => this.scratch().views };
    return replay(parts, this.model(name), options);
  }

  /** Whether this process runs the projection now, or one of its shares; another may. */
  runsHere(name: string): boolean {
    return this.sharesHere(name).length > 0;
  }

  /** Which shares of the view this process runs now, by index; a view that is one piece is its share 0. */
  sharesHere(name: string): readonly number[] {
    return this.sharesOf(name).flatMap((model, i) => (this.runner.runs(model.name) ? [i] : []));
  }

  /** Aggregates the projection could not handle, each with the error. Any process may ask. */
  async parked(name: string): Promise<readonly ParkedAggregate[]> {
    const notes = await this.ofShares(name, async (share) => this.parts.views.readNotes(await this.ref(share), PARKED));
    return notes.flat().map((note) => note.value as unknown as ParkedAggregate);
  }

  /** Where the generation that is read stands, of each share; undefined before its first commit. Any process may ask. */
  positions(name: string): Promise<readonly (string | undefined)[]> {
    return this.ofShares(name, async (share) => this.parts.views.readCheckpoint(await this.ref(share)));
  }

  /** Tries a parked aggregate (or all of them) again; resolves to how many were released. Works in the process that runs the projection. */
  async retryParked(name: string, aggregate?: AggregateKey): Promise<number> {
    const released = await this.ofShares(name, (share) => this.runner.retryParked(share.name, aggregate));
    return released.reduce((sum, one) => sum + one, 0);
  }

  private ofShares<T>(name: string, ask: (share: ProjectionModel) => Promise<T>): Promise<T[]> {
    return Promise.all(this.sharesOf(name).map(ask));
  }

  /**
   * Has the view built anew, from all histories, beside the one that is read; when it stands where that one stands, all
   * processes go over to it, and its changes follow on those before. It is built where the projection runs, survives that
   * process, and takes over by itself: see `rebuilding` and `report`. One that is asked for already is what is answered; of
   * a view that is kept in shares, which are built each by itself, that of the first.
   * @throws InvalidEventError `INVALID_ARGUMENT`, `LIMIT_EXCEEDED`
   */
  async rebuild(name: string): Promise<RebuildRequest> {
    const now = this.parts.clock.now();
    const [request] = await this.ofShares(name, (share) => this.kept.request(share.name, share.version, now, 'asked'));
    await this.runner.lookNow();
    return request!;
  }

  /** How far the next generation of a view is; undefined when none is built. Any process may ask. */
  async rebuilding(name: string): Promise<RebuildProgress | undefined> {
    const found = await this.ofShares(name, async (share) => {
      const request = await this.kept.requested(share.name);
      const live = await this.kept.read(share.name, share.version);
      return request === undefined || sameGeneration(request, live)
        ? undefined
        : readProgress(this.parts, share.name, request);
    });
    return progressOf(found);
  }

  /** What the switch to the generation that is read changed; undefined for the first one. Of a shared view, in partial rows. */
  async report(name: string): Promise<RebuildReport | undefined> {
    return reportOf(await this.ofShares(name, async (share) => readReport(this.parts.views, await this.ref(share))));
  }

  /** Every generation of the view that the store holds, in the order of versions; of each share, if it is kept in shares. */
  async generations(name: string): Promise<readonly ViewGeneration[]> {
    return (await this.ofShares(name, (share) => this.generationsOf(share))).flat();
  }

  private async generationsOf({ name, version, share }: ProjectionModel): Promise<readonly ViewGeneration[]> {
    const live = await this.kept.read(name, version);
    const request = await this.kept.requested(name);
    const found: ViewGeneration[] = [];
    for (const one of (await this.parts.views.versions(name)).map(generationOf)) {
      const state = sameGeneration(one, live) ? 'live' : sameGeneration(one, request) ? 'building' : 'kept';
      const position = await this.parts.views.readCheckpoint(viewRefOf(name, one));
      found.push({ ...one, state, position, ...(share === undefined ? {} : { share: share.index }) });
    }
    return found.sort((a, b) => a.version - b.version || a.generation - b.generation);
  }

  /**
   * Removes a generation that is no longer read. Who follows the view's changes and is still behind the switch must then begin anew.
   * @throws InvalidEventError `INVALID_ARGUMENT` for one that is read or built
   */
  async drop(name: string, generation: Generation): Promise<void> {
    const all = (await this.generations(name)).filter((one) => sameGeneration(one, generation));
    const found = all.find(({ state }) => state !== 'kept');
    if (found !== undefined) {
      const reason = `The view "${name}" is ${found.state === 'live' ? 'read from' : 'being built as'} ${generationText(generation)}.`;
      throw new InvalidEventError('INVALID_ARGUMENT', reason, { fix: 'Drop what `generations` lists as kept.' });
    }
    if (all.length > 0) await this.ofShares(name, (share) => this.parts.views.drop(viewRefOf(share.name, generation)));
  }

  private ref({ name, version }: ProjectionModel): Promise<ViewRef> {
    return currentView(this.parts.checkpoints, name, version);
  }

  /**
   * Builds the view from scratch, from the feed's start to where the live view stands, and compares all rows (law 6).
   * Reads the live rows after the rebuild: on a view that moves meanwhile, wait with `caughtUp` and stop recording first.
   */
  async audit(name: string): Promise<ViewAudit> {
    const model = this.model(name);
    const { views, checkpoints } = this.scratch();
    const { feed } = this.parts;
    const stands = await this.positions(name);
    const end = stands
      .map((text) => (text === undefined ? feed.start() : feed.parsePosition(text)))
      .reduce((one, other) => one.join(other));
    const rebuild = new ProjectionRunner({ ...this.parts, views, checkpoints }, [model]);
    const rebuilt = new StoredView<object>(model, {
      ...this.parts,
      views,
      checkpoints,
      nextStep: () => rebuild.nextStep(),
    });
    try {
      await rebuild.start();
      await rebuilt.caughtUp({ position: end }, { timeoutMs: 3_600_000 });
    } finally {
      await rebuild.stop();
    }
    return this.compare(model, rebuilt, end.toString());
  }

  private async compare(model: ProjectionModel, rebuilt: StoredView<object>, position: string): Promise<ViewAudit> {
    const live = this.stored<object>(model.name);
    const differences: ViewDifference[] = [];
    const rows = new Map<string, string>();
    const each = async (view: typeof rebuilt, row: (key: string, text: string) => void): Promise<void> => {
      let after: string | undefined;
      for (;;) {
        const range = after === undefined ? {} : { from: after, fromExclusive: true };
        const { rows: page } = await view.findStored({ ...range, limit: 1_000 });
        for (const one of page) row(one.key, canonicalJson({ fields: one.fields, contributors: one.contributors }));
        if (page.length < 1_000) return;
        after = page.at(-1)!.key;
      }
    };
    await each(rebuilt, (key, text) => rows.set(key, text));
    const count = rows.size;
    await each(live, (key, text) => {
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
