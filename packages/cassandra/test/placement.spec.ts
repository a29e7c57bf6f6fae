/**
 * Goal: a fact stands in one shard of each tier, tiers share none, and facts are spread evenly. Method: all widths, with the
 * identities of a burst; some shards by their numbers, as they are written into keys.
 */
import { factOf } from '@concursus/testing';
import { describe, expect, it } from 'vitest';
import { shardCount, shardIn, shardsUpTo, spreadOf, WIDTH_MAX } from '../src/placement.js';

const burst = Array.from({ length: 20_000 }, (_, i) => factOf({ at: Math.floor(i / 7), sequence: i % 7 }));

describe('shards of a bucket', () => {
  it('are numbered on from tier to tier, and whoever knows a width knows them all', () => {
    let before = 0;
    for (let width = 1; width <= WIDTH_MAX; width *= 2) {
      expect(shardIn(width, 0)).toBe(before);
      expect(shardIn(width, width - 1)).toBe(shardCount(width) - 1);
      before = shardCount(width);
    }
  });

  it('hold a fact in one place a tier, of which the last is where it is written', () => {
    for (const fact of burst.slice(0, 100)) {
      const spread = spreadOf(fact);
      expect(shardsUpTo(8, spread)).toEqual([1, 2, 4, 8].map((width) => shardIn(width, spread)));
    }
  });

  it('get even parts of a burst within few milliseconds', () => {
    const counts = new Map<number, number>();
    for (const fact of burst) {
      const shard = shardIn(32, spreadOf(fact));
      counts.set(shard, (counts.get(shard) ?? 0) + 1);
    }
    expect(counts.size).toBe(32);
    for (const count of counts.values()) expect(Math.abs(count - 625)).toBeLessThan(125);
  });

  it('are where they were: the number of an identity never changes', () => {
    expect([1, 2, 3].map((at) => spreadOf(factOf({ at, stream: 'scanner-7' })))).toEqual([179, 568, 735]);
  });
});
