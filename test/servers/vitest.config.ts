// `npm run test:servers`: the specs that need real servers, of all workspaces, one file after the other.
import { resolve } from 'node:path';
import { configDefaults, defineConfig } from 'vitest/config';
import base from '../../vitest.config.js';
import { serverRun } from './server-run.js';

export default defineConfig({
  ...base,
  root: resolve(import.meta.dirname, '../..'),
  plugins: [serverRun()],
  test: {
    ...base.test,
    include: ['packages/*/test/**/*.server.spec.ts', 'sample-app/test/**/*.server.spec.ts', 'test/**/*.server.spec.ts'],
    exclude: configDefaults.exclude,
    // Two servers and one file are what two cores can bear.
    fileParallelism: false,
    testTimeout: 120_000,
    // A hook may start a server of its own.
    hookTimeout: 300_000,
    // Stopping takes at most 30 s.
    teardownTimeout: 60_000,
  },
});
