/** Goal: what only this store promises: group commit by count, refusals before the transaction, environments that open again. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { limits } from '@concursus/core';
import type { Fact } from '@concursus/core';
import { open } from 'lmdb';
import { afterAll, describe, expect, it } from 'vitest';
import { Environment } from '../src/environment.js';
import { lmdb, lmdbTransport, type LmdbEventStore } from '../src/index.js';
import { appendOf, cleanUp, contextOf, fact, openLayer, scratchFolder } from './support.js';

afterAll(cleanUp);

const lamp = { tenant: '', type: 'lamp', id: '1' };

async function all(pages: AsyncIterable<readonly Fact[]>): Promise<Fact[]> {
  const facts: Fact[] = [];
  for await (const page of pages) facts.push(...page);
  return facts;
}

describe('group commit', () => {
  it('stores a batch of 100 in one transaction', async () => {
    const layer = await openLayer(scratchFolder());
    const store = layer.ports.eventStore as LmdbEventStore;
    const before = store.stats;
    await store.append([appendOf(Array.from({ length: 100 }, (_, at) => fact({ at })))]);
    expect(store.stats.transactions - before.transactions).toBe(1);
    expect(store.stats.flushes - before.flushes).toBe(1);
    await layer.close();
  });

  it('stores 100 concurrent appends in few transactions, each with its own processing time', async () => {
    const layer = await openLayer(scratchFolder());
    const store = layer.ports.eventStore as LmdbEventStore;
    const before = store.stats;
    const facts = Array.from({ length: 100 }, (_, at) => fact({ at }));
    await Promise.all(facts.map((each) => store.append([appendOf([each])])));
    expect(store.stats.transactions - before.transactions).toBeLessThanOrEqual(2);
    expect(new Set(facts.map((each) => each.processingId.slice(0, 18))).size).toBe(100);
    await layer.close();
  });

  it('bounds a group, and keeps the order of appends over groups', async () => {
    const layer = await openLayer(scratchFolder());
    const store = layer.ports.eventStore as LmdbEventStore;
    const before = store.stats;
    const facts = Array.from({ length: 6_000 }, (_, at) => fact({ at }));
    const calls = [];
    for (let i = 0; i < facts.length; i += 100) calls.push(store.append([appendOf(facts.slice(i, i + 100))]));
    await Promise.all(calls);
    expect(store.stats.transactions - before.transactions).toBe(3);
    const page = await layer.ports.eventFeed.read(layer.ports.eventFeed.start(), 10_000);
    expect(page.facts.map((each) => each.eventTime)).toEqual(facts.map((each) => each.eventTime));
    await layer.close();
  });

  it('keeps rejected input and the events sent in the same turn in one transaction', async () => {
    const layer = await openLayer(scratchFolder());
    const store = layer.ports.eventStore as LmdbEventStore;
    const before = store.stats;
    const rejected = {
      source: 'reports',
      bytes: Buffer.from('bad'),
      sizeBytes: 3,
      digest: 'ab'.repeat(32),
      line: 2,
      code: 'INVALID_JSON' as const,
      reason: 'No JSON.',
      at: 1,
    };
    await Promise.all([layer.ports.quarantine.put([rejected]), store.append([appendOf([fact({ at: 1 })])])]);
    expect(store.stats.transactions - before.transactions).toBe(1);
    expect(store.stats.flushes - before.flushes).toBe(1);
    await layer.close();
  });

  it('refuses one call of a group and stores the others', async () => {
    const layer = await openLayer(scratchFolder());
    const store = layer.ports.eventStore;
    const [good, bad, better] = [fact({ at: 1 }), fact({ at: 2 }), fact({ at: 3 })];
    const results = await Promise.allSettled([
      store.append([appendOf([good])]),
      store.append([appendOf([bad])], { checkpoint: { name: 'c', value: 'v', epoch: 7 } }),
      store.append([appendOf([better])]),
    ]);
    expect(results.map((each) => each.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(results[1]).toMatchObject({ reason: { code: 'LEASE_LOST' } });
    expect(bad.processingId).toBe('');
    expect((await all(store.read(lamp))).map((each) => each.eventTime)).toEqual([1, 3]);
    await layer.close();
  });

  it('stores nothing of a group that failed, leaves its facts unstamped, and stores them when tried again', async () => {
    const path = scratchFolder();
    const layer = await openLayer(path);
    const store = layer.ports.eventStore;
    const environment = Environment.acquire(path, undefined);
    const doomed = fact({ at: 1 });
    const [first] = await Promise.allSettled([
      store.append([appendOf([doomed])]),
      environment.queue.run(
        () => {
          throw new Error('planted');
        },
        { durable: true },
      ),
    ]);
    expect(first).toMatchObject({ status: 'rejected', reason: { code: 'STORE_UNREACHABLE', retryable: true } });
    expect(doomed.processingId).toBe('');
    expect(await all(store.read(lamp))).toEqual([]);
    expect((await layer.ports.eventFeed.end()).toString()).toBe('o1:0');
    const [again] = await store.append([appendOf([doomed])]);
    expect(again!.outcomes).toEqual(['recorded']);
    expect(doomed.processingId).not.toBe('');
    await environment.release();
    await layer.close();
  });
});

describe('histories', () => {
  it('give conflicting contents in digest order, whichever came first, forwards and backwards and over pages', async () => {
    const layer = await openLayer(scratchFolder());
    const store = layer.ports.eventStore;
    const contents = Array.from({ length: 9 }, (_, wattage) => fact({ at: 5, parameters: { wattage } }));
    for (const each of contents) await store.append([appendOf([each, fact({ at: 4 }), fact({ at: 6 })])]);
    const digests = contents.map((each) => each.digest).sort();
    for (const pageSize of [1, 2, 10, 100]) {
      const up = await all(store.read(lamp, { pageSize }));
      expect(up.slice(1, -1).map((each) => each.digest)).toEqual(digests);
      const down = await all(store.read(lamp, { pageSize, descending: true }));
      expect(down.map((each) => each.processingId)).toEqual(up.map((each) => each.processingId).reverse());
    }
    await layer.close();
  });

  it('are listed once an aggregate, in the order of their keys, however many entries of the index hold them', async () => {
    const layer = await openLayer(scratchFolder(), { indexAfter: 8 });
    const store = layer.ports.eventStore;
    // Three long ones, neighbours of one entry, and ids of which one begins with the other.
    const long = ['b', 'bb', 'zz'];
    const short = Array.from({ length: 9 }, (_, i) => `c${i}`);
    for (let at = 0; at < 400; at++) await store.append([appendOf(long.map((id) => fact({ id, at })))]);
    for (const id of short) await store.append([appendOf([fact({ id, at: 1 })])]);
    const ids = [...long, ...short, 'a'].sort();
    // Of these nothing stands in the index yet.
    await store.append([appendOf([fact({ id: 'a', at: 1 }), fact({ id: 'bb', at: 500 })])]);
    for (const limit of [1, 2, 5, 100]) {
      const found: string[] = [];
      for (let page = await store.scanAggregates(undefined, limit); page.length > 0;) {
        expect(page.length).toBeLessThanOrEqual(limit);
        found.push(...page.map(({ id }) => id));
        page = await store.scanAggregates(page.at(-1), limit);
      }
      expect(found).toEqual(ids);
    }
    await layer.close();
  });

  it('are there at once when they fit into a page, and are not when they do not', async () => {
    const layer = await openLayer(scratchFolder(), { indexAfter: 8 });
    const store = layer.ports.eventStore;
    for (let at = 0; at < 40; at += 4) {
      await store.append([appendOf([at, at + 1, at + 2, at + 3].map((each) => fact({ at: each })))]);
    }
    const times = (facts: readonly Fact[] | undefined): number[] | undefined =>
      facts?.map(({ eventTime }) => eventTime);
    const upTo40 = Array.from({ length: 40 }, (_, at) => at);
    for (const pageSize of [39, 40, 41]) {
      const pages = store.read(lamp, { pageSize });
      expect(times(pages.whole!())).toEqual(pageSize < 40 ? undefined : upTo40);
      expect(times(await all(pages))).toEqual(upTo40);
    }
    expect(() => store.read(lamp, { pageSize: 0 }).whole!()).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
    const pages = store.read(lamp, { pageSize: 10 });
    const read = pages[Symbol.asyncIterator]();
    expect((await read.next()).value).toHaveLength(10);
    await layer.close();
    await expect(read.next()).rejects.toMatchObject({ code: 'STORE_CLOSED' });
    expect(() => store.read(lamp).whole!()).toThrow(expect.objectContaining({ code: 'STORE_CLOSED' }));
  });

  it('keep facts of the greatest lengths allowed, and refuse keys that LMDB cannot hold before anything is stored', async () => {
    const layer = await openLayer(scratchFolder());
    const store = layer.ports.eventStore;
    const long = fact({
      id: 'i'.repeat(limits.idBytes),
      stream: 's'.repeat(limits.streamBytes),
      name: 'n'.repeat(limits.nameBytes),
      parameters: { text: 'x'.repeat(limits.parametersBytes - 20) },
    });
    await store.append([appendOf([fact({ at: 1 }), long, fact({ at: 2 })])]);
    const [read] = await store.readMany([{ tenant: '', type: 'lamp', id: long.aggregateId }]);
    expect(read![0]!.content).toBe(long.content);
    const { facts } = await layer.ports.eventFeed.read(layer.ports.eventFeed.start(), 10);
    expect(facts.map((each) => each.content.length)).toEqual([14, long.content.length, 14]);
    await expect(store.append([appendOf([fact({ at: 9 }), fact({ id: 'é'.repeat(1_000) })])])).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
    });
    expect(await all(store.read(lamp, { range: { from: 9 } }))).toEqual([]);
    await layer.close();
  });
});

describe('an environment', () => {
  it('is created with its parents and holds everything when opened again', async () => {
    const path = join(scratchFolder(), 'some', 'where');
    const first = await openLayer(path);
    const facts = Array.from({ length: 1_000 }, (_, at) => fact({ at, id: String(at % 7) }));
    await first.ports.eventStore.append([appendOf(facts)]);
    await first.close();
    const second = await openLayer(path);
    const { facts: found, atEnd } = await second.ports.eventFeed.read(second.ports.eventFeed.start(), 2_000);
    expect(atEnd).toBe(true);
    expect(found.map((each) => [each.processingId, each.aggregateId, each.content])).toEqual(
      facts.map((each) => [each.processingId, each.aggregateId, each.content]),
    );
    const [again] = await second.ports.eventStore.append([appendOf([fact({ at: 3, id: '3' })])]);
    expect(again!.outcomes).toEqual(['repeated']);
    await second.close();
  });

  it('is shared by two contexts, which share nothing, and by both slots', async () => {
    const path = scratchFolder();
    const one = await openLayer(path, {}, 'one');
    const two = await openLayer(path, {}, 'two');
    const buffer = await lmdbTransport({ path }).create(contextOf('one'));
    await buffer.connect();
    await one.ports.eventStore.append([appendOf([fact()])]);
    await buffer.ports.eventTransport.publish([{ key: 'k', bytes: new Uint8Array(3), acceptedAt: 1 }]);
    expect(await all(two.ports.eventStore.read(lamp))).toEqual([]);
    await one.close();
    expect((await two.ports.eventStore.append([appendOf([fact()])]))[0]!.outcomes).toEqual(['recorded']);
    expect(await buffer.ports.eventTransport.lag('g')).toBe(1);
    await buffer.close();
    await two.close();
  });

  it('finishes what is under way before it closes, and refuses what comes after', async () => {
    const path = scratchFolder();
    const layer = await openLayer(path);
    const { eventStore, eventFeed, viewStore, quarantine, checkpointStore } = layer.ports;
    const under = eventStore.append([appendOf([fact()])]);
    const waiting = eventFeed.wait(eventFeed.parsePosition('o1:5'), new AbortController().signal);
    const closed = layer.close();
    await Promise.all([under, closed, waiting]);
    await layer.close();
    const view = { name: 'v', version: 1, slice: -1 };
    for (const call of [
      () => eventStore.append([appendOf([fact({ at: 2 })])]),
      () => all(eventStore.read(lamp)),
      () => eventStore.readMany([lamp]),
      () => eventStore.keepFloor(1),
      () => eventFeed.end(),
      () => viewStore.readCheckpoint(view),
      () => quarantine.list(undefined, 1),
      () => checkpointStore.read('c'),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'STORE_CLOSED' });
    }
    const again = await openLayer(path);
    expect(await all(again.ports.eventStore.read(lamp))).toHaveLength(1);
    await again.close();
  });

  it('refuses appends at its bound, still reads, and takes them again with a greater bound', async () => {
    const path = scratchFolder();
    const { clock } = contextOf();
    const layer = await openLayer(path, { mapSizeBytes: 300_000 });
    let stored = 0;
    let refusal: unknown;
    while (refusal === undefined && stored < 1_000) {
      const noise = Buffer.from(clock.randomBytes(500)).toString('hex');
      const each = fact({ at: stored, parameters: { noise } });
      try {
        await layer.ports.eventStore.append([appendOf([each])]);
        stored++;
      } catch (error) {
        refusal = error;
        expect(each.processingId).toBe('');
      }
    }
    expect(refusal).toMatchObject({ code: 'STORE_FULL', retryable: true });
    expect(await all(layer.ports.eventStore.read(lamp))).toHaveLength(stored);
    await layer.close();
    const greater = await openLayer(path, { mapSizeBytes: 3_000_000 });
    await greater.ports.eventStore.append([appendOf([fact({ at: -1 })])]);
    expect(await all(greater.ports.eventStore.read(lamp))).toHaveLength(stored + 1);
    await greater.close();
  });

  it('is refused when something else wrote it, when its path is no folder, and without a path', async () => {
    const path = scratchFolder();
    const other = open({ path, noSubdir: false });
    await other.openDB('theirs', {}).put('a', 'b');
    await other.close();
    await expect(openLayer(path)).rejects.toMatchObject({ code: 'SCHEMA_MISMATCH' });
    const former = scratchFolder();
    const written = open({ path: former, noSubdir: false, keyEncoding: 'binary', encoding: 'binary' });
    await written
      .openDB('concursus', { keyEncoding: 'binary', encoding: 'binary' })
      .put(Buffer.from('concursus'), Buffer.from('concursus-lmdb-1'));
    await written.close();
    await expect(openLayer(former)).rejects.toMatchObject({ code: 'SCHEMA_MISMATCH' });
    const folder = scratchFolder();
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'file'), '');
    await expect(openLayer(join(folder, 'file', 'db'))).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
    expect(() => lmdb({ path: '' })).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
    for (const wrong of [{ changesKept: 0 }, { indexAfter: 0 }]) {
      expect(() => lmdb({ path, ...wrong })).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
    }
  });
});
