/** Which aggregates have histories: those with segments, and those of which all is still in the tail, in the order of their keys. */
import type { Bytes } from './environment.js';
import { ownerKey } from './history-index.js';
import { after, KeyWriter } from './keys.js';
import type { Owner } from './segment.js';
import type { Tail } from './tail.js';

/** An aggregate, and what its keys begin with. */
interface OwnerPlace {
  readonly key: Buffer;
  readonly owner: Owner;
}

/** Segments of one aggregate that a look for the next one steps over: a jump costs about as much as so many steps. */
const STEPS_MAX = 12;

export class HistoryOwners {
  private readonly keys = new KeyWriter();
  /** Those with facts in the tail, in order, while it stays as it is: a reader that goes on from page to page sorts them once. */
  private fresh: readonly OwnerPlace[] = [];
  private changes = -1;
  private end = -1;

  constructor(
    private readonly segments: Bytes,
    private readonly tail: Tail,
  ) {}

  /** Aggregates that have committed facts, above one, at most `limit`. */
  above(behind: Owner | undefined, limit: number): Owner[] {
    const above = behind === undefined ? undefined : ownerKey(this.keys, behind).copy();
    const fresh = this.inTail();
    const found: Owner[] = [];
    let next = above === undefined ? 0 : firstAbove(fresh, above);
    const add = ({ tenant, type, id }: Owner): void => {
      found.push({ tenant, type, id });
    };
    for (const stored of storedOwners(this.segments, above === undefined ? undefined : after(above))) {
      for (; found.length < limit && next < fresh.length; next++) {
        const order = Buffer.compare(fresh[next]!.key, stored.key);
        if (order > 0) break;
        if (order < 0) add(fresh[next]!.owner);
      }
      if (found.length >= limit) return found;
      add(stored.owner);
    }
    while (found.length < limit && next < fresh.length) add(fresh[next++]!.owner);
    return found;
  }

  private inTail(): readonly OwnerPlace[] {
    const { end, changes } = this.tail;
    if (changes === this.changes && end === this.end) return this.fresh;
    const fresh: OwnerPlace[] = [];
    for (const owner of this.tail.all()) {
      if (!owner.entries.some((entry) => entry.ordinal < end)) continue;
      const { tenant, type, id } = owner;
      fresh.push({ key: ownerKey(this.keys, owner).copy(), owner: { tenant, type, id } });
    }
    this.changes = changes;
    this.end = end;
    return (this.fresh = fresh.sort((a, b) => Buffer.compare(a.key, b.key)));
  }
}

/** The first place whose key is above this one. */
function firstAbove(places: readonly OwnerPlace[], key: Buffer): number {
  let low = 0;
  let high = places.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (Buffer.compare(places[middle]!.key, key) > 0) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Aggregates with segments, from a key on: a few segments of one are stepped over, more are jumped. */
function* storedOwners(segments: Bytes, start: Buffer | undefined): Generator<OwnerPlace> {
  for (let from = start; ;) {
    let last: OwnerPlace | undefined;
    let steps = 0;
    let isAtEnd = true;
    for (const found of segments.getKeys(from === undefined ? {} : { start: from })) {
      const key = found as Buffer;
      if (last !== undefined && beginsWith(key, last.key)) {
        if (++steps < STEPS_MAX) continue;
        isAtEnd = false;
        break;
      }
      last = placeOf(key);
      steps = 0;
      yield last;
    }
    if (isAtEnd) return;
    from = after(last!.key);
  }
}

function beginsWith(key: Buffer, prefix: Buffer): boolean {
  return key.length >= prefix.length && key.compare(prefix, 0, prefix.length, 0, prefix.length) === 0;
}

/** Whose segment stands under a key. */
function placeOf(key: Buffer): OwnerPlace {
  const tenant = key.indexOf(0);
  const type = key.indexOf(0, tenant + 1);
  const id = key.indexOf(0, type + 1);
  return {
    key: Buffer.from(key.subarray(0, id + 1)),
    owner: {
      tenant: key.toString('utf8', 0, tenant),
      type: key.toString('utf8', tenant + 1, type),
      id: key.toString('utf8', type + 1, id),
    },
  };
}
