/** The other side of side effects: it counts calls by idempotency key, and knows what the handler's ledger has acknowledged. */
import type { EffectContext } from '@concursus/core';
import type { Life } from './scheduler.js';
import type { Truth } from './truth.js';
import { violated } from './violation.js';

/** The handler's view: its checkpoint says up to where everything is done. */
export const HANDLER_VIEW = '.handler.notify';
/** Calls of one owner at once. */
export const IN_FLIGHT_MAX = 3;

export class Effects {
  private readonly done = new Map<string, number>();
  private readonly ended = new Map<string, number>();
  private acknowledged = 0;
  /** Who committed last. */
  private owner: Life | undefined;
  private epoch = 0;
  /** Done above the checkpoint, and in the ledger. */
  private readonly held = new Set<string>();
  /** Of each process: what ended since its last commit, and what had ended before that one was made. */
  private readonly fresh = new Map<Life, { since: string[]; before: string[] }>();

  constructor(private readonly truth: Truth) {}

  /**
   * The handler is called. What its owner's ledger has, nothing is called for again (law 10); a former owner that was paused
   * between its commit and its call cannot know better, and counts among the repeats.
   */
  calling({ processingId, idempotencyKey, attempt }: EffectContext, life: Life): void {
    const place = this.truth.log.findIndex((entry) => entry.processingId === processingId);
    if (place < 0) violated(10, `a handler was called for ${processingId}, which is not recorded`);
    if (attempt < 1 || idempotencyKey.length !== 64)
      violated(10, `call ${attempt} of event ${place} has no proper key`);
    if (life !== this.owner) return;
    if (this.held.has(processingId)) violated(10, `event ${place} was called again, and the ledger holds it`);
    if (place < this.acknowledged)
      violated(10, `event ${place} was called again; the ledger has all up to ${this.acknowledged}`);
  }

  /** The other side does it. */
  called({ processingId }: EffectContext): void {
    this.done.set(processingId, (this.done.get(processingId) ?? 0) + 1);
  }

  /** The handler ended well in a living process. */
  completed({ processingId }: EffectContext, life: Life): void {
    this.freshOf(life).since.push(processingId);
    this.ended.set(processingId, (this.ended.get(processingId) ?? 0) + 1);
  }

  private freshOf(life: Life): { since: string[]; before: string[] } {
    let fresh = this.fresh.get(life);
    if (fresh === undefined) this.fresh.set(life, (fresh = { since: [], before: [] }));
    return fresh;
  }

  /** The ledger was committed: what it passes has been done, and it holds what had ended when the commit before it was made. */
  committed(place: number, epoch: number, life: Life): void {
    this.owner = life;
    // What ended for an owner that lost its row in between was dropped with it.
    if (this.epoch !== epoch) this.fresh.delete(life);
    this.epoch = epoch;
    const fresh = this.freshOf(life);
    for (const id of fresh.before) this.held.add(id);
    this.fresh.set(life, { since: [], before: fresh.since });
    if (place <= this.acknowledged) return;
    for (const [i, { draft, processingId }] of this.truth.log.entries()) {
      if (i >= place || i < this.acknowledged || draft.kind !== 'event' || draft.name !== 'moved') continue;
      if (!this.done.has(processingId) && !this.truth.corrected)
        violated(10, `the ledger passed event ${i}, which was not done`);
    }
    this.acknowledged = place;
  }

  /** At the end: at most in-flight calls for each owner there was were completed twice. */
  judge(owners: number): void {
    const again = [...this.ended.values()].reduce((sum, count) => sum + count - 1, 0);
    if (again > owners * IN_FLIGHT_MAX) violated(10, `${again} effects were done again, with ${owners} owners`);
  }
}
