/** Checkpoints and owner rows in memory: compare-and-set is a comparison, because nothing runs in between. */
import { checkpointMoved, CheckpointStore, leaseLost, type OwnerRow } from '../ports/checkpoint-store.js';
import type { MemorySession } from './session.js';

export class InMemoryCheckpointStore extends CheckpointStore {
  private readonly values = new Map<string, string>();

  constructor(private readonly session: MemorySession) {
    super();
  }

  /** For the event store, which saves one in its own transaction after checking the epoch. */
  put(name: string, value: string): void {
    this.values.set(name, value);
  }

  async read(name: string): Promise<string | undefined> {
    this.session.checkOpen();
    return this.values.get(name);
  }

  async save(name: string, value: string, options: { epoch: number; expected?: string | undefined }): Promise<void> {
    this.session.checkOpen();
    this.session.checkEpoch(name, options.epoch);
    const found = this.values.get(name);
    if (found !== options.expected) throw checkpointMoved(name, options.expected, found);
    this.values.set(name, value);
  }

  async readOwner(name: string): Promise<OwnerRow | undefined> {
    this.session.checkOpen();
    return this.session.owners.get(name);
  }

  async claim(name: string, owner: string, seen: OwnerRow | undefined): Promise<OwnerRow | undefined> {
    this.session.checkOpen();
    const found = this.session.owners.get(name);
    if (found?.epoch !== seen?.epoch || found?.beat !== seen?.beat) return undefined;
    return this.putOwner(name, owner, (found?.epoch ?? 0) + 1, (found?.beat ?? 0) + 1);
  }

  async renew(row: OwnerRow): Promise<OwnerRow> {
    this.session.checkOpen();
    const found = this.session.owners.get(row.name);
    if (found === undefined || found.epoch !== row.epoch || found.owner !== row.owner) {
      throw leaseLost(row.name, row.epoch, found?.epoch ?? 0);
    }
    return this.putOwner(row.name, row.owner, row.epoch, found.beat + 1);
  }

  async release(row: OwnerRow): Promise<void> {
    this.session.checkOpen();
    const found = this.session.owners.get(row.name);
    if (found === undefined || found.epoch !== row.epoch || found.owner !== row.owner) return;
    this.putOwner(row.name, '', row.epoch, found.beat + 1);
  }

  private putOwner(name: string, owner: string, epoch: number, beat: number): OwnerRow {
    const row = Object.freeze({ name, owner, epoch, beat });
    this.session.owners.set(name, row);
    return row;
  }
}
