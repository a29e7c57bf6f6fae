/** Checkpoints and owner rows on LMDB: compare-and-set in the write transaction, so that of two claims one wins in any process. */
import { checkpointMoved, CheckpointStore, leaseLost } from '@concursus/core';
import type { OwnerRow } from '@concursus/core';
import { KeyWriter } from './keys.js';
import type { Session } from './session.js';

const keys = new KeyWriter();

function checkpointKey(name: string): Buffer {
  return keys.start().text('c').tail(name).view();
}

function ownerKey(name: string): Buffer {
  return keys.start().text('o').tail(name).view();
}

function rows(session: Session) {
  return session.env.texts(session.context, 'positions');
}

/** The owner row as the transaction or snapshot in hand sees it. */
export function ownerOf(session: Session, name: string): OwnerRow | undefined {
  const text = rows(session).get(ownerKey(name));
  return text === undefined ? undefined : (JSON.parse(text) as OwnerRow);
}

function putOwner(session: Session, row: OwnerRow): OwnerRow {
  rows(session).putSync(ownerKey(row.name), JSON.stringify(row));
  return row;
}

/** @throws ConflictError `LEASE_LOST` when the epoch is not the owner's; without an owner row it is 0. */
export function checkEpoch(session: Session, name: string, epoch: number): void {
  const current = ownerOf(session, name)?.epoch ?? 0;
  if (current !== epoch) throw leaseLost(name, epoch, current);
}

export function saveCheckpoint(session: Session, name: string, value: string): void {
  rows(session).putSync(checkpointKey(name), value);
}

export class LmdbCheckpointStore extends CheckpointStore {
  constructor(private readonly session: Session) {
    super();
  }

  async read(name: string): Promise<string | undefined> {
    return rows(this.session).get(checkpointKey(name));
  }

  async save(name: string, value: string, options: { epoch: number; expected?: string | undefined }): Promise<void> {
    const { session } = this;
    await session.env.queue.run(
      () => {
        checkEpoch(session, name, options.epoch);
        const found = rows(session).get(checkpointKey(name));
        if (found !== options.expected) throw checkpointMoved(name, options.expected, found);
        saveCheckpoint(session, name, value);
      },
      { durable: true, grows: false },
    );
  }

  async readOwner(name: string): Promise<OwnerRow | undefined> {
    return ownerOf(this.session, name);
  }

  async claim(name: string, owner: string, seen: OwnerRow | undefined): Promise<OwnerRow | undefined> {
    const { session } = this;
    return session.env.queue.run(
      () => {
        const found = ownerOf(session, name);
        if (found?.epoch !== seen?.epoch || found?.beat !== seen?.beat) return undefined;
        return putOwner(session, { name, owner, epoch: (found?.epoch ?? 0) + 1, beat: (found?.beat ?? 0) + 1 });
      },
      { durable: true, grows: false },
    );
  }

  async renew(row: OwnerRow): Promise<OwnerRow> {
    const { session } = this;
    return session.env.queue.run(
      () => {
        const found = ownerOf(session, row.name);
        if (found === undefined || found.epoch !== row.epoch || found.owner !== row.owner) {
          throw leaseLost(row.name, row.epoch, found?.epoch ?? 0);
        }
        return putOwner(session, { name: row.name, owner: row.owner, epoch: row.epoch, beat: found.beat + 1 });
      },
      // A beat need not reach the disk: after a crash of the machine nobody owns anything any more.
      { durable: false, grows: false },
    );
  }

  async release(row: OwnerRow): Promise<void> {
    const { session } = this;
    await session.env.queue.run(
      () => {
        const found = ownerOf(session, row.name);
        if (found === undefined || found.epoch !== row.epoch || found.owner !== row.owner) return;
        putOwner(session, { name: row.name, owner: '', epoch: row.epoch, beat: found.beat + 1 });
      },
      { durable: false, grows: false },
    );
  }
}
