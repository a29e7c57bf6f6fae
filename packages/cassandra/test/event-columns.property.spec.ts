/** What is read from a row's bytes is what the model reads from its text. */
import { formatProcessingId, parseProcessingId } from '@concursus/core';
import { types } from 'cassandra-driver';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { processedAtOf } from '../src/event-columns.js';

describe('processedAtOf', () => {
  it('reads the millisecond of every processing id', () => {
    const time = fc.record({
      ms: fc.integer({ min: -12_219_292_800_000, max: 103_072_857_660_683 }),
      tick: fc.integer({ min: 0, max: 9_999 }),
    });
    fc.assert(
      fc.property(time, fc.integer({ min: 0, max: 16_383 }), (at, index) => {
        const id = formatProcessingId(at, index, '0123456789ab');
        expect(processedAtOf(types.TimeUuid.fromString(id).getBuffer())).toBe(parseProcessingId(id).ms);
      }),
    );
  });
});
