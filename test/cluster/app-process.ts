/** One process of a cluster: it is begun again when it ends by itself, after a while that grows, and not for ever. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { Guard } from '../servers/guard.js';

const RESTART_MS = 250;
const RESTART_MAX_MS = 10_000;
/** Starts in a row that came to nothing; then somebody has to look at it. */
const FAILURES_MAX = 8;
/** Who took requests for so long was well. */
const STEADY_MS = 5_000;
/** The application itself takes 8 s at most. */
const END_MAX_MS = 12_000;
const TAIL_LINES = 200;

export interface AppProcessOptions {
  readonly name: string;
  readonly command: string;
  readonly arguments: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Finds in a line it prints the port where it takes requests now. */
  portIn(line: string): number | undefined;
  /** What becomes of it. */
  readonly say: (line: string) => void;
  /** Before it is begun again; twice as long after each start that came to nothing, up to 10 s. Default 250. */
  readonly restartMs?: number;
  /** All that it prints. */
  readonly onLine?: ((line: string) => void) | undefined;
}

export class AppProcess {
  readonly #options: AppProcessOptions;
  /** Where it runs; removed in the end. */
  readonly #folder = mkdtempSync(join(tmpdir(), 'concursus-app-process-'));
  readonly #guard = Guard.ofProcess(this.#folder);
  readonly #tail: string[] = [];
  readonly #stopping = new AbortController();
  readonly #waiting = new Set<{ resolve(port: number): void; reject(error: Error): void }>();
  #child: ChildProcess | undefined;
  #port: number | undefined;
  #listeningSinceMs = Number.POSITIVE_INFINITY;
  #starts = 0;
  #failures = 0;
  #gaveUp: string | undefined;
  #gone: Promise<void> = Promise.resolve();

  constructor(options: AppProcessOptions) {
    this.#options = options;
    this.#begin();
  }

  get name(): string {
    return this.#options.name;
  }

  /** Where it takes requests; undefined while it does not. */
  get port(): number | undefined {
    return this.#port;
  }

  get url(): string | undefined {
    return this.#port === undefined ? undefined : `http://127.0.0.1:${this.#port}`;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** How often it was begun. */
  get starts(): number {
    return this.#starts;
  }

  /** Resolves to its port when it takes requests, begun again meanwhile or not. Rejects when it is given up or stopped. */
  listening(): Promise<number> {
    if (this.#port !== undefined) return Promise.resolve(this.#port);
    if (this.#gaveUp !== undefined) return Promise.reject(new Error(this.#gaveUp));
    if (this.#stopping.signal.aborted) return Promise.reject(new Error(`${this.name} was stopped.`));
    return new Promise((resolve, reject) => this.#waiting.add({ resolve, reject }));
  }

  /** As a crash, or a machine in trouble. False when there is no process now. */
  signal(signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): boolean {
    return this.#child?.kill(signal) ?? false;
  }

  /** The last lines it printed. */
  tail(): string {
    return this.#tail.join('\n');
  }

  /** Ends it gently, within 12 s, then not; it is not begun again. May be called again. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#refuse(`${this.name} was stopped.`);
    this.#child?.kill('SIGTERM');
    // One that stands still takes the signal when it goes on.
    this.#child?.kill('SIGCONT');
    const over = new AbortController();
    const late = sleep(END_MAX_MS, true, { signal: over.signal }).catch(() => false);
    const isLate = await Promise.race([this.#gone.then(() => false), late]);
    if (isLate) this.#child?.kill('SIGKILL');
    over.abort();
    await this.#gone;
    rmSync(this.#folder, { recursive: true, force: true });
    this.#guard.done();
  }

  #begin(): void {
    const { name, command, say } = this.#options;
    this.#starts++;
    const child = spawn(command, this.#options.arguments, {
      cwd: this.#folder,
      env: this.#options.env,
      // A Ctrl-C of the terminal goes to us alone, who end it in turn.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    this.#guard.watch(child.pid);
    say(`${name}: process ${child.pid ?? 'none'} begun${this.#starts > 1 ? `, start ${this.#starts}` : ''}`);
    for (const stream of [child.stdout, child.stderr])
      createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on('line', (line) =>
        this.#read(child, line),
      );
    this.#gone = new Promise((resolve) => {
      let ended = false;
      const end = (why: string): void => {
        if (ended) return;
        ended = true;
        this.#end(why);
        resolve();
      };
      child.once('exit', (code, signal) => end(signal ?? `exit code ${code}`));
      // A command that is not there has no exit.
      child.once('error', (error) => end(error.message));
    });
  }

  #read(child: ChildProcess, line: string): void {
    this.#tail.push(line);
    if (this.#tail.length > TAIL_LINES) this.#tail.shift();
    this.#options.onLine?.(line);
    // What it printed last may be read when it has gone.
    const port = this.#child === child ? this.#options.portIn(line) : undefined;
    if (port === undefined) return;
    this.#port = port;
    this.#listeningSinceMs = performance.now();
    this.#options.say(`${this.name}: takes requests at ${this.url}`);
    for (const waiting of this.#waiting) waiting.resolve(port);
    this.#waiting.clear();
  }

  #end(why: string): void {
    const { name, say } = this.#options;
    this.#child = undefined;
    this.#port = undefined;
    this.#guard.watch(undefined);
    if (this.#stopping.signal.aborted) {
      say(`${name}: ended (${why})`);
      return;
    }
    const wasSteady = performance.now() - this.#listeningSinceMs >= STEADY_MS;
    this.#listeningSinceMs = Number.POSITIVE_INFINITY;
    this.#failures = wasSteady ? 1 : this.#failures + 1;
    if (this.#failures > FAILURES_MAX) {
      this.#gaveUp = `${name} ended ${this.#failures} times in a row; the last time: ${why}.\n${this.tail()}`;
      say(this.#gaveUp);
      this.#refuse(this.#gaveUp);
      return;
    }
    const waitMs = Math.min((this.#options.restartMs ?? RESTART_MS) * 2 ** (this.#failures - 1), RESTART_MAX_MS);
    say(`${name}: ended by itself (${why}), begun again in ${waitMs} ms`);
    sleep(waitMs, undefined, { signal: this.#stopping.signal }).then(
      () => this.#begin(),
      () => undefined, // stopped meanwhile
    );
  }

  #refuse(why: string): void {
    for (const waiting of this.#waiting) waiting.reject(new Error(why));
    this.#waiting.clear();
  }
}
