/**
 * The guard: paired ratios may not fall more than a third below the checked-in ones, counts may not change at all.
 * Ratios depend on the machine: each kind has its own, and on one that has none only counts are compared, and that is said.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { CaseResult } from './case.js';
import type { Machine, Run } from './run.js';

const FILE = fileURLToPath(new URL('../baseline.json', import.meta.url));
/** The noise of a shared machine stays above it; a lost optimisation does not. */
const LEAST_SHARE = 2 / 3;

/** What was measured on one kind of machine. */
export interface Ratios {
  readonly at: string;
  readonly machine: Machine;
  /** By `case: of / to`. Only ours beside the bare parts and beside itself: peers are not always there. */
  readonly ratios: Readonly<Record<string, number>>;
}

export interface Baseline {
  /** By `case: count`: the same on every machine. */
  readonly counts: Readonly<Record<string, number>>;
  readonly machines: readonly Ratios[];
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

/** Writes what this run measured over what was there of its machine; cases that did not run keep their numbers. */
export function saveBaseline(run: Run, before: Baseline | undefined): void {
  const known = before?.machines ?? [];
  const own = known.find(({ machine }) => isLike(machine, run.machine));
  const ratios: Record<string, number> = { ...own?.ratios };
  const counts: Record<string, number> = { ...before?.counts };
  for (const result of run.results) {
    for (const [name, ratio] of ratiosOf(result)) ratios[name] = Math.round(ratio * 1_000) / 1_000;
    for (const [name, count] of Object.entries(result.counts)) counts[`${result.id}: ${name}`] = count;
  }
  const machines = [...known.filter((one) => one !== own), { at: run.at, machine: run.machine, ratios }];
  const baseline: Baseline = { counts, machines };
  writeFileSync(FILE, `${JSON.stringify(baseline, null, 2)}\n`);
}

function ratiosOf(result: CaseResult): [string, number][] {
  const peers = new Set(result.sides.filter((side) => side.part === 'peer').map((side) => side.name));
  return result.ratios
    .filter((ratio) => !peers.has(ratio.to))
    .map((ratio) => [`${result.id}: ${ratio.of} / ${ratio.to}`, ratio.median]);
}

/** The ratios to compare with: those of the same processor, number of cores and Node's major version. */
export function ratiosFor(baseline: Baseline, machine: Machine): Ratios | undefined {
  return baseline.machines.find((one) => isLike(one.machine, machine));
}

/** A machine in words. */
export function machineText({ cpu, cores, node }: Machine): string {
  return `${cpu}, ${cores} cores, Node ${node}`;
}

function isLike(a: Machine, b: Machine): boolean {
  return a.cpu === b.cpu && a.cores === b.cores && a.node.split('.')[0] === b.node.split('.')[0];
}

/** What is worse than checked in. @param of undefined: only counts are compared */
export function compare(
  { counts }: Baseline,
  results: readonly CaseResult[],
  of: Ratios | undefined,
): readonly Finding[] {
  const found: Finding[] = [];
  for (const result of results) {
    for (const [name, count] of Object.entries(result.counts)) {
      const before = counts[`${result.id}: ${name}`];
      if (before !== undefined && before !== count)
        found.push({ case: result.id, exact: true, text: `${result.id}: ${name} is ${count}, and was ${before}` });
    }
    if (of === undefined) continue;
    for (const [name, ratio] of ratiosOf(result)) {
      const before = of.ratios[name];
      if (before !== undefined && ratio < before * LEAST_SHARE)
        found.push({ case: result.id, exact: false, text: `${name} is ${ratio.toFixed(3)}, and was ${before}` });
    }
  }
  return found;
}
