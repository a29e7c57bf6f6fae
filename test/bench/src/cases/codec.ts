/** G16: the stored form of LMDB beside the event's wire JSON: bytes, and the time to write and read it. */
import type { Fact } from '@concursus/core';
import type { BenchCase, Round, Side } from '../case.js';
import { factOf, recordOf } from '../model.js';

interface Writer {
  takes(fact: Fact, time: ProcessingTime): boolean;
  add(fact: Fact, time: ProcessingTime, index: number): void;
  finish(): Buffer;
}
interface ProcessingTime {
  readonly ms: number;
  readonly tick: number;
}
interface Chunk {
  readonly count: number;
  fact(k: number): Fact;
}
interface Codec {
  readonly Chunk: new (first: number, bytes: Buffer) => Chunk;
  readonly ChunkWriter: new (node: string) => Writer;
}

/** The codec's own files: the store around it is measured in lmdb-append and lmdb-read. */
async function codec(): Promise<Codec> {
  const folder = new URL('../../../../packages/lmdb/dist/', import.meta.url);
  const { Chunk } = (await import(new URL('fact-chunk.js', folder).href)) as Pick<Codec, 'Chunk'>;
  const { ChunkWriter } = (await import(new URL('chunk-writer.js', folder).href)) as Pick<Codec, 'ChunkWriter'>;
  return { Chunk, ChunkWriter };
}

const BATCH = 100;
const NODE = '0123456789ab';

/** One batch in chunks: facts of one append. */
function encode(Writer: Codec['ChunkWriter'], facts: readonly Fact[]): Buffer[] {
  const writer = new Writer(NODE);
  const time = { ms: 1_700_000_000_000, tick: 0 };
  const chunks: Buffer[] = [];
  for (let i = 0; i < facts.length; i++) {
    if (!writer.takes(facts[i]!, time)) chunks.push(Buffer.from(writer.finish()));
    writer.add(facts[i]!, time, i);
  }
  chunks.push(Buffer.from(writer.finish()));
  return chunks;
}

const facts = Array.from({ length: BATCH }, (_, i) => factOf(i));
const records = Array.from({ length: BATCH }, (_, i) => recordOf(i));

function side(name: string, part: Side['part'], batch: () => number): Side {
  return {
    name,
    part,
    round(operations): Round {
      const count = Math.max(1, Math.round(operations / BATCH));
      return {
        operations: count * BATCH,
        run: () => {
          let sum = 0;
          for (let i = 0; i < count; i++) sum += batch();
          if (sum === -1) throw new Error('never');
        },
      };
    },
  };
}

export const codecCases: readonly BenchCase[] = [
  {
    id: 'codec/encode',
    operation: 'one event encoded, in batches of 100',
    sides: async () => {
      const { ChunkWriter } = await codec();
      return [
        side('ours', 'ours', () => encode(ChunkWriter, facts).length),
        side('JSON', 'bare', () => {
          let sum = 0;
          for (const record of records) sum += JSON.stringify(record).length;
          return sum;
        }),
      ];
    },
    values: async () => {
      const { ChunkWriter } = await codec();
      const ours = encode(ChunkWriter, facts).reduce((sum, bytes) => sum + bytes.length, 0) / BATCH;
      const single = encode(ChunkWriter, facts.slice(0, 1))[0]!.length;
      const json = records.reduce((sum, record) => sum + Buffer.byteLength(JSON.stringify(record)), 0) / BATCH;
      return {
        'bytes of an event in a batch of 100': ours,
        'bytes of a single event': single,
        'bytes of its JSON': json,
        'share of the JSON, batch of 100': Math.round((ours / json) * 1_000) / 1_000,
        'share of the JSON, single': Math.round((single / json) * 1_000) / 1_000,
      };
    },
  },
  {
    id: 'codec/decode',
    operation: 'one event decoded to its parameters, in batches of 100',
    sides: async () => {
      const { Chunk, ChunkWriter } = await codec();
      const chunks = encode(ChunkWriter, facts);
      const texts = records.map((record) => JSON.stringify(record));
      return [
        side('ours', 'ours', () => {
          let sum = 0;
          for (const bytes of chunks) {
            const chunk = new Chunk(0, bytes);
            for (let k = 0; k < chunk.count; k++) sum += chunk.fact(k).parameters['wattage'] as number;
          }
          return sum;
        }),
        side('JSON', 'bare', () => {
          let sum = 0;
          for (const text of texts) sum += (JSON.parse(text) as { parameters: { wattage: number } }).parameters.wattage;
          return sum;
        }),
      ];
    },
  },
];
