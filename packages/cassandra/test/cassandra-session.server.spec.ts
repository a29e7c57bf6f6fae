/**
 * Goal: whatever the network or the server does, a conditional write is made once or not, its caller is told which, and every
 * refusal has a code. Method: a proxy that loses answers between the driver and a real server; keyspaces that do not fit.
 */
import { randomBytes } from 'node:crypto';
import { ConcursusError, UnavailableError, type ViewCommit, type ViewRef } from '@concursus/core';
import { refused } from '@concursus/testing';
import { Client } from 'cassandra-driver';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { CassandraCheckpointStore } from '../src/cassandra-checkpoint-store.js';
import { CassandraViewStore } from '../src/cassandra-view-store.js';
import { cassandra, type CassandraPersistentOptions } from '../src/index.js';
import { keepLayout } from '../src/layout.js';
import { Session } from '../src/session.js';
import { CuttingProxy } from './cutting-proxy.js';
import { cleanUp, contextOf, freshContext, openLayer, server, specOptions } from './support.js';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

const VIEW: ViewRef = { name: 'counting', version: 1, slice: -1 };

function commitOf(n: number): ViewCommit {
  return {
    view: VIEW,
    owner: 'o',
    epoch: 1,
    expected: n === 1 ? undefined : `o1:${n - 1}`,
    checkpoint: `o1:${n}`,
    rows: [{ key: 'a', revision: n, contributors: 1, fields: { n } }],
    contributions: [],
    forget: [],
    indexAdd: [],
    indexRemove: [],
    changes: [{ key: 'a', revision: n, retract: null, assert: { n }, cause: [] }],
    notes: [],
  };
}

describe('a session on Cassandra', () => {
  const sessions: Session[] = [];
  const proxies: CuttingProxy[] = [];
  const keyspaces: string[] = [];

  beforeAll(async () => {
    await (await openLayer('tables')).close();
  });

  afterEach(async () => {
    for (const session of sessions.splice(0)) await session.close();
    for (const proxy of proxies.splice(0)) await proxy.close();
  });

  afterAll(async () => {
    const client = new Client({ ...server(), contactPoints: [...server().contactPoints] });
    for (const keyspace of keyspaces) {
      await client.execute(`DROP KEYSPACE IF EXISTS "${keyspace}"`, [], { readTimeout: 30_000 });
    }
    await client.shutdown();
    await cleanUp();
  });

  async function open(context: string, options: Partial<CassandraPersistentOptions> = {}): Promise<Session> {
    const session = new Session(specOptions(options), contextOf(context));
    sessions.push(session);
    await session.connect();
    return session;
  }

  /** A session whose answers can be lost; it waits half a second for one. */
  async function openBehindProxy(context: string): Promise<{ session: Session; proxy: CuttingProxy }> {
    const proxy = await CuttingProxy.before(server().contactPoints[0]!);
    proxies.push(proxy);
    const session = await open(context, {
      contactPoints: [proxy.address],
      clientOptions: { socketOptions: { readTimeout: 500 } },
    });
    return { session, proxy };
  }

  function newKeyspace(): string {
    const keyspace = `spec_${randomBytes(6).toString('hex')}`;
    keyspaces.push(keyspace);
    return keyspace;
  }

  /** Heals the network when the outcome is asked for: what was lost is the first answer only. */
  function healWhenAsked(session: Session, proxy: CuttingProxy): () => number {
    const read = session.readSerial.bind(session);
    let asked = 0;
    vi.spyOn(session, 'readSerial').mockImplementation(async (...args) => {
      asked += 1;
      proxy.heal();
      return read(...args);
    });
    return () => asked;
  }

  it('finds out that a conditional write whose answer was lost was made, and does not make it twice', async () => {
    const context = freshContext();
    const { session, proxy } = await openBehindProxy(context);
    const checkpoints = new CassandraCheckpointStore(session);
    const views = new CassandraViewStore(session, 100);
    const row = (await checkpoints.claim('o', 'me', undefined))!;
    await checkpoints.save('o', 'one', { epoch: 1, expected: undefined });
    await checkpoints.renew(row);
    await views.commit(commitOf(1));

    const asked = healWhenAsked(session, proxy);
    proxy.loseAnswers();
    await checkpoints.save('o', 'two', { epoch: 1, expected: 'one' });
    expect(asked(), 'by a serial read').toBeGreaterThan(0);
    proxy.loseAnswers();
    const beaten = await checkpoints.renew({ ...row, beat: row.beat + 1 });
    expect(beaten.beat).toBe(row.beat + 2);
    proxy.loseAnswers();
    const taken = await checkpoints.claim('other', 'me', undefined);
    expect(taken).toEqual({ name: 'other', owner: 'me', epoch: 1, beat: 1 });

    const direct = await open(context);
    const store = new CassandraCheckpointStore(direct);
    expect(await store.read('o')).toBe('two');
    expect(await store.readOwner('o')).toEqual(beaten);
    expect(await store.readOwner('other')).toEqual(taken);
  });

  it('makes a view’s commit once when the answer to its condition was lost', async () => {
    const context = freshContext();
    const { session, proxy } = await openBehindProxy(context);
    const checkpoints = new CassandraCheckpointStore(session);
    const views = new CassandraViewStore(session, 100);
    await checkpoints.claim('o', 'me', undefined);
    await views.commit(commitOf(1));
    const conditional = session.conditional.bind(session);
    const asked = healWhenAsked(session, proxy);
    const lost = vi.spyOn(session, 'conditional').mockImplementationOnce((...args) => {
      proxy.loseAnswers();
      return conditional(...args);
    });
    await views.commit(commitOf(2));
    expect(lost).toHaveBeenCalled();
    expect(asked()).toBeGreaterThan(0);
    await views.commit(commitOf(3));
    const reader = new CassandraViewStore(await open(context), 100);
    expect((await reader.readChanges(VIEW, 0, 10)).map((change) => change.assert)).toEqual([
      { n: 1 },
      { n: 2 },
      { n: 3 },
    ]);
  });

  it('says that it does not know when nothing answers any more; what was asked for may be asked again', async () => {
    const context = freshContext();
    const { session, proxy } = await openBehindProxy(context);
    const checkpoints = new CassandraCheckpointStore(session);
    await checkpoints.save('a', 'one', { epoch: 0 });
    proxy.loseAnswers();
    await refused('TIMEOUT', () => checkpoints.save('a', 'two', { epoch: 0, expected: 'one' }));
    await expect(checkpoints.read('a')).rejects.toBeInstanceOf(UnavailableError);
    proxy.heal();
    await vi.waitFor(async () => expect(await checkpoints.read('a')).toBe('two'), 10_000);
  });

  it('refuses more than may wait, and goes on with those that wait', async () => {
    const session = await open(freshContext(), { requestsMax: 1, waitingMax: 2 });
    const checkpoints = new CassandraCheckpointStore(session);
    const answers = await Promise.allSettled(Array.from({ length: 5 }, () => checkpoints.read('a')));
    const codes = answers.map((each) => (each.status === 'fulfilled' ? 'ok' : (each.reason as ConcursusError).code));
    expect(codes).toEqual(['ok', 'ok', 'ok', 'OVERLOADED', 'OVERLOADED']);
    expect(await checkpoints.read('a')).toBeUndefined();
  });

  it('waits at its close for what is under way, and refuses what comes later', async () => {
    const session = await open(freshContext());
    const checkpoints = new CassandraCheckpointStore(session);
    const saved = checkpoints.save('a', 'one', { epoch: 0 });
    const closed = session.close();
    await refused('STORE_CLOSED', () => checkpoints.read('a'));
    await saved;
    await closed;
    await session.close();
  });

  it('cannot be opened where nothing listens', async () => {
    const proxy = await CuttingProxy.before(server().contactPoints[0]!);
    const { address } = proxy;
    await proxy.close();
    const layer = await cassandra({ ...server(), contactPoints: [address] }).create(contextOf('c'));
    await refused('STORE_UNREACHABLE', () => layer.connect());
    await layer.close();
  });

  it('only looks when it may not make tables, and takes those that are there', async () => {
    const keyspace = newKeyspace();
    const options = { keyspace, createSchema: false };
    await refused('SCHEMA_MISMATCH', () => openLayer('c', options));
    await (await openLayer('c', { keyspace })).close();
    await (await openLayer('c', options)).close();
    await refused('SCHEMA_MISMATCH', () => openLayer('c', { keyspace: 'no-name' }));
  });

  it('refuses tables of a later version, and data spread otherwise', async () => {
    const keyspace = newKeyspace();
    await (await openLayer('c', { keyspace })).close();
    const session = await open('other', { keyspace });
    await keepLayout(session, 'views', 'rows 1, keyed 1');
    await keepLayout(session, 'views', 'rows 1, keyed 1');
    await refused('SCHEMA_MISMATCH', () => openLayer('other', { keyspace }));
    await session.execute('UPDATE schema_version SET version = ? WHERE name = ? IF EXISTS', [99, 'concursus']);
    await refused('SCHEMA_MISMATCH', () => openLayer('c', { keyspace }));
  });

  it('is made by several processes at once', async () => {
    const keyspace = newKeyspace();
    const layers = await Promise.all([1, 2, 3].map(() => openLayer('c', { keyspace })));
    for (const layer of layers) await layer.close();
  });

  it('takes the keyspace, the options and the bounds that it can, before anything is opened', async () => {
    const wrong: Partial<CassandraPersistentOptions>[] = [
      { contactPoints: [] },
      { localDataCenter: '' },
      { requestsMax: 0 },
      { waitingMax: 1.5 },
      { changesKept: -1 },
    ];
    for (const options of wrong) await refused('INVALID_OPTION', () => cassandra(specOptions(options)));
  });

  it('says no password when credentials are refused or a request fails', async () => {
    const password = 'not-to-be-seen';
    const options = { credentials: { username: 'nobody', password } };
    const error = await openLayer('c', { ...options, keyspace: 'no-name' }).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(ConcursusError.isInstance(error)).toBe(true);
    expect(JSON.stringify(error) + String(error)).not.toContain(password);
  });
});
