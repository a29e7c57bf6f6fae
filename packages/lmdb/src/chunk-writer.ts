/** Makes the chunks of `fact-chunk.ts`: what their facts share (names, streams, ids, base times) is written once. */
import type { Fact, Metadata, ProcessingTime } from '@concursus/core';
import { CHUNK_FORMAT, NEXT_TICK, putVarint, SAME_APPEND, zigzag, type Kind } from './fact-chunk.js';

/** 256: a fact's place in its chunk is one byte. */
const CHUNK_FACTS_MAX = 256;
/** Large enough for LZ4 to find what facts share, small enough to unpack in microseconds. */
const CHUNK_BYTES_TARGET = 16_368;

/** Gathers facts into one chunk. Reused: what `finish` returns is valid until the next `add`. */
export class ChunkWriter {
  count = 0;
  private bodies = Buffer.allocUnsafeSlow(64 * 1_024);
  private at = 0;
  private out = Buffer.allocUnsafeSlow(96 * 1_024);
  private readonly words = new Map<string, number>();
  private wordsBytes = 0;
  private readonly kinds: Kind[] = [];
  private readonly kindFacts: Fact[] = [];
  private readonly ids = new Map<string, number>();
  private readonly lengths: number[] = [];
  private readonly codes: number[] = [];
  private base: ProcessingTime = { ms: 0, tick: 0 };
  private last: ProcessingTime = this.base;
  private baseIndex = 0;
  private baseEventTime = 0;

  constructor(private readonly node: string) {}

  /** Bytes so far, as far as a bound needs to know. */
  get bytes(): number {
    return this.at + this.wordsBytes + this.count * 3 + 40;
  }

  /** False when the fact belongs into the next chunk: this one is full, or the time cannot be told as a step from the last. */
  takes(fact: Fact, time: ProcessingTime): boolean {
    if (this.count === 0) return true;
    if (this.count === CHUNK_FACTS_MAX) return false;
    if (this.bytes + fact.content.length + fact.aggregateId.length + 16 > CHUNK_BYTES_TARGET) return false;
    return this.codeOf(time) >= 0;
  }

  private codeOf(time: ProcessingTime): number {
    const { last } = this;
    if (time === last) return SAME_APPEND;
    if (time.ms === last.ms) return time.tick === last.tick + 1 ? NEXT_TICK : -1;
    return time.tick === 0 && time.ms > last.ms ? NEXT_TICK + time.ms - last.ms : -1;
  }

  private word(text: string): number {
    let index = this.words.get(text);
    if (index === undefined) {
      index = this.words.size;
      this.words.set(text, index);
      this.wordsBytes += text.length + 1;
    }
    return index;
  }

  private kindOf(fact: Fact): number {
    const facts = this.kindFacts;
    for (let i = 0; i < facts.length; i++) {
      const known = facts[i]!;
      if (
        known.name === fact.name &&
        known.aggregateType === fact.aggregateType &&
        known.version === fact.version &&
        known.characteristics === fact.characteristics &&
        known.tenant === fact.tenant
      ) {
        return i;
      }
    }
    this.kinds.push({
      tenant: this.word(fact.tenant),
      type: this.word(fact.aggregateType),
      name: this.word(fact.name),
      version: this.word(fact.version),
      characteristics: fact.characteristics,
    });
    facts.push(fact);
    this.wordsBytes += 5;
    return facts.length - 1;
  }

  private room(bytes: number): void {
    if (this.at + bytes <= this.bodies.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.bodies.length * 2, this.at + bytes));
    this.bodies.copy(grown, 0, 0, this.at);
    this.bodies = grown;
  }

  private tail(text: string): void {
    const { bodies } = this;
    const length = text.length;
    if (length <= 32) {
      const start = this.at;
      let i = 0;
      for (; i < length; i++) {
        const code = text.charCodeAt(i);
        if (code > 0x7f) break;
        bodies[start + i] = code;
      }
      if (i === length) {
        this.at += length;
        return;
      }
    }
    this.at += bodies.write(text, this.at, 'utf8');
  }

  /** A text with its length in front. */
  private text(text: string): void {
    const { bodies } = this;
    if (text.length < 43) {
      // Below 43 units the length is below 128 bytes, one byte that can be filled in afterwards.
      const at = this.at++;
      this.tail(text);
      bodies[at] = this.at - at - 1;
      return;
    }
    this.at = putVarint(bodies, this.at, Buffer.byteLength(text));
    this.tail(text);
  }

  /** @param index the fact's place among the new facts of its append */
  add(fact: Fact, time: ProcessingTime, index: number): void {
    if (this.count === 0) {
      this.base = time;
      this.last = time;
      this.baseIndex = index;
      this.baseEventTime = fact.eventTime;
    }
    const start = this.at;
    const { metadata } = fact;
    this.room(fact.content.length * 3 + fact.aggregateId.length * 3 + 64);
    const { bodies } = this;
    this.at = putVarint(bodies, this.at, this.kindOf(fact));
    this.at = putVarint(bodies, this.at, this.word(fact.streamId));
    const known = this.ids.get(fact.aggregateId);
    if (known === undefined) {
      this.ids.set(fact.aggregateId, this.count);
      bodies[this.at++] = 0;
      this.text(fact.aggregateId);
    } else this.at = putVarint(bodies, this.at, this.count - known);
    this.at = putVarint(bodies, this.at, zigzag(fact.eventTime - this.baseEventTime));
    this.at = putVarint(bodies, this.at, fact.sequence + 1);
    if (metadata === undefined) bodies[this.at++] = 0;
    else this.addMetadata(metadata, fact.content.length);
    this.tail(fact.content);
    this.lengths.push(this.at - start);
    this.codes.push(this.codeOf(time));
    this.last = time;
    this.count++;
  }

  private addMetadata(metadata: Metadata, contentLength: number): void {
    const names = Object.keys(metadata);
    // One more than the entries: 0 says that there is no metadata, 1 that it is empty.
    this.at = putVarint(this.bodies, this.at, names.length + 1);
    for (const name of names) {
      const value = metadata[name]!;
      this.room((value.length + contentLength) * 3 + 32);
      this.at = putVarint(this.bodies, this.at, this.word(name));
      this.text(value);
    }
  }

  /** The chunk's bytes; afterwards the writer is empty. */
  finish(): Buffer {
    const need = this.at + this.wordsBytes * 3 + this.count * 16 + this.kinds.length * 40 + 96;
    if (need > this.out.length) this.out = Buffer.allocUnsafeSlow(need);
    const { out } = this;
    let at = 0;
    out[at++] = CHUNK_FORMAT;
    at = putVarint(out, at, this.count);
    at += out.write(this.node, at, 'hex');
    at = putVarint(out, at, zigzag(this.base.ms));
    at = putVarint(out, at, this.base.tick);
    at = putVarint(out, at, this.baseIndex);
    at = putVarint(out, at, zigzag(this.baseEventTime));
    at = putVarint(out, at, this.words.size);
    for (const word of this.words.keys()) {
      at = putVarint(out, at, Buffer.byteLength(word));
      at += out.write(word, at, 'utf8');
    }
    at = putVarint(out, at, this.kinds.length);
    for (const kind of this.kinds) {
      at = putVarint(out, at, kind.tenant);
      at = putVarint(out, at, kind.type);
      at = putVarint(out, at, kind.name);
      at = putVarint(out, at, kind.version);
      at = putVarint(out, at, kind.characteristics);
    }
    for (let i = 0; i < this.count; i++) {
      at = putVarint(out, at, this.lengths[i]!);
      at = putVarint(out, at, this.codes[i]!);
    }
    this.bodies.copy(out, at, 0, this.at);
    at += this.at;
    this.clear();
    return out.subarray(0, at);
  }

  /** Empties the writer, also after a transaction that failed. */
  clear(): void {
    this.count = 0;
    this.at = 0;
    this.words.clear();
    this.wordsBytes = 0;
    this.kinds.length = 0;
    this.kindFacts.length = 0;
    this.ids.clear();
    this.lengths.length = 0;
    this.codes.length = 0;
  }
}
