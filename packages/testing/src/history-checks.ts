/** What the contracts of store and feed check with: record, read back, and what a set of facts means as histories. */
import assert from 'node:assert/strict';
import {
  compareKey,
  compareProcessingTime,
  Fact,
  parseProcessingId,
  type AggregateKey,
  type AppendOutcome,
  type EventStore,
  type FactInit,
  type ProcessingTime,
  type ReadOptions,
} from '@concursus/core';
import type { Opened } from './contract.js';
import { factOf, type FactSketch } from './event-arbitraries.js';

/** An open persistent layer. */
export type World = Opened<'persistent'>;

/** The aggregate of `factOf` unless it says otherwise. */
export const P1: AggregateKey = { tenant: '', type: 'parcel', id: 'p1' };

/** One append of new facts, at the clock's time. */
export async function record(opened: World, facts: readonly Fact[]): Promise<readonly AppendOutcome[]> {
  const [result] = await opened.ports.eventStore.append([{ facts, receivedAt: opened.clock.now() }]);
  return result!.outcomes;
}

/** Of reads that name none. */
const PAGE_SIZE = 1_000;

/** A whole history; no page of it may be empty, and what the store has at once is what its pages hold. */
export async function readAll(
  store: EventStore,
  key: AggregateKey = P1,
  options?: ReadOptions,
): Promise<readonly Fact[]> {
  const all: Fact[] = [];
  const pages = store.read(key, options);
  const whole = pages.whole?.();
  for await (const page of pages) {
    assert.ok(page.length > 0, 'no empty page');
    all.push(...page);
  }
  if (whole !== undefined) {
    assert.ok(whole.length <= (options?.pageSize ?? PAGE_SIZE), 'no longer than a page');
    assert.deepEqual(whole.map(contentOf), all.map(contentOf), 'the same at once as page by page');
  }
  return all;
}

/** Everything of a fact that its sender gave. */
export function contentOf(fact: Fact | FactInit): unknown[] {
  return [
    fact.tenant,
    fact.aggregateType,
    fact.aggregateId,
    fact.eventTime,
    fact.streamId,
    fact.sequence,
    fact.name,
    fact.version,
    fact.content,
  ];
}

/** `contentOf` of each. */
export const contents = (facts: readonly (Fact | FactInit)[]): unknown[][] => facts.map(contentOf);
/** Event times. */
export const times = (facts: readonly Fact[]): number[] => facts.map((fact) => fact.eventTime);

/** What the histories of these facts are, whatever the way they came: per aggregate the distinct facts in key order. */
export function meaningOf(inits: readonly FactInit[]): ReadonlyMap<string, readonly Fact[]> {
  const byAggregate = new Map<string, Map<string, Fact>>();
  for (const init of inits) {
    const key = JSON.stringify([init.tenant, init.aggregateType, init.aggregateId]);
    let distinct = byAggregate.get(key);
    if (distinct === undefined) byAggregate.set(key, (distinct = new Map()));
    distinct.set(JSON.stringify(contentOf(init)), new Fact(init));
  }
  return new Map([...byAggregate].map(([key, distinct]) => [key, [...distinct.values()].sort(compareKey)]));
}

/** The key that `meaningOf` tells as text. */
export function keyFrom(text: string): AggregateKey {
  const [tenant, type, id] = JSON.parse(text) as [string, string, string];
  return { tenant, type, id };
}

/** The greatest processing time among facts. */
export function latest(facts: readonly Fact[]): ProcessingTime {
  return facts
    .map((fact) => parseProcessingId(fact.processingId))
    .reduce((a, b) => (compareProcessingTime(a, b) > 0 ? a : b));
}

/** A tenant for each run of a property, so that runs share a store and nothing in it. */
let tenants = 0;
/** The same facts in another tenant. */
export const inTenant = (inits: readonly FactInit[], tenant: string): FactInit[] =>
  inits.map((init) => ({ ...init, tenant }));
/** A tenant nobody used yet. */
export const nextTenant = (): string => `run${++tenants}`;

/** Each batch as one append, all under way at once. */
export async function deliver(opened: World, batches: readonly (readonly FactInit[])[]): Promise<AppendOutcome[]> {
  const answers = await Promise.all(
    batches.map((batch) =>
      record(
        opened,
        batch.map((init) => new Fact(init)),
      ),
    ),
  );
  return answers.flat();
}

/** A fact of P1 at an event time. */
export const scanAt = (at: number, more: FactSketch = {}): Fact => factOf({ ...more, at });
