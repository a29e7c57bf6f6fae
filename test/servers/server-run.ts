/**
 * The servers of one run of the server specs: those that its files use are started once, together, before the first file,
 * and stopped after the last. What cannot be had is said; its files are not run, and with `CI` set each of them fails.
 */
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import type { Plugin } from 'vitest/config';
import type { Reporter, TestModule, TestSpecification, Vitest } from 'vitest/node';
import type { ServerAddresses, ServerName } from './server-kind.js';
import { isServerName, serverKinds, serverNames } from './server-kinds.js';
import { serversUsed } from './servers-used.js';
import { prepareServer, type RunningServer, startServer } from './start-server.js';

const inCi = (process.env['CI'] ?? '') !== '' && process.env['CI'] !== 'false';
const say = (line: string): void => console.log(`  servers · ${line}`);

/** For the vitest configuration of the server specs. */
export function serverRun(): Plugin {
  const run = new ServerRun();
  return {
    name: 'concursus-servers',
    enforce: 'pre',
    configureVitest: ({ vitest }) => run.attach(vitest),
    load: (id) => run.insteadOf(id.replace(/\?.*$/, '')),
  };
}

interface Counts {
  passed: number;
  failed: number;
  notRun: number;
}

class ServerRun implements Reporter {
  readonly #running = new Map<ServerName, RunningServer>();
  /** Why a server, shared or own, cannot be had. */
  readonly #missing = new Map<ServerName, string>();
  readonly #counts = new Map<ServerName, Counts>();
  #root = '';
  #notRun: string[] = [];

  attach(vitest: Vitest): void {
    this.#root = vitest.config.root;
    // Here, as --reporter on the command line replaces what a configuration lists.
    vitest.config.reporters.push(this);
    vitest.onClose(() => this.#end());
  }

  /** Awaited before the first file is loaded. */
  async onTestRunStart(specifications: readonly TestSpecification[]): Promise<void> {
    const shared = new Set<ServerName>();
    const own = new Set<ServerName>();
    this.#notRun = [];
    for (const { moduleId } of specifications)
      for (const [name, how] of this.#usedBy(moduleId))
        if (isServerName(name)) (how === 'own' ? own : shared).add(name);
    await Promise.all([
      ...[...shared].map((name) => this.#start(name)),
      ...[...own].filter((name) => !shared.has(name)).map((name) => this.#prepare(name)),
    ]);
    const servers = Object.fromEntries([...this.#running].map(([name, { address }]) => [name, address]));
    for (const project of new Set(specifications.map((one) => one.project)))
      project.provide('servers', servers as Partial<ServerAddresses>);
  }

  /** What is loaded instead of a spec that cannot run as it is; undefined for all others. */
  insteadOf(path: string): string | undefined {
    if (!path.endsWith('.server.spec.ts')) return undefined;
    const used = [...this.#usedBy(path).keys()];
    const unknown = used.filter((name) => !isServerName(name));
    if (used.length === 0 || unknown.length > 0)
      return failing('says which servers it uses', `Call serverOf or ownServer with one of ${serverNames.join(', ')}.`);
    const missing = used.filter(isServerName).filter((name) => this.#missing.has(name));
    if (missing.length === 0) return undefined;
    const titles = missing.map((name) => serverKinds[name].title).join(' and ');
    if (inCi) return failing(`has ${titles}`, missing.map((name) => this.#missing.get(name)).join('\n'));
    this.#notRun.push(relative(this.#root, path));
    return `import { it } from 'vitest';\nit.skip(${JSON.stringify(`not run: there is no ${titles}`)}, () => undefined);\n`;
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    this.#counts.clear();
    for (const module of modules) {
      const counts = { passed: 0, failed: 0, notRun: 0 };
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        counts[state === 'passed' || state === 'failed' ? state : 'notRun']++;
      }
      // A file that does not even load has no failed case of its own.
      if (!module.ok() && counts.failed === 0) counts.failed++;
      for (const name of [...this.#usedBy(module.moduleId).keys()].filter(isServerName)) {
        const sum = this.#counts.get(name) ?? { passed: 0, failed: 0, notRun: 0 };
        for (const key of ['passed', 'failed', 'notRun'] as const) sum[key] += counts[key];
        this.#counts.set(name, sum);
      }
    }
    console.log(`\n${this.#table()}`);
    for (const [name, reason] of this.#missing) console.log(`\n${serverKinds[name].title} CANNOT BE HAD. ${reason}`);
    if (this.#notRun.length > 0) console.log(`\nNot run for want of a server:\n  ${this.#notRun.join('\n  ')}`);
  }

  #usedBy(path: string): ReadonlyMap<string, 'shared' | 'own'> {
    return serversUsed(path, readFileSync(path, 'utf8'));
  }

  async #start(name: ServerName): Promise<void> {
    const before = this.#running.get(name);
    if (before !== undefined && before.ended === undefined) return;
    this.#running.delete(name);
    this.#missing.delete(name);
    await before?.stop();
    try {
      this.#running.set(name, await startServer(name, { fast: true, say }));
    } catch (error) {
      this.#miss(name, error);
    }
  }

  async #prepare(name: ServerName): Promise<void> {
    this.#missing.delete(name);
    try {
      await prepareServer(name, say);
    } catch (error) {
      this.#miss(name, error);
    }
  }

  #miss(name: ServerName, error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#missing.set(name, reason);
    say(`${serverKinds[name].title} CANNOT BE HAD. ${reason}`);
  }

  #table(): string {
    const rows = [['server', 'version', 'found', 'ready in', 'passed', 'failed', 'not run', 'where']];
    for (const name of serverNames) {
      const server = this.#running.get(name);
      const counts = this.#counts.get(name);
      if (server === undefined && counts === undefined) continue;
      const { title } = serverKinds[name];
      const found = server?.found ?? (this.#missing.has(name) ? 'MISSING' : 'own only');
      const ready = server === undefined ? '' : `${(server.readyMs / 1_000).toFixed(1)} s`;
      const { passed, failed, notRun } = counts ?? { passed: 0, failed: 0, notRun: 0 };
      const where =
        server === undefined ? '' : `${server.where}${server.ended === undefined ? '' : ` ENDED: ${server.ended}`}`;
      rows.push([title, server?.version ?? '', found, ready, String(passed), String(failed), String(notRun), where]);
    }
    const widths = rows[0]?.map((_, at) => Math.max(...rows.map((row) => (row[at] ?? '').length))) ?? [];
    return rows
      .map((row) =>
        row
          .map((cell, at) => cell.padEnd(widths[at] ?? 0))
          .join('  ')
          .trimEnd(),
      )
      .join('\n');
  }

  async #end(): Promise<void> {
    const servers = [...this.#running.values()];
    this.#running.clear();
    for (const server of servers)
      if (server.ended !== undefined)
        console.error(
          `${server.kind.title} ended by itself (${server.ended}); the end of its log:\n${await server.logTail()}`,
        );
    await Promise.all(servers.map((server) => server.stop()));
  }
}

/** A spec that fails with a reason. */
function failing(name: string, reason: string): string {
  return `import { it } from 'vitest';\nit(${JSON.stringify(name)}, () => { throw new Error(${JSON.stringify(reason)}); });\n`;
}
