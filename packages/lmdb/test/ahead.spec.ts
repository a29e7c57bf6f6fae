/** Rows with reports of wrong clocks, on disk: cases, and the law. */
import { afterAll, it } from 'vitest';
import { aheadCases, type Open } from '../../core/test/projection/ahead-cases.js';
import { checkAheadLaw } from '../../core/test/projection/ahead-law.js';
import { world } from '../../core/test/projection/support.js';
import { lmdb } from '../src/index.js';
import { cleanUp, quickFolder } from './support.js';

const folder = quickFolder();
afterAll(cleanUp);

let runs = 0;
const open: Open = (clock) => world({ clock, persistent: lmdb({ path: folder }), context: `run${++runs}` });

aheadCases(open);

it('is provisional as long as something that counts in it is not settled, and no longer', async () => {
  await checkAheadLaw(open, 8);
}, 120_000);
