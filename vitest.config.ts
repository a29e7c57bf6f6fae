import { configDefaults, defineConfig } from 'vitest/config';

// Specs run from sources: the export condition "concursus-source" points each package at its src folder.
export default defineConfig({
  resolve: { conditions: ['concursus-source'] },
  ssr: { resolve: { conditions: ['concursus-source'] } },
  oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
  test: {
    include: ['packages/*/test/**/*.spec.ts', 'sample-app/test/**/*.spec.ts', 'test/*.spec.ts'],
    // Those need real servers: `npm run test:servers`.
    exclude: [...configDefaults.exclude, '**/*.server.spec.ts'],
    setupFiles: ['reflect-metadata'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    typecheck: { enabled: false },
  },
});
