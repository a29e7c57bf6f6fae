/** The road on the in-memory providers: buffer, cache and store together, and concurrent duplicates. */
import { describe, expect, it } from 'vitest';
import { inMemory, inMemoryCache, inMemoryTransport } from '../../src/memory/in-memory.provider.js';
import { Deduplicator } from '../../src/pipeline/deduplicator.js';
import { EventBus } from '../../src/pipeline/event-bus.js';
import type { EventBusOptions } from '../../src/pipeline/event-bus.js';
import { StreamBatch } from '../../src/pipeline/record.js';
import type { PersistentPorts } from '../../src/ports/layer.js';
import { HandClock, receivedEvent, registry, settled, streamOf } from './support.js';

const logger = { log() {}, warn() {}, error() {} };

interface Road {
  readonly bus: EventBus;
  readonly ports: PersistentPorts;
  readonly clock: HandClock;
  readonly errors: unknown[];
  facts(
    id: string,
  ): Promise<readonly { readonly content: string; readonly repeats: number; readonly metadata: unknown }[]>;
}

async function road(options: Partial<EventBusOptions> = {}): Promise<Road> {
  const clock = new HandClock();
  const layer = await inMemory().create({ context: '', clock, logger });
  await layer.connect();
  const { ports } = layer;
  const errors: unknown[] = [];
  const bus = new EventBus({
    registry,
    store: ports.eventStore,
    quarantine: ports.quarantine,
    clock,
    onError: (error) => errors.push(error),
    ...options,
  });
  const facts: Road['facts'] = async (id) =>
    (await ports.eventStore.readMany([{ tenant: '', type: 'parcel', id }], { withRepeats: true }))[0]!;
  return { bus, ports, clock, errors, facts };
}

describe('the road in memory', () => {
  it('records each of many concurrent duplicates once, over calls and streams', async () => {
    const { bus, facts } = await road();
    const events = Array.from({ length: 100 }, (_, i) => receivedEvent('p1', i));
    const summaries = await Promise.all([
      ...Array.from({ length: 5 }, () => bus.record(events)),
      ...Array.from({ length: 5 }, () => bus.record(streamOf(new StreamBatch(events)), { batchSizeMax: 7 })),
    ]);
    const sum = (key: 'recorded' | 'repeated' | 'received'): number =>
      summaries.reduce((total, one) => total + one[key], 0);
    expect([sum('received'), sum('recorded'), sum('repeated')]).toEqual([1_000, 100, 900]);
    expect((await facts('p1')).every(({ repeats }) => repeats === 9)).toBe(true);
  });

  it('keeps identical bad bytes once with a count', async () => {
    const { bus, ports } = await road();
    const bad = (line: number) => ({ bytes: Buffer.from('{"cut'), line, source: 'reports' });
    await bus.record(streamOf(bad(1), bad(2)));
    await bus.record(streamOf(bad(9)));
    expect(await ports.quarantine.list(undefined, 10)).toMatchObject([{ count: 3, line: 1, code: 'INVALID_JSON' }]);
  });
});

describe('with a durable buffer', () => {
  async function buffered(): Promise<Road> {
    const clock = new HandClock();
    const layer = await inMemoryTransport().create({ context: '', clock, logger });
    await layer.connect();
    return road({ transport: layer.ports.eventTransport });
  }

  it('answers buffered, and stores from the buffer with content and metadata as they came', async () => {
    const { bus, facts } = await buffered();
    const heard: string[] = [];
    bus.subscribe('all', (fact) => void heard.push(fact.aggregateId));
    const input = {
      ...receivedEvent('p1'),
      parameters: { depot: 'ü 😀', extra: [1, { a: null }] },
      metadata: { who: 'me' },
      streamId: 's',
      sequence: 3,
      tenant: 't',
    };
    const { bus: direct, facts: stored } = await road();
    await direct.record({ ...input, tenant: '' });
    expect(
      await bus.record([
        { ...input, tenant: '' },
        { ...input, name: 'lost' },
      ]),
    ).toMatchObject({ received: 2, buffered: 1, rejected: 1, recorded: 0 });
    expect(await facts('p1')).toHaveLength(0);
    await bus.startBuffer();
    await settled();
    const [fact] = await facts('p1');
    const [expected] = await stored('p1');
    expect(fact).toMatchObject({
      content: expected!.content,
      digest: (expected as never as { digest: string }).digest,
      streamId: 's',
      sequence: 3,
      metadata: { who: 'me' },
    } as never);
    await bus.drain();
    expect(heard).toEqual(['p1']);
  });

  it('takes an item again when the store fails, and acknowledges only what is stored', async () => {
    const { bus, ports, facts, clock } = await buffered();
    const append = ports.eventStore.append.bind(ports.eventStore);
    let failures = 3;
    ports.eventStore.append = (appends, options) =>
      failures-- > 0 ? Promise.reject(new Error('not now')) : append(appends, options);
    await bus.record(receivedEvent('p1'));
    expect(await bus.bufferState()).toEqual({ lagEvents: 1, problem: undefined });
    await bus.startBuffer();
    for (let i = 0; i < 50 && failures >= 0; i++) await settled();
    expect(await facts('p1')).toHaveLength(1);
    expect(await bus.bufferState()).toEqual({ lagEvents: 0, problem: undefined });
    expect(clock.now()).toBeGreaterThan(0);
    await bus.drain();
  });

  it('empties the buffer into the store before it stops, when asked to', async () => {
    const clock = new HandClock();
    const layer = await inMemoryTransport().create({ context: '', clock, logger });
    await layer.connect();
    const { bus, facts } = await road({ transport: layer.ports.eventTransport });
    await bus.startBuffer();
    await bus.record(Array.from({ length: 1_000 }, (_, i) => receivedEvent('p1', i)));
    await Promise.all([bus.drain(() => layer.drain?.()), bus.drain()]);
    expect(await facts('p1')).toHaveLength(1_000);
  });

  it('takes a load with a checkpoint straight to the store', async () => {
    const { bus, ports, facts } = await buffered();
    const owner = await ports.checkpointStore.claim('load', 'me', undefined);
    const summary = await bus.record(streamOf(receivedEvent('p1')), {
      checkpoint: { name: 'load', epoch: owner!.epoch, valueOf: (line) => String(line) },
    });
    expect(summary).toMatchObject({ recorded: 1, buffered: 0 });
    expect(await facts('p1')).toHaveLength(1);
    expect(await ports.checkpointStore.read('load')).toBe('1');
  });
});

describe('with a transient cache', () => {
  async function cached(): Promise<Road & { readonly deduplicator: Deduplicator; break(): void; appends: number[] }> {
    const clock = new HandClock();
    const persistent = await inMemory().create({ context: '', clock, logger });
    const transient = await inMemoryCache({ entriesMax: 1_000 }).create({ context: '', clock, logger });
    await persistent.connect();
    await transient.connect();
    const { ports } = persistent;
    const errors: unknown[] = [];
    const appends: number[] = [];
    const append = ports.eventStore.append.bind(ports.eventStore);
    ports.eventStore.append = (all, options) => {
      appends.push(all.reduce((sum, one) => sum + one.facts.length, 0));
      return append(all, options);
    };
    const deduplicator = new Deduplicator({
      cache: transient.ports.transientCache,
      store: ports.eventStore,
      clock,
      context: '',
      parsePosition: (text) => ports.eventFeed.parsePosition(text),
      onError: (error) => errors.push(error),
    });
    await deduplicator.open(ports.checkpointStore);
    const made = await road({ store: ports.eventStore, quarantine: ports.quarantine, clock, deduplicator });
    const facts: Road['facts'] = async (id) =>
      (await ports.eventStore.readMany([{ tenant: '', type: 'parcel', id }], { withRepeats: true }))[0]!;
    return { ...made, facts, errors, deduplicator, appends, break: () => void transient.close() };
  }

  it('answers a known repeat before the store has it, with a position that covers it, and counts it behind the answer', async () => {
    const { bus, facts, deduplicator } = await cached();
    const first = await bus.record(receivedEvent('p1'));
    await settled();
    const again = await bus.record([receivedEvent('p1'), receivedEvent('p2'), receivedEvent('p1', 1_000, 'Deptford')]);
    expect(again.items.map(({ outcome }) => outcome)).toEqual(['repeated', 'recorded', 'conflicting']);
    expect(again.position!.covers(first.position!)).toBe(true);
    expect(deduplicator.hits).toBe(1);
    const only = await bus.record(receivedEvent('p1'));
    expect(only).toMatchObject({ repeated: 1 });
    expect(only.position!.covers(first.position!)).toBe(true);
    await bus.drain();
    expect((await facts('p1')).map(({ content, repeats }) => [content, repeats])).toContainEqual([
      '{"depot":"Lewisham"}',
      2,
    ]);
  });

  it('works on without the cache when that fails, and says so once', async () => {
    const road = await cached();
    await road.bus.record(receivedEvent('p1'));
    road.break();
    expect(await road.bus.record(receivedEvent('p1'))).toMatchObject({ repeated: 1 });
    expect(await road.bus.record(receivedEvent('p2'))).toMatchObject({ recorded: 1 });
    await settled();
    expect(road.errors).toHaveLength(1);
  });
});
