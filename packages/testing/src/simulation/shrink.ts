/**
 * From a failing plan to a smaller one that still fails: parts of it are left out, and rates and clocks are put right, for
 * as long as the same law is broken. Deterministic: the same plan shrinks to the same plan.
 */
import type { Action, Plan } from './plan.js';
import type { Violation } from './violation.js';
import { runWorld } from './world.js';

/** A smaller plan that breaks the same law, and how it does. */
export interface Shrunk {
  readonly plan: Plan;
  readonly violation: Violation;
  /** Worlds tried. */
  readonly tried: number;
}

/** What the network does is drawn anew when a plan changes; so many draws are given the chance to fail. */
const DRAWS = 3;

/** Tries at most `triesMax` worlds. @returns undefined when the plan breaks no law */
export async function shrinkPlan(plan: Plan, triesMax = 1_000): Promise<Shrunk | undefined> {
  const first = (await runWorld(plan)).violation;
  if (first === undefined) return undefined;
  let best = plan;
  let violation = first;
  let tried = 1;
  const better = async (candidate: Plan): Promise<boolean> => {
    for (let draw = 0; draw < DRAWS && tried < triesMax; draw++) {
      const one = { ...candidate, networkSeed: plan.networkSeed + draw };
      tried++;
      const found = (await runWorld(one)).violation;
      if (found?.law !== violation.law) continue;
      best = one;
      violation = found;
      return true;
    }
    return false;
  };
  for (let size = -1; size !== sizeOf(best) && tried < triesMax;) {
    size = sizeOf(best);
    for (const change of simpler(best)) await better({ ...best, ...change });
    await withoutParts(best, better, () => best);
    for (let i = best.actions.length - 1; i >= 0; i--) {
      for (const action of lesser(best.actions[i]!)) {
        if (i < best.actions.length) await better({ ...best, actions: best.actions.with(i, action) });
      }
    }
  }
  return { plan: best, violation, tried };
}

/** Leaves out halves, then quarters, down to single actions. */
async function withoutParts(
  start: Plan,
  better: (candidate: Plan) => Promise<boolean>,
  best: () => Plan,
): Promise<void> {
  for (let part = Math.ceil(start.actions.length / 2); ; part = Math.floor(part / 2)) {
    for (let from = 0; part > 0 && from < best().actions.length;) {
      const { actions } = best();
      if (!(await better({ ...best(), actions: actions.toSpliced(from, part) }))) from += part;
    }
    if (part <= 1) return;
  }
}

function sizeOf(plan: Plan): number {
  return plan.actions.reduce((sum, action) => sum + 1 + (action.kind === 'send' ? action.items.length : 0), 0);
}

function simpler(plan: Plan): Partial<Plan>[] {
  return [
    { failRate: 0, lostAckRate: 0, twiceRate: 0 },
    { failRate: 0 },
    { lostAckRate: 0 },
    { twiceRate: 0 },
    { clockOffsets: plan.clockOffsets.map(() => 0) },
    { pageMax: 1_000 },
    { cache: false },
    { snapshots: false },
    { sharing: false },
    { shares: 1 },
    { durable: 'none' },
    { persistent: 'none' },
    { settling: undefined },
    { policy: 'both' },
  ];
}

function lesser(action: Action): Action[] {
  if (action.kind !== 'send') return [];
  const single =
    action.items.length > 1 ? action.items.map((_, i) => ({ ...action, items: action.items.toSpliced(i, 1) })) : [];
  return action.how === 'stream' ? [{ ...action, how: 'call' }, ...single] : single;
}
