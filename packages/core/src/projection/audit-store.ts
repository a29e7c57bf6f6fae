/**
 * Compares histories and feed up to one place: every fact of one stands in the other. In flat memory: each pass takes the
 * aggregates of one part of all hashes, and keeps of each a count and a hash of its facts' ids; only those that differ are
 * looked up fact by fact.
 */
import { aggregateKeyText, Fact, sameContent, type AggregateKey } from '../model/event.js';
import { compareIdentity } from '../model/event-order.js';
import type { Position } from '../model/position.js';
import { Findings, shortText, type AuditProgress } from './audit-report.js';
import { readUpTo, type RebuildParts, type Turns } from './rebuild.js';
import { placeOf, SetSum } from './tally-hash.js';

export interface StoreAuditOptions {
  readonly mend: boolean;
  /** Which aggregates: a place in [0, 1) is below it. */
  readonly sample: number;
  readonly seed: number;
  /** Of these, those alone. Default all. */
  readonly only?: (aggregateText: string) => boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: AuditProgress) => void;
}

/** Aggregates of one pass, some 200 bytes each. */
const PASS_AGGREGATES = 200_000;
const SCAN = 1_000;
const FEED_PAGE = 2_000;
/** Aggregates looked up fact by fact in one more pass over the feed. */
const SUSPECTS_MAX = 100;
const PROGRESS_EVERY = 50_000;

type Parts = Pick<RebuildParts, 'store' | 'feed' | 'clock'>;

/** As audits tell aggregates apart. */
export const textOf = ({ tenant, type, id }: AggregateKey): string => aggregateKeyText(tenant, type, id);

/** All facts of the feed up to a place, in pages. */
async function* feedUpTo(
  { feed }: Parts,
  upTo: Position,
  turns: Turns,
  signal: AbortSignal,
): AsyncGenerator<readonly Fact[]> {
  let from = feed.start();
  while (!signal.aborted && !from.covers(upTo)) {
    const page = await readUpTo(feed, from, upTo, FEED_PAGE);
    if (page === undefined || (page.facts.length === 0 && from.covers(page.next))) return;
    yield page.facts;
    from = page.next;
    const rest = turns.next();
    if (rest !== undefined) await rest;
  }
}

export async function auditStore(
  parts: Parts,
  upTo: Position,
  options: StoreAuditOptions,
  turns: Turns,
  findings: Findings,
): Promise<{ readonly facts: number; readonly aggregates: number }> {
  const { signal, sample, seed, only = () => true } = options;
  const all = await countOf(parts, signal);
  const passes = Math.max(1, Math.ceil((all * sample) / PASS_AGGREGATES));
  let facts = 0;
  let aggregates = 0;
  let told = 0;
  for (let pass = 0; pass < passes && !signal.aborted; pass++) {
    const isOurs = (text: string): boolean => {
      const place = placeOf(text, seed);
      return place < sample && Math.floor((place / sample) * passes) === pass && only(text);
    };
    const sums = new Map<string, { readonly key: AggregateKey; readonly sum: SetSum }>();
    for await (const page of feedUpTo(parts, upTo, turns, signal)) {
      for (const fact of page) {
        const key = { tenant: fact.tenant, type: fact.aggregateType, id: fact.aggregateId };
        const text = textOf(key);
        let found = sums.get(text);
        if (found === undefined) {
          if (!isOurs(text)) continue;
          sums.set(text, (found = { key, sum: new SetSum() }));
        }
        found.sum.add(fact.processingId);
        facts++;
      }
      if (facts - told < PROGRESS_EVERY) continue;
      told = facts;
      options.onProgress({ part: 'store', view: undefined, done: facts });
    }
    const suspects: AggregateKey[] = [];
    let after: AggregateKey | undefined;
    while (!signal.aborted) {
      const keys = await parts.store.scanAggregates(after, SCAN);
      for (const key of keys) {
        const text = textOf(key);
        if (!isOurs(text)) continue;
        aggregates++;
        const sum = new SetSum();
        for await (const page of parts.store.read(key, { upTo })) {
          for (const fact of page) sum.add(fact.processingId);
          const rest = turns.next();
          if (rest !== undefined) await rest;
        }
        if (!sum.equals(sums.get(text)?.sum) && suspects.push(key) === SUSPECTS_MAX) {
          await lookUp(parts, upTo, suspects.splice(0), options, turns, findings);
        }
        sums.delete(text);
      }
      if (keys.length < SCAN) break;
      after = keys.at(-1)!;
    }
    if (signal.aborted) break;
    // What is left stands in the feed, and no history is listed for it.
    for (const { key } of sums.values()) {
      if (suspects.push(key) === SUSPECTS_MAX) {
        await lookUp(parts, upTo, suspects.splice(0), options, turns, findings);
      }
    }
    if (suspects.length > 0) await lookUp(parts, upTo, suspects, options, turns, findings);
  }
  return { facts, aggregates };
}

async function countOf({ store }: Parts, signal: AbortSignal): Promise<number> {
  let count = 0;
  let after: AggregateKey | undefined;
  while (!signal.aborted) {
    const keys = await store.scanAggregates(after, 10_000);
    count += keys.length;
    if (keys.length < 10_000) break;
    after = keys.at(-1)!;
  }
  return count;
}

async function lookUp(
  parts: Parts,
  upTo: Position,
  suspects: readonly AggregateKey[],
  options: StoreAuditOptions,
  turns: Turns,
  findings: Findings,
): Promise<void> {
  // Of the feed only ids, as it is the longer one; what is missing in a history is read again with its content.
  const inFeed = new Map(suspects.map((key) => [textOf(key), new Set<string>()]));
  for await (const page of feedUpTo(parts, upTo, turns, options.signal)) {
    for (const fact of page) inFeed.get(textOf({ ...keyOf(fact) }))?.add(fact.processingId);
  }
  if (options.signal.aborted) return;
  const missing = new Map<string, AggregateKey>();
  for (const key of suspects) {
    const ids = inFeed.get(textOf(key))!;
    for await (const page of parts.store.read(key, { upTo })) {
      for (const fact of page) {
        if (!ids.delete(fact.processingId)) await report(parts, fact, 'not-in-feed', options, findings);
      }
    }
    for (const id of ids) missing.set(id, key);
  }
  if (missing.size === 0) return;
  for await (const page of feedUpTo(parts, upTo, turns, options.signal)) {
    for (const fact of page) {
      if (!missing.has(fact.processingId) || (await isRecordedAgain(parts, fact))) continue;
      await report(parts, fact, 'not-in-history', options, findings);
    }
  }
}

/** A fact that a history had lost and an audit recorded again stands in it under another processing id. */
async function isRecordedAgain({ store }: Parts, fact: Fact): Promise<boolean> {
  const range = { from: fact.eventTime, to: fact.eventTime };
  for await (const page of store.read(keyOf(fact), { range })) {
    for (const other of page) if (compareIdentity(other, fact) === 0 && sameContent(other, fact)) return true;
  }
  return false;
}

const keyOf = (fact: Fact): AggregateKey => ({ tenant: fact.tenant, type: fact.aggregateType, id: fact.aggregateId });

/** A fact that is recorded again is `repeated` where the store has it after all: nothing is counted twice. */
async function report(
  { store, clock }: Parts,
  fact: Fact,
  kind: 'not-in-history' | 'not-in-feed',
  options: StoreAuditOptions,
  findings: Findings,
): Promise<void> {
  let mended: 'no' | 'recorded' = 'no';
  if (options.mend) {
    const [result] = await store.append([{ facts: [new Fact(fact)], receivedAt: clock.now() }]);
    if (result!.outcomes[0] === 'recorded') mended = 'recorded';
  }
  const what = shortText(`${fact.processingId} ${fact.name}`);
  findings.add({
    kind,
    aggregate: keyOf(fact),
    found: kind === 'not-in-feed' ? what : '',
    expected: kind === 'not-in-feed' ? '' : what,
    mended,
  });
}
