/** The results as tables on the terminal. */
import type { CaseResult } from './case.js';
import type { GoalResult } from './goals.js';

/** Three digits, with k and M. */
export function short(n: number): string {
  if (!Number.isFinite(n)) return '–';
  const size = Math.abs(n);
  if (size >= 1e6) return `${digits(n / 1e6)} M`;
  if (size >= 1e3) return `${digits(n / 1e3)} k`;
  return digits(n);
}

function digits(n: number): string {
  const size = Math.abs(n);
  if (Number.isInteger(n) && size < 1_000) return String(n);
  return size >= 100 ? n.toFixed(0) : size >= 10 ? n.toFixed(1) : size >= 1 ? n.toFixed(2) : n.toFixed(3);
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) => row.map((cell, c) => (c === 0 ? cell.padEnd(widths[c]!) : cell.padStart(widths[c]!))).join('  '))
    .join('\n');
}

/** One case: its sides, its ratios, its counts and values. */
export function caseText(result: CaseResult): string {
  const lines = [`\n${result.id}: ${result.operation}; heap ${result.heapMB} MB, RSS ${result.rssMB} MB`];
  if (result.sides.length > 0) {
    lines.push(
      table([
        ['', 'per second', 'p25 – p75', 'GC', 'bytes allocated'],
        ...result.sides.map((side) => [
          `  ${side.name}`,
          short(side.perSecond.median),
          `${short(side.perSecond.p25)} – ${short(side.perSecond.p75)}`,
          `${Math.round(side.gcShare * 100)} %`,
          side.allocatedBytes === undefined ? '–' : short(side.allocatedBytes),
        ]),
      ]),
    );
  }
  for (const ratio of result.ratios) {
    lines.push(`  ${ratio.of} / ${ratio.to} = ${short(ratio.median)} (${short(ratio.p25)} – ${short(ratio.p75)})`);
  }
  for (const [name, count] of Object.entries(result.counts)) lines.push(`  ${name}: ${count}`);
  for (const [name, value] of Object.entries(result.values)) lines.push(`  ${name}: ${short(value)}`);
  return lines.join('\n');
}

export function goalsText(goals: readonly GoalResult[]): string {
  const judged = goals.filter(({ measured }) => measured !== undefined);
  const left = goals.length - judged.length;
  const text = table([
    ['goal', 'measured', 'wanted', 'verdict'],
    ...judged.map(({ goal, measured, verdict }) => [
      `${goal.goal.padEnd(4)} ${goal.case}: ${goal.formula}`,
      short(measured!),
      wantedOf(goal),
      verdict,
    ]),
  ]);
  return left === 0 ? text : `${text}\nNot measured: ${left}.`;
}

export function wantedOf(goal: { readonly atLeast?: number; readonly atMost?: number }): string {
  return goal.atLeast !== undefined ? `≥ ${short(goal.atLeast)}` : `≤ ${short(goal.atMost ?? Number.NaN)}`;
}
