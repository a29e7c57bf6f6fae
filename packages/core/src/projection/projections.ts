/** The projections of one context: their views, what is parked, and the audit that compares a view with its rebuild. */
import { canonicalJson } from '../model/canonical-json.js';
import { InvalidEventError } from '../model/errors.js';
import type { AggregateKey } from '../model/event.js';
import type { CheckpointStore } from '../ports/checkpoint-store.js';
import type { StoredRow, ViewStore } from '../ports/view-store.js';
import { Histories } from '../query/event-source.js';
import type { ProjectionModel } from './projection.js';
import { ProjectionRunner, type RunnerParts } from './projection-runner.js';
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

/** An empty place to rebuild in; the in-memory provider makes one. */
export interface Scratch {
  readonly views: ViewStore;
  readonly checkpoints: CheckpointStore;
}

const DIFFERENCES_MAX = 100;

export class Projections {
  private readonly byName: ReadonlyMap<string, ProjectionModel>;

  constructor(
    private readonly parts: RunnerParts,
    private readonly runner: ProjectionRunner,
    private readonly scratch: () => Scratch,
  ) {
    this.byName = new Map(runner.models.map((model) => [model.name, model]));
  }

  get names(): readonly string[] {
    return [...this.byName.keys()];
  }

  /** @throws InvalidEventError `INVALID_ARGUMENT` for a name that no projection of this context has */
  view<V extends object>(name: string): View<V> {
    return new StoredView<V>(this.model(name), {
      views: this.parts.views,
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
    const model = this.model(name);
    const notes = await this.parts.views.readNotes({ name, version: model.version, slice: -1 }, PARKED);
    return notes.map((note) => note.value as unknown as ParkedAggregate);
  }

  /** Tries a parked aggregate (or all of them) again; resolves to how many were released. Works in the process that runs the projection. */
  retryParked(name: string, aggregate?: AggregateKey): Promise<number> {
    this.model(name);
    return this.runner.retryParked(name, aggregate);
  }

  /**
   * Builds the view from scratch, from the feed's start to where the live view stands, and compares all rows (law 6).
   * Reads the live rows after the rebuild: on a view that moves meanwhile, wait with `caughtUp` and stop recording first.
   */
  async audit(name: string): Promise<ViewAudit> {
    const model = this.model(name);
    const { views, checkpoints } = this.scratch();
    const ref = { name, version: model.version, slice: -1 };
    const live = await this.parts.views.readCheckpoint(ref);
    const rebuild = new ProjectionRunner({ ...this.parts, views, checkpoints }, [model]);
    const end = live === undefined ? this.parts.feed.start() : this.parts.feed.parsePosition(live);
    try {
      await rebuild.start();
      await new StoredView(model, { ...this.parts, views, nextStep: () => rebuild.nextStep() }).caughtUp(
        { position: end },
        { timeoutMs: 3_600_000 },
      );
    } finally {
      await rebuild.stop();
    }
    return this.compare(model, views, live ?? end.toString());
  }

  private async compare(model: ProjectionModel, rebuilt: ViewStore, position: string): Promise<ViewAudit> {
    const ref = { name: model.name, version: model.version, slice: -1 };
    const differences: ViewDifference[] = [];
    const rows = new Map<string, string>();
    const each = async (views: ViewStore, row: (key: string, text: string) => void): Promise<void> => {
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
    await each(rebuilt, (key, text) => rows.set(key, text));
    const count = rows.size;
    await each(this.parts.views, (key, text) => {
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
