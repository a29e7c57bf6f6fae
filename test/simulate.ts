/**
 * `npm run simulate -- --seeds 1000 [--from N] [--seed N] [--shrink] [--minutes M]`: runs simulated worlds from the sources,
 * prints each violation with the command that repeats it, and ends with 1 when there was one.
 */
import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { plansOf, planText, shrinkPlan, simulate, type Shrunk, type Simulated } from '@concursus/testing';

const PROGRESS_MS = 2_000;

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    shrink: { type: 'boolean', default: false },
    minutes: { type: 'string' },
    // Violations printed before the run ends: more of them are mostly the same.
    findings: { type: 'string', default: '5' },
  },
});

const number = (name: string, text: string): number => {
  const value = Number(text);
  if (Number.isFinite(value) && value >= 0) return value;
  throw new Error(`--${name} is ${text}; give a number.`);
};

let current = 0;
process.on('unhandledRejection', (error) => {
  console.error(`A promise nobody waits for was rejected in world ${current}:`, error);
  process.exit(1);
});

const started = performance.now();
const seconds = (): number => (performance.now() - started) / 1_000;

function report(done: Simulated): void {
  const { worlds, steps, recorded, kills, answers, virtualMs, findings } = done;
  console.log(
    `${worlds} worlds, ${findings.length} violations, ${(worlds / seconds()).toFixed(1)} worlds/s · ` +
      `${steps} steps, ${recorded} facts, ${kills} kills, ${answers} questions, ${(virtualMs / 3_600_000).toFixed(1)} h of virtual time`,
  );
}

if (values.seed === undefined) {
  const until = values.minutes === undefined ? Infinity : number('minutes', values.minutes) * 60;
  const from = number('from', values.from);
  const seeds = until === Infinity ? number('seeds', values.seeds) : Number.MAX_SAFE_INTEGER - from;
  let found = 0;
  let shownMs = performance.now();
  current = from;
  const done = await simulate({
    from,
    seeds,
    each: ({ seed, outcome: { violation } }) => {
      current = seed + 1;
      if (violation !== undefined) {
        found++;
        console.log(`seed ${seed} · ${violation.message}\n  npm run simulate -- --seed ${seed} --shrink`);
      }
      if (performance.now() - shownMs > PROGRESS_MS) {
        shownMs = performance.now();
        const worlds = seed - from + 1;
        process.stderr.write(`${worlds} worlds, ${(worlds / seconds()).toFixed(1)}/s, ${found} violations\n`);
      }
      return found >= number('findings', values.findings) || seconds() > until;
    },
  });
  report(done);
  process.exitCode = found === 0 ? 0 : 1;
} else {
  const seed = number('seed', values.seed);
  current = seed;
  const plans = plansOf(seed);
  let shrunk: Shrunk | undefined;
  for (const plan of values.shrink ? plans : []) shrunk ??= await shrinkPlan(plan);
  if (shrunk !== undefined) {
    console.log(`seed ${seed}, after ${shrunk.tried} worlds · ${shrunk.violation.message}\n${planText(shrunk.plan)}`);
    process.exitCode = 1;
  } else {
    // Not asked for, or what fails is the world about time, which is small as it is.
    const done = await simulate({ from: seed, seeds: 1 });
    for (const { violation } of done.findings)
      console.log(`seed ${seed} · ${violation.message}\n${plans.map(planText).join('\n')}`);
    report(done);
    process.exitCode = done.findings.length === 0 ? 0 : 1;
  }
}
