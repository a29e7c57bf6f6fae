/** What every consumer whose calls are kept has: a name, a view of its own, bounds; and how one brings its own work. */
import type { RetryPolicy } from '../mapping/decorators.js';
import type { EventFeed } from '../ports/event-feed.js';
import type { EventStore } from '../ports/event-store.js';
import type { LayerLogger } from '../ports/layer.js';
import type { ViewRef, ViewStore } from '../ports/view-store.js';
import type { EffectLedger } from './effect-ledger.js';
import type { Plan } from './effect-plan.js';
import type { EffectWindow, Entry } from './effect-window.js';
import type { Intake } from './feed-intake.js';
import type { FeedReader } from './feed-pages.js';
import { RETRY_DEFAULTS } from './retry-policy.js';
import type { WatermarkSource } from './watermark-source.js';

/** When calls come: soon, in the order of event time, or for what settles. */
export type Schedule = 'durable' | 'persistent' | 'settling';

/** What is said of any of them. */
export interface ConsumerOptions {
  /** Its state is kept under this name. */
  readonly name: string;
  readonly from?: 'end' | 'beginning';
  readonly retry?: RetryPolicy;
  readonly inFlightMax?: number;
}

export abstract class ConsumerModel {
  abstract readonly schedule: Schedule;
  readonly name: string;
  readonly fromBeginning: boolean;
  readonly retry: Required<RetryPolicy>;
  /** Calls under way together at most, hence calls repeated after a crash. */
  readonly inFlightMax: number;

  constructor(
    options: ConsumerOptions,
    /** Holds everything the name knows. */
    readonly view: ViewRef,
    /** The owner row whose epoch each commit carries. */
    readonly ownerName: string,
  ) {
    this.name = options.name;
    this.fromBeginning = options.from === 'beginning';
    this.retry = { ...RETRY_DEFAULTS, ...options.retry };
    this.inFlightMax = options.inFlightMax ?? 16;
  }
}

/** What a session gives to a consumer that brings its own work. */
export interface WorkParts {
  readonly store: EventStore;
  readonly feed: EventFeed;
  /** Where it reads the feed. */
  readonly pages: FeedReader;
  readonly views: ViewStore;
  readonly context: string;
  readonly logger: LayerLogger;
  readonly ledger: EffectLedger;
  readonly window: EffectWindow;
  /** Takes a new entry: into the window, or behind what is parked of its aggregate. */
  readonly accept: (entry: Entry) => void;
  readonly watermark: WatermarkSource;
}

/** Where entries come from, and what calls they come to. */
export interface Work {
  readonly intake: Intake & { readonly uncorrected: number };
  readonly plan: Plan;
}

/** A consumer that brings its own work; rounds, attempts, retries, parking and ownership are the session's. */
export abstract class WorkModel extends ConsumerModel {
  /** Reads what the view keeps; called whenever this process came to own the name. */
  abstract open(parts: WorkParts): Promise<Work>;
}
