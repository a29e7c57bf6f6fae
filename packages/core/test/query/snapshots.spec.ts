/** What snapshots save, what they may hold, and what makes one of no use. Method: a store that counts the facts it hands out. Above 400 lines and one subject: each rule of validity has its own history here. */
import { describe, expect, it } from 'vitest';
import {
  Aggregate,
  at,
  correctionEvent,
  Event,
  EventBus,
  EventHandler,
  EventRegistry,
  EventStore,
  Histories,
  inMemory,
  SnapshotStore,
  Snapshots,
  States,
  type AggregateKey,
  type Fact,
  type KnownOptions,
  type Layer,
  type ProcessingTime,
  type ReadOptions,
  type Snapshot,
  type SnapshotOptions,
} from '@concursus/core';
import { ManualClock } from '@concursus/testing';

@Event({ initial: true })
class Opened {
  constructor(readonly owner: string) {}
}
@Event()
class Paid {
  constructor(readonly amount: number) {}
}
@Event({ terminal: true })
class Closed {}

@Aggregate('account')
class Account {
  static readonly events = { Opened, Paid, Closed };
  owner = '';
  balance = 0;
  payments = 0;
  closed = false;
  @EventHandler(Opened) opened(e: Opened): void {
    this.owner = e.owner;
  }
  @EventHandler(Paid) paid(e: Paid): void {
    this.balance = (this.balance * 31 + e.amount) % 1_000_003;
    this.payments++;
  }
  @EventHandler(Closed) close(): void {
    this.closed = true;
  }
}

const T = Date.parse('2026-01-01T00:00:00Z');

/** Counts facts as they leave the store. */
class CountingStore extends EventStore {
  facts = 0;
  constructor(private readonly inner: EventStore) {
    super();
  }
  get capabilities() {
    return this.inner.capabilities;
  }
  private count<F extends readonly Fact[]>(facts: F): F {
    this.facts += facts.length;
    return facts;
  }
  append: EventStore['append'] = (...args) => this.inner.append(...args);
  async *read(key: AggregateKey, options?: ReadOptions): AsyncGenerator<readonly Fact[]> {
    for await (const page of this.inner.read(key, options)) yield this.count(page);
  }
  readMany: EventStore['readMany'] = async (...args) =>
    (await this.inner.readMany(...args)).map((facts) => this.count(facts));
  readCorrections: EventStore['readCorrections'] = async (...args) =>
    (await this.inner.readCorrections(...args)).map((facts) => this.count(facts));
  async readLate(
    key: AggregateKey,
    options: KnownOptions & { readonly after: ProcessingTime; readonly limit: number },
  ): Promise<readonly Fact[]> {
    return this.count(await this.inner.readLate(key, options));
  }
  scanAggregates: EventStore['scanAggregates'] = (...args) => this.inner.scanAggregates(...args);
  readSourceCounts: EventStore['readSourceCounts'] = () => this.inner.readSourceCounts();
  keepFloor: EventStore['keepFloor'] = (ms) => this.inner.keepFloor(ms);
}

class CountingSnapshots extends SnapshotStore {
  reads = 0;
  failing = false;
  constructor(private readonly inner: SnapshotStore) {
    super();
  }
  private check(): void {
    if (this.failing) throw new Error('The disk is gone.');
  }
  async save(snapshot: Snapshot): Promise<void> {
    this.check();
    return this.inner.save(snapshot);
  }
  async read(key: AggregateKey, version: number, limit: number): Promise<readonly Snapshot[]> {
    this.check();
    this.reads++;
    return this.inner.read(key, version, limit);
  }
  remove: SnapshotStore['remove'] = (...args) => this.inner.remove(...args);
  removeEach: SnapshotStore['removeEach'] = (...args) => this.inner.removeEach(...args);
}

async function bank(options: SnapshotOptions = {}, settledUpTo?: () => number, cls: new () => object = Account) {
  const clock = new ManualClock(T);
  const logger = { log: () => undefined, warn: () => undefined, error: () => undefined };
  const layer = (await inMemory().create({ context: 'spec', clock, logger })) as Layer<'persistent'>;
  await layer.connect();
  const store = new CountingStore(layer.ports.eventStore);
  const stored = new CountingSnapshots(layer.ports.snapshotStore);
  const registry = new EventRegistry('spec', [cls as typeof Account]);
  const histories = new Histories(store, registry, clock);
  const errors: string[] = [];
  const lines: string[] = [];
  const snapshotsOn = (): Snapshots =>
    new Snapshots(
      {
        store,
        snapshots: stored,
        clock,
        onError: (error, where) => errors.push(`${where}: ${String(error)}`),
        onUnfit: (line) => lines.push(line),
        ...(settledUpTo === undefined ? {} : { settledUpTo }),
      },
      options,
    );
  const snapshots = snapshotsOn();
  const bus = new EventBus({ registry, store, quarantine: layer.ports.quarantine, clock, onError: () => undefined });
  const states = new States(store, registry, histories, snapshots);
  const plain = new States(store, registry, histories);
  return {
    clock,
    store,
    stored,
    bus,
    states,
    plain,
    snapshots,
    errors,
    lines,
    /** A read as another process does it, with nothing at hand; what it lays is saved when it has answered. */
    async another(): Promise<number> {
      const theirs = snapshotsOn();
      const right = await plain.get(cls as typeof Account, 'a');
      store.facts = 0;
      const answer = await new States(store, registry, histories, theirs).get(cls as typeof Account, 'a');
      const { facts } = store;
      expect(answer).toStrictEqual(right);
      await theirs.flush();
      return facts;
    },
    /** Corrects an event of account `a`, at a time behind `T`, and moves it if it is told where. */
    async correct(kind: 'retract' | 'amend', name: string, time: number, to?: number): Promise<void> {
      const { rejected } = await bus.record(
        correctionEvent({
          aggregateType: 'account',
          aggregateId: 'a',
          kind,
          target: { at: T + time, name },
          ...(to === undefined ? {} : { at: T + to }),
          decidedAt: T,
        }),
      );
      expect(rejected).toBe(0);
    },
    /** Payments from..to, one a second, each append at its own processing time. */
    async pay(from: number, to: number, id = 'a'): Promise<void> {
      for (let i = from; i < to; i += 500) {
        const size = Math.min(500, to - i);
        await bus
          .for(cls as typeof Account, id)
          .record(...Array.from({ length: size }, (_, k) => at(T + (i + k) * 1_000, new Paid((i + k) % 97))));
        await clock.advance(1);
      }
    },
    late: async (second: number, id = 'a') => {
      await bus.for(cls as typeof Account, id).record(at(T + second * 1_000 + 500, new Paid(1_000)));
      await clock.advance(1);
    },
    /** The answer, and how many facts it took to give it; it is compared with the fold from the beginning. */
    async get(options: Parameters<States['get']>[2] = {}): Promise<number> {
      const right = await plain.get(cls as typeof Account, 'a', options);
      store.facts = 0;
      const answer = await states.get(cls as typeof Account, 'a', options);
      const { facts } = store;
      expect(answer).toStrictEqual(right);
      await snapshots.flush();
      return facts;
    },
    ladder: () => layer.ports.snapshotStore.read({ tenant: '', type: 'account', id: 'a' }, 1, 100),
    close: () => layer.close(),
  };
}

describe('snapshots', () => {
  it('make a state cost what stands behind the nearest one, however long the history', async () => {
    const costs: number[] = [];
    for (const length of [2_000, 20_000]) {
      const b = await bank();
      await b.bus.for(Account, 'a').record(at(T - 1, new Opened('me')));
      await b.pay(0, length);
      await b.get();
      costs.push(await b.get());
      await b.pay(length, length + 10);
      expect(await b.get()).toBe(costs.at(-1)! + 10);
      // A process that has nothing at hand looks for a short history first, then for what is stored.
      expect(await b.another()).toBeLessThan(256 + 100);
      await b.close();
    }
    expect(costs[1]).toBe(costs[0]);
    expect(costs[0]).toBeLessThanOrEqual(64);
  });

  it('lie on a ladder, so that a late event and a question about the past cost their distance', async () => {
    const b = await bank();
    const length = 20_000;
    await b.pay(0, length);
    await b.get();
    const ladder = await b.ladder();
    expect(ladder.length).toBeLessThanOrEqual(12);
    expect(ladder.map((rung) => length - rung.events)).toEqual([64, 256, 512, 1_024, 2_048, 4_096, 8_192, 16_384]);
    for (const distance of [100, 300, 1_500, 7_000, 15_000]) {
      const asOf = T + (length - distance) * 1_000;
      expect(await b.get({ asOf })).toBeLessThanOrEqual(distance + 256);
    }
    for (const distance of [10, 200, 1_500, 7_000]) {
      await b.late(length - distance);
      expect(await b.get(), `late by ${distance}`).toBeLessThanOrEqual(2 * distance + 256 + 100);
      // And then it is near again.
      expect(await b.get()).toBeLessThanOrEqual(256);
    }
    expect((await b.ladder()).length).toBeLessThanOrEqual(12);
    expect(b.errors).toEqual([]);
    await b.close();
  });

  it('follow a history that grows, and stay few', async () => {
    const b = await bank({ everyEvents: 32, keep: 6 });
    for (let n = 0; n < 4_000; n += 40) {
      await b.pay(n, n + 40);
      expect(await b.get()).toBeLessThanOrEqual(n < 64 ? 200 : 32 + 8 + 40);
      expect((await b.ladder()).length).toBeLessThanOrEqual(6);
    }
    const distances = (await b.ladder()).map((rung) => 4_000 - rung.events);
    expect(distances.at(-1)).toBeGreaterThan(1_000);
    await b.close();
  });

  it('are laid at settled points where these are known', async () => {
    let settled = T + 900 * 1_000;
    const b = await bank({}, () => settled);
    await b.pay(0, 1_000);
    await b.get();
    const times = async (): Promise<number[]> => (await b.ladder()).map((rung) => (rung.eventTimeMax - T) / 1_000);
    expect(await times()).toContain(900);
    settled = T + 1_299 * 1_000;
    await b.pay(1_000, 1_310);
    await b.get();
    expect(await times()).toContain(1_299);
    expect(await b.get()).toBe(10);
    await b.close();
  });

  it.each<[string, (b: Awaited<ReturnType<typeof bank>>) => Promise<unknown>]>([
    ['a late event', (b) => b.late(500)],
    ['a late beginning', (b) => b.bus.for(Account, 'a').record(at(T + 900_500, new Opened('me')))],
    ['a beginning at the end', (b) => b.bus.for(Account, 'a').record(at(T + 5_000_000, new Opened('me')))],
    ['a late end', (b) => b.bus.for(Account, 'a').record(at(T + 100_500, new Closed()))],
    ['a retraction', (b) => b.correct('retract', 'paid', 300_000)],
    ['an amendment that brings an event from behind a snapshot into it', (b) => b.correct('amend', 'paid', 999_000, 1)],
    [
      'another content under a known identity',
      (b) => b.bus.for(Account, 'a').record(at(T + 400_000, new Paid(12_345))),
    ],
  ])(
    'are passed over after %s, also by other processes, and hold again for what was known before',
    async (_, change) => {
      const b = await bank();
      await b.pay(0, 1_000);
      const knownAt = T + 10;
      await b.clock.advance(100);
      await b.get();
      const before = await b.plain.get(Account, 'a');
      await b.clock.advance(100);
      await change(b);
      await b.clock.advance(100);
      expect(await b.plain.get(Account, 'a')).not.toEqual(before);
      await b.another();
      // What was known before still starts at a snapshot.
      expect(await b.get({ knownAt })).toBeLessThan(200);
      await b.get();
      await b.get({ asOf: T + 600_000 });
      expect(await b.get()).toBeLessThan(300);
      await b.close();
    },
  );

  it('are passed over when what an amendment waits for comes at the end and belongs into them', async () => {
    const b = await bank();
    await b.pay(0, 1_000);
    await b.correct('amend', 'paid', 2_000_000, 10_001);
    await b.clock.advance(10);
    await b.get();
    // One amendment does not forbid snapshots.
    expect(await b.get()).toBeLessThan(300);
    const before = await b.plain.get(Account, 'a');
    await b.bus.for(Account, 'a').record(at(T + 2_000_000, new Paid(7)));
    await b.clock.advance(10);
    expect(await b.plain.get(Account, 'a')).not.toEqual(before);
    await b.get();
    await b.another();
    expect(await b.get()).toBeLessThan(300);
    await b.close();
  });

  it('are passed over when a beginning that happened behind their end is taken back', async () => {
    const b = await bank();
    await b.bus.for(Account, 'a').record(at(T + 2_000_000, new Opened('me')));
    await b.pay(0, 1_000);
    await b.get();
    expect((await b.plain.get(Account, 'a'))!.state.owner).toBe('me');
    await b.correct('retract', 'opened', 2_000_000);
    await b.clock.advance(10);
    await b.get();
    expect((await b.states.get(Account, 'a'))!.state.owner).toBe('');
    await b.close();
  });

  it('end only where what is recorded later, at their last moment, counts as late', async () => {
    const b = await bank({}, () => T + 1_000_000);
    await b.pay(0, 1_000);
    // The history's last event is one that happened earlier and was moved there.
    await b.correct('amend', 'paid', 500_000, 2_000_000);
    await b.clock.advance(10);
    await b.get();
    await b.bus.for(Account, 'a').record(at(T + 999_000, new Paid(7), { stream: 'z' }));
    await b.clock.advance(10);
    await b.get();
    expect((await b.states.get(Account, 'a'))!.events).toBe(1_001);
    await b.close();
  });

  it('are kept at hand within a bound of bytes, and cost no look-up there', async () => {
    const cacheBytes = 20_000;
    const b = await bank({ everyEvents: 16, cacheBytes });
    for (let i = 0; i < 40; i++) {
      await b.pay(0, 100, `n${i}`);
      await b.states.get(Account, `n${i}`);
      await b.snapshots.flush();
      expect(b.snapshots.cacheBytes).toBeLessThanOrEqual(cacheBytes);
    }
    expect(b.snapshots.cacheBytes).toBeGreaterThan(cacheBytes / 2);
    const before = b.stored.reads;
    for (let i = 0; i < 5; i++) await b.states.get(Account, 'n39');
    expect(b.stored.reads).toBe(before);
    await b.states.get(Account, 'n0');
    expect(b.stored.reads).toBe(before + 1);
    await b.close();
  });

  it('ask a short history for none', async () => {
    const b = await bank();
    await b.pay(0, 100);
    await b.get();
    await b.get();
    expect(b.stored.reads).toBe(0);
    await b.close();
  });

  it('hand out states that are the callers’ own', async () => {
    const b = await bank();
    await b.pay(0, 1_000);
    await b.get();
    const one = (await b.states.get(Account, 'a'))!;
    one.state.balance = -1;
    expect(one.state).toBeInstanceOf(Account);
    await b.get();
    await b.close();
  });

  it('never keep a state that would not come back as it was, and say so once', async () => {
    const seen = new WeakMap<object, number>();
    @Aggregate('account')
    class Hidden {
      static readonly events = { Opened, Paid, Closed };
      payments = 0;
      constructor() {
        seen.set(this, 0);
      }
      @EventHandler(Paid) paid(): void {
        // What is kept beside the state is in no copy of it.
        const n = seen.get(this)! + 1;
        seen.set(this, n);
        this.payments = n;
      }
    }
    const b = await bank({}, undefined, Hidden);
    await b.pay(0, 1_000);
    for (let i = 0; i < 3; i++) expect(await b.get()).toBeGreaterThanOrEqual(1_000);
    expect(b.lines).toEqual([expect.stringContaining('States of account are folded from the beginning each time')]);
    expect(await b.ladder()).toEqual([]);
    expect(b.errors).toEqual([]);
    await b.close();
  });

  it('that cannot be read or saved are reported and missed by nobody', async () => {
    const b = await bank();
    await b.pay(0, 1_000);
    b.stored.failing = true;
    await b.get();
    await b.another();
    expect(b.errors.length).toBeGreaterThan(0);
    b.stored.failing = false;
    await b.another();
    expect((await b.ladder()).length).toBeGreaterThan(0);
    await b.close();
  });

  it('of another version, another shape, spoilt or half-written are passed over', async () => {
    const b = await bank();
    await b.pay(0, 1_000);
    await b.get();
    const [top] = await b.ladder();
    const saved = await b.ladder();
    const spoilt: ((snapshot: Snapshot) => Snapshot)[] = [
      (s) => ({ ...s, content: s.content.replace(/"balance":\d/, '"balance":1') }),
      (s) => ({ ...s, content: s.content.slice(0, s.content.length / 2) }),
      (s) => ({ ...s, recordedMax: { ms: 0, tick: 0 } }),
      (s) => ({ ...s, checksum: '' }),
    ];
    for (const spoil of spoilt) {
      for (const one of saved) await b.stored.save(spoil(one));
      expect(await b.another()).toBeGreaterThanOrEqual(1_000);
    }
    for (const one of saved) await b.stored.save(one);
    expect(await b.another()).toBeLessThan(500);
    expect(top!.reducerVersion).toBe(1);
    await b.close();
  });

  it('are not laid any more once stopped', async () => {
    const b = await bank();
    await b.pay(0, 1_000);
    await b.snapshots.stop();
    await b.get();
    expect(await b.ladder()).toEqual([]);
    await b.close();
  });
});
