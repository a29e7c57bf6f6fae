/** Goal: what counts of a dead writer is decided by the rows that are there, unit by unit. Method: rows by hand. */
import { describe, expect, it } from 'vitest';
import type { SpanAt } from '../src/feed-log.js';
import { sealFor } from '../src/sealer.js';
import { counts, type LiveWriter } from '../src/writers.js';

const time = (ms: number) => ({ ms, tick: 0 });
const row = (seq: number, part: 'whole' | 'first' | 'middle' | 'last' = 'whole'): SpanAt => ({
  seq,
  first: time(1_000 + seq),
  last: time(1_000 + seq),
  floor: time(0),
  starts: part === 'whole' || part === 'first',
  continues: part === 'first' || part === 'middle',
});
const writer: LiveWriter = {
  node: '0123456789ab',
  lane: 3,
  beat: 7,
  leaseMs: 100,
  started: time(500),
  closed: time(1_004),
  issued: time(1_020),
  floor: time(900),
  closedSeq: 4,
  clock: undefined,
  seal: undefined,
};

describe('the seal of a dead writer', () => {
  it('ends with what was closed when nothing is behind it, and with all it promised not to go below', () => {
    expect(sealFor(writer, [])).toEqual({
      node: writer.node,
      started: time(500),
      last: time(1_004),
      closed: time(1_020),
      lastSeq: 4,
      holes: [],
    });
  });

  it('counts every row that is there, and what is missing between them is a hole for ever', () => {
    const seal = sealFor(writer, [row(5), row(7), row(8), row(11)]);
    expect([seal.lastSeq, seal.holes, seal.last]).toEqual([11, [6, 9, 10], time(1_011)]);
    expect([5, 6, 7, 9, 11, 12].map((seq) => counts(seal, seq, seq))).toEqual([true, false, true, false, true, false]);
  });

  it.each<[string, SpanAt[], number, number[]]>([
    ['its first row is missing', [row(6, 'middle'), row(7, 'last'), row(8)], 8, [5, 6, 7]],
    ['a row in its middle is missing', [row(5, 'first'), row(7, 'last'), row(8)], 8, [5, 6, 7]],
    ['its last row is missing and others follow', [row(5, 'first'), row(6, 'middle'), row(8)], 8, [5, 6, 7]],
    ['it is the last and its end is missing', [row(5), row(6, 'first'), row(7, 'middle')], 5, []],
    ['nothing but a part of it is there', [row(5, 'middle')], 4, []],
  ])('leaves a unit out wholly when %s', (_, found, lastSeq, holes) => {
    const seal = sealFor(writer, found);
    expect([seal.lastSeq, seal.holes]).toEqual([lastSeq, holes]);
  });

  it('counts a unit of several rows when all of them are there', () => {
    const seal = sealFor(writer, [row(5, 'first'), row(6, 'middle'), row(7, 'last')]);
    expect([seal.lastSeq, seal.holes, counts(seal, 5, 7)]).toEqual([7, [], true]);
  });
});
