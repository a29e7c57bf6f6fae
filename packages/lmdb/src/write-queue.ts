/**
 * Group commit: everything that waits to be written rides in one transaction, in the order it came. While one group is
 * on its way to the disk the next one gathers. LMDB has one writer at a time, so more transactions would only queue there.
 */
import { ConcursusError } from '@concursus/core';
import type { RootDatabase } from 'lmdb';

/** What a group may carry before the next one starts: the transaction runs on the JavaScript thread. One job always fits. */
const GROUP_WEIGHT_MAX = 2_000;
const GROUP_BYTES_MAX = 4 * 1_048_576;

/** Work shared by the jobs of one group, such as the log whose chunks span appends. */
export interface GroupMember {
  /** Before its first job of the group, inside the transaction. */
  begin(): void;
  /** After the last job, inside the transaction. */
  end(): void;
  /** The group is committed and as durable as its jobs asked for. */
  committed(): void;
  /** Nothing of the group was stored. */
  aborted(): void;
}

export interface WriteJob {
  /** About how many entries it writes. */
  readonly weight: number;
  readonly bytes: number;
  /** Done when the bytes are on disk; else when they are committed, in order with everything else. */
  readonly durable: boolean;
  /** Refused with `STORE_FULL` at the bound; false for work that frees or keeps. */
  readonly grows: boolean;
  /** Inside the transaction. A `ConcursusError` refuses this job alone and must come before its first write. */
  run(): void;
  done(): void;
  failed(error: Error): void;
}

export class WriteQueue {
  /** Write transactions so far. */
  transactions = 0;
  /** Groups that waited for the disk so far. */
  flushes = 0;
  private waiting: WriteJob[] = [];
  private busy = false;
  private readonly members: GroupMember[] = [];

  constructor(
    private readonly root: RootDatabase<Uint8Array, Uint8Array>,
    /** Throws when nothing more may be added. */
    private readonly checkRoom: () => void,
    private readonly translate: (error: unknown) => Promise<Error>,
  ) {}

  push(job: WriteJob): void {
    this.waiting.push(job);
    if (!this.busy) void this.work();
  }

  /** Runs `write` in a transaction of the group that gathers now, and resolves to its result. */
  run<T>(write: () => T, options: { durable: boolean; grows?: boolean; weight?: number; bytes?: number }): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let result: T;
      this.push({
        weight: options.weight ?? 1,
        bytes: options.bytes ?? 0,
        durable: options.durable,
        grows: options.grows ?? true,
        run: () => {
          result = write();
        },
        done: () => {
          resolve(result);
        },
        failed: reject,
      });
    });
  }

  /** Called by a job's `run`: the member takes part in this group. */
  enlist(member: GroupMember): void {
    if (this.members.includes(member)) return;
    member.begin();
    this.members.push(member);
  }

  /** Resolves when everything pushed before is done. */
  async drained(): Promise<void> {
    if (this.busy || this.waiting.length > 0) await this.run(() => undefined, { durable: false, grows: false });
  }

  private take(): WriteJob[] {
    let weight = 0;
    let bytes = 0;
    let n = 0;
    for (; n < this.waiting.length; n++) {
      const job = this.waiting[n]!;
      weight += job.weight;
      bytes += job.bytes;
      if (n > 0 && (weight > GROUP_WEIGHT_MAX || bytes > GROUP_BYTES_MAX)) break;
    }
    const group = this.waiting.slice(0, n);
    this.waiting = this.waiting.slice(n);
    return group;
  }

  private async work(): Promise<void> {
    this.busy = true;
    while (this.waiting.length > 0) await this.writeGroup();
    this.busy = false;
  }

  private async writeGroup(): Promise<void> {
    let group: WriteJob[] = [];
    const refused = new Map<WriteJob, Error>();
    let durable = false;
    try {
      // The group is taken when the transaction runs: what comes until then rides along. As a child it can be undone whole.
      const committed = this.root.childTransaction(() => {
        group = this.take();
        this.transactions++;
        let full: Error | undefined;
        try {
          this.checkRoom();
        } catch (error) {
          full = error as Error;
        }
        for (const job of group) {
          durable ||= job.durable;
          try {
            if (full !== undefined && job.grows) throw full;
            job.run();
          } catch (error) {
            if (!ConcursusError.isInstance(error)) throw error;
            refused.set(job, error);
          }
        }
        for (const member of this.members) member.end();
      });
      // Asked for now, because later the driver may answer for a later transaction.
      const flushed = new Promise<void>((resolve, reject) => {
        this.root.flushed.then(() => {
          resolve();
        }, reject);
      });
      flushed.catch(() => undefined);
      await committed;
      if (durable) {
        // Views and beats are in order with what is being flushed, so they need not wait for it.
        this.settle(group, refused, (job) => !job.durable);
        await flushed;
        this.flushes++;
      }
    } catch (error) {
      const failure = await this.translate(error);
      for (const member of this.members.splice(0)) member.aborted();
      // When not even the transaction began, what waits is told, rather than tried for ever.
      if (group.length === 0) group = this.take();
      for (const job of group) job.failed(refused.get(job) ?? failure);
      return;
    }
    for (const member of this.members.splice(0)) member.committed();
    this.settle(group, refused, (job) => job.durable || !durable);
  }

  private settle(group: readonly WriteJob[], refused: ReadonlyMap<WriteJob, Error>, when: (job: WriteJob) => boolean) {
    for (const job of group) {
      if (!when(job)) continue;
      const error = refused.size === 0 ? undefined : refused.get(job);
      if (error === undefined) job.done();
      else job.failed(error);
    }
  }
}
