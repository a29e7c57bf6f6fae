/** A fact as columns, and back. The one place that knows how its fields are spelled in tables. */
import {
  compareProcessingIds,
  Fact,
  parseProcessingId,
  type AggregateKey,
  type IdentityKey,
  type ProcessingTime,
} from '@concursus/core';
import type { types } from 'cassandra-driver';
import { metadataOf, metadataText } from './feed-row.js';
import { isRecordedAfter } from './processing-times.js';

/** In the order of `keyValues`. */
export const keyColumns = 'event_time, stream, sequence, name, digest, processing_id';
/** In the order of `valueValues`. */
export const valueColumns = 'version, characteristics, content, metadata';

/** The place of a fact in its history. Numbers go as milliseconds, ids and digests as the driver takes them. */
export function keyValues(fact: Fact): unknown[] {
  return [fact.eventTime, fact.streamId, fact.sequence, fact.name, Buffer.from(fact.digest, 'hex'), fact.processingId];
}

/** What is not there is not written. */
export function valueValues(fact: Fact): unknown[] {
  return [
    fact.version,
    fact.characteristics === 0 ? undefined : fact.characteristics,
    fact.content,
    metadataText(fact.metadata),
  ];
}

/** A fact of a row that has all columns but the digest, perhaps. */
export function factOf(aggregate: AggregateKey, row: types.Row): Fact {
  const id = row['processing_id'] as types.TimeUuid;
  return new Fact(
    {
      tenant: aggregate.tenant,
      aggregateType: aggregate.type,
      aggregateId: aggregate.id,
      name: row['name'] as string,
      version: row['version'] as string,
      eventTime: (row['event_time'] as Date).getTime(),
      streamId: row['stream'] as string,
      sequence: Number(row['sequence']),
      characteristics: (row['characteristics'] as number | null) ?? 0,
      content: row['content'] as string,
      metadata: metadataOf(row['metadata'] as string | null),
    },
    String(id),
    processedAtOf(id.getBuffer()),
  );
}

const GREGORIAN_OFFSET_MS = 12_219_292_800_000;
const TICKS_PER_MS = 10_000;

/** The millisecond of a processing id, as `parseProcessingId` reads it: from its bytes, as every event that is read passes here. */
export function processedAtOf(bytes: Buffer): number {
  // 60 bits of 100 ns in two parts, so that every step stays below 2^53.
  const high = ((bytes.readUInt16BE(6) & 0xfff) * 65_536 + bytes.readUInt16BE(4)) * 256 + bytes[0]!;
  const remainder = (high % TICKS_PER_MS) * 0x100_0000 + bytes.readUIntBE(1, 3);
  return Math.floor(high / TICKS_PER_MS) * 0x100_0000 + Math.floor(remainder / TICKS_PER_MS) - GREGORIAN_OFFSET_MS;
}

/** A row's place in its history without its digest. */
export function identityOf(row: types.Row): IdentityKey {
  return {
    eventTime: (row['event_time'] as Date).getTime(),
    streamId: row['stream'] as string,
    sequence: Number(row['sequence']),
    name: row['name'] as string,
  };
}

export function digestText(row: types.Row): string {
  return (row['digest'] as Buffer).toString('hex');
}

export function processingTimeOf(row: types.Row): ProcessingTime {
  return parseProcessingId(String(row['processing_id']));
}

/** A map key of an identity within its aggregate. */
export function identityText({ eventTime, streamId, sequence, name }: IdentityKey): string {
  return `${eventTime}\u0000${streamId}\u0000${sequence}\u0000${name}`;
}

/** Facts of rows that were recorded by then, each content once, under its least id. */
export function distinctFacts(
  key: AggregateKey,
  rows: readonly types.Row[],
  until: ProcessingTime | undefined,
): Fact[] {
  const found = new Map<string, Fact>();
  for (const row of rows) {
    const fact = factOf(key, row);
    if (until !== undefined && isRecordedAfter(fact, until)) continue;
    const text = `${identityText(fact)} ${fact.version} ${fact.content}`;
    const before = found.get(text);
    if (before === undefined || compareProcessingIds(fact.processingId, before.processingId) < 0) found.set(text, fact);
  }
  return [...found.values()];
}
