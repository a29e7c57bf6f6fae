/** Histories of 10,000 events read from a real Cassandra, decoded to the parameters, beside the bare driver that parses JSON. */
import { bucketOf, type RawCassandra } from '../bare/raw-cassandra.js';
import type { BenchCase, CaseContext, Round, Side } from '../case.js';
import { idAt, START_MS, TYPE } from '../model.js';
import { appendTo, cassandraLayer, dropKeyspace, rawCassandra } from './cassandra-append.js';

const LENGTH = 10_000;
const HISTORIES = 4;
/** What our reader arrives at for events of this size, and the most it ever asks for. */
const FETCH_SIZE = 5_000;

function reads(
  name: string,
  part: Side['part'],
  read: (aggregate: number) => Promise<number>,
  close: () => unknown,
): Side {
  let next = 0;
  return {
    name,
    part,
    close,
    round(operations): Round {
      const count = Math.max(1, Math.round(operations / LENGTH));
      return {
        operations: count * LENGTH,
        run: async () => {
          for (let i = 0; i < count; i++, next = (next + 1) % HISTORIES) {
            const found = await read(next);
            if (found !== LENGTH) throw new Error(`${found} of ${LENGTH} events were read`);
          }
        },
      };
    },
  };
}

async function ours(context: CaseContext): Promise<Side> {
  const layer = await cassandraLayer(context);
  for (let from = 0; from < LENGTH * HISTORIES; from += 1_000) {
    await appendTo(layer, from, from + 1_000, (i) => Math.floor(i / LENGTH));
  }
  const read = async (aggregate: number): Promise<number> => {
    let events = 0;
    for await (const page of layer.ports.eventStore.read({ tenant: '', type: TYPE, id: idAt(aggregate) })) {
      for (const fact of page) if ((fact.parameters['wattage'] as number) > 0) events++;
    }
    return events;
  };
  return reads('ours', 'ours', read, () => layer.close());
}

async function bare(context: CaseContext): Promise<Side> {
  const raw: RawCassandra = await rawCassandra(context);
  for (let from = 0; from < LENGTH * HISTORIES; from += 1_000) {
    await raw.append(from, from + 1_000, (i) => Math.floor(i / LENGTH), false);
  }
  return reads(
    'bare driver',
    'bare',
    (aggregate) => raw.read(idAt(aggregate), bucketOf(START_MS), FETCH_SIZE),
    async () => {
      await raw.close();
      await dropKeyspace(context);
    },
  );
}

export const cassandraReadCases: readonly BenchCase[] = [
  {
    id: 'cassandra-read/history',
    operation: 'read an event of a history of 10,000 and look at a parameter',
    server: 'cassandra',
    sides: async (context) => [await ours(context), await bare(context)],
  },
];
