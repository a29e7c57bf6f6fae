/** The event store on LMDB: checks keys before the transaction, queues appends for group commit, reads histories by range. */
import {
  answerBefore,
  checkDecision,
  compareKey,
  compareProcessingTime,
  EventStore,
  InvalidEventError,
  limits,
  OrdinalPosition,
  parseProcessingId,
} from '@concursus/core';
import type {
  AggregateKey,
  Append,
  AppendOptions,
  AppendResult,
  Capabilities,
  DecisionAnswer,
  DecisionAppend,
  Fact,
  HistoryPages,
  KnownOptions,
  ProcessingTime,
  ReadOptions,
  SourceCounts,
} from '@concursus/core';
import { lmdbCapabilities } from './capabilities.js';
import { DecisionBook } from './decision-book.js';
import type { FactLog } from './fact-log.js';
import { identityKey } from './history-index.js';
import { filterOf, isKnown, LogPages, scanHistory, spanOf } from './history-pages.js';
import { KeyWriter } from './keys.js';
import { checkEpoch, saveCheckpoint } from './lmdb-checkpoint-store.js';
import type { Session } from './session.js';
import type { EagerMember, WriteJob } from './write-queue.js';

/** Rough bytes of a fact beside its content. */
const FACT_BYTES = 160;
const AGGREGATES_MAX = 10_000;

/** Counts for those who check group commit. */
export interface LmdbStats {
  /** Write transactions of the environment in this process. */
  readonly transactions: number;
  /** Groups that waited for the disk. */
  readonly flushes: number;
}

const NO_RESULTS: readonly AppendResult[] = Object.freeze([]);

class AppendJob implements WriteJob {
  readonly durable = true;
  readonly grows = true;
  readonly eager?: EagerMember;
  weight = 0;
  bytes = 0;
  private results: readonly AppendResult[] = NO_RESULTS;

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
    const outcomes = this.appends.map((append) => log.append(append));
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

  read(aggregate: AggregateKey, options: ReadOptions = {}): HistoryPages {
    return new LogPages(() => this.log, aggregate, options);
  }

  readMany(
    aggregates: readonly AggregateKey[],
    options: Omit<ReadOptions, 'pageSize' | 'signal'> = {},
  ): Promise<readonly (readonly Fact[])[]> {
    return new Promise((resolve) => {
      checkAggregates(aggregates);
      const { log } = this;
      const filter = filterOf(options);
      const span = spanOf(options);
      // Without an await in between, all of them are read in one snapshot.
      resolve(
        aggregates.map((aggregate) => {
          const facts: Fact[] = [];
          scanHistory(log, aggregate, span, filter, Number.POSITIVE_INFINITY, facts);
          return facts;
        }),
      );
    });
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

function ownerOf(fact: Fact): AggregateKey {
  return { tenant: fact.tenant, type: fact.aggregateType, id: fact.aggregateId };
}
