/** Lists of what is overdue, what is due later, and what was told and is out of date: read from the views, in any process. */
import type { AggregateKey } from '../model/event.js';
import { InvalidEventError, UnavailableError } from '../model/errors.js';
import type { IndexEntry, ViewStore } from '../ports/view-store.js';
import type { HandlerRunner } from '../processing/handler-runner.js';
import { timeOrder } from '../processing/persistent-queue.js';
import { SETTLEMENT_NOTES } from '../time/settlement.js';
import { DEADLINES, keyOf, OUTDATED, type AggregateParts, type Timer } from './rows.js';
import { SettlingName } from './settling-name.js';

export interface SettlingListOptions {
  /** `next` of the page before. */
  readonly after?: string;
  /** 1 to 1,000. Default 100. */
  readonly limit?: number;
}

/** A page of a list, and where to go on. */
export interface SettlingPage<T> {
  readonly items: readonly T[];
  /** Pass it as `after`; undefined when this was the last page. */
  readonly next: string | undefined;
  /** What the list is true of: event time up to which this name is settled, epoch milliseconds; null before anything. */
  readonly settledUpTo: number | null;
}

/** A deadline that is not met. Times are event times, epoch milliseconds. */
export interface OpenDeadline {
  readonly aggregate: AggregateKey;
  /** When it was, or is, due. */
  readonly due: number;
  /** When what began it happened. */
  readonly since: number;
}

/** What was handed over when it settled, has changed since, and nobody was told. */
export interface OutdatedItem {
  readonly aggregate: AggregateKey;
  /** `[from, to)` as it was handed over. */
  readonly from: number;
  readonly to: number;
  /** What was settled when the change was seen. */
  readonly settledUpTo: number;
}

abstract class SettlingLists {
  constructor(
    protected readonly views: ViewStore,
    private readonly runner: () => HandlerRunner | undefined,
  ) {}

  protected find(
    name: string,
    what: string,
    fits: (model: SettlingName) => boolean,
    limit = 100,
  ): readonly [SettlingName, number] {
    const runner = this.runner();
    if (runner === undefined) {
      throw new UnavailableError('SHUTTING_DOWN', 'The context is not initialised.', {
        fix: 'Ask after the application’s init.',
      });
    }
    const models = runner.models.filter((one) => one instanceof SettlingName).filter(fits);
    const model = models.find((one) => one.name === name);
    if (model === undefined) {
      throw new InvalidEventError('INVALID_ARGUMENT', `No ${what} is named "${name}".`, {
        fix: `Use one of: ${models.map((one) => one.name).join(', ') || '(there is none)'}.`,
      });
    }
    if (Number.isInteger(limit) && limit >= 1 && limit <= 1_000) return [model, limit];
    throw new InvalidEventError('INVALID_ARGUMENT', `The limit is ${limit}.`, { fix: 'Pass 1 to 1,000.' });
  }

  protected async settled(model: SettlingName): Promise<number | null> {
    const notes = await this.views.readNotes(model.view, SETTLEMENT_NOTES);
    return (notes.find(({ key }) => key === SETTLEMENT_NOTES)?.value ?? null) as number | null;
  }
}

/**
 * Lists deadlines. A deadline is overdue when it is due at or before what is settled: a pure function of the history and
 * of `settledUpTo`, whichever process reads it, whether somebody is told or not. A name that began at the feed's end knows of
 * aggregates that got an event since. Injectable per context.
 */
export class Deadlines extends SettlingLists {
  /** What is overdue, in the order in which it was due. @throws InvalidEventError `INVALID_ARGUMENT` (no deadline of that name, or the limit) */
  async overdue(name: string, options: SettlingListOptions = {}): Promise<SettlingPage<OpenDeadline>> {
    const [model, limit] = this.find(name, 'deadline', isDeadline, options.limit);
    const settledUpTo = await this.settled(model);
    if (settledUpTo === null) return { items: [], next: undefined, settledUpTo };
    return await this.page(model, options.after, limit, settledUpTo, timeOrder(settledUpTo + 1));
  }

  /** What is due later, in the order in which it is due. @throws InvalidEventError `INVALID_ARGUMENT` (no deadline of that name, or the limit) */
  async pending(name: string, options: SettlingListOptions = {}): Promise<SettlingPage<OpenDeadline>> {
    const [model, limit] = this.find(name, 'deadline', isDeadline, options.limit);
    const settledUpTo = await this.settled(model);
    const first = settledUpTo === null ? undefined : timeOrder(settledUpTo + 1);
    const { after = first } = options;
    return await this.page(
      model,
      first !== undefined && after !== undefined && after < first ? first : after,
      limit,
      settledUpTo,
      undefined,
    );
  }

  private async page(
    model: SettlingName,
    after: string | undefined,
    limit: number,
    settledUpTo: number | null,
    end: string | undefined,
  ): Promise<SettlingPage<OpenDeadline>> {
    const found = await this.views.readIndex(model.view, DEADLINES, '', {
      limit: limit + 1,
      ...(after === undefined ? {} : { after }),
    });
    const entries = end === undefined ? found : found.filter(({ order }) => order < end);
    return pageOf(entries, limit, settledUpTo, (value) => {
      const { aggregate, from, to } = value as unknown as Timer;
      return { aggregate: keyOf(aggregate), due: to, since: from };
    });
  }
}

/** Lists what was told by `@OnSettled` and changed while no `@OnCorrected` is declared. Injectable per context. */
export class SettledItems extends SettlingLists {
  /** What is out of date, by aggregate. @throws InvalidEventError `INVALID_ARGUMENT` (nothing settles under that name, or the limit) */
  async outdated(name: string, options: SettlingListOptions = {}): Promise<SettlingPage<OutdatedItem>> {
    const [model, limit] = this.find(name, '@OnSettled', (one) => !isDeadline(one), options.limit);
    const settledUpTo = await this.settled(model);
    const entries = await this.views.readIndex(model.view, OUTDATED, '', {
      limit: limit + 1,
      ...(options.after === undefined ? {} : { after: options.after }),
    });
    return pageOf(entries, limit, settledUpTo, (value) => {
      const {
        aggregate,
        from,
        to,
        settledUpTo: seen,
      } = value as unknown as Omit<OutdatedItem, 'aggregate'> & {
        readonly aggregate: AggregateParts;
      };
      return { aggregate: keyOf(aggregate), from, to, settledUpTo: seen };
    });
  }
}

function isDeadline({ settling }: SettlingName): boolean {
  return settling.kind === 'deadline';
}

function pageOf<T>(
  entries: readonly IndexEntry[],
  limit: number,
  settledUpTo: number | null,
  read: (value: unknown) => T,
): SettlingPage<T> {
  const shown = entries.slice(0, limit);
  return {
    items: shown.map(({ value }) => read(value)),
    next: entries.length > limit ? shown[shown.length - 1]!.order : undefined,
    settledUpTo,
  };
}
