/**
 * A stored history as it counts: corrected, and judged by the aggregate's conflict policy. Stands between the store and
 * whoever folds or shows a history (stop 14 of the walk). Pages stream: only an aggregate's corrections, and what they move
 * in time, are held in memory.
 */
import { InvalidEventError } from '../model/errors.js';
import type { AggregateKey, Fact } from '../model/event.js';
import { compareIdentity } from '../model/event-order.js';
import { isCorrection } from '../model/correction.js';
import { compareEffective, effectiveFacts, isPlain, Rulings, type ConflictPolicy } from '../model/effective-facts.js';
import type { Position } from '../model/position.js';
import type { EventStore, EventTimeRange, ReadOptions } from '../ports/event-store.js';

/** Corrections of one aggregate held in memory at most: at 1 kB each about 100 MB. */
const CORRECTIONS_MAX = 100_000;

/** What reading a history as it counts asks of a store. */
export type HistoryReader = Pick<EventStore, 'read' | 'readMany' | 'readCorrections'>;

/** The rulings of one aggregate at the moment of a read. @throws InvalidEventError `LIMIT_EXCEEDED` beyond 100,000 corrections */
export async function rulingsOf(
  store: HistoryReader,
  key: AggregateKey,
  options: Pick<ReadOptions, 'knownAt' | 'upTo'>,
): Promise<Rulings> {
  const [corrections] = await store.readCorrections([key], known(options));
  if (corrections!.length > CORRECTIONS_MAX) {
    throw new InvalidEventError(
      'LIMIT_EXCEEDED',
      `${key.type} ${key.id} has ${corrections!.length} corrections; ${CORRECTIONS_MAX} can be applied.`,
      { fix: 'Record what was corrected this often under an aggregate of its own.' },
    );
  }
  return new Rulings(corrections!);
}

function known(options: Pick<ReadOptions, 'knownAt' | 'upTo'>): Pick<ReadOptions, 'knownAt' | 'upTo'> {
  return {
    ...(options.knownAt === undefined ? {} : { knownAt: options.knownAt }),
    ...(options.upTo === undefined ? {} : { upTo: options.upTo }),
  };
}

/**
 * The facts that count, in key order of their effective times (or its reverse), in pages. `range` is one of effective time:
 * an event that an amendment moves into it is there, one that is moved out of it is not.
 * @param given the aggregate's rulings at the moment of the read, when the caller has looked them up already
 */
export async function* readEffective(
  store: HistoryReader,
  policy: ConflictPolicy,
  key: AggregateKey,
  options: ReadOptions = {},
  given?: Rulings,
): AsyncGenerator<readonly Fact[]> {
  const rulings = given ?? (await rulingsOf(store, key, options));
  if (rulings.isEmpty && policy === 'both') {
    yield* store.read(key, options);
    return;
  }
  const arrivals = await moved(store, policy, key, options, rulings);
  const sign = options.descending === true ? -1 : 1;
  if (sign === -1) arrivals.reverse();
  let next = 0;
  let group: Fact[] = [];
  const out: Fact[] = [];
  const flush = (): void => {
    if (group.length === 0) return;
    const first = group[0]!;
    if (sign === -1) group.reverse();
    const left = rulings.apply(group, policy).filter((fact) => fact.eventTime === first.eventTime);
    const ordered = left.length < 2 ? left : [...left].sort((a, b) => sign * compareEffective(a, b));
    for (const fact of ordered) {
      while (next < arrivals.length && sign * compareEffective(arrivals[next]!, fact) < 0) out.push(arrivals[next++]!);
      out.push(fact);
    }
    group = [];
  };
  for await (const page of store.read(key, options)) {
    for (const fact of page) {
      if (isCorrection(fact)) continue;
      if (group.length > 0 && compareIdentity(group[0]!, fact) !== 0) flush();
      group.push(fact);
    }
    if (out.length > 0) yield out.splice(0);
  }
  flush();
  while (next < arrivals.length) out.push(arrivals[next++]!);
  if (out.length > 0) yield out;
}

/** What amendments put at another time, as far as that lies in the range: in key order. */
async function moved(
  store: HistoryReader,
  policy: ConflictPolicy,
  key: AggregateKey,
  options: ReadOptions,
  rulings: Rulings,
): Promise<Fact[]> {
  const arrivals: Fact[] = [];
  const { signal: _signal, pageSize: _pageSize, descending: _descending, range, ...rest } = options;
  const origins = new Set<number>();
  for (const { from, to } of rulings.moves) if (inRange(range, to)) origins.add(from);
  for (const from of origins) {
    const [facts] = await store.readMany([key], { ...rest, range: { from, to: from } });
    for (const fact of effectiveFacts(facts!, policy, rulings)) {
      if (fact.eventTime !== from && inRange(range, fact.eventTime)) arrivals.push(fact);
    }
  }
  return arrivals.sort(compareEffective);
}

function inRange(range: EventTimeRange | undefined, time: number): boolean {
  if (range === undefined) return true;
  const { from, to } = range;
  if (from !== undefined && (range.fromExclusive === true ? time <= from : time < from)) return false;
  return to === undefined || (range.toExclusive === true ? time < to : time <= to);
}

/** Whether another content of the identity of one of these facts is recorded, or a correction of it. */
export async function hasSiblings(
  store: HistoryReader,
  key: AggregateKey,
  facts: readonly Fact[],
  upTo: Position,
): Promise<boolean> {
  for (const { eventTime } of facts) {
    const [at] = await store.readMany([key], { range: { from: eventTime, to: eventTime }, upTo });
    if (!isPlain(at!, 'neither')) return true;
  }
  return false;
}

/** Many histories at once, each whole and in key order of effective times. */
export async function readManyEffective(
  store: HistoryReader,
  policy: ConflictPolicy,
  keys: readonly AggregateKey[],
  options: Omit<ReadOptions, 'pageSize' | 'signal'> = {},
): Promise<readonly (readonly Fact[])[]> {
  const [histories, corrections] = await Promise.all([
    store.readMany(keys, options),
    store.readCorrections(keys, known(options)),
  ]);
  const out: (readonly Fact[])[] = [];
  for (let i = 0; i < keys.length; i++) {
    if (corrections[i]!.length === 0) out.push(effectiveFacts(histories[i]!, policy));
    else {
      const facts: Fact[] = [];
      for await (const page of readEffective(store, policy, keys[i]!, options)) facts.push(...page);
      out.push(facts);
    }
  }
  return out;
}
