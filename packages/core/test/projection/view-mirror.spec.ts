/** A consumer that only follows changes holds the same view. Method: changes by hand, in order, again, and with gaps. */
import { describe, expect, it } from 'vitest';
import { ViewMirror } from '../../src/projection/view-mirror.js';
import type { View, ViewChange } from '../../src/projection/view.js';

interface Cell {
  readonly n: number;
}
const change = (
  sequence: number,
  key: string,
  revision: number,
  retract: number | null,
  assert: number | null,
): ViewChange<Cell> => ({
  sequence,
  token: String(sequence),
  key,
  revision,
  retract: retract === null ? null : { n: retract },
  assert: assert === null ? null : { n: assert },
  cause: [],
});
const rowsOf = (mirror: ViewMirror<Cell>): Record<string, number> =>
  Object.fromEntries([...mirror.rows()].map(([key, { n }]) => [key, n]));

describe('a mirror', () => {
  it('holds what the changes assert, and forgets what they retract', () => {
    const mirror = new ViewMirror<Cell>();
    for (const one of [
      change(1, 'a', 1, null, 1),
      change(2, 'b', 1, null, 5),
      change(3, 'a', 2, 1, 2),
      change(4, 'b', 2, 5, null),
    ])
      mirror.apply(one);
    expect(rowsOf(mirror)).toEqual({ a: 2 });
    expect(mirror.sequence).toBe(4);
  });

  it('takes a change once, however often it comes', () => {
    const mirror = new ViewMirror<Cell>();
    mirror.apply(change(1, 'a', 1, null, 1));
    mirror.apply(change(2, 'a', 2, 1, 2));
    mirror.apply(change(1, 'a', 1, null, 1));
    expect(rowsOf(mirror)).toEqual({ a: 2 });
  });

  it.each([
    ['a change is missing', change(3, 'a', 3, 2, 3)],
    ['a change retracts what is not held', change(2, 'a', 2, 7, 3)],
  ])('says so when %s', (_, next) => {
    const mirror = new ViewMirror<Cell>();
    mirror.apply(change(1, 'a', 1, null, 1));
    expect(() => mirror.apply(next)).toThrow(expect.objectContaining({ code: 'CHANGES_TRIMMED' }));
    expect(rowsOf(mirror)).toEqual({ a: 1 });
  });

  it('begins in the middle with rows that moved while they were read', async () => {
    // Change 8 came between the first look at the changes and the rows; 9 comes afterwards.
    const lasts = ['7', '8'];
    const view = {
      lastToken: async () => lasts.shift()!,
      find: async () => ({ rows: [{ key: 'a', value: { n: 2 }, revision: 2 }], next: undefined }),
    } as unknown as View<Cell>;
    const mirror = await ViewMirror.of(view);
    expect(mirror.sequence).toBe(7);
    mirror.apply(change(8, 'a', 2, 1, 2));
    mirror.apply(change(9, 'a', 3, 2, 3));
    expect(rowsOf(mirror)).toEqual({ a: 3 });
  });
});
