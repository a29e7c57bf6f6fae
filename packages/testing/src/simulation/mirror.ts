/** A consumer that follows the changes of a view and holds the same rows: what it holds survives, its readers come and go. */
import { canonicalJson, type View, type ViewChange } from '@concursus/core';
import type { Life } from './scheduler.js';
import { Violation } from './violation.js';

type Value = Readonly<Record<string, unknown>>;

/** What a change says, in the one form in which two values are compared. */
export const sameText = (value: unknown): string => canonicalJson(value as never);

export class Mirror {
  /** The last change it took in. */
  sequence = 0;
  private token = '0';
  readonly rows = new Map<string, Value>();
  private readonly revisions = new Map<string, number>();

  constructor(
    readonly view: string,
    /** A change of one share may show nothing new, and counts all the same. */
    private readonly shares: number,
    private readonly failed: (violation: Violation) => void,
  ) {}

  /** Follows until the process ends; trouble makes it begin again behind what it has. */
  async follow(view: View<Value>, life: Life, pause: (ms: number) => Promise<void>): Promise<void> {
    while (!life.dead) {
      try {
        for await (const change of view.changes({ from: this.token })) {
          if (life.dead) return;
          this.take(change);
        }
      } catch (error) {
        if (error instanceof Violation) {
          this.failed(error);
          return;
        }
      }
      await pause(50);
    }
  }

  /** Takes one change in: it must continue exactly what is held. Known ones are passed over. */
  private take(change: ViewChange<Value>): void {
    if (change.sequence <= this.sequence) return;
    const where = `change ${change.sequence} of "${this.view}" (row "${change.key}")`;
    if (change.sequence !== this.sequence + 1) throw new Violation(7, `${where} came after change ${this.sequence}`);
    const held = this.rows.get(change.key) ?? null;
    if (sameText(change.retract) !== sameText(held))
      throw new Violation(6, `${where} retracts ${sameText(change.retract)}; asserted was ${sameText(held)}`);
    if (this.shares === 1 && sameText(change.retract) === sameText(change.assert))
      throw new Violation(6, `${where} says nothing new: ${sameText(held)}`);
    const revision = this.revisions.get(change.key) ?? 0;
    if (change.revision !== revision + 1)
      throw new Violation(6, `${where} has revision ${change.revision} after ${revision}`);
    this.sequence = change.sequence;
    this.token = change.token;
    this.revisions.set(change.key, change.revision);
    if (change.assert === null) this.rows.delete(change.key);
    else this.rows.set(change.key, change.assert);
  }
}
