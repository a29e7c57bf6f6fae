/**
 * The documents are true: every TypeScript block of a README is compiled and run, from sources,
 * every command it shows exists, and every file it links to is there. A block opens with its file name, `// parcel.ts`;
 * blocks of one README share a folder, so that a later one may import an earlier one.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Outcome, packages, type PackageJson, readJson, root, tool } from './repository.js';

interface Block {
  readonly language: string;
  /** From the first line of a TypeScript block; undefined when it has none. */
  readonly file: string | undefined;
  readonly text: string;
}

// A package without a README is the business of repository.spec.ts.
const documents = ['README.md', ...packages().map((one) => `packages/${one.folder}/README.md`)].filter((path) =>
  existsSync(join(root, path)),
);
const others = ['ARCHITECTURE.md', 'CONTRIBUTING.md', 'sample-app/data/README.md'];

function read(document: string): string {
  return readFileSync(join(root, document), 'utf8');
}

function blocksOf(document: string): readonly Block[] {
  return [...read(document).matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, language = '', text = '']) => ({
    language,
    file: /^\/\/ (\S+\.ts)\n/.exec(text)?.[1],
    text,
  }));
}

/** The lines a reader has to take in: all but blank ones and the file name. */
function linesOf(block: Block): readonly string[] {
  return block.text.split('\n').filter((line, at) => line.trim() !== '' && at > 0);
}

let folder = '';
let compiled: Outcome;
let ran: Outcome;

beforeAll(async () => {
  // Inside the repository, so that packages are found by name; hidden, so that no other tool takes it for ours.
  folder = mkdtempSync(join(root, 'test', '.docs-'));
  for (const document of documents) {
    const place = join(folder, dirname(document));
    mkdirSync(place, { recursive: true });
    const files = blocksOf(document).filter((block) => block.language === 'ts' && block.file !== undefined);
    for (const block of files) writeFileSync(join(place, block.file as string), block.text);
    const plain = files.filter((block) => block.file?.endsWith('.spec.ts') === false);
    if (plain.length > 0) writeFileSync(join(place, 'blocks-run.spec.ts'), importing(document, plain));
  }
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({
      extends: '../../tsconfig.json',
      // A reader's block may show a value without using it further.
      compilerOptions: { noUnusedLocals: false, noUnusedParameters: false },
      include: ['**/*.ts'],
      exclude: [],
    }),
  );
  writeFileSync(
    join(folder, 'vitest.config.mts'),
    "import base from '../../vitest.config.ts';\nexport default { ...base, test: { ...base.test, include: ['**/*.spec.ts'] } };\n",
  );
  compiled = await tool('typescript/bin/tsc', ['-p', join(folder, 'tsconfig.json')], folder);
  const env: NodeJS.ProcessEnv = {};
  for (const [name, value] of Object.entries(process.env)) if (!name.startsWith('VITEST')) env[name] = value;
  ran = await tool('vitest/vitest.mjs', ['run', '--root', folder, '--config', 'vitest.config.mts'], folder, env);
}, 300_000);

afterAll(() => {
  if (folder !== '') rmSync(folder, { recursive: true, force: true });
});

function importing(document: string, blocks: readonly Block[]): string {
  const tests = blocks.map((block) => {
    const name = `${document}: ${block.file} runs`;
    return `it(${JSON.stringify(name)}, async () => { await import(${JSON.stringify(`./${block.file?.replace(/ts$/, 'js')}`)}); });`;
  });
  return `import { it } from 'vitest';\n${tests.join('\n')}\n`;
}

describe('the documents', () => {
  it.each(documents)('%s names the file of every TypeScript block', (document) => {
    const nameless = blocksOf(document).filter((block) => block.language === 'ts' && block.file === undefined);
    expect(nameless.map((block) => block.text)).toEqual([]);
  });

  it('show TypeScript that compiles', () => {
    expect(compiled.output).toBe('');
    expect(compiled.code).toBe(0);
  });

  it('show TypeScript that runs, specs included', () => {
    expect(ran.code, ran.output).toBe(0);
  });

  it('show the two commands of the five-minute start', () => {
    const text = read('README.md');
    expect(text).toMatch(/^npm ci && npm start$/m);
    expect(text).toMatch(/^npm ci && npm test$/m);
  });

  it.each([...documents, ...others])('%s names only npm scripts that exist', (document) => {
    const scripts = readJson<PackageJson>(join(root, 'package.json')).scripts ?? {};
    const named = [...read(document).matchAll(/npm run (?:--\S+ )*([\w:-]+)/g)].map(([, name]) => name as string);
    expect(named.filter((name) => scripts[name] === undefined)).toEqual([]);
  });

  it.each([...documents, ...others])('%s links only to files that are there', (document) => {
    const links = [...read(document).matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)].map(([, to]) => to as string);
    const broken = links.filter((to) => !/^\w+:/.test(to) && !existsSync(join(root, dirname(document), to)));
    expect(broken).toEqual([]);
  });
});

describe('the hello world of the README', () => {
  const hello = blocksOf('README.md').filter((block) => block.file === 'hello.spec.ts');

  it('is one block of at most 25 lines', () => {
    expect(hello).toHaveLength(1);
    expect(linesOf(hello[0] as Block).length).toBeLessThanOrEqual(25);
  });

  it('takes five concepts at most: an aggregate, its events, a projection, a test', () => {
    const text = hello[0]?.text ?? '';
    const names = [...text.matchAll(/import \{([^}]*)\} from '@concursus\/\w+'/g)].flatMap(([, list]) =>
      (list as string).split(',').map((name) => name.trim()),
    );
    const decorators = new Set([...text.matchAll(/@(\w+)\(/g)].map(([, name]) => name));
    expect(decorators.size).toBeLessThanOrEqual(5);
    expect(names.length).toBeGreaterThan(0);
    expect(text.match(/@Event\(/g)).toHaveLength(2);
    expect(text.match(/@Aggregate\(/g)).toHaveLength(1);
    expect(text.match(/@Projection\(/g)).toHaveLength(1);
    expect(text.match(/\bit\(/g)).toHaveLength(1);
  });
});
