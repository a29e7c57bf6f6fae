/** Goal: the embedded providers keep the laws of the design. Method: a thousand deliveries of any facts beside a plain model (laws.ts). */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inMemory } from '@concursus/core';
import { lmdb } from '@concursus/lmdb';
import { laws } from './laws.js';

laws(
  'in-memory',
  () => inMemory(),
  () => undefined,
);

const folder = mkdtempSync(join(tmpdir(), 'concursus-laws-'));
laws(
  'LMDB',
  () => lmdb({ path: folder }),
  () => rmSync(folder, { recursive: true, force: true }),
);
