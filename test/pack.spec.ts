/**
 * What a user gets: each package is built and packed, the tarballs are unpacked into an app outside the repository,
 * beside nothing but the dependencies they declare; that app is type-checked and runs, as ESM and from CommonJS.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packages, root, run, tool } from './repository.js';

interface Packed {
  readonly name: string;
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

const all = packages();
/** Every name a user can import: `@concursus/core`, `@concursus/core/model`, … */
const entries = all.flatMap((one) =>
  Object.keys(one.json.exports ?? {})
    .filter((key) => key !== './package.json')
    .map((key) => (key === '.' ? one.json.name : `${one.json.name}${key.slice(1)}`)),
);
let scratch = '';
let packed: readonly Packed[] = [];

beforeAll(async () => {
  const built = await tool('typescript/bin/tsc', ['-b', ...all.map((one) => one.path)], root);
  expect(built.output).toBe('');
  scratch = mkdtempSync(join(tmpdir(), 'concursus-pack-'));
  packed = JSON.parse(
    execFileSync(
      'npm',
      ['pack', '--json', '--silent', '--ignore-scripts', '--offline', '--pack-destination', scratch].concat(
        all.map((one) => `./packages/${one.folder}`),
      ),
      { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 16 * 1024 * 1024 },
    ),
  ) as Packed[];
  const app = join(scratch, 'node_modules');
  for (const one of packed) {
    const to = join(app, one.name);
    mkdirSync(to, { recursive: true });
    execFileSync('tar', ['-xzf', join(scratch, one.filename), '-C', to, '--strip-components=1']);
  }
  const declared = all.flatMap((one) => Object.keys({ ...one.json.dependencies, ...one.json.peerDependencies }));
  for (const name of new Set([...declared, '@types/node'])) {
    if (existsSync(join(app, name))) continue;
    mkdirSync(dirname(join(app, name)), { recursive: true });
    symlinkSync(join(root, 'node_modules', name), join(app, name));
  }
  cpSync(join(root, 'test', 'scratch'), scratch, { recursive: true });
  write('package.json', { name: 'scratch', private: true, type: 'module' });
  write('tsconfig.json', {
    compilerOptions: {
      target: 'ES2023',
      lib: ['ES2024'],
      module: 'nodenext',
      moduleResolution: 'nodenext',
      strict: true,
      experimentalDecorators: true,
      emitDecoratorMetadata: true,
      skipLibCheck: false,
      rootDir: 'src',
      outDir: 'out',
      types: ['node'],
    },
    include: ['src'],
  });
  const imports = entries.map((entry, at) => `import * as entry${at} from '${entry}';`).join('\n');
  const requires = entries.map((entry, at) => `import entry${at} = require('${entry}');`).join('\n');
  const print = `console.log(JSON.stringify({\n${entries
    .map((entry, at) => `  '${entry}': Object.keys(entry${at}).filter((key) => key !== '__esModule').sort(),`)
    .join('\n')}\n}));`;
  writeFileSync(join(scratch, 'src', 'names.ts'), `import 'reflect-metadata';\n${imports}\n${print}\n`);
  writeFileSync(join(scratch, 'src', 'names-required.cts'), `require('reflect-metadata');\n${requires}\n${print}\n`);
}, 120_000);

afterAll(() => {
  if (scratch !== '') rmSync(scratch, { recursive: true, force: true });
});

function write(name: string, content: unknown): void {
  mkdirSync(join(scratch, 'src'), { recursive: true });
  writeFileSync(join(scratch, name), JSON.stringify(content));
}

describe('a packed package', () => {
  it.each(all)('$folder holds its compiled sources, its types and its papers, and nothing else', (one) => {
    const files = packed.find((tarball) => tarball.name === one.json.name)?.files.map((file) => file.path) ?? [];
    expect(files).toEqual(expect.arrayContaining(['LICENSE', 'README.md', 'package.json']));
    const strange = files.filter((path) => {
      if (path === 'LICENSE' || path === 'README.md' || path === 'package.json') return false;
      const source = /^dist\/(.+?)\.(?:js|js\.map|d\.ts)$/.exec(path)?.[1];
      // A compiled file whose source is gone is left over from an earlier build: remove dist and build again.
      return source === undefined || !existsSync(join(one.path, 'src', `${source}.ts`));
    });
    expect(strange).toEqual([]);
  });

  it.each(all)('$folder finds every file its export map promises', (one) => {
    const files = new Set(packed.find((tarball) => tarball.name === one.json.name)?.files.map((file) => file.path));
    for (const target of Object.values(one.json.exports ?? {})) {
      const paths = typeof target === 'string' ? [target] : [target.types, target.default];
      for (const path of paths) expect(files.has((path ?? '').replace(/^\.\//, '')), path).toBe(true);
    }
  });
});

describe('an app outside the repository, with the packed packages installed', () => {
  it('type-checks under nodenext, as ESM and as CommonJS', async () => {
    const compiled = await tool('typescript/bin/tsc', ['-p', join(scratch, 'tsconfig.json')], scratch);
    // Declarations are checked too: ours. A driver's own are not ours to correct.
    const ours = compiled.output.split('\n').filter((line) => /^(?:src|node_modules\/@concursus)\//.test(line));
    expect(ours).toEqual([]);
    expect(existsSync(join(scratch, 'out', 'app.js')), compiled.output).toBe(true);
  }, 120_000);

  it('gets the same names by import and by require', async () => {
    const imported = await run(process.execPath, [join(scratch, 'out', 'names.js')], scratch);
    expect(imported.code, imported.output).toBe(0);
    const required = await run(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', join(scratch, 'out', 'names-required.cjs')],
      scratch,
    );
    expect(required.code, required.output).toBe(0);
    const names = JSON.parse(imported.output) as Record<string, string[]>;
    expect(JSON.parse(required.output)).toEqual(names);
    for (const entry of entries) expect(names[entry]?.length, entry).toBeGreaterThan(0);
  }, 120_000);

  it.each(['app.js', 'app-required.cjs'])(
    'boots the module, records messy events and reads what came right: %s',
    async (file) => {
      const told = await run(
        process.execPath,
        ['--disable-warning=ExperimentalWarning', join(scratch, 'out', file)],
        scratch,
      );
      expect(told.code, told.output).toBe(0);
      expect(told.output.trim().split('\n').at(-1)).toBe('ok');
    },
    120_000,
  );
});
