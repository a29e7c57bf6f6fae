/** A program that others would write, beside a server: run by the JDK from one source file, with jars fetched as a server's are. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inCi } from './in-ci.js';
import { fetchJars, findJava, type JarSet } from './jars.js';
import { LocalProcess } from './local-process.js';
import type { Say } from './server-kind.js';
import { endAndDispose } from './start-server.js';

const TAIL_LINES = 40;

export interface JavaProgramOptions {
  readonly jars: JarSet;
  /** The one source file, absolute. */
  readonly source: string;
  readonly arguments: readonly string[];
  /** Of the JVM. */
  readonly javaOptions?: readonly string[];
}

export interface JavaProgram {
  /** Why it does not run; undefined while it does. */
  readonly ended: string | undefined;
  /** The end of what it printed. */
  logTail(): Promise<string>;
  /** Ends it gently, within 30 s, then not. May be called again. */
  stop(): Promise<void>;
}

/**
 * Fetches what the program needs, so that beginning it later takes no longer than that. Resolves to what is missing on this
 * machine, for a spec to skip with; with `CI` set it rejects, as a skipped guarantee looks like a kept one.
 */
export async function prepareJava(jars: JarSet, say: Say): Promise<string | undefined> {
  try {
    await findJava();
    await fetchJars(jars, say);
    return undefined;
  } catch (error) {
    if (inCi()) throw error;
    return error instanceof Error ? error.message : String(error);
  }
}

/** Begins it; whether it works is for the caller to see. Its `java.io.tmpdir` is a folder that goes with it. */
export async function startJava(options: JavaProgramOptions): Promise<JavaProgram> {
  const { jars, source, javaOptions = [] } = options;
  const command = await findJava();
  const lib = await fetchJars(jars, () => undefined);
  const folder = mkdtempSync(join(tmpdir(), 'concursus-java-'));
  const backing = new LocalProcess(
    { command, lib },
    { folder, ports: [], fast: true, sync: 'periodic' },
    {
      folders: ['tmp'],
      files: {},
      arguments: [...javaOptions, `-Djava.io.tmpdir=${folder}/tmp`, '-cp', `${lib}/*`, source, ...options.arguments],
    },
  );
  await backing.begin();
  let stopped: Promise<void> | undefined;
  return {
    get ended() {
      return backing.ended;
    },
    logTail: () => backing.logTail(TAIL_LINES),
    stop: () => (stopped ??= endAndDispose(backing)),
  };
}
