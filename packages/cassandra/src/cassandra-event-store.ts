/** The event store on Cassandra: what is asked for is checked here, recorded by `recorder.ts` and read by `history-reader.ts`. */
import {
  checkDecision,
  compareKey,
  compareText,
  EventStore,
  InvalidEventError,
  limits,
  UnsupportedError,
  type Fact,
  type AggregateKey,
  type Append,
  type AppendOptions,
  type AppendResult,
  type Capabilities,
  type DecisionAnswer,
  type DecisionAppend,
  type KnownOptions,
  type ProcessingTime,
  type ReadOptions,
  type SourceCounts,
} from '@concursus/core';
import { eachBounded } from './bounded.js';
import type { BucketGrowth, Directory } from './bucket-growth.js';
import { cassandraCapabilities } from './capabilities.js';
import type { Decisions } from './decisions.js';
import { closedError } from './errors.js';
import { distinctFacts, identityText } from './event-columns.js';
import type { HistoryReader, Wanted } from './history-reader.js';
import type { LateFacts } from './late-facts.js';
import { aggregateLanes, type Placement } from './placement.js';
import { isAfter, TimePosition } from './processing-times.js';
import type { Recorder } from './recorder.js';
import type { RepeatCounts } from './repeat-counts.js';
import type { Session } from './session.js';
import type { Writer } from './writer.js';

const OWNER = 'context = ? AND tenant = ? AND type = ? AND id = ?';
const CORRECTIONS = `SELECT * FROM event_correction WHERE ${OWNER}`;
const CORRECTED = 'SELECT slice FROM corrected_slice WHERE context = ? AND part = 0';
const LIST = 'SELECT tenant, type, id FROM aggregate_list WHERE context = ? AND lane = ?';
const LIST_BEHIND = `${LIST} AND (tenant, type, id) > (?, ?, ?)`;

const PAGE_SIZE = 1_000;
const PAGE_SIZE_MAX = 10_000;
/** Characters of content in a page, about: a page of large facts is shorter. */
const PAGE_CHARACTERS_MAX = 4 * 1_048_576;
const AGGREGATES_MAX = 10_000;
const READS_AT_ONCE = 64;
const NONE: readonly Fact[] = Object.freeze([]);

export interface StoreParts {
  readonly session: Session;
  readonly placement: Placement;
  readonly recorder: Recorder;
  readonly decisions: Decisions;
  readonly writer: Writer;
  readonly growth: BucketGrowth;
  readonly histories: HistoryReader;
  readonly late: LateFacts;
  readonly repeats: RepeatCounts;
}

export class CassandraEventStore extends EventStore {
  readonly capabilities: Capabilities = cassandraCapabilities;
  private stopped = false;

  constructor(private readonly parts: StoreParts) {
    super();
  }

  /** Refuses every later call. */
  stop(): void {
    this.stopped = true;
  }

  private checkOpen(): void {
    if (this.stopped) throw closedError(this.parts.session.keyspace);
    this.parts.session.checkOpen();
  }

  async append(appends: readonly Append[], options?: AppendOptions): Promise<readonly AppendResult[]> {
    this.checkOpen();
    if (options?.checkpoint !== undefined) {
      throw new UnsupportedError('CAPABILITY_MISSING', 'Cassandra stores no checkpoint together with events.', {
        fix: 'Save the checkpoint after the append: what is recorded twice counts once.',
      });
    }
    return this.parts.recorder.append(appends);
  }

  override async decide(decision: DecisionAppend): Promise<DecisionAnswer> {
    this.checkOpen();
    checkDecision(decision);
    return this.parts.decisions.decide(decision);
  }

  override async readHead(aggregate: AggregateKey): Promise<number> {
    this.checkOpen();
    return this.parts.decisions.readHead(aggregate);
  }

  async *read(aggregate: AggregateKey, options: ReadOptions = {}): AsyncGenerator<readonly Fact[]> {
    this.checkOpen();
    const pageSize = options.pageSize ?? PAGE_SIZE;
    if (!Number.isInteger(pageSize) || pageSize < 1 || pageSize > PAGE_SIZE_MAX) {
      throw new InvalidEventError('INVALID_ARGUMENT', `pageSize is ${pageSize}.`, {
        fix: `Give a whole number from 1 to ${PAGE_SIZE_MAX}.`,
      });
    }
    const isStopped = (): boolean => options.signal?.aborted === true;
    if (isStopped()) return;
    const counted = options.withRepeats === true ? new Repeats(this.parts, aggregate) : undefined;
    let page: Fact[] = [];
    let characters = 0;
    for await (const chunk of this.parts.histories.read(aggregate, wantedOf(options, pageSize))) {
      if (isStopped()) return;
      // The usual case: what came fits as it is.
      if (page.length === 0 && counted === undefined && chunk.length <= pageSize && isLight(chunk)) {
        yield chunk;
        if (isStopped()) return;
        continue;
      }
      for (const fact of chunk) {
        page.push(counted === undefined ? fact : await counted.add(fact));
        characters += fact.content.length;
        if (page.length < pageSize && characters < PAGE_CHARACTERS_MAX) continue;
        yield page;
        if (isStopped()) return;
        this.checkOpen();
        page = [];
        characters = 0;
      }
    }
    if (page.length > 0) yield page;
  }

  async readMany(
    aggregates: readonly AggregateKey[],
    options: Omit<ReadOptions, 'pageSize' | 'signal'> = {},
  ): Promise<readonly (readonly Fact[])[]> {
    this.checkOpen();
    checkAggregates(aggregates.length);
    const wanted = wantedOf(options, PAGE_SIZE);
    const found: (readonly Fact[])[] = aggregates.map(() => NONE);
    await eachBounded(aggregates, READS_AT_ONCE, async (aggregate, i) => {
      const facts = await this.parts.histories.collect(aggregate, wanted);
      if (options.withRepeats === true) {
        const counted = new Repeats(this.parts, aggregate);
        for (const fact of facts) await counted.add(fact);
      }
      found[i] = facts;
    });
    return found;
  }

  async readCorrections(
    aggregates: readonly AggregateKey[],
    options: KnownOptions = {},
  ): Promise<readonly (readonly Fact[])[]> {
    this.checkOpen();
    checkAggregates(aggregates.length);
    const { session, placement } = this.parts;
    const found: (readonly Fact[])[] = aggregates.map(() => NONE);
    const slices = new Set((await session.rows(CORRECTED, [session.context])).map((row) => row['slice'] as number));
    if (slices.size === 0) return found;
    const until = untilOf(options);
    const asked = aggregates.map((_, i) => i).filter((i) => slices.has(placement.sliceOf(aggregates[i]!)));
    await eachBounded(asked, READS_AT_ONCE, async (i) => {
      const key = aggregates[i]!;
      const rows = await session.rows(CORRECTIONS, [session.context, key.tenant, key.type, key.id]);
      if (rows.length > 0) found[i] = distinctFacts(key, rows, until).sort(compareKey);
    });
    return found;
  }

  async readLate(
    aggregate: AggregateKey,
    options: KnownOptions & { readonly after: ProcessingTime; readonly limit: number },
  ): Promise<readonly Fact[]> {
    this.checkOpen();
    return this.parts.late.read(aggregate, { after: options.after, until: untilOf(options), limit: options.limit });
  }

  /** Asks each lane of the list for its next aggregates: a few hundred requests, so take large pages. */
  async scanAggregates(after: AggregateKey | undefined, limit: number): Promise<readonly AggregateKey[]> {
    this.checkOpen();
    const { session } = this.parts;
    const all: AggregateKey[] = [];
    await eachBounded(aggregateLanes, READS_AT_ONCE, async (lane) => {
      const found = await (after === undefined
        ? session.execute(LIST, [session.context, lane], { fetchSize: limit })
        : session.execute(LIST_BEHIND, [session.context, lane, after.tenant, after.type, after.id], {
            fetchSize: limit,
          }));
      for (const row of found.rows) {
        all.push({ tenant: row['tenant'] as string, type: row['type'] as string, id: row['id'] as string });
      }
    });
    all.sort((a, b) => compareText(a.tenant, b.tenant) || compareText(a.type, b.type) || compareText(a.id, b.id));
    return all.slice(0, limit);
  }

  async readSourceCounts(): Promise<readonly SourceCounts[]> {
    this.checkOpen();
    return this.parts.repeats.readSources();
  }

  async keepFloor(ms: number): Promise<void> {
    this.checkOpen();
    await this.parts.writer.keepFloor(ms);
  }
}

/** Fills in how often facts of one aggregate came again, asked for bucket by bucket. */
class Repeats {
  private readonly buckets = new Map<number, ReadonlyMap<string, number>>();
  private directory: Directory | undefined;

  constructor(
    private readonly parts: StoreParts,
    private readonly aggregate: AggregateKey,
  ) {}

  async add(fact: Fact): Promise<Fact> {
    const bucket = this.parts.placement.bucketOf(this.aggregate.type, fact.eventTime);
    let counts = this.buckets.get(bucket);
    if (counts === undefined) {
      this.directory ??= await this.parts.growth.readDirectory(this.aggregate);
      const width = this.directory.get(bucket)?.width ?? 1;
      counts = await this.parts.repeats.repeatsOf(this.aggregate, bucket, width);
      this.buckets.set(bucket, counts);
    }
    if (counts.size > 0) fact.repeats = counts.get(identityText(fact) + fact.digest) ?? 0;
    return fact;
  }
}

function isLight(facts: readonly Fact[]): boolean {
  let characters = 0;
  for (const fact of facts) characters += fact.content.length;
  return characters <= PAGE_CHARACTERS_MAX;
}

function checkAggregates(count: number): void {
  if (count <= AGGREGATES_MAX) return;
  throw new InvalidEventError('LIMIT_EXCEEDED', `${count} aggregates were asked for at once.`, {
    fix: `Ask for at most ${AGGREGATES_MAX} at a time.`,
  });
}

/** `knownAt` and `upTo` say the same of this store: what was recorded at or before. */
function untilOf({ knownAt, upTo }: KnownOptions): ProcessingTime | undefined {
  const place = upTo === undefined ? undefined : TimePosition.of(upTo).time;
  if (knownAt === undefined || place === undefined) return knownAt ?? place;
  return isAfter(knownAt, place) ? place : knownAt;
}

/** Event times are whole: bounds are brought to the first and last that they let in. */
function wantedOf(options: ReadOptions, size: number): Wanted {
  const { range } = options;
  let from: number = limits.eventTimeMin;
  let to: number = limits.eventTimeMax;
  if (range?.from !== undefined) {
    from = Math.max(
      from,
      Math.ceil(range.from) + (range.fromExclusive === true && Number.isInteger(range.from) ? 1 : 0),
    );
  }
  if (range?.to !== undefined) {
    to = Math.min(to, Math.floor(range.to) - (range.toExclusive === true && Number.isInteger(range.to) ? 1 : 0));
  }
  return {
    from,
    to,
    descending: options.descending === true,
    until: untilOf(options),
    names: options.names === undefined ? undefined : new Set(options.names),
    size,
  };
}
