/** The event store on LMDB: checks keys before the transaction, queues appends for group commit, reads histories by range. */
import {
  compareKey,
  compareProcessingIds,
  compareProcessingTime,
  EventStore,
  Fact,
  InvalidEventError,
  isCorrection,
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
  KnownOptions,
  ProcessingTime,
  ReadOptions,
  SourceCounts,
} from '@concursus/core';
import { lmdbCapabilities } from './capabilities.js';
import { FactLog, historyKey, repeatsOf } from './fact-log.js';
import { after, KeyWriter } from './keys.js';
import { checkEpoch, saveCheckpoint } from './lmdb-checkpoint-store.js';
import type { Session } from './session.js';
import type { WriteJob } from './write-queue.js';

/** Rough bytes of a fact beside its content. */
const FACT_BYTES = 160;
const TIME_BYTES = 8;
const DIGEST_BYTES = 32;
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
    for (const append of appends) {
      this.weight += append.facts.length;
      for (const fact of append.facts) this.bytes += fact.content.length + FACT_BYTES;
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

  constructor(private readonly session: Session) {
    super();
  }

  get stats(): LmdbStats {
    const { transactions, flushes } = this.session.env.queue;
    return { transactions, flushes };
  }

  private get log(): FactLog {
    return FactLog.of(this.session.env, this.session.context, this.session.clock);
  }

  append(appends: readonly Append[], options?: AppendOptions): Promise<readonly AppendResult[]> {
    return new Promise((resolve, reject) => {
      const { log } = this;
      for (const append of appends) this.check(append);
      log.queue.push(new AppendJob(this.session, log, appends, options?.checkpoint, resolve, reject));
    });
  }

  private check(append: Append): void {
    const { facts } = append;
    if (facts.length === 0 || facts.length > limits.appendEvents) {
      throw new InvalidEventError('LIMIT_EXCEEDED', `An append of ${facts.length} events was given.`, {
        fix: `Give 1 to ${limits.appendEvents} events an append.`,
      });
    }
    for (const fact of facts) {
      // Units of UTF-16 are at most three bytes: the exact length is asked for only when that could be too long.
      const units =
        fact.tenant.length +
        fact.aggregateType.length +
        fact.aggregateId.length +
        fact.streamId.length +
        fact.name.length;
      if (units > 600) historyKey(this.keys, fact).hex('00'.repeat(DIGEST_BYTES)).view();
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
    const [start, end] = this.bounds(aggregate, options);
    let from: Buffer | undefined = options.descending === true ? end : start;
    const to = options.descending === true ? start : end;
    // What a page's last conflict group brought too much.
    let ready: Fact[] = [];
    while (from !== undefined || ready.length > 0) {
      if (options.signal?.aborted === true) return;
      if (from !== undefined && ready.length < pageSize) {
        from = this.scan(aggregate, from, to, options.descending === true, filter, pageSize, ready);
      }
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
      if (aggregates.length > AGGREGATES_MAX) {
        throw new InvalidEventError('LIMIT_EXCEEDED', `${aggregates.length} aggregates were asked for at once.`, {
          fix: `Ask for at most ${AGGREGATES_MAX} at a time.`,
        });
      }
      const filter = filterOf(options);
      const descending = options.descending === true;
      // Without an await in between, all of them are read in one snapshot.
      resolve(
        aggregates.map((aggregate) => {
          const [start, end] = this.bounds(aggregate, options);
          const facts: Fact[] = [];
          this.scan(
            aggregate,
            descending ? end : start,
            descending ? start : end,
            descending,
            filter,
            Number.POSITIVE_INFINITY,
            facts,
          );
          return facts;
        }),
      );
    });
  }

  /** The least key of the range, and one above its greatest; no stored key equals either. */
  private bounds(aggregate: AggregateKey, options: Pick<ReadOptions, 'range'>): [Buffer, Buffer] {
    const { range } = options;
    const keys = this.keys.start().text(aggregate.tenant).text(aggregate.type).text(aggregate.id);
    const { length } = keys;
    const prefix = keys.copy();
    let start = prefix;
    let end = after(prefix);
    if (range?.from !== undefined) {
      const from = Math.ceil(range.from) + (range.fromExclusive === true && Number.isInteger(range.from) ? 1 : 0);
      start = keys.backTo(length).signed(from).copy();
    }
    if (range?.to !== undefined) {
      const to = Math.floor(range.to) + (range.toExclusive === true && Number.isInteger(range.to) ? 0 : 1);
      end = keys.backTo(length).signed(to).copy();
    }
    return [start, end];
  }

  /**
   * Adds facts to `out` until it holds `size`, always whole groups of one identity: conflicting contents are put in digest
   * order, and the content stored first may belong anywhere among them. @returns where to go on, or undefined at the end
   */
  private scan(
    aggregate: AggregateKey,
    from: Buffer,
    to: Buffer,
    descending: boolean,
    filter: Filter,
    size: number,
    out: Fact[],
  ): Buffer | undefined {
    if (Buffer.compare(descending ? to : from, descending ? from : to) >= 0) return undefined;
    const { log } = this;
    const prefix = this.keys.start().text(aggregate.tenant).text(aggregate.type).text(aggregate.id).length;
    let identity: Buffer | undefined;
    let group: Fact[] = [];
    let characters = 0;
    const flush = (): void => {
      if (group.length > 1) group.sort((a, b) => (a.digest < b.digest ? -1 : 1) * (descending ? -1 : 1));
      for (const fact of group) {
        out.push(fact);
        characters += fact.content.length;
      }
      group = [];
    };
    for (const entry of log.history.getRange({ start: from, end: to, reverse: descending })) {
      const key = entry.key as Buffer;
      const nameStart = key.indexOf(0, prefix + TIME_BYTES) + 1 + 8;
      const identityEnd = key.indexOf(0, nameStart) + 1;
      if (
        identity === undefined ||
        identity.length !== identityEnd ||
        key.compare(identity, 0, identityEnd, 0, identityEnd) !== 0
      ) {
        flush();
        // The identity ends in NUL; without it the key stands below its group, with the NUL raised above it.
        const full = out.length >= size || (characters >= PAGE_CHARACTERS_MAX && size < Number.POSITIVE_INFINITY);
        if (full && identity !== undefined) return descending ? identity.subarray(0, -1) : after(identity);
        identity = key.subarray(0, identityEnd);
      }
      if (filter.names !== undefined && !filter.names.has(key.toString('utf8', nameStart, identityEnd - 1))) continue;
      const value = entry.value as Buffer;
      const ordinal = value.readUIntBE(0, 6);
      if (ordinal >= filter.before) continue;
      const place = value[6]!;
      const chunk = log.chunkAt(ordinal - place);
      const ms = chunk.ms[place]!;
      if (ms > filter.knownMs || (ms === filter.knownMs && chunk.tick[place]! > filter.knownTick)) continue;
      const fact = chunk.fact(place);
      group.push(filter.withRepeats ? withRepeats(fact, repeatsOf(value)) : fact);
    }
    flush();
    return undefined;
  }

  async readCorrections(
    aggregates: readonly AggregateKey[],
    options: KnownOptions = {},
  ): Promise<readonly (readonly Fact[])[]> {
    const histories = await this.readMany(aggregates, options);
    return histories.map((facts) => facts.filter(isCorrection));
  }

  async readLate(
    aggregate: AggregateKey,
    options: KnownOptions & { readonly after: ProcessingTime; readonly limit: number },
  ): Promise<readonly Fact[]> {
    const { after: above, limit, ...known } = options;
    const [facts] = await this.readMany([aggregate], known);
    const recorded = [...facts!].sort((a, b) => compareProcessingIds(a.processingId, b.processingId));
    const late: Fact[] = [];
    let greatest: Fact | undefined;
    for (const fact of recorded) {
      const behind = greatest !== undefined && compareKey(fact, greatest) < 0;
      if (!behind) greatest = fact;
      if (!behind && !isCorrection(fact)) continue;
      if (compareProcessingTime(parseProcessingId(fact.processingId), above) > 0) late.push(fact);
    }
    return late.slice(0, limit);
  }

  async scanAggregates(behind: AggregateKey | undefined, limit: number): Promise<readonly AggregateKey[]> {
    const found: AggregateKey[] = [];
    let start: Buffer | undefined =
      behind === undefined
        ? Buffer.alloc(0)
        : after(this.keys.start().text(behind.tenant).text(behind.type).text(behind.id).copy());
    while (start !== undefined && found.length < limit) {
      const [key] = [...this.log.history.getKeys({ start, limit: 1 })] as Buffer[];
      if (key === undefined) break;
      const parts: string[] = [];
      let at = 0;
      for (let i = 0; i < 3; i++) {
        const end = key.indexOf(0, at);
        parts.push(key.toString('utf8', at, end));
        at = end + 1;
      }
      found.push({ tenant: parts[0]!, type: parts[1]!, id: parts[2]! });
      start = after(Buffer.from(key.subarray(0, at)));
    }
    return found;
  }

  async readSourceCounts(): Promise<readonly SourceCounts[]> {
    return this.log.sourceCounts();
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
