/** A server in a container, by the command line of whatever engine answers. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import type { Backing } from './backing.js';
import { Guard } from './guard.js';

const ENGINES = ['docker', 'podman'];
/** A command without its daemon mostly refuses at once; some wait. */
const ANSWER_MAX_MS = 10_000;
const CALL_MAX_MS = 120_000;
/** An image has some hundred MB. */
const PULL_MAX_MS = 15 * 60_000;
const END_MAX_S = 30;

/** The first engine that really answers: a command whose daemon does not is none. */
export async function containerEngine(env: NodeJS.ProcessEnv = process.env): Promise<string | undefined> {
  for (const engine of ENGINES) {
    const answers = await called(engine, ['ps', '--quiet'], ANSWER_MAX_MS, env).then(
      () => true,
      () => false,
    );
    if (answers) return engine;
  }
  return undefined;
}

/** Sees to it that the image is there. Rejects with the engine's words when it cannot be had. */
export async function pullImage(engine: string, image: string): Promise<void> {
  const there = await called(engine, ['image', 'inspect', image], CALL_MAX_MS).then(
    () => true,
    () => false,
  );
  if (!there) await called(engine, ['pull', image], PULL_MAX_MS);
}

export class Container implements Backing {
  readonly #engine: string;
  readonly #name: string;
  readonly #arguments: readonly string[];
  readonly #guard: Guard;
  #made = false;
  #ended: string | undefined = 'not begun';
  #wait: ChildProcess | undefined;

  constructor(engine: string, title: string, image: string, args: readonly string[]) {
    this.#engine = engine;
    this.#name = `concursus-${title.toLowerCase()}-${randomBytes(4).toString('hex')}`;
    this.#arguments = ['run', '--detach', '--name', this.#name, ...args, image];
    this.#guard = Guard.ofContainer(engine, this.#name);
  }

  get where(): string {
    return `${this.#engine} container ${this.#name}`;
  }

  get ended(): string | undefined {
    return this.#ended;
  }

  async begin(): Promise<void> {
    await this.#call(this.#made ? ['start', this.#name] : this.#arguments);
    this.#made = true;
    this.#ended = undefined;
    // Answers when the container ends, so that an end is noticed without asking.
    const wait = spawn(this.#engine, ['wait', this.#name], { stdio: ['ignore', 'pipe', 'ignore'] });
    this.#wait = wait;
    let code = '';
    wait.stdout.setEncoding('utf8').on('data', (text: string) => (code += text));
    wait.once('close', () => {
      if (this.#wait === wait) this.#ended = `exit code ${code.trim()}`;
    });
  }

  async end(): Promise<void> {
    if (this.#ended === undefined) await this.#stopped(['stop', '-t', String(END_MAX_S), this.#name]);
  }

  async kill(): Promise<void> {
    if (this.#ended === undefined) await this.#stopped(['kill', this.#name]);
  }

  async pause(): Promise<void> {
    await this.#call(['pause', this.#name]);
  }

  async resume(): Promise<void> {
    await this.#call(['unpause', this.#name]);
  }

  async logTail(lines: number): Promise<string> {
    return this.#call(['logs', '--tail', String(lines), this.#name]);
  }

  async dispose(): Promise<void> {
    this.#wait?.kill();
    if (this.#made) await this.#call(['rm', '--force', '--volumes', this.#name]);
    this.#guard.done();
  }

  async #stopped(args: readonly string[]): Promise<void> {
    // Some engines stop no container that is paused; one that is not paused refuses this.
    await this.#call(['unpause', this.#name]).catch(() => undefined);
    await this.#call(args);
    this.#ended ??= 'stopped';
  }

  #call(args: readonly string[]): Promise<string> {
    return called(this.#engine, args, CALL_MAX_MS);
  }
}

/** What the command printed. Rejects with its words when it fails or takes too long. */
function called(engine: string, args: readonly string[], timeoutMs: number, env = process.env): Promise<string> {
  return new Promise((answer, refuse) => {
    execFile(engine, args, { timeout: timeoutMs, encoding: 'utf8', env }, (error, stdout, stderr) => {
      if (error === null) answer(`${stdout}${stderr}`);
      else refuse(new Error(`${engine} ${args[0]} failed: ${stderr.trim() || error.message}`, { cause: error }));
    });
  });
}
