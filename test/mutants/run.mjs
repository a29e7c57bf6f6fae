/**
 * `npm run simulate:mutants [-- name …]`: breaks the sources on purpose, one patch at a time, and demands that the messy
 * world notices within 200 seeds. A patch that no longer applies fails too: what it breaks has to be broken anew.
 *
 * Each patch is a unified diff against packages/…/src that opens with a sentence on what it breaks. It is applied to a copy.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SEEDS = 200;
const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(dirname(here));
const asked = process.argv.slice(2);
const patches = readdirSync(here)
  .filter((file) => file.endsWith('.patch'))
  .filter((file) => asked.length === 0 || asked.some((name) => file.includes(name)))
  .sort();

/** A copy of what the simulator runs, beside the modules it needs. */
function copied() {
  const place = realpathSync(mkdtempSync(join(tmpdir(), 'concursus-mutants-')));
  for (const name of ['core', 'testing']) {
    const from = join(root, 'packages', name);
    const to = join(place, 'packages', name);
    cpSync(join(from, 'src'), join(to, 'src'), { recursive: true });
    cpSync(join(from, 'package.json'), join(to, 'package.json'));
  }
  for (const file of ['package.json', 'test/simulate.ts', 'test/run-typescript.mjs', 'test/package.json'])
    cpSync(join(root, file), join(place, file));
  const modules = join(place, 'node_modules');
  mkdirSync(join(modules, '@concursus'), { recursive: true });
  for (const name of readdirSync(join(root, 'node_modules'))) {
    if (name === '@concursus' || name.startsWith('.')) continue;
    symlinkSync(join(root, 'node_modules', name), join(modules, name));
  }
  for (const name of ['core', 'testing']) symlinkSync(join(place, 'packages', name), join(modules, '@concursus', name));
  return place;
}

function run(command, args, cwd) {
  const env = { ...process.env, GIT_CEILING_DIRECTORIES: dirname(cwd) };
  return spawnSync(command, args, { cwd, encoding: 'utf8', env, timeout: 600_000 });
}

const place = copied();
let failed = 0;
try {
  for (const patch of patches) {
    const path = join(here, patch);
    const name = basename(patch, '.patch');
    const what = readFileSync(path, 'utf8').split('\n', 1)[0];
    const applied = run('git', ['apply', '-C1', path], place);
    if (applied.status !== 0) {
      failed++;
      console.log(`✗ ${name}: does not apply\n${applied.stderr}`);
      continue;
    }
    const started = performance.now();
    const node = ['--import', './test/run-typescript.mjs', 'test/simulate.ts'];
    const result = run(process.execPath, [...node, '--seeds', String(SEEDS), '--findings', '1'], place);
    const seconds = ((performance.now() - started) / 1_000).toFixed(1);
    const found = /^(seed \d+) · (law \d+: .{0,160})/m.exec(result.stdout);
    if (found !== null) console.log(`✓ ${name} (${what})\n    ${found[1]}, ${seconds} s: ${found[2]}`);
    else {
      failed++;
      console.log(
        `✗ ${name} (${what})\n    nothing found in ${SEEDS} seeds, ${seconds} s\n${result.stdout}${result.stderr}`,
      );
    }
    run('git', ['apply', '-R', '-C1', path], place);
  }
} finally {
  rmSync(place, { recursive: true, force: true });
}
console.log(`${patches.length - failed} of ${patches.length} mutants caught`);
process.exitCode = failed === 0 ? 0 : 1;
