/**
 * The guard: paired ratios may not fall more than a third below the checked-in ones, counts may not change at all.
 * Ratios depend on the machine a little: on another kind, or another Node, only counts are compared, and that is said.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { CaseResult } from './case.js';
import type { Machine, Run } from './run.js';

const FILE = fileURLToPath(new URL('../baseline.json', import.meta.url));
/** The noise of a shared machine stays above it; a lost optimisation does not. */
const LEAST_SHARE = 2 / 3;

export interface Baseline {
  readonly at: string;
  readonly machine: Machine;
  /** By `case: of / to`. Only ours beside the bare parts and beside itself: peers are not always there. */
  readonly ratios: Readonly<Record<string, number>>;
  /** By `case: count`. */
  readonly counts: Readonly<Record<string, number>>;
}

export interface Finding {
  readonly case: string;
  /** A fallen ratio may be noise, and is measured again; a count never is. */
  readonly exact: boolean;
  readonly text: string;
}

export function readBaseline(): Baseline {
  return JSON.parse(readFileSync(FILE, 'utf8')) as Baseline;
}

/** Writes what this run measured over what was there; cases that did not run keep their numbers. */
export function saveBaseline(run: Run, before: Baseline | undefined): void {
  const ratios: Record<string, number> = { ...before?.ratios };
  const counts: Record<string, number> = { ...before?.counts };
  for (const result of run.results) {
    for (const [name, ratio] of ratiosOf(result)) ratios[name] = Math.round(ratio * 1_000) / 1_000;
    for (const [name, count] of Object.entries(result.counts)) counts[`${result.id}: ${name}`] = count;
  }
  const baseline: Baseline = { at: run.at, machine: run.machine, ratios, counts };
  writeFileSync(FILE, `${JSON.stringify(baseline, null, 2)}\n`);
}

function ratiosOf(result: CaseResult): [string, number][] {
  const peers = new Set(result.sides.filter((side) => side.part === 'peer').map((side) => side.name));
  return result.ratios
    .filter((ratio) => !peers.has(ratio.to))
    .map((ratio) => [`${result.id}: ${ratio.of} / ${ratio.to}`, ratio.median]);
}

/** Undefined when ratios can be compared here, else why not. */
export function incomparable(baseline: Baseline, machine: Machine): string | undefined {
  const [then, here] = [baseline.machine, machine];
  if (then.cpu !== here.cpu) return `the checked-in ratios are of ${then.cpu}, and this is ${here.cpu}`;
  if (then.cores !== here.cores) return `the checked-in ratios are of ${then.cores} cores, and here are ${here.cores}`;
  if (then.node.split('.')[0] !== here.node.split('.')[0]) return `the checked-in ratios are of Node ${then.node}`;
  return undefined;
}

/** What is worse than checked in. */
export function compare(baseline: Baseline, results: readonly CaseResult[], ratiosToo: boolean): readonly Finding[] {
  const found: Finding[] = [];
  for (const result of results) {
    for (const [name, count] of Object.entries(result.counts)) {
      const before = baseline.counts[`${result.id}: ${name}`];
      if (before !== undefined && before !== count)
        found.push({ case: result.id, exact: true, text: `${result.id}: ${name} is ${count}, and was ${before}` });
    }
    if (!ratiosToo) continue;
    for (const [name, ratio] of ratiosOf(result)) {
      const before = baseline.ratios[name];
      if (before !== undefined && ratio < before * LEAST_SHARE)
        found.push({ case: result.id, exact: false, text: `${name} is ${ratio.toFixed(3)}, and was ${before}` });
    }
  }
  return found;
}
