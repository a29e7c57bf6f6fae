/** The goals, each a number and a formula over the results, and whether a run reached them. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { CaseResult } from './case.js';

/** One goal: a paired ratio (`of`, `to`), a side's rate, a value or a count of one case, with its bound. */
export interface Goal {
  readonly goal: string;
  readonly formula: string;
  readonly case: string;
  readonly of?: string;
  readonly to?: string;
  readonly rate?: string;
  readonly value?: string;
  readonly count?: string;
  readonly atLeast?: number;
  readonly atMost?: number;
  /** Of the full run only: the quick one has no million events. */
  readonly full?: boolean;
  /** Asks for a machine with so many cores: on one with fewer it is not judged. */
  readonly cores?: number;
  /** Of the run on real servers. */
  readonly servers?: boolean;
}

export type Verdict = 'reached' | 'short' | 'not measured';

export interface GoalResult {
  readonly goal: Goal;
  readonly measured: number | undefined;
  readonly verdict: Verdict;
}

/** The goals of the run on real servers, or of the other one. */
export function readGoals(servers: boolean): readonly Goal[] {
  const all = JSON.parse(readFileSync(fileURLToPath(new URL('../goals.json', import.meta.url)), 'utf8')) as Goal[];
  return all.filter((goal) => (goal.servers === true) === servers);
}

export function judge(
  goals: readonly Goal[],
  results: readonly CaseResult[],
  quick: boolean,
  cores: number,
): readonly GoalResult[] {
  return goals.map((goal) => {
    const measured =
      (goal.full === true && quick) || cores < (goal.cores ?? 0)
        ? undefined
        : measuredOf(
            goal,
            results.find((one) => one.id === goal.case),
          );
    if (measured === undefined) return { goal, measured, verdict: 'not measured' };
    const reached = measured >= (goal.atLeast ?? -Infinity) && measured <= (goal.atMost ?? Infinity);
    return { goal, measured, verdict: reached ? 'reached' : 'short' };
  });
}

function measuredOf(goal: Goal, result: CaseResult | undefined): number | undefined {
  if (result === undefined) return undefined;
  if (goal.value !== undefined) return result.values[goal.value];
  if (goal.count !== undefined) return result.counts[goal.count];
  if (goal.rate !== undefined) return result.sides.find((side) => side.name === goal.rate)?.perSecond.median;
  return result.ratios.find((ratio) => ratio.of === goal.of && ratio.to === goal.to)?.median;
}
