/** A server's jars from Maven Central, copied once into a folder that later runs find; and the Java that runs them. */
import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Say } from './server-kind.js';

const COPY = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies';
/** A first fetch takes half a minute; a slow line may need many times that. */
const FETCH_MAX_MS = 15 * 60_000;
const JAVA_LEAST = 17;

export interface JarSet {
  /** The folder is named after it: `kafka-4.3.1`. */
  readonly name: string;
  readonly version: string;
  /** Maven coordinates `group:artifact:version`; what they need at run time comes with them. */
  readonly artifacts: readonly string[];
}

/** Where jars are kept: `CONCURSUS_SERVERS_CACHE`, else the user's cache folder. */
export function jarsFolder({ name, version }: JarSet, env: NodeJS.ProcessEnv = process.env): string {
  const named = env['CONCURSUS_SERVERS_CACHE'];
  const cache = named === undefined || named === '' ? join(homedir(), '.cache', 'concursus-servers') : resolve(named);
  return join(cache, `${name}-${version}`);
}

/**
 * The folder of a set's jars, fetched by Maven unless it is complete: a marker is written last and names the artifacts, so
 * that a broken fetch, or another set, is fetched again. Two processes may fetch one set at the same time.
 * Rejects when there is no Maven or it fails, with the end of what it printed.
 */
export async function fetchJars(set: JarSet, say: Say): Promise<string> {
  const folder = jarsFolder(set);
  const lib = join(folder, 'lib');
  const marker = join(folder, '.complete');
  const content = `${set.artifacts.join('\n')}\n`;
  if (existsSync(marker) && readFileSync(marker, 'utf8') === content) return lib;
  say(`fetching the jars of ${set.name} ${set.version} into ${folder}`);
  mkdirSync(lib, { recursive: true });
  // Beside the folder and not in the system's temporary one: renaming needs one file system.
  const aside = mkdtempSync(`${folder}.`);
  try {
    writeFileSync(join(aside, 'pom.xml'), pomOf(set));
    await maven(aside);
    const fetched = readdirSync(join(aside, 'lib'));
    if (fetched.length === 0) throw new Error(`Maven copied no jar for ${set.artifacts.join(', ')}.`);
    // One by one, as a server may be running from the folder: what it has open stays as it is.
    for (const jar of fetched) renameSync(join(aside, 'lib', jar), join(lib, jar));
    for (const jar of readdirSync(lib)) if (!fetched.includes(jar)) rmSync(join(lib, jar));
    writeFileSync(marker, content);
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
  return lib;
}

function pomOf({ name, artifacts }: JarSet): string {
  const dependencies = artifacts.map((coordinates) => {
    const [group, artifact, version] = coordinates.split(':');
    return `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`;
  });
  return `<project><modelVersion>4.0.0</modelVersion>
<groupId>local</groupId><artifactId>${name}-server</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>${dependencies.join('\n')}</dependencies></project>
`;
}

async function maven(folder: string): Promise<void> {
  const { error, output } = await printed(
    'mvn',
    ['-B', '-q', COPY, `-DoutputDirectory=${join(folder, 'lib')}`, '-DincludeScope=runtime'],
    FETCH_MAX_MS,
    folder,
  );
  if (error === null) return;
  if (error.code === 'ENOENT')
    throw new Error('There is no Maven (mvn) on this machine to fetch jars with. Debian: apt-get install maven.');
  throw new Error(`Maven could not fetch the jars: ${error.message}\n${output.split('\n').slice(-40).join('\n')}`);
}

/** The `java` of `JAVA_HOME`, else of the path. Rejects unless it is there and 17 or newer. */
export async function findJava(env: NodeJS.ProcessEnv = process.env): Promise<string> {
  const home = env['JAVA_HOME'];
  const command = home === undefined || home === '' ? 'java' : join(home, 'bin', 'java');
  const { error, output } = await printed(command, ['-version'], 30_000);
  const advice = 'Debian: apt-get install openjdk-17-jdk-headless, or set JAVA_HOME.';
  if (error !== null) throw new Error(`There is no Java to run servers with (${command}: ${error.message}). ${advice}`);
  const major = Number(/version "(\d+)/.exec(output)?.[1] ?? 0);
  if (major < JAVA_LEAST)
    throw new Error(`${command} is Java ${major}; servers need ${JAVA_LEAST} or newer. ${advice}`);
  return command;
}

/** Runs a program to its end, bounded; never rejects. */
function printed(
  command: string,
  args: readonly string[],
  timeoutMs: number,
  cwd?: string,
): Promise<{ readonly error: (Error & { code?: unknown }) | null; readonly output: string }> {
  return new Promise((answer) => {
    execFile(command, args, { cwd, timeout: timeoutMs, encoding: 'utf8' }, (error, stdout, stderr) =>
      answer({ error, output: `${stdout}${stderr}` }),
    );
  });
}
