/**
 * A world as data: what happens, when, to whom, and how bad the network is. Made from one seed; a smaller plan is a
 * smaller world (shrink.ts). Times are virtual milliseconds from the world's beginning.
 */

/** An event as a source reports it. `time` may lie in another century: a source's clock is its own. */
export interface EventDraft {
  readonly kind: 'event';
  readonly id: string;
  readonly name: 'begun' | 'prepared' | 'moved' | 'ended';
  readonly time: number;
  readonly stream: string;
  readonly sequence: number;
  readonly who: string;
  readonly amount: number;
}

/** A correction as somebody decides it, of an event that may not have come yet, or never comes. */
export interface CorrectionDraft {
  readonly kind: 'correction';
  readonly id: string;
  readonly does: 'retract' | 'amend' | 'reinstate';
  readonly target: EventDraft;
  /** Of this content only, or of every content of the identity. */
  readonly exact: boolean;
  readonly decidedAt: number;
  readonly stream: string;
  readonly sequence: number;
  /** Of an amendment: the new time, the new content, or both. */
  readonly time?: number;
  readonly says?: { readonly who: string; readonly amount: number };
}

/** What a source or a corrector sends. */
export type Draft = EventDraft | CorrectionDraft;

/** Which of a process's next calls of a port's method ends it: before it is done, when it is done, or when the answer came. */
export interface CallPoint {
  readonly method: string;
  readonly nth: number;
  readonly phase: 'before' | 'done' | 'answered';
}

/** One thing that happens. Everything a plan lists may be left out, and what is left is a plan. */
export type Action =
  | {
      readonly at: number;
      readonly kind: 'send';
      readonly to: number;
      readonly how: 'call' | 'stream';
      readonly items: readonly Draft[];
      /** The sender gives up at the first trouble. */
      readonly once: boolean;
    }
  | {
      readonly at: number;
      readonly kind: 'ask';
      readonly to: number;
      readonly id: string;
      readonly asOf?: number;
      /** As known so long ago; absent: as of the last id recorded. */
      readonly agoMs?: number;
    }
  | {
      readonly at: number;
      readonly kind: 'kill';
      readonly to: number;
      readonly on?: CallPoint;
      readonly restartMs: number;
    }
  /** `replaced`: another process is started meanwhile, and both go on after it. */
  | {
      readonly at: number;
      readonly kind: 'pause';
      readonly to: number;
      readonly forMs: number;
      readonly replaced: boolean;
    }
  | { readonly at: number; readonly kind: 'clock'; readonly to: number; readonly byMs: number }
  | { readonly at: number; readonly kind: 'inspect' }
  /** Whatever may only save work is emptied. */
  | { readonly at: number; readonly kind: 'forget' }
  | { readonly at: number; readonly kind: 'retry-parked'; readonly to: number };

export interface Plan {
  readonly seed: number;
  readonly processes: number;
  /** Of the network's chance. */
  readonly networkSeed: number;
  readonly latencyMs: number;
  /** Of calls: refused before they are done, done without an answer, done twice. */
  readonly failRate: number;
  readonly lostAckRate: number;
  readonly twiceRate: number;
  /** Facts of one page at most. */
  readonly pageMax: number;
  readonly leaseMs: number;
  readonly cache: boolean;
  readonly snapshots: boolean;
  /** Whether a durable handler calls the other side for each move. */
  readonly effects: boolean;
  /** What each process's wall clock is off by at the start. */
  readonly clockOffsets: readonly number[];
  readonly actions: readonly Action[];
}
