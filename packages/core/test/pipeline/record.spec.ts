/** One call of `record()` with an event or an array: outcomes, counts, one append, and what each bad item is told. */
import { createHook } from 'node:async_hooks';
import { describe, expect, it } from 'vitest';
import { UnavailableError } from '../../src/model/errors.js';
import { gate, receivedEvent, rejectionOf, settled, world } from './support.js';

describe('record() of events', () => {
  it('records a new event, finds its repeat, and keeps other content beside it as a conflict', async () => {
    const { bus, store } = world();
    const first = await bus.record(receivedEvent('p1'));
    expect(first).toMatchObject({ received: 1, recorded: 1, rejected: 0, rejections: [] });
    expect(first.items[0]).toMatchObject({ outcome: 'recorded' });
    expect(first.position?.toString()).toBe('o1:1');
    expect(await bus.record(receivedEvent('p1'))).toMatchObject({ received: 1, repeated: 1 });
    expect(await bus.record(receivedEvent('p1', 1_000, 'Deptford'))).toMatchObject({ conflicting: 1 });
    expect(store.facts).toHaveLength(2);
  });

  it('stores an array as one append with one processing time', async () => {
    const { bus, store, clock } = world();
    const summary = await bus.record([receivedEvent('p1'), receivedEvent('p2'), receivedEvent('p1')]);
    expect(summary).toMatchObject({ received: 3, recorded: 2, repeated: 1 });
    expect(store.calls).toHaveLength(1);
    expect(store.calls[0]!.appends).toHaveLength(1);
    expect(store.calls[0]!.appends[0]!.receivedAt).toBe(clock.ms);
  });

  it('lets a bad item neither block nor reorder the good ones, and tells it code, reason and fix', async () => {
    const { bus, store, quarantine } = world();
    const summary = await bus.record([
      receivedEvent('p1'),
      { ...receivedEvent('p2'), at: '2016-03-38T00:00:00Z' },
      receivedEvent('p3'),
      { ...receivedEvent('p4'), parameters: { depot: 7 } },
      { ...receivedEvent('p5'), name: 'lost' },
      { ...receivedEvent('p6'), aggregateType: 'train' },
      receivedEvent('p7'),
    ]);
    expect(summary).toMatchObject({ received: 7, recorded: 3, rejected: 4 });
    expect(summary.rejections.map(({ line, code }) => [line, code])).toEqual([
      [2, 'INVALID_TIME'],
      [4, 'PARAMETER_TYPE'],
      [5, 'UNKNOWN_EVENT_TYPE'],
      [6, 'UNKNOWN_AGGREGATE'],
    ]);
    for (const { reason, fix } of summary.rejections) expect([reason, fix]).not.toContain('');
    expect(summary.items.map(({ outcome }) => outcome)).toEqual([
      'recorded',
      'rejected',
      'recorded',
      'rejected',
      'rejected',
      'rejected',
      'recorded',
    ]);
    expect(store.facts.map(({ aggregateId }) => aggregateId)).toEqual(['p1', 'p3', 'p7']);
    expect(quarantine.puts).toHaveLength(1);
    expect(quarantine.puts[0]!.map(({ line }) => line)).toEqual([2, 4, 5, 6]);
  });

  it('quarantines the JSON text of an object as far as it can be made', async () => {
    const { bus, quarantine } = world();
    const cycle: Record<string, unknown> = {
      big: 2n ** 70n,
      when: new Date(0),
      run: () => 1,
      nothing: undefined,
      depot: Number.NaN,
    };
    cycle['self'] = cycle;
    await bus.record({ ...receivedEvent('p1'), parameters: cycle });
    const text = Buffer.from(quarantine.puts[0]![0]!.bytes).toString('utf8');
    const kept = JSON.parse(text) as { parameters: Record<string, unknown> };
    expect(kept).toMatchObject({
      aggregateType: 'parcel',
      aggregateId: 'p1',
      parameters: { big: '1180591620717411303424', depot: 'NaN' },
    });
    expect(quarantine.puts[0]![0]).toMatchObject({ source: 'record', line: 0 });
  });

  it('answers no event at all with zeros and does not ask the store', async () => {
    const { bus, store } = world();
    expect(await bus.record([])).toMatchObject({ received: 0, recorded: 0, position: undefined, items: [] });
    expect(store.calls).toHaveLength(0);
  });

  it('refuses more events than one append may hold', async () => {
    const { bus } = world();
    const error = await rejectionOf(bus.record(Array.from({ length: 10_001 }, (_, i) => receivedEvent(`p${i}`))));
    expect(error.code).toBe('LIMIT_EXCEEDED');
  });

  it('lists undeclared keys in the outcome and keeps them in the stored content', async () => {
    const { bus, store } = world();
    const { items } = await bus.record({ ...receivedEvent('p1'), parameters: { depot: 'x', colour: 'red' } });
    expect(items[0]).toMatchObject({ outcome: 'recorded', undeclared: ['colour'] });
    expect(store.facts[0]!.content).toBe('{"colour":"red","depot":"x"}');
  });

  it('accepts an older version that upcasters read, stores it as it came, and refuses a version nobody knows', async () => {
    const { bus, store } = world();
    await bus.record({ ...receivedEvent('p1'), version: '0', parameters: { depotId: 'x' } });
    expect(store.facts[0]).toMatchObject({ version: '0', content: '{"depotId":"x"}' });
    const { rejections } = await bus.record({ ...receivedEvent('p1'), version: '9' });
    expect(rejections[0]!.code).toBe('UNKNOWN_EVENT_TYPE');
  });

  it('is not touched by what the caller does to its objects afterwards', async () => {
    const { bus, store } = world();
    const metadata = { who: 'a' };
    const input = { ...receivedEvent('p1'), metadata };
    await bus.record(input);
    metadata.who = 'b';
    (input.parameters as { depot: string }).depot = 'other';
    expect(store.facts[0]!.metadata).toEqual({ who: 'a' });
    expect(store.facts[0]!.content).toBe('{"depot":"Lewisham"}');
  });

  it('rejects what is no event at all without throwing', async () => {
    const { bus } = world();
    const trap = new Proxy(
      {},
      {
        get: () => {
          throw new Error('trap');
        },
      },
    );
    const hostile = [
      null,
      7,
      'text',
      [],
      {},
      trap,
      { ...receivedEvent('p'), parameters: [] },
      { ...receivedEvent('p'), aggregateId: 7 },
    ];
    const summary = await bus.record(hostile as never);
    expect(summary).toMatchObject({ received: 8, rejected: 8 });
    expect(new Set(summary.rejections.map(({ code }) => code))).toEqual(new Set(['INVALID_EVENT', 'PARAMETER_TYPE']));
  });

  it('rejects the call, with nothing acknowledged, when the store fails', async () => {
    const { bus, store } = world();
    store.failures.push(new UnavailableError('STORE_FULL', 'The store is full.'));
    expect((await rejectionOf(bus.record(receivedEvent('p1')))).code).toBe('STORE_FULL');
    expect(await bus.record(receivedEvent('p1'))).toMatchObject({ recorded: 1 });
  });

  it('rejects the call when the quarantine cannot keep a bad item: the good ones are then repeats', async () => {
    const { bus, quarantine } = world();
    const inputs = [receivedEvent('p1'), { ...receivedEvent('p2'), name: 'lost' }];
    quarantine.failure = new UnavailableError('STORE_UNREACHABLE', 'Gone.');
    expect((await rejectionOf(bus.record(inputs))).code).toBe('STORE_UNREACHABLE');
    quarantine.failure = undefined;
    expect(await bus.record(inputs)).toMatchObject({ repeated: 1, rejected: 1 });
  });

  it('makes exactly one of concurrent identical calls the recorder', async () => {
    const { bus } = world();
    const summaries = await Promise.all(Array.from({ length: 50 }, () => bus.record(receivedEvent('p1'))));
    expect(summaries.reduce((sum, { recorded }) => sum + recorded, 0)).toBe(1);
    expect(summaries.reduce((sum, { repeated }) => sum + repeated, 0)).toBe(49);
  });

  it('makes as many promises for a batch of 100 as for a batch of 1', async () => {
    const { bus } = world();
    const promisesOf = async (count: number, from: number): Promise<number> => {
      const inputs = Array.from({ length: count }, (_, i) => receivedEvent(`p${from + i}`));
      let promises = 0;
      const hook = createHook({
        init: (_id, type) => {
          if (type === 'PROMISE') promises++;
        },
      }).enable();
      await bus.record(inputs);
      hook.disable();
      return promises;
    };
    await promisesOf(1, 0);
    const one = await promisesOf(1, 1_000);
    const hundred = await promisesOf(100, 2_000);
    expect(hundred).toBe(one);
    expect(one).toBeLessThanOrEqual(15);
  });
});

describe('the bounds of what is under way', () => {
  it('admits waiting calls in order, and refuses a call when too many wait', async () => {
    const { bus, store } = world({ itemsInFlightMax: 1, callsWaitingMax: 1 });
    const hold = gate();
    store.held = hold.opened;
    const first = bus.record(receivedEvent('p1'));
    const second = bus.record(receivedEvent('p2'));
    const third = rejectionOf(bus.record(receivedEvent('p3')));
    expect((await third).code).toBe('OVERLOADED');
    expect(store.calls).toHaveLength(1);
    hold.open();
    await Promise.all([first, second]);
    expect(store.facts.map(({ aggregateId }) => aggregateId)).toEqual(['p1', 'p2']);
    expect(await bus.record(receivedEvent('p3'))).toMatchObject({ recorded: 1 });
  });

  it('slows a source over its quota, and no other', async () => {
    const { bus, quarantine, clock } = world();
    quarantine.over.add('noisy');
    const bad = { ...receivedEvent('p1'), name: 'lost' };
    await bus.record(bad, { source: 'noisy' });
    await bus.record(bad, { source: 'quiet' });
    expect(clock.slept).toEqual([]);
    await bus.record(bad, { source: 'noisy' });
    expect(clock.slept).toEqual([50]);
    await bus.record(bad, { source: 'noisy' });
    expect(clock.slept).toEqual([50, 100]);
    await bus.record(receivedEvent('p1'), { source: 'noisy' });
    await bus.record(receivedEvent('p2'), { source: 'noisy' });
    expect(clock.slept).toEqual([50, 100, 200]);
  });
});

describe('drain()', () => {
  it('refuses new work and waits for what is under way', async () => {
    const { bus, store } = world();
    const hold = gate();
    store.held = hold.opened;
    const running = bus.record(receivedEvent('p1'));
    let drained = false;
    const draining = bus.drain().then(() => (drained = true));
    expect((await rejectionOf(bus.record(receivedEvent('p2')))).code).toBe('SHUTTING_DOWN');
    await settled();
    expect(drained).toBe(false);
    hold.open();
    expect(await running).toMatchObject({ recorded: 1 });
    await draining;
    await bus.drain();
  });
});
