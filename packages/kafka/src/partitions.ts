/**
 * Which partition a key belongs to: the rule of Kafka's own Java client, so that Kafka Streams programs and other writers
 * put an aggregate where we do. Murmur2 over the key's UTF-8 bytes, in plain integer arithmetic.
 */
import type { ICustomPartitioner } from 'kafkajs';

const SEED = 0x9747b28c;
const MIX = 0x5bd1e995;

function murmur2(bytes: Uint8Array): number {
  const { length } = bytes;
  let hash = SEED ^ length;
  let at = 0;
  for (; at + 4 <= length; at += 4) {
    let word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    word = Math.imul(word, MIX);
    word ^= word >>> 24;
    word = Math.imul(word, MIX);
    hash = Math.imul(hash, MIX) ^ word;
  }
  const rest = length - at;
  if (rest > 2) hash ^= bytes[at + 2]! << 16;
  if (rest > 1) hash ^= bytes[at + 1]! << 8;
  if (rest > 0) hash = Math.imul(hash ^ bytes[at]!, MIX);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, MIX);
  return hash ^ (hash >>> 15);
}

/** The partition of a key among `count`: the same in every process and every language that follows the Java client. */
export function partitionOf(key: Uint8Array, count: number): number {
  return (murmur2(key) & 0x7fffffff) % count;
}

/** Tells `chosen` of every partition that something is put into. Every message needs a key, or a partition of its own. */
export function partitioner(chosen: (topic: string, partition: number) => void): ICustomPartitioner {
  return () =>
    ({ topic, partitionMetadata, message }) => {
      const key = typeof message.key === 'string' ? Buffer.from(message.key) : (message.key ?? Buffer.alloc(0));
      const partition = message.partition ?? partitionOf(key, partitionMetadata.length);
      chosen(topic, partition);
      return partition;
    };
}
