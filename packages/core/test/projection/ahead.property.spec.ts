/** A row is provisional as long as something that counts in it is not settled, in memory. */
import { it } from 'vitest';
import { checkAheadLaw } from './ahead-law.js';
import { world } from './support.js';

it('is provisional as long as something that counts in it is not settled, and no longer', async () => {
  await checkAheadLaw((clock) => world({ clock }), Number(process.env['LAW_RUNS'] ?? 60));
}, 600_000);
