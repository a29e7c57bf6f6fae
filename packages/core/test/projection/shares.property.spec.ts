/** A view kept in shares is the view kept in one piece, in memory. */
import { it } from 'vitest';
import { checkSharesLaw } from './shares-law.js';
import { world } from './support.js';

it('answers as one piece does, whatever its shares and whoever owns them', async () => {
  await checkSharesLaw(() => world(), 15);
}, 120_000);
