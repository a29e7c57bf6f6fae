/**
 * Goal: the messy world finds no broken law in a hundred seeds, and is the same each time. Method: the simulator itself;
 * that it finds what is broken on purpose is shown by `npm run simulate:mutants`.
 */
import { describe, expect, it } from 'vitest';
import { allFeatures, planOf, runWorld, shrinkPlan, simulate } from '@concursus/testing';

const SEEDS = Number(process.env['WORLDS'] ?? 100);

describe('the messy world', () => {
  it(`breaks no law in ${SEEDS} seeds, while processes die and the network fails`, async () => {
    const done = await simulate({ from: 1, seeds: SEEDS });
    expect(done.findings.map(({ seed, violation }) => `${seed}: ${violation.message}`)).toEqual([]);
    expect(done.kills).toBeGreaterThan(SEEDS / 2);
    expect(done.answers).toBeGreaterThan(SEEDS);
  }, 120_000);

  it('is decided by its seed alone', async () => {
    for (const seed of [3, 17, 77]) {
      const plan = planOf(seed, allFeatures);
      expect(planOf(seed, allFeatures)).toEqual(plan);
      expect(await runWorld(plan)).toEqual(await runWorld(plan));
    }
    expect(planOf(3, allFeatures)).not.toEqual(planOf(4, allFeatures));
  });

  it('shrinks only what fails', async () => {
    expect(await shrinkPlan(planOf(1, allFeatures))).toBeUndefined();
  });
});
