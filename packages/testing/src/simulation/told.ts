/**
 * What was told of what settled, and not taken back: each time what was settled then, in the end what is settled. Law 9,
 * judged by the plain model at the place of the log where it was settled.
 */
import type { CorrectedContext, SettledContext, SettledSpan } from '@concursus/core';
import { folded, itemsOf, said, type Item } from './items.js';
import { effective, type Counted } from './model.js';
import type { Policy, SettlingDraft } from './plan.js';
import { EPOCH_MS } from './sim-clock.js';
import type { Tide } from './tide.js';
import type { Entry } from './truth.js';
import { violated } from './violation.js';

/** A state that was handed over. */
export type ToldState = { readonly path: string; readonly total: number };

interface Standing {
  readonly full: string;
  readonly short: string;
}

export class Told {
  /** What was told and not taken back, by name; deadlines of one moment share one. */
  private readonly standing = new Map<string, Standing[]>();
  private readonly histories = new Map<string, readonly Counted[]>();
  private wanted: { readonly places: number; readonly names: ReadonlyMap<string, readonly string[]> } | undefined;

  constructor(
    private readonly settling: SettlingDraft,
    private readonly policy: Policy,
    private readonly log: readonly Entry[],
    private readonly tide: Tide,
  ) {}

  settled(state: ToldState, context: SettledContext, committed: number): void {
    this.check(context, committed, (place) => this.isItem(context.aggregateId, place, context, state));
    this.tell(context.aggregateId, context, state);
  }

  corrected(
    before: readonly ToldState[],
    after: readonly ToldState[],
    context: CorrectedContext,
    committed: number,
  ): void {
    const { aggregateId: id } = context;
    for (const [i, span] of context.before.entries()) this.take(id, span, before[i]!);
    this.check(context, committed, (place) =>
      context.after.every((span, i) => this.isItem(id, place, span, after[i]!)),
    );
    for (const [i, span] of context.after.entries()) this.tell(id, span, after[i]!);
  }

  withdrawn(before: ToldState, now: ToldState, context: SettledContext, committed: number): void {
    this.take(context.aggregateId, context, before);
    this.check(
      context,
      committed,
      (place) => folded(this.historyAt(context.aggregateId, place)).state === said(now.path, now.total),
    );
  }

  /** What is told otherwise than the whole log has it, in words; undefined when nothing is. */
  owed(): string | undefined {
    const { log } = this;
    if (this.wanted?.places !== log.length) this.wanted = { places: log.length, names: this.wantedNow() };
    const { names } = this.wanted;
    for (const name of new Set([...names.keys(), ...this.standing.keys()])) {
      const must = [...(names.get(name) ?? [])].sort().join(' | ');
      const is = (this.standing.get(name) ?? [])
        .map(({ short }) => short)
        .sort()
        .join(' | ');
      if (is !== must) return `of ${name} was told ${is || 'nothing'}, and it is ${must || 'nothing'}`;
    }
    return undefined;
  }

  private wantedNow(): Map<string, readonly string[]> {
    const { log, tide, settling } = this;
    const settled = tide.before(log.length);
    const wanted = new Map<string, readonly string[]>();
    const ids = new Set(log.flatMap(({ draft }) => (draft.kind === 'marker' ? [] : [draft.id])));
    for (const id of ids) {
      for (const item of itemsOf(settling, this.historyAt(id, log.length), EPOCH_MS)) {
        if (item.settlesAt > settled) continue;
        const name = this.nameOf(id, item);
        wanted.set(name, [...(wanted.get(name) ?? []), this.short(item, item.state)]);
      }
    }
    return wanted;
  }

  /** What must be so at a place where just this was settled, and which was committed before the call. */
  private check(
    context: { readonly aggregateId: string; readonly settledUpTo: number },
    committed: number,
    holds: (place: number) => boolean,
  ): void {
    const settled = context.settledUpTo - EPOCH_MS;
    const [first, last] = this.tide.placesOf(settled) ?? [1, 0];
    const to = Math.min(last, committed);
    for (let place = first; place <= to; place++) if (holds(place)) return;
    violated(
      9,
      `of ${context.aggregateId} was told, at ${settled}, what was not settled then: ${JSON.stringify(context)}, committed was ${committed}`,
    );
  }

  private isItem(id: string, place: number, span: SettledSpan, state: ToldState): boolean {
    const settled = this.tide.before(place);
    const text = said(state.path, state.total);
    return itemsOf(this.settling, this.historyAt(id, place), EPOCH_MS).some(
      (item) =>
        item.settlesAt <= settled &&
        item.from === span.from - EPOCH_MS &&
        item.to === span.to - EPOCH_MS &&
        item.events === span.events &&
        item.state === text,
    );
  }

  private historyAt(id: string, place: number): readonly Counted[] {
    const mine = this.log.slice(0, place).filter(({ draft }) => draft.id === id);
    const key = `${mine.length} ${id}`;
    let history = this.histories.get(key);
    if (history === undefined) {
      history = effective(
        mine.map(({ draft }) => draft),
        this.policy,
      );
      this.histories.set(key, history);
    }
    return history;
  }

  private tell(id: string, { from, to, events }: SettledSpan, state: ToldState): void {
    const span = { from: from - EPOCH_MS, to: to - EPOCH_MS };
    const name = this.nameOf(id, span);
    const text = said(state.path, state.total);
    const known = this.standing.get(name) ?? [];
    if (known.length > 0 && this.settling.kind !== 'deadline')
      violated(9, `of ${name} was told ${text}; ${known[0]!.short} was told and not taken back`);
    const full = `[${span.from},${span.to}) ${events}: ${text}`;
    this.standing.set(name, [...known, { full, short: this.short(span, text) }]);
  }

  private take(id: string, { from, to, events }: SettledSpan, state: ToldState): void {
    const span = { from: from - EPOCH_MS, to: to - EPOCH_MS };
    const name = this.nameOf(id, span);
    const full = `[${span.from},${span.to}) ${events}: ${said(state.path, state.total)}`;
    const known = this.standing.get(name) ?? [];
    const i = known.findIndex((one) => one.full === full);
    if (i < 0) violated(9, `of ${name} was taken back ${full}; told was ${known.map((one) => one.full).join(' | ')}`);
    if (known.length === 1) this.standing.delete(name);
    else this.standing.set(name, known.toSpliced(i, 1));
  }

  private nameOf(id: string, { from, to }: Pick<Item, 'from' | 'to'>): string {
    const { kind } = this.settling;
    if (kind === 'history') return id;
    return kind === 'deadline' ? `${id} from ${from} to ${to}` : `${id} from ${from}`;
  }

  /** What decides whether the same was told: a deadline keeps what it was told with, a session is also how long it was. */
  private short({ from, to }: Pick<Item, 'from' | 'to'>, state: string): string {
    const { kind } = this.settling;
    return kind === 'deadline' ? 'due' : kind === 'session' ? `[${from},${to}) ${state}` : state;
  }
}
