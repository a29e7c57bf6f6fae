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

/** A member that decides a group outside of a transaction and has it written on the condition that nobody came first. */
export interface EagerMember extends GroupMember {
  /** Whether it is worth trying now. */
  takesEagerly(): boolean;
  /** Instead of `end`. Resolves when it is committed; to false when somebody came first and nothing was stored. */
  commit(): Promise<boolean>;
}

export interface WriteJob {
  /** About how many entries it writes. */
  readonly weight: number;
  readonly bytes: number;
  /** Done when the bytes are on disk; else when they are committed, in order with everything else. */
  readonly durable: boolean;
  /** Refused with `STORE_FULL` at the bound; false for work that frees or keeps. */
  readonly grows: boolean;
  /** Given when `run` works on this member alone, which then needs no transaction around it. */
  readonly eager?: EagerMember;
  /** Inside the transaction. A `ConcursusError` refuses this job alone and must come before its first write. */
  run(): void;
  done(): void;
  failed(error: Error): void;
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
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
    while (this.waiting.length > 0) {
      // What is sent in the same turn rides along, also what the last group's answers led to.
      await nextTurn();
      if (!(await this.writeEagerly())) await this.writeGroup();
    }
    this.busy = false;
  }

  /**
   * Decided on this thread and written by the driver's, without handing a transaction to and fro between them.
   * @returns false when the group needs a transaction around it: it waits again, in its place
   */
  private async writeEagerly(): Promise<boolean> {
    const member = this.waiting[0]?.eager;
    if (member === undefined || !member.takesEagerly()) return false;
    const group = this.take();
    if (!group.every((job) => job.eager === member)) {
      this.waiting = [...group, ...this.waiting];
      return false;
    }
    const refused = new Map<WriteJob, Error>();
    try {
      this.runJobs(group, refused);
      const committed = member.commit();
      const flushed = this.flushed();
      if (!(await committed)) {
        for (const each of this.members.splice(0)) each.aborted();
        this.waiting = [...group, ...this.waiting];
        return false;
      }
      this.transactions++;
      await flushed;
      this.flushes++;
    } catch (error) {
      await this.fail(error, group, refused);
      return true;
    }
    for (const each of this.members.splice(0)) each.committed();
    this.settle(group, refused, () => true);
    return true;
  }

  private runJobs(group: readonly WriteJob[], refused: Map<WriteJob, Error>): void {
    let full: Error | undefined;
    try {
      this.checkRoom();
    } catch (error) {
      full = error as Error;
    }
    for (const job of group) {
      try {
        if (full !== undefined && job.grows) throw full;
        job.run();
      } catch (error) {
        if (!ConcursusError.isInstance(error)) throw error;
        refused.set(job, error);
      }
    }
  }

  /** Asked for as soon as something was written, because later the driver may answer for a later transaction. */
  private flushed(): Promise<void> {
    const flushed = new Promise<void>((resolve, reject) => {
      this.root.flushed.then(() => {
        resolve();
      }, reject);
    });
    flushed.catch(() => undefined);
    return flushed;
  }

  private async fail(error: unknown, group: readonly WriteJob[], refused: ReadonlyMap<WriteJob, Error>): Promise<void> {
    const failure = await this.translate(error);
    for (const member of this.members.splice(0)) member.aborted();
    for (const job of group) job.failed(refused.get(job) ?? failure);
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
        for (const job of group) durable ||= job.durable;
        this.runJobs(group, refused);
        for (const member of this.members) member.end();
      });
      const flushed = this.flushed();
      await committed;
      if (durable) {
        // Views and beats are in order with what is being flushed, so they need not wait for it.
        this.settle(group, refused, (job) => !job.durable);
        await flushed;
        this.flushes++;
      }
    } catch (error) {
      // When not even the transaction began, what waits is told, rather than tried for ever.
      if (group.length === 0) group = this.take();
      await this.fail(error, group, refused);
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
