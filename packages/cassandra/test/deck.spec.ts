/** Goal: what the original's tables decide by arithmetic is decided alike here, and what is wired wrongly is told. No I/O. */
import { describe, expect, it } from 'vitest';
import { ConfigurationError } from '@concursus/core';
import { laneInCatalogue } from '../src/deck-tables.js';
import { deckRelay, deckSource, type DeckRelayOptions } from '../src/index.js';

const deck = { contactPoints: ['127.0.0.1'], localDataCenter: 'dc1', keyspace: 'parcels' };

describe('the original’s list of aggregates', () => {
  it.each([
    ['p2', 8, 2],
    ['p3', 8, 3],
    ['p4', 8, 4],
    ['s1', 8, 6],
    // Its hash is the least number, which has no absolute value.
    ['polygenelubricants', 8, 0],
    ['polygenelubricants', 10, -8],
  ])('has "%s" of %i lanes in %i', (id, lanes, lane) => {
    expect(laneInCatalogue(id, lanes)).toBe(lane);
  });
});

describe('options of the original’s tables', () => {
  const wrong: readonly [string, Partial<DeckRelayOptions>][] = [
    ['no contact points', { contactPoints: [] }],
    ['no data center', { localDataCenter: '' }],
    ['no keyspace', { keyspace: '' }],
    ['a keyspace that is no name', { keyspace: 'a-b' }],
    ['no lanes', { catalogueBuckets: 0 }],
    ['another way with what does not fit', { unfit: 'bend' as never }],
  ];
  it.each(wrong)('are refused with %s', (_, options) => {
    expect(() => deckRelay({ ...deck, ...options })).toThrow(ConfigurationError);
    if ('catalogueBuckets' in options || 'unfit' in options) return;
    expect(() => deckSource({ ...deck, ...options })).toThrow(/INVALID_OPTION/);
  });
});
