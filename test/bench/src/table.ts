/**
 * The goals of one run, or of several that each measured a part, as a table for a README: `node test/bench/dist/table.js [FILE…]`,
 * by default the last run's `results/results.json`. A ratio whose middle half lies on both sides of 1 is called a tie.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { CaseResult } from './case.js';
import type { GoalResult } from './goals.js';

interface Results {
  readonly at: string;
  readonly rounds: number;
  readonly servers?: Readonly<Record<string, string>>;
  readonly machine: { readonly cpu: string; readonly cores: number; readonly memoryGB: number; readonly node: string };
  readonly results: readonly CaseResult[];
  readonly goals: readonly GoalResult[];
}

const files = process.argv.slice(2);
if (files.length === 0) files.push(fileURLToPath(new URL('../results/results.json', import.meta.url)));
const runs = files.map((file) => JSON.parse(readFileSync(file, 'utf8')) as Results);

function shown(value: number): string {
  if (value >= 1e6) return `${(value / 1e6).toFixed(1)} M`;
  if (value >= 1e4) return `${Math.round(value / 1e3)} k`;
  if (Number.isInteger(value)) return String(value);
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

const lines: string[] = [];
for (const { results, goals } of runs) {
  for (const { goal, measured, verdict } of goals) {
    if (measured === undefined) continue;
    const ratio = results
      .find((one) => one.id === goal.case)
      ?.ratios.find((one) => one.of === goal.of && one.to === goal.to);
    const spread = ratio === undefined ? '' : ` (${shown(ratio.p25)} – ${shown(ratio.p75)})`;
    const tie = ratio !== undefined && ratio.p25 < 1 && ratio.p75 > 1 ? ', a tie' : '';
    const bound = goal.atLeast === undefined ? `≤ ${shown(goal.atMost!)}` : `≥ ${shown(goal.atLeast)}`;
    lines.push(
      `| ${goal.goal} | ${goal.case}: ${goal.formula} | ${shown(measured)}${spread}${tie} | ${bound} | ${verdict} |`,
    );
  }
}
const { machine, at, servers = {} } = runs[0]!;
const told = Object.entries(servers).map(([name, version]) => `, ${name} ${version}`);
console.log(
  [
    `${at.slice(0, 10)}, ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGB} GB, Node ${machine.node}${told.join('')}; medians of paired ratios with their middle half.`,
    '',
    '| goal | what | measured | bound | |',
    '| --- | --- | --- | --- | --- |',
    ...lines,
  ].join('\n'),
);
