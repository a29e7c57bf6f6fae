/**
 * Generators for fast-check: ids, times, parameters, facts, histories, and the messy deliveries they arrive by. Small pools
 * of times, streams and names make equal instants, repeats and conflicts common, which is where order could leak in.
 */
import { canonicalJson, Fact, limits, type FactInit, type Parameters } from '@concursus/core';
import fc from 'fast-check';

/** Facts in the order they arrive, in batches. */
export type Delivery = readonly (readonly FactInit[])[];

/** A sketch of a fact: what is left out has a default. */
export interface FactSketch {
  readonly tenant?: string;
  readonly type?: string;
  readonly id?: string;
  readonly name?: string;
  readonly version?: string;
  /** Event time, epoch milliseconds. */
  readonly at?: number;
  readonly stream?: string;
  readonly sequence?: number;
  readonly characteristics?: number;
  readonly parameters?: Parameters;
  readonly metadata?: FactInit['metadata'];
}

/** What a fact is made of, from a sketch; each `new Fact(init)` is a delivery of its own. */
export function initOf(sketch: FactSketch = {}): FactInit {
  return {
    tenant: sketch.tenant ?? '',
    aggregateType: sketch.type ?? 'parcel',
    aggregateId: sketch.id ?? 'p1',
    name: sketch.name ?? 'scanned',
    version: sketch.version ?? '0',
    eventTime: sketch.at ?? 1_000,
    streamId: sketch.stream ?? '',
    sequence: sketch.sequence ?? -1,
    characteristics: sketch.characteristics ?? 0,
    content: canonicalJson(sketch.parameters ?? {}),
    metadata: sketch.metadata,
  };
}

/** A fact not yet logged. */
export function factOf(sketch: FactSketch = {}): Fact {
  return new Fact(initOf(sketch));
}

/** Well-formed text with characters that stores tend to trip over. */
export function texts(lengthMax = 12): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 3, arbitrary: fc.string({ maxLength: lengthMax, unit: 'grapheme-ascii' }) },
    {
      weight: 1,
      arbitrary: fc.string({ maxLength: lengthMax, unit: 'binary' }).map((text) => text.replaceAll('\u0000', '')),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(':', '/', 'a:b', 'a/b', ' ', '\ufb01', '\u{1f600}', '"', '\\', '%00', '0', '-1'),
    },
  );
}

/** Ids of aggregates: not empty, mostly of a small pool. */
export function aggregateIds(): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom('a', 'b', 'a:b') },
    { weight: 1, arbitrary: texts().filter((text) => text.length > 0) },
  );
}

/** Event times: a few equal instants, any time of our days, and the ends of what is allowed. */
export function eventTimes(): fc.Arbitrary<number> {
  return fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 1_000, max: 1_005 }) },
    { weight: 2, arbitrary: fc.integer({ min: -1_000_000, max: 2_000_000_000_000 }) },
    { weight: 1, arbitrary: fc.constantFrom(0, -1, limits.eventTimeMin, limits.eventTimeMax) },
  );
}

/** Sources: none, two common ones, and some that sort differently by UTF-16 units and by bytes. */
export function streamIds(): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom('', 's', 't') },
    { weight: 1, arbitrary: fc.constantFrom('\ufb01', '\u{1f600}', 's:t', 's/') },
  );
}

/** A source's own numbers: none (-1), small ones, and up to the greatest safe integer. */
export function sequences(): fc.Arbitrary<number> {
  return fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(-1, 0, 1) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }) },
  );
}

/** Parameters in wire form: every kind of value JSON can hold, three levels deep. */
export function parameters(): fc.Arbitrary<Parameters> {
  const { value } = fc.letrec<{ value: Parameters[string] }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 3, withCrossShrink: true },
      fc.oneof(
        texts(),
        fc.integer(),
        fc
          .double({ noNaN: true, noDefaultInfinity: true })
          .filter((n) => !Number.isInteger(n) || Number.isSafeInteger(n)),
        fc.boolean(),
        fc.constant(null),
      ),
      fc.array(tie('value'), { maxLength: 3 }),
      fc.dictionary(keys(), tie('value'), { maxKeys: 3, noNullPrototype: true }),
    ),
  }));
  return fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom<Parameters[]>({}, { n: 1 }, { n: 2 }) },
    { weight: 1, arbitrary: fc.dictionary(keys(), value, { maxKeys: 3, noNullPrototype: true }) },
  );
}

function keys(): fc.Arbitrary<string> {
  return texts(6).filter((key) => key !== '__proto__' && key !== 'constructor' && key !== 'prototype');
}

/** One fact of any aggregate. */
export function facts(
  overrides: { readonly tenant?: string; readonly type?: string; readonly id?: string } = {},
): fc.Arbitrary<FactInit> {
  return fc
    .record({
      id: overrides.id === undefined ? aggregateIds() : fc.constant(overrides.id),
      name: fc.constantFrom('loaded', 'scanned', '\ufb01', '\u{1f600}'),
      version: fc.constantFrom('0', '0', '0', '1'),
      at: eventTimes(),
      stream: streamIds(),
      sequence: sequences(),
      parameters: parameters(),
    })
    .map((sketch) => initOf({ ...sketch, tenant: overrides.tenant ?? '', type: overrides.type ?? 'parcel' }));
}

/** Facts of a few aggregates, with equal instants, repeats and conflicts among them. */
export function histories(
  options: { readonly lengthMax?: number; readonly tenant?: string; readonly type?: string; readonly id?: string } = {},
): fc.Arbitrary<readonly FactInit[]> {
  return fc.array(facts(options), { minLength: 1, maxLength: options.lengthMax ?? 12 });
}

/** How a delivery is messy, whatever is delivered; see `deliveryOf`. */
export interface Mess {
  /** For each item (counted round), when it arrives; more than one number: it is repeated. */
  readonly arrivals: readonly (readonly number[])[];
  /** Items of one batch; 0 for all in one. */
  readonly batchSize: number;
}

/** Kept apart from what is delivered, so that both shrink on their own. Shrinks towards everything once, in order, in one batch. */
export function messes(): fc.Arbitrary<Mess> {
  const arrivals = fc.array(fc.array(fc.nat({ max: 30 }), { minLength: 1, maxLength: 3 }), { maxLength: 24 });
  return fc.record({ arrivals, batchSize: fc.integer({ min: 0, max: 7 }) });
}

/** The items as they arrive: each at least once, late, early, repeated, in batches. */
export function deliveryOf<T>(items: readonly T[], mess: Mess): readonly (readonly T[])[] {
  const { arrivals, batchSize } = mess;
  const arriving: { readonly item: T; readonly time: number }[] = [];
  for (const [i, item] of items.entries()) {
    const times = arrivals.length === 0 ? [0] : arrivals[i % arrivals.length]!;
    for (const time of times) arriving.push({ item, time });
  }
  // Equal times keep the given order.
  arriving.sort((a, b) => a.time - b.time);
  const size = batchSize === 0 ? Math.max(1, arriving.length) : batchSize;
  const batches: T[][] = [];
  for (let i = 0; i < arriving.length; i += size) batches.push(arriving.slice(i, i + size).map(({ item }) => item));
  return batches;
}

/**
 * Some way in which these items may arrive: each at least once and up to three times, late, early, in batches of any size.
 * Shrinks towards all of them once, in their own order, in one batch.
 */
export function messyDeliveries<T>(items: readonly T[]): fc.Arbitrary<readonly (readonly T[])[]> {
  return messes().map((mess) => deliveryOf(items, mess));
}

/** Items and a way in which they may arrive. */
export function delivered<T>(
  histories: fc.Arbitrary<readonly T[]>,
): fc.Arbitrary<{ readonly items: readonly T[]; readonly batches: readonly (readonly T[])[] }> {
  return fc.tuple(histories, messes()).map(([items, mess]) => ({ items, batches: deliveryOf(items, mess) }));
}

/** Items and two ways in which they may arrive: the raw material of law 2. */
export function deliveredTwice<T>(histories: fc.Arbitrary<readonly T[]>): fc.Arbitrary<{
  readonly items: readonly T[];
  readonly one: readonly (readonly T[])[];
  readonly other: readonly (readonly T[])[];
}> {
  return fc
    .tuple(histories, messes(), messes())
    .map(([items, one, other]) => ({ items, one: deliveryOf(items, one), other: deliveryOf(items, other) }));
}
