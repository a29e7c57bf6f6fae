/**
 * The histories: segments of facts in key order, of one aggregate each, that never overlap. They are written behind the
 * feed, a little with each group of appends, so that one entry takes several facts of its aggregate; what is not yet in
 * them is in the tail. Putting a fact in twice changes nothing, so this may be begun anew at any time.
 */
import { aggregateKeyText, compareIdentity } from '@concursus/core';
import type { AggregateKey, Fact, IdentityKey } from '@concursus/core';
import type { Bytes } from './environment.js';
import { after, KeyWriter } from './keys.js';
import type { Entry } from './entry.js';
import { decodeSegment, encodeSegment, headOfSegment, lowerBound, type Owner } from './segment.js';
import { weightOf, type AggregateTail, type Head, type Tail } from './tail.js';
import type { Writes } from './writes.js';

/** Written an appended fact while that goes on: above 1, so that it ends, and little more, so that no append waits for much. */
const PACE = 1.5;
/** The least that is written at once, as a part of the tail: below it an append is left alone. */
const SLICE_SHARE = 1 / 256;
/** A segment is read whole: large enough that a long history takes few, small enough for one fact of it. */
const SEGMENT_FACTS_MAX = 64;
/** The last segment of a history is written again, with what is new, while it has fewer. */
const SEGMENT_FACTS_FEW = 8;
const SEGMENT_CHARACTERS_MAX = 16_384;
/** At some 150 bytes each 2 MB. */
const HEADS_MAX = 16_384;

const NO_HISTORY = Number.NEGATIVE_INFINITY;

/** The beginning of all keys of an aggregate. */
export function ownerKey(keys: KeyWriter, owner: Owner): KeyWriter {
  return keys.start().text(owner.tenant).text(owner.type).text(owner.id);
}

/** The key of an identity: tenant, type, id, event time, stream, sequence, name. A segment has that of its first fact. */
export function identityKey(keys: KeyWriter, owner: Owner, identity: IdentityKey): KeyWriter {
  return ownerKey(keys, owner)
    .signed(identity.eventTime)
    .text(identity.streamId)
    .signed(identity.sequence)
    .text(identity.name);
}

/** Which part of a history. */
export interface Span {
  /** Event times, whole, inclusive. */
  readonly from: number;
  readonly to: number;
  /** Go on behind this identity. */
  readonly behind: IdentityKey | undefined;
  readonly descending: boolean;
}

interface Segment {
  readonly key: Buffer;
  readonly bytes: Buffer;
}

export class HistoryIndex {
  private readonly keys = new KeyWriter();
  private readonly heads = new Map<string, Head>();
  /** Raised when the heads known are no longer certain. */
  private era = 0;
  // Of the pass under way: the aggregates left, and where the feed stood when it began.
  private left: AggregateTail[] = [];
  private upTo = 0;
  private credit = 0;
  // Of the group in hand.
  private readonly written: AggregateTail[] = [];

  constructor(
    private readonly segments: Bytes,
    private readonly tail: Tail,
    private readonly writes: Writes,
    /** Written into the histories is a tail of this weight. */
    private readonly indexAfter: number,
  ) {}

  // --- Writing: within a group, after its facts.

  /**
   * Writes a part of the tail into the histories, in proportion to what was just appended.
   * @returns the place up to which they now hold the whole feed; undefined: the one before
   */
  step(appendedWeight: number): number | undefined {
    if (this.left.length === 0) {
      if (this.tail.weight < this.indexAfter) return undefined;
      this.left = [...this.tail.all()].reverse();
      this.upTo = this.tail.end;
      this.credit = 0;
    }
    this.credit += appendedWeight * PACE;
    if (this.credit < this.indexAfter * SLICE_SHARE) return undefined;
    while (this.credit > 0) {
      const aggregate = this.left.pop();
      if (aggregate === undefined) break;
      const entries = aggregate.entries.filter((entry) => entry.ordinal < this.upTo);
      if (entries.length > 0) {
        this.insert(aggregate, entries);
        for (const entry of entries) this.credit -= weightOf(entry.fact);
      }
      this.written.push(aggregate);
    }
    if (this.left.length > 0) return undefined;
    return this.upTo;
  }

  committed(): void {
    for (const aggregate of this.written) this.tail.removeBefore(aggregate, this.upTo);
    this.written.length = 0;
  }

  aborted(): void {
    if (this.written.length === 0) return;
    this.left.push(...this.written);
    this.written.length = 0;
    this.doubt();
  }

  /** Another process wrote, or a group was not stored: what was known of the segments may no longer be so. */
  doubt(): void {
    this.era++;
    this.heads.clear();
  }

  private insert(owner: AggregateTail, fresh: readonly Entry[]): void {
    const head = this.headOf(owner);
    if (fresh[0]!.fact.eventTime > head.maxTime) {
      const joins =
        head.key !== undefined &&
        head.count < SEGMENT_FACTS_FEW &&
        head.count + fresh.length <= SEGMENT_FACTS_MAX &&
        head.bytes + charactersOf(fresh) <= SEGMENT_CHARACTERS_MAX;
      if (joins) this.write(owner, head.key, [...this.load(owner, head.key!), ...fresh], true);
      else this.write(owner, undefined, fresh, true);
      return;
    }
    for (let from = 0; from < fresh.length;) {
      const segment =
        this.atOrBelow(owner, identityKey(this.keys, owner, fresh[from]!.fact).copy()) ?? this.firstOf(owner)!;
      const next = this.keyAbove(owner, segment.key);
      let to = from + 1;
      while (to < fresh.length && this.isBelow(owner, fresh[to]!.fact, next)) to++;
      const merged = merge(decodeSegment(segment.bytes, owner), fresh.slice(from, to));
      this.write(owner, segment.key, merged, next === undefined);
      from = to;
    }
  }

  private isBelow(owner: Owner, identity: IdentityKey, key: Buffer | undefined): boolean {
    return key === undefined || Buffer.compare(identityKey(this.keys, owner, identity).view(), key) < 0;
  }

  /** @param old the segment that these facts replace @param last whether nothing of the history lies behind them */
  private write(owner: AggregateTail, old: Buffer | undefined, entries: readonly Entry[], last: boolean): void {
    let replaced = old === undefined;
    for (const part of partsOf(entries)) {
      const key = identityKey(this.keys, owner, part[0]!.fact).copy();
      const bytes = encodeSegment(part);
      this.writes.put(this.segments, key, bytes);
      if (old !== undefined && key.equals(old)) replaced = true;
      if (last) {
        const maxTime = part[part.length - 1]!.fact.eventTime;
        this.learn(owner, { maxTime, key, count: part.length, bytes: bytes.length, era: this.era });
      }
    }
    if (!replaced) this.writes.remove(this.segments, old!);
  }

  // --- Looking up.

  /** What is known of the end of a history, looked up once. */
  headOf(owner: AggregateTail): Head {
    const { head } = owner;
    if (head !== undefined && head.era === this.era) return head;
    const known = this.heads.get(aggregateKeyText(owner.tenant, owner.type, owner.id));
    if (known !== undefined) return (owner.head = known);
    const segment = this.atOrBelow(owner, after(ownerKey(this.keys, owner).view()));
    if (segment === undefined) {
      return this.learn(owner, { maxTime: NO_HISTORY, key: undefined, count: 0, bytes: 0, era: this.era });
    }
    const { count, maxTime } = headOfSegment(segment.bytes);
    return this.learn(owner, { maxTime, key: segment.key, count, bytes: segment.bytes.length, era: this.era });
  }

  private learn(owner: AggregateTail, head: Head): Head {
    const text = aggregateKeyText(owner.tenant, owner.type, owner.id);
    // Moved to the end: the first of the map is the one learnt longest ago.
    this.heads.delete(text);
    this.heads.set(text, head);
    if (this.heads.size > HEADS_MAX) this.heads.delete(this.heads.keys().next().value!);
    owner.head = head;
    return head;
  }

  /** The facts of one identity that the segments hold, in any order. */
  find(owner: AggregateTail, identity: IdentityKey): readonly Entry[] {
    if (identity.eventTime > this.headOf(owner).maxTime) return [];
    const segment = this.atOrBelow(owner, identityKey(this.keys, owner, identity).copy());
    if (segment === undefined) return [];
    const entries = decodeSegment(segment.bytes, owner);
    const from = lowerBound(entries, identity, compareIdentity);
    let to = from;
    while (to < entries.length && compareIdentity(entries[to]!.fact, identity) === 0) to++;
    return entries.slice(from, to);
  }

  private load(owner: Owner, key: Buffer): Entry[] {
    const bytes = this.segments.getBinary(key);
    if (bytes === undefined) throw new Error('a history has lost a segment that was written');
    return decodeSegment(bytes, owner);
  }

  /** The owner's segment with the greatest key up to this one. */
  private atOrBelow(owner: Owner, key: Buffer): Segment | undefined {
    const end = ownerKey(this.keys, owner).copy();
    for (const { key: found, value } of this.segments.getRange({ start: key, end, reverse: true, limit: 1 })) {
      return { key: found as Buffer, bytes: value as Buffer };
    }
    return undefined;
  }

  private firstOf(owner: Owner): Segment | undefined {
    const start = ownerKey(this.keys, owner).copy();
    for (const { key, value } of this.segments.getRange({ start, end: after(start), limit: 1 })) {
      return { key: key as Buffer, bytes: value as Buffer };
    }
    return undefined;
  }

  private keyAbove(owner: Owner, key: Buffer): Buffer | undefined {
    const end = after(ownerKey(this.keys, owner).view());
    for (const found of this.segments.getKeys({ start: key, end, exclusiveStart: true, limit: 1 })) {
      return found as Buffer;
    }
    return undefined;
  }

  /**
   * A history's facts in key order or its reverse, those of one identity side by side and in any order. `committed` facts
   * of the tail are among them; one that is in both comes once.
   * @param take is given each fact; false: it was not taken, and this ends
   */
  read(aggregate: AggregateKey, span: Span, take: (entry: Entry) => boolean): void {
    const { descending, behind, from, to } = span;
    const within = ({ fact }: Entry): boolean => {
      if (fact.eventTime < from || fact.eventTime > to) return false;
      if (behind === undefined) return true;
      const order = compareIdentity(fact, behind);
      return descending ? order < 0 : order > 0;
    };
    const { end } = this.tail;
    const tail = this.tail.find(aggregate.tenant, aggregate.type, aggregate.id);
    const fresh = tail?.entries.filter((entry) => entry.ordinal < end && within(entry)) ?? [];
    if (descending) fresh.reverse();
    let next = 0;
    const sign = descending ? -1 : 1;
    const isWhole = behind === undefined && from === Number.NEGATIVE_INFINITY && to === Number.POSITIVE_INFINITY;
    const hasNone = tail?.head?.era === this.era && tail.head.key === undefined;
    for (const entries of hasNone ? [] : this.segmentsOf(aggregate, span)) {
      if (descending) entries.reverse();
      for (const entry of entries) {
        if (!isWhole && !within(entry)) continue;
        while (next < fresh.length && compareIdentity(fresh[next]!.fact, entry.fact) * sign < 0) {
          if (!take(fresh[next++]!)) return;
        }
        if (!take(entry)) return;
      }
    }
    while (next < fresh.length) if (!take(fresh[next++]!)) return;
  }

  private *segmentsOf(owner: AggregateKey, { from, to, behind, descending }: Span): Generator<Entry[]> {
    const { keys } = this;
    const all = ownerKey(keys, owner).copy();
    const timeKey = (time: number): Buffer => ownerKey(keys, owner).signed(time).copy();
    const behindKey = behind === undefined ? undefined : identityKey(keys, owner, behind).copy();
    if (descending) {
      const start = behindKey ?? (to === Number.POSITIVE_INFINITY ? after(all) : timeKey(to + 1));
      const least = from === Number.NEGATIVE_INFINITY ? all : timeKey(from);
      for (const { key, value } of this.segments.getRange({ start, end: all, reverse: true })) {
        yield decodeSegment(value as Buffer, owner);
        if (Buffer.compare(key as Buffer, least) <= 0) return;
      }
      return;
    }
    const least = behindKey ?? (from === Number.NEGATIVE_INFINITY ? undefined : timeKey(from));
    const start = (least === undefined ? undefined : this.atOrBelow(owner, least)?.key) ?? all;
    const end = to === Number.POSITIVE_INFINITY ? after(all) : timeKey(to + 1);
    if (Buffer.compare(start, end) >= 0) return;
    for (const { value } of this.segments.getRange({ start, end })) yield decodeSegment(value as Buffer, owner);
  }
}

function charactersOf(entries: readonly { readonly fact: Fact }[]): number {
  let characters = 0;
  for (const { fact } of entries) characters += fact.content.length;
  return characters;
}

/** Two runs in key order as one; a fact that both hold comes once. */
function merge(old: readonly Entry[], fresh: readonly Entry[]): Entry[] {
  const merged: Entry[] = [];
  const known = new Set<number>();
  for (const entry of old) known.add(entry.ordinal);
  let at = 0;
  for (const entry of fresh) {
    if (known.has(entry.ordinal)) continue;
    while (at < old.length && compareIdentity(old[at]!.fact, entry.fact) <= 0) merged.push(old[at++]!);
    merged.push(entry);
  }
  while (at < old.length) merged.push(old[at++]!);
  return merged;
}

/** Cuts into segments, never within one identity. */
function partsOf(entries: readonly Entry[]): (readonly Entry[])[] {
  const characters = charactersOf(entries);
  if (entries.length <= SEGMENT_FACTS_MAX && characters <= SEGMENT_CHARACTERS_MAX) return [entries];
  const parts: (readonly Entry[])[] = [];
  const count = Math.ceil(entries.length / (SEGMENT_FACTS_MAX * 0.75));
  const factsMax = Math.ceil(entries.length / count);
  let from = 0;
  let held = 0;
  for (let to = 0; to < entries.length; to++) {
    const { fact } = entries[to]!;
    const full = to - from >= factsMax || held + fact.content.length > SEGMENT_CHARACTERS_MAX;
    if (full && to > from && compareIdentity(entries[to - 1]!.fact, fact) !== 0) {
      parts.push(entries.slice(from, to));
      from = to;
      held = 0;
    }
    held += fact.content.length;
  }
  parts.push(entries.slice(from));
  return parts;
}
