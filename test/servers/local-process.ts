/** A server as a process of its own session, with its folder, its log and a guard that ends it if we cannot. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, mkdirSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Backing } from './backing.js';
import { Guard } from './guard.js';
import type { LocalPlan, Place, Program } from './server-kind.js';

/** A controlled shutdown takes two or three seconds on a quiet machine. */
const END_MAX_MS = 30_000;
/** Of the log's end, what is looked through for its last lines. */
const TAIL_MAX_BYTES = 64 * 1024;

export class LocalProcess implements Backing {
  readonly #program: Program;
  readonly #folder: string;
  readonly #arguments: readonly string[];
  readonly #guard: Guard;
  readonly #log: string;
  #child: ChildProcess | undefined;
  #ended: string | undefined = 'not begun';

  /** Lays out the folder of the place, which then belongs to it. */
  constructor(program: Program, place: Place, plan: LocalPlan) {
    this.#program = program;
    this.#folder = place.folder;
    this.#arguments = plan.arguments;
    this.#log = join(place.folder, 'out.log');
    this.#guard = Guard.ofProcess(place.folder);
    for (const folder of plan.folders) mkdirSync(join(place.folder, folder), { recursive: true });
    for (const [path, text] of Object.entries(plan.files)) {
      mkdirSync(dirname(join(place.folder, path)), { recursive: true });
      writeFileSync(join(place.folder, path), text);
    }
  }

  get where(): string {
    return `process ${this.#child?.pid ?? 'none'}`;
  }

  get ended(): string | undefined {
    return this.#ended;
  }

  async begin(): Promise<void> {
    if (this.#ended === undefined) throw new Error(`${this.where} runs already.`);
    const log = openSync(this.#log, 'a');
    try {
      const child = spawn(this.#program.command, this.#arguments, {
        cwd: this.#folder,
        detached: true,
        stdio: ['ignore', log, log],
      });
      this.#child = child;
      this.#ended = undefined;
      child.once('exit', (code, signal) => {
        this.#ended = signal === null ? `exit code ${code}` : `signal ${signal}`;
        this.#guard.watch(undefined);
      });
      // A command that is not there has no exit.
      child.once('error', (error) => (this.#ended ??= error.message));
      this.#guard.watch(child.pid);
      await once(child, 'spawn');
      writeFileSync(join(this.#folder, 'pid'), `${child.pid}\n`);
    } finally {
      closeSync(log);
    }
  }

  async end(): Promise<void> {
    if (!this.#signal('SIGTERM')) return;
    // One that is paused takes the signal when it goes on.
    this.#signal('SIGCONT');
    await this.#gone(END_MAX_MS);
    await this.kill();
  }

  async kill(): Promise<void> {
    if (this.#signal('SIGKILL')) await this.#gone();
  }

  async pause(): Promise<void> {
    if (!this.#signal('SIGSTOP')) throw new Error(`${this.where} cannot be paused: ${this.#ended}.`);
  }

  async resume(): Promise<void> {
    if (!this.#signal('SIGCONT')) throw new Error(`${this.where} cannot go on: ${this.#ended}.`);
  }

  async logTail(lines: number): Promise<string> {
    const file = openSync(this.#log, 'r');
    try {
      const sizeBytes = fstatSync(file).size;
      const bytes = Buffer.alloc(Math.min(sizeBytes, TAIL_MAX_BYTES));
      const read = readSync(file, bytes, 0, bytes.length, sizeBytes - bytes.length);
      return bytes.toString('utf8', 0, read).trimEnd().split('\n').slice(-lines).join('\n');
    } finally {
      closeSync(file);
    }
  }

  async dispose(): Promise<void> {
    rmSync(this.#folder, { recursive: true, force: true });
    this.#guard.done();
  }

  /** Only to a process that runs: its id belongs to nobody else until its exit was seen. */
  #signal(signal: NodeJS.Signals): boolean {
    return this.#child !== undefined && this.#ended === undefined && this.#child.kill(signal);
  }

  /** Until its exit was seen, so that a zombie is gone too. */
  async #gone(maxMs?: number): Promise<void> {
    const child = this.#child;
    if (child === undefined || this.#ended !== undefined) return;
    const stop = new AbortController();
    const waits: Promise<unknown>[] = [once(child, 'exit', { signal: stop.signal })];
    if (maxMs !== undefined) waits.push(sleep(maxMs, undefined, { signal: stop.signal }));
    try {
      await Promise.race(waits);
    } finally {
      stop.abort();
      await Promise.allSettled(waits);
    }
  }
}
