/**
 * Goal: recorded events are published from a checkpoint, whatever fails or dies. Method: the in-memory layer and relay on a
 * manual clock; calls of the relay are made to fail or to hang, and processes end without giving anything up.
 */
import {
  Aggregate,
  correctionEvent,
  Event,
  EventRegistry,
  EventRelay,
  inMemory,
  inMemoryRelay,
  relayKey,
  RelayRunner,
  relayRow,
  selectionOf,
  sourceFactOf,
  sourceFacts,
  SOURCE_TYPE,
  toEventJson,
  Fact,
  type EventStore,
  type Layer,
  type RelayProvider,
  type RelayState,
  UnavailableError,
} from '@concursus/core';
import { eventually, factOf, ManualClock } from '@concursus/testing';
import { describe, expect, it } from 'vitest';

@Event()
class Scanned {
  readonly depot!: string;
}
@Event()
class Loaded {
  readonly truck!: string;
}
@Aggregate('parcel')
class Parcel {
  static readonly events = { Scanned, Loaded };
}
@Event()
class Driven {
  readonly km!: number;
}
@Aggregate('truck')
class Truck {
  static readonly events = { Driven };
}

const silent = { log: () => undefined, warn: () => undefined, error: () => undefined };
const registry = new EventRegistry('spec', [Parcel, Truck]);
const LEASE_MS = 1_000;
const times = { leaseMs: LEASE_MS, beatMs: 200 };

class World {
  readonly clock = new ManualClock();
  readonly layer: Layer<'persistent'>;
  readonly store: EventStore;
  private sequence = 0;

  constructor() {
    this.layer = inMemory().create({ context: 'spec', clock: this.clock, logger: silent }) as Layer<'persistent'>;
    this.store = this.layer.ports.eventStore;
  }

  /** Records facts of some parcels, each in an append of its own. */
  async record(count: number): Promise<Fact[]> {
    const facts: Fact[] = [];
    for (let n = 0; n < count; n++) {
      const at = 1_000_000 - this.sequence;
      facts.push(
        await this.append(factOf({ type: 'parcel', id: `p${n % 5}`, name: 'scanned', at, sequence: this.sequence++ })),
      );
    }
    return facts;
  }

  async append(fact: Fact): Promise<Fact> {
    await this.store.append([{ facts: [fact], receivedAt: this.clock.now() }]);
    return fact;
  }

  /** A process that runs the relay. One on a clock that stands still beats no more: it died. */
  async process(
    name: string,
    provider: RelayProvider,
    change: (relay: EventRelay) => EventRelay = (relay) => relay,
    clock = this.clock,
  ) {
    const { eventFeed: feed, checkpointStore: checkpoints } = this.layer.ports;
    const selection = selectionOf(provider, registry);
    const relay = provider.create({ context: 'spec', clock, logger: silent, aggregateTypes: selection.aggregateTypes });
    const runner = new RelayRunner(
      { feed, checkpoints, clock, logger: silent, process: name },
      [{ provider, selection, relay: change(relay) }],
      times,
    );
    await runner.start();
    return runner;
  }

  until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
    return eventually(condition, this.clock, what);
  }

  checkpoint(name: string): Promise<string | undefined> {
    return this.layer.ports.checkpointStore.read(relayRow(name));
  }
}

/** A relay whose calls go through `publish`. */
function through(
  publish: (facts: readonly Fact[], real: EventRelay) => Promise<void>,
): (relay: EventRelay) => EventRelay {
  return (relay) => ({
    connect: () => relay.connect(),
    publish: (facts) => publish(facts, relay),
    close: () => relay.close(),
  });
}

const keysOf = (facts: readonly Fact[]): string[] => facts.map((fact) => relayKey('spec', fact));
const stateOf = (runner: RelayRunner): RelayState => runner.states()[0]!;

describe('a relay', () => {
  it('publishes what is recorded, before and after it starts, in recorded order, and nothing again after a restart', async () => {
    const world = new World();
    const before = await world.record(12);
    const relay = inMemoryRelay();
    const first = await world.process('one', relay);
    await world.until(() => relay.published.length === 12, 'what was there is published');
    const after = await world.record(7);
    await world.until(() => relay.published.length === 19, 'what came is published');
    await first.stop();
    const second = await world.process('two', relay);
    const last = await world.record(1);
    await world.until(() => relay.published.length === 20, 'the last is published');
    await world.clock.advance(5_000);
    await second.stop();
    expect(relay.published.map(({ key }) => key)).toEqual(keysOf([...before, ...after, ...last]));
    expect(relay.published[0]?.json).toBe(toEventJson(before[0]!));
    expect(stateOf(second).published).toBe(1);
  });

  it('is waited for by nobody, and comes after what it refuses for a while', async () => {
    const world = new World();
    const relay = inMemoryRelay();
    let refused = 0;
    const runner = await world.process(
      'one',
      relay,
      through(async (facts, real) => {
        if (refused < 4) {
          refused += 1;
          throw new UnavailableError('STORE_UNREACHABLE', 'The broker is away.', { fix: 'Wait.' });
        }
        await real.publish(facts);
      }),
    );
    expect(stateOf(runner).lagMs).toBe(0);
    const recordedMs = world.clock.now();
    const facts = await world.record(3);
    expect(relay.published).toEqual([]);
    await world.until(() => refused === 2, 'it is refused');
    expect(stateOf(runner)).toMatchObject({ name: 'in-memory', state: 'failing', published: 0 });
    // Recorded then, in steps finer than the clock's.
    const waitedMs = world.clock.now() - recordedMs;
    expect(waitedMs).toBeGreaterThan(0);
    expect(stateOf(runner).lagMs).toBe(waitedMs);
    const more = await world.record(2);
    await world.until(() => relay.published.length === 5, 'all are published');
    expect(stateOf(runner)).toMatchObject({ state: 'running', published: 5, lagMs: 0, error: undefined });
    expect(relay.published.map(({ key }) => key)).toEqual(keysOf([...facts, ...more]));
    await runner.stop();
  });

  it('repeats after a crash what it had not saved, and loses nothing', async () => {
    const world = new World();
    const facts = await world.record(40);
    const relay = inMemoryRelay();
    // The process dies behind the call: what it published is not saved, and its row is given up by nobody.
    const hang = new Promise<never>(() => undefined);
    const dying = through(async (page, real) => {
      await real.publish(page.slice(0, 25));
      await hang;
    });
    await world.process('dies', relay, dying, new ManualClock());
    await world.until(() => relay.published.length === 25, 'it published some');
    expect(await world.checkpoint('in-memory')).toBeUndefined();
    const runner = await world.process('follows', relay);
    expect(stateOf(runner).state).toBe('elsewhere');
    await world.until(() => stateOf(runner).state === 'running', 'the follower runs it');
    await world.until(() => relay.published.length === 65, 'all of it again');
    const seen = [...new Set(relay.published.map(({ key }) => key))];
    expect(seen).toEqual(keysOf(facts));
    await runner.stop();
    expect(await world.checkpoint('in-memory')).toBe('o1:40');
  });

  it('begins at the end when told to, once', async () => {
    const world = new World();
    await world.record(4);
    const relay = inMemoryRelay({ name: 'late', from: 'end' });
    const first = await world.process('one', relay);
    const facts = await world.record(2);
    await world.until(() => relay.published.length === 2, 'what came since');
    await first.stop();
    const whileDown = await world.record(1);
    const second = await world.process('two', relay);
    await world.until(() => relay.published.length === 3, 'what came while nobody ran it');
    expect(relay.published.map(({ key }) => key)).toEqual(keysOf([...facts, ...whileDown]));
    await second.stop();
  });

  it('publishes of its choice only, corrections with what they correct, and never what is said of sources', async () => {
    const world = new World();
    const scanned = await world.append(factOf({ type: 'parcel', id: 'a', name: 'scanned', at: 1 }));
    await world.append(factOf({ type: 'parcel', id: 'a', name: 'loaded', at: 2 }));
    const driven = await world.append(factOf({ type: 'truck', id: 't', name: 'driven', at: 3 }));
    const correct = (name: string, at: number): Promise<Fact> => {
      const event = correctionEvent({
        kind: 'retract',
        aggregateType: 'parcel',
        aggregateId: 'a',
        target: { at, name },
        decidedAt: 9,
      });
      return world.append(
        factOf({
          type: 'parcel',
          id: 'a',
          name: event.name,
          at,
          characteristics: 4,
          parameters: event.parameters as never,
        }),
      );
    };
    const withdrawn = await correct('scanned', 1);
    await correct('loaded', 2);
    await world.append(sourceFactOf(sourceFacts.heartbeat('s', { at: 5 })));
    const kept = await world.append(factOf({ type: 'unknown here', id: 'u', name: 'old', at: 4 }));
    const all = inMemoryRelay({ name: 'all' });
    const some = inMemoryRelay({ name: 'some', types: [Scanned, 'driven'] });
    const parcels = inMemoryRelay({ name: 'parcels', aggregates: [Parcel], where: ({ eventTime }) => eventTime === 1 });
    const trucks = inMemoryRelay({ name: 'trucks', aggregates: ['truck'] });
    const runners = await Promise.all(
      [all, some, parcels, trucks].map((relay) => world.process(`of ${relay.name}`, relay)),
    );
    const end = await world.layer.ports.eventFeed.end();
    await world.until(
      () => runners.every((runner) => stateOf(runner).position?.covers(end) === true),
      'all have read all',
    );
    expect(all.published.map(({ key }) => key)).toHaveLength(6);
    expect(all.published.at(-1)?.key).toBe(relayKey('spec', kept));
    expect(all.published.filter(({ aggregateType }) => aggregateType === SOURCE_TYPE)).toEqual([]);
    expect(some.published.map(({ key }) => key)).toEqual(keysOf([scanned, driven, withdrawn]));
    expect(parcels.published.map(({ key }) => key)).toEqual(keysOf([scanned, withdrawn]));
    expect(trucks.published.map(({ key }) => key)).toEqual(keysOf([driven]));
    await Promise.all(runners.map((runner) => runner.stop()));
  });

  it('is run by one of two processes, and by the other when that one stops', async () => {
    const world = new World();
    const relay = inMemoryRelay();
    const one = await world.process('one', relay);
    const two = await world.process('two', relay);
    const first = await world.record(3);
    await world.until(() => relay.published.length === 3, 'one publishes');
    expect([stateOf(one).state, stateOf(two).state]).toEqual(['running', 'elsewhere']);
    expect([stateOf(one).lagMs, stateOf(two).lagMs]).toEqual([0, undefined]);
    await one.stop();
    const second = await world.record(3);
    await world.until(() => relay.published.length === 6, 'the other goes on');
    expect(stateOf(two).state).toBe('running');
    expect(relay.published.map(({ key }) => key)).toEqual(keysOf([...first, ...second]));
    await two.stop();
  });

  it('that was paused and replaced saves nothing over its follower, and stops', async () => {
    const world = new World();
    const facts = await world.record(3);
    const relay = inMemoryRelay();
    let release = (): void => undefined;
    const paused = new Promise<void>((resolve) => (release = resolve));
    const old = await world.process(
      'old',
      relay,
      through(async (facts, real) => {
        await real.publish(facts);
        await paused;
      }),
    );
    await world.until(() => relay.published.length === 3, 'the old one published');
    // Another takes the row over, as it does when the beat stands still.
    const { checkpointStore: checkpoints } = world.layer.ports;
    const row = (await checkpoints.readOwner(relayRow('in-memory')))!;
    const taken = await checkpoints.claim(relayRow('in-memory'), 'follower', row);
    await checkpoints.save(relayRow('in-memory'), 'o1:2', { epoch: taken!.epoch });
    release();
    await world.until(() => stateOf(old).state === 'elsewhere', 'the old one gives up');
    expect(await world.checkpoint('in-memory')).toBe('o1:2');
    await checkpoints.release((await checkpoints.readOwner(relayRow('in-memory')))!);
    await world.until(() => relay.published.length === 4, 'it goes on from there');
    expect(relay.published.at(-1)?.key).toBe(relayKey('spec', facts[2]!));
    await old.stop();
  });

  it('refuses at start-up a choice that this context does not have', () => {
    for (const choice of [{ aggregates: ['lorry'] }, { types: ['unloaded'] }, { types: [class Unloaded {}] }]) {
      expect(() => selectionOf(inMemoryRelay(choice), registry)).toThrow('EVENT_WITHOUT_AGGREGATE');
    }
    expect(() => inMemoryRelay({ publishedMax: 0 })).toThrow('INVALID_OPTION');
  });
});
