/**
 * Goal: whatever is closed when a page is read, also in the middle of a row, the pages one after the other hold each fact
 * exactly once, in the order of its time. Method: generated logs of up to four writers whose rows share milliseconds, read
 * by several readers in turns, with limits and closed times drawn by chance, beside all facts sorted.
 */
import * as fc from 'fast-check';
import { Fact, type ProcessingTime } from '@concursus/core';
import { describe, expect, it } from 'vitest';
import type { FeedLog } from '../src/feed-log.js';
import { FeedReader } from '../src/feed-reader.js';
import { packUnit, unpackRow, type FeedRow, type LoggedFact } from '../src/feed-row.js';
import { BEFORE_ALL, isAfter, later, timeText } from '../src/processing-times.js';
import type { LiveWriter, Scene, Writers } from '../src/writers.js';

const NODES = ['00000000000a', '00000000000b', '00000000000c', '00000000000d'] as const;
/** Ticks of a row in turn; every row begins where the last one of its writer ended, or in a later millisecond. */
const row = fc.record({ afterMs: fc.integer({ min: 0, max: 2 }), ticks: fc.integer({ min: 1, max: 12 }) });
const logs = fc.array(fc.array(row, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: NODES.length });
const reads = fc.array(
  fc.record({
    reader: fc.integer({ min: 0, max: 1 }),
    limit: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.constant(1_000)),
    /** How much farther all is closed: some milliseconds, and then a tick of that one. */
    closedMs: fc.integer({ min: 0, max: 2 }),
    closedTick: fc.integer({ min: 0, max: 24 }),
  }),
  { maxLength: 40 },
);
const END: ProcessingTime = { ms: 1_000, tick: 0 };

function factAt(node: number, time: ProcessingTime, n: number): LoggedFact {
  const fact = new Fact({
    tenant: '',
    aggregateType: 'robot',
    aggregateId: `r${node} ${n}`,
    name: 'moved',
    version: '0',
    eventTime: n,
    streamId: '',
    sequence: -1,
    characteristics: 0,
    content: '{}',
  });
  return { fact, time, index: 0, late: false };
}

/** The log of a writer as the driver would answer. */
function logOf(rows: ReadonlyMap<string, readonly FeedRow[]>): FeedLog {
  return {
    async *rows(node: string, fromSeq: number, toSeq: number, fetchSize: number) {
      const found = rows.get(node)!.filter(({ seq }) => seq >= fromSeq && seq <= toSeq);
      for (let at = 0; at < found.length; at += fetchSize) yield found.slice(at, at + fetchSize);
    },
    seqAfter: async (node: string, toSeq: number, time: ProcessingTime) =>
      rows.get(node)!.find(({ seq, last }) => seq <= toSeq && isAfter(last, time))?.seq ?? toSeq + 1,
  } as unknown as FeedLog;
}

describe('pages of the merged feed', () => {
  it('hold each fact once, in order, wherever they end', async () => {
    await fc.assert(
      fc.asyncProperty(logs, reads, async (given, turns) => {
        const rows = new Map<string, FeedRow[]>();
        const all: string[] = [];
        for (const [w, units] of given.entries()) {
          const node = NODES[w]!;
          const packed: FeedRow[] = [];
          let next: ProcessingTime = { ms: 0, tick: 0 };
          let n = 0;
          for (const [seq, { afterMs, ticks }] of units.entries()) {
            if (afterMs > 0) next = { ms: next.ms + afterMs, tick: 0 };
            const facts: LoggedFact[] = [];
            for (let i = 0; i < ticks; i++, next = { ms: next.ms, tick: next.tick + 1 })
              facts.push(factAt(w, next, n++));
            const [only] = packUnit(facts, BEFORE_ALL);
            packed.push(unpackRow(node, seq, only!.span, only!.facts));
            for (const { fact, time } of facts) all.push(`${timeText(time)} ${fact.aggregateId}`);
          }
          rows.set(node, packed);
        }
        /** What everybody has promised when all stands still up to here; one who has a row begun behind it promised no more. */
        const sceneAt = (closed: ProcessingTime): Scene => {
          const live = [...rows].map(([node, its]) => {
            const begun = its.filter(({ first }) => !isAfter(first, closed));
            const issued = begun.at(-1)?.last ?? BEFORE_ALL;
            // What is behind `closed` in a row begun at or before it is closed by its writer, and not by the others.
            return { node, started: BEFORE_ALL, issued, closed: later(closed, issued), closedSeq: its.length - 1 };
          });
          return { live: live as unknown as LiveWriter[], closed, era: 0, begunMs: 0, begunAt: 0 } as Scene;
        };
        const writers = { seals: new Map(), sealedLast: BEFORE_ALL } as unknown as Writers;
        const reader = new FeedReader(writers, logOf(rows));
        const places = [
          { at: BEFORE_ALL, told: [] as string[] },
          { at: BEFORE_ALL, told: [] as string[] },
        ];
        let closed: ProcessingTime = BEFORE_ALL;
        const read = async (place: (typeof places)[number], limit: number): Promise<boolean> => {
          if (!isAfter(closed, place.at)) return false;
          const { facts, last, exhausted } = await reader.page(place.at, sceneAt(closed), limit);
          for (const fact of facts) place.told.push(fact.aggregateId);
          place.at = exhausted ? closed : last;
          return !exhausted;
        };
        for (const turn of turns) {
          closed = later(closed, { ms: Math.max(closed.ms, 0) + turn.closedMs, tick: turn.closedTick });
          await read(places[turn.reader]!, turn.limit);
        }
        closed = END;
        for (const place of places) while (await read(place, 5));
        // Ticks of one writer follow one another; of several at one time the order is that of their ids.
        const timeOf = (text: string): readonly number[] => /^(\d+)\.(\d+) /.exec(text)!.slice(1).map(Number);
        const wanted = all
          .map((text) => ({ time: timeOf(text), text: text.slice(text.indexOf(' ') + 1) }))
          .sort((a, b) => a.time[0]! - b.time[0]! || a.time[1]! - b.time[1]! || (a.text < b.text ? -1 : 1))
          .map(({ text }) => text);
        for (const { told } of places) {
          expect(told).toEqual(wanted);
        }
      }),
      { numRuns: 500 },
    );
  });
});
