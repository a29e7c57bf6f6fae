/** How a recorded event stands in a topic: key, value, time and headers, the same for every reader; README.md is the reader's page. */
import { createHash } from 'node:crypto';
import { relayKeyText, toEventJson, type Fact } from '@concursus/core';
import type { IHeaders } from 'kafkajs';
import type { OutgoingMessage } from './ordered-producer.js';

/** Names of the headers of a published event. */
export const eventHeaders = {
  /** By which a reader drops repeats: see `relayKey` of the core. */
  key: 'concursus-key',
  /** The type-1 UUID of its recording, which holds when that was. */
  processingId: 'concursus-processing-id',
  contentType: 'content-type',
  /** Only where the event's metadata has one. */
  traceparent: 'traceparent',
} as const;

/** One event a value, or an array with one event: what a listener of arrays reads. */
export type ValueForm = 'event' | 'array';

const JSON_TYPE = Buffer.from('application/json');

/** The aggregate's id, behind its tenant and a NUL where it has one: events of one aggregate share a key, and so a partition and its order. */
export function messageKey(tenant: string, aggregateId: string): string {
  return tenant === '' ? aggregateId : `${tenant}\u0000${aggregateId}`;
}

/** The message of one event. Times before 1970, which the broker refuses, become 0; the value holds them exactly. */
export function messageOf(context: string, topic: string, fact: Fact, form: ValueForm): OutgoingMessage {
  const json = toEventJson(fact);
  const headers: IHeaders = {
    [eventHeaders.key]: createHash('sha256').update(relayKeyText(context, fact)).digest('hex'),
    [eventHeaders.processingId]: fact.processingId,
    [eventHeaders.contentType]: JSON_TYPE,
  };
  const traceparent = fact.metadata?.['traceparent'];
  if (traceparent !== undefined) headers[eventHeaders.traceparent] = traceparent;
  return {
    topic,
    key: Buffer.from(messageKey(fact.tenant, fact.aggregateId)),
    value: Buffer.from(form === 'array' ? `[${json}]` : json),
    timestamp: String(Math.max(0, fact.eventTime)),
    headers,
  };
}
