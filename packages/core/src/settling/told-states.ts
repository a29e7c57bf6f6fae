/**
 * What was handed over when it settled, kept exactly, so that a correction can take back just that: for ever, or with
 * `keepToldMs` until what is settled is that far ahead. What is forgotten then is the state, by far the most of it; that something
 * was told, and of which stretch, is known for ever, lest a straggler has it told a second time.
 */
import type { WireValue } from '../model/event.js';
import type { ViewRef } from '../ports/view-store.js';
import type { WorkParts } from '../processing/work-model.js';
import { timeOrder } from '../processing/persistent-queue.js';
import { KEPT, timerOrder, TOLD, type Told } from './rows.js';

/** Forgotten by one commit. */
const PAGE = 250;

export class ToldStates {
  /** Nothing more is to be forgotten before the line is above this. */
  private forgottenUpTo = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly parts: Pick<WorkParts, 'views' | 'ledger'>,
    private readonly view: ViewRef,
    /** How far what was told may lie behind what is settled; undefined: for ever. */
    private readonly keepMs: number | undefined,
  ) {}

  /** As the next commit has it; undefined when it was never told, or is taken back. */
  get(aggregateText: string, key: string): Promise<Told | undefined> {
    return this.at(orderOf(aggregateText, key));
  }

  private async at(order: string): Promise<Told | undefined> {
    const pending = this.parts.ledger.pending(TOLD, order);
    if (pending !== undefined) return (pending ?? undefined) as unknown as Told | undefined;
    const [entry] = await this.parts.views.readIndex(this.view, TOLD, '', { prefix: order, limit: 1 });
    return entry?.order === order ? (entry.value as unknown as Told) : undefined;
  }

  put(aggregateText: string, told: Told): void {
    const { ledger } = this.parts;
    ledger.put(TOLD, orderOf(aggregateText, told.key), told as unknown as WireValue);
    if (this.keepMs !== undefined) ledger.put(KEPT, timerOrder(told.to, aggregateText, told.key), 1);
  }

  remove(aggregateText: string, told: Told): void {
    const { ledger } = this.parts;
    ledger.remove(TOLD, orderOf(aggregateText, told.key));
    if (this.keepMs !== undefined) ledger.remove(KEPT, timerOrder(told.to, aggregateText, told.key));
  }

  /** Stages the forgetting of a page of states that lie too far behind the line; false when there is none. */
  async forget(line: number): Promise<boolean> {
    if (this.keepMs === undefined || line <= this.forgottenUpTo) return false;
    const { views, ledger } = this.parts;
    const end = timeOrder(line - this.keepMs + 1);
    const entries = await views.readIndex(this.view, KEPT, '', { limit: PAGE });
    const old = entries.filter(({ order }) => order < end);
    if (old.length === 0) this.forgottenUpTo = line;
    for (const { order } of old) {
      ledger.remove(KEPT, order);
      const at = order.slice(order.indexOf('\u0000') + 1);
      const told = await this.at(at);
      if (told !== undefined) ledger.put(TOLD, at, { ...told, state: null } satisfies Told as unknown as WireValue);
    }
    return old.length > 0;
  }
}

/** Where something told, or outdated, stands. */
export function orderOf(aggregateText: string, key: string): string {
  return `${aggregateText}\u0000${key}`;
}
