/**
 * The driver: runs each case in a process of its own and tells the results on the terminal, as JSON and as a page.
 *
 * `--only=REGEX` cases by id · `--rounds=N` · `--quick` small inputs · `--peers` installs the peers first and runs them ·
 * `--side=NAME` only this side, for profiles ·
 * `--check` compares with baseline.json · `--save` writes it · `--profile` CPU profiles beside the results · `--folder=PATH`
 * the disk to measure · `--servers` the cases on real servers, and only those
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { BenchCase, CaseResult } from './case.js';
import { cases, serverCases } from './cases/index.js';
import { compare, machineText, ratiosFor, readBaseline, saveBaseline } from './check.js';
import { judge, readGoals } from './goals.js';
import { RESULT_MARK, type Job } from './job.js';
import { writePage } from './page.js';
import { folderOf, isInstalled, PEERS } from './peers/peer.js';
import { caseText, goalsText } from './report.js';
import { thisMachine, type Run } from './run.js';
import { startServers, type Servers } from './servers.js';

const HOME = fileURLToPath(new URL('..', import.meta.url));
const HEAP_MB = 8_192;
/** A young generation that a round fits in: else collections of what one side dropped fall into the other side's rounds. */
const YOUNG = ['--min-semi-space-size=64', '--max-semi-space-size=64'];

const { values: flags } = parseArgs({
  options: {
    only: { type: 'string' },
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    peers: { type: 'boolean', default: false },
    check: { type: 'boolean', default: false },
    save: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
    folder: { type: 'string' },
    servers: { type: 'boolean', default: false },
    side: { type: 'string' },
  },
});

const RESULTS = join(HOME, flags.servers ? 'results/servers' : 'results');

/** @throws Error with npm's own words */
function install(folder: string): void {
  console.log(`Installing into ${folder.slice(HOME.length) || 'the bench'} …`);
  const npm = spawnSync('npm', ['install', '--prefix', folder, '--no-package-lock', '--no-audit', '--no-fund'], {
    encoding: 'utf8',
    shell: process.platform === 'win32',
  });
  if (npm.status !== 0) throw new Error(`npm could not install ${folder}: ${npm.stderr}`);
}

/** Rounds on a server are longer, as it pauses for itself now and then, and it compiles longer until it is warm. */
function paceOf({ server }: BenchCase): Pick<Job, 'roundMs' | 'warmMs'> {
  if (server === undefined) return { roundMs: flags.quick ? 25 : 60, warmMs: 200 };
  return { roundMs: flags.quick ? 100 : 250, warmMs: flags.quick ? 1_000 : 4_000 };
}

/** Runs one case to its end. @throws Error with the last of what it said */
function measure(one: BenchCase, rounds: number, servers?: Servers): Promise<CaseResult> {
  const job: Job = {
    id: one.id,
    quick: flags.quick,
    peers: flags.peers,
    rounds,
    ...paceOf(one),
    servers: servers?.addresses ?? {},
    folder: flags.folder,
    side: flags.side,
    profile: flags.profile ? join(RESULTS, 'profiles', `${one.id.replaceAll(/\W+/g, '-')}.cpuprofile`) : undefined,
  };
  const program = [join(HOME, 'dist/run-case.js'), JSON.stringify(job)];
  const young = one.plainNode === true ? [] : YOUNG;
  const args = ['--expose-gc', `--max-old-space-size=${HEAP_MB}`, ...young, ...program];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let [out, error] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (error += chunk.toString()));
    child.once('close', (code) => {
      const line = out.split('\n').find((each) => each.startsWith(RESULT_MARK));
      if (line === undefined) reject(new Error(`${error.trim().split('\n').slice(-8).join(' | ')} (exit ${code})`));
      else resolve(JSON.parse(line.slice(RESULT_MARK.length)) as CaseResult);
    });
  });
}

async function all(): Promise<Run> {
  const rounds = Number(flags.rounds ?? (flags.quick ? 8 : 32));
  const only = new RegExp(flags.only ?? '.');
  const chosen = (flags.servers ? serverCases : cases).filter(
    (one) => only.test(one.id) && !(flags.quick && one.slow === true),
  );
  const results: CaseResult[] = [];
  const failed: Record<string, string> = {};
  const servers = flags.servers ? await startServers(chosen.map((one) => one.server!)) : undefined;
  const once = async (one: BenchCase): Promise<void> => {
    const start = performance.now();
    const result = await measure(one, rounds, servers);
    results.push(result);
    console.log(`${caseText(result)}\n  (${((performance.now() - start) / 1_000).toFixed(1)} s)`);
    if (result.profile !== undefined) console.log(result.profile);
  };
  for (const one of chosen) {
    try {
      await once(one).catch((error: unknown) => {
        // A peer may end the process of its case (emmett's SQLite store now and then commits beside an open statement).
        if (!flags.peers) throw error;
        console.log(`\n${one.id} failed, once more: ${error instanceof Error ? error.message : String(error)}`);
        return once(one);
      });
    } catch (error) {
      failed[one.id] = error instanceof Error ? error.message : String(error);
      console.log(`\n${one.id} failed: ${failed[one.id]}`);
    }
  }
  await servers?.stop();
  return {
    at: new Date().toISOString(),
    quick: flags.quick,
    rounds,
    peers: flags.peers,
    machine: thisMachine(),
    servers: servers?.told ?? {},
    results,
    goals: judge(readGoals(flags.servers), results, flags.quick, thisMachine().cores),
    failed,
  };
}

/** @returns what is worse than checked in, after a second look at ratios that fell */
async function guard(run: Run): Promise<readonly string[]> {
  const baseline = readBaseline();
  const of = ratiosFor(baseline, run.machine);
  if (of === undefined) {
    const known = baseline.machines.map((one) => machineText(one.machine)).join('; ');
    console.log(`\nOnly counts are compared: this is ${machineText(run.machine)}, and ratios are of ${known}.`);
  }
  const findings = compare(baseline, run.results, of);
  const confirmed: string[] = findings.filter((one) => one.exact).map((one) => one.text);
  for (const id of new Set(findings.filter((one) => !one.exact).map((one) => one.case))) {
    console.log(`\n${id} fell; once more with more rounds.`);
    const again = await measure(
      cases.find((one) => one.id === id)!,
      run.rounds * 3,
    );
    confirmed.push(...compare(baseline, [again], of).map((one) => one.text));
  }
  return confirmed;
}

if (flags.peers) for (const peer of PEERS) if (!isInstalled(peer)) install(folderOf(peer));
if (!existsSync(join(HOME, 'node_modules/chart.js'))) {
  try {
    install(HOME);
  } catch (error) {
    console.log(`There will be no page: ${String(error)}`);
  }
}
const run = await all();
console.log(`\n${goalsText(run.goals)}`);
mkdirSync(RESULTS, { recursive: true });
writeFileSync(join(RESULTS, 'results.json'), `${JSON.stringify(run, null, 1)}\n`);
const page = writePage(run, RESULTS, HOME);
console.log(`\n${RESULTS}/results.json${page === undefined ? '' : ` and ${page} beside it`} hold all of it.`);
if (flags.save) saveBaseline(run, existsSync(join(HOME, 'baseline.json')) ? readBaseline() : undefined);
let worse: readonly string[] = [];
if (flags.check) {
  worse = await guard(run);
  console.log(worse.length === 0 ? '\nNothing fell.' : `\nWorse than checked in:\n  ${worse.join('\n  ')}`);
}
process.exitCode = worse.length > 0 || Object.keys(run.failed).length > 0 ? 1 : 0;
