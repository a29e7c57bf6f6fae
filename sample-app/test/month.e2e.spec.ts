/**
 * Goal: the bundled month comes to its truth whatever its delivery. Method: each delivery is posted over HTTP to an
 * application of its own on a fresh LMDB environment, and every figure is compared; at the end each view with its rebuild.
 */
import { describe, expect, it } from 'vitest';
import { monthLines, monthTruth, postLines, quarantined, settled, shuffled, type Answer } from './reports.js';
import { appFor } from './spec-app.js';

const lines = monthLines();
const truth = monthTruth();
const RECORDED = 80_491;
const REPEATED = 2_492;
const REJECTED = 22;

function sum(
  answers: readonly Answer[],
  field: 'received' | 'recorded' | 'repeated' | 'conflicting' | 'rejected',
): number {
  return answers.reduce((total, answer) => total + answer[field], 0);
}

describe('a month of messy reports', { timeout: 300_000 }, () => {
  const app = appFor('each');

  it('comes to its truth in its order of arrival, and again when posted twice; views equal their rebuild', async () => {
    const first = await postLines(app.url, lines);
    expect(first).toMatchObject({
      received: lines.length,
      recorded: RECORDED,
      repeated: REPEATED,
      conflicting: 0,
      rejected: REJECTED,
    });
    expect(await settled(app.url, truth)).toEqual([]);
    const items = await quarantined(app.url);
    expect(new Set(items.map((item) => item.bytes)).size).toBe(items.length);
    expect(items.reduce((total, item) => total + item.count, 0)).toBe(REJECTED);

    const second = await postLines(app.url, lines);
    expect(second).toMatchObject({ recorded: 0, repeated: RECORDED + REPEATED, conflicting: 0, rejected: REJECTED });
    expect(await settled(app.url, truth)).toEqual([]);
    const again = await quarantined(app.url);
    expect(again.length).toBe(items.length);
    expect(again.map((item) => item.count)).toEqual(items.map((item) => item.count * 2));

    for (const audit of await app.audit('flights')) {
      expect(audit.rows).toBeGreaterThan(0);
      expect(audit.differences).toEqual([]);
    }
  });

  it('comes to the same truth shuffled, in 50 pieces posted at once', async () => {
    const seed = 20_130_101;
    const mixed = shuffled(lines, seed);
    const pieces = Array.from({ length: 50 }, (_, i) => mixed.filter((_line, at) => at % 50 === i));
    const answers = await Promise.all(pieces.map((piece) => postLines(app.url, piece)));
    expect(sum(answers, 'received')).toBe(lines.length);
    expect(sum(answers, 'recorded')).toBe(RECORDED);
    expect(sum(answers, 'repeated')).toBe(REPEATED);
    expect(sum(answers, 'rejected')).toBe(REJECTED);
    expect(await settled(app.url, truth)).toEqual([]);
    expect((await app.audit('flights')).flatMap((audit) => audit.differences)).toEqual([]);
  });
});
