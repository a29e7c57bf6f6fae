/**
 * Which items of one history some events may have changed, as they are now: what `settlingItems` would say of the whole
 * history, found by reading what lies around those events only. So an event costs its window, its session, or the few
 * events of a deadline, whatever the length of the history.
 */
import type { AggregateModel } from '../mapping/event-registry.js';
import { correctionOf, isCorrection } from '../model/correction.js';
import { Rulings } from '../model/effective-facts.js';
import { TERMINAL, type AggregateKey, type Fact } from '../model/event.js';
import type { Position } from '../model/position.js';
import type { EventStore, EventTimeRange } from '../ports/event-store.js';
import { readEffective } from '../query/effective-history.js';
import { settlingItems, type Settling } from '../time/settled-items.js';
import type { Item } from './rows.js';

/** An item as it is now. */
export type ItemNow = Pick<Item, 'key' | 'from' | 'to' | 'settlesAt'>;

export interface Around {
  /** Items kept of the touched places. */
  readonly stored: readonly Item[];
  readonly now: readonly ItemNow[];
}

/** Reads the items that are kept of one aggregate. */
export interface KeptItems {
  all(): Promise<readonly Item[]>;
  /** With `from` in this range, both inclusive, in order. */
  between(from: number, to: number): Promise<readonly Item[]>;
  /** The last that begins before this time. */
  before(time: number): Promise<Item | undefined>;
}

interface Reading {
  readonly store: EventStore;
  readonly model: AggregateModel;
  readonly settling: Settling;
  readonly aggregate: AggregateKey;
  readonly upTo: Position;
  readonly rulings: Rulings;
  /** No correction and no policy: every recorded event counts, as it was recorded. */
  readonly plain: boolean;
  readonly kept: KeptItems;
}

/**
 * The items that the facts may have changed.
 * @param facts of one aggregate, from the feed, all before `upTo`
 * @param corrections all of the aggregate, before `upTo`
 * @throws RangeError beyond 10,000 items of a deadline
 */
export async function itemsAround(
  parts: Omit<Reading, 'rulings' | 'plain'>,
  facts: readonly Fact[],
  corrections: readonly Fact[],
): Promise<Around> {
  const plain = corrections.length === 0 && parts.model.conflicts === 'both';
  const reading: Reading = { ...parts, rulings: new Rulings(corrections), plain };
  const { settling } = parts;
  switch (settling.kind) {
    case 'history':
      return { stored: await parts.kept.all(), now: await historyItem(reading, settling.quietMs) };
    case 'deadline': {
      const names = [...new Set([...settling.after, ...settling.unless])];
      const open: Fact[] = [];
      for await (const page of effective(reading, undefined, { names })) open.push(...page);
      return { stored: await parts.kept.all(), now: settlingItems(settling, open) };
    }
    case 'tumbling':
      return await windows(reading, touched(facts, corrections), settling.sizeMs, settling.sizeMs, settling.offsetMs);
    case 'sliding':
      return await windows(reading, touched(facts, corrections), settling.sizeMs, settling.everyMs, settling.offsetMs);
    case 'session':
      return await sessions(reading, touched(facts, corrections), settling.gapMs);
  }
}

/** Event times at which something may count now, or count no more: where the facts stand, and where amendments put them, or had put them. */
function touched(facts: readonly Fact[], corrections: readonly Fact[]): readonly number[] {
  const times = new Set(facts.map((fact) => fact.eventTime));
  for (const fact of [...corrections, ...facts.filter(isCorrection)]) {
    const { at } = correctionOf(fact);
    if (at !== undefined && times.has(fact.eventTime)) times.add(at);
  }
  return [...times].sort((a, b) => a - b);
}

function effective(
  { store, model, aggregate, upTo, rulings }: Reading,
  range: EventTimeRange | undefined,
  options: { readonly names?: readonly string[]; readonly descending?: boolean; readonly pageSize?: number } = {},
): AsyncIterable<readonly Fact[]> {
  const read = { upTo, ...options, ...(range === undefined ? {} : { range }) };
  return readEffective(store, model.conflicts, aggregate, read, rulings);
}

/** The first event of a range that counts, or the last. */
async function firstOf(
  reading: Reading,
  range: EventTimeRange | undefined,
  options: { readonly names?: readonly string[]; readonly descending?: boolean } = {},
): Promise<Fact | undefined> {
  for await (const [fact] of effective(reading, range, { ...options, pageSize: 1 }))
    if (fact !== undefined) return fact;
  return undefined;
}

async function historyItem(reading: Reading, quietMs: number | undefined): Promise<ItemNow[]> {
  const first = await firstOf(reading, undefined);
  if (first === undefined) return [];
  const last = (await firstOf(reading, undefined, { descending: true }))!;
  // As its class has it, like the fold: an event that was made terminal later ends histories from before, too.
  const names = [...reading.model.events.values()].filter((one) => (one.characteristics & TERMINAL) !== 0);
  const terminal =
    names.length === 0 ? undefined : await firstOf(reading, undefined, { names: names.map((one) => one.name) });
  const settlesAt = terminal?.eventTime ?? (quietMs === undefined ? undefined : last.eventTime + quietMs);
  if (settlesAt === undefined) return [];
  return [{ key: 'history', from: first.eventTime, to: last.eventTime + 1, settlesAt }];
}

async function windows(
  reading: Reading,
  times: readonly number[],
  sizeMs: number,
  everyMs: number,
  offsetMs: number,
): Promise<Around> {
  const starts = new Set<number>();
  for (const time of times) {
    const last = Math.floor((time - offsetMs) / everyMs) * everyMs + offsetMs;
    for (let start = last; start > time - sizeMs; start -= everyMs) starts.add(start);
  }
  const stored: Item[] = [];
  const now: ItemNow[] = [];
  for (const from of [...starts].sort((a, b) => a - b)) {
    stored.push(...(await reading.kept.between(from, from)));
    const to = from + sizeMs;
    // A window stands as long as one event in it counts.
    const stands = reading.plain || (await firstOf(reading, { from, to, toExclusive: true })) !== undefined;
    if (stands) now.push({ key: String(from), from, to, settlesAt: to - 1 });
  }
  return { stored, now };
}

async function sessions(reading: Reading, times: readonly number[], gapMs: number): Promise<Around> {
  const stored = new Map<number, Item>();
  const stretches: { from: number; to: number }[] = [];
  for (const time of times) {
    const last = stretches[stretches.length - 1];
    if (last !== undefined && time < last.to) last.to = Math.max(last.to, time + gapMs);
    else stretches.push({ from: time, to: time + gapMs });
    await widen(reading, stretches, stored, gapMs);
  }
  const now: ItemNow[] = [];
  for (const { from, to } of stretches) {
    if (reading.plain) now.push({ key: String(from), from, to, settlesAt: to - 1 });
    else now.push(...(await sessionsWithin(reading, from, to)));
  }
  const order = [...stored.values()].sort((a, b) => a.from - b.from);
  return { stored: order, now };
}

/** Makes the last stretch as wide as the sessions it touches: those kept, and those of events from before this name began. */
async function widen(
  reading: Reading,
  stretches: { from: number; to: number }[],
  stored: Map<number, Item>,
  gapMs: number,
): Promise<void> {
  const one = stretches.pop()!;
  for (let grown = true; grown;) {
    grown = false;
    const before = await reading.kept.before(one.from);
    const items = await reading.kept.between(one.from, one.to - 1);
    for (const item of before !== undefined && before.to > one.from ? [before, ...items] : items) {
      if (stored.has(item.from)) continue;
      stored.set(item.from, item);
      grown = true;
    }
    const earlier = await firstOf(
      reading,
      { from: one.from - gapMs, fromExclusive: true, to: one.from, toExclusive: true },
      { descending: true },
    );
    const later = await firstOf(
      reading,
      { from: one.to - gapMs, fromExclusive: true, to: one.to, toExclusive: true },
      {
        descending: true,
      },
    );
    const from = Math.min(
      one.from,
      earlier?.eventTime ?? one.from,
      before !== undefined && before.to > one.from ? before.from : one.from,
    );
    const to = Math.max(
      one.to,
      later === undefined ? one.to : later.eventTime + gapMs,
      ...items.map((item) => item.to),
      before?.to ?? one.to,
    );
    if (from < one.from || to > one.to) grown = true;
    one.from = from;
    one.to = to;
  }
  for (
    let last = stretches[stretches.length - 1];
    last !== undefined && last.to > one.from;
    last = stretches[stretches.length - 1]
  ) {
    one.from = Math.min(one.from, last.from);
    one.to = Math.max(one.to, last.to);
    stretches.pop();
  }
  stretches.push(one);
}

/** Sessions of events that lie within a stretch no session crosses the ends of, page by page. */
async function sessionsWithin(reading: Reading, from: number, to: number): Promise<ItemNow[]> {
  const { settling } = reading;
  const out: ItemNow[] = [];
  for await (const page of effective(reading, { from, to, toExclusive: true })) {
    for (const { key, from: begins, to: ends, settlesAt } of settlingItems(settling, page)) {
      const last = out[out.length - 1];
      if (last !== undefined && begins < last.to) out[out.length - 1] = { ...last, to: ends, settlesAt };
      else out.push({ key, from: begins, to: ends, settlesAt });
    }
  }
  return out;
}
