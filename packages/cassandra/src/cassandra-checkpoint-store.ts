/**
 * Checkpoints and owner rows on Cassandra: compare-and-set, so that of two claims one wins in any process. All of one name
 * is in one partition, with the heads of the views that this name commits.
 */
import { checkpointMoved, CheckpointStore, leaseLost } from '@concursus/core';
import type { OwnerRow } from '@concursus/core';
import type { types } from 'cassandra-driver';
import type { Session } from './session.js';

const READ = 'SELECT owner, epoch, beat, value FROM owned WHERE context = ? AND name = ? LIMIT 1';
const SAVE = 'UPDATE owned SET value = ? WHERE context = ? AND name = ? IF epoch = ? AND value = ?';
const CLAIM =
  'UPDATE owned SET owner = ?, epoch = ?, beat = ? WHERE context = ? AND name = ? IF epoch = ? AND beat = ?';
const BEAT =
  'UPDATE owned SET owner = ?, beat = ? WHERE context = ? AND name = ? IF epoch = ? AND owner = ? AND beat = ?';
/** A beat is lost only to another beat of the same owner, of which there is one at a time. */
const BEAT_TRIES = 10;

/** What a name's partition says beside heads. */
interface Owned {
  readonly owner: OwnerRow | undefined;
  readonly value: string | undefined;
}

export class CassandraCheckpointStore extends CheckpointStore {
  constructor(private readonly session: Session) {
    super();
  }

  async read(name: string): Promise<string | undefined> {
    const found = await this.session.execute(READ, [this.session.context, name]);
    return (found.first()?.get('value') as string | null | undefined) ?? undefined;
  }

  async save(name: string, value: string, options: { epoch: number; expected?: string | undefined }): Promise<void> {
    const { session } = this;
    const { epoch, expected } = options;
    // A save that changes nothing could not be told from one that was lost: both are as asked for.
    await session.lanes.run(name, async () => {
      const outcome = await session.conditional(
        { query: SAVE, params: [value, session.context, name, epochValue(epoch), expected ?? null] },
        `the checkpoint "${name}" was saved`,
        async () => {
          const now = await this.readOwned(name);
          return (now.owner?.epoch ?? 0) === epoch && now.value === value;
        },
      );
      if (outcome.applied) return;
      const now = await this.readOwned(name);
      const current = now.owner?.epoch ?? 0;
      if (current !== epoch) throw leaseLost(name, epoch, current);
      throw checkpointMoved(name, expected, now.value);
    });
  }

  async readOwner(name: string): Promise<OwnerRow | undefined> {
    const found = await this.session.execute(READ, [this.session.context, name]);
    return ownedOf(name, found.first() ?? undefined).owner;
  }

  async claim(name: string, owner: string, seen: OwnerRow | undefined): Promise<OwnerRow | undefined> {
    const { session } = this;
    const next: OwnerRow = { name, owner, epoch: (seen?.epoch ?? 0) + 1, beat: (seen?.beat ?? 0) + 1 };
    const condition = [seen?.epoch ?? null, seen?.beat ?? null];
    const outcome = await session.lanes.run(name, () =>
      session.conditional(
        { query: CLAIM, params: [owner, next.epoch, next.beat, session.context, name, ...condition] },
        `"${owner}" took over "${name}"`,
        async () => {
          const now = (await this.readOwned(name)).owner;
          return now?.epoch === next.epoch && now.owner === owner;
        },
      ),
    );
    return outcome.applied ? next : undefined;
  }

  async renew(row: OwnerRow): Promise<OwnerRow> {
    const renewed = await this.beat(row, row.owner);
    if (renewed !== undefined) return renewed;
    const current = (await this.readOwned(row.name)).owner?.epoch ?? 0;
    throw leaseLost(row.name, row.epoch, current);
  }

  async release(row: OwnerRow): Promise<void> {
    await this.beat(row, '');
  }

  /** The next beat of a row that is still ours, whichever beat of it we know; undefined when it is not. */
  private async beat(row: OwnerRow, owner: string): Promise<OwnerRow | undefined> {
    const { session } = this;
    const { name, epoch } = row;
    return session.lanes.run(name, async () => {
      let { beat } = row;
      for (let tries = 0; tries < BEAT_TRIES; tries++) {
        const next: OwnerRow = { name, owner, epoch, beat: beat + 1 };
        const outcome = await session.conditional(
          { query: BEAT, params: [owner, next.beat, session.context, name, epoch, row.owner, beat] },
          `the owner row "${name}" was renewed`,
          async () => {
            const now = (await this.readOwned(name)).owner;
            return now?.epoch === epoch && now.owner === owner && now.beat === next.beat;
          },
        );
        if (outcome.applied) return next;
        const now = (await this.readOwned(name)).owner;
        if (now === undefined || now.epoch !== epoch || now.owner !== row.owner) return undefined;
        beat = now.beat;
      }
      return undefined;
    });
  }

  /** As every acknowledged write left it. */
  private async readOwned(name: string): Promise<Owned> {
    const found = await this.session.readSerial(READ, [this.session.context, name]);
    return ownedOf(name, found.first() ?? undefined);
  }
}

/** As the column holds it: no owner row is no epoch. */
export function epochValue(epoch: number): number | null {
  return epoch === 0 ? null : epoch;
}

function ownedOf(name: string, row: types.Row | undefined): Owned {
  if (row === undefined) return { owner: undefined, value: undefined };
  const value = (row.get('value') as string | null) ?? undefined;
  const epoch = row.get('epoch') as number | null;
  if (epoch === null) return { owner: undefined, value };
  return { owner: { name, owner: row.get('owner') as string, epoch, beat: row.get('beat') as number }, value };
}
