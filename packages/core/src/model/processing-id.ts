/**
 * Processing ids: type-1 UUIDs whose time field *is* the processing time. Given by the log only, never by a source.
 *
 * One append has one processing time (a millisecond and a tick of 100 ns); its events differ in the 14-bit clock
 * sequence, and processes differ in the 48-bit node, so ids stay distinct within one millisecond and between processes.
 * Layout: RFC 9562 §5.1. No BigInt: 60-bit time is kept as two safe numbers.
 */
import { InvalidEventError } from './errors.js';

/** Milliseconds from 1582-10-15, the epoch of type-1 UUIDs, to 1970-01-01. */
const GREGORIAN_OFFSET_MS = 12_219_292_800_000;
/** Ticks of 100 ns in a millisecond. */
export const TICKS_PER_MS = 10_000;
const TWO_24 = 16_777_216;
/** The last whole millisecond of 60 bits of 100 ns. */
const MS_MAX = 115_292_150_460_683;

/** A processing time finer than a millisecond: `tick` counts 100 ns, 0 to 9,999. */
export interface ProcessingTime {
  readonly ms: number;
  readonly tick: number;
}

/** Puts the ids of the facts that it stamped together when somebody asks: what a fact keeps instead of a text. */
export interface IdStamp {
  /** @param number what the fact was stamped with */
  idOf(number: number): string;
}

/** Orders by millisecond, then tick. */
export function compareProcessingTime(a: ProcessingTime, b: ProcessingTime): number {
  return a.ms - b.ms || a.tick - b.tick;
}

/**
 * The next processing time after `last`, not before `nowMs`. Strictly increasing even when the clock steps back or
 * gives one millisecond more than 10,000 times: it then runs ahead of the clock, by ticks.
 */
export function nextProcessingTime(last: ProcessingTime, nowMs: number): ProcessingTime {
  if (nowMs > last.ms) return { ms: nowMs, tick: 0 };
  return last.tick + 1 < TICKS_PER_MS ? { ms: last.ms, tick: last.tick + 1 } : { ms: last.ms + 1, tick: 0 };
}

const HEX = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));
const hex16 = (n: number): string => HEX[(n >>> 8) & 0xff]! + HEX[n & 0xff]!;

/**
 * The part before the clock sequence, common to all events of one append.
 * @throws InvalidEventError `INVALID_TIME` outside 1582-10-15 to 5236-03-31, which 60 bits cannot hold
 */
export function processingIdPrefix(time: ProcessingTime): string {
  const ms = time.ms + GREGORIAN_OFFSET_MS;
  if (!(ms >= 0 && ms <= MS_MAX)) {
    throw new InvalidEventError('INVALID_TIME', `A processing id cannot hold the time ${time.ms} ms.`, {
      fix: 'Set the clock right: ids hold 1582-10-15 to 5236-03-31.',
    });
  }
  // value = ms * 10,000 + tick, split at bit 24 so that every step stays below 2^53
  const low = (ms % TWO_24) * TICKS_PER_MS + time.tick;
  const high = Math.floor(ms / TWO_24) * TICKS_PER_MS + Math.floor(low / TWO_24);
  const low24 = low % TWO_24;
  const rest = Math.floor(high / 256);
  return `${HEX[high & 0xff]!}${HEX[low24 >>> 16]!}${hex16(low24 & 0xffff)}-${hex16(rest & 0xffff)}-${hex16(0x1000 | ((rest >>> 16) & 0xfff))}-`;
}

/** The id of one event of an append. @param index the event's place in its append, 0 to 16,383 · @param node 12 hex digits naming the process */
export function formatProcessingId(time: ProcessingTime, index: number, node: string): string {
  return `${processingIdPrefix(time)}${hex16(0x8000 | index)}-${node}`;
}

const TWO_32 = 4_294_967_296;

/** The low 32 bits of a processing time in 100 ns: the first 8 hex digits of its ids. They come round every 429.5 s. */
export function processingIdLow(time: ProcessingTime): number {
  return (((time.ms + GREGORIAN_OFFSET_MS) % TWO_32) * TICKS_PER_MS + time.tick) % TWO_32;
}

/** Those 8 hex digits. */
export function formatProcessingIdLow(low: number): string {
  return HEX[low >>> 24]! + HEX[(low >>> 16) & 0xff]! + HEX[(low >>> 8) & 0xff]! + HEX[low & 0xff]!;
}

/** A random node with the multicast bit set, as RFC 9562 asks of nodes that are no network card's address. */
export function randomNode(randomBytes: (n: number) => Uint8Array): string {
  const bytes = randomBytes(6);
  bytes[0] = bytes[0]! | 1;
  let text = '';
  for (const byte of bytes) text += HEX[byte]!;
  return text;
}

const UUID_1 = /^([0-9a-f]{8})-([0-9a-f]{4})-1([0-9a-f]{3})-([0-9a-f]{4})-([0-9a-f]{12})$/i;

/** True for the text of a type-1 UUID of any variant. */
export function isProcessingId(text: string): boolean {
  return UUID_1.test(text);
}

/**
 * Reads the processing time back. Accepts any variant: the original's ids end in `ffff-ffffffffff65`.
 * @throws InvalidEventError `INVALID_TIME` when the text is no type-1 UUID.
 */
export function parseProcessingId(id: string): ProcessingTime {
  const match = UUID_1.exec(id);
  if (match === null) {
    throw new InvalidEventError('INVALID_TIME', `"${id.slice(0, 60)}" is not a processing id (a type-1 UUID).`, {
      fix: 'Pass an id read from a recorded event, an ISO time or epoch milliseconds.',
    });
  }
  const low = Number.parseInt(match[1]!, 16);
  const rest = Number.parseInt(match[3]!, 16) * 65_536 + Number.parseInt(match[2]!, 16);
  const high = rest * 256 + (low >>> 24);
  const remainder = (high % TICKS_PER_MS) * TWO_24 + (low & 0xff_ffff);
  const ms = Math.floor(high / TICKS_PER_MS) * TWO_24 + Math.floor(remainder / TICKS_PER_MS);
  return { ms: ms - GREGORIAN_OFFSET_MS, tick: remainder % TICKS_PER_MS };
}

/** Orders ids by processing time, then by the events' places in their append. */
export function compareProcessingIds(a: string, b: string): number {
  if (a === b) return 0;
  const byTime = compareProcessingTime(parseProcessingId(a), parseProcessingId(b));
  if (byTime !== 0) return byTime;
  const x = a.slice(19).toLowerCase();
  const y = b.slice(19).toLowerCase();
  return x < y ? -1 : x > y ? 1 : 0;
}
