/**
 * Goal: the messy world finds no broken law in a hundred seeds, and is the same each time. Method: the simulator itself;
 * that it finds what is broken on purpose is shown by `npm run simulate:mutants`.
 */
import { describe, expect, it } from 'vitest';
import { plansOf, runWorld, shrinkPlan, simulate } from '@concursus/testing';

const SEEDS = Number(process.env['WORLDS'] ?? 100);

describe('the messy world', () => {
  it(`breaks no law in ${SEEDS} seeds, while processes die and the network fails`, async () => {
    const done = await simulate({ from: 1, seeds: SEEDS });
    expect(done.findings.map(({ seed, violation }) => `${seed}: ${violation.message}`)).toEqual([]);
    expect(done.kills).toBeGreaterThan(SEEDS / 2);
    expect(done.answers).toBeGreaterThan(SEEDS);
  }, 120_000);

  it('is decided by its seed alone', async () => {
    for (const seed of [3, 16, 77]) {
      const plans = plansOf(seed);
      expect(plansOf(seed)).toEqual(plans);
      for (const plan of plans) expect(await runWorld(plan)).toEqual(await runWorld(plan));
    }
    expect(plansOf(3)).not.toEqual(plansOf(4));
  });

  it('shrinks only what fails', async () => {
    expect(await shrinkPlan(plansOf(1)[0]!)).toBeUndefined();
  });
});
