/** The in-memory log puts ids together when somebody asks, in two parts; whatever the steps of time and whoever asks when, they are the ids of the model. */
import { formatProcessingId, inMemory, parseProcessingId, type Fact } from '@concursus/core';
import { factOf, ManualClock } from '@concursus/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const quiet = { log: () => undefined, warn: () => undefined, error: () => undefined };

/** The first millisecond after 2023-11-14 in which the first digits come round, at a time of which `fits` holds; counted from the epoch of ids. */
function millisecondOf(fits: (round: number) => boolean): number {
  const epoch = 12_219_292_800_000;
  for (let rounds = Math.ceil((1_700_000_000_000 + epoch) / 429_496.7296); ; rounds++) {
    const round = rounds * 429_496.7296;
    if (fits(round)) return Math.floor(round) - epoch;
  }
}

/** They are of one append, in its order. */
function checkIds(facts: readonly Fact[]): void {
  for (const [index, { processingId, processedAt }] of facts.entries()) {
    const time = parseProcessingId(processingId);
    expect(formatProcessingId(time, index, processingId.slice(24))).toBe(processingId);
    expect(time.ms).toBe(processedAt);
  }
}

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
        const asked: Fact[] = [];
        for (const [at, step] of given.entries()) {
          receivedAt = Math.max(0, receivedAt + step);
          const facts: Fact[] = [factOf({ at }), factOf({ at, sequence: 1 })];
          await eventStore.append([{ facts, receivedAt }]);
          // Some are asked at once, the others at the end, and backwards.
          if (at % 2 === 0) checkIds(facts);
          else asked.unshift(...facts);
          const { processedAt } = facts[0]!;
          expect(processedAt === Math.max(receivedAt, last) || processedAt === last + 1).toBe(true);
          last = processedAt;
        }
        while (asked.length > 0) checkIds(asked.splice(0, 2));
      }),
      { numRuns: 1_000 },
    );
  });

  it('go on where their first digits come round in the middle of a millisecond', async () => {
    // They come round every 429,496.7296 ms: here sixteen ticks into a millisecond.
    const ms = millisecondOf((round) => round % 1 > 0.0012 && round % 1 < 0.002);
    const layer = await inMemory().create({ context: 'ids', clock: new ManualClock(), logger: quiet });
    const facts: Fact[] = [];
    for (let at = 0; at < 20; at++) {
      facts.push(factOf({ at }));
      await layer.ports.eventStore.append([{ facts: facts.slice(-1), receivedAt: ms }]);
    }
    for (const fact of facts) checkIds([fact]);
    expect(facts[0]!.processingId.startsWith('ffffff')).toBe(true);
    expect(facts.at(-1)!.processingId.startsWith('000000')).toBe(true);
  });
});
