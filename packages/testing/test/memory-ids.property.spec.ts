/** The in-memory log makes ids in two parts; whatever the steps of time, they are the ids of the model. */
import { formatProcessingId, inMemory, parseProcessingId, type Fact } from '@concursus/core';
import { factOf, ManualClock } from '@concursus/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const quiet = { log: () => undefined, warn: () => undefined, error: () => undefined };

describe('ids of the in-memory log', () => {
  it('are those of the model, over jumps of any length', async () => {
    const steps = fc.array(
      fc.oneof(
        fc.nat({ max: 5 }),
        fc.integer({ min: 428_000, max: 431_000 }),
        fc.nat({ max: 10_000_000_000 }),
        fc.integer({ min: -1_000_000, max: 0 }),
      ),
      { minLength: 1, maxLength: 30 },
    );
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 2_000_000_000_000 }), steps, async (start, given) => {
        const layer = await inMemory().create({ context: 'ids', clock: new ManualClock(), logger: quiet });
        const { eventStore } = layer.ports;
        let receivedAt = start;
        let last = Number.NEGATIVE_INFINITY;
        for (const [at, step] of given.entries()) {
          receivedAt = Math.max(0, receivedAt + step);
          const facts: Fact[] = [factOf({ at }), factOf({ at, sequence: 1 })];
          await eventStore.append([{ facts, receivedAt }]);
          for (const [index, { processingId, processedAt }] of facts.entries()) {
            const time = parseProcessingId(processingId);
            expect(formatProcessingId(time, index, processingId.slice(24))).toBe(processingId);
            expect(time.ms).toBe(processedAt);
          }
          const { processedAt } = facts[0]!;
          expect(processedAt === Math.max(receivedAt, last) || processedAt === last + 1).toBe(true);
          last = processedAt;
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
