/**
 * Starts the sample application for specs: as a real process, from the sources (to be killed, or measured), or in the
 * spec's own process (quick). Both listen on a free port of their own.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Projections, getPortToken, type ReplayedView, type ViewAudit } from '@concursus/core';
import { createApp } from '../src/app.js';
import { readSettings } from '../src/settings.js';

const RUN = fileURLToPath(new URL('../../test/run-typescript.mjs', import.meta.url));
const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const START_MS = 60_000;

export interface RunningApp {
  readonly url: string;
  readonly pid: number;
  /** SIGTERM; rejects when it does not exit with 0. */
  stop(): Promise<void>;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
  /** What it has printed so far. */
  output(): string;
}

/** The application as a process of its own; `env` is added to this process's. */
export async function startApp(env: Readonly<Record<string, string>> = {}): Promise<RunningApp> {
  const child = spawn(process.execPath, ['--import', RUN, MAIN], {
    env: { ...process.env, NODE_OPTIONS: '', PORT: '0', SAMPLE_DATA: 'none', NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  const listening = new Promise<string>((resolve, reject) => {
    const read = (part: Buffer): void => {
      text += part.toString();
      const found = /The board is at (http:\S+?)\/ /.exec(text);
      if (found !== null) resolve(found[1]!);
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('exit', (code) => reject(new Error(`The application ended with ${code} before it listened:\n${text}`)));
    setTimeout(() => reject(new Error(`The application did not listen in time:\n${text}`)), START_MS).unref();
  });
  try {
    return {
      url: await listening,
      pid: child.pid!,
      stop: async () => {
        const code = await end(child, 'SIGTERM');
        if (code !== 0 && child.signalCode !== 'SIGKILL')
          throw new Error(`The application ended with ${code}:\n${text}`);
      },
      kill: async () => void (await end(child, 'SIGKILL')),
      output: () => text,
    };
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
  const gone = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  child.kill(signal);
  return gone;
}

export interface AppHere {
  readonly url: string;
  stop(): Promise<void>;
  /** Compares every view of a context with one built anew from the store. */
  audit(context: string): Promise<readonly ViewAudit[]>;
  /** Every view of a context as known at a moment, by name. */
  replay(
    context: string,
    knownAt: string,
  ): Promise<Readonly<Record<string, ReplayedView<Readonly<Record<string, number>>>['rows']>>>;
}

/** The application in this process, on a store in `folder`. */
export async function startHere(folder: string, env: Readonly<Record<string, string>> = {}): Promise<AppHere> {
  const app = await createApp(readSettings({ PORT: '0', SAMPLE_DATA: 'none', CONCURSUS_DATA: folder, ...env }), [
    'error',
    'fatal',
  ]);
  await app.listen(0, '127.0.0.1');
  const { port } = app.getHttpServer().address() as { port: number };
  return {
    url: `http://127.0.0.1:${port}`,
    stop: () => app.close(),
    async audit(context) {
      const projections = app.get<Projections>(getPortToken(Projections, context), { strict: false });
      const audits: ViewAudit[] = [];
      // The view of sources has no rows.
      const views = projections.names.filter((name) => name !== '.sources');
      for (const name of views) audits.push(await projections.audit(name));
      return audits;
    },
    async replay(context, knownAt) {
      const projections = app.get<Projections>(getPortToken(Projections, context), { strict: false });
      const rows: Record<string, ReplayedView<Readonly<Record<string, number>>>['rows']> = {};
      for (const name of projections.names) {
        rows[name] = (await projections.view<Readonly<Record<string, number>>>(name).replay({ knownAt })).rows;
      }
      return rows;
    },
  };
}

/** A folder that `clean` removes. */
export async function scratchFolder(): Promise<{ readonly path: string; clean(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'concursus-app-'));
  return { path, clean: () => rm(path, { recursive: true, force: true }) };
}
