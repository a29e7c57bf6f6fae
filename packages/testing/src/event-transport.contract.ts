/** The law of EventTransport: in order per key, at least once, acknowledged after handling, bounded, with a clean end. */
import assert from 'node:assert/strict';
import type { TransportItem } from '@concursus/core';
import { eventually, refused, whileTimePasses, type Contract, type Opened } from './contract.js';

type World = Opened<'durable'>;

const item = (key: string, n: number): TransportItem => ({
  key,
  bytes: new TextEncoder().encode(`${key}${n}`),
  acceptedAt: 1_000 + n,
});
const textOf = (each: TransportItem): string => new TextDecoder().decode(each.bytes);

/** Subscribes and keeps what is handled. `handle` may reject first. */
async function collect(
  { ports, clock }: World,
  group: string,
  options: { batchSizeMax?: number; before?(texts: readonly string[]): Promise<void> | void } = {},
): Promise<{ readonly handled: string[]; readonly batches: number[]; close(): Promise<void> }> {
  const handled: string[] = [];
  const batches: number[] = [];
  const subscribing = ports.eventTransport.subscribe(
    group,
    async (items) => {
      const texts = items.map(textOf);
      await options.before?.(texts);
      handled.push(...texts);
      batches.push(texts.length);
    },
    options.batchSizeMax === undefined ? {} : { batchSizeMax: options.batchSizeMax },
  );
  const subscription = await whileTimePasses(subscribing, clock);
  return { handled, batches, close: () => subscription.close() };
}

const numbered = (key: string, count: number): string[] => Array.from({ length: count }, (_, n) => `${key}${n}`);
const ofKey = (handled: readonly string[], key: string): string[] => handled.filter((text) => text.startsWith(key));
const caughtUp = ({ ports, clock }: World, group: string): Promise<void> =>
  eventually(async () => (await ports.eventTransport.lag(group)) === 0, clock, `group ${group} caught up`);

/** What every EventTransport promises below its bound. */
export const eventTransportContract: Contract<'durable'> = {
  name: 'EventTransport',
  cases: [
    {
      name: 'hands on every item as it was published',
      async run(opened) {
        const { eventTransport } = opened.ports;
        const seen: TransportItem[] = [];
        const subscription = await eventTransport.subscribe('g', async (items) => void seen.push(...items));
        const given: TransportItem = {
          key: '\u0000parcel\u0000a:b/\u{1f600}'.slice(1),
          bytes: new Uint8Array([0, 255, 10, 195]),
          acceptedAt: 12_345,
        };
        await eventTransport.publish([given, { key: 'k', bytes: new Uint8Array(0), acceptedAt: 0 }]);
        await caughtUp(opened, 'g');
        // Order is promised within a key only.
        seen.sort((a, b) => a.acceptedAt - b.acceptedAt);
        assert.deepEqual(
          seen.map(({ key, bytes, acceptedAt }) => [key, [...bytes], acceptedAt]),
          [
            ['k', [], 0],
            [given.key, [0, 255, 10, 195], 12_345],
          ],
        );
        await subscription.close();
      },
    },
    {
      name: 'holds what is published before anybody subscribes',
      async run(opened) {
        const { eventTransport } = opened.ports;
        await eventTransport.publish([item('a', 0), item('a', 1)]);
        assert.equal(await eventTransport.lag('g'), 2);
        const group = await collect(opened, 'g');
        await caughtUp(opened, 'g');
        assert.deepEqual(group.handled, ['a0', 'a1']);
        await group.close();
      },
    },
    {
      name: 'keeps items of one key in order, one batch at a time, within the batch size',
      async run(opened) {
        const { eventTransport } = opened.ports;
        let running = 0;
        const group = await collect(opened, 'g', {
          batchSizeMax: 7,
          before: async () => {
            running += 1;
            assert.equal(running, 1, 'one batch at a time');
            await opened.clock.sleep(3);
            running -= 1;
          },
        });
        for (let n = 0; n < 50; n++) await eventTransport.publish(['a', 'b', 'c'].map((key) => item(key, n)));
        await caughtUp(opened, 'g');
        for (const key of ['a', 'b', 'c']) assert.deepEqual(ofKey(group.handled, key), numbered(key, 50));
        assert.ok(group.batches.every((size) => size >= 1 && size <= 7));
        await group.close();
      },
    },
    {
      name: 'hands a batch out again, in order, until its handler does not reject',
      async run(opened) {
        const { eventTransport } = opened.ports;
        let failures = 0;
        const tried: string[] = [];
        const group = await collect(opened, 'g', {
          batchSizeMax: 2,
          before: (texts) => {
            tried.push(texts.join());
            if (texts.includes('a2') && failures < 3) {
              failures += 1;
              throw new Error('not now');
            }
          },
        });
        await eventTransport.publish(Array.from({ length: 6 }, (_, n) => item('a', n)));
        await caughtUp(opened, 'g');
        assert.equal(failures, 3);
        assert.deepEqual(group.handled, numbered('a', 6));
        assert.equal(tried.filter((texts) => texts.includes('a2')).length, 4);
        await group.close();
      },
    },
    {
      name: 'does not acknowledge before the handler is done',
      async run(opened) {
        const { eventTransport } = opened.ports;
        let lagInside = -1;
        const group = await collect(opened, 'g', {
          before: async () => void (lagInside = await eventTransport.lag('g')),
        });
        await eventTransport.publish([item('a', 0)]);
        await caughtUp(opened, 'g');
        assert.equal(lagInside, 1);
        await group.close();
      },
    },
    {
      name: 'gives every group everything, at its own pace',
      async run(opened) {
        const { eventTransport } = opened.ports;
        const one = await collect(opened, 'one');
        const two = await collect(opened, 'two');
        await eventTransport.publish(Array.from({ length: 10 }, (_, n) => item('a', n)));
        await caughtUp(opened, 'one');
        await two.close();
        await eventTransport.publish([item('a', 10)]);
        await caughtUp(opened, 'one');
        const again = await collect(opened, 'two');
        await caughtUp(opened, 'two');
        assert.deepEqual(one.handled, numbered('a', 11));
        assert.deepEqual([...two.handled, ...again.handled], numbered('a', 11));
        await Promise.all([one.close(), again.close()]);
      },
    },
    {
      name: 'shares the work of one group among its subscribers, each key still in order',
      async run(opened) {
        const { eventTransport } = opened.ports;
        const all: string[] = [];
        const before = (texts: readonly string[]): void => void all.push(...texts);
        const one = await collect(opened, 'g', { batchSizeMax: 3, before });
        const two = await collect(opened, 'g', { batchSizeMax: 3, before });
        for (let n = 0; n < 20; n++) await eventTransport.publish([item('a', n), item('b', n)]);
        await caughtUp(opened, 'g');
        assert.equal(all.length, 40, 'nothing is handled twice without need');
        assert.deepEqual(ofKey(all, 'a'), numbered('a', 20));
        assert.deepEqual(ofKey(all, 'b'), numbered('b', 20));
        await one.close();
        await eventTransport.publish([item('a', 20)]);
        await caughtUp(opened, 'g');
        assert.equal(all.at(-1), 'a20', 'who stays goes on alone');
        await two.close();
      },
    },
    {
      name: 'closes a subscription after the batch in hand, and hands out no more',
      async run(opened) {
        const { eventTransport } = opened.ports;
        let started = 0;
        let finish = (): void => undefined;
        const hold = new Promise<void>((resolve) => (finish = resolve));
        const group = await collect(opened, 'g', {
          batchSizeMax: 1,
          before: () => {
            started += 1;
            return hold;
          },
        });
        await eventTransport.publish([item('a', 0), item('a', 1)]);
        await eventually(() => started === 1, opened.clock, 'the first batch is in hand');
        let closed = false;
        const closing = group.close().then(() => (closed = true));
        await opened.clock.advance(100);
        const early = closed;
        finish();
        assert.equal(early, false, 'close waits for the batch in hand');
        await closing;
        await opened.clock.advance(1_000);
        assert.equal(started, 1);
        assert.deepEqual(group.handled, ['a0']);
        assert.equal(await eventTransport.lag('g'), 1);
      },
    },
    {
      name: 'keeps what it holds when a caller changes what it gave',
      async run(opened) {
        const { eventTransport } = opened.ports;
        const given = item('a', 0);
        await eventTransport.publish([given]);
        given.bytes.fill(0);
        const group = await collect(opened, 'g');
        await caughtUp(opened, 'g');
        assert.deepEqual(group.handled, ['a0']);
        await group.close();
      },
    },
    {
      name: 'refuses every call after close',
      async run(opened) {
        const { eventTransport } = opened.ports;
        await eventTransport.publish([item('a', 0)]);
        await opened.close();
        await refused('STORE_CLOSED', () => eventTransport.publish([item('a', 1)]));
        await refused('STORE_CLOSED', () => eventTransport.subscribe('g', async () => undefined));
        await refused('STORE_CLOSED', () => eventTransport.lag('g'));
      },
    },
    {
      name: 'holds over a restart what was accepted and not acknowledged',
      needs: 'survivesRestart',
      async run(opened) {
        const first = await collect(opened, 'g', { batchSizeMax: 2 });
        await opened.ports.eventTransport.publish([item('a', 0), item('a', 1)]);
        await caughtUp(opened, 'g');
        await first.close();
        await opened.ports.eventTransport.publish([item('a', 2), item('a', 3)]);
        const again = await opened.reopen!();
        assert.equal(await again.ports.eventTransport.lag('g'), 2);
        const second = await collect(again, 'g');
        await caughtUp(again, 'g');
        assert.deepEqual(second.handled, ['a2', 'a3']);
        await second.close();
      },
    },
  ],
};

/** The bound that the subjects of `transportBoundContract` must be opened with. */
export const smallItemsMax = 10;

/** Needs a provider opened with `smallItemsMax`. */
export const transportBoundContract: Contract<'durable'> = {
  name: 'EventTransport with a bound',
  cases: [
    {
      name: 'refuses what does not fit, all of the call, and takes it again when there is room',
      async run(opened) {
        const { eventTransport } = opened.ports;
        await eventTransport.publish(Array.from({ length: 8 }, (_, n) => item('a', n)));
        const more = [item('a', 8), item('a', 9), item('a', 10)];
        await refused('OVERLOADED', () => eventTransport.publish(more));
        assert.equal(await eventTransport.lag('g'), 8, 'none of a refused call is held');
        const group = await collect(opened, 'g', { batchSizeMax: 4 });
        await caughtUp(opened, 'g');
        await eventTransport.publish(more);
        await caughtUp(opened, 'g');
        assert.deepEqual(group.handled, numbered('a', 11));
        await group.close();
      },
    },
  ],
};
