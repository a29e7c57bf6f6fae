/**
 * What a page of the feed says of sources, as far as it can be said once for all tables that take the page: stretches of plain
 * events, each with what is newest of each source. What speaks of sources, and what corrects, is taken fact by fact.
 */
import { CORRECTION } from '../model/correction.js';
import type { Fact } from '../model/event.js';
import { isReserved } from './source-facts.js';

/** What a stretch of events says of one source. */
export interface SourceStretch {
  readonly stream: string;
  readonly channel: string;
  /** The greatest event time. */
  readonly newest: number;
  /** The greatest processing time. */
  readonly processedAt: number;
}

/** Facts of a page from one place to another, the first inclusive. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
  /** In the order of their first events; undefined: these facts are taken one by one. */
  readonly sources: readonly SourceStretch[] | undefined;
  /** By how much an event is ahead of its own processing time, at most. */
  readonly aheadMs: number;
  /** The greatest processing time. */
  readonly processedAt: number;
}

type Growing = SourceStretch & { newest: number; processedAt: number; other: Growing | undefined };

/** By the list itself, which nobody changes; gone with it. */
const known = new WeakMap<readonly Fact[], readonly Stretch[]>();

/** The page's stretches, in order: together they are all of it. */
export function stretchesOf(facts: readonly Fact[]): readonly Stretch[] {
  let stretches = known.get(facts);
  if (stretches === undefined) known.set(facts, (stretches = stretch(facts)));
  return stretches;
}

/** The channel through which a fact came. */
export function channelOfFact({ metadata }: Fact): string {
  return metadata === undefined ? '' : (metadata['channel'] ?? '');
}

function isPlain(fact: Fact): boolean {
  return (fact.characteristics & CORRECTION) === 0 && !isReserved(fact.aggregateType);
}

function stretch(facts: readonly Fact[]): readonly Stretch[] {
  const stretches: Stretch[] = [];
  for (let i = 0; i < facts.length;) {
    const from = i;
    if (isPlain(facts[i]!)) {
      stretches.push(plainFrom(facts, from));
      i = stretches[stretches.length - 1]!.to;
      continue;
    }
    while (i < facts.length && !isPlain(facts[i]!)) i++;
    stretches.push({ from, to: i, sources: undefined, aheadMs: 0, processedAt: 0 });
  }
  return stretches;
}

/** The longest stretch of plain events from here on. */
function plainFrom(facts: readonly Fact[], from: number): Stretch {
  const sources: Growing[] = [];
  const byStream = new Map<string, Growing>();
  let source: Growing | undefined;
  let aheadMs = Number.NEGATIVE_INFINITY;
  let latest = Number.NEGATIVE_INFINITY;
  let i = from;
  for (; i < facts.length; i++) {
    const fact = facts[i]!;
    if (!isPlain(fact)) break;
    const { streamId, eventTime, processedAt } = fact;
    const channel = channelOfFact(fact);
    if (source === undefined || source.stream !== streamId || source.channel !== channel) {
      const first = byStream.get(streamId);
      source = first;
      while (source !== undefined && source.channel !== channel) source = source.other;
      if (source === undefined) {
        source = { stream: streamId, channel, newest: eventTime, processedAt, other: first };
        byStream.set(streamId, source);
        sources.push(source);
      }
    }
    if (eventTime > source.newest) source.newest = eventTime;
    if (processedAt > source.processedAt) source.processedAt = processedAt;
    if (processedAt > latest) latest = processedAt;
    if (eventTime - processedAt > aheadMs) aheadMs = eventTime - processedAt;
  }
  return { from, to: i, sources, aheadMs, processedAt: latest };
}
