/**
 * What of one history settles, and when: a pure function of its effective facts, so that late, withdrawn and amended events
 * change it like any other derived thing. Tumbling, sliding and session windows are those of Akidau et al., "The Dataflow
 * Model" (VLDB 2015); a window is complete when everything up to its last millisecond is.
 */
import { TERMINAL, type Fact } from '../model/event.js';

/** Which stretches of a history settle by themselves. */
export type Settling =
  /** The whole history: at its first terminal event, or where there is none a `quietMs` after its last event. */
  | { readonly kind: 'history'; readonly quietMs: number | undefined }
  /** Windows of `sizeMs` side by side, the first of them at `offsetMs` after the epoch. */
  | { readonly kind: 'tumbling'; readonly sizeMs: number; readonly offsetMs: number }
  /** Windows of `sizeMs`, one beginning every `everyMs`. */
  | { readonly kind: 'sliding'; readonly sizeMs: number; readonly everyMs: number; readonly offsetMs: number }
  /** Stretches without a pause of `gapMs`. */
  | { readonly kind: 'session'; readonly gapMs: number }
  /** For each event named in `after`: `withinMs` after it, if none of those in `unless` came at or after it. */
  | {
      readonly kind: 'deadline';
      readonly after: ReadonlySet<string>;
      readonly withinMs: number;
      readonly unless: ReadonlySet<string>;
    };

/** One thing that settles: `[from, to)` of event time, once settledUpTo has reached `settlesAt`. */
export interface SettlingItem {
  /** Tells items of one history apart; the same item has the same key whatever came since. */
  readonly key: string;
  readonly from: number;
  readonly to: number;
  readonly settlesAt: number;
  /** The facts it is about, in the order given. */
  readonly facts: readonly Fact[];
}

/** Windows of one history at most: a bound on what one aggregate may keep waiting. */
export const ITEMS_MAX = 10_000;

/** The items of a history, in the order of their times. @param facts effective, in key order @throws RangeError beyond 10,000 items */
export function settlingItems(settling: Settling, facts: readonly Fact[]): readonly SettlingItem[] {
  if (facts.length === 0) return [];
  const items = itemsOf(settling, facts);
  if (items.length > ITEMS_MAX) {
    throw new RangeError(`A history of ${facts.length} events has more than ${ITEMS_MAX} ${settling.kind} items.`);
  }
  return items;
}

function itemsOf(settling: Settling, facts: readonly Fact[]): SettlingItem[] {
  switch (settling.kind) {
    case 'history':
      return historyItem(facts, settling.quietMs);
    case 'tumbling':
      return windows(facts, settling.sizeMs, settling.sizeMs, settling.offsetMs);
    case 'sliding':
      return windows(facts, settling.sizeMs, settling.everyMs, settling.offsetMs);
    case 'session':
      return sessions(facts, settling.gapMs);
    case 'deadline':
      return deadlines(facts, settling.after, settling.withinMs, settling.unless);
  }
}

function historyItem(facts: readonly Fact[], quietMs: number | undefined): SettlingItem[] {
  const from = facts[0]!.eventTime;
  const last = facts[facts.length - 1]!.eventTime;
  const terminal = facts.find((fact) => (fact.characteristics & TERMINAL) !== 0);
  const settlesAt = terminal?.eventTime ?? (quietMs === undefined ? undefined : last + quietMs);
  return settlesAt === undefined ? [] : [{ key: 'history', from, to: last + 1, settlesAt, facts }];
}

function windows(facts: readonly Fact[], sizeMs: number, everyMs: number, offsetMs: number): SettlingItem[] {
  const byStart = new Map<number, Fact[]>();
  for (const fact of facts) {
    const last = Math.floor((fact.eventTime - offsetMs) / everyMs) * everyMs + offsetMs;
    for (let start = last; start > fact.eventTime - sizeMs; start -= everyMs) {
      const window = byStart.get(start);
      if (window !== undefined) window.push(fact);
      else if (byStart.size <= ITEMS_MAX) byStart.set(start, [fact]);
    }
  }
  return [...byStart]
    .sort(([a], [b]) => a - b)
    .map(([from, inside]) => ({
      key: String(from),
      from,
      to: from + sizeMs,
      settlesAt: from + sizeMs - 1,
      facts: inside,
    }));
}

function sessions(facts: readonly Fact[], gapMs: number): SettlingItem[] {
  const items: SettlingItem[] = [];
  let inside: Fact[] = [];
  const close = (): void => {
    const from = inside[0]!.eventTime;
    const to = inside[inside.length - 1]!.eventTime + gapMs;
    items.push({ key: String(from), from, to, settlesAt: to - 1, facts: inside });
    inside = [];
  };
  for (const fact of facts) {
    if (inside.length > 0 && fact.eventTime >= inside[inside.length - 1]!.eventTime + gapMs) close();
    inside.push(fact);
  }
  close();
  return items;
}

function deadlines(
  facts: readonly Fact[],
  after: ReadonlySet<string>,
  withinMs: number,
  unless: ReadonlySet<string>,
): SettlingItem[] {
  let met = Number.NEGATIVE_INFINITY;
  for (const fact of facts) if (unless.has(fact.name) && fact.eventTime > met) met = fact.eventTime;
  const items: SettlingItem[] = [];
  for (const fact of facts) {
    if (!after.has(fact.name) || fact.eventTime <= met) continue;
    const { eventTime: from } = fact;
    const identity = fact.amends ?? fact;
    const key = `${identity.eventTime}|${identity.sequence}|${identity.name}|${identity.digest.slice(0, 16)}|${identity.streamId}`;
    items.push({ key, from, to: from + withinMs, settlesAt: from + withinMs, facts: [fact] });
  }
  return items;
}

/** An item as it was told when it settled. */
export interface ToldItem {
  readonly key: string;
  readonly from: number;
  readonly to: number;
}

/** What must be told anew together: the items that were told and those that now stand in their place. */
export interface Regrouped<T extends ToldItem, N extends ToldItem> {
  readonly old: readonly T[];
  readonly now: readonly N[];
}

/**
 * Puts told items and items as they are now into groups that overlap in event time: a session that a late event merged from
 * three is one group of three and one. Groups without anything told are left out.
 */
export function regroup<T extends ToldItem, N extends ToldItem>(
  settling: Settling,
  told: readonly T[],
  now: readonly N[],
): readonly Regrouped<T, N>[] {
  if (settling.kind !== 'session') {
    const byKey = new Map(now.map((item) => [item.key, item]));
    return told.map((old) => {
      const item = byKey.get(old.key);
      return { old: [old], now: item === undefined ? [] : [item] };
    });
  }
  const all = [
    ...told.map((item) => ({ from: item.from, to: item.to, old: [item], now: [] as N[] })),
    ...now.map((item) => ({ from: item.from, to: item.to, old: [] as T[], now: [item] })),
  ].sort((a, b) => a.from - b.from);
  const groups: { old: T[]; now: N[]; to: number }[] = [];
  for (const one of all) {
    let group = groups[groups.length - 1];
    if (group === undefined || one.from >= group.to) {
      group = { old: [], now: [], to: one.to };
      groups.push(group);
    }
    group.to = Math.max(group.to, one.to);
    group.old.push(...one.old);
    group.now.push(...one.now);
  }
  return groups.filter((group) => group.old.length > 0).map(({ old, now: left }) => ({ old, now: left }));
}
