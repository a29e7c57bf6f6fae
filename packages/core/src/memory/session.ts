/** What the in-memory ports of one layer share: the context, the clock, the owner rows, and whether they are open. */
import { UnavailableError } from '../model/errors.js';
import { leaseLost, type OwnerRow } from '../ports/checkpoint-store.js';
import type { Clock } from '../ports/clock.js';
import type { LayerContext } from '../ports/layer.js';

export class MemorySession {
  readonly context: string;
  readonly clock: Clock;
  readonly owners = new Map<string, OwnerRow>();
  private open = true;
  private readonly closing: (() => void)[] = [];

  constructor(layer: LayerContext) {
    this.context = layer.context;
    this.clock = layer.clock;
  }

  get isOpen(): boolean {
    return this.open;
  }

  /** Called when the session closes, so that nobody waits for what cannot come. */
  onClose(action: () => void): void {
    this.closing.push(action);
  }

  /** Refuses every later call. Idempotent. What was kept is gone with its last reader. */
  close(): void {
    if (!this.open) return;
    this.open = false;
    for (const action of this.closing) action();
  }

  /** @throws UnavailableError `STORE_CLOSED` after `close` */
  checkOpen(): void {
    if (this.open) return;
    throw new UnavailableError('STORE_CLOSED', `The in-memory layer of context "${this.context}" is closed.`, {
      fix: 'Use it only between connect() and close(); what it kept is gone.',
    });
  }

  /** @throws ConflictError `LEASE_LOST` when the epoch is not the owner's; without an owner row it is 0. */
  checkEpoch(name: string, epoch: number): void {
    const current = this.owners.get(name)?.epoch ?? 0;
    if (current !== epoch) throw leaseLost(name, epoch, current);
  }
}
