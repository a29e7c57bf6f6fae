/**
 * Lets plain Node run the TypeScript sources, for specs that start processes of their own:
 * `node --import <this file> child.ts`. Nothing is checked and nothing is written; packages resolve to their sources.
 */
import { existsSync, readFileSync } from 'node:fs';
import { register } from 'node:module';
import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';

const CONDITION = 'concursus-source';

// The hooks run in a thread of their own, which loads this file again.
if (isMainThread) register(import.meta.url);

let typescript;

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
  typescript ??= (await import('typescript')).default;
  const fileName = fileURLToPath(url);
  const { outputText } = typescript.transpileModule(readFileSync(fileName, 'utf8'), {
    fileName,
    compilerOptions: {
      target: typescript.ScriptTarget.ES2023,
      module: typescript.ModuleKind.ESNext,
      experimentalDecorators: true,
      emitDecoratorMetadata: true,
      inlineSourceMap: true,
    },
  });
  return { format: 'module', source: outputText, shortCircuit: true };
}
