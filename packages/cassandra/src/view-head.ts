/**
 * The head of a view: one row, written conditionally, that says which versions of its records count. A commit stages its
 * versions beside those that count, each stamped (run, n), and one condition on the head makes all of them true at once.
 *
 *   head says run 3, n 7   staged: (3, 8) (3, 8) (3, 8)   head says run 3, n 8
 *                          no reader counts them          every reader counts all of them
 *
 * Who wants to commit opens a run first, by a condition as well, which ends the run before: what that one staged and did not
 * commit never counts. A failed commit ends its own run, so a stamp is never used twice.
 */
import type { ViewRef } from '@concursus/core';
import { types } from 'cassandra-driver';
import { epochValue } from './cassandra-checkpoint-store.js';
import type { Conditional, Session } from './session.js';

/** Ends of runs that a head itself names; before more of them, half go into a row of `view_seal`. */
const SEALS_IN_HEAD = 64;

/** Which commit wrote a version. */
export interface Stamp {
  readonly run: number;
  readonly n: number;
}

/** As stored, in one text. */
export interface HeadState {
  /** Of a view from its first commit to its drop: part of every partition, so that what is dropped never comes back. */
  readonly life: string;
  /** The run that may commit, and how often it did. */
  readonly run: number;
  readonly n: number;
  /** Former runs that committed, with their last n, oldest first; those before are in rows of `view_seal`. */
  readonly seals: readonly (readonly [run: number, last: number])[];
  readonly archived: number;
  /** Null before the first commit and when it is dropped. */
  readonly checkpoint: string | null;
  readonly lastChange: number;
  readonly firstChange: number;
  /** How often the numbering of changes began anew, and the first block of it that was not removed. */
  readonly reset: number;
  readonly firstBlock: number;
  /** Blocks of former numberings that are to be removed. */
  readonly old: readonly (readonly [reset: number, from: number, to: number])[];
  /** Of some fields of the index the key below which there is no entry; see `index-floors.ts`. */
  readonly floors: readonly (readonly [base: string, key: string])[];
  /** It is being removed, and is removed to the end by whoever meets it next. */
  readonly dropping?: true;
}

/** A head as read, with the ends of all its runs at hand. */
export class Head {
  /** What conditions compare: no two heads of a view share it. */
  readonly version: string;
  /** The view in the partition keys of its data. */
  readonly data: string;
  private readonly ends: ReadonlyMap<number, number>;

  constructor(
    readonly id: string,
    readonly state: HeadState,
    /** Ends of the runs before those that the state names. */
    private readonly archive: ReadonlyMap<number, number>,
  ) {
    this.ends = new Map(state.seals);
    this.version = `${state.life}.${state.run}.${state.n}`;
    this.data = `${id}:${state.life}`;
  }

  /** Whether a version is part of the view as this head has it. */
  counts(run: number, n: number): boolean {
    const { state } = this;
    if (run === state.run) return n <= state.n;
    const end = this.ends.get(run) ?? this.archive.get(run);
    return end !== undefined && n <= end;
  }

  /** The key below which a field has no entry, where that is known. */
  floorOf(base: string): string | undefined {
    return this.state.floors.find(([one]) => one === base)?.[1];
  }

  /** The same run after a commit. */
  with(state: HeadState): Head {
    return new Head(this.id, state, this.archive);
  }
}

/** As the write timestamp of what is staged: what a former run still writes loses against what a later one wrote. */
export function timestampOf({ run, n }: Stamp): types.Long {
  return types.Long.fromBits(n, run);
}

const READ_OWNER = 'SELECT owner FROM view_owner WHERE context = ? AND name = ? AND version = ? AND slice = ?';
const SET_OWNER = 'INSERT INTO view_owner (context, name, version, slice, owner) VALUES (?, ?, ?, ?, ?) IF NOT EXISTS';
const READ_VERSIONS = 'SELECT version, slice FROM view_owner WHERE context = ? AND name = ?';
const READ_HEAD = 'SELECT state FROM owned WHERE context = ? AND name = ? AND view_id = ?';
const READ_EPOCH = 'SELECT epoch FROM owned WHERE context = ? AND name = ? LIMIT 1';
const WRITE_HEAD =
  'UPDATE owned SET version = ?, state = ? WHERE context = ? AND name = ? AND view_id = ? IF epoch = ? AND version = ?';
const DROP_HEAD =
  'UPDATE owned SET version = ?, state = ? WHERE context = ? AND name = ? AND view_id = ? IF version = ?';
const REMOVE_HEAD = 'DELETE FROM owned WHERE context = ? AND name = ? AND view_id = ? IF version = ?';
const READ_SEALS = 'SELECT number, seals FROM view_seal WHERE context = ? AND view_id = ? AND number >= ?';
const WRITE_SEALS = 'INSERT INTO view_seal (context, view_id, number, seals) VALUES (?, ?, ?, ?)';
const REMOVE_SEALS = 'DELETE FROM view_seal WHERE context = ? AND view_id = ?';

/** Views whose owner names and ends of runs are kept at hand. */
const VIEWS_AT_HAND = 10_000;

/** What was read of `view_seal`. */
interface Archive {
  readonly rows: number;
  readonly ends: ReadonlyMap<number, number>;
}

const NO_ARCHIVE: Archive = { rows: 0, ends: new Map() };

export class ViewHeads {
  /** Written once, so what is found stays true. */
  private readonly owners = new Map<string, string>();
  private readonly archives = new Map<string, Archive>();

  constructor(private readonly session: Session) {}

  /** The head, or undefined when the view holds nothing or is being dropped. */
  async read(view: ViewRef): Promise<Head | undefined> {
    const head = await this.readAny(view, false);
    return head === undefined || head.state.checkpoint === null ? undefined : head;
  }

  /** The head as every acknowledged condition left it, also one without a checkpoint. */
  readLast(view: ViewRef): Promise<Head | undefined> {
    return this.readAny(view, true);
  }

  private async readAny(view: ViewRef, serial: boolean): Promise<Head | undefined> {
    const owner = await this.ownerOf(view);
    if (owner === undefined) return undefined;
    const id = idOf(view);
    const params = [this.session.context, owner, id];
    const result = serial
      ? await this.session.readSerial(READ_HEAD, params)
      : await this.session.execute(READ_HEAD, params);
    const text = result.first()?.get('state') as string | null | undefined;
    return text === undefined || text === null ? undefined : this.headOf(id, JSON.parse(text) as HeadState);
  }

  private async headOf(id: string, state: HeadState): Promise<Head> {
    const { ends } = await this.archiveOf(`${id}:${state.life}`, state.archived);
    return new Head(id, state, ends);
  }

  private async archiveOf(data: string, rows: number): Promise<Archive> {
    let archive = this.archives.get(data) ?? NO_ARCHIVE;
    if (archive.rows >= rows) return archive;
    const ends = new Map(archive.ends);
    for (const row of await this.session.rows(READ_SEALS, [this.session.context, data, archive.rows])) {
      if ((row.get('number') as number) >= rows) continue; // of a run that was not opened
      for (const [run, last] of JSON.parse(row.get('seals') as string) as [number, number][]) ends.set(run, last);
    }
    archive = { rows, ends };
    keep(this.archives, data, archive);
    return archive;
  }

  /** The name under which a view is committed; undefined before its first commit. */
  private async ownerOf(view: ViewRef): Promise<string | undefined> {
    const id = idOf(view);
    const known = this.owners.get(id);
    if (known !== undefined) {
      this.session.checkOpen();
      return known;
    }
    const key = [this.session.context, view.name, view.version, view.slice];
    const owner = (await this.session.execute(READ_OWNER, key)).first()?.get('owner') as string | null | undefined;
    if (owner === undefined || owner === null) return undefined;
    keep(this.owners, id, owner);
    return owner;
  }

  /** Binds a view to the name that commits it first; resolves to the one it is bound to. */
  async bind(view: ViewRef, owner: string): Promise<string> {
    const found = await this.ownerOf(view);
    if (found !== undefined) return found;
    const key = [this.session.context, view.name, view.version, view.slice];
    const read = async (): Promise<string | undefined> =>
      (await this.session.readSerial(READ_OWNER, key)).first()?.get('owner') as string | undefined;
    const outcome = await this.session.conditional(
      { query: SET_OWNER, params: [...key, owner] },
      `"${view.name}" was bound to "${owner}"`,
      async () => (await read()) === owner,
    );
    const bound = outcome.applied ? owner : ((await read()) ?? owner);
    keep(this.owners, idOf(view), bound);
    return bound;
  }

  /** The epoch of an owner row as every acknowledged claim left it; 0 without one. */
  async epochOf(owner: string): Promise<number> {
    const found = await this.session.readSerial(READ_EPOCH, [this.session.context, owner]);
    return (found.first()?.get('epoch') as number | null | undefined) ?? 0;
  }

  /** Opens the next run of a view, or the first one of a new life; undefined when the epoch or the head is another. */
  async openRun(view: ViewRef, owner: string, epoch: number, head: Head | undefined): Promise<Head | undefined> {
    const id = idOf(view);
    let state: HeadState;
    if (head === undefined) {
      const life = Buffer.from(this.session.real.randomBytes(6)).toString('hex');
      state = {
        life,
        run: 1,
        n: 0,
        seals: [],
        archived: 0,
        checkpoint: null,
        lastChange: 0,
        firstChange: 1,
        reset: 0,
        firstBlock: 0,
        old: [],
        floors: [],
      };
    } else {
      const { run, n, seals } = head.state;
      state = { ...head.state, run: run + 1, n: 0, seals: n === 0 ? seals : [...seals, [run, n]] };
      if (state.seals.length > SEALS_IN_HEAD) state = await this.archive(head.data, state);
    }
    const next = await this.headOf(id, state);
    const outcome = await this.write(owner, epoch, head, next);
    return outcome.applied ? next : undefined;
  }

  /** Written before the head that relies on it; of two who open a run after the same head both write the same. */
  private async archive(data: string, state: HeadState): Promise<HeadState> {
    const { seals, archived } = state;
    const half = seals.slice(0, SEALS_IN_HEAD / 2);
    await this.session.execute(WRITE_SEALS, [this.session.context, data, archived, JSON.stringify(half)]);
    return { ...state, seals: seals.slice(half.length), archived: archived + 1 };
  }

  /** The one condition of a commit: the owner's epoch, and the head as the commit knows it. */
  write(owner: string, epoch: number, before: Head | undefined, next: Head): Promise<Conditional> {
    const { session } = this;
    const key = [session.context, owner, next.id];
    return session.lanes.run(owner, () =>
      session.conditional(
        {
          query: WRITE_HEAD,
          params: [next.version, JSON.stringify(next.state), ...key, epochValue(epoch), before?.version ?? null],
        },
        `a commit of "${next.id}" was made`,
        // A version belongs to one head, and only this process could write it.
        async () => this.isStored(key, next),
      ),
    );
  }

  private async isStored(key: readonly unknown[], head: Head): Promise<boolean> {
    const text = (await this.session.readSerial(READ_HEAD, key)).first()?.get('state') as string | null | undefined;
    return text === JSON.stringify(head.state);
  }

  /** Ends a life: from here on nobody reads or commits it. Resolves to the head that says so; undefined when it moved on meanwhile. */
  async beginDrop(view: ViewRef, head: Head): Promise<Head | undefined> {
    if (head.state.dropping === true) return head;
    const owner = (await this.ownerOf(view))!;
    const { run, state } = { run: head.state.run + 1, state: head.state };
    const next = head.with({ ...state, run, n: 0, checkpoint: null, dropping: true });
    const key = [this.session.context, owner, head.id];
    const outcome = await this.session.lanes.run(owner, () =>
      this.session.conditional(
        { query: DROP_HEAD, params: [next.version, JSON.stringify(next.state), ...key, head.version] },
        `"${head.id}" was dropped`,
        async () => this.isStored(key, next),
      ),
    );
    return outcome.applied ? next : undefined;
  }

  /** When the data of a life is gone. */
  async endDrop(view: ViewRef, head: Head): Promise<void> {
    const owner = (await this.ownerOf(view))!;
    const key = [this.session.context, owner, head.id];
    await this.session.execute(REMOVE_SEALS, [this.session.context, head.data]);
    await this.session.lanes.run(owner, () =>
      this.session.conditional(
        { query: REMOVE_HEAD, params: [...key, head.version] },
        `"${head.id}" was removed`,
        async () => !(await this.isStored(key, head)),
      ),
    );
    this.archives.delete(head.data);
  }

  /** Versions of a view that hold anything, also those whose drop was interrupted. */
  async versions(name: string): Promise<readonly number[]> {
    const rows = await this.session.rows(READ_VERSIONS, [this.session.context, name]);
    const found = await Promise.all(
      rows.map(async (row) => {
        const view = { name, version: row.get('version') as number, slice: row.get('slice') as number };
        const state = (await this.readAny(view, false))?.state;
        return state === undefined || (state.checkpoint === null && state.dropping !== true) ? undefined : view.version;
      }),
    );
    const versions = new Set(found.filter((version) => version !== undefined));
    return [...versions].sort((a, b) => a - b);
  }
}

export function idOf(view: ViewRef): string {
  return `${view.name}:${view.version}:${view.slice}`;
}

/** Keeps an entry as the newest; the oldest go beyond the bound. */
function keep<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > VIEWS_AT_HAND) map.delete(map.keys().next().value!);
}
