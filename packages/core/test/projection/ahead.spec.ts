/** Rows with reports of wrong clocks, in memory. */
import { aheadCases } from './ahead-cases.js';
import { world } from './support.js';

aheadCases((clock) => world({ clock }));
