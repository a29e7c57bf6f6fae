/** A process of its own that appends to Cassandra whenever it is told how much: two of them are a side of the bench. */
import 'reflect-metadata';
import { cassandra } from '@concursus/cassandra';
import type { ServerAddresses } from './case.js';
import { appends, appendTo, fill } from './cases/cassandra-append.js';
import { AGGREGATES } from './model.js';
import { openLayer } from './road.js';
import { countSpent, plus } from './spent.js';

/** What it is started with, as JSON. */
export interface AppendJob {
  readonly address: NonNullable<ServerAddresses['cassandra']>;
  readonly keyspace: string;
  readonly context: string;
  /** Its aggregates begin at this number. */
  readonly first: number;
}

const spent = countSpent();
const { address, keyspace, context, first } = JSON.parse(process.argv[2] ?? '') as AppendJob;
const layer = await openLayer(cassandra({ ...address, keyspace }), context);
await fill(layer, AGGREGATES, first);
const place = { at: AGGREGATES };

/** Told how many events, it answers what they cost when they are recorded; told none, it ends. */
async function obey(events: number): Promise<void> {
  if (events === 0) {
    await layer.close();
    process.disconnect();
    return;
  }
  const append = (from: number, to: number): Promise<unknown> =>
    appendTo(layer, from, to, (i) => first + (i % AGGREGATES));
  const before = spent();
  await appends({ size: 100, atOnce: 4 }, place, events, append).run();
  process.send!(plus(spent(), before, -1));
}

process.on('message', (events: number) => void obey(events));
process.send!('ready');
