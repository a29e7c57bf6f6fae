/**
 * The log of one context: feed chunks and history index, written together. It decides what is new, repeated or
 * conflicting, gives processing times, and reads facts back. One object per environment and context in a process.
 */
import { Fact, nextProcessingTime, processingIdPrefix, randomNode } from '@concursus/core';
import type { Append, AppendOutcome, Clock, ProcessingTime, SourceCounts } from '@concursus/core';
import { Bell } from './bell.js';
import type { Bytes, Environment } from './environment.js';
import { ChunkWriter } from './chunk-writer.js';
import { Chunk, processingIdOf } from './fact-chunk.js';
import { after, KeyWriter } from './keys.js';
import type { GroupMember } from './write-queue.js';

/** Weighed as `Chunk.weight` says: about 400 chunks of small facts. */
const CACHE_WEIGHT_MAX = 16 * 1_048_576;
/** The last 100 ns of a millisecond: a floor of it covers the whole millisecond. */
const LAST_TICK = 9_999;
const BEFORE_ALL: ProcessingTime = { ms: Number.NEGATIVE_INFINITY, tick: 0 };

/** A history entry's value: ordinal (6 bytes) · place in its chunk (1) · repeats (4, absent when 0). */
const ENTRY_BYTES = 7;
const ENTRY_BYTES_REPEATED = 11;

const LOG_ROW = Buffer.from('log');
/** The rows of sources stand beside it. */
const SOURCE_ROWS = 'source';

/** The key of a fact's identity in the history: tenant, type, id, event time, stream, sequence, name. */
export function historyKey(keys: KeyWriter, fact: Fact): KeyWriter {
  return keys
    .start()
    .text(fact.tenant)
    .text(fact.aggregateType)
    .text(fact.aggregateId)
    .signed(fact.eventTime)
    .text(fact.streamId)
    .signed(fact.sequence)
    .text(fact.name);
}

export class FactLog implements GroupMember {
  readonly feed: Bytes;
  readonly history: Bytes;
  /** Rings when facts were recorded. */
  readonly bell = new Bell();
  private readonly meta: Bytes;
  private readonly node: string;
  private readonly keys = new KeyWriter();
  private readonly feedKeys = new KeyWriter();
  private readonly entry = Buffer.allocUnsafeSlow(ENTRY_BYTES_REPEATED);
  private readonly row = Buffer.allocUnsafeSlow(18);
  private readonly cache = new Map<number, Chunk>();
  private cacheWeight = 0;

  // Of the group in hand.
  private readonly writer: ChunkWriter;
  private first = 0;
  private next = 0;
  private chunkFirst = 0;
  private last: ProcessingTime = BEFORE_ALL;
  private moved = false;
  private readonly recorded: Fact[] = [];
  private readonly counts = new Map<string, { repeated: number; conflicting: number }>();
  private readonly ids: string[] = [];
  private readonly times: number[] = [];
  private readonly chunks: Chunk[] = [];
  /** From here on facts are committed and not yet known to be on disk: the feed shows them afterwards. */
  private unflushedFrom = Number.POSITIVE_INFINITY;

  constructor(
    private readonly env: Environment,
    context: string,
    clock: Clock,
  ) {
    this.feed = env.bytes(context, 'feed', true);
    this.history = env.bytes(context, 'history');
    this.meta = env.bytes(context, 'meta');
    this.node = randomNode((length) => clock.randomBytes(length));
    this.writer = new ChunkWriter(this.node);
  }

  static of(env: Environment, context: string, clock: Clock): FactLog {
    return env.share(`log/${context}`, () => new FactLog(env, context, clock));
  }

  // --- Writing: inside the transaction of a group.

  begin(): void {
    this.readRow();
    this.first = this.next;
    this.chunkFirst = this.next;
    this.moved = false;
  }

  private readRow(): void {
    const row = this.meta.getBinary(LOG_ROW);
    if (row === undefined) {
      this.next = 0;
      this.last = BEFORE_ALL;
    } else {
      this.next = row.readDoubleBE(0);
      this.last = { ms: row.readDoubleBE(8), tick: row.readUInt16BE(16) };
    }
  }

  /** Stores one append. @returns what became of each fact */
  append(append: Append): AppendOutcome[] {
    const { facts } = append;
    const outcomes: AppendOutcome[] = [];
    let time: ProcessingTime | undefined;
    let prefix = '';
    let index = 0;
    for (const fact of facts) {
      const keys = historyKey(this.keys, fact);
      const identity = keys.view();
      const stored = this.history.getBinaryFast(identity);
      let outcome: AppendOutcome = 'recorded';
      if (stored !== undefined) {
        if (this.same(stored, fact)) {
          this.countRepeat(identity);
          this.count(fact.streamId, 'repeated');
          outcomes.push('repeated');
          continue;
        }
        const conflict = keys.hex(fact.digest).view();
        if (this.history.getBinaryFast(conflict) !== undefined) {
          this.countRepeat(conflict);
          this.count(fact.streamId, 'repeated');
          outcomes.push('repeated');
          continue;
        }
        outcome = 'conflicting';
        this.count(fact.streamId, 'conflicting');
      }
      if (time === undefined) {
        this.last = time = nextProcessingTime(this.last, append.receivedAt);
        prefix = processingIdPrefix(time);
      }
      this.record(fact, time, index, keys.view());
      this.ids.push(processingIdOf(prefix, index, this.node));
      this.times.push(time.ms);
      index++;
      outcomes.push(outcome);
    }
    return outcomes;
  }

  /** How many facts come before the next one: covers all that this group stored or found. */
  get ordinal(): number {
    return this.next;
  }

  private record(fact: Fact, time: ProcessingTime, index: number, key: Buffer): void {
    if (!this.writer.takes(fact, time)) this.writeChunk();
    const place = this.writer.count;
    this.writer.add(fact, time, index);
    const { entry } = this;
    entry.writeUIntBE(this.next, 0, 6);
    entry[6] = place;
    this.history.putSync(key, entry.subarray(0, ENTRY_BYTES));
    this.next++;
    // A fact stamped by another store stays that store's.
    this.recorded.push(fact.processingId === '' ? fact : new Fact(fact));
  }

  private same(stored: Buffer, fact: Fact): boolean {
    const ordinal = stored.readUIntBE(0, 6);
    const known = ordinal >= this.first ? this.recorded[ordinal - this.first]! : this.factAt(ordinal, stored[6]!);
    return known.content === fact.content && known.version === fact.version;
  }

  /** Repeats and conflicts of each source, added up over a group and written once. */
  private count(streamId: string, outcome: 'repeated' | 'conflicting'): void {
    let counts = this.counts.get(streamId);
    if (counts === undefined) this.counts.set(streamId, (counts = { repeated: 0, conflicting: 0 }));
    counts[outcome]++;
  }

  private writeCounts(): void {
    for (const [streamId, { repeated, conflicting }] of this.counts) {
      const key = this.keys.start().text(SOURCE_ROWS).tail(streamId).copy();
      const row = this.meta.getBinary(key);
      const sum = Buffer.alloc(16);
      sum.writeDoubleBE(repeated + (row?.readDoubleBE(0) ?? 0), 0);
      sum.writeDoubleBE(conflicting + (row?.readDoubleBE(8) ?? 0), 8);
      this.meta.putSync(key, sum);
    }
  }

  /** What was counted of each source, over all time. */
  sourceCounts(): SourceCounts[] {
    const start = this.keys.start().text(SOURCE_ROWS).copy();
    const found: SourceCounts[] = [];
    for (const { key, value } of this.meta.getRange({ start, end: after(start) })) {
      const row = value as Buffer;
      const streamId = (key as Buffer).toString('utf8', start.length);
      found.push({ streamId, repeated: row.readDoubleBE(0), conflicting: row.readDoubleBE(8) });
    }
    return found;
  }

  private countRepeat(key: Buffer): void {
    // Read again: comparing may have used the driver's buffer.
    const stored = this.history.getBinaryFast(key)!;
    const { entry } = this;
    const repeats = repeatsOf(stored);
    // Byte by byte: the driver's buffer tells its length by a property that `copy` does not look at.
    for (let i = 0; i < ENTRY_BYTES; i++) entry[i] = stored[i]!;
    entry.writeUInt32BE(Math.min(repeats + 1, 0xffff_ffff), ENTRY_BYTES);
    this.history.putSync(key, entry);
  }

  private writeChunk(): void {
    const { count } = this.writer;
    if (count === 0) return;
    const bytes = this.writer.finish();
    this.feed.putSync(this.feedKeys.start().ordinal(this.chunkFirst).view(), bytes);
    this.chunks.push(new Chunk(this.chunkFirst, Buffer.from(bytes)));
    this.chunkFirst += count;
  }

  /** Nothing gets a processing time at or below `ms` after this. */
  keepFloor(ms: number): void {
    if (this.isAbove(ms)) return;
    this.last = { ms, tick: LAST_TICK };
    this.moved = true;
  }

  private isAbove(ms: number): boolean {
    return this.last.ms > ms || (this.last.ms === ms && this.last.tick === LAST_TICK);
  }

  end(): void {
    this.writeChunk();
    this.writeCounts();
    if (this.next === this.first && !this.moved) return;
    const { row } = this;
    row.writeDoubleBE(this.next, 0);
    row.writeDoubleBE(this.last.ms, 8);
    row.writeUInt16BE(this.last.tick, 16);
    this.meta.putSync(LOG_ROW, row);
    this.unflushedFrom = this.first;
  }

  committed(): void {
    const { recorded } = this;
    for (let i = 0; i < recorded.length; i++) {
      const fact = recorded[i]!;
      fact.processingId = this.ids[i]!;
      fact.processedAt = this.times[i]!;
    }
    for (const chunk of this.chunks) {
      const from = chunk.first - this.first;
      for (let k = 0; k < chunk.count; k++) chunk.adopt(k, recorded[from + k]!);
      this.keep(chunk);
    }
    const grew = recorded.length > 0;
    this.forget();
    if (grew) this.bell.ring();
  }

  aborted(): void {
    this.writer.clear();
    this.forget();
  }

  private forget(): void {
    this.recorded.length = 0;
    this.counts.clear();
    this.ids.length = 0;
    this.times.length = 0;
    this.chunks.length = 0;
    this.unflushedFrom = Number.POSITIVE_INFINITY;
  }

  // --- Reading: outside of transactions, or inside before the group's own facts.

  /** How many facts the feed shows. */
  feedEnd(): number {
    const row = this.meta.getBinaryFast(LOG_ROW);
    return row === undefined ? 0 : Math.min(row.readDoubleBE(0), this.unflushedFrom);
  }

  /** True when a floor at `ms` is kept already. */
  hasFloor(ms: number): boolean {
    const row = this.meta.getBinaryFast(LOG_ROW);
    if (row === undefined) return false;
    const last = row.readDoubleBE(8);
    return last > ms || (last === ms && row.readUInt16BE(16) === LAST_TICK);
  }

  factAt(ordinal: number, place: number): Fact {
    return this.chunkAt(ordinal - place).fact(place);
  }

  /** The chunk that begins with this ordinal. */
  chunkAt(first: number): Chunk {
    const chunk = this.findChunk(first);
    if (chunk === undefined)
      throw new Error(`the history names a chunk at ordinal ${first} that the feed does not hold`);
    return chunk;
  }

  findChunk(first: number): Chunk | undefined {
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
  chunkHolding(ordinal: number): Chunk | undefined {
    const exact = this.findChunk(ordinal);
    if (exact !== undefined) return exact;
    const start = this.feedKeys.start().ordinal(ordinal).copy();
    for (const key of this.feed.getKeys({ start, reverse: true, limit: 1 })) {
      return this.findChunk(Buffer.from(key).readUIntBE(2, 6));
    }
    return undefined;
  }

  private keep(chunk: Chunk): void {
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

export function repeatsOf(stored: Buffer): number {
  // The driver's reused buffer carries its length as a plain property; reading beyond it would read old bytes.
  return stored.length >= ENTRY_BYTES_REPEATED ? stored.readUInt32BE(ENTRY_BYTES) : 0;
}
