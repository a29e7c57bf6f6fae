/** One case in a process of its own, so that nothing of another one's heap or compiled code is in its way. Prints its result as one line. */
import 'reflect-metadata';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CaseContext } from './case.js';
import { cases, serverCases } from './cases/index.js';
import { runCase } from './harness.js';
import { RESULT_MARK, type Job } from './job.js';

const DATA = fileURLToPath(new URL('../.data', import.meta.url));
/** Memory as a disk, where Linux offers it. */
const SHM = '/dev/shm';

const job = JSON.parse(process.argv[2] ?? '{}') as Job;
const made: string[] = [];

function folderIn(parent: string): string {
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, 'concursus-bench-'));
  made.push(folder);
  return folder;
}

const context: CaseContext = {
  quick: job.quick,
  peers: job.peers,
  servers: job.servers,
  folder: () => folderIn(job.folder === undefined ? DATA : resolve(job.folder)),
  memoryFolder: () => folderIn(existsSync(SHM) ? SHM : DATA),
};

const one = [...cases, ...serverCases].find((each) => each.id === job.id);
if (one === undefined) throw new Error(`There is no case "${job.id}".`);
try {
  const { rounds, roundMs, warmMs, quick, side, profile } = job;
  const result = await runCase(one, context, { rounds, roundMs, warmMs, quick, side, profile });
  console.log(`${RESULT_MARK}${JSON.stringify(result)}`);
} finally {
  for (const folder of made) rmSync(folder, { recursive: true, force: true });
}
