/**
 * The auditor of one context: what is stored, beside what it should be. A whole audit compares store and feed, then each view
 * with the histories; a continuous one does the same at a low rate, round after round. Both rest between short pieces of work.
 */
import { aggregateKeyText } from '../model/event.js';
import { ConflictError, InvalidEventError } from '../model/errors.js';
import {
  Findings,
  type AuditFinding,
  type AuditProgress,
  type AuditReport,
  type ViewAuditCounts,
} from './audit-report.js';
import { AuditRound, FACTS_AN_AGGREGATE } from './audit-round.js';
import { auditStore } from './audit-store.js';
import { auditView, type ViewAuditOptions } from './audit-view.js';
import type { ProjectionModel } from './projection.js';
import type { ProjectionRunner, RunnerParts } from './projection-runner.js';
import type { Projections } from './projections.js';
import { Turns } from './rebuild.js';
import { wholeOf } from './shares.js';

export interface AuditOptions {
  /** Names of views; default all. An empty list audits the store alone. */
  readonly views?: readonly string[];
  /** Share of the aggregates whose histories and contributions are compared, above 0 up to 1. Rows are always compared whole. Default 1. */
  readonly sample?: number;
  /** Which share: another one for each whole number. Default 0. */
  readonly seed?: number;
  /** Puts right what can be. Default false: only tells. */
  readonly mend?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: AuditProgress) => void;
  /** Rest after every 15 ms of work, 0 to 1,000. Default 1 ms. */
  readonly pauseMs?: number;
}

export interface ContinuousAuditOptions {
  /** 1 to 10,000. Default 20. */
  readonly aggregatesPerSecond?: number;
  readonly mend?: boolean;
}

/** What a continuous audit has come to: fit for a health check. */
export interface AuditState {
  readonly running: boolean;
  /** Times it went round since the start. */
  readonly rounds: number;
  readonly aggregates: number;
  /** All it found. */
  readonly found: number;
  /** The last 100 of them. */
  readonly findings: readonly AuditFinding[];
  readonly lastError: string | undefined;
}

const PAUSE_MS = 1;
const KEPT = 100;
/** Where a continuous audit is: so that it goes round also over restarts. */
const CURSOR = 'audit';
const TICK_MS = 1_000;

export class Auditor {
  private stopping: AbortController | undefined;
  private running: Promise<void> | undefined;
  private rounds = 0;
  private aggregates = 0;
  private found = 0;
  private readonly kept: AuditFinding[] = [];
  private lastError: string | undefined;

  constructor(
    private readonly parts: RunnerParts,
    private readonly runner: ProjectionRunner,
    private readonly projections: Projections,
  ) {}

  /**
   * Compares everything, up to what is recorded when it begins. With `mend` a view's differences are put right by one commit of
   * its owner, which says them as changes, or where that cannot be by building the view anew; a fact that only feed or history
   * has is recorded again. A second audit then says whether it holds.
   * @throws InvalidEventError `INVALID_ARGUMENT`; what the stores throw. When `signal` aborts it answers with what it has, not `complete`.
   */
  async audit(options: AuditOptions = {}): Promise<AuditReport> {
    const { sample = 1, seed = 0, mend = false, pauseMs = PAUSE_MS } = options;
    if (!(sample > 0 && sample <= 1) || !Number.isSafeInteger(seed) || !(pauseMs >= 0 && pauseMs <= 1_000)) {
      throw new InvalidEventError(
        'INVALID_ARGUMENT',
        `An audit of ${sample} with seed ${seed}, resting ${pauseMs} ms.`,
        {
          fix: 'Give a sample above 0 up to 1, a whole seed, and pauseMs from 0 to 1,000.',
        },
      );
    }
    const models = this.modelsOf(options.views);
    const { clock, feed } = this.parts;
    const signal = options.signal ?? new AbortController().signal;
    const onProgress = options.onProgress ?? (() => undefined);
    const turns = new Turns(clock, pauseMs, signal);
    const findings = new Findings();
    const startedAt = clock.now();
    const upTo = await feed.end();
    const shared = { mend, sample, seed, signal, onProgress };
    const { facts, aggregates } = await auditStore(this.parts, upTo, shared, turns, findings);
    const views: ViewAuditCounts[] = [];
    for (const model of models) {
      if (signal.aborted) break;
      views.push(await auditView(this.parts, model, this.viewOptions(model, shared), turns, findings));
    }
    const { list, found } = findings;
    return {
      startedAt,
      endedAt: clock.now(),
      complete: !signal.aborted,
      position: upTo.toString(),
      facts,
      aggregates,
      views,
      findings: list,
      found,
    };
  }

  /**
   * Goes round the aggregates and the feed for ever, and says what it finds in the log and in `state`. Once; later calls do nothing.
   * Each aggregate's contributions are compared with its history, at most 50 facts of the feed are read for each; at the end of
   * a round store is compared with feed as far as both stood at its beginning, and rows and indexes with the contributions.
   * @throws InvalidEventError `INVALID_ARGUMENT`
   */
  start(options: ContinuousAuditOptions = {}): void {
    const { aggregatesPerSecond = 20, mend = false } = options;
    if (!Number.isInteger(aggregatesPerSecond) || aggregatesPerSecond < 1 || aggregatesPerSecond > 10_000) {
      throw new InvalidEventError('INVALID_ARGUMENT', `An audit of ${aggregatesPerSecond} aggregates a second.`, {
        fix: 'Give a whole number from 1 to 10,000.',
      });
    }
    if (this.stopping !== undefined) return;
    this.stopping = new AbortController();
    this.running = this.goRound(aggregatesPerSecond, mend, this.stopping.signal);
  }

  /** Ends a continuous audit; the next one goes on where it was. */
  async stop(): Promise<void> {
    this.stopping?.abort();
    await this.running;
    this.stopping = undefined;
    this.running = undefined;
  }

  /** Nest calls it at shutdown, before the stores close. */
  onModuleDestroy(): Promise<void> {
    return this.stop();
  }

  get state(): AuditState {
    return {
      running: this.stopping !== undefined,
      rounds: this.rounds,
      aggregates: this.aggregates,
      found: this.found,
      findings: [...this.kept],
      lastError: this.lastError,
    };
  }

  private async goRound(perSecond: number, mend: boolean, signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.parts;
    while (!signal.aborted) {
      await clock.sleep(TICK_MS, signal);
      if (signal.aborted) return;
      try {
        await this.tick(perSecond, mend, signal);
        this.lastError = undefined;
      } catch (error) {
        this.lastError = String(error);
        logger.warn(`The audit could not go on, trying again: ${this.lastError}`);
      }
    }
  }

  private async tick(perSecond: number, mend: boolean, signal: AbortSignal): Promise<void> {
    const { checkpoints, clock } = this.parts;
    const cursor = await checkpoints.read(CURSOR);
    const findings = new Findings();
    const turns = new Turns(clock, PAUSE_MS, signal);
    const round = await AuditRound.open(this.parts, cursor);
    const keys = await round.next(perSecond, turns, signal);
    await round.follow(perSecond * FACTS_AN_AGGREGATE, turns, signal);
    const shared = { mend, sample: 1, seed: 0, signal, onProgress: () => undefined };
    if (round.isOver && !signal.aborted) await round.judge(shared, turns, findings);
    for (const model of this.modelsOf(undefined)) {
      const options = this.viewOptions(model, shared);
      if (keys.length > 0) await auditView(this.parts, model, options, turns, findings, keys);
      if (round.isOver && !signal.aborted) await auditView(this.parts, model, options, turns, findings);
    }
    if (signal.aborted) return;
    this.take(findings);
    this.aggregates += keys.length;
    if (round.isOver) this.rounds++;
    try {
      await checkpoints.save(CURSOR, round.isOver ? '' : round.text, { epoch: 0, expected: cursor });
    } catch (error) {
      // Another process audits, too: both go on from where it is.
      if (!(error instanceof ConflictError)) throw error;
    }
  }

  private take(findings: Findings): void {
    this.found += findings.found;
    for (const one of findings.list) {
      this.kept.push(one);
      const { kind, view, aggregate, row, mended } = one;
      const what =
        row ?? (aggregate === undefined ? '' : aggregateKeyText(aggregate.tenant, aggregate.type, aggregate.id));
      this.parts.logger.error(
        `The audit found a difference (${kind}) in ${view === undefined ? 'the store' : `the view "${view}"`}: ${what}; mended: ${mended}.`,
      );
    }
    this.kept.splice(0, this.kept.length - KEPT);
  }

  private modelsOf(names: readonly string[] | undefined): readonly ProjectionModel[] {
    if (names === undefined) return this.runner.models.filter((model) => model.statistics !== true);
    return names.flatMap((name) => {
      const models = this.runner.models.filter((one) => wholeOf(one).name === name);
      if (models.length > 0) return models;
      throw new InvalidEventError('INVALID_ARGUMENT', `No projection of this context is named "${name}".`, {
        fix: `Known: ${this.projections.names.join(', ')}.`,
      });
    });
  }

  private viewOptions(model: ProjectionModel, shared: Omit<ViewAuditOptions, 'still' | 'rebuild'>): ViewAuditOptions {
    return {
      ...shared,
      still: (work) => this.runner.still(model.name, work),
      rebuild: () => this.projections.rebuild(wholeOf(model).name),
    };
  }
}
