/** Goal: ids say the processing time exactly, ascend whatever the clock does, and stay distinct between processes. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  compareProcessingIds,
  compareProcessingTime,
  formatProcessingId,
  isProcessingId,
  nextProcessingTime,
  parseProcessingId,
  processingIdPrefix,
  randomNode,
} from '../../src/model/processing-id.js';
import type { ProcessingTime } from '../../src/model/processing-id.js';
import { refusalOf } from './refusal.js';

const NODE = '0123456789ab';
const FIRST_MS = Date.UTC(1582, 9, 15);
const LAST_MS = 103_072_857_660_683;
const anyTime = fc.record({ ms: fc.integer({ min: FIRST_MS, max: LAST_MS }), tick: fc.nat(9_999) });
const anyIndex = fc.nat(16_383);
const anyNode = fc.string({ unit: fc.constantFrom(...'0123456789abcdef'.split('')), minLength: 12, maxLength: 12 });

/** RFC 9562 §5.1 written out with big integers. */
function reference(time: ProcessingTime, index: number, node: string): string {
  const value = BigInt(time.ms - FIRST_MS) * 10_000n + BigInt(time.tick);
  const hex = (n: bigint, digits: number): string => n.toString(16).padStart(digits, '0');
  return [
    hex(value & 0xffff_ffffn, 8),
    hex((value >> 32n) & 0xffffn, 4),
    hex((value >> 48n) | 0x1000n, 4),
    hex(BigInt(0x8000 | index), 4),
    node,
  ].join('-');
}

describe('processing ids', () => {
  it('writes the example of RFC 9562, appendix A.1', () => {
    // 2022-02-22T19:22:22.000Z, clock sequence 0x33c8, node 9f6bdeced846
    const id = formatProcessingId({ ms: Date.UTC(2022, 1, 22, 19, 22, 22), tick: 0 }, 0x33c8, '9f6bdeced846');
    expect(id).toBe('c232ab00-9414-11ec-b3c8-9f6bdeced846');
  });

  it('writes what the RFC says and reads the time back', () => {
    fc.assert(
      fc.property(anyTime, anyIndex, anyNode, (time, index, node) => {
        const id = formatProcessingId(time, index, node);
        expect(id).toBe(reference(time, index, node));
        expect(id.startsWith(processingIdPrefix(time))).toBe(true);
        expect(isProcessingId(id)).toBe(true);
        expect(parseProcessingId(id)).toEqual(time);
        expect(parseProcessingId(id.toUpperCase())).toEqual(time);
      }),
      { numRuns: 5_000 },
    );
  });

  it.each([
    [FIRST_MS, 0, '00000000-0000-1000-8000-0123456789ab'],
    [LAST_MS, 9_999, undefined],
    [0, 0, '13814000-1dd2-11b2-8000-0123456789ab'],
  ])('holds the edge %d', (ms, tick, text) => {
    const id = formatProcessingId({ ms, tick }, 0, NODE);
    if (text !== undefined) expect(id).toBe(text);
    expect(parseProcessingId(id)).toEqual({ ms, tick });
  });

  it.each([FIRST_MS - 1, LAST_MS + 1, Number.NaN])('refuses the time %d, which 60 bits cannot hold', (ms) => {
    expect(refusalOf(() => formatProcessingId({ ms, tick: 0 }, 0, NODE)).code).toBe('INVALID_TIME');
  });

  it('reads the original’s ids, whose variant is none of RFC 4122', () => {
    const id = 'a1966f51-e6f6-11f1-ffff-ffffffffff65';
    expect(isProcessingId(id)).toBe(true);
    const { ms, tick } = parseProcessingId(id);
    const value = 0x1f1_e6f6_a196_6f51n;
    expect(BigInt(ms - FIRST_MS) * 10_000n + BigInt(tick)).toBe(value);
  });

  it.each([
    '',
    'x',
    '00000000-0000-4000-8000-000000000001',
    ' c232ab00-9414-11ec-b3c8-9f6bdeced846',
    'c232ab00941411ecb3c89f6bdeced846',
  ])('refuses %j', (text) => {
    expect(isProcessingId(text)).toBe(false);
    expect(refusalOf(() => parseProcessingId(text)).code).toBe('INVALID_TIME');
  });

  it('orders by time, then by place in the append', () => {
    fc.assert(
      fc.property(anyTime, anyTime, anyIndex, anyIndex, (a, b, i, j) => {
        const order = Math.sign(compareProcessingIds(formatProcessingId(a, i, NODE), formatProcessingId(b, j, NODE)));
        expect(order).toBe(Math.sign(compareProcessingTime(a, b)) || Math.sign(i - j));
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('nextProcessingTime', () => {
  it('ascends strictly, however the clock jumps, and is never before it', () => {
    const clock = fc.array(fc.integer({ min: -50, max: 50 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(clock, (jumps) => {
        let now = 1_476_262_800_000;
        let last: ProcessingTime = { ms: now, tick: 9_990 };
        let lastId = formatProcessingId(last, 0, NODE);
        for (const jump of jumps) {
          now += jump;
          const next = nextProcessingTime(last, now);
          const id = formatProcessingId(next, 0, NODE);
          expect(compareProcessingTime(next, last)).toBeGreaterThan(0);
          expect(compareProcessingIds(id, lastId)).toBeGreaterThan(0);
          expect(next.ms).toBeGreaterThanOrEqual(now);
          last = next;
          lastId = id;
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('runs ahead of a clock that stands still, by a millisecond for every 10,000 appends', () => {
    let time: ProcessingTime = { ms: 100, tick: 0 };
    for (let i = 0; i < 25_000; i++) time = nextProcessingTime(time, 100);
    expect(time).toEqual({ ms: 102, tick: 5_000 });
  });
});

describe('randomNode', () => {
  it('has the multicast bit, so it is no network card’s address', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (bytes) => {
        const node = randomNode(() => new Uint8Array(bytes));
        expect(node).toMatch(/^[0-9a-f]{12}$/);
        expect(Number.parseInt(node.slice(0, 2), 16)).toBe(bytes[0]! | 1);
      }),
    );
  });

  it('keeps the ids of two processes apart in one millisecond', () => {
    const time = { ms: 1_476_262_800_000, tick: 0 };
    const a = formatProcessingId(
      time,
      0,
      randomNode(() => new Uint8Array([1, 2, 3, 4, 5, 6])),
    );
    const b = formatProcessingId(
      time,
      0,
      randomNode(() => new Uint8Array([1, 2, 3, 4, 5, 7])),
    );
    expect(a).not.toBe(b);
    expect(compareProcessingIds(a, b)).toBe(-compareProcessingIds(b, a));
  });
});
