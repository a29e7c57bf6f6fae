/** Goal: the embedded providers keep the laws of the design. Method: a thousand deliveries of any facts beside a plain model (laws.ts). */
import { laws } from './laws.js';
import { embedded } from './things.js';

for (const tested of embedded()) laws(tested);
