/**
 * Lets plain Node run the TypeScript sources, for specs that start processes of their own:
 * `node --import <this file> child.ts`. Nothing is checked; packages resolve to their sources. What a source becomes is
 * kept in the system's temporary folder by the source's hash, because loading the compiler takes longer than most specs.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { register } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';

const CONDITION = 'concursus-source';
/** Part of each hash: raise it with the options below. */
const OPTIONS_VERSION = 1;

// The hooks run in a thread of their own, which loads this file again.
if (isMainThread) register(import.meta.url);

/** Packages by their sources, and `./file.js` by the `./file.ts` it is made from. */
export async function resolve(specifier, context, next) {
  const conditions = context.conditions.includes(CONDITION) ? context.conditions : [CONDITION, ...context.conditions];
  if (specifier.endsWith('.js') && /^(\.|file:)/.test(specifier) && context.parentURL?.startsWith('file:')) {
    const url = new URL(`${specifier.slice(0, -3)}.ts`, context.parentURL);
    if (existsSync(fileURLToPath(url))) return { url: url.href, format: 'module', shortCircuit: true };
  }
  return next(specifier, { ...context, conditions });
}

export async function load(url, context, next) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return next(url, context);
  const fileName = fileURLToPath(url);
  const text = readFileSync(fileName, 'utf8');
  const hash = createHash('sha256').update(`${OPTIONS_VERSION}\n${fileName}\n${text}`).digest('hex');
  const folder = join(tmpdir(), 'concursus-run-typescript');
  const kept = join(folder, `${hash}.mjs`);
  if (existsSync(kept)) return { format: 'module', source: readFileSync(kept, 'utf8'), shortCircuit: true };
  const source = await transpiled(fileName, text);
  // Written aside and renamed: another process may be doing the same.
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${kept}.${process.pid}`, source);
  renameSync(`${kept}.${process.pid}`, kept);
  return { format: 'module', source, shortCircuit: true };
}

async function transpiled(fileName, text) {
  const { default: typescript } = await import('typescript');
  return typescript.transpileModule(text, {
    fileName,
    compilerOptions: {
      target: typescript.ScriptTarget.ES2023,
      module: typescript.ModuleKind.ESNext,
      experimentalDecorators: true,
      emitDecoratorMetadata: true,
      inlineSourceMap: true,
    },
  }).outputText;
}
