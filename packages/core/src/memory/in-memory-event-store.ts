/** The event store in memory: the definition of the port. Simple, right, and as fast as a sorted map. */
import { InvalidEventError } from '../model/errors.js';
import { Fact, type AggregateKey } from '../model/event.js';
import { limits } from '../model/limits.js';
import { OrdinalPosition } from '../model/position.js';
import { compareProcessingIds, parseProcessingId, type ProcessingTime } from '../model/processing-id.js';
import type { Capabilities } from '../ports/capabilities.js';
import {
  EventStore,
  type Append,
  type AppendOptions,
  type AppendResult,
  type Beside,
  type HistoryPages,
  type KnownOptions,
  type ReadOptions,
  type SourceCounts,
} from '../ports/event-store.js';
import { answerBefore, checkDecision, type DecisionAnswer, type DecisionAppend } from '../ports/decision.js';
import { ReadyPages } from '../ports/ready-pages.js';
import { DecisionBook } from './decision-book.js';
import type { FactFilter, FactHistory } from './fact-history.js';
import { compareAggregates, type FactLog } from './fact-log.js';
import type { InMemoryCheckpointStore } from './in-memory-checkpoint-store.js';
import { inMemoryCapabilities } from './capabilities.js';
import type { MemorySession } from './session.js';

const PAGE_SIZE = 1_000;
const PAGE_SIZE_MAX = 10_000;
const AGGREGATES_MAX = 10_000;
const NONE: readonly Fact[] = Object.freeze([]);

export class InMemoryEventStore extends EventStore {
  readonly capabilities: Capabilities = inMemoryCapabilities;
  private readonly decisions = new DecisionBook();

  constructor(
    private readonly session: MemorySession,
    private readonly log: FactLog,
    private readonly checkpoints: InMemoryCheckpointStore,
  ) {
    super();
  }

  /** Not async: nothing in it waits, and an async function keeps room for all of its variables at each call. */
  append(appends: readonly Append[], options?: AppendOptions): Promise<readonly AppendResult[]> {
    try {
      return Promise.resolve(this.appendNow(appends, options));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  private appendNow(appends: readonly Append[], options: AppendOptions | undefined): readonly AppendResult[] {
    this.session.checkOpen();
    // Whatever can be refused is refused before the first fact is kept.
    for (let i = 0; i < appends.length; i++) checkSize(appends[i]!.facts.length);
    const checkpoint = options?.checkpoint;
    if (checkpoint !== undefined) this.session.checkEpoch(checkpoint.name, checkpoint.epoch);
    const { log } = this;
    const before = log.facts.length;
    const results = Array<AppendResult>(appends.length);
    for (let i = 0; i < appends.length; i++) results[i] = log.append(appends[i]!);
    if (checkpoint !== undefined) this.checkpoints.put(checkpoint.name, checkpoint.value);
    if (log.facts.length > before) log.bell.ring();
    return results;
  }

  override async decide(decision: DecisionAppend): Promise<DecisionAnswer> {
    this.session.checkOpen();
    checkDecision(decision);
    const { aggregate, facts, result, receivedAt } = decision;
    const { log, decisions } = this;
    const state = decisions.stateOf(aggregate);
    const before = answerBefore(decision, state, decisions.answerOf(aggregate, decision.commandId));
    if (before !== undefined) return before;
    // Nothing runs in between, so that both happen or none does.
    const head = decisions.add(decision);
    if (facts.length === 0)
      return { outcome: 'decided', result, head, position: new OrdinalPosition(log.facts.length) };
    const { position } = log.append({ facts, receivedAt });
    log.bell.ring();
    return { outcome: 'decided', result, head, position };
  }

  override async readHead(aggregate: AggregateKey): Promise<number> {
    this.session.checkOpen();
    return this.decisions.stateOf(aggregate).head;
  }

  read(aggregate: AggregateKey, options: ReadOptions = {}): HistoryPages {
    return new Pages(this.session, this.log, aggregate, options);
  }

  async readMany(
    aggregates: readonly AggregateKey[],
    options: Omit<ReadOptions, 'pageSize' | 'signal'> = {},
  ): Promise<readonly (readonly Fact[])[]> {
    this.session.checkOpen();
    checkAggregates(aggregates.length);
    const filter = filterOf(this.log, options);
    const descending = options.descending === true;
    return aggregates.map(({ tenant, type, id }) => {
      const history = this.log.find(tenant, type, id);
      const facts = history?.slice(options.range, { descending, filter, after: undefined, limit: Infinity }) ?? [];
      return options.withRepeats === true && history !== undefined ? counted(history, facts) : facts;
    });
  }

  async readCorrections(
    aggregates: readonly AggregateKey[],
    options: KnownOptions = {},
  ): Promise<readonly (readonly Fact[])[]> {
    this.session.checkOpen();
    checkAggregates(aggregates.length);
    const filter = filterOf(this.log, options);
    return aggregates.map(({ tenant, type, id }) => correctionsOf(this.log.find(tenant, type, id), filter));
  }

  async readLate(
    aggregate: AggregateKey,
    options: KnownOptions & { readonly after: ProcessingTime; readonly limit: number },
  ): Promise<readonly Fact[]> {
    this.session.checkOpen();
    const { tenant, type, id } = aggregate;
    return lateOf(this.log.find(tenant, type, id), filterOf(this.log, options), options.after, options.limit);
  }

  async scanAggregates(after: AggregateKey | undefined, limit: number): Promise<readonly AggregateKey[]> {
    this.session.checkOpen();
    const keys = this.log.aggregates();
    const start = after === undefined ? 0 : keys.findIndex((key) => compareAggregates(key, after) > 0);
    return start === -1 ? [] : keys.slice(start, start + limit);
  }

  async readSourceCounts(): Promise<readonly SourceCounts[]> {
    this.session.checkOpen();
    return [...this.log.counts].map(([streamId, counts]) => ({ streamId, ...counts }));
  }

  async keepFloor(ms: number): Promise<void> {
    this.session.checkOpen();
    this.log.keepFloor(ms);
  }
}

/** One history page by page, read at the moment it is asked for. No generator: most histories are one page, and a generator's promises would cost more than it. */
class Pages extends ReadyPages {
  private filter: FactFilter | undefined;
  private after: Fact | undefined;
  private started = false;
  /** Once there, it is the same for ever. */
  private found: FactHistory | undefined;

  constructor(
    private readonly session: MemorySession,
    private readonly log: FactLog,
    private readonly aggregate: AggregateKey,
    private readonly options: ReadOptions,
  ) {
    super();
  }

  whole(): readonly Fact[] | undefined {
    // One more than a page tells whether there is more.
    const limit = this.limit();
    const facts = this.take(limit + 1) ?? NONE;
    return facts.length > limit ? undefined : facts;
  }

  beside(after: ProcessingTime, limit: number): Beside {
    const { log, options } = this;
    this.session.checkOpen();
    const history = this.history();
    const { knownAt, upTo } = options;
    const filter =
      knownAt === undefined && upTo === undefined ? undefined : filterOf(log, { ...options, names: undefined });
    return {
      corrections: correctionsOf(history, filter),
      late: lateOf(history, filter, after, limit),
    };
  }

  private history(): FactHistory | undefined {
    const { tenant, type, id } = this.aggregate;
    return (this.found ??= this.log.find(tenant, type, id));
  }

  private limit(): number {
    const limit = this.options.pageSize ?? PAGE_SIZE;
    if (Number.isInteger(limit) && limit >= 1 && limit <= PAGE_SIZE_MAX) return limit;
    throw new InvalidEventError('INVALID_ARGUMENT', `pageSize is ${limit}.`, {
      fix: `Give a whole number from 1 to ${PAGE_SIZE_MAX}.`,
    });
  }

  protected override page(): readonly Fact[] | undefined {
    const limit = this.limit();
    const page = this.take(limit);
    if (page === undefined) return undefined;
    this.after = page[page.length - 1]!;
    if (page.length < limit) this.ended = true;
    return page;
  }

  /** The next facts, at most `limit`; undefined when there are none. */
  private take(limit: number): readonly Fact[] | undefined {
    const { options } = this;
    this.session.checkOpen();
    if (!this.started) {
      this.filter = filterOf(this.log, options);
      this.started = true;
    }
    if (options.signal?.aborted === true) return undefined;
    const history = this.history();
    if (history === undefined) return undefined;
    const { filter, after } = this;
    const page = history.slice(options.range, { descending: options.descending === true, filter, after, limit });
    if (page.length === 0) return undefined;
    return options.withRepeats === true ? counted(history, page) : page;
  }
}

/** What `names`, `knownAt` and `upTo` let through; undefined when that is everything. */
function filterOf(log: FactLog, options: Pick<ReadOptions, 'names' | 'knownAt' | 'upTo'>): FactFilter | undefined {
  const { knownAt } = options;
  if (options.names === undefined && knownAt === undefined && options.upTo === undefined) return undefined;
  const names = options.names === undefined ? undefined : new Set(options.names);
  const ordinal = options.upTo === undefined ? Infinity : OrdinalPosition.of(options.upTo).ordinal;
  if (ordinal === 0) return () => false;
  // Ids ascend in recorded order, so the last fact before the position tells all that stand before it. At the log's end
  // too: what is recorded between two pages stands behind it.
  const last = ordinal <= log.facts.length ? log.facts.at(ordinal - 1) : undefined;
  if (names === undefined && knownAt === undefined && last === undefined) return undefined;
  return (fact) => {
    if (names !== undefined && !names.has(fact.name)) return false;
    if (knownAt !== undefined && fact.processedAt >= knownAt.ms) {
      if (fact.processedAt > knownAt.ms || parseProcessingId(fact.processingId).tick > knownAt.tick) return false;
    }
    if (last === undefined || fact.processedAt < last.processedAt) return true;
    return fact.processedAt === last.processedAt && compareProcessingIds(fact.processingId, last.processingId) <= 0;
  };
}

function correctionsOf(history: FactHistory | undefined, filter: FactFilter | undefined): readonly Fact[] {
  const corrections = history?.corrections;
  if (corrections === undefined) return NONE;
  return filter === undefined ? corrections.slice() : corrections.filter(filter);
}

function lateOf(
  history: FactHistory | undefined,
  filter: FactFilter | undefined,
  after: ProcessingTime,
  limit: number,
): readonly Fact[] {
  const late = history?.late;
  if (late === undefined) return NONE;
  // In recorded order: what is asked for stands at the end.
  let from = late.length;
  while (from > 0 && recordedAbove(late[from - 1]!, after)) from--;
  if (from === late.length) return NONE;
  const found: Fact[] = [];
  for (let i = from; i < late.length && found.length < limit; i++) {
    if (filter === undefined || filter(late[i]!)) found.push(late[i]!);
  }
  return found;
}

function checkAggregates(count: number): void {
  if (count <= AGGREGATES_MAX) return;
  throw new InvalidEventError('LIMIT_EXCEEDED', `${count} aggregates were asked for at once.`, {
    fix: `Ask for at most ${AGGREGATES_MAX} at a time.`,
  });
}

function recordedAbove(fact: Fact, time: ProcessingTime): boolean {
  return (
    fact.processedAt > time.ms ||
    (fact.processedAt === time.ms && parseProcessingId(fact.processingId).tick > time.tick)
  );
}

function checkSize(facts: number): void {
  if (facts >= 1 && facts <= limits.appendEvents) return;
  throw new InvalidEventError('LIMIT_EXCEEDED', `An append of ${facts} events was given.`, {
    fix: `Give 1 to ${limits.appendEvents} events an append.`,
  });
}

/** Copies with their repeats filled in, because other readers share the facts. */
function counted(history: FactHistory, facts: readonly Fact[]): Fact[] {
  return facts.map((fact) => {
    const copy = new Fact(fact, fact.processingId, fact.processedAt);
    copy.repeats = history.repeatsOf(fact);
    return copy;
  });
}
