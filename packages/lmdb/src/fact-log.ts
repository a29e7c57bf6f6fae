/**
 * The log of one context: it decides what is new, repeated or conflicting, gives processing times, and writes the feed;
 * the histories follow behind it (`history-index.ts`). One object per environment and context in a process.
 *
 * A group is decided on what this process knows and written on the condition that the log's row is still as it knows it:
 *
 *     this process   knows row 7 · decides        · writes if the row is 7: it is 8, nothing written · reads 8, decides again
 *     another one                  writes row 8 ·
 *
 * Over 400 lines, and one subject: a group on its way from the decision to the log, and what is known of the log by then.
 */
import { compareIdentity, Fact, isCorrection, nextProcessingTime, randomNode } from '@concursus/core';
import type { AggregateKey, Append, AppendOutcome, Clock, ProcessingTime, SourceCounts } from '@concursus/core';
import { getLastVersion } from 'lmdb';
import { Bell } from './bell.js';
import type { Bytes, Environment } from './environment.js';
import { ChunkWriter } from './chunk-writer.js';
import { AppendStamp, Chunk, type FeedChunk } from './fact-chunk.js';
import { HistoryIndex, ownerKey, type Span } from './history-index.js';
import { HistoryOwners } from './history-owners.js';
import { after, KeyWriter, readOrdinal } from './keys.js';
import { Entry, WrittenChunk } from './entry.js';
import { Tail, weightOf, type AggregateTail } from './tail.js';
import type { EagerMember } from './write-queue.js';
import { Writes } from './writes.js';

/**
 * Weighed as `Chunk.weight` says: about 100 chunks of small facts, some steps of a reader that catches up. What is kept is
 * copied by each collection of garbage: with four times as much, reading a long feed takes a seventh longer.
 */
const CACHE_WEIGHT_MAX = 4 * 1_048_576;
/** The last 100 ns of a millisecond: a floor of it covers the whole millisecond. */
const LAST_TICK = 9_999;
const BEFORE_ALL: ProcessingTime = { ms: Number.NEGATIVE_INFINITY, tick: 0 };
const REPEATS_MAX = 0xffff_ffff;
/** After another process came first, so many groups are decided while the environment is locked for it. */
const PATIENCE = 16;

/** The key says it all. */
const LISTED = Buffer.alloc(1);
const LOG_ROW = Buffer.from('log');
const ROW_BYTES = 32;

export class FactLog implements EagerMember {
  readonly feed: Bytes;
  /** Rings when facts were recorded. */
  readonly bell = new Bell();
  private readonly rows: Bytes;
  private readonly repeats: Bytes;
  /** By aggregate and ordinal: facts recorded behind a later key of their history, and corrections. */
  private readonly late: Bytes;
  private readonly corrections: Bytes;
  /** What was counted of each source. */
  private readonly sources: Bytes;
  private readonly node: string;
  private readonly feedKeys = new KeyWriter();
  private readonly listKeys = new KeyWriter();
  private readonly cache = new Map<number, FeedChunk>();
  private cacheWeight = 0;
  private readonly tail = new Tail();
  private readonly writes = new Writes();
  private readonly index: HistoryIndex;
  private readonly owners: HistoryOwners;

  // What this process knows of the log: the row as it read or wrote it last.
  private version = 0;
  private next = 0;
  private last: ProcessingTime = BEFORE_ALL;
  private indexedUpTo = 0;

  // Of the group in hand.
  private readonly writer: ChunkWriter;
  private first = 0;
  private chunkFirst = 0;
  private moved = false;
  private appendedWeight = 0;
  private readonly recorded: {
    readonly aggregate: AggregateTail;
    readonly entry: Entry;
    readonly stamp: AppendStamp;
  }[] = [];
  private readonly chunks: WrittenChunk[] = [];
  private readonly counted = new Map<number, number>();
  private readonly sourceCounts = new Map<string, { repeated: number; conflicting: number }>();
  /** Up to here the histories hold the feed once the group is stored. */
  private indexing: number | undefined;
  /** The row's version then; 0: it is left as it is. */
  private written = 0;
  /** From here on facts are committed and not yet known to be on disk: the feed shows them afterwards. */
  private unflushedFrom = Number.POSITIVE_INFINITY;
  private patience = 0;

  constructor(
    private readonly env: Environment,
    context: string,
    clock: Clock,
    indexAfter: number,
  ) {
    this.feed = env.bytes(context, 'feed', true);
    this.rows = env.versioned(context, 'log');
    this.repeats = env.bytes(context, 'repeats');
    this.late = env.bytes(context, 'late');
    this.corrections = env.bytes(context, 'corrections');
    this.sources = env.bytes(context, 'sources');
    const histories = env.bytes(context, 'history', true);
    this.owners = new HistoryOwners(histories, this.tail);
    this.index = new HistoryIndex(histories, this.tail, this.writes, indexAfter);
    this.node = randomNode((length) => clock.randomBytes(length));
    this.writer = new ChunkWriter(this.node);
  }

  // --- Following what others write.

  /** Takes in what the snapshot or transaction in hand shows and this process does not know yet. */
  private refresh(): void {
    let row = this.rows.getBinaryFast(LOG_ROW);
    let version = row === undefined ? 0 : getLastVersion();
    if (version < this.version) {
      // A snapshot taken before this process's own last commit.
      this.env.renewSnapshot();
      row = this.rows.getBinaryFast(LOG_ROW);
      version = row === undefined ? 0 : getLastVersion();
    }
    if (row === undefined) {
      this.version = 0;
      this.next = 0;
      this.last = BEFORE_ALL;
      return;
    }
    if (version === this.version) return;
    // The driver's buffer is used again by the next read.
    const value = Buffer.from(row.subarray(0, ROW_BYTES));
    const isOwn = version === this.version + 1 && value.toString('hex', 26, 32) === this.node;
    this.version = version;
    if (!isOwn) this.index.doubt();
    if (this.recorded.length > 0) {
      // The group in hand is stored already, or never will be: its chunk tells.
      if (this.holdsOwnChunk(this.first)) this.tail.end = this.next;
      else this.dropRecorded();
    }
    this.next = value.readDoubleBE(0);
    this.last = { ms: value.readDoubleBE(8), tick: value.readUInt16BE(16) };
    this.setIndexed(value.readDoubleBE(18));
    for (let at = Math.max(this.tail.end, this.indexedUpTo); at < this.next;) at = this.takeIn(this.chunkHeld(at), at);
    this.tail.end = this.next;
  }

  private setIndexed(ordinal: number): void {
    if (ordinal === this.indexedUpTo) return;
    this.indexedUpTo = ordinal;
    for (const aggregate of [...this.tail.all()]) this.tail.removeBefore(aggregate, ordinal);
  }

  private holdsOwnChunk(first: number): boolean {
    const bytes = this.feed.getBinary(this.feedKeys.start().ordinal(first).view());
    return bytes !== undefined && new Chunk(first, bytes).node === this.node;
  }

  /** @returns the ordinal behind the chunk */
  private takeIn(chunk: FeedChunk, from: number): number {
    const { tail } = this;
    for (let k = from - chunk.first; k < chunk.count; k++) {
      const fact = chunk.fact(k);
      const aggregate = tail.of(fact.tenant, fact.aggregateType, fact.aggregateId);
      const entry = new Entry(fact, chunk.first + k, chunk.ms[k]!, chunk.tick[k]!, chunk.index[k]!, chunk.node);
      tail.add(aggregate, entry);
    }
    return chunk.first + chunk.count;
  }

  // --- Writing: a group at a time.

  begin(): void {
    this.refresh();
    this.first = this.next;
    this.chunkFirst = this.next;
    this.moved = false;
    this.appendedWeight = 0;
  }

  /** Stores one append. @returns what became of each fact */
  append(append: Append): AppendOutcome[] {
    const { facts } = append;
    // Of its full length at once: pushed to, an array of one would hold room for seventeen.
    const outcomes = Array<AppendOutcome>(facts.length);
    let stamp: AppendStamp | undefined;
    let index = 0;
    for (let i = 0; i < facts.length; i++) {
      const fact = facts[i]!;
      const aggregate = this.tail.of(fact.tenant, fact.aggregateType, fact.aggregateId);
      let outcome: AppendOutcome = 'recorded';
      const siblings = this.siblingsOf(aggregate, fact);
      if (siblings.length > 0) {
        const same = siblings.find(
          ({ fact: known }) => known.content === fact.content && known.version === fact.version,
        );
        if (same !== undefined) {
          this.countRepeat(same.ordinal);
          this.countOf(fact.streamId).repeated++;
          outcomes[i] = 'repeated';
          continue;
        }
        outcome = 'conflicting';
        this.countOf(fact.streamId).conflicting++;
      }
      if (stamp === undefined) {
        const { ms, tick } = nextProcessingTime(this.last, append.receivedAt);
        this.last = stamp = new AppendStamp(ms, tick, this.node);
      }
      this.record(aggregate, fact, stamp, index++);
      outcomes[i] = outcome;
    }
    return outcomes;
  }

  /** How many facts come before the next one: covers all that this group stored or found. */
  get ordinal(): number {
    return this.next;
  }

  /** All stored facts of the same identity. */
  private siblingsOf(aggregate: AggregateTail, fact: Fact): readonly Entry[] {
    const fresh = aggregate.of(fact);
    const { maxTime } = this.index.headOf(aggregate);
    if (fact.eventTime > maxTime) return fresh;
    const old = this.index.find(aggregate, fact);
    return fresh.length === 0 ? old : [...fresh, ...old];
  }

  /** The one place where a new fact goes into the feed and towards the indexes. */
  private record(aggregate: AggregateTail, fact: Fact, stamp: AppendStamp, index: number): void {
    if (!this.writer.takes(fact, stamp)) this.writeChunk();
    this.writer.add(fact, stamp, index);
    this.list(aggregate, fact);
    // A fact stamped by another store stays that store's.
    const kept = fact.isStamped ? new Fact(fact) : fact;
    const entry = new Entry(kept, this.next, stamp.ms, stamp.tick, index, this.node);
    this.tail.add(aggregate, entry);
    this.recorded.push({ aggregate, entry, stamp });
    this.appendedWeight += weightOf(fact);
    this.next++;
  }

  /** Puts a fact on the two short lists beside its history, where it belongs on them. */
  private list(aggregate: AggregateTail, fact: Fact): void {
    const corrects = isCorrection(fact);
    if (!corrects && !this.isLate(aggregate, fact)) return;
    const place = ownerKey(this.listKeys, aggregate).ordinal(this.next).copy();
    this.writes.put(this.late, place, LISTED);
    if (corrects) this.writes.put(this.corrections, Buffer.from(place), LISTED);
  }

  /** Whether a later key of the history is known. Of the histories' last instant it is not asked which key: one too many on the list does no harm. */
  private isLate(aggregate: AggregateTail, fact: Fact): boolean {
    const last = aggregate.entries.at(-1);
    if (last !== undefined && compareIdentity(last.fact, fact) >= 0) return true;
    return fact.eventTime <= this.index.headOf(aggregate).maxTime;
  }

  private countOf(streamId: string): { repeated: number; conflicting: number } {
    let counts = this.sourceCounts.get(streamId);
    if (counts === undefined) this.sourceCounts.set(streamId, (counts = { repeated: 0, conflicting: 0 }));
    return counts;
  }

  private writeSourceCounts(): void {
    for (const [streamId, { repeated, conflicting }] of this.sourceCounts) {
      const key = this.listKeys.start().tail(`s${streamId}`).copy();
      const before = this.sources.getBinary(key);
      const value = Buffer.allocUnsafe(16);
      value.writeDoubleBE(repeated + (before?.readDoubleBE(0) ?? 0), 0);
      value.writeDoubleBE(conflicting + (before?.readDoubleBE(8) ?? 0), 8);
      this.writes.put(this.sources, key, value);
    }
  }

  private countRepeat(ordinal: number): void {
    this.counted.set(ordinal, (this.counted.get(ordinal) ?? 0) + 1);
  }

  private writeChunk(): void {
    const { count } = this.writer;
    if (count === 0) return;
    const bytes = Buffer.from(this.writer.finish());
    this.writes.put(this.feed, this.feedKeys.start().ordinal(this.chunkFirst).copy(), bytes);
    const from = this.chunkFirst - this.first;
    const entries = this.recorded.slice(from, from + count).map(({ entry }) => entry);
    this.chunks.push(new WrittenChunk(entries, bytes.length));
    this.chunkFirst += count;
  }

  /** Nothing gets a processing time at or below `ms` after this. */
  keepFloor(ms: number): void {
    if (isAbove(this.last, ms)) return;
    this.last = { ms, tick: LAST_TICK };
    this.moved = true;
  }

  /** After the last job of the group: gathers what it writes. @returns whether there is anything */
  private finish(): boolean {
    this.writeChunk();
    for (const [ordinal, times] of this.counted) {
      const value = Buffer.allocUnsafe(4);
      value.writeUInt32BE(Math.min(this.repeatsOf(ordinal) + times, REPEATS_MAX));
      this.writes.put(this.repeats, this.feedKeys.start().ordinal(ordinal).copy(), value);
    }
    this.writeSourceCounts();
    if (this.recorded.length > 0) {
      const reached = this.index.step(this.appendedWeight);
      if (reached !== undefined && reached > this.indexedUpTo) this.indexing = reached;
    }
    if (this.writes.isEmpty && !this.moved) return false;
    const row = Buffer.allocUnsafe(ROW_BYTES);
    row.writeDoubleBE(this.next, 0);
    row.writeDoubleBE(this.last.ms, 8);
    row.writeUInt16BE(this.last.tick, 16);
    row.writeDoubleBE(this.indexing ?? this.indexedUpTo, 18);
    row.write(this.node, 26, 'hex');
    this.writes.put(this.rows, LOG_ROW, row, this.version + 1);
    if (this.recorded.length > 0) this.unflushedFrom = this.first;
    this.written = this.version + 1;
    return true;
  }

  end(): void {
    if (this.finish()) this.writes.apply();
  }

  takesEagerly(): boolean {
    if (this.patience === 0) return true;
    this.patience--;
    return false;
  }

  async commit(): Promise<boolean> {
    if (!this.finish()) return true;
    const { version } = this;
    const write = (): void => {
      this.writes.apply();
    };
    const stored = version === 0 ? this.rows.ifNoExists(LOG_ROW, write) : this.rows.ifVersion(LOG_ROW, version, write);
    if (await stored) return true;
    this.patience = PATIENCE;
    return false;
  }

  committed(): void {
    const { recorded } = this;
    for (let i = 0; i < recorded.length; i++) {
      const { entry, stamp } = recorded[i]!;
      entry.fact.stamp(stamp, entry.index, stamp.ms);
    }
    for (const chunk of this.chunks) this.keep(chunk);
    const grew = recorded.length > 0;
    if (this.version < this.written) {
      this.version = this.written;
      this.tail.end = this.next;
    }
    this.index.committed();
    if (this.indexing !== undefined && this.indexing > this.indexedUpTo) this.setIndexed(this.indexing);
    this.forget();
    if (grew) this.bell.ring();
  }

  aborted(): void {
    this.writer.clear();
    this.dropRecorded();
    this.index.aborted();
    // What was decided is void: the row tells where the log stands.
    this.version = -1;
    this.forget();
  }

  private dropRecorded(): void {
    for (const { aggregate, entry } of this.recorded) this.tail.remove(aggregate, entry);
    this.recorded.length = 0;
  }

  private forget(): void {
    this.recorded.length = 0;
    this.chunks.length = 0;
    this.counted.clear();
    this.sourceCounts.clear();
    this.writes.clear();
    this.indexing = undefined;
    this.written = 0;
    this.unflushedFrom = Number.POSITIVE_INFINITY;
  }

  // --- Reading: outside of transactions, or inside before the group's own facts.

  private row(): { readonly next: number; readonly last: ProcessingTime } | undefined {
    const row = this.rows.getBinaryFast(LOG_ROW);
    if (row === undefined) return undefined;
    return { next: row.readDoubleBE(0), last: { ms: row.readDoubleBE(8), tick: row.readUInt16BE(16) } };
  }

  /** How many facts the feed shows. */
  feedEnd(): number {
    return Math.min(this.row()?.next ?? 0, this.unflushedFrom);
  }

  /** True when a floor at `ms` is kept already. */
  hasFloor(ms: number): boolean {
    const last = this.row()?.last;
    return last !== undefined && isAbove(last, ms);
  }

  /** Committed facts of a history: see `HistoryIndex.read`. All reads of one turn are of one moment. */
  read(aggregate: AggregateKey, span: Span, take: (entry: Entry) => boolean): void {
    this.refresh();
    this.index.read(aggregate, span, take);
  }

  /** What was counted of each source, over all time. */
  readSourceCounts(): SourceCounts[] {
    const found: SourceCounts[] = [];
    for (const { key, value } of this.sources.getRange({})) {
      const counts = value as Buffer;
      const streamId = (key as Buffer).toString('utf8', 1);
      found.push({ streamId, repeated: counts.readDoubleBE(0), conflicting: counts.readDoubleBE(8) });
    }
    return found;
  }

  /** Whether any aggregate of the context was ever corrected. */
  hasCorrections(): boolean {
    for (const _ of this.corrections.getKeys({ limit: 1 })) return true;
    return false;
  }

  /** Committed facts of one of the two lists of an aggregate, in recorded order, while they are taken. */
  readList(name: 'late' | 'corrections', owner: AggregateKey, take: (fact: Fact, ordinal: number) => boolean): void {
    const start = ownerKey(this.listKeys, owner).copy();
    const list = name === 'late' ? this.late : this.corrections;
    for (const key of list.getKeys({ start, end: after(start) })) {
      const ordinal = readOrdinal(key as Buffer, start.length);
      const chunk = this.chunkHeld(ordinal);
      if (!take(chunk.fact(ordinal - chunk.first), ordinal)) return;
    }
  }

  /** Aggregates that have a history, in the order of their keys, behind `behind`, at most `limit`. */
  aggregates(behind: AggregateKey | undefined, limit: number): AggregateKey[] {
    this.refresh();
    return this.owners.above(behind, limit);
  }

  /** How often the fact at this place came again. */
  repeatsOf(ordinal: number): number {
    return this.repeats.getBinaryFast(this.feedKeys.start().ordinal(ordinal).view())?.readUInt32BE(0) ?? 0;
  }

  private chunkHeld(ordinal: number): FeedChunk {
    const chunk = this.chunkHolding(ordinal);
    if (chunk === undefined || ordinal >= chunk.first + chunk.count) {
      throw new Error(`the log's row tells of a fact at ordinal ${ordinal} that the feed does not hold`);
    }
    return chunk;
  }

  /** The chunk that begins with this ordinal. */
  findChunk(first: number): FeedChunk | undefined {
    const cached = this.cache.get(first);
    if (cached !== undefined) {
      // Moved to the end: the first of the map is the one used longest ago.
      this.cache.delete(first);
      this.cache.set(first, cached);
      return cached;
    }
    const bytes = this.feed.getBinary(this.feedKeys.start().ordinal(first).view());
    if (bytes === undefined) return undefined;
    const chunk = new Chunk(first, bytes);
    this.keep(chunk);
    return chunk;
  }

  /** The chunk that holds the ordinal, wherever it begins. */
  chunkHolding(ordinal: number): FeedChunk | undefined {
    const exact = this.findChunk(ordinal);
    if (exact !== undefined) return exact;
    const start = this.feedKeys.start().ordinal(ordinal).copy();
    for (const key of this.feed.getKeys({ start, reverse: true, limit: 1 })) return this.findChunk(readOrdinal(key));
    return undefined;
  }

  private keep(chunk: FeedChunk): void {
    if (this.cache.has(chunk.first)) return;
    this.cache.set(chunk.first, chunk);
    this.cacheWeight += chunk.weight;
    if (this.cacheWeight <= CACHE_WEIGHT_MAX) return;
    for (const [first, old] of this.cache) {
      if (this.cacheWeight <= CACHE_WEIGHT_MAX * 0.9 || this.cache.size === 1) break;
      this.cache.delete(first);
      this.cacheWeight -= old.weight;
    }
  }

  /** The queue whose groups this log takes part in. */
  get queue(): Environment['queue'] {
    return this.env.queue;
  }
}

function isAbove(last: ProcessingTime, ms: number): boolean {
  return last.ms > ms || (last.ms === ms && last.tick === LAST_TICK);
}
