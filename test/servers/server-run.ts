/**
 * The servers of one run of the server specs: those that its files use are started once, together, before the first file,
 * and stopped after the last. What cannot be had is said; its files are not run, and with `CI` set each of them fails.
 */
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import type { Plugin } from 'vitest/config';
import type { Reporter, TestModule, TestSpecification, Vitest } from 'vitest/node';
import { inCi } from './in-ci.js';
import type { ServerAddresses, ServerName } from './server-kind.js';
import { isServerName, serverKinds, serverNames } from './server-kinds.js';
import { serversUsed, type Use } from './servers-used.js';
import { prepareServer, type RunningServer, startServer } from './start-server.js';

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
  /** Why a server cannot be had; by use, as one of one's own may be lacking where the environment names a shared one. */
  readonly #missing: Readonly<Record<Use['how'], Map<ServerName, string>>> = { shared: new Map(), own: new Map() };
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
    this.#notRun = [];
    const needed = { shared: new Set<ServerName>(), own: new Set<ServerName>() };
    for (const { moduleId } of specifications)
      for (const { how, name } of usedBy(moduleId)) if (isServerName(name)) needed[how].add(name);
    await Promise.all([...needed.shared].map((name) => this.#unlessMissing('shared', name, () => this.#start(name))));
    // Afterwards, as starting the others has fetched most of it.
    for (const name of needed.own) await this.#unlessMissing('own', name, () => prepareServer(name, say));
    const servers = Object.fromEntries([...this.#running].map(([name, { address }]) => [name, address]));
    for (const project of new Set(specifications.map((one) => one.project)))
      project.provide('servers', servers as Partial<ServerAddresses>);
  }

  /** What is loaded instead of a spec that cannot run as it is; undefined for all others. */
  insteadOf(path: string): string | undefined {
    if (!path.endsWith('.server.spec.ts')) return undefined;
    const used = usedBy(path);
    if (used.length === 0 || used.some(({ name }) => !isServerName(name)))
      return failing('says which servers it uses', `Call serverOf or ownServer with one of ${serverNames.join(', ')}.`);
    const missing = new Map<ServerName, string>();
    for (const { how, name } of used) {
      const reason = isServerName(name) ? this.#missing[how].get(name) : undefined;
      if (isServerName(name) && reason !== undefined) missing.set(name, reason);
    }
    if (missing.size === 0) return undefined;
    const titles = [...missing.keys()].map((name) => serverKinds[name].title).join(' and ');
    if (inCi()) return failing(`has ${titles}`, [...missing.values()].join('\n'));
    this.#notRun.push(relative(this.#root, path));
    return `import { it } from 'vitest';\nit.skip(${JSON.stringify(`not run: there is no ${titles}`)}, () => undefined);\n`;
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    const sums = new Map<ServerName, Counts>();
    for (const module of modules) {
      const counts = countsOf(module);
      for (const name of new Set(usedBy(module.moduleId).map((use) => use.name))) {
        if (!isServerName(name)) continue;
        const sum = sums.get(name) ?? { passed: 0, failed: 0, notRun: 0 };
        for (const key of ['passed', 'failed', 'notRun'] as const) sum[key] += counts[key];
        sums.set(name, sum);
      }
    }
    console.log(`\n${this.#table(sums)}`);
    const reasons = Object.values(this.#missing).flatMap((missing) => [...missing.values()]);
    for (const reason of new Set(reasons)) console.log(`\nMISSING: ${reason}`);
    if (this.#notRun.length > 0) console.log(`\nNot run for want of a server:\n  ${this.#notRun.join('\n  ')}`);
  }

  async #start(name: ServerName): Promise<void> {
    const before = this.#running.get(name);
    if (before !== undefined && before.ended === undefined) return;
    this.#running.delete(name);
    await before?.stop();
    this.#running.set(name, await startServer(name, { fast: true, say }));
  }

  async #unlessMissing(how: Use['how'], name: ServerName, get: () => Promise<void>): Promise<void> {
    this.#missing[how].delete(name);
    try {
      await get();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#missing[how].set(name, reason);
      say(`MISSING: ${reason}`);
    }
  }

  /** A case counts for each server that its file uses. */
  #table(sums: ReadonlyMap<ServerName, Counts>): string {
    const rows = [['server', 'version', 'found', 'ready in', 'passed', 'failed', 'not run', 'where']];
    for (const [name, { passed, failed, notRun }] of sums) {
      const server = this.#running.get(name);
      const missing = this.#missing.shared.has(name) || this.#missing.own.has(name);
      const told =
        server === undefined
          ? [missing ? 'MISSING' : 'own only', '']
          : [server.found, `${(server.readyMs / 1_000).toFixed(1)} s`];
      const where = [server?.where, server?.ended].filter((part) => part !== undefined).join(' ENDED: ');
      const { title, version } = serverKinds[name];
      rows.push([title, server?.version ?? version, ...told, String(passed), String(failed), String(notRun), where]);
    }
    const widths = rows[0]?.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0))) ?? [];
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

function usedBy(path: string): readonly Use[] {
  return serversUsed(path, readFileSync(path, 'utf8'));
}

function countsOf(module: TestModule): Counts {
  const counts = { passed: 0, failed: 0, notRun: 0 };
  for (const test of module.children.allTests()) {
    const { state } = test.result();
    counts[state === 'passed' || state === 'failed' ? state : 'notRun']++;
  }
  // A file that does not even load has no failed case of its own.
  if (!module.ok() && counts.failed === 0) counts.failed++;
  return counts;
}

/** A spec that fails with a reason. */
function failing(name: string, reason: string): string {
  return `import { it } from 'vitest';\nit(${JSON.stringify(name)}, () => { throw new Error(${JSON.stringify(reason)}); });\n`;
}
