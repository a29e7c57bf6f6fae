/** Goal: our partition of a key is that of Kafka's own clients. Method: generated keys, beside the client library's partitioner. */
import fc from 'fast-check';
import kafkajs from 'kafkajs';
import { expect, it } from 'vitest';
import { partitionOf } from '../src/index.js';

const reference = kafkajs.Partitioners.DefaultPartitioner();

it('is the client library’s for every key and number of partitions', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.integer({ min: 1, max: 50 }), (key, count) => {
      const partitionMetadata = Array.from({ length: count }, (_, partitionId) => ({ partitionId, leader: 1 }));
      const message = { key: Buffer.from(key), value: 'v' };
      expect(partitionOf(key, count)).toBe(
        reference({ topic: 't', partitionMetadata: partitionMetadata as never, message }),
      );
    }),
    { numRuns: 2_000 },
  );
});

it('is that of the Java client for texts whose partition is known', () => {
  // Of Kafka's Utils.murmur2, as its own tests have them: the hashes, before the sign is taken off.
  const known: readonly [string, number][] = [
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ];
  for (const [text, hash] of known) expect(partitionOf(Buffer.from(text), 2 ** 31)).toBe(hash & 0x7fffffff);
});
