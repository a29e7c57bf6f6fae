/**
 * Where the notes of a view stand: in records with numbers, each free again when its note is removed. Notes come and go with
 * every event that a handler is called for; under keys of their own each would leave a tombstone behind, and a reader would
 * walk over all of them.
 */
import type { WireValue } from '@concursus/core';

/** As many may be free beside those in use before the last of them are removed. */
const FREE_MAX = 1_000;

/** A note as its record keeps it: the key's length, so that a reader of others need not parse it. */
export function noteText(key: string, value: WireValue): string {
  return `${key.length}:${key}${JSON.stringify(value)}`;
}

/** The key of a kept note, and its value as JSON. */
export function noteOf(text: string): { readonly key: string; readonly json: string } {
  const colon = text.indexOf(':');
  const end = colon + 1 + Number(text.slice(0, colon));
  return { key: text.slice(colon + 1, end), json: text.slice(end) };
}

export class NotePlaces {
  private readonly ids = new Map<string, number>();
  private readonly free: number[] = [];
  private next = 0;

  /** Takes in a record as it is read; without a key it is free. */
  add(id: number, key: string | undefined): void {
    this.next = Math.max(this.next, id + 1);
    if (key === undefined) this.free.push(id);
    else this.ids.set(key, id);
  }

  /**
   * The records that a commit writes: the note of each, or undefined where it is removed. Nothing changes before `done`;
   * until then the same is answered to the same.
   */
  plan(notes: ReadonlyMap<string, string | null>): NotePlan {
    const writes = new Map<number, string | undefined>();
    const placed: [key: string, id: number][] = [];
    const removed: [key: string, id: number][] = [];
    let taken = 0;
    let { next } = this;
    for (const [key, text] of notes) {
      const known = this.ids.get(key);
      if (text === null) {
        if (known === undefined) continue;
        writes.set(known, undefined);
        removed.push([key, known]);
        continue;
      }
      const id = known ?? this.free[this.free.length - 1 - taken++] ?? next++;
      writes.set(id, text);
      if (known === undefined) placed.push([key, id]);
    }
    return { writes, placed, removed, taken: Math.min(taken, this.free.length), next };
  }

  /** What was planned is stored. */
  done(plan: NotePlan): void {
    this.free.length -= plan.taken;
    this.next = plan.next;
    for (const [key, id] of plan.placed) this.ids.set(key, id);
    for (const [key, id] of plan.removed) {
      this.ids.delete(key);
      this.free.push(id);
    }
  }

  /** Free records that are too many: they are given up here, and may be removed. */
  giveUp(): number[] {
    return this.free.length > FREE_MAX + this.ids.size ? this.free.splice(0, this.free.length - FREE_MAX) : [];
  }
}

/** Made by `plan`, and what `done` needs. */
export interface NotePlan {
  readonly writes: ReadonlyMap<number, string | undefined>;
  readonly placed: readonly (readonly [key: string, id: number])[];
  readonly removed: readonly (readonly [key: string, id: number])[];
  readonly taken: number;
  readonly next: number;
}
