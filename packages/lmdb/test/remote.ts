/** A remote side in specs that kill: a file to which children append one line a call, and the loop that kills them at random points. */
import { once } from 'node:events';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import type { ChildProcess } from 'node:child_process';
import { startChild } from './support.js';

/** A child that has said that it is ready, or has ended. */
export interface Running {
  readonly process: ChildProcess;
  readonly ended: Promise<unknown>;
}

export interface Killing {
  readonly kills: number;
  /** A file of this folder, and what it is given. */
  readonly child: string;
  readonly args: readonly string[];
  readonly remote: string;
  /** Killed after so many more bytes at the remote, at most. */
  readonly bytesMax: number;
  /** Called beside each child. */
  readonly record: () => Promise<void>;
}

const size = (path: string): number => (existsSync(path) ? statSync(path).size : 0);

export async function runChild(file: string, args: readonly string[]): Promise<Running> {
  const process = startChild(file, args);
  const ended = once(process, 'exit');
  await Promise.race([once(createInterface({ input: process.stdout! }), 'line'), ended]);
  return { process, ended };
}

/** Tells a child to stop in order, and waits for it. */
export async function stopChild({ process, ended }: Running): Promise<void> {
  process.stdin!.write('stop\n');
  await ended;
}

/** Starts a child and kills it, again and again: after some calls, so that most kills hit calls and commits; now and then while the dead owner's lease still runs. */
export async function killAtRandom({ kills, child, args, remote, bytesMax, record }: Killing): Promise<void> {
  for (let round = 0; round < kills; round++) {
    const { process, ended } = await runChild(child, args);
    const recording = record();
    const bytes = size(remote) + Math.random() * bytesMax;
    const until = performance.now() + (Math.random() < 0.1 ? 100 : 2_000);
    while (size(remote) < bytes && performance.now() < until) await setTimeout(1);
    process.kill('SIGKILL');
    await Promise.all([ended, recording]);
  }
}

/** What came, call by call; a line that a kill has cut off is none. */
export function linesOf(remote: string): string[] {
  return existsSync(remote) ? readFileSync(remote, 'utf8').split('\n').slice(0, -1) : [];
}
