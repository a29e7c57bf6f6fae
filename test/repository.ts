/** What the specs about the repository itself share: where it is, its packages, its tracked files, a child process with its output. */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const root = resolve(import.meta.dirname, '..');

export interface PackageJson {
  readonly name: string;
  readonly version: string;
  readonly description?: string;
  readonly license?: string;
  readonly private?: boolean;
  readonly type?: string;
  readonly engines?: { readonly node?: string };
  readonly files?: readonly string[];
  readonly exports?: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly publishConfig?: { readonly access?: string };
}

export interface Package {
  /** The folder's name, `core`. */
  readonly folder: string;
  readonly path: string;
  readonly json: PackageJson;
}

export function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(path, 'utf8')) as T;
}

/** The packages that are published, in the order of their folders. */
export function packages(): readonly Package[] {
  return readdirSync(join(root, 'packages'))
    .filter((folder) => existsSync(join(root, 'packages', folder, 'package.json')))
    .sort()
    .map((folder) => {
      const path = join(root, 'packages', folder);
      return { folder, path, json: readJson<PackageJson>(join(path, 'package.json')) };
    });
}

/** The files of the working tree that are, or would be, committed: relative paths with `/`. Needs git; a plain copy of the tree is walked instead. */
export function trackedFiles(): readonly string[] {
  let files: readonly string[];
  try {
    files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      maxBuffer: 16 * 1024 * 1024,
    }).split('\n');
  } catch {
    files = (readdirSync(root, { recursive: true }) as string[])
      .map((path) => path.replaceAll('\\', '/'))
      .filter((path) => !/(^|\/)(node_modules|dist|\.git|coverage)\//.test(path) && /\.\w+$/.test(path));
  }
  return files.filter((path) => path !== '' && existsSync(join(root, path)));
}

export interface Outcome {
  readonly code: number;
  readonly output: string;
}

/** Runs a program to its end and answers with its exit code and everything it printed; never throws for a failure of the program. */
export function run(
  command: string,
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Outcome> {
  return new Promise((answer) => {
    execFile(
      command,
      [...args],
      { cwd, env, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
        answer({ code, output: `${stdout}${stderr}` });
      },
    );
  });
}

/** A program of the repository's own node_modules, started with this Node. */
export function tool(path: string, args: readonly string[], cwd: string, env?: NodeJS.ProcessEnv): Promise<Outcome> {
  return run(process.execPath, [join(root, 'node_modules', path), ...args], cwd, env);
}
