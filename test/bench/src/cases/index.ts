/** All cases, in the order of the table. */
import type { BenchCase } from '../case.js';
import { bootCases } from './boot.js';
import { cassandraAppendCases } from './cassandra-append.js';
import { cassandraProcessesCases } from './cassandra-processes.js';
import { cassandraReadCases } from './cassandra-read.js';
import { codecCases } from './codec.js';
import { foldCases } from './fold.js';
import { kafkaCases } from './kafka.js';
import { lateCases } from './late.js';
import { lmdbAppendCases } from './lmdb-append.js';
import { lmdbReadCases } from './lmdb-read.js';
import { memoryAppendCases } from './memory-append.js';
import { memoryCases } from './memory.js';
import { monthCases } from './month.js';
import { pipelineCases } from './pipeline.js';
import { projectingCases } from './projecting.js';
import { publishCases } from './publish.js';
import { rebuildCases } from './rebuild.js';
import { restartCases } from './restart.js';
import { settlingCases } from './settling.js';
import { snapshotCases } from './snapshots.js';
import { truthCases } from './truth.js';
import { workloadsCases } from './workloads.js';

/** What runs without a server. */
export const cases: readonly BenchCase[] = [
  ...publishCases,
  ...memoryAppendCases,
  ...pipelineCases,
  ...foldCases,
  ...snapshotCases,
  ...lateCases,
  ...lmdbAppendCases,
  ...lmdbReadCases,
  ...bootCases,
  ...codecCases,
  ...projectingCases,
  ...truthCases,
  ...settlingCases,
  ...workloadsCases,
  ...rebuildCases,
  ...restartCases,
  ...memoryCases,
  ...monthCases,
];

/** What runs on real servers. */
export const serverCases: readonly BenchCase[] = [
  ...cassandraAppendCases,
  ...cassandraProcessesCases,
  ...cassandraReadCases,
  ...kafkaCases,
];
