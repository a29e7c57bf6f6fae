/** How a handler's state names a fact that the store holds: small, and enough to read it again as it is kept. */
import type { AggregateKey, Fact, WireValue } from '../model/event.js';
import type { Position } from '../model/position.js';
import { canonicalJson } from '../model/canonical-json.js';
import { sha256Hex } from '../model/digest.js';
import type { EventStore } from '../ports/event-store.js';

/** The identity within an aggregate, the digest, and the processing id: [event time, stream, sequence, name, digest, id]. */
export type FactRef = readonly [number, string, number, string, string, string];

export function refOf(fact: Fact): FactRef {
  return [fact.eventTime, fact.streamId, fact.sequence, fact.name, fact.digest, fact.processingId];
}

export function refFrom(value: WireValue): FactRef {
  return value as unknown as FactRef;
}

export function matches(ref: FactRef, fact: Fact): boolean {
  const [time, stream, sequence, name, digest] = ref;
  return (
    fact.eventTime === time &&
    fact.sequence === sequence &&
    fact.streamId === stream &&
    fact.name === name &&
    fact.digest === digest
  );
}

/** Everything an aggregate's history holds at one event time, in key order: an event, its siblings, and its corrections. */
export async function momentOf(
  store: EventStore,
  aggregate: AggregateKey,
  eventTime: number,
  upTo: Position,
): Promise<readonly Fact[]> {
  const facts: Fact[] = [];
  for await (const page of store.read(aggregate, { range: { from: eventTime, to: eventTime }, upTo }))
    facts.push(...page);
  return facts;
}

/** The stable key of (handler, event): made of what identifies the event and its content, never of when or by whom it was logged. */
export function effectKey(context: string, handler: string, aggregate: AggregateKey, ref: FactRef): string {
  const [time, stream, sequence, name, digest] = ref;
  const { tenant, type, id } = aggregate;
  return sha256Hex(canonicalJson([context, handler, tenant, type, id, time, stream, sequence, name, digest]));
}

/** The stable key of (handler, correction, event). */
export function correctionKey(
  context: string,
  handler: string,
  aggregate: AggregateKey,
  correction: FactRef,
  target: FactRef,
): string {
  return sha256Hex(
    `${effectKey(context, handler, aggregate, correction)} ${effectKey(context, handler, aggregate, target)}`,
  );
}
