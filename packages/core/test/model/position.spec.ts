/** Goal: a stored position reads back, and a text that is none of this store is refused. */
import { describe, expect, it } from 'vitest';
import { OrdinalPosition } from '../../src/model/position.js';
import { refusalOf } from './refusal.js';

describe('OrdinalPosition', () => {
  it.each([0, 1, 83_005, Number.MAX_SAFE_INTEGER])('reads %d back', (ordinal) => {
    expect(OrdinalPosition.parse(new OrdinalPosition(ordinal).toString()).ordinal).toBe(ordinal);
  });

  it('covers what is before it, and joins to the greater', () => {
    const [a, b] = [new OrdinalPosition(1), new OrdinalPosition(2)];
    expect([a.covers(a), b.covers(a), a.covers(b)]).toEqual([true, true, false]);
    expect(a.join(b)).toBe(b);
    expect(b.join(a)).toBe(b);
  });

  it('understands a position of another installed copy by its text', () => {
    const foreign = { covers: () => false, join: () => foreign, toString: () => 'o1:7' };
    expect(OrdinalPosition.of(foreign).ordinal).toBe(7);
  });

  it.each(['', 'o1:', 'o1:-1', 'o1:01', 'o1:1.5', 'o2:1', 'o1:9007199254740992', ' o1:1', 'k1:0=5'])(
    'refuses %j',
    (text) => {
      expect(refusalOf(() => OrdinalPosition.parse(text)).code).toBe('INVALID_POSITION');
    },
  );
});
