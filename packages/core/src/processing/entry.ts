/** One thing on its way to a handler, and the calls that it comes to. */
import type { EffectDetails } from '../mapping/event-context.js';
import type { AggregateKey, Fact, WireValue } from '../model/event.js';
import type { Position } from '../model/position.js';
import type { FactRef } from './fact-ref.js';

/** One call of a handler or correction method. */
export interface Call {
  readonly key: string;
  readonly run: (details: Omit<EffectDetails, 'idempotencyKey'>) => unknown;
  /** It has answered: stages what the commit that says so says besides. */
  readonly done?: () => void;
}

/** Says what an entry comes to. */
export interface Plan {
  of(entry: Entry): Promise<readonly Call[]>;
}

/** Where an entry comes from, and what is written when it is done with. */
export interface Origin {
  /** The entry is done, or parked and kept elsewhere from now on: it never comes from here again. */
  leave(entry: Entry, how: 'done' | 'parked'): void;
  /** What it keeps of a call that is done while others of the entry are not. */
  called(entry: Entry, key: string): void;
  /** What is handed over was made: it is kept with the entry, in the commit before the call. */
  prepared?(entry: Entry): void;
  /** Parked entries: it failed once more. */
  failedAgain?(entry: Entry, error: unknown): void;
}

/** What an entry is about: an event, a correction of one; or a part of a history that settled, was corrected after that, or is overdue no more. */
export type EntryKind = 'event' | 'correction' | 'settled' | 'corrected' | 'withdrawn';

/** One event, one correction, or one thing that settled, on its way to a handler. */
export interface Entry {
  /** The idempotency key of the event, or the key of the correction. */
  readonly key: string;
  readonly lane: string;
  readonly kind: EntryKind;
  readonly aggregate: AggregateKey;
  readonly aggregateText: string;
  readonly fact: FactRef;
  /** Persistent corrections: what is corrected. */
  readonly target: FactRef | undefined;
  readonly loaded: Fact | undefined;
  readonly characters: number;
  readonly origin: Origin;
  /** Its place in the origin's index, or ''. */
  readonly order: string;
  /** Reads for its meaning see the store up to here. */
  readonly upTo: () => Position;
  readonly late: number | undefined;
  /** Corrections from this processing id on came after its release. */
  before: string | undefined;
  /** Corrections above this processing id came after its release. */
  readonly known: string | undefined;
  /** What the plan of a consumer keeps with it, also while it is parked. */
  item?: WireValue | undefined;
  attempt: number;
  failures: number;
  /** What it comes to; undefined until that was looked up. */
  calls: readonly Call[] | undefined;
  /** Keys of its calls that are done. */
  readonly done: Set<string>;
}
