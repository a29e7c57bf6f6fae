/**
 * The house keeps its own rules: layers, export maps, documented names and error codes, file sizes, and nothing in the
 * text that belongs to one machine. Each check names the offenders, so that its failure is the list of what to do.
 */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { packages, type PackageJson, readJson, root, tool, trackedFiles } from './repository.js';

const files = trackedFiles();
const isText = (path: string): boolean =>
  /\.(?:[mc]?[jt]s|json|md|html|css|ya?ml)$|^\.ci\/|(?:^|\/)\.\w+rc$/.test(path);
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const typescript = files.filter((path) => path.endsWith('.ts'));
const sources = typescript.filter((path) => /^(packages\/[^/]+|sample-app)\/src\//.test(path));
const specs = typescript.filter((path) => path.endsWith('.spec.ts') && path !== 'test/repository.spec.ts');
const laws = sources.filter((path) => path.endsWith('.contract.ts'));

describe('an error code', () => {
  const errors = 'packages/core/src/model/errors.ts';
  const classOf = new Map<string, string>();
  for (const [, name = '', members = ''] of read(errors).matchAll(/export type (\w+)Code =([^;]*);/g))
    for (const [, code = ''] of members.matchAll(/'([A-Z_0-9]+)'/g)) classOf.set(code, `${name}Error`);
  const codes = [...classOf.keys()];
  const thrown = sources.filter((path) => path !== errors).map(read);
  const told = [...specs, ...laws].map(read);

  it('stands in the table of ARCHITECTURE.md with its class, its meaning and its fix', () => {
    const rows = [...read('ARCHITECTURE.md').matchAll(/^\| `([A-Z_0-9]+)` +\| `(\w+)` +\| (\S.*?) +\| (\S.*?) +\|$/gm)];
    const table = rows.map(([, code, name]) => `${code} ${name}`);
    expect(table).toEqual(codes.map((code) => `${code} ${classOf.get(code)}`));
  });

  it('is thrown somewhere in the sources', () => {
    expect(codes.filter((code) => !thrown.some((text) => text.includes(`'${code}'`)))).toEqual([]);
  });

  it('is met by at least one spec', () => {
    expect(codes.filter((code) => !told.some((text) => new RegExp(`\\b${code}\\b`).test(text)))).toEqual([]);
  });
});

describe('a package', () => {
  const version = readJson<{ version: string }>(join(root, 'lerna.json')).version;

  it.each(packages())('$folder says everything a registry asks for', ({ path, json }) => {
    expect(json.version).toBe(version);
    expect(json.private).toBeUndefined();
    expect(json.description?.length).toBeGreaterThan(20);
    expect(json.license).toBe('Apache-2.0');
    expect(json.type).toBe('module');
    expect(json.engines?.node).toBe('>=20.19');
    expect(json.publishConfig?.access).toBe('public');
    expect(json.files).toEqual(['dist', '!dist/.tsbuildinfo', 'README.md', 'LICENSE']);
    expect(read('LICENSE')).toBe(readFileSync(join(path, 'LICENSE'), 'utf8'));
    expect(existsSync(join(path, 'README.md'))).toBe(true);
  });

  it.each(packages())('$folder maps each export to a source and to what is built from it', ({ path, json }) => {
    for (const [key, target] of Object.entries(json.exports ?? {})) {
      if (typeof target === 'string') {
        expect(key).toBe(target);
        continue;
      }
      const source = target['concursus-source'] ?? '';
      expect(existsSync(join(path, source)), source).toBe(true);
      const built = source.replace('./src/', './dist/');
      expect(target.types).toBe(built.replace(/ts$/, 'd.ts'));
      expect(target.default).toBe(built.replace(/ts$/, 'js'));
      expect(Object.keys(target)).toEqual(['concursus-source', 'types', 'default']);
    }
  });

  it('imports only what its package.json declares', () => {
    const strays: string[] = [];
    for (const { folder, json } of packages()) {
      const declared = new Set([...Object.keys({ ...json.dependencies, ...json.peerDependencies }), json.name]);
      for (const path of sources.filter((one) => one.startsWith(`packages/${folder}/`)))
        for (const [, name = ''] of read(path).matchAll(/from '((?:@[\w-]+\/)?[\w-]+)(?:\/[^']*)?'/g))
          if (!declared.has(name)) strays.push(`${path}: ${name}`);
    }
    expect(strays.filter((stray) => !stray.endsWith(': node'))).toEqual([]);
  });

  it('is private only where nobody would install it', () => {
    for (const path of ['package.json', 'sample-app/package.json', 'test/package.json'])
      expect(readJson<PackageJson>(join(root, path)).private, path).toBe(true);
  });

  it('documents every name it exports', () => {
    const entries = packages().flatMap(({ path, json }) =>
      Object.values(json.exports ?? {}).flatMap((target) =>
        typeof target === 'string' ? [] : [join(path, target['concursus-source'] ?? '')],
      ),
    );
    const config = ts.getParsedCommandLineOfConfigFile(join(root, 'tsconfig.json'), {}, {
      ...ts.sys,
      onUnRecoverableConfigFileDiagnostic: () => undefined,
    } as ts.ParseConfigFileHost);
    const program = ts.createProgram(entries, config?.options ?? {});
    const checker = program.getTypeChecker();
    const bare: string[] = [];
    for (const entry of entries) {
      const file = program.getSourceFile(entry);
      const module = file === undefined ? undefined : checker.getSymbolAtLocation(file);
      for (const symbol of module === undefined ? [] : checker.getExportsOfModule(module)) {
        const origin = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
        if (!isDocumented(origin, checker)) bare.push(`${symbol.name} (${placeOf(origin)})`);
      }
    }
    expect([...new Set(bare)]).toEqual([]);
  }, 120_000);
});

describe('a file', () => {
  it('opens by saying its one job', () => {
    expect([...sources, ...specs].filter((path) => !/^(?:#!.*\n)?\/(?:\*\*|\/) ?/.test(read(path)))).toEqual([]);
  });

  it('has at most 400 lines, or says in its header why it is still one subject', () => {
    const long = typescript.filter((path) => read(path).split('\n').length > 400);
    const header = (path: string): string => /^\/\*\*.*?\*\//s.exec(read(path))?.[0] ?? '';
    expect(long.filter((path) => !header(path).includes('one subject'))).toEqual([]);
  });

  it('leaves nothing to do, and names no machine and no registry', () => {
    // Written in pieces, so that this file may pass its own check.
    const forbidden = new RegExp(
      [
        ['TO', 'DO'],
        ['FIX', 'ME'],
        ['/ho', 'me/\\w'],
        ['/Us', 'ers/'],
        ['/ro', 'ot/'],
        ['/wo', 'rk/'],
        ['registry', '\\.npm'],
        ['localhost', ':4873'],
      ]
        .map((pieces) => pieces.join(''))
        .join('|'),
    );
    const found = files.filter(isText).flatMap((path) => {
      const hit = forbidden.exec(read(path));
      return hit === null ? [] : [`${path}: ${hit[0]}`];
    });
    expect(found).toEqual([]);
    expect(read('package-lock.json')).not.toMatch(/"resolved": "http/);
  });

  it('asks a Clock for the time, never the machine', () => {
    const clock = 'packages/core/src/ports/clock.ts';
    const own = sources.filter((path) => path !== clock && !path.startsWith('sample-app/src/page/'));
    expect(own.filter((path) => /\bnew Date\(\)|\bDate\(\)|\bhrtime\b/.test(read(path)))).toEqual([]);
  });

  it('is named in the walk of ARCHITECTURE.md only if it is there', () => {
    const named = [...read('ARCHITECTURE.md').matchAll(/`((?:[\w.-]+\/)+[\w.-]+\.(?:ts|md|json|html))`/g)].map(
      ([, path]) => path as string,
    );
    const places = [
      '',
      'packages/',
      'packages/core/src/',
      'packages/lmdb/src/',
      'packages/cassandra/src/',
      'packages/testing/src/',
      'sample-app/src/',
    ];
    expect(named.filter((path) => !places.some((place) => existsSync(join(root, place, path))))).toEqual([]);
  });

  it('says in its header only the stop at which the walk names it', () => {
    const stops = new Map<string, string>();
    for (const [, stop = '', row = ''] of read('ARCHITECTURE.md').matchAll(/^\| (\d+) +\| (`[^|]+`) +\|/gm)) {
      for (const [, path = ''] of row.matchAll(/`([^`]+)`/g)) stops.set(`packages/core/src/${path}`, stop);
    }
    const said = sources.flatMap((path) => {
      const [, stop] = /\bStop (\d+)\b/.exec(read(path)) ?? [];
      return stop === undefined ? [] : [`${path}: ${stop}`];
    });
    expect(said.length).toBeGreaterThan(10);
    expect(said.filter((one) => one !== `${one.split(': ')[0]}: ${stops.get(one.split(': ')[0]!)}`)).toEqual([]);
  });
});

describe('the layer rule', () => {
  it('is kept by the linter, which refuses what is planted against it', async () => {
    const place = mkdtempSync(join(tmpdir(), 'concursus-lint-'));
    try {
      copyFileSync(join(root, '.oxlintrc.json'), join(place, '.oxlintrc.json'));
      for (const [path, text] of Object.entries(planted)) {
        mkdirSync(dirname(join(place, path)), { recursive: true });
        writeFileSync(join(place, path), `${text}\n`);
      }
      const { output } = await tool('oxlint/bin/oxlint', ['--format', 'unix'], place);
      const refused = Object.keys(planted).filter((path) => output.includes(path));
      expect(refused).toEqual(Object.keys(planted));
    } finally {
      rmSync(place, { recursive: true, force: true });
    }
  });
});

/** Documented itself, or a class or interface whose members are, where the file's header says the rest. */
function isDocumented(symbol: ts.Symbol, checker: ts.TypeChecker): boolean {
  const told = (one: ts.Symbol): boolean => one.getDocumentationComment(checker).length > 0;
  if (told(symbol)) return true;
  const members = [...(symbol.members?.values() ?? []), ...(symbol.exports?.values() ?? [])];
  return members.some(told);
}

function placeOf(symbol: ts.Symbol): string {
  const file = symbol.declarations?.[0]?.getSourceFile().fileName ?? '';
  return file.slice(root.length + 1);
}

/** One violation a file. */
const planted: Readonly<Record<string, string>> = {
  'packages/core/src/model/nest.ts': "import { Injectable } from '@nestjs/common';\nexport const one = Injectable;",
  'packages/core/src/model/builtin.ts': "import { readFileSync } from 'node:fs';\nexport const one = readFileSync;",
  'packages/core/src/model/port.ts': "import { Clock } from '../ports/clock.js';\nexport const one = Clock;",
  'packages/core/src/ports/memory.ts': "import { Store } from '../memory/store.js';\nexport const one = Store;",
  'packages/core/src/mapping/pipeline.ts': "import { Bus } from '../pipeline/bus.js';\nexport const one = Bus;",
  'packages/core/src/memory/mapping.ts':
    "import { registry } from '../mapping/registry.js';\nexport const one = registry;",
  'packages/core/src/query/time.ts': 'export const one = (): number => Date.now();',
  'packages/core/src/pipeline/wait.ts': 'export const one = (): unknown => setTimeout(() => undefined, 1);',
  'packages/core/src/processing/chance.ts': 'export const one = (): number => Math.random();',
  'packages/core/src/projection/id.ts': "import { randomUUID } from 'node:crypto';\nexport const one = randomUUID;",
  'packages/core/src/settling/view.ts': "import { View } from '../projection/view.js';\nexport const one = View;",
  'packages/core/src/time/any.ts': 'export const one = (value: any): unknown => value;',
  'packages/lmdb/src/sideways.ts': "import { verify } from '@concursus/testing';\nexport const one = verify;",
  'packages/lmdb/src/inside.ts': "import { Clock } from '../../core/src/ports/clock.js';\nexport const one = Clock;",
  'packages/cassandra/src/sideways.ts': "import { lmdb } from '@concursus/lmdb';\nexport const one = lmdb;",
  'packages/testing/src/runner.ts': "import { it } from 'vitest';\nexport const one = it;",
};
