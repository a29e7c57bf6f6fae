/** A view kept in shares is the view kept in one piece, on disk. */
import { afterAll, it } from 'vitest';
import { checkSharesLaw } from '../../core/test/projection/shares-law.js';
import { world } from '../../core/test/projection/support.js';
import { lmdb } from '../src/index.js';
import { cleanUp, quickFolder } from './support.js';

const folder = quickFolder();
afterAll(cleanUp);

it('answers as one piece does, whatever its shares and whoever owns them', async () => {
  let runs = 0;
  await checkSharesLaw(() => world({ persistent: lmdb({ path: folder }), context: `run${++runs}` }), 6);
}, 120_000);
