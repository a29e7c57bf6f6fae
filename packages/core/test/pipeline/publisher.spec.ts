/** Transient subscribers: what they hear, in which order, and that they can harm nobody. */
import { describe, expect, it } from 'vitest';
import type { Fact } from '../../src/model/event.js';
import { Publisher } from '../../src/pipeline/publisher.js';
import { Delivered, gate, Received, receivedEvent, receivedModel, settled, world } from './support.js';

describe('publication to transient subscribers', () => {
  it('hands on recorded and conflicting events in order of arrival, stamped, and no repeats', async () => {
    const { bus } = world();
    const heard: Fact[] = [];
    const unsubscribe = bus.subscribe('all', (fact) => void heard.push(fact));
    await bus.record([
      receivedEvent('p1'),
      receivedEvent('p1'),
      receivedEvent('p1', 1_000, 'Deptford'),
      receivedEvent('p2'),
    ]);
    await bus.publisher.idle();
    expect(heard.map(({ aggregateId, content }) => `${aggregateId} ${content}`)).toEqual([
      'p1 {"depot":"Lewisham"}',
      'p1 {"depot":"Deptford"}',
      'p2 {"depot":"Lewisham"}',
    ]);
    expect(heard.every(({ processingId }) => processingId !== '')).toBe(true);
    unsubscribe();
    await bus.record(receivedEvent('p3'));
    await bus.publisher.idle();
    expect(heard).toHaveLength(3);
  });

  it('gives each subscriber of a type a fresh instance of its class', async () => {
    const { bus } = world();
    const heard: unknown[] = [];
    for (let i = 0; i < 2; i++) {
      bus.subscribe([Received], (_fact, event) => {
        heard.push((event as Received).depot, event instanceof Received);
        (event as { depot: string }).depot = 'spoilt';
      });
    }
    bus.subscribe([Delivered], () => void heard.push('never'));
    await bus.record(receivedEvent('p1'));
    await bus.publisher.idle();
    expect(heard).toEqual(['Lewisham', true, 'Lewisham', true]);
  });

  it('calls a provider’s handler with instance and context', async () => {
    const { bus } = world();
    const heard: unknown[] = [];
    bus.handle(
      receivedModel,
      (event, context) => heard.push([(event as Received).depot, context.aggregateId, context.at]),
      'Notify.received',
    );
    await bus.record(receivedEvent('p1'));
    await bus.publisher.idle();
    expect(heard).toEqual([['Lewisham', 'p1', 1_000]]);
  });

  it('reports the error of one subscriber, again and again, and stops nobody', async () => {
    const { bus, errors } = world();
    const heard: string[] = [];
    bus.subscribe('all', () => {
      throw new Error('sync');
    });
    bus.subscribe('all', () => Promise.reject(new Error('async')));
    bus.subscribe('all', (fact) => void heard.push(fact.aggregateId));
    await bus.record(receivedEvent('p1'));
    await bus.record(receivedEvent('p2'));
    await bus.publisher.idle();
    expect(heard).toEqual(['p1', 'p2']);
    expect(errors.map(({ error }) => (error as Error).message)).toEqual(['sync', 'async', 'sync', 'async']);
  });

  it('waits for each handler before the next event, but record() waits for none', async () => {
    const { bus } = world();
    const hold = gate();
    const heard: string[] = [];
    bus.subscribe('all', async (fact) => {
      heard.push(`${fact.aggregateId} begins`);
      await hold.opened;
      heard.push(`${fact.aggregateId} ends`);
    });
    await bus.record(receivedEvent('p1'));
    await bus.record(receivedEvent('p2'));
    await settled();
    expect(heard).toEqual(['p1 begins']);
    hold.open();
    await bus.drain();
    expect(heard).toEqual(['p1 begins', 'p1 ends', 'p2 begins', 'p2 ends']);
  });

  it('counts what finds the queue full and never blocks record()', async () => {
    const { bus } = world({ publishQueueMax: 3 });
    const hold = gate();
    let heard = 0;
    bus.subscribe('all', async () => {
      await hold.opened;
      heard++;
    });
    const summary = await bus.record(Array.from({ length: 10 }, (_, i) => receivedEvent(`p${i}`)));
    expect(summary.recorded).toBe(10);
    expect(bus.publisher.overflowed).toBe(7);
    hold.open();
    await bus.publisher.idle();
    expect(heard).toBe(3);
  });

  it('goes through more events than one turn takes', async () => {
    const publisher = new Publisher({ onError: () => {} });
    const { bus, store } = world();
    let heard = 0;
    publisher.subscribe(undefined, () => heard++);
    await bus.record(Array.from({ length: 1_000 }, (_, i) => receivedEvent(`p${i}`)));
    for (const fact of store.facts) publisher.publish(fact);
    await publisher.idle();
    expect(heard).toBe(1_000);
  });

  it('keeps up with a sender that only awaits its store and gives nobody a turn', async () => {
    const { bus } = world({ publishQueueMax: 2_000 });
    let heard = 0;
    bus.subscribe('all', () => void heard++);
    for (let i = 0; i < 10_000; i++) await bus.record(receivedEvent(`p${i}`));
    expect(bus.publisher.overflowed).toBe(0);
    expect(heard).toBeGreaterThan(8_000);
    await bus.publisher.idle();
    expect(heard).toBe(10_000);
  });

  it('does not hold up such a sender by an asynchronous handler that never ends', async () => {
    const { bus } = world({ publishQueueMax: 10 });
    bus.subscribe('all', () => new Promise(() => {}));
    for (let i = 0; i < 100; i++) expect((await bus.record(receivedEvent(`p${i}`))).recorded).toBe(1);
    expect(bus.publisher.overflowed).toBeGreaterThan(80);
  });

  it('shows all subscribers the same parameters and lets none of them change these', async () => {
    const { bus, errors } = world();
    const heard: unknown[] = [];
    bus.subscribe('all', (fact) => {
      (fact.parameters as { depot: string }).depot = 'spoilt';
    });
    bus.subscribe('all', (fact) => void heard.push(fact.parameters, fact.content));
    await bus.record(receivedEvent('p1'));
    await bus.publisher.idle();
    expect(errors.map(({ error }) => error)).toEqual([expect.any(TypeError)]);
    expect(heard).toEqual([{ depot: 'Lewisham' }, '{"depot":"Lewisham"}']);
  });

  it('refuses a subscription to a class that no aggregate lists', () => {
    class Stranger {}
    expect(() => world().bus.subscribe([Stranger], () => {})).toThrow(/EVENT_WITHOUT_AGGREGATE/);
  });
});
