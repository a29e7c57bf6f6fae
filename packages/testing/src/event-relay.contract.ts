/** The law of EventRelay: held when it says so, as wire JSON, in order per aggregate, with a key by which repeats are dropped. */
import assert from 'node:assert/strict';
import { relayKey, toEventJson, type Fact, type PublishedEvent } from '@concursus/core';
import { refused, type Contract, type Opened } from './contract.js';
import { factOf, type FactSketch } from './event-arbitraries.js';

type World = Opened<'publish'>;

const parcel = (sketch: FactSketch): Fact => factOf({ type: 'parcel', ...sketch });
const ofAggregate = (received: readonly PublishedEvent[], type: string, id: string, tenant = ''): string[] =>
  received
    .filter((one) => one.aggregateType === type && one.aggregateId === id && one.tenant === tenant)
    .map(({ json }) => json);

async function publish({ ports }: World, ...pages: readonly (readonly Fact[])[]): Promise<readonly PublishedEvent[]> {
  for (const page of pages) await ports.eventRelay.publish(page);
  return ports.received();
}

/** Facts that other systems tend to trip over: ids, texts and times at their bounds. */
const odd: readonly Fact[] = [
  parcel({
    id: 'a:b/\u{1f600} "c"',
    name: 'scanned',
    stream: 'scanner \u00fc',
    sequence: 0,
    parameters: { é: ['\u2028', null, 0.5] },
  }),
  parcel({ id: 'x'.repeat(512), name: 'n'.repeat(128), version: '7', at: 0 }),
  parcel({ id: 'old', at: -62_135_596_800_000, parameters: {} }),
  parcel({ id: 'old', at: -1 }),
  parcel({ id: 'future', at: 253_402_300_799_999 }),
  parcel({ id: 'tenants', tenant: 'acme', metadata: { channel: 'c', traceparent: '00-1-2-01' } }),
  parcel({ id: 'tenants', tenant: 'other' }),
  factOf({ type: 'truck', id: 'a:b/\u{1f600} "c"' }),
];

/** What every EventRelay promises. */
export const eventRelayContract: Contract<'publish'> = {
  name: 'EventRelay',
  cases: [
    {
      name: 'holds every event as wire JSON, with its aggregate and key, when publish resolves',
      async run(opened) {
        const received = await publish(opened, odd);
        const shown = (one: PublishedEvent): string =>
          [one.context, one.tenant, one.aggregateType, one.aggregateId, one.key, one.json].join(' ');
        const expected = odd.map((fact) =>
          shown({
            context: 'contract',
            tenant: fact.tenant,
            aggregateType: fact.aggregateType,
            aggregateId: fact.aggregateId,
            key: relayKey('contract', fact),
            json: toEventJson(fact),
          }),
        );
        assert.deepEqual(received.map(shown).sort(), expected.sort());
      },
    },
    {
      name: 'keeps the events of each aggregate in the order given, over many calls',
      async run(opened) {
        const pages = Array.from({ length: 10 }, (_, page) =>
          Array.from({ length: 70 }, (_, n) =>
            factOf({
              type: n % 2 === 0 ? 'parcel' : 'truck',
              id: `${n % 7}`,
              at: 1_000 - page,
              sequence: page * 70 + n,
            }),
          ),
        );
        const received = await publish(opened, ...pages);
        for (const type of ['parcel', 'truck']) {
          for (let id = 0; id < 7; id++) {
            const given = pages.flat().filter((fact) => fact.aggregateType === type && fact.aggregateId === `${id}`);
            assert.deepEqual(ofAggregate(received, type, `${id}`), given.map(toEventJson));
          }
        }
      },
    },
    {
      name: 'gives an event that comes again the same key, and another content or identity another one',
      async run(opened) {
        const one = { id: 'a', at: 5, parameters: { to: 'x' } };
        const others: FactSketch[] = [
          { ...one, parameters: { to: 'y' } },
          { ...one, version: '1' },
          { ...one, at: 6 },
          { ...one, stream: 's' },
          { ...one, sequence: 3 },
          { ...one, name: 'other' },
          { ...one, tenant: 't' },
          { ...one, type: 'truck' },
        ];
        const received = await publish(opened, [parcel(one), parcel(one)], [parcel(one)], others.map(parcel));
        assert.equal(received.length, 3 + others.length);
        const counts = new Map<string, number>();
        for (const { key } of received) counts.set(key, (counts.get(key) ?? 0) + 1);
        assert.deepEqual(
          [...counts.values()].sort((a, b) => a - b),
          [...others.map(() => 1), 3],
        );
        assert.equal(counts.get(relayKey('contract', parcel(one))), 3);
      },
    },
    {
      name: 'takes pages as large as a feed gives them',
      async run(opened) {
        const many = Array.from({ length: 10_000 }, (_, n) => parcel({ id: `${n % 3}`, sequence: n }));
        const large = [1, 2, 3].map((n) =>
          parcel({ id: 'large', sequence: n, parameters: { text: 'x'.repeat(1_048_000) } }),
        );
        const received = await publish(opened, many, large);
        assert.equal(received.length, many.length + large.length);
        assert.deepEqual(
          ofAggregate(received, 'parcel', '1'),
          many.filter(({ aggregateId }) => aggregateId === '1').map(toEventJson),
        );
        assert.deepEqual(ofAggregate(received, 'parcel', 'large'), large.map(toEventJson));
      },
    },
    {
      name: 'may be connected again at any time',
      async run(opened) {
        const { eventRelay } = opened.ports;
        await eventRelay.publish([parcel({ sequence: 1 })]);
        await Promise.all([eventRelay.connect(), eventRelay.connect()]);
        await eventRelay.publish([parcel({ sequence: 2 })]);
        await eventRelay.publish([]);
        assert.equal((await opened.ports.received()).length, 2);
      },
    },
    {
      name: 'refuses every call after close',
      async run(opened) {
        const { eventRelay } = opened.ports;
        await eventRelay.publish([parcel({ sequence: 1 })]);
        await eventRelay.close();
        await eventRelay.close();
        await refused('STORE_CLOSED', () => eventRelay.publish([parcel({ sequence: 2 })]));
        await refused('STORE_CLOSED', () => eventRelay.connect());
        assert.equal((await opened.ports.received()).length, 1);
      },
    },
  ],
};
