/** Many worlds, one after the other: what `npm run simulate` and the spec call. */
import { buildingPlanOf } from './generate-building.js';
import { planOf, type Features } from './generate.js';
import type { Plan } from './plan.js';
import { runSettlingWorld } from './settling-world.js';
import type { Violation } from './violation.js';
import { runWorld, type Outcome } from './world.js';

/** What is tried unless told otherwise: everything. */
export const allFeatures: Features = { corrections: true };

export interface SimulateOptions {
  readonly from: number;
  readonly seeds: number;
  readonly features?: Features;
  /** Called after each world; true ends the run. */
  readonly each?: (world: { readonly seed: number; readonly outcome: Outcome }) => boolean | void;
}

/** A world that broke a law. */
export interface Finding {
  readonly seed: number;
  readonly violation: Violation;
}

/** What all worlds came to. */
export interface Simulated {
  readonly worlds: number;
  readonly steps: number;
  readonly kills: number;
  readonly recorded: number;
  readonly answers: number;
  readonly virtualMs: number;
  readonly findings: readonly Finding[];
}

/** Every third seed has a world about time beside its own; the one behind it a world about views that are built anew. */
const OTHER_EVERY = 3;

/** The worlds of a seed that are plans; every third seed has one about time, too, which is small as it is. */
export function plansOf(seed: number, features: Features = allFeatures): readonly Plan[] {
  const plan = planOf(seed, features);
  return seed % OTHER_EVERY === 1 ? [plan, buildingPlanOf(seed)] : [plan];
}

/** Runs the worlds of consecutive seeds. */
export async function simulate(options: SimulateOptions): Promise<Simulated> {
  const totals = { worlds: 0, steps: 0, kills: 0, recorded: 0, answers: 0, virtualMs: 0 };
  const findings: Finding[] = [];
  for (let seed = options.from; seed < options.from + options.seeds; seed++) {
    const [plan, building] = plansOf(seed, options.features);
    let outcome = await runWorld(plan!);
    const turn = seed % OTHER_EVERY;
    if (outcome.violation === undefined && (turn === 0 || building !== undefined)) {
      const other = await (building === undefined ? runSettlingWorld(seed) : runWorld(building));
      outcome = { ...outcome, violation: other.violation, steps: outcome.steps + other.steps };
    }
    totals.worlds++;
    totals.steps += outcome.steps;
    totals.kills += outcome.kills;
    totals.recorded += outcome.recorded;
    totals.answers += outcome.answers;
    totals.virtualMs += outcome.virtualMs;
    if (outcome.violation !== undefined) findings.push({ seed, violation: outcome.violation });
    if (options.each?.({ seed, outcome }) === true) break;
  }
  return { ...totals, findings };
}

/** A plan for people: one line an action. */
export function planText(plan: Plan): string {
  const { actions, ...rest } = plan;
  return [JSON.stringify(rest), ...actions.map((action) => `  ${JSON.stringify(action)}`)].join('\n');
}
