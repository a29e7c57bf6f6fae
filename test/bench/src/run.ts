/** What one run was, as the JSON file and the page hold it. */
import { cpus, totalmem } from 'node:os';
import type { CaseResult } from './case.js';
import type { GoalResult } from './goals.js';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGB: number;
  readonly node: string;
}

export interface Run {
  /** ISO time of its end. */
  readonly at: string;
  readonly quick: boolean;
  readonly rounds: number;
  readonly peers: boolean;
  readonly machine: Machine;
  /** Of a run on real servers: each with its version, and how it was found. */
  readonly servers: Readonly<Record<string, string>>;
  readonly results: readonly CaseResult[];
  readonly goals: readonly GoalResult[];
  /** Cases that failed, with what they said. */
  readonly failed: Readonly<Record<string, string>>;
}

export function thisMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
  };
}
