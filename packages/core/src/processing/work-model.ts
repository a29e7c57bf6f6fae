/** A consumer that brings its own work: what a session gives it, and what it gives back. */
import type { EventFeed } from '../ports/event-feed.js';
import type { EventStore } from '../ports/event-store.js';
import type { LayerLogger } from '../ports/layer.js';
import type { ViewStore } from '../ports/view-store.js';
import { ConsumerModel } from './consumer-model.js';
import type { EffectLedger } from './effect-ledger.js';
import type { EffectWindow } from './effect-window.js';
import type { Entry, Plan } from './entry.js';
import type { Intake } from './feed-intake.js';
import type { FeedReader } from './feed-pages.js';
import type { WatermarkSource } from './watermark-source.js';

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
