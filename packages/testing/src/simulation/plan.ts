/**
 * A world as data: what happens, when, to whom, and how bad the network is. Made from one seed; a smaller plan is a
 * smaller world (shrink.ts). Times are virtual milliseconds from the world's beginning.
 */

/** Each by a projection of `domain.ts`. */
export type ViewName = 'by-state' | 'by-event' | 'fragile';

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

/** What a source says of itself: complete up to a time, alive at one, or gone after one. It need not be true. */
export interface MarkerDraft {
  readonly kind: 'marker';
  /** As the feed has it: `=` and the stream. */
  readonly id: string;
  readonly stream: string;
  readonly says: 'complete' | 'heartbeat' | 'retire';
  readonly time: number;
}

/** What a source or a corrector sends. */
export type Draft = EventDraft | CorrectionDraft | MarkerDraft;

/** What of each history settles. */
export type SettlingDraft =
  | { readonly kind: 'history'; readonly quietMs: number | undefined }
  | { readonly kind: 'tumbling'; readonly sizeMs: number; readonly offsetMs: number }
  | { readonly kind: 'sliding'; readonly sizeMs: number; readonly everyMs: number; readonly offsetMs: number }
  | { readonly kind: 'session'; readonly gapMs: number }
  | { readonly kind: 'deadline'; readonly withinMs: number };

/** What becomes of several contents under one identity; `greatest`: those with the greatest `who` count. */
export type Policy = 'both' | 'neither' | 'greatest';

/**
 * Which of a process's next calls of a port's method ends it: before it is done, when it is done, or when the answer came.
 * `switch`: the call that lets readers go over to another generation of a view, when it is done.
 */
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
  | { readonly at: number; readonly kind: 'retry-parked'; readonly to: number }
  /** A view is to be built anew, beside the one that is read. */
  | { readonly at: number; readonly kind: 'rebuild'; readonly to: number; readonly view: string }
  /** One process after the other ends and starts with the next version of a projection; whoever starts later has it too. */
  | { readonly at: number; readonly kind: 'deploy'; readonly view: ViewName; readonly everyMs: number };

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
  /** Whether processes share names out among themselves; without it whoever was first keeps them. */
  readonly sharing: boolean;
  /** In how many shares each view is kept. */
  readonly shares: number;
  readonly cache: boolean;
  readonly snapshots: boolean;
  readonly policy: Policy;
  /** A durable handler that calls the other side for each move; `corrected`: and for each correction of one. */
  readonly durable: 'none' | 'plain' | 'corrected';
  /** A persistent one: in order of event time within each thing, or across all of them. */
  readonly persistent: 'none' | 'aggregate' | 'context';
  /** Whether the persistent handler has a method for corrections. */
  readonly persistentCorrected: boolean;
  /** What settles, and is told to the other side. */
  readonly settling: SettlingDraft | undefined;
  /** How late events may be, and whether a new source joins where the others are. */
  readonly time: { readonly boundMs: number; readonly joins: boolean };
  /** What each process's wall clock is off by at the start. */
  readonly clockOffsets: readonly number[];
  readonly actions: readonly Action[];
}
