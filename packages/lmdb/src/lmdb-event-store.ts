/** The event store on LMDB: checks keys before the transaction, queues appends for group commit, reads histories by range. */
import {
  answerBefore,
  checkDecision,
  compareIdentity,
  compareKey,
  compareProcessingTime,
  EventStore,
  Fact,
  InvalidEventError,
  limits,
  OrdinalPosition,
  parseProcessingId,
} from '@concursus/core';
import type {
  AggregateKey,
  Append,
  AppendOptions,
  AppendOutcome,
  AppendResult,
  Capabilities,
  DecisionAnswer,
  DecisionAppend,
  KnownOptions,
  ProcessingTime,
  ReadOptions,
  SourceCounts,
} from '@concursus/core';
import { lmdbCapabilities } from './capabilities.js';
import { DecisionBook } from './decision-book.js';
import type { FactLog } from './fact-log.js';
import { identityKey, type Span } from './history-index.js';
import { KeyWriter } from './keys.js';
import { checkEpoch, saveCheckpoint } from './lmdb-checkpoint-store.js';
import type { Entry } from './entry.js';
import type { Session } from './session.js';
import type { EagerMember, WriteJob } from './write-queue.js';

/** Rough bytes of a fact beside its content. */
const FACT_BYTES = 160;
const PAGE_SIZE = 1_000;
/** Characters of content in a page, about: a page of large facts is shorter. */
const PAGE_CHARACTERS_MAX = 4 * 1_048_576;
const PAGE_SIZE_MAX = 10_000;
const AGGREGATES_MAX = 10_000;

/** Counts for those who check group commit. */
export interface LmdbStats {
  /** Write transactions of the environment in this process. */
  readonly transactions: number;
  /** Groups that waited for the disk. */
  readonly flushes: number;
}

/** What one read lets through, worked out once. */
interface Filter {
  readonly names: ReadonlySet<string> | undefined;
  readonly knownMs: number;
  readonly knownTick: number;
  readonly before: number;
  readonly withRepeats: boolean;
}

class AppendJob implements WriteJob {
  readonly durable = true;
  readonly grows = true;
  readonly eager?: EagerMember;
  weight = 0;
  bytes = 0;
  private results: AppendResult[] = [];

  constructor(
    private readonly session: Session,
    private readonly log: FactLog,
    private readonly appends: readonly Append[],
    private readonly checkpoint: AppendOptions['checkpoint'],
    private readonly resolve: (results: readonly AppendResult[]) => void,
    readonly failed: (error: Error) => void,
  ) {
    // A checkpoint is a row of its own, which the log's condition says nothing about.
    if (checkpoint === undefined) this.eager = log;
    for (const append of appends) {
      this.weight += append.facts.length;
      this.bytes += bytesOf(append.facts);
    }
  }

  run(): void {
    const { checkpoint, log } = this;
    if (checkpoint !== undefined) checkEpoch(this.session, checkpoint.name, checkpoint.epoch);
    log.queue.enlist(log);
    const outcomes: AppendOutcome[][] = [];
    for (const append of this.appends) outcomes.push(log.append(append));
    if (checkpoint !== undefined) saveCheckpoint(this.session, checkpoint.name, checkpoint.value);
    const position = new OrdinalPosition(log.ordinal);
    this.results = outcomes.map((each) => ({ outcomes: each, position }));
  }

  done(): void {
    this.resolve(this.results);
  }
}

export class LmdbEventStore extends EventStore {
  readonly capabilities: Capabilities = lmdbCapabilities;
  private readonly keys = new KeyWriter();
  private readonly decisions: DecisionBook;

  constructor(private readonly session: Session) {
    super();
    this.decisions = new DecisionBook(session);
  }

  get stats(): LmdbStats {
    const { transactions, flushes } = this.session.env.queue;
    return { transactions, flushes };
  }

  private get log(): FactLog {
    return this.session.log;
  }

  append(appends: readonly Append[], options?: AppendOptions): Promise<readonly AppendResult[]> {
    return new Promise((resolve, reject) => {
      const { log } = this;
      for (const append of appends) this.check(append);
      log.queue.push(new AppendJob(this.session, log, appends, options?.checkpoint, resolve, reject));
    });
  }

  override async decide(decision: DecisionAppend): Promise<DecisionAnswer> {
    const { log, decisions } = this;
    checkDecision(decision);
    this.checkKeys(decision.facts);
    const { aggregate, facts, commandId, result, receivedAt } = decision;
    return log.queue.run(
      (): DecisionAnswer => {
        const before = answerBefore(decision, decisions.stateOf(aggregate), decisions.answerOf(aggregate, commandId));
        if (before !== undefined) return before;
        log.queue.enlist(log);
        if (facts.length > 0) log.append({ facts, receivedAt });
        const head = decisions.add(decision);
        return { outcome: 'decided', result, head, position: new OrdinalPosition(log.ordinal) };
      },
      { durable: true, weight: facts.length + 2, bytes: bytesOf(facts) + result.length },
    );
  }

  override async readHead(aggregate: AggregateKey): Promise<number> {
    this.session.env.renewSnapshot();
    return this.decisions.stateOf(aggregate).head;
  }

  private check(append: Append): void {
    const { facts } = append;
    if (facts.length === 0 || facts.length > limits.appendEvents) {
      throw new InvalidEventError('LIMIT_EXCEEDED', `An append of ${facts.length} events was given.`, {
        fix: `Give 1 to ${limits.appendEvents} events an append.`,
      });
    }
    this.checkKeys(facts);
  }

  private checkKeys(facts: readonly Fact[]): void {
    for (const fact of facts) {
      // Units of UTF-16 are at most three bytes: the exact length is asked for only when that could be too long.
      const units =
        fact.tenant.length +
        fact.aggregateType.length +
        fact.aggregateId.length +
        fact.streamId.length +
        fact.name.length;
      if (units > 600) identityKey(this.keys, ownerOf(fact), fact).view();
    }
  }

  async *read(aggregate: AggregateKey, options: ReadOptions = {}): AsyncGenerator<readonly Fact[]> {
    const pageSize = options.pageSize ?? PAGE_SIZE;
    if (!Number.isInteger(pageSize) || pageSize < 1 || pageSize > PAGE_SIZE_MAX) {
      throw new InvalidEventError('INVALID_ARGUMENT', `pageSize is ${pageSize}.`, {
        fix: `Give a whole number from 1 to ${PAGE_SIZE_MAX}.`,
      });
    }
    const filter = filterOf(options);
    let span: Span | undefined = spanOf(options);
    // What a page's last conflict group brought too much.
    let ready: Fact[] = [];
    while (span !== undefined || ready.length > 0) {
      if (options.signal?.aborted === true) return;
      if (span !== undefined && ready.length < pageSize) span = this.scan(aggregate, span, filter, pageSize, ready);
      if (ready.length === 0) return;
      const page = ready.slice(0, pageSize);
      ready = ready.slice(pageSize);
      yield page;
    }
  }

  readMany(
    aggregates: readonly AggregateKey[],
    options: Omit<ReadOptions, 'pageSize' | 'signal'> = {},
  ): Promise<readonly (readonly Fact[])[]> {
    return new Promise((resolve) => {
      checkAggregates(aggregates);
      const filter = filterOf(options);
      const span = spanOf(options);
      // Without an await in between, all of them are read in one snapshot.
      resolve(
        aggregates.map((aggregate) => {
          const facts: Fact[] = [];
          this.scan(aggregate, span, filter, Number.POSITIVE_INFINITY, facts);
          return facts;
        }),
      );
    });
  }

  /**
   * Adds facts to `out` until it holds `size`, always whole groups of one identity: conflicting contents are put in digest
   * order, and the content stored first may belong anywhere among them. @returns where to go on, or undefined at the end
   */
  private scan(aggregate: AggregateKey, span: Span, filter: Filter, size: number, out: Fact[]): Span | undefined {
    const { log } = this;
    if (span.from > span.to) return undefined;
    const { descending } = span;
    const charactersMax = size < Number.POSITIVE_INFINITY ? PAGE_CHARACTERS_MAX : size;
    let group: Entry[] = [];
    let characters = 0;
    let goOn: Span | undefined;
    const flush = (): void => {
      if (group.length > 1) group.sort((a, b) => (a.fact.digest < b.fact.digest ? -1 : 1) * (descending ? -1 : 1));
      for (const entry of group) {
        if (!passes(filter, entry)) continue;
        const { fact } = entry;
        out.push(filter.withRepeats ? withRepeats(fact, log.repeatsOf(entry.ordinal)) : fact);
        characters += fact.content.length;
      }
    };
    log.read(aggregate, span, (entry) => {
      const last = group[0];
      if (last !== undefined) {
        if (last.fact.eventTime === entry.fact.eventTime && compareIdentity(last.fact, entry.fact) === 0) {
          // What is being moved into the history is read from both places.
          if (group.every((each) => each.ordinal !== entry.ordinal)) group.push(entry);
          return true;
        }
        flush();
        if (out.length >= size || characters >= charactersMax) {
          goOn = { ...span, behind: last.fact };
          group = [];
          return false;
        }
      }
      group = [entry];
      return true;
    });
    flush();
    return goOn;
  }

  async readCorrections(
    aggregates: readonly AggregateKey[],
    options: KnownOptions = {},
  ): Promise<readonly (readonly Fact[])[]> {
    checkAggregates(aggregates);
    const { log } = this;
    if (!log.hasCorrections()) return aggregates.map(() => NONE);
    const filter = filterOf(options);
    return aggregates.map((aggregate) => {
      const found: Fact[] = [];
      log.readList('corrections', aggregate, (fact, ordinal) => {
        if (ordinal >= filter.before || !isKnown(filter, fact)) return false;
        found.push(fact);
        return true;
      });
      return found.length === 0 ? NONE : found.sort(compareKey);
    });
  }

  async readLate(
    aggregate: AggregateKey,
    options: KnownOptions & { readonly after: ProcessingTime; readonly limit: number },
  ): Promise<readonly Fact[]> {
    const filter = filterOf(options);
    const found: Fact[] = [];
    this.log.readList('late', aggregate, (fact, ordinal) => {
      if (found.length >= options.limit || ordinal >= filter.before || !isKnown(filter, fact)) return false;
      if (compareProcessingTime(parseProcessingId(fact.processingId), options.after) > 0) found.push(fact);
      return true;
    });
    return found;
  }

  async scanAggregates(behind: AggregateKey | undefined, limit: number): Promise<readonly AggregateKey[]> {
    return this.log.aggregates(behind, limit);
  }

  async readSourceCounts(): Promise<readonly SourceCounts[]> {
    return this.log.readSourceCounts();
  }

  async keepFloor(ms: number): Promise<void> {
    const { log } = this;
    if (log.hasFloor(ms)) return;
    await log.queue.run(
      () => {
        log.queue.enlist(log);
        log.keepFloor(ms);
      },
      { durable: true, grows: false },
    );
  }
}

function bytesOf(facts: readonly Fact[]): number {
  let bytes = 0;
  for (const fact of facts) bytes += fact.content.length + FACT_BYTES;
  return bytes;
}

const NONE: readonly Fact[] = Object.freeze([]);

function checkAggregates(aggregates: readonly AggregateKey[]): void {
  if (aggregates.length <= AGGREGATES_MAX) return;
  throw new InvalidEventError('LIMIT_EXCEEDED', `${aggregates.length} aggregates were asked for at once.`, {
    fix: `Ask for at most ${AGGREGATES_MAX} at a time.`,
  });
}

function isKnown(filter: Filter, fact: Fact): boolean {
  if (fact.processedAt !== filter.knownMs) return fact.processedAt < filter.knownMs;
  return parseProcessingId(fact.processingId).tick <= filter.knownTick;
}

function ownerOf(fact: Fact): AggregateKey {
  return { tenant: fact.tenant, type: fact.aggregateType, id: fact.aggregateId };
}

/** Event times are whole: bounds are brought to the first and last that they let in. */
function spanOf({ range, descending }: Pick<ReadOptions, 'range' | 'descending'>): Span {
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

function passes(filter: Filter, { fact, ordinal, ms, tick }: Entry): boolean {
  if (filter.names !== undefined && !filter.names.has(fact.name)) return false;
  if (ordinal >= filter.before) return false;
  return ms < filter.knownMs || (ms === filter.knownMs && tick <= filter.knownTick);
}

function filterOf(options: ReadOptions): Filter {
  return {
    names: options.names === undefined ? undefined : new Set(options.names),
    knownMs: options.knownAt?.ms ?? Number.POSITIVE_INFINITY,
    knownTick: options.knownAt?.tick ?? 0,
    before: options.upTo === undefined ? Number.POSITIVE_INFINITY : OrdinalPosition.of(options.upTo).ordinal,
    withRepeats: options.withRepeats === true,
  };
}

/** A copy, because other readers share the fact. */
function withRepeats(fact: Fact, repeats: number): Fact {
  const copy = new Fact(fact, fact.processingId, fact.processedAt);
  copy.repeats = repeats;
  return copy;
}
