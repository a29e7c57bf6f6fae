/**
 * The law of what processes coordinate by: checkpoints with owner rows, snapshots, quarantine; and of the transient cache.
 * Four small ports and still one subject: what processes share beside the events.
 */
import assert from 'node:assert/strict';
import {
  type AggregateKey,
  type CheckpointStore,
  type OwnerRow,
  type QuarantineInput,
  type Snapshot,
} from '@concursus/core';
import { refused, type Contract } from './contract.js';

const P1: AggregateKey = { tenant: '', type: 'parcel', id: 'p1' };

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const textOf = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : new TextDecoder().decode(bytes);

async function claimed(store: CheckpointStore, owner: string, seen: OwnerRow | undefined): Promise<OwnerRow> {
  const row = await store.claim('view', owner, seen);
  assert.ok(row !== undefined, `${owner} may claim`);
  return row;
}

/** What every CheckpointStore promises: compare-and-set, owner rows, epochs that only grow. */
export const checkpointStoreContract: Contract<'persistent'> = {
  name: 'CheckpointStore',
  cases: [
    {
      name: 'saves a value when the stored one is as expected, and refuses otherwise',
      async run({ ports: { checkpointStore } }) {
        assert.equal(await checkpointStore.read('a'), undefined);
        await refused('CHECKPOINT_MOVED', () => checkpointStore.save('a', 'one', { epoch: 0, expected: 'zero' }));
        assert.equal(await checkpointStore.read('a'), undefined);
        await checkpointStore.save('a', 'one', { epoch: 0, expected: undefined });
        await refused('CHECKPOINT_MOVED', () => checkpointStore.save('a', 'two', { epoch: 0 }));
        await refused('CHECKPOINT_MOVED', () => checkpointStore.save('a', 'two', { epoch: 0, expected: 'zero' }));
        assert.equal(await checkpointStore.read('a'), 'one');
        await checkpointStore.save('a', 'two\u{1f600}', { epoch: 0, expected: 'one' });
        assert.equal(await checkpointStore.read('a'), 'two\u{1f600}');
        assert.equal(await checkpointStore.read('b'), undefined);
      },
    },
    {
      name: 'of saves that race lets exactly one through',
      async run({ ports: { checkpointStore } }) {
        const answers = await Promise.allSettled(
          Array.from({ length: 10 }, (_, i) => checkpointStore.save('a', `v${i}`, { epoch: 0, expected: undefined })),
        );
        const winners = answers.flatMap((answer, i) => (answer.status === 'fulfilled' ? [`v${i}`] : []));
        assert.deepEqual(winners, [await checkpointStore.read('a')]);
      },
    },
    {
      name: 'refuses a save with an epoch that is not the owner’s',
      async run({ ports: { checkpointStore } }) {
        await checkpointStore.save('view', 'one', { epoch: 0 });
        await refused('LEASE_LOST', () => checkpointStore.save('view', 'two', { epoch: 1, expected: 'one' }));
        const first = await claimed(checkpointStore, 'me', undefined);
        await refused('LEASE_LOST', () => checkpointStore.save('view', 'two', { epoch: 0, expected: 'one' }));
        await checkpointStore.save('view', 'two', { epoch: first.epoch, expected: 'one' });
        const second = await claimed(checkpointStore, 'you', first);
        await refused('LEASE_LOST', () =>
          checkpointStore.save('view', 'three', { epoch: first.epoch, expected: 'two' }),
        );
        assert.equal(await checkpointStore.read('view'), 'two');
        await checkpointStore.save('view', 'three', { epoch: second.epoch, expected: 'two' });
      },
    },
    {
      name: 'gives an owner row to the first who claims it, with an epoch above the last',
      async run({ ports: { checkpointStore } }) {
        assert.equal(await checkpointStore.readOwner('view'), undefined);
        const first = await claimed(checkpointStore, 'me', undefined);
        assert.deepEqual({ name: first.name, owner: first.owner }, { name: 'view', owner: 'me' });
        assert.ok(first.epoch > 0);
        assert.deepEqual(await checkpointStore.readOwner('view'), first);
        assert.equal(await checkpointStore.claim('view', 'you', undefined), undefined, 'who saw no row is too late');
        const second = await claimed(checkpointStore, 'you', first);
        assert.equal(second.epoch, first.epoch + 1);
        assert.equal(await checkpointStore.claim('view', 'me', first), undefined, 'who saw the old row is too late');
        assert.deepEqual(await checkpointStore.readOwner('view'), second);
        assert.equal(await checkpointStore.readOwner('other'), undefined);
      },
    },
    {
      name: 'of claims that race lets exactly one through',
      async run({ ports: { checkpointStore } }) {
        const answers = await Promise.all(
          Array.from({ length: 10 }, (_, i) => checkpointStore.claim('view', `o${i}`, undefined)),
        );
        const winners = answers.filter((row) => row !== undefined);
        assert.equal(winners.length, 1);
        assert.deepEqual(await checkpointStore.readOwner('view'), winners[0]);
      },
    },
    {
      name: 'shows each renewal as a new beat, by which a claim sees that the owner lives',
      async run({ ports: { checkpointStore } }) {
        const row = await claimed(checkpointStore, 'me', undefined);
        const beaten = await checkpointStore.renew(row);
        assert.equal(beaten.epoch, row.epoch);
        assert.ok(beaten.beat > row.beat);
        assert.deepEqual(await checkpointStore.readOwner('view'), beaten);
        assert.equal(await checkpointStore.claim('view', 'you', row), undefined, 'the beat moved on');
        const again = await checkpointStore.renew(row);
        assert.ok(again.beat > beaten.beat);
        const taken = await claimed(checkpointStore, 'you', again);
        await refused('LEASE_LOST', () => checkpointStore.renew(again));
        assert.deepEqual(await checkpointStore.readOwner('view'), taken);
      },
    },
    {
      name: 'gives a row up for the next to claim at once, its epoch kept; a former owner’s release does nothing',
      async run({ ports: { checkpointStore } }) {
        const first = await claimed(checkpointStore, 'me', undefined);
        await checkpointStore.release(first);
        const free = await checkpointStore.readOwner('view');
        assert.equal(free?.owner, '');
        assert.equal(free?.epoch, first.epoch);
        const second = await claimed(checkpointStore, 'you', free);
        assert.equal(second.epoch, first.epoch + 1);
        await checkpointStore.release(first);
        assert.deepEqual(await checkpointStore.readOwner('view'), second);
        await refused('LEASE_LOST', () => checkpointStore.renew(first));
      },
    },
    {
      name: 'holds checkpoints and epochs over a restart',
      needs: 'survivesRestart',
      async run(opened) {
        const row = await claimed(opened.ports.checkpointStore, 'me', undefined);
        await opened.ports.checkpointStore.save('view', 'one', { epoch: row.epoch });
        const { checkpointStore } = (await opened.reopen!()).ports;
        assert.equal(await checkpointStore.read('view'), 'one');
        const found = await checkpointStore.readOwner('view');
        assert.equal(found?.epoch, row.epoch);
        const next = await claimed(checkpointStore, 'you', found);
        assert.equal(next.epoch, row.epoch + 1);
      },
    },
    {
      name: 'lets one of two processes claim, and refuses the other',
      needs: 'multiProcess',
      async run(opened) {
        const other = await opened.another!();
        const rows = await Promise.all([
          opened.ports.checkpointStore.claim('view', 'me', undefined),
          other.ports.checkpointStore.claim('view', 'you', undefined),
        ]);
        assert.equal(rows.filter((row) => row !== undefined).length, 1);
        assert.deepEqual(
          await opened.ports.checkpointStore.readOwner('view'),
          await other.ports.checkpointStore.readOwner('view'),
        );
      },
    },
    {
      name: 'refuses every call after close',
      async run(opened) {
        const { checkpointStore } = opened.ports;
        const row = await claimed(checkpointStore, 'me', undefined);
        await opened.close();
        await refused('STORE_CLOSED', () => checkpointStore.read('a'));
        await refused('STORE_CLOSED', () => checkpointStore.save('a', 'b', { epoch: 0 }));
        await refused('STORE_CLOSED', () => checkpointStore.claim('view', 'you', row));
        await refused('STORE_CLOSED', () => checkpointStore.renew(row));
      },
    },
  ],
};

const snapshotAt = (foldKey: string, more: Partial<Snapshot> = {}): Snapshot => ({
  aggregate: P1,
  reducerVersion: 1,
  foldKey,
  eventTimeMax: 1_000,
  recordedMax: { ms: 5, tick: 7 },
  events: 3,
  content: '{"status":"at depot","list":[1,{"a":null}]}',
  checksum: 'sum',
  ...more,
});

/** What every SnapshotStore promises. */
export const snapshotStoreContract: Contract<'persistent'> = {
  name: 'SnapshotStore',
  cases: [
    {
      name: 'gives snapshots back as they were saved, the greatest fold key first, up to the limit',
      async run({ ports: { snapshotStore } }) {
        const keys = ['b', 'a', '\u{1f600}', '\ufb01', 'ab'];
        for (const key of keys) await snapshotStore.save(snapshotAt(key));
        const expected = ['\u{1f600}', '\ufb01', 'b', 'ab', 'a'].map((key) => snapshotAt(key));
        assert.deepEqual(await snapshotStore.read(P1, 1, 100), expected);
        assert.deepEqual(await snapshotStore.read(P1, 1, 2), expected.slice(0, 2));
      },
    },
    {
      name: 'replaces the snapshot of one fold key',
      async run({ ports: { snapshotStore } }) {
        await snapshotStore.save(snapshotAt('a'));
        await snapshotStore.save(snapshotAt('a', { events: 4, content: 'new' }));
        assert.deepEqual(await snapshotStore.read(P1, 1, 10), [snapshotAt('a', { events: 4, content: 'new' })]);
      },
    },
    {
      name: 'keeps aggregates and reducer versions apart',
      async run({ ports: { snapshotStore } }) {
        const others: Partial<Snapshot>[] = [
          {},
          { reducerVersion: 2 },
          { reducerVersion: 11 },
          { aggregate: { ...P1, id: 'p11' } },
          { aggregate: { ...P1, tenant: 't' } },
          { aggregate: { ...P1, type: 'flight' } },
        ];
        for (const [events, other] of others.entries()) await snapshotStore.save(snapshotAt('a', { ...other, events }));
        for (const [events, other] of others.entries()) {
          const found = await snapshotStore.read(other.aggregate ?? P1, other.reducerVersion ?? 1, 10);
          assert.deepEqual(found, [snapshotAt('a', { ...other, events })]);
        }
        assert.deepEqual(await snapshotStore.read({ ...P1, id: 'nobody' }, 1, 10), []);
      },
    },
    {
      name: 'removes snapshots at or above a fold key, all with an empty one, of one version only',
      async run({ ports: { snapshotStore } }) {
        for (const key of ['a', 'b', 'c']) await snapshotStore.save(snapshotAt(key));
        await snapshotStore.save(snapshotAt('b', { reducerVersion: 2 }));
        await snapshotStore.remove(P1, 1, 'b');
        assert.deepEqual(await snapshotStore.read(P1, 1, 10), [snapshotAt('a')]);
        assert.equal((await snapshotStore.read(P1, 2, 10)).length, 1);
        await snapshotStore.save(snapshotAt(''));
        await snapshotStore.remove(P1, 1, '');
        assert.deepEqual(await snapshotStore.read(P1, 1, 10), []);
        await snapshotStore.remove({ ...P1, id: 'nobody' }, 1, '');
      },
    },
    {
      name: 'removes exactly the fold keys it is given, of one version only',
      async run({ ports: { snapshotStore } }) {
        for (const key of ['a', 'ab', 'b', '\u{1f600}']) await snapshotStore.save(snapshotAt(key));
        await snapshotStore.save(snapshotAt('a', { reducerVersion: 2 }));
        await snapshotStore.removeEach(P1, 1, ['a', '\u{1f600}', 'nothing']);
        assert.deepEqual(await snapshotStore.read(P1, 1, 10), [snapshotAt('b'), snapshotAt('ab')]);
        assert.equal((await snapshotStore.read(P1, 2, 10)).length, 1);
        await snapshotStore.removeEach(P1, 1, []);
        await snapshotStore.removeEach({ ...P1, id: 'nobody' }, 1, ['a']);
        assert.equal((await snapshotStore.read(P1, 1, 10)).length, 2);
      },
    },
    {
      name: 'keeps a content of any text, whatever its length, as it is, and whatever a caller changes later',
      async run({ ports: { snapshotStore } }) {
        const content = JSON.stringify({ text: '\u{1f600}\u0001"\\', long: 'x'.repeat(100_000) });
        const recordedMax = { ms: 5, tick: 7 };
        await snapshotStore.save(snapshotAt('a', { content, recordedMax }));
        recordedMax.ms = 6;
        assert.deepEqual(await snapshotStore.read(P1, 1, 1), [snapshotAt('a', { content })]);
      },
    },
    {
      name: 'refuses every call after close',
      async run(opened) {
        const { snapshotStore } = opened.ports;
        await opened.close();
        await refused('STORE_CLOSED', () => snapshotStore.save(snapshotAt('a')));
        await refused('STORE_CLOSED', () => snapshotStore.read(P1, 1, 1));
        await refused('STORE_CLOSED', () => snapshotStore.remove(P1, 1, ''));
        await refused('STORE_CLOSED', () => snapshotStore.removeEach(P1, 1, ['a']));
      },
    },
  ],
};

const badInput = (text: string, more: Partial<QuarantineInput> = {}): QuarantineInput => ({
  source: 'reports',
  bytes: bytesOf(text),
  sizeBytes: text.length,
  digest: `digest of ${text}`,
  line: 3,
  code: 'INVALID_JSON',
  reason: 'Unexpected end.',
  at: 1_000,
  ...more,
});

/** What every Quarantine promises below its quota. */
export const quarantineContract: Contract<'persistent'> = {
  name: 'Quarantine',
  cases: [
    {
      name: 'keeps bad input with its bytes, place, code and reason',
      async run({ ports: { quarantine } }) {
        const input = badInput('{"a":', { bytes: new Uint8Array([0, 255, 10, 13, 195]), sizeBytes: 900, line: 7 });
        assert.deepEqual(await quarantine.put([input]), [true]);
        const [item] = await quarantine.list(undefined, 10);
        assert.ok(item !== undefined);
        const { id, bytes, ...rest } = item;
        assert.deepEqual([...bytes], [0, 255, 10, 13, 195]);
        assert.deepEqual(rest, {
          source: 'reports',
          sizeBytes: 900,
          digest: 'digest of {"a":',
          line: 7,
          code: 'INVALID_JSON',
          reason: 'Unexpected end.',
          count: 1,
          firstAt: 1_000,
          lastAt: 1_000,
        });
        assert.deepEqual(await quarantine.get(id), item);
        assert.equal(await quarantine.get(`${id}x`), undefined);
      },
    },
    {
      name: 'counts identical bytes of one source as one item that stays as it was first',
      async run({ ports: { quarantine } }) {
        await quarantine.put([badInput('a'), badInput('b'), badInput('a', { at: 1_500, line: 9 })]);
        await quarantine.put([badInput('a', { at: 2_000, reason: 'Another.' })]);
        const items = await quarantine.list(undefined, 10);
        assert.deepEqual(
          items.map(({ count, firstAt, lastAt, line, reason }) => [count, firstAt, lastAt, line, reason]),
          [
            [3, 1_000, 2_000, 3, 'Unexpected end.'],
            [1, 1_000, 1_000, 3, 'Unexpected end.'],
          ],
        );
      },
    },
    {
      name: 'keeps identical bytes of two sources apart',
      async run({ ports: { quarantine } }) {
        await quarantine.put([
          badInput('a'),
          badInput('a', { source: 'other' }),
          badInput('a', { source: 'reports:other/\u{1f600}' }),
        ]);
        const items = await quarantine.list(undefined, 10);
        assert.deepEqual(
          items.map((item) => item.source),
          ['reports', 'other', 'reports:other/\u{1f600}'],
        );
      },
    },
    {
      name: 'lists items in the order of first arrival, in pages, by ids that ascend',
      async run({ ports: { quarantine } }) {
        await quarantine.put(Array.from({ length: 25 }, (_, i) => badInput(`bad ${i}`)));
        const all = await quarantine.list(undefined, 1_000);
        assert.deepEqual(
          all.map((item) => textOf(item.bytes)),
          Array.from({ length: 25 }, (_, i) => `bad ${i}`),
        );
        const ids = all.map((item) => item.id);
        assert.deepEqual(ids, ids.toSorted(), 'ids ascend');
        const paged: string[] = [];
        for (let after: string | undefined; ; after = paged.at(-1)) {
          const page = await quarantine.list(after, 10);
          if (page.length === 0) break;
          assert.ok(page.length <= 10);
          paged.push(...page.map((item) => item.id));
          assert.ok(paged.length <= ids.length, 'no item comes twice');
        }
        assert.deepEqual(paged, ids);
      },
    },
    {
      name: 'removes an item once, and takes the same bytes again as new',
      async run({ ports: { quarantine } }) {
        await quarantine.put([badInput('a'), badInput('b')]);
        const [first] = await quarantine.list(undefined, 1);
        assert.equal(await quarantine.remove(first!.id), true);
        assert.equal(await quarantine.remove(first!.id), false);
        assert.equal(await quarantine.get(first!.id), undefined);
        assert.deepEqual(await quarantine.put([badInput('a', { at: 3_000 })]), [true]);
        const items = await quarantine.list(undefined, 10);
        assert.deepEqual(
          items.map((item) => [textOf(item.bytes), item.count, item.firstAt]),
          [
            ['b', 1, 1_000],
            ['a', 1, 3_000],
          ],
        );
        assert.ok(items[1]!.id > first!.id, 'an id is never given again');
      },
    },
    {
      name: 'keeps its bytes when a caller changes what it gave or got',
      async run({ ports: { quarantine } }) {
        const input = badInput('abc');
        await quarantine.put([input]);
        input.bytes.fill(0);
        const [item] = await quarantine.list(undefined, 1);
        item!.bytes.fill(0);
        assert.equal(textOf((await quarantine.get(item!.id))?.bytes), 'abc');
      },
    },
    {
      name: 'counts bytes that many senders bring at once',
      async run({ ports: { quarantine } }) {
        await Promise.all(Array.from({ length: 30 }, () => quarantine.put([badInput('a')])));
        const items = await quarantine.list(undefined, 10);
        assert.deepEqual(
          items.map((item) => item.count),
          [30],
        );
      },
    },
    {
      name: 'takes a call without inputs as done',
      async run({ ports: { quarantine } }) {
        assert.deepEqual(await quarantine.put([]), []);
        assert.deepEqual(await quarantine.list(undefined, 1), []);
      },
    },
    {
      name: 'holds its items over a restart, and goes on counting',
      needs: 'survivesRestart',
      async run(opened) {
        await opened.ports.quarantine.put([badInput('a'), badInput('b')]);
        const before = await opened.ports.quarantine.list(undefined, 10);
        const { quarantine } = (await opened.reopen!()).ports;
        assert.deepEqual(await quarantine.list(undefined, 10), before);
        await quarantine.put([badInput('a'), badInput('c')]);
        const items = await quarantine.list(undefined, 10);
        assert.deepEqual(
          items.map((item) => [textOf(item.bytes), item.count]),
          [
            ['a', 2],
            ['b', 1],
            ['c', 1],
          ],
        );
      },
    },
    {
      name: 'refuses every call after close',
      async run(opened) {
        const { quarantine } = opened.ports;
        await opened.close();
        await refused('STORE_CLOSED', () => quarantine.put([badInput('a')]));
        await refused('STORE_CLOSED', () => quarantine.list(undefined, 1));
        await refused('STORE_CLOSED', () => quarantine.remove('1'));
      },
    },
  ],
};

/** The quotas that the subjects of `quarantineQuotaContract` must be opened with. */
export const smallQuota = { items: 2, bytes: 10, digests: 4 } as const;

/** Needs a provider opened with `smallQuota`: a source over its quota costs a count, and no other source anything. */
export const quarantineQuotaContract: Contract<'persistent'> = {
  name: 'Quarantine with a quota',
  cases: [
    {
      name: 'beyond its items a source keeps digests and counts, beyond its digests one count for all the rest',
      async run({ ports: { quarantine } }) {
        const put = async (text: string, at = 1_000): Promise<boolean> =>
          (await quarantine.put([badInput(text, { at })]))[0]!;
        assert.deepEqual([await put('a'), await put('b'), await put('c'), await put('d')], [true, true, false, false]);
        assert.deepEqual([await put('e'), await put('f', 2_000)], [false, false]);
        assert.deepEqual([await put('a'), await put('c')], [true, false]);
        const items = await quarantine.list(undefined, 10);
        assert.deepEqual(
          items.map((item) => [textOf(item.bytes), item.digest, item.count]),
          [
            ['a', 'digest of a', 2],
            ['b', 'digest of b', 1],
            ['', 'digest of c', 2],
            ['', 'digest of d', 1],
            ['', '', 2],
          ],
        );
        assert.equal(items.at(-1)!.lastAt, 2_000);
      },
    },
    {
      name: 'beyond its bytes a source keeps digests and counts',
      async run({ ports: { quarantine } }) {
        assert.deepEqual(await quarantine.put([badInput('123456'), badInput('7890123'), badInput('456')]), [
          true,
          false,
          true,
        ]);
        const items = await quarantine.list(undefined, 10);
        assert.deepEqual(
          items.map((item) => textOf(item.bytes)),
          ['123456', '', '456'],
        );
      },
    },
    {
      name: 'gives every source a quota of its own, and a removed item’s place back',
      async run({ ports: { quarantine } }) {
        const inputs = (source: string): QuarantineInput[] => ['a', 'b', 'c'].map((text) => badInput(text, { source }));
        assert.deepEqual(await quarantine.put(inputs('one')), [true, true, false]);
        assert.deepEqual(await quarantine.put(inputs('two')), [true, true, false]);
        const [first] = await quarantine.list(undefined, 1);
        await quarantine.remove(first!.id);
        assert.deepEqual(await quarantine.put([badInput('d', { source: 'one' })]), [true]);
      },
    },
  ],
};

/** A cache may forget anything at any time, so no case asks that it remembers; only that it is never wrong. */
export const transientCacheContract: Contract<'transient'> = {
  name: 'TransientCache',
  cases: [
    {
      name: 'answers in the order of the keys: what was set last, or nothing',
      async run({ ports: { transientCache } }) {
        await transientCache.setMany(
          [
            { key: 'a', value: bytesOf('1') },
            { key: 'b', value: new Uint8Array([0, 255]) },
          ],
          60_000,
        );
        await transientCache.setMany([{ key: 'a', value: bytesOf('2') }], 60_000);
        const [b, nobody, a] = await transientCache.getMany(['b', 'nobody', 'a']);
        assert.equal(nobody, undefined);
        if (a !== undefined) assert.equal(textOf(a), '2');
        if (b !== undefined) assert.deepEqual([...b], [0, 255]);
        assert.deepEqual(await transientCache.getMany([]), []);
      },
    },
    {
      name: 'forgets what was deleted and what has outlived its time',
      async run({ ports: { transientCache }, clock }) {
        await transientCache.setMany(
          [
            { key: 'a', value: bytesOf('1') },
            { key: 'b', value: bytesOf('2') },
          ],
          2_000,
        );
        await transientCache.deleteMany(['a', 'nobody']);
        assert.deepEqual((await transientCache.getMany(['a']))[0], undefined);
        await clock.advance(2_000);
        assert.deepEqual(await transientCache.getMany(['a', 'b']), [undefined, undefined]);
      },
    },
    {
      name: 'never mixes keys, and keeps its bytes when a caller changes what it gave or got',
      async run({ ports: { transientCache } }) {
        const keys = ['a', 'a:b', 'a:b:c', 'ab', '\u{1f600}', ''];
        const entries = keys.map((key) => ({ key, value: bytesOf(`value of ${key}`) }));
        await transientCache.setMany(entries, 60_000);
        for (const entry of entries) entry.value.fill(0);
        for (const value of await transientCache.getMany(keys)) value?.fill(1);
        const values = await transientCache.getMany(keys);
        for (const [i, value] of values.entries())
          if (value !== undefined) assert.equal(textOf(value), `value of ${keys[i]}`);
      },
    },
    {
      name: 'refuses every call after close',
      async run(opened) {
        const { transientCache } = opened.ports;
        await opened.close();
        await refused('STORE_CLOSED', () => transientCache.getMany(['a']));
        await refused('STORE_CLOSED', () => transientCache.setMany([{ key: 'a', value: bytesOf('1') }], 1_000));
        await refused('STORE_CLOSED', () => transientCache.deleteMany(['a']));
      },
    },
  ],
};
