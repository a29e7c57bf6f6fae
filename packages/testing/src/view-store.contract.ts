/**
 * The law of ViewStore: a commit is all or nothing, fenced by epoch and checkpoint, and everything is read back in key order.
 * Long, and still one subject: one port, whose commits are checked through everything that reads them.
 */
import assert from 'node:assert/strict';
import {
  compareText,
  type AggregateKey,
  type ChangeRecord,
  type IndexEntry,
  type StoredContribution,
  type StoredRow,
  type ViewCommit,
  type ViewRef,
  type ViewStore,
} from '@concursus/core';
import fc from 'fast-check';
import { refused, soon, type Contract, type Opened } from './contract.js';

type World = Opened<'persistent'>;

const VIEW: ViewRef = { name: 'origin-day', version: 1, slice: -1 };
const OWNER = 'projection/origin-day';

const parcel = (id: string, tenant = '', type = 'parcel'): AggregateKey => ({ tenant, type, id });
const row = (key: string, revision = 1, contributors = 1, n = 1): StoredRow => ({
  key,
  revision,
  contributors,
  fields: { n },
});
const entry = (order: string, value: number | string = 1, rowKey = 'r', field = 'f'): IndexEntry => ({
  row: rowKey,
  field,
  order,
  value,
});
const change = (key: string, revision = 1): ChangeRecord => ({
  key,
  revision,
  retract: revision === 1 ? null : { n: revision - 1 },
  assert: { n: revision },
  cause: [`parcel/${key}@1#scanned`],
});

/** A commit of nothing but a checkpoint, and what else is given. */
function commitOf(parts: Partial<ViewCommit> = {}): ViewCommit {
  return {
    view: VIEW,
    owner: OWNER,
    epoch: 0,
    expected: undefined,
    checkpoint: 'o1:1',
    rows: [],
    contributions: [],
    forget: [],
    indexAdd: [],
    indexRemove: [],
    changes: [],
    notes: [],
    ...parts,
  };
}

/** Everything that is readable of a view. */
async function everything(store: ViewStore, view: ViewRef = VIEW): Promise<unknown> {
  return {
    checkpoint: await store.readCheckpoint(view),
    rows: await store.findRows(view, { limit: 10_000 }),
    contributions: await scan(store, view),
    changes: await store.readChanges(view, 0, 10_000),
    last: await store.lastChange(view),
    notes: await store.readNotes(view, ''),
    index: await store.readIndex(view, 'r', 'f', { limit: 1_000 }),
  };
}

async function scan(store: ViewStore, view: ViewRef = VIEW): Promise<StoredContribution[]> {
  const all: StoredContribution[] = [];
  for await (const page of store.scanContributions(view)) all.push(...page);
  return all;
}

const full = (): ViewCommit =>
  commitOf({
    rows: [row('a'), row('b', 3, 2, 5)],
    contributions: [
      { aggregate: parcel('p1'), value: { a: 1 } },
      { aggregate: parcel('p2'), value: [1, 'x', null, true] },
    ],
    indexAdd: [entry('1'), entry('2')],
    changes: [change('a'), change('b', 3)],
    notes: [{ key: 'parked/p9', value: { reason: 'x' } }],
  });

const keysOf = (rows: readonly StoredRow[]): string[] => rows.map((each) => each.key);
const orders = (entries: readonly IndexEntry[]): string[] => entries.map((each) => each.order);

async function refusesWhole(
  opened: World,
  code: 'LEASE_LOST' | 'CHECKPOINT_MOVED',
  parts: Partial<ViewCommit>,
): Promise<void> {
  const { viewStore } = opened.ports;
  const before = await everything(viewStore);
  const commit = commitOf({
    rows: [row('a', 9, 9, 9), row('z')],
    contributions: [{ aggregate: parcel('p1'), value: 9 }],
    forget: [parcel('p2')],
    indexAdd: [entry('9')],
    indexRemove: [entry('1')],
    changes: [change('z')],
    notes: [{ key: 'parked/p9', value: null }],
    checkpoint: 'o1:99',
    ...parts,
  });
  await refused(code, () => viewStore.commit(commit));
  assert.deepEqual(await everything(viewStore), before, 'nothing of a refused commit is stored');
}

/** What every ViewStore promises; epochs are checked against the CheckpointStore of the same layer. */
export const viewStoreContract: Contract<'persistent'> = {
  name: 'ViewStore',
  cases: [
    {
      name: 'holds nothing of a view that was never committed',
      async run({ ports: { viewStore } }) {
        assert.equal(await viewStore.readCheckpoint(VIEW), undefined);
        assert.deepEqual(await viewStore.readRows(VIEW, ['a']), [undefined]);
        assert.deepEqual(await viewStore.readContributions(VIEW, [parcel('p1')]), [undefined]);
        assert.deepEqual(await viewStore.findRows(VIEW, { limit: 10 }), []);
        assert.deepEqual(await viewStore.readIndex(VIEW, 'r', 'f', { limit: 10 }), []);
        assert.deepEqual(await viewStore.readChanges(VIEW, 0, 10), []);
        assert.equal(await viewStore.lastChange(VIEW), 0);
        assert.deepEqual(await viewStore.readNotes(VIEW, ''), []);
        assert.deepEqual(await viewStore.versions(VIEW.name), []);
        assert.deepEqual(await scan(viewStore), []);
        await viewStore.drop(VIEW);
      },
    },
    {
      name: 'gives a commit back whole: rows, contributions, index, changes, notes and checkpoint',
      async run({ ports: { viewStore } }) {
        await viewStore.commit(full());
        assert.equal(await viewStore.readCheckpoint(VIEW), 'o1:1');
        assert.deepEqual(await viewStore.readRows(VIEW, ['b', 'nobody', 'a']), [
          row('b', 3, 2, 5),
          undefined,
          row('a'),
        ]);
        assert.deepEqual(await viewStore.readContributions(VIEW, [parcel('p2'), parcel('p3'), parcel('p1')]), [
          [1, 'x', null, true],
          undefined,
          { a: 1 },
        ]);
        assert.deepEqual(await viewStore.readIndex(VIEW, 'r', 'f', { limit: 10 }), [entry('1'), entry('2')]);
        assert.deepEqual(await viewStore.readChanges(VIEW, 0, 10), [
          { ...change('a'), sequence: 1 },
          { ...change('b', 3), sequence: 2 },
        ]);
        assert.equal(await viewStore.lastChange(VIEW), 2);
        assert.deepEqual(await viewStore.readNotes(VIEW, 'parked/'), [{ key: 'parked/p9', value: { reason: 'x' } }]);
        assert.deepEqual(await scan(viewStore), full().contributions);
        assert.deepEqual(await viewStore.versions(VIEW.name), [1]);
      },
    },
    {
      name: 'keeps every kind of value in fields, contributions, index and notes',
      async run({ ports: { viewStore } }) {
        const fields = {
          text: 'a"\\\n\u{1f600}',
          empty: '',
          zero: 0,
          big: Number.MAX_SAFE_INTEGER,
          less: -0.1,
          yes: true,
          nothing: null,
          list: [1, [2]],
          deep: { a: { b: null } },
        };
        await viewStore.commit(
          commitOf({
            rows: [{ key: '\u{1f600}:/', revision: 1, contributors: 1, fields }],
            contributions: [{ aggregate: parcel('a:b/\u{1f600}', 't', 'x:y'), value: fields }],
            indexAdd: [{ row: '\u{1f600}:/', field: 'text:1', order: 'o', value: fields }],
            changes: [{ key: '\u{1f600}:/', revision: 1, retract: null, assert: fields, cause: ['a', 'b'] }],
            notes: [{ key: '\u{1f600}', value: fields }],
          }),
        );
        assert.deepEqual((await viewStore.readRows(VIEW, ['\u{1f600}:/']))[0]?.fields, fields);
        assert.deepEqual(await viewStore.readContributions(VIEW, [parcel('a:b/\u{1f600}', 't', 'x:y')]), [fields]);
        assert.deepEqual((await viewStore.readIndex(VIEW, '\u{1f600}:/', 'text:1', { limit: 1 }))[0]?.value, fields);
        assert.deepEqual((await viewStore.readChanges(VIEW, 0, 1))[0]?.assert, fields);
        assert.deepEqual(await viewStore.readNotes(VIEW, ''), [{ key: '\u{1f600}', value: fields }]);
      },
    },
    {
      name: 'keeps how far rows reach, each as it was committed last',
      async run({ ports: { viewStore } }) {
        const ahead = [
          ['t\u0000parcel\u0000p1', 5],
          ['\u0000parcel\u0000"p2"', 7],
        ] as const;
        const rows = [
          row('a'),
          { ...row('b'), through: 3 },
          { ...row('c'), ahead },
          { ...row('d'), through: -1, ahead },
        ];
        const keys = keysOf(rows);
        await viewStore.commit(commitOf({ rows }));
        assert.deepEqual(await viewStore.readRows(VIEW, keys), rows);
        assert.deepEqual(await viewStore.findRows(VIEW, { limit: 10 }), rows);
        const next = rows.map((one, i) => ({ ...rows[(i + 1) % rows.length]!, key: one.key }));
        await viewStore.commit(commitOf({ expected: 'o1:1', checkpoint: 'o1:2', rows: next }));
        assert.deepEqual(await viewStore.readRows(VIEW, keys), next);
      },
    },
    {
      name: 'replaces rows, contributions and notes, forgets contributions, and removes index entries and notes',
      async run({ ports: { viewStore } }) {
        await viewStore.commit(full());
        await viewStore.commit(
          commitOf({
            expected: 'o1:1',
            checkpoint: 'o1:2',
            rows: [row('a', 2, 1, 7)],
            contributions: [{ aggregate: parcel('p1'), value: { a: 2 } }],
            forget: [parcel('p2'), parcel('never')],
            indexRemove: [entry('1'), entry('never')],
            indexAdd: [entry('3'), entry('2', 'replaced')],
            notes: [
              { key: 'parked/p9', value: null },
              { key: 'parked/p8', value: 1 },
            ],
          }),
        );
        assert.deepEqual(await viewStore.readRows(VIEW, ['a']), [row('a', 2, 1, 7)]);
        assert.deepEqual(await viewStore.readContributions(VIEW, [parcel('p1'), parcel('p2')]), [{ a: 2 }, undefined]);
        assert.deepEqual(await scan(viewStore), [{ aggregate: parcel('p1'), value: { a: 2 } }]);
        assert.deepEqual(await viewStore.readIndex(VIEW, 'r', 'f', { limit: 9 }), [entry('2', 'replaced'), entry('3')]);
        assert.deepEqual(await viewStore.readNotes(VIEW, ''), [{ key: 'parked/p8', value: 1 }]);
        assert.equal(await viewStore.readCheckpoint(VIEW), 'o1:2');
      },
    },
    {
      name: 'keeps an index entry that one commit removes and adds',
      async run({ ports: { viewStore } }) {
        await viewStore.commit(commitOf({ indexAdd: [entry('1')] }));
        await viewStore.commit(
          commitOf({ expected: 'o1:1', checkpoint: 'o1:2', indexRemove: [entry('1')], indexAdd: [entry('1', 'new')] }),
        );
        assert.deepEqual(await viewStore.readIndex(VIEW, 'r', 'f', { limit: 9 }), [entry('1', 'new')]);
      },
    },
    {
      name: 'refuses a commit whose checkpoint is not the stored one, whole',
      async run(opened) {
        const { viewStore } = opened.ports;
        await refusesWhole(opened, 'CHECKPOINT_MOVED', { expected: 'o1:1' });
        await viewStore.commit(full());
        await refusesWhole(opened, 'CHECKPOINT_MOVED', { expected: undefined });
        await refusesWhole(opened, 'CHECKPOINT_MOVED', { expected: 'o1:0' });
        await viewStore.commit(commitOf({ expected: 'o1:1', checkpoint: 'o1:2' }));
        await refusesWhole(opened, 'CHECKPOINT_MOVED', { expected: 'o1:1' });
      },
    },
    {
      name: 'of commits that race from one checkpoint lets exactly one through',
      async run({ ports: { viewStore } }) {
        const answers = await Promise.allSettled(
          Array.from({ length: 10 }, (_, i) =>
            viewStore.commit(commitOf({ rows: [row(`r${i}`)], changes: [change(`r${i}`)], checkpoint: `o1:${i}` })),
          ),
        );
        assert.equal(answers.filter((answer) => answer.status === 'fulfilled').length, 1);
        assert.equal((await viewStore.findRows(VIEW, { limit: 100 })).length, 1);
        assert.equal(await viewStore.lastChange(VIEW), 1);
      },
    },
    {
      name: 'refuses a commit whose epoch is not the owner’s, whole: a former owner writes no more',
      async run(opened) {
        const { viewStore, checkpointStore } = opened.ports;
        const first = await checkpointStore.claim(OWNER, 'one', undefined);
        await refusesWhole(opened, 'LEASE_LOST', { epoch: 0 });
        await viewStore.commit({ ...full(), epoch: first!.epoch });
        const second = await checkpointStore.claim(OWNER, 'two', first);
        await refusesWhole(opened, 'LEASE_LOST', { epoch: first!.epoch, expected: 'o1:1' });
        await refusesWhole(opened, 'LEASE_LOST', { epoch: second!.epoch + 1, expected: 'o1:1' });
        await viewStore.commit(commitOf({ epoch: second!.epoch, expected: 'o1:1', checkpoint: 'o1:2' }));
        assert.equal(await viewStore.readCheckpoint(VIEW), 'o1:2');
      },
    },
    {
      name: 'keeps views, versions and slices apart',
      async run({ ports: { viewStore } }) {
        const refs: ViewRef[] = [
          VIEW,
          { ...VIEW, version: 2 },
          { ...VIEW, slice: 7 },
          { ...VIEW, name: 'origin' },
          { ...VIEW, name: 'origin-day2' },
        ];
        for (const [i, view] of refs.entries()) {
          await viewStore.commit({
            ...full(),
            view,
            checkpoint: `o1:${i}`,
            rows: [row('a', 1, 1, i)],
            changes: [change('a')],
          });
        }
        for (const [i, view] of refs.entries()) {
          assert.equal(await viewStore.readCheckpoint(view), `o1:${i}`);
          assert.deepEqual(await viewStore.findRows(view, { limit: 10 }), [row('a', 1, 1, i)]);
          assert.equal(await viewStore.lastChange(view), 1);
        }
        assert.deepEqual(await viewStore.versions(VIEW.name), [1, 2]);
      },
    },
    {
      name: 'drops one version of a view wholly and no other, and it may begin anew',
      async run({ ports: { viewStore } }) {
        const other = { ...VIEW, version: 2 };
        await viewStore.commit(full());
        await viewStore.commit({ ...full(), view: other });
        const kept = await everything(viewStore, other);
        await viewStore.drop(VIEW);
        assert.deepEqual(await everything(viewStore), {
          checkpoint: undefined,
          rows: [],
          contributions: [],
          changes: [],
          last: 0,
          notes: [],
          index: [],
        });
        assert.deepEqual(await viewStore.readRows(VIEW, ['a']), [undefined]);
        assert.deepEqual(await everything(viewStore, other), kept);
        assert.deepEqual(await viewStore.versions(VIEW.name), [2]);
        await viewStore.commit(full());
        assert.equal(await viewStore.lastChange(VIEW), 2);
      },
    },
    {
      name: 'finds live rows by range and prefix in the order of UTF-8 bytes, both ways, up to the limit',
      async run({ ports: { viewStore } }) {
        const keys = ['', 'a', 'a b', 'aa', 'ab', 'b', 'b/', 'é', '\ufb01', '\u{1f600}', '\u{1f600}a'];
        await viewStore.commit(commitOf({ rows: [...keys].reverse().map((key) => row(key)) }));
        const cases: [Omit<Parameters<ViewStore['findRows']>[1], 'limit'>, string[]][] = [
          [{}, keys],
          [{ prefix: 'a' }, ['a', 'a b', 'aa', 'ab']],
          [{ prefix: '\u{1f600}' }, ['\u{1f600}', '\u{1f600}a']],
          [{ prefix: 'nothing' }, []],
          [{ from: 'ab' }, keys.slice(4)],
          [{ from: 'ab', fromExclusive: true }, keys.slice(5)],
          [{ from: 'aaa' }, keys.slice(4)],
          [{ to: 'aa' }, ['', 'a', 'a b', 'aa']],
          [{ to: 'aa', toExclusive: true }, ['', 'a', 'a b']],
          [{ from: 'a b', to: 'b' }, ['a b', 'aa', 'ab', 'b']],
          [{ from: 'a', fromExclusive: true, to: 'b', toExclusive: true }, ['a b', 'aa', 'ab']],
          [{ prefix: 'a', from: 'aa' }, ['aa', 'ab']],
          [{ prefix: 'a', to: 'aa', toExclusive: true }, ['a', 'a b']],
          [{ prefix: 'b', from: 'a', to: 'z' }, ['b', 'b/']],
          [{ prefix: 'b', to: 'a' }, []],
          [{ from: 'b', to: 'a' }, []],
          [{ to: 'é' }, keys.slice(0, 8)],
        ];
        for (const [options, expected] of cases) {
          const say = JSON.stringify(options);
          assert.deepEqual(keysOf(await viewStore.findRows(VIEW, { ...options, limit: 100 })), expected, say);
          assert.deepEqual(keysOf(await viewStore.findRows(VIEW, { ...options, limit: 2 })), expected.slice(0, 2), say);
          const down = await viewStore.findRows(VIEW, { ...options, limit: 100, descending: true });
          assert.deepEqual(keysOf(down), expected.toReversed(), `descending ${say}`);
          const two = await viewStore.findRows(VIEW, { ...options, limit: 2, descending: true });
          assert.deepEqual(keysOf(two), expected.toReversed().slice(0, 2), `descending ${say}`);
        }
      },
    },
    {
      name: 'does not find a removed row, but keeps its revision',
      async run({ ports: { viewStore } }) {
        await viewStore.commit(commitOf({ rows: [row('a'), row('b'), row('c')] }));
        await viewStore.commit(commitOf({ expected: 'o1:1', checkpoint: 'o1:2', rows: [row('b', 2, 0, 0)] }));
        assert.deepEqual(
          keysOf(await viewStore.findRows(VIEW, { limit: 2 })),
          ['a', 'c'],
          'removed rows do not count for the limit',
        );
        assert.deepEqual(keysOf(await viewStore.findRows(VIEW, { limit: 2, descending: true })), ['c', 'a']);
        const all = await viewStore.findRows(VIEW, { limit: 9, removed: true });
        assert.deepEqual(all, [row('a'), row('b', 2, 0, 0), row('c')], 'asked for, removed rows are found');
        assert.deepEqual(keysOf(await viewStore.findRows(VIEW, { limit: 1, from: 'b', removed: true })), ['b']);
        assert.deepEqual(await viewStore.readRows(VIEW, ['b']), [row('b', 2, 0, 0)]);
        await viewStore.commit(commitOf({ expected: 'o1:2', checkpoint: 'o1:3', rows: [row('b', 3)] }));
        assert.deepEqual(keysOf(await viewStore.findRows(VIEW, { limit: 9 })), ['a', 'b', 'c']);
      },
    },
    {
      name: 'reads the index of one field of one row in order, by prefix, behind an entry, both ways',
      async run({ ports: { viewStore } }) {
        const own = ['', '1', '10', '11', '2', 'é', '\ufb01', '\u{1f600}'];
        const others = [
          entry('1', 1, 'r', 'g'),
          entry('1', 1, 'r2', 'f'),
          entry('1', 1, '', 'f'),
          entry('1', 1, 'r', 'f2'),
        ];
        await viewStore.commit(commitOf({ indexAdd: [...[...own].reverse().map((order) => entry(order)), ...others] }));
        const read = async (
          options: Omit<Parameters<ViewStore['readIndex']>[3], 'limit'>,
          limit = 100,
        ): Promise<string[]> => orders(await viewStore.readIndex(VIEW, 'r', 'f', { ...options, limit }));
        assert.deepEqual(await read({}), own);
        assert.deepEqual(await read({ descending: true }), own.toReversed());
        assert.deepEqual(await read({}, 3), own.slice(0, 3));
        assert.deepEqual(await read({ descending: true }, 1), ['\u{1f600}']);
        assert.deepEqual(await read({ prefix: '1' }), ['1', '10', '11']);
        assert.deepEqual(await read({ prefix: '1', descending: true }), ['11', '10', '1']);
        assert.deepEqual(await read({ prefix: '1', descending: true }, 1), ['11']);
        assert.deepEqual(await read({ prefix: '3' }), []);
        assert.deepEqual(await read({ after: '10' }), ['11', '2', 'é', '\ufb01', '\u{1f600}']);
        assert.deepEqual(await read({ after: '10', descending: true }), ['1', '']);
        assert.deepEqual(await read({ after: '100', descending: true }), ['10', '1', '']);
        assert.deepEqual(await read({ prefix: '1', after: '10' }), ['11']);
        assert.deepEqual(await read({ prefix: '1', after: '10', descending: true }), ['1']);
        assert.deepEqual(orders(await viewStore.readIndex(VIEW, 'r2', 'f', { limit: 9 })), ['1']);
        assert.deepEqual(orders(await viewStore.readIndex(VIEW, 'r3', 'f', { limit: 9 })), []);
      },
    },
    {
      name: 'scans which rows and fields have index entries, each once, in order, whatever their names',
      async run({ ports: { viewStore } }) {
        const names = ['', 'a', 'a\u0000', 'a\u0000b', 'a\u0001', 'ab', '\ufb01', '\u{1f600}'];
        const pairs = names.flatMap((name) => names.map((field) => [name, field] as const));
        const found = async (): Promise<(readonly string[])[]> => {
          const all: (readonly string[])[] = [];
          for await (const page of viewStore.scanIndexes(VIEW)) all.push(...page.map((each) => [each.row, each.field]));
          return all;
        };
        assert.deepEqual(await found(), []);
        await viewStore.commit(
          commitOf({
            // Without a row of that name: an index stands for itself.
            indexAdd: pairs.flatMap(([name, field]) =>
              ['', '1', '\u0000'].map((order) => entry(order, 1, name, field)),
            ),
          }),
        );
        await viewStore.commit(commitOf({ view: { ...VIEW, version: 2 }, indexAdd: [entry('1', 1, 'other')] }));
        assert.deepEqual(await found(), pairs);
        const many = Array.from({ length: 2_100 }, (_, i) => `r${String(i).padStart(4, '0')}`);
        await viewStore.commit(
          commitOf({
            expected: 'o1:1',
            checkpoint: 'o1:2',
            indexRemove: pairs.flatMap(([name, field]) =>
              ['', '1', '\u0000'].map((order) => entry(order, 1, name, field)),
            ),
            indexAdd: many.map((name) => entry('1', 1, name)),
          }),
        );
        assert.deepEqual(
          await found(),
          many.map((name) => [name, 'f']),
        );
      },
    },
    {
      name: 'numbers changes from 1 without gaps over commits, and reads them in bounded pages',
      async run({ ports: { viewStore } }) {
        let expected: string | undefined;
        for (let i = 1; i <= 5; i++) {
          const checkpoint = `o1:${i}`;
          await viewStore.commit(
            commitOf({ expected, checkpoint, changes: i === 3 ? [] : [change('a', i), change('b', i)] }),
          );
          expected = checkpoint;
        }
        const all = await viewStore.readChanges(VIEW, 0, 100);
        assert.deepEqual(
          all.map((each) => each.sequence),
          [1, 2, 3, 4, 5, 6, 7, 8],
        );
        assert.deepEqual(
          all.map((each) => `${each.key}${each.revision}`),
          ['a1', 'b1', 'a2', 'b2', 'a4', 'b4', 'a5', 'b5'],
        );
        assert.deepEqual(
          (await viewStore.readChanges(VIEW, 3, 2)).map((each) => each.sequence),
          [4, 5],
        );
        assert.deepEqual(await viewStore.readChanges(VIEW, 8, 2), []);
        assert.deepEqual(await viewStore.readChanges(VIEW, 99, 2), []);
        assert.equal(await viewStore.lastChange(VIEW), 8);
      },
    },
    {
      name: 'numbers changes on from where a commit says, and forgets those before: a view may take over from another',
      async run({ ports: { viewStore } }) {
        await viewStore.commit(commitOf({ changes: [change('a'), change('b')] }));
        await viewStore.commit(
          commitOf({ expected: 'o1:1', changesFrom: 40, changes: [change('a', 2)], checkpoint: 'o1:1' }),
        );
        assert.equal(await viewStore.lastChange(VIEW), 41);
        await viewStore.commit(commitOf({ expected: 'o1:1', checkpoint: 'o1:2', changes: [change('b', 2)] }));
        const kept = [
          { ...change('a', 2), sequence: 41 },
          { ...change('b', 2), sequence: 42 },
        ];
        assert.deepEqual(await viewStore.readChanges(VIEW, 40, 9), kept);
        assert.deepEqual(await viewStore.readChanges(VIEW, 41, 9), kept.slice(1));
        for (const after of [0, 1, 39]) await refused('CHANGES_TRIMMED', () => viewStore.readChanges(VIEW, after, 9));
        // Again, as after a crash in the middle of taking over: what that left is forgotten.
        await viewStore.commit(commitOf({ expected: 'o1:2', checkpoint: 'o1:2', changesFrom: 41 }));
        assert.equal(await viewStore.lastChange(VIEW), 41);
        assert.deepEqual(await viewStore.readChanges(VIEW, 41, 9), []);
        await refused('CHANGES_TRIMMED', () => viewStore.readChanges(VIEW, 40, 9));
        await viewStore.commit(commitOf({ expected: 'o1:2', checkpoint: 'o1:3', changes: [change('c')] }));
        assert.deepEqual(await viewStore.readChanges(VIEW, 41, 9), [{ ...change('c'), sequence: 42 }]);
      },
    },
    {
      name: 'numbers the changes of a new view on from where its first commit says',
      async run({ ports: { viewStore } }) {
        await viewStore.commit(commitOf({ changesFrom: 7 }));
        assert.equal(await viewStore.lastChange(VIEW), 7);
        await viewStore.commit(commitOf({ expected: 'o1:1', checkpoint: 'o1:2', changes: [change('a')] }));
        assert.deepEqual(await viewStore.readChanges(VIEW, 7, 9), [{ ...change('a'), sequence: 8 }]);
      },
    },
    {
      name: 'wakes who waits for a change; a commit without one need not',
      async run(opened) {
        const { viewStore } = opened.ports;
        const { signal } = new AbortController();
        const waiting = viewStore.waitForChange(VIEW, 0, signal);
        await viewStore.commit(commitOf({ changes: [change('a')] }));
        await soon(waiting, opened.clock, 'the wait ends with the change');
        await soon(viewStore.waitForChange(VIEW, 0, signal), opened.clock, 'the wait for what is there already ends');
        const stop = new AbortController();
        const aborted = viewStore.waitForChange(VIEW, 1, stop.signal);
        stop.abort();
        await soon(aborted, opened.clock, 'the aborted wait ends');
      },
    },
    {
      name: 'reads notes by prefix in key order',
      async run({ ports: { viewStore } }) {
        const keys = ['parked/b', 'parked', 'parked/a', 'q', 'a', 'parked/\u{1f600}', 'parked/\ufb01'];
        await viewStore.commit(commitOf({ notes: keys.map((key) => ({ key, value: key })) }));
        const read = async (prefix: string): Promise<string[]> =>
          (await viewStore.readNotes(VIEW, prefix)).map((note) => note.key);
        assert.deepEqual(await read('parked/'), ['parked/a', 'parked/b', 'parked/\ufb01', 'parked/\u{1f600}']);
        assert.deepEqual(await read(''), [...keys].sort(compareText));
        assert.deepEqual(await read('nothing'), []);
      },
    },
    {
      name: 'scans all contributions in pages, in the order of tenant, type and id',
      async run({ ports: { viewStore } }) {
        const ids = Array.from({ length: 2_300 }, (_, i) => `p${i}`);
        const keys = [...ids.map((id) => parcel(id)), parcel('x', 't'), parcel('x', '', 'a'), parcel('x', '', 'z')];
        await viewStore.commit(commitOf({ contributions: keys.map((aggregate, i) => ({ aggregate, value: i })) }));
        const found = (await scan(viewStore)).map(
          ({ aggregate }) => `${aggregate.tenant}|${aggregate.type}|${aggregate.id}`,
        );
        const expected = ['|a|x', ...[...ids].sort(compareText).map((id) => `|parcel|${id}`), '|z|x', 't|parcel|x'];
        assert.deepEqual(found, expected);
      },
    },
    {
      name: 'keeps what it holds when a caller changes what it gave or got',
      async run({ ports: { viewStore } }) {
        const fields = { list: [1], n: 1 };
        const value = { list: [1] };
        await viewStore.commit(
          commitOf({
            rows: [{ key: 'a', revision: 1, contributors: 1, fields }],
            contributions: [{ aggregate: parcel('p1'), value }],
          }),
        );
        const meddle = (list: number[] | undefined): void => {
          try {
            list?.push(2);
          } catch {
            // A store may hand out frozen values: then nobody can meddle.
          }
        };
        meddle(fields.list);
        meddle(value.list);
        meddle((await viewStore.readRows(VIEW, ['a']))[0]?.fields['list'] as number[]);
        meddle(((await viewStore.readContributions(VIEW, [parcel('p1')]))[0] as typeof value).list);
        meddle((await viewStore.findRows(VIEW, { limit: 1 }))[0]?.fields['list'] as number[]);
        assert.deepEqual((await viewStore.readRows(VIEW, ['a']))[0]?.fields, { list: [1], n: 1 });
        assert.deepEqual(await viewStore.readContributions(VIEW, [parcel('p1')]), [{ list: [1] }]);
      },
    },
    {
      name: 'holds a view over a restart, rows never apart from their checkpoint',
      needs: 'survivesRestart',
      async run(opened) {
        await opened.ports.viewStore.commit(full());
        const before = await everything(opened.ports.viewStore);
        const again = await opened.reopen!();
        assert.deepEqual(await everything(again.ports.viewStore), before);
        await again.ports.viewStore.commit(
          commitOf({ expected: 'o1:1', checkpoint: 'o1:2', changes: [change('a', 2)] }),
        );
        assert.equal(await again.ports.viewStore.lastChange(VIEW), 3);
      },
    },
    {
      name: 'takes a durable commit like any other: whole, fenced, and in order with those that are not',
      async run(opened) {
        const { viewStore } = opened.ports;
        await viewStore.commit({ ...full(), durable: true });
        const whole = await everything(viewStore);
        assert.deepEqual(await viewStore.readNotes(VIEW, ''), full().notes);
        await refusesWhole(opened, 'LEASE_LOST', { expected: 'o1:1', epoch: 7, durable: true });
        await refusesWhole(opened, 'CHECKPOINT_MOVED', { expected: 'o1:7', durable: true });
        for (let i = 1; i <= 20; i++) {
          const step = { expected: `o1:${i}`, checkpoint: `o1:${i + 1}`, changes: [change('c', i)] };
          await viewStore.commit(commitOf({ ...step, durable: i % 3 === 0 }));
        }
        assert.equal(await viewStore.readCheckpoint(VIEW), 'o1:21');
        assert.equal(await viewStore.lastChange(VIEW), 22);
        assert.deepEqual(await viewStore.findRows(VIEW, { limit: 9 }), (whole as { rows: StoredRow[] }).rows);
      },
    },
    {
      name: 'shows another process every commit, and wakes its waits',
      needs: 'multiProcess',
      async run(opened) {
        const other = await opened.another!();
        const waiting = other.ports.viewStore.waitForChange(VIEW, 0, new AbortController().signal);
        await opened.ports.viewStore.commit(full());
        await soon(waiting, opened.clock, 'the wait in the other process ends');
        assert.deepEqual(await everything(other.ports.viewStore), await everything(opened.ports.viewStore));
      },
    },
    {
      name: 'refuses every call after close',
      async run(opened) {
        const { viewStore } = opened.ports;
        await opened.close();
        await refused('STORE_CLOSED', () => viewStore.commit(full()));
        await refused('STORE_CLOSED', () => viewStore.readCheckpoint(VIEW));
        await refused('STORE_CLOSED', () => viewStore.findRows(VIEW, { limit: 1 }));
        await refused('STORE_CLOSED', () => viewStore.readChanges(VIEW, 0, 1));
        await refused('STORE_CLOSED', () => viewStore.drop(VIEW));
        await refused('STORE_CLOSED', () => scan(viewStore));
        await refused('STORE_CLOSED', async () => {
          for await (const page of viewStore.scanIndexes(VIEW)) void page;
        });
      },
    },
    {
      name: 'after any run of commits holds what a plain map would',
      async run({ ports: { viewStore } }, { runs }) {
        const key = fc.constantFrom('', 'a', 'ab', 'b', '\ufb01', '\u{1f600}');
        const commits = fc.array(
          fc.record({
            rows: fc.uniqueArray(fc.record({ key, contributors: fc.nat({ max: 2 }), n: fc.integer() }), {
              selector: (each) => each.key,
              maxLength: 4,
            }),
            add: fc.uniqueArray(key, { maxLength: 4 }),
            remove: fc.uniqueArray(key, { maxLength: 4 }),
            stale: fc.boolean(),
          }),
          { minLength: 1, maxLength: 8 },
        );
        let run = 0;
        await fc.assert(
          fc.asyncProperty(commits, async (given) => {
            const view = { ...VIEW, name: `model${++run}` };
            const rows = new Map<string, StoredRow>();
            const index = new Set<string>();
            let expected: string | undefined;
            for (const [i, { rows: changed, add, remove, stale }] of given.entries()) {
              const stored = changed.map((each) => row(each.key, i + 1, each.contributors, each.n));
              const checkpoint = `o1:${i}`;
              const commit = commitOf({
                view,
                expected: stale ? 'o1:999' : expected,
                checkpoint,
                rows: stored,
                indexAdd: add.map((order) => entry(order)),
                indexRemove: remove.map((order) => entry(order)),
              });
              if (stale) {
                await refused('CHECKPOINT_MOVED', () => viewStore.commit(commit));
                continue;
              }
              await viewStore.commit(commit);
              expected = checkpoint;
              for (const each of stored) rows.set(each.key, each);
              for (const order of remove) index.delete(order);
              for (const order of add) index.add(order);
            }
            const live = [...rows.values()]
              .filter((each) => each.contributors > 0)
              .sort((a, b) => compareText(a.key, b.key));
            assert.deepEqual(await viewStore.findRows(view, { limit: 100 }), live);
            assert.deepEqual(
              orders(await viewStore.readIndex(view, 'r', 'f', { limit: 100 })),
              [...index].sort(compareText),
            );
            assert.equal(await viewStore.readCheckpoint(view), expected);
          }),
          { numRuns: Math.min(runs, 200) },
        );
      },
    },
  ],
};
