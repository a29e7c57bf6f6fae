/** Goal: what is read from a chunk is what was written. Method: generated facts and processing times, read forwards and singly. */
import { Fact, formatProcessingId, nextProcessingTime } from '@concursus/core';
import type { ProcessingTime } from '@concursus/core';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ChunkWriter } from '../src/chunk-writer.js';
import { Chunk } from '../src/fact-chunk.js';

const text = fc.oneof(
  fc.constantFrom('', 'a', 'lamp', 'x'.repeat(200)),
  fc.string({ unit: 'binary', maxLength: 60 }).map((s) => s.toWellFormed().replaceAll('\u0000', '')),
);
const facts = fc.array(
  fc.record({
    tenant: fc.constantFrom('', 't'),
    aggregateType: fc.constantFrom('lamp', 'bulb'),
    aggregateId: text,
    name: fc.constantFrom('on', 'off', 'größer'),
    version: fc.constantFrom('0', '1'),
    eventTime: fc.integer({ min: -62_135_596_800_000, max: 253_402_300_799_999 }),
    streamId: text,
    sequence: fc.oneof(fc.constant(-1), fc.maxSafeNat()),
    characteristics: fc.integer({ min: 0, max: 3 }),
    parameters: fc.jsonValue({ maxDepth: 2 }),
    metadata: fc.option(fc.dictionary(fc.constantFrom('receivedAt', 'k', 'é'), text), { nil: undefined }),
    // A new append this many milliseconds later; none: the append goes on.
    step: fc.option(fc.integer({ min: -5, max: 100_000 }), { nil: undefined }),
  }),
  { minLength: 1, maxLength: 40 },
);

describe('chunks', () => {
  it('give back every fact with its processing id', () => {
    const node = 'a1b2c3d4e5f6';
    fc.assert(
      fc.property(facts, fc.integer({ min: 0, max: 5_000 }), (inputs, firstIndex) => {
        const writer = new ChunkWriter(node);
        const chunks: Chunk[] = [];
        const written: Fact[] = [];
        const ids: string[] = [];
        let time: ProcessingTime = { ms: 1_700_000_000_000, tick: 9_998 };
        let index = firstIndex;
        let first = 0;
        const finish = (): void => {
          if (writer.count === 0) return;
          const { count } = writer;
          chunks.push(new Chunk(first, Buffer.from(writer.finish())));
          first += count;
        };
        for (const { parameters, step, ...init } of inputs) {
          if (step !== undefined) {
            time = nextProcessingTime(time, time.ms + step);
            index = 0;
          }
          const fact = new Fact({ ...init, content: JSON.stringify(parameters).toWellFormed() });
          if (!writer.takes(fact, time)) finish();
          writer.add(fact, time, index);
          written.push(fact);
          ids.push(formatProcessingId(time, index++, node));
        }
        finish();
        // Backwards, so that shared ids are looked up before their first fact was read.
        for (const chunk of chunks) {
          for (let k = chunk.count - 1; k >= 0; k--) {
            const fact = chunk.fact(k);
            const expected = written[chunk.first + k]!;
            expect(fact.processingId).toBe(ids[chunk.first + k]);
            expect(fact.processedAt).toBe(chunk.ms[k]);
            // Copies are not logged, so all else is compared.
            expect(new Fact(fact)).toEqual(new Fact(expected));
            expect(chunk.fact(k)).toBe(fact);
          }
        }
        expect(first).toBe(written.length);
      }),
      { numRuns: 300 },
    );
  });
});
