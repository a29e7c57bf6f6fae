/**
 * The stored form of facts: chunks of up to 256, one LMDB entry each, in recorded order. This file reads them;
 * `chunk-writer.ts` makes them. Histories have a form of their own: `segment.ts`.
 *
 * Layout: format · count · node (6) · base ms, tick, first index, base event time · words · kinds ·
 * per fact: length and time code · bodies. Numbers are varints. A body ends in its content, as UTF-8.
 */
import { Fact, processingIdPrefix, type IdStamp } from '@concursus/core';

export const CHUNK_FORMAT = 1;
/** Time codes: the append goes on; the next tick of the same millisecond; above that, milliseconds ahead, at tick 0. */
export const SAME_APPEND = 0;
export const NEXT_TICK = 1;

/** What many facts of a chunk share; texts are places in its words. */
export interface Kind {
  readonly tenant: number;
  readonly type: number;
  readonly name: number;
  readonly version: number;
  readonly characteristics: number;
}

/** Writes a safe integer from 0 in 7 bits a byte. @returns where to go on */
export function putVarint(bytes: Buffer, at: number, value: number): number {
  let rest = value;
  while (rest > 0x7fff_ffff) {
    bytes[at++] = (rest % 128) | 128;
    rest = Math.floor(rest / 128);
  }
  while (rest > 127) {
    bytes[at++] = (rest & 127) | 128;
    rest >>>= 7;
  }
  bytes[at++] = rest;
  return at;
}

/** Signed numbers as ones from 0, small ones small. */
export const zigzag = (n: number): number => (n >= 0 ? n * 2 : -n * 2 - 1);
export const unzigzag = (n: number): number => (n % 2 === 0 ? n / 2 : -(n + 1) / 2);

/** A chunk as its readers see it, whether it was read or has just been written. */
export interface FeedChunk {
  /** The ordinal of its first fact. */
  readonly first: number;
  readonly count: number;
  /** The process that wrote it, 12 hex digits. */
  readonly node: string;
  /** Processing time of each fact, and its place in its append. */
  readonly ms: ArrayLike<number>;
  readonly tick: ArrayLike<number>;
  readonly index: ArrayLike<number>;
  /** What keeping it costs, roughly: its bytes and the facts made of them. */
  readonly weight: number;
  /** The `k`-th fact; the same object each time. Readers share it and never change it. */
  fact(k: number): Fact;
}

export function weightOfChunk(bytes: number, count: number): number {
  return bytes * 3 + count * 64;
}

/** A chunk read back. Its directory is read at once, each fact when it is first asked for, and then kept. */
export class Chunk implements FeedChunk {
  readonly count: number;
  readonly ms: Float64Array;
  readonly tick: Uint16Array;
  readonly index: Uint16Array;
  private readonly offsets: Uint32Array;
  readonly node: string;
  private readonly baseEventTime: number;
  private readonly words: string[] = [];
  private readonly kinds: readonly Kind[];
  private readonly facts: (Fact | undefined)[];
  private stamp: AppendStamp | undefined;
  private at = 0;

  /** @param first the ordinal of its first fact @param bytes kept, not copied */
  constructor(
    readonly first: number,
    private readonly bytes: Buffer,
  ) {
    if (bytes[0] !== CHUNK_FORMAT) throw new Error(`the chunk at ordinal ${first} has the unknown format ${bytes[0]}`);
    this.at = 1;
    const count = (this.count = this.varint());
    this.node = bytes.toString('hex', this.at, this.at + 6);
    this.at += 6;
    let ms = unzigzag(this.varint());
    let tick = this.varint();
    let index = this.varint();
    this.baseEventTime = unzigzag(this.varint());
    for (let n = this.varint(); n > 0; n--) this.words.push(this.text());
    const kinds: Kind[] = [];
    for (let n = this.varint(); n > 0; n--) {
      kinds.push({
        tenant: this.varint(),
        type: this.varint(),
        name: this.varint(),
        version: this.varint(),
        characteristics: this.varint(),
      });
    }
    this.kinds = kinds;
    this.ms = new Float64Array(count);
    this.tick = new Uint16Array(count);
    this.index = new Uint16Array(count);
    this.offsets = new Uint32Array(count + 1);
    this.facts = Array.from({ length: count });
    let offset = 0;
    for (let i = 0; i < count; i++) {
      this.offsets[i] = offset;
      offset += this.varint();
      const code = this.varint();
      if (i > 0) {
        if (code === SAME_APPEND) index++;
        else {
          index = 0;
          if (code === NEXT_TICK) tick++;
          else {
            ms += code - NEXT_TICK;
            tick = 0;
          }
        }
      }
      this.ms[i] = ms;
      this.tick[i] = tick;
      this.index[i] = index;
    }
    this.offsets[count] = offset;
    for (let i = 0; i <= count; i++) this.offsets[i]! += this.at;
  }

  get weight(): number {
    return weightOfChunk(this.bytes.length, this.count);
  }

  private varint(): number {
    const { bytes } = this;
    let byte = bytes[this.at++]!;
    if (byte < 128) return byte;
    let value = byte & 127;
    let factor = 128;
    do {
      byte = bytes[this.at++]!;
      value += (byte & 127) * factor;
      factor *= 128;
    } while (byte > 127);
    return value;
  }

  private text(): string {
    const length = this.varint();
    const start = this.at;
    this.at += length;
    return this.bytes.toString('utf8', start, this.at);
  }

  private idAt(k: number): string {
    this.at = this.offsets[k]!;
    this.varint();
    this.varint();
    const back = this.varint();
    return back === 0 ? this.text() : this.idAt(k - back);
  }

  fact(k: number): Fact {
    return (this.facts[k] ??= this.decode(k));
  }

  private decode(k: number): Fact {
    this.at = this.offsets[k]!;
    const kind = this.kinds[this.varint()]!;
    const streamId = this.words[this.varint()]!;
    const back = this.varint();
    let aggregateId: string;
    if (back === 0) aggregateId = this.text();
    else {
      const at = this.at;
      aggregateId = this.facts[k - back]?.aggregateId ?? this.idAt(k - back);
      this.at = at;
    }
    const eventTime = this.baseEventTime + unzigzag(this.varint());
    const sequence = this.varint() - 1;
    const entries = this.varint();
    let metadata: Record<string, string> | undefined;
    if (entries > 0) {
      metadata = {};
      for (let i = 1; i < entries; i++) {
        const name = this.words[this.varint()]!;
        metadata[name] = this.text();
      }
    }
    const ms = this.ms[k]!;
    const tick = this.tick[k]!;
    let { stamp } = this;
    if (stamp === undefined || stamp.ms !== ms || stamp.tick !== tick) {
      this.stamp = stamp = new AppendStamp(ms, tick, this.node);
    }
    const fact = new Fact({
      tenant: this.words[kind.tenant]!,
      aggregateType: this.words[kind.type]!,
      aggregateId,
      name: this.words[kind.name]!,
      version: this.words[kind.version]!,
      eventTime,
      streamId,
      sequence,
      characteristics: kind.characteristics,
      content: this.bytes.toString('utf8', this.at, this.offsets[k + 1]!),
      metadata,
    });
    fact.stamp(stamp, this.index[k]!, ms);
    return fact;
  }
}

/** As `formatProcessingId`, for an append whose prefix is at hand: the index sits under the variant bit, so it has four digits. */
function processingIdOf(prefix: string, index: number, node: string): string {
  return `${prefix}${(0x8000 | index).toString(16)}-${node}`;
}

/** The ids of one append's facts, by their places in it: most facts that are read are never asked for theirs. */
export class AppendStamp implements IdStamp {
  private prefix: string | undefined;

  constructor(
    readonly ms: number,
    readonly tick: number,
    readonly node: string,
  ) {}

  idOf(index: number): string {
    this.prefix ??= processingIdPrefix({ ms: this.ms, tick: this.tick });
    return processingIdOf(this.prefix, index, this.node);
  }
}
