/**
 * Sees to it that nothing outlives us, however we end. A small shell in a session of its own holds the other end of a pipe;
 * the system closes the pipe when this process ends, by a signal, a crash or a kill too, and the shell cleans up.
 */
import { spawn } from 'node:child_process';
import type { Writable } from 'node:stream';

/** Reads process ids, 0 for none, until the pipe ends; "done" says that there is nothing to clean up. */
const WATCH = 'pid=0; while read -r word; do [ "$word" = done ] && exit 0; pid=$word; done';

/** As `LocalProcess.end` does it: a stopped process takes its signal when it goes on, and a zombie is gone. */
const END_PROCESS = `
if [ "$pid" -gt 0 ]; then
  kill -TERM "$pid" 2>/dev/null; kill -CONT "$pid" 2>/dev/null
  left=300
  while [ "$left" -gt 0 ] && kill -0 "$pid" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null; do
    sleep 0.1; left=$((left - 1))
  done
  kill -KILL "$pid" 2>/dev/null
fi
rm -rf "$1"`;

const END_CONTAINER = '"$1" rm --force --volumes "$2" >/dev/null 2>&1';

export class Guard {
  readonly #pipe: Writable;

  private constructor(script: string, args: readonly string[]) {
    const shell = spawn('/bin/sh', ['-c', `${WATCH}\n${script}`, 'guard', ...args], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    shell.unref();
    this.#pipe = shell.stdin;
    // The pipe is no reason to go on, and a guard that somebody killed is none to fail.
    (shell.stdin as unknown as { unref(): void }).unref();
    shell.on('error', () => undefined);
    shell.stdin.on('error', () => undefined);
  }

  /** Ends the process that was named last, at most 30 s gently, and removes the folder. */
  static ofProcess(folder: string): Guard {
    return new Guard(END_PROCESS, [folder]);
  }

  /** Removes the container. */
  static ofContainer(engine: string, name: string): Guard {
    return new Guard(END_CONTAINER, [engine, name]);
  }

  /** Names the process to end; undefined when there is none, as its id may soon be somebody else's. */
  watch(pid: number | undefined): void {
    this.#pipe.write(`${pid ?? 0}\n`);
  }

  /** There is nothing left to clean up. */
  done(): void {
    this.#pipe.end('done\n');
  }
}
