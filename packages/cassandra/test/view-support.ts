/** What the specs of views share: the stores of one process, with a clock that can be moved and commits that can be held up. */
import { SystemClock, type ViewCommit, type ViewRef } from '@concursus/core';
import type { Client } from 'cassandra-driver';
import { CassandraCheckpointStore } from '../src/cassandra-checkpoint-store.js';
import { CassandraViewStore } from '../src/cassandra-view-store.js';
import { Session, type Conditional } from '../src/session.js';
import { contextOf, specOptions } from './support.js';

export const VIEW: ViewRef = { name: 'counting', version: 1, slice: -1 };
export const OWNER = 'projection:counting';

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

export interface Opened {
  readonly session: PausingSession;
  readonly clock: MovableClock;
  readonly views: CassandraViewStore;
  readonly checkpoints: CassandraCheckpointStore;
}

const sessions: Session[] = [];

/** One process's stores. */
export async function openStores(context: string, changesKept = 100_000): Promise<Opened> {
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
export function commitOf(n: number, parts: Partial<ViewCommit> = {}): ViewCommit {
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

export async function closeStores(): Promise<void> {
  for (const session of sessions.splice(0)) await session.close();
}

/** Rows of a table that belong to a context. */
export async function countRows(client: Client, table: string, context: string): Promise<number> {
  const query = `SELECT COUNT(*) FROM ${table} WHERE context = ? ALLOW FILTERING`;
  return Number((await client.execute(query, [context], { prepare: true })).first()!.get(0));
}
