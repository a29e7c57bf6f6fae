/** Folds facts in fold order and counts what is odd about them, from nothing or on from a snapshot. */
import type { AggregateModel, FoldState } from '../mapping/event-registry.js';
import type { Fact } from '../model/event.js';
import { RANK_INITIAL, RANK_TERMINAL } from '../model/event-order.js';
import type { Rung } from './snapshot-form.js';
import { StateMould } from './state-codec.js';

/** Of the snapshots that were used: each costs about what its text does, and lives as long. */
const moulds = new WeakMap<Rung, StateMould>();

function stateOf(model: AggregateModel, rung: Rung): FoldState {
  let mould = moulds.get(rung);
  if (mould === undefined) moulds.set(rung, (mould = new StateMould(model, rung.state)));
  return mould.make();
}

export class Tally {
  state: FoldState;
  events = 0;
  initials = 0;
  last: Fact | undefined;
  eventTimeMax = Number.NEGATIVE_INFINITY;
  private firstTerminal = Number.POSITIVE_INFINITY;
  /** When events happened, as far as they may have been after a terminal one. */
  private times: number[] | undefined;

  constructor(
    private readonly model: AggregateModel,
    private readonly from?: Rung,
  ) {
    if (from === undefined) this.state = model.newState();
    else {
      this.state = stateOf(model, from);
      this.events = from.events;
      this.initials = from.initials;
      this.last = from.last;
      this.eventTimeMax = from.eventTimeMax;
      this.firstTerminal = from.firstTerminal ?? this.firstTerminal;
    }
  }

  take(fact: Fact, rank: number): void {
    this.state = this.model.apply(this.state, fact);
    this.events++;
    this.last = fact;
    if (rank === RANK_INITIAL) this.initials++;
    if (rank === RANK_TERMINAL && fact.eventTime < this.firstTerminal) this.firstTerminal = fact.eventTime;
    if (fact.eventTime > this.eventTimeMax) this.eventTimeMax = fact.eventTime;
    (this.times ??= []).push(fact.eventTime);
  }

  /** Takes a page of which the model says that it folds as it comes, none of it before what was taken. */
  takePlain(page: readonly Fact[]): void {
    this.state = this.model.applyAll(this.state, page);
    this.events += page.length;
    this.last = page[page.length - 1]!;
    const { eventTime } = this.last;
    if (eventTime > this.eventTimeMax) this.eventTimeMax = eventTime;
    // A terminal event still to come happened no earlier than these: they count only behind one that has come.
    if (this.firstTerminal === Number.POSITIVE_INFINITY) return;
    const times = (this.times ??= []);
    for (let i = 0; i < page.length; i++) times.push(page[i]!.eventTime);
  }

  /** Events that happened later than the first terminal one. */
  get afterTerminal(): number {
    const { from, firstTerminal } = this;
    if (!(this.eventTimeMax > firstTerminal)) return 0;
    let after = from?.firstTerminal === undefined ? 0 : from.afterTerminal;
    // Behind its end a snapshot holds ranked events only, and says when they happened.
    if (from !== undefined && from.firstTerminal === undefined) after += countAbove(from.above, firstTerminal);
    return this.times === undefined ? after : after + countAbove(this.times, firstTerminal);
  }
}

export function countAbove(times: readonly number[], time: number): number {
  let count = 0;
  for (let i = 0; i < times.length; i++) if (times[i]! > time) count++;
  return count;
}
