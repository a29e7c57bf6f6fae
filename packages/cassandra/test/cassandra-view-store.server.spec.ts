/**
 * Goal: a commit of a view is whole for every reader and refused to every former owner, whatever is late, lost or killed; and
 * what is not needed any more goes. Method: stores over one real server, delayed by hand between staging and commit, read while
 * they commit, and with a clock that can be moved on.
 */
import { SystemClock, UnavailableError, type ViewCommit, type ViewRef } from '@concursus/core';
import { refused } from '@concursus/testing';
import type { Client } from 'cassandra-driver';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { CassandraCheckpointStore } from '../src/cassandra-checkpoint-store.js';
import { CassandraViewStore } from '../src/cassandra-view-store.js';
import { Session, type Conditional } from '../src/session.js';
import { bareClient, cleanUp, contextOf, freshContext, openLayer, serverUrl, specOptions } from './support.js';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

const VIEW: ViewRef = { name: 'counting', version: 1, slice: -1 };
const OWNER = 'projection:counting';

/** Goes on by itself, and further when it is told to. */
class MovableClock extends SystemClock {
  movedMs = 0;

  override monotonicMs(): number {
    return super.monotonicMs() + this.movedMs;
  }
}

/** Stops in front of conditional writes of heads while it is told to, as a paused process does. */
class PausingSession extends Session {
  private paused: { readonly until: Promise<void>; readonly reached: () => void } | undefined;

  /** The next commit stops when all is staged. */
  pause(): { readonly reached: Promise<void>; readonly goOn: () => void } {
    let goOn = (): void => undefined;
    const until = new Promise<void>((resolve) => (goOn = resolve));
    const reached = new Promise<void>((resolve) => (this.paused = { until, reached: resolve }));
    return { reached, goOn };
  }

  override async conditional(...args: Parameters<Session['conditional']>): Promise<Conditional> {
    if (args[1].startsWith('a commit') && this.paused !== undefined) {
      const { until, reached } = this.paused;
      this.paused = undefined;
      reached();
      await until;
    }
    return super.conditional(...args);
  }
}

interface Opened {
  readonly session: PausingSession;
  readonly clock: MovableClock;
  readonly views: CassandraViewStore;
  readonly checkpoints: CassandraCheckpointStore;
}

const sessions: Session[] = [];

/** One process's stores. */
async function open(context: string, changesKept = 100_000): Promise<Opened> {
  const clock = new MovableClock();
  const session = new PausingSession(specOptions(), contextOf(context), clock);
  await session.connect();
  sessions.push(session);
  return {
    session,
    clock,
    views: new CassandraViewStore(session, changesKept),
    checkpoints: new CassandraCheckpointStore(session),
  };
}

/** Rows, a contribution, an index entry and a note that all say `n`, and a change. */
function commitOf(n: number, parts: Partial<ViewCommit> = {}): ViewCommit {
  const fields = { n };
  return {
    view: VIEW,
    owner: OWNER,
    epoch: 0,
    expected: n === 1 ? undefined : `o1:${n - 1}`,
    checkpoint: `o1:${n}`,
    rows: ['a', 'b', 'c', 'd', 'e'].map((key) => ({ key, revision: n, contributors: 1, fields })),
    contributions: [{ aggregate: { tenant: '', type: 'lamp', id: 'l' }, value: n }],
    forget: [],
    indexAdd: [{ row: 'a', field: 'n', order: 'x', value: n }],
    indexRemove: [],
    changes: [{ key: 'a', revision: n, retract: n === 1 ? null : { n: n - 1 }, assert: fields, cause: [] }],
    notes: [{ key: 'n', value: n }],
    ...parts,
  };
}

const COUNT = 'SELECT COUNT(*) FROM';

describe.skipIf(serverUrl === undefined)('a view on Cassandra', () => {
  let client: Client;

  beforeAll(async () => {
    await (await openLayer('tables')).close();
    client = await bareClient();
  });

  afterEach(async () => {
    for (const session of sessions.splice(0)) await session.close();
  });

  afterAll(async () => {
    await client.shutdown();
    await cleanUp();
  });

  const counted = async (table: string, where: string, values: unknown[]): Promise<number> =>
    Number((await client.execute(`${COUNT} ${table} WHERE ${where}`, values, { prepare: true })).first()!.get(0));

  it('shows a reader each commit wholly or not at all while commits go on', async () => {
    const context = freshContext();
    const owner = await open(context);
    const readers = [await open(context), await open(context)];
    const seen = new Set<number>();
    let done = false;
    const reading = readers.map(async ({ views }) => {
      let last = 0;
      while (!done) {
        const rows = await views.findRows(VIEW, { limit: 10 });
        const ns = rows.map((row) => row.fields['n'] as number);
        expect(new Set(ns).size, ns.join()).toBeLessThan(2);
        if (ns.length === 0) continue;
        expect(ns).toHaveLength(5);
        expect(ns[0]).toBeGreaterThanOrEqual(last);
        last = ns[0]!;
        seen.add(last);
        const some = await views.readRows(VIEW, ['e', 'a']);
        expect(some[0]!.fields).toEqual(some[1]!.fields);
        const changes = await views.readChanges(VIEW, last - 1, 1);
        expect(changes[0]?.assert).toEqual({ n: last });
      }
    });
    for (let n = 1; n <= 150; n++) await owner.views.commit(commitOf(n));
    done = true;
    await Promise.all(reading);
    expect(seen.size, 'readers saw commits go by').toBeGreaterThan(10);
  });

  it('refuses a paused owner from the claim on, before its follower committed anything', async () => {
    const context = freshContext();
    const [paused, follower] = [await open(context), await open(context)];
    const first = (await paused.checkpoints.claim(OWNER, 'one', undefined))!;
    await paused.views.commit(commitOf(1, { epoch: first.epoch }));
    const pause = paused.session.pause();
    const late = paused.views.commit(commitOf(2, { epoch: first.epoch }));
    await pause.reached;
    const second = (await follower.checkpoints.claim(OWNER, 'two', first))!;
    pause.goOn();
    await refused('LEASE_LOST', () => late);
    expect(await follower.views.readCheckpoint(VIEW)).toBe('o1:1');
    expect((await follower.views.readRows(VIEW, ['a']))[0]!.fields).toEqual({ n: 1 });
    await follower.views.commit(commitOf(2, { epoch: second.epoch, notes: [{ key: 'n', value: 'follower' }] }));
    expect(await paused.views.readNotes(VIEW, '')).toEqual([{ key: 'n', value: 'follower' }]);
  });

  it('counts nothing of what was staged and not committed, also when it is written late and over other slots', async () => {
    const context = freshContext();
    const [owner, other] = [await open(context), await open(context)];
    await owner.views.commit(commitOf(1));
    const pause = owner.session.pause();
    const onlyStaged = commitOf(2, {
      rows: ['a', 'staged'].map((key) => ({ key, revision: 2, contributors: 1, fields: { n: 666 } })),
      changes: ['a', 'staged'].map((key) => ({ key, revision: 2, retract: null, assert: { n: 666 }, cause: [] })),
    });
    const late = owner.views.commit(onlyStaged);
    await pause.reached;
    for (let n = 2; n <= 9; n++) {
      await other.views.commit(commitOf(n));
      expect((await other.views.readRows(VIEW, ['a', 'staged'])).map((row) => row?.fields)).toEqual([{ n }, undefined]);
    }
    pause.goOn();
    await refused('CHECKPOINT_MOVED', () => late);
    const changes = await owner.views.readChanges(VIEW, 0, 100);
    expect(changes.map((change) => change.assert)).toEqual(Array.from({ length: 9 }, (_, i) => ({ n: i + 1 })));
    // It reads what stands, and goes on from there over what it left.
    await owner.views.commit(commitOf(10));
    expect((await other.views.findRows(VIEW, { limit: 100 })).map((row) => row.fields['n'])).toEqual([
      10, 10, 10, 10, 10,
    ]);
  });

  it('lets one of two processes that know of no owner commit, and the other go on from there', async () => {
    const context = freshContext();
    const stores = [await open(context), await open(context)];
    for (let n = 1; n <= 20; n++) {
      const answers = await Promise.allSettled(
        stores.map(({ views }, i) => views.commit(commitOf(n, { notes: [{ key: 'who', value: i }] }))),
      );
      expect(answers.filter((answer) => answer.status === 'fulfilled').length).toBeLessThanOrEqual(1);
      if (answers.every((answer) => answer.status === 'rejected')) {
        // Both hindered each other to the end of their tries; nothing was stored.
        expect(await stores[0]!.views.readCheckpoint(VIEW)).toBe(n === 1 ? undefined : `o1:${n - 1}`);
        await stores[0]!.views.commit(commitOf(n, { notes: [{ key: 'who', value: 0 }] }));
      }
      const rows = await stores[1]!.views.findRows(VIEW, { limit: 10 });
      expect(rows.map((row) => row.fields['n'])).toEqual([n, n, n, n, n]);
      expect(await stores[1]!.views.lastChange(VIEW)).toBe(n);
    }
  });

  it('knows the ends of all runs, also of more than a head names', async () => {
    const context = freshContext();
    const stores = [await open(context), await open(context)];
    await stores[0]!.views.commit(commitOf(1, { notes: [{ key: 'first', value: 'kept' }] }));
    // Each commit of the other process opens a run.
    for (let n = 2; n <= 140; n++) await stores[n % 2]!.views.commit(commitOf(n));
    const fresh = await open(context);
    for (const { views } of [...stores, fresh]) {
      expect(await views.readNotes(VIEW, 'first')).toEqual([{ key: 'first', value: 'kept' }]);
      expect(await views.readChanges(VIEW, 0, 200)).toHaveLength(140);
    }
    expect(await counted('view_seal', 'context = ? ALLOW FILTERING', [context])).toBeGreaterThan(0);
  });

  it('sweeps what was removed when no reader can need it, and keeps what came again', async () => {
    const context = freshContext();
    const owner = await open(context);
    const lamps = Array.from({ length: 20 }, (_, i) => ({ tenant: '', type: 'lamp', id: String(i) }));
    const plain = { contributions: [], indexAdd: [], notes: [], changes: [] };
    await owner.views.commit(
      commitOf(1, { ...plain, contributions: lamps.map((aggregate) => ({ aggregate, value: 1 })) }),
    );
    await owner.views.commit(commitOf(2, { ...plain, forget: lamps }));
    await owner.views.commit(commitOf(3, { ...plain, contributions: [{ aggregate: lamps[7]!, value: 2 }] }));
    const records = (): Promise<number> => counted('view_record', 'context = ? ALLOW FILTERING', [context]);
    expect(await records(), 'five rows and 20 contributions').toBe(25);
    owner.clock.movedMs += 60_000;
    await owner.views.commit(commitOf(4, plain));
    expect(await records(), 'five rows and the contribution that came again').toBe(6);
    await owner.views.commit(commitOf(5, { ...plain, contributions: [{ aggregate: lamps[3]!, value: 3 }] }));
    const reader = await open(context);
    for (const { views } of [owner, reader]) {
      expect(await views.readContributions(VIEW, [lamps[3]!, lamps[7]!, lamps[0]!])).toEqual([3, 2, undefined]);
    }
  });

  it('uses the records of notes again, so that notes that come and go leave nothing behind', async () => {
    const context = freshContext();
    const owner = await open(context);
    const plain = { contributions: [], indexAdd: [], changes: [], rows: [] };
    const keysOf = (n: number): string[] => Array.from({ length: 50 }, (_, i) => `done/${n}/${i}`);
    for (let n = 1; n <= 30; n++) {
      const come = keysOf(n).map((key) => ({ key, value: n }));
      const go = n === 1 ? [] : keysOf(n - 1).map((key) => ({ key, value: null }));
      await owner.views.commit(commitOf(n, { ...plain, notes: [...come, ...go, { key: 'settled', value: n }] }));
    }
    const expected = [...keysOf(30).map((key) => ({ key, value: 30 })), { key: 'settled', value: 30 }];
    const follower = await open(context);
    for (const { views } of [owner, follower]) {
      const found = await views.readNotes(VIEW, '');
      expect(found).toHaveLength(51);
      expect(new Set(found.map(({ key }) => key))).toEqual(new Set(expected.map(({ key }) => key)));
      expect(await views.readNotes(VIEW, 'settled')).toEqual([{ key: 'settled', value: 30 }]);
    }
    // Who goes on uses what its predecessor left.
    for (let n = 31; n <= 40; n++) {
      const come = keysOf(n).map((key) => ({ key, value: n }));
      const go = keysOf(n - 1).map((key) => ({ key, value: null }));
      await follower.views.commit(commitOf(n, { ...plain, notes: [...go, ...come] }));
    }
    expect(await owner.views.readNotes(VIEW, 'done/')).toHaveLength(50);
    expect(await counted('view_record', 'context = ? ALLOW FILTERING', [context])).toBeLessThanOrEqual(101);
  });

  it('knows where a queue begins, also after something came before its beginning', async () => {
    const context = freshContext();
    const owner = await open(context);
    const plain = { contributions: [], notes: [], changes: [], rows: [] };
    const entry = (i: number): { row: string; field: string; order: string; value: number } => ({
      row: 'due',
      field: '',
      order: String(i).padStart(6, '0'),
      value: i,
    });
    const entries = (from: number, to: number): ReturnType<typeof entry>[] =>
      Array.from({ length: to - from }, (_, i) => entry(from + i));
    await owner.views.commit(commitOf(1, { ...plain, indexAdd: entries(0, 1_000) }));
    for (let n = 2; n <= 10; n++) {
      await owner.views.commit(
        commitOf(n, { ...plain, indexAdd: [], indexRemove: entries((n - 2) * 100, (n - 1) * 100) }),
      );
    }
    const state = (
      await client.execute('SELECT state FROM owned WHERE context = ? AND name = ?', [context, OWNER], {
        prepare: true,
      })
    )
      .first()!
      .get('state') as string;
    const { floors } = JSON.parse(state) as { floors: [string, string][] };
    expect(floors).toHaveLength(1);
    expect(floors[0]![1], 'looked for after every 256 removals').toMatch(/000800$/);
    const other = await open(context);
    const firsts = async (limit: number): Promise<number[][]> =>
      Promise.all(
        [owner, other].map(async ({ views }) =>
          (await views.readIndex(VIEW, 'due', '', { limit })).map(({ value }) => value as number),
        ),
      );
    expect(await firsts(2)).toEqual([
      [900, 901],
      [900, 901],
    ]);
    await owner.views.commit(commitOf(11, { ...plain, indexAdd: [entry(5), entry(3)] }));
    expect(await firsts(3)).toEqual([
      [3, 5, 900],
      [3, 5, 900],
    ]);
    await other.views.commit(commitOf(12, { ...plain, indexAdd: [], indexRemove: [entry(3)] }));
    expect(await firsts(2)).toEqual([
      [5, 900],
      [5, 900],
    ]);
    const down = await other.views.readIndex(VIEW, 'due', '', { limit: 200, descending: true });
    expect(down.map(({ value }) => value).toReversed()).toEqual([5, ...entries(900, 1_000).map(({ value }) => value)]);
  });

  it('counts nothing of a commit that failed in the middle, also after the next one', async () => {
    const context = freshContext();
    const owner = await open(context);
    await owner.views.commit(commitOf(1));
    const failed = vi
      .spyOn(owner.session, 'conditional')
      .mockRejectedValueOnce(new UnavailableError('TIMEOUT', 'lost'));
    const more = commitOf(2, {
      rows: [
        { key: 'a', revision: 2, contributors: 1, fields: { n: 666 } },
        { key: 'staged', revision: 1, contributors: 1, fields: {} },
      ],
      notes: [{ key: 'staged', value: 1 }],
      contributions: [{ aggregate: { tenant: '', type: 'lamp', id: 'staged' }, value: 1 }],
      changes: Array.from({ length: 700 }, (_, i) => ({
        key: `staged ${i}`,
        revision: 1,
        retract: null,
        assert: {},
        cause: [],
      })),
    });
    await expect(owner.views.commit(more)).rejects.toThrow('lost');
    failed.mockRestore();
    for (let n = 2; n <= 4; n++)
      await owner.views.commit(commitOf(n, { rows: [{ key: 'b', revision: n, contributors: 1, fields: { n } }] }));
    const { views } = await open(context);
    expect((await views.readRows(VIEW, ['a', 'b', 'staged'])).map((row) => row?.fields)).toEqual([
      { n: 1 },
      { n: 4 },
      undefined,
    ]);
    expect(await views.readNotes(VIEW, '')).toEqual([{ key: 'n', value: 4 }]);
    expect(await views.readContributions(VIEW, [{ tenant: '', type: 'lamp', id: 'staged' }])).toEqual([undefined]);
    expect((await views.readChanges(VIEW, 0, 1_000)).map((change) => change.assert)).toEqual(
      [1, 2, 3, 4].map((n) => ({ n })),
    );
  });

  it('trims changes exactly, and removes their blocks when no reader can need them', async () => {
    const context = freshContext();
    const owner = await open(context, 1_000);
    const changes = (from: number): ViewCommit['changes'] =>
      Array.from({ length: 3_000 }, (_, i) => ({
        key: `k${from + i}`,
        revision: 1,
        retract: null,
        assert: { n: from + i },
        cause: [],
      }));
    for (let n = 1; n <= 4; n++) await owner.views.commit(commitOf(n, { changes: changes((n - 1) * 3_000 + 1) }));
    await refused('CHANGES_TRIMMED', () => owner.views.readChanges(VIEW, 10_999, 10));
    const kept = await owner.views.readChanges(VIEW, 11_000, 10_000);
    expect(kept.map((change) => change.key)).toEqual(Array.from({ length: 1_000 }, (_, i) => `k${11_001 + i}`));
    expect((await owner.views.readChanges(VIEW, 11_500, 3)).map((change) => change.sequence)).toEqual([
      11_501, 11_502, 11_503,
    ]);
    const entries = (): Promise<number> => counted('view_change', 'context = ? ALLOW FILTERING', [context]);
    const before = await entries();
    for (const n of [5, 6]) {
      owner.clock.movedMs += 60_000;
      await owner.views.commit(commitOf(n));
    }
    expect(await entries(), 'two blocks of 4,096 went').toBeLessThan(before / 2);
    expect(await owner.views.readChanges(VIEW, 11_002, 10_000)).toHaveLength(1_000);
  });

  it('leaves nothing behind when it is dropped, and finishes a drop that was interrupted', async () => {
    const context = freshContext();
    const [owner, other] = [await open(context), await open(context)];
    await owner.views.commit(commitOf(1));
    const dropped = vi.spyOn(owner.session, 'batch').mockRejectedValueOnce(new UnavailableError('TIMEOUT', 'lost'));
    await expect(owner.views.drop(VIEW)).rejects.toThrow('lost');
    dropped.mockRestore();
    expect(await other.views.versions(VIEW.name), 'listed until it is gone').toEqual([1]);
    expect(await other.views.findRows(VIEW, { limit: 10 })).toEqual([]);
    expect(await other.views.readCheckpoint(VIEW)).toBeUndefined();
    // Whoever commits it anew removes the rest first.
    await other.views.commit(commitOf(1, { rows: [], changes: [] }));
    expect(await owner.views.findRows(VIEW, { limit: 10 })).toEqual([]);
    expect(await owner.views.lastChange(VIEW)).toBe(0);
    await refused('CHECKPOINT_MOVED', () => owner.views.commit(commitOf(1)));
    await other.views.drop(VIEW);
    expect(await owner.views.versions(VIEW.name)).toEqual([]);
    for (const table of ['view_record', 'view_change']) {
      expect(await counted(table, 'context = ? ALLOW FILTERING', [context]), table).toBe(0);
    }
  });

  it('is committed under one owner name for good', async () => {
    const context = freshContext();
    const { views } = await open(context);
    await views.commit(commitOf(1));
    await refused('LEASE_LOST', () => views.commit(commitOf(2, { owner: 'another' })));
    expect(await views.readCheckpoint(VIEW)).toBe('o1:1');
  });

  it('commits twenty thousand records at once', async () => {
    const context = freshContext();
    const { views } = await open(context);
    const rows = Array.from({ length: 20_000 }, (_, i) => ({
      key: `row ${String(i).padStart(5, '0')}`,
      revision: 1,
      contributors: 1,
      fields: { text: 'x'.repeat(i % 50), i },
    }));
    await views.commit(commitOf(1, { rows }));
    const found = await views.findRows(VIEW, { limit: 10_000, from: 'row 05000' });
    expect(found.map((row) => row.fields['i'])).toEqual(Array.from({ length: 10_000 }, (_, i) => 5_000 + i));
  });

  it('wakes who waits in another process within the promised time', async () => {
    const context = freshContext();
    const [owner, other] = [await open(context), await open(context)];
    await owner.views.commit(commitOf(1));
    const waits: number[] = [];
    for (let n = 2; n <= 12; n++) {
      const waiting = other.views.waitForChange(VIEW, n - 1, new AbortController().signal);
      await owner.views.commit(commitOf(n));
      const start = performance.now();
      await waiting;
      waits.push(performance.now() - start);
    }
    // Half of them: one machine that is busy must not fail it.
    expect(waits.toSorted((a, b) => a - b)[5]).toBeLessThan(20);
  });
});
