/**
 * The stored form of a history: segments, each a run of one aggregate's facts in key order. A reader of a history gets
 * neighbours in one LMDB entry, and unpacks all texts of a segment at once. Whose facts they are stands in the key.
 *
 * Layout: format · flags · count · last event time · nodes · lengths of words · kinds · per fact: its numbers · the text of all of it.
 * Numbers are varints; lengths count UTF-16 units of the text, which is Latin-1 when it is ASCII, else UTF-8.
 */
import { Fact } from '@concursus/core';
import type { IdentityKey } from '@concursus/core';
import { Entry } from './entry.js';
import { AppendStamp, putVarint, unzigzag, zigzag } from './fact-chunk.js';

const SEGMENT_FORMAT = 1;
const IS_ASCII = 1;

/** Where the facts of a segment belong. */
export interface Owner {
  readonly tenant: string;
  readonly type: string;
  readonly id: string;
}

class Interned {
  readonly all: string[] = [];
  private readonly places = new Map<string, number>();

  private last = '';
  private lastPlace = -1;

  of(text: string): number {
    if (text === this.last && this.lastPlace >= 0) return this.lastPlace;
    let place = this.places.get(text);
    if (place === undefined) {
      place = this.all.length;
      this.places.set(text, place);
      this.all.push(text);
    }
    this.last = text;
    return (this.lastPlace = place);
  }
}

function isOfKind(a: Fact, b: Fact): boolean {
  return a.name === b.name && a.version === b.version && a.characteristics === b.characteristics;
}

let scratch = Buffer.allocUnsafeSlow(16 * 1_024);

/** @param entries at least one, of one aggregate, in key order */
export function encodeSegment(entries: readonly Entry[]): Buffer {
  const words = new Interned();
  const nodes = new Interned();
  const kindNumbers: number[] = [];
  let text = '';
  let metadataCount = 0;
  for (const { fact } of entries) if (fact.metadata !== undefined) metadataCount += Object.keys(fact.metadata).length;
  const need = entries.length * 96 + metadataCount * 24;
  if (scratch.length < need) scratch = Buffer.allocUnsafeSlow(need * 2);
  const body = scratch;
  let at = 0;
  let last = 0;
  let lastOrdinal = 0;
  let lastMs = 0;
  const kinds: Fact[] = [];
  for (const { fact, ordinal, ms, tick, index, node } of entries) {
    // A few kinds: looking through them costs less than a key for a map.
    let kind = kinds.findIndex((known) => isOfKind(known, fact));
    if (kind < 0) {
      kind = kinds.push(fact) - 1;
      kindNumbers.push(words.of(fact.name), words.of(fact.version), fact.characteristics);
    }
    at = putVarint(body, at, kind);
    at = putVarint(body, at, words.of(fact.streamId));
    at = putVarint(body, at, nodes.of(node));
    at = putVarint(body, at, zigzag(fact.eventTime - last));
    at = putVarint(body, at, fact.sequence + 1);
    at = putVarint(body, at, zigzag(ordinal - lastOrdinal));
    at = putVarint(body, at, zigzag(ms - lastMs));
    at = putVarint(body, at, tick);
    at = putVarint(body, at, index);
    last = fact.eventTime;
    lastOrdinal = ordinal;
    lastMs = ms;
    const { metadata } = fact;
    if (metadata === undefined) body[at++] = 0;
    else {
      const names = Object.keys(metadata);
      // One more than the entries: 0 says that there is no metadata, 1 that it is empty.
      at = putVarint(body, at, names.length + 1);
      for (const name of names) {
        const value = metadata[name]!;
        at = putVarint(body, at, words.of(name));
        at = putVarint(body, at, value.length);
        text += value;
      }
    }
    at = putVarint(body, at, fact.content.length);
    text += fact.content;
  }
  text = words.all.join('') + text;
  const textBytes = Buffer.byteLength(text);
  const head = 64 + nodes.all.length * 6 + words.all.length * 5 + kindNumbers.length * 5;
  const out = Buffer.allocUnsafe(head + at + textBytes);
  let to = 0;
  out[to++] = SEGMENT_FORMAT;
  out[to++] = textBytes === text.length ? IS_ASCII : 0;
  to = putVarint(out, to, entries.length);
  to = putVarint(out, to, zigzag(last));
  to = putVarint(out, to, nodes.all.length);
  for (const node of nodes.all) to += out.write(node, to, 'hex');
  to = putVarint(out, to, words.all.length);
  for (const word of words.all) to = putVarint(out, to, word.length);
  to = putVarint(out, to, kindNumbers.length);
  for (const number of kindNumbers) to = putVarint(out, to, number);
  body.copy(out, to, 0, at);
  to += at;
  to += out.write(text, to, textBytes === text.length ? 'latin1' : 'utf8');
  return out.subarray(0, to);
}

interface KindText {
  readonly name: string;
  readonly version: string;
  readonly characteristics: number;
}

let source: Buffer = Buffer.alloc(0);
let cursor = 0;

function varint(): number {
  let byte = source[cursor++]!;
  if (byte < 128) return byte;
  let value = byte & 127;
  let factor = 128;
  do {
    byte = source[cursor++]!;
    value += (byte & 127) * factor;
    factor *= 128;
  } while (byte > 127);
  return value;
}

/** How many facts a segment has, and the event time of its last, without reading the others. */
export function headOfSegment(bytes: Buffer): { readonly count: number; readonly maxTime: number } {
  source = bytes;
  cursor = 2;
  return { count: varint(), maxTime: unzigzag(varint()) };
}

/** Numbers of one fact in a segment, in the order they are written. */
const KIND = 0;
const STREAM = 1;
const NODE = 2;
const EVENT_TIME = 3;
const SEQUENCE = 4;
const ORDINAL = 5;
const MS = 6;
const TICK = 7;
const INDEX = 8;
const METADATA = 9;
const CONTENT = 10;
const NUMBERS = 11;
/** Of the segment in hand: a typed array of its own would cost more than the numbers in it. */
let numbers = new Float64Array(64 * NUMBERS);

/** All facts of a segment, in key order. @param bytes read before this returns, not kept */
export function decodeSegment(bytes: Buffer, owner: Owner): Entry[] {
  if (bytes[0] !== SEGMENT_FORMAT) throw new Error(`a segment has the unknown format ${bytes[0]}`);
  source = bytes;
  const isAscii = bytes[1] === IS_ASCII;
  cursor = 2;
  const count = varint();
  varint();
  const nodes: string[] = [];
  for (let n = varint(); n > 0; n--) {
    nodes.push(bytes.toString('hex', cursor, cursor + 6));
    cursor += 6;
  }
  const wordLengths: number[] = [];
  for (let n = varint(); n > 0; n--) wordLengths.push(varint());
  const kindNumbers: number[] = [];
  for (let n = varint(); n > 0; n--) kindNumbers.push(varint());
  // First the numbers, because the text comes behind all of them.
  if (numbers.length < count * NUMBERS) numbers = new Float64Array(count * NUMBERS * 2);
  const metadataNumbers: number[] = [];
  let eventTime = 0;
  let ordinal = 0;
  let ms = 0;
  for (let i = 0, at = 0; i < count; i++, at += NUMBERS) {
    numbers[at + KIND] = varint();
    numbers[at + STREAM] = varint();
    numbers[at + NODE] = varint();
    numbers[at + EVENT_TIME] = eventTime += unzigzag(varint());
    numbers[at + SEQUENCE] = varint() - 1;
    numbers[at + ORDINAL] = ordinal += unzigzag(varint());
    numbers[at + MS] = ms += unzigzag(varint());
    numbers[at + TICK] = varint();
    numbers[at + INDEX] = varint();
    const entries = (numbers[at + METADATA] = varint());
    for (let n = 1; n < entries; n++) metadataNumbers.push(varint(), varint());
    numbers[at + CONTENT] = varint();
  }
  const text = bytes.toString(isAscii ? 'latin1' : 'utf8', cursor, bytes.length);
  let place = 0;
  const next = (length: number): string => text.substring(place, (place += length));
  const words = wordLengths.map(next);
  const kinds: KindText[] = [];
  for (let i = 0; i < kindNumbers.length; i += 3) {
    kinds.push({
      name: words[kindNumbers[i]!]!,
      version: words[kindNumbers[i + 1]!]!,
      characteristics: kindNumbers[i + 2]!,
    });
  }
  const found: Entry[] = [];
  let metadataAt = 0;
  let stamp: AppendStamp | undefined;
  for (let i = 0, at = 0; i < count; i++, at += NUMBERS) {
    const kind = kinds[numbers[at + KIND]!]!;
    let metadata: Record<string, string> | undefined;
    const entries = numbers[at + METADATA]!;
    if (entries > 0) {
      metadata = {};
      for (let n = 1; n < entries; n++, metadataAt += 2) {
        metadata[words[metadataNumbers[metadataAt]!]!] = next(metadataNumbers[metadataAt + 1]!);
      }
    }
    const time = numbers[at + MS]!;
    const tick = numbers[at + TICK]!;
    const index = numbers[at + INDEX]!;
    const node = nodes[numbers[at + NODE]!]!;
    if (stamp === undefined || stamp.ms !== time || stamp.tick !== tick || stamp.node !== node) {
      stamp = new AppendStamp(time, tick, node);
    }
    const fact = new Fact({
      tenant: owner.tenant,
      aggregateType: owner.type,
      aggregateId: owner.id,
      name: kind.name,
      version: kind.version,
      eventTime: numbers[at + EVENT_TIME]!,
      streamId: words[numbers[at + STREAM]!]!,
      sequence: numbers[at + SEQUENCE]!,
      characteristics: kind.characteristics,
      content: next(numbers[at + CONTENT]!),
      metadata,
    });
    fact.stamp(stamp, index, time);
    found.push(new Entry(fact, numbers[at + ORDINAL]!, time, tick, index, node));
  }
  return found;
}

/** The first place whose fact is not below the identity. @param entries in key order */
export function lowerBound(
  entries: readonly Entry[],
  identity: IdentityKey,
  compare: (a: IdentityKey, b: IdentityKey) => number,
): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compare(entries[middle]!.fact, identity) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
