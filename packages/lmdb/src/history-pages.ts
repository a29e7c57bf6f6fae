/**
 * One history of the log as readers get it: what they asked for, conflicting contents in digest order, whole at once or page
 * by page. Nothing in it waits, and it is no generator: most histories are one page, and a generator's promises cost more.
 */
import {
  compareIdentity,
  Fact,
  InvalidEventError,
  OrdinalPosition,
  parseProcessingId,
  ReadyPages,
} from '@concursus/core';
import type { AggregateKey, ReadOptions } from '@concursus/core';
import type { Entry } from './entry.js';
import type { FactLog } from './fact-log.js';
import type { Span } from './history-index.js';

const PAGE_SIZE = 1_000;
const PAGE_SIZE_MAX = 10_000;
/** Characters of content in a page, about: a page of large facts is shorter. */
const PAGE_CHARACTERS_MAX = 4 * 1_048_576;

/** What one read lets through, worked out once. */
export interface Filter {
  readonly names: ReadonlySet<string> | undefined;
  readonly knownMs: number;
  readonly knownTick: number;
  readonly before: number;
  readonly withRepeats: boolean;
}

export function filterOf(options: ReadOptions): Filter {
  return {
    names: options.names === undefined ? undefined : new Set(options.names),
    knownMs: options.knownAt?.ms ?? Number.POSITIVE_INFINITY,
    knownTick: options.knownAt?.tick ?? 0,
    before: options.upTo === undefined ? Number.POSITIVE_INFINITY : OrdinalPosition.of(options.upTo).ordinal,
    withRepeats: options.withRepeats === true,
  };
}

/** Whether a fact was recorded by the moment asked about. */
export function isKnown(filter: Filter, fact: Fact): boolean {
  if (fact.processedAt !== filter.knownMs) return fact.processedAt < filter.knownMs;
  return parseProcessingId(fact.processingId).tick <= filter.knownTick;
}

function passes(filter: Filter, { fact, ordinal, ms, tick }: Entry): boolean {
  if (filter.names !== undefined && !filter.names.has(fact.name)) return false;
  if (ordinal >= filter.before) return false;
  return ms < filter.knownMs || (ms === filter.knownMs && tick <= filter.knownTick);
}

/** Event times are whole: bounds are brought to the first and last that they let in. */
export function spanOf({ range, descending }: Pick<ReadOptions, 'range' | 'descending'>): Span {
  let from = Number.NEGATIVE_INFINITY;
  let to = Number.POSITIVE_INFINITY;
  if (range?.from !== undefined) {
    from = Math.ceil(range.from) + (range.fromExclusive === true && Number.isInteger(range.from) ? 1 : 0);
  }
  if (range?.to !== undefined) {
    to = Math.floor(range.to) - (range.toExclusive === true && Number.isInteger(range.to) ? 1 : 0);
  }
  return { from, to, behind: undefined, descending: descending === true };
}

/** A copy, because other readers share the fact. */
function withRepeats(fact: Fact, repeats: number): Fact {
  const copy = new Fact(fact, fact.processingId, fact.processedAt);
  copy.repeats = repeats;
  return copy;
}

/**
 * Adds facts to `out` until it holds `size`, always whole groups of one identity: conflicting contents are put in digest
 * order, and the content stored first may belong anywhere among them. @returns where to go on, or undefined at the end
 */
export function scanHistory(
  log: FactLog,
  aggregate: AggregateKey,
  span: Span,
  filter: Filter,
  size: number,
  out: Fact[],
): Span | undefined {
  if (span.from > span.to) return undefined;
  const { descending } = span;
  const charactersMax = size < Number.POSITIVE_INFINITY ? PAGE_CHARACTERS_MAX : size;
  let characters = 0;
  let goOn: Span | undefined;
  const hand = (entry: Entry): void => {
    if (!passes(filter, entry)) return;
    const { fact } = entry;
    out.push(filter.withRepeats ? withRepeats(fact, log.repeatsOf(entry.ordinal)) : fact);
    characters += fact.content.length;
  };
  // The entry in hand, and with it those of its identity where there are others: next to always it is alone.
  let last: Entry | undefined;
  let group: Entry[] | undefined;
  const flush = (): void => {
    if (group === undefined) {
      if (last !== undefined) hand(last);
      return;
    }
    group.sort((a, b) => (a.fact.digest < b.fact.digest ? -1 : 1) * (descending ? -1 : 1));
    for (const entry of group) hand(entry);
    group = undefined;
  };
  log.read(aggregate, span, (entry) => {
    if (last !== undefined) {
      if (last.fact.eventTime === entry.fact.eventTime && compareIdentity(last.fact, entry.fact) === 0) {
        group ??= [last];
        // What is being moved into the history is read from both places.
        if (group.every((each) => each.ordinal !== entry.ordinal)) group.push(entry);
        return true;
      }
      flush();
      if (out.length >= size || characters >= charactersMax) {
        goOn = { ...span, behind: last.fact };
        last = undefined;
        return false;
      }
    }
    last = entry;
    return true;
  });
  flush();
  return goOn;
}

export class LogPages extends ReadyPages {
  private filter: Filter | undefined;
  /** What is still to be read; undefined at the end. */
  private span: Span | undefined;
  /** Read, and not yet handed out: also what a page's last conflict group brought too much. */
  private ready: Fact[] = [];

  /** @param log asked for at each page: it refuses with `STORE_CLOSED` when the store was closed in between */
  constructor(
    private readonly log: () => FactLog,
    private readonly aggregate: AggregateKey,
    private readonly options: ReadOptions,
  ) {
    super();
  }

  override return(): Promise<IteratorResult<readonly Fact[], undefined>> {
    this.ready = [];
    return super.return();
  }

  /** What it has read is not read again by who iterates after all. */
  whole(): readonly Fact[] | undefined {
    if (this.options.signal?.aborted === true) return undefined;
    const limit = this.fill();
    return this.span === undefined && this.ready.length <= limit ? this.ready : undefined;
  }

  protected override page(): readonly Fact[] | undefined {
    if (this.options.signal?.aborted === true) return undefined;
    const limit = this.fill();
    const { ready } = this;
    if (ready.length === 0) return undefined;
    if (ready.length <= limit) {
      this.ready = [];
      if (this.span === undefined) this.ended = true;
      return ready;
    }
    this.ready = ready.slice(limit);
    return ready.slice(0, limit);
  }

  /** Reads until a page is ready, or the end. @returns facts of a page */
  private fill(): number {
    const limit = this.options.pageSize ?? PAGE_SIZE;
    if (this.filter === undefined) {
      if (!Number.isInteger(limit) || limit < 1 || limit > PAGE_SIZE_MAX) {
        throw new InvalidEventError('INVALID_ARGUMENT', `pageSize is ${limit}.`, {
          fix: `Give a whole number from 1 to ${PAGE_SIZE_MAX}.`,
        });
      }
      this.filter = filterOf(this.options);
      this.span = spanOf(this.options);
    }
    const log = this.log();
    if (this.span !== undefined && this.ready.length < limit) {
      this.span = scanHistory(log, this.aggregate, this.span, this.filter, limit, this.ready);
    }
    return limit;
  }
}
