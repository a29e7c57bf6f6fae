/**
 * Durable handlers: the feed read ahead in recorded order, and how far it is done. A page is behind the checkpoint once
 * everything in it, and in the pages before it, is done or parked; until then the ledger says what is.
 */
import { correctionOf } from '../model/correction.js';
import { aggregateKeyOf, aggregateKeyText, type Fact } from '../model/event.js';
import type { Position } from '../model/position.js';
import type { EventFeed } from '../ports/event-feed.js';
import type { EffectLedger } from './effect-ledger.js';
import type { EffectWindow } from './effect-window.js';
import type { Entry, Origin } from './entry.js';
import { effectKey, refOf } from './fact-ref.js';
import type { FeedReader } from './feed-pages.js';
import type { HandlerModel } from './handlers.js';

/** Facts of one page: the checkpoint moves by pages, and the ledger bridges the rest. */
const PAGE = 250;
/** Pages read for one look: what concerns nobody is passed by in strides, and others get their turn. */
const PAGES = 20;
/** Facts read ahead and not done. */
export const WINDOW_FACTS = 1_000;
/** Characters of their content. */
export const WINDOW_CHARACTERS = 4 * 1_048_576;
/** Done above the checkpoint: one slow aggregate lets others run ahead this far. */
export const LEDGER_MAX = 10_000;

interface Page {
  readonly next: Position;
  /** Entries not done. */
  left: number;
  /** Keys the ledger holds of it. */
  readonly keys: string[];
}

/** What reads for a handler: the feed's facts become entries of the window. */
export interface Intake {
  readonly position: Position;
  /** Whether another look at once may bring more. */
  readonly more: boolean;
  /** Whether the last look found nothing behind `position`. */
  readonly atEnd: boolean;
  fill(): Promise<void>;
  /** Called before each commit: stages how far the handler is. */
  beforeSave(): void;
  /** Called when a commit is stored. */
  saved(): void;
}

export class FeedIntake implements Intake {
  position: Position;
  more = true;
  atEnd = false;
  /** Corrections of handled events that no method of this handler takes, since it was taken up. */
  uncorrected = 0;
  private readonly taken: Page[] = [];
  private readonly pageOf = new Map<string, Page>();
  private readonly origin: Origin = {
    leave: (entry) => this.leave(entry),
    called: (_entry, key) => this.ledger.recordCall(key),
  };

  constructor(
    feed: EventFeed,
    private readonly pages: FeedReader,
    private readonly context: string,
    private readonly model: HandlerModel,
    private readonly ledger: EffectLedger,
    private readonly window: EffectWindow,
    private readonly accept: (entry: Entry) => void,
  ) {
    this.position = feed.parsePosition(ledger.checkpoint);
  }

  async fill(): Promise<void> {
    this.more = false;
    this.atEnd = false;
    for (let n = 0; n < PAGES && this.hasRoom; n++) {
      const page = await this.pages.read(this.position, PAGE, { accepts: WINDOW_FACTS });
      if (page.facts.length === 0 && this.position.covers(page.next)) {
        this.atEnd = true;
        return;
      }
      this.position = page.next;
      this.take(page.facts, page.next);
    }
    this.more = this.hasRoom;
  }

  private get hasRoom(): boolean {
    const { window } = this;
    return window.size < WINDOW_FACTS && window.characters < WINDOW_CHARACTERS && this.ledger.size < LEDGER_MAX;
  }

  private take(facts: readonly Fact[], next: Position): void {
    const page: Page = { next, left: 0, keys: [] };
    this.taken.push(page);
    for (const fact of facts) {
      const kind = this.model.kindOf(fact);
      if (kind === undefined) continue;
      const aggregate = aggregateKeyOf(fact);
      const ref = refOf(fact);
      const key = effectKey(this.context, this.model.name, aggregate, ref);
      if (this.ledger.holds(key)) {
        page.keys.push(key);
        continue;
      }
      if (
        kind === 'correction' &&
        this.model.correctionOf(aggregate.type, correctionOf(fact).target.name) === undefined
      ) {
        this.uncorrected++;
        continue;
      }
      const [attempt, failures] = this.ledger.attemptOf(key);
      const aggregateText = aggregateKeyText(aggregate.tenant, aggregate.type, aggregate.id);
      page.left++;
      this.pageOf.set(key, page);
      this.accept({
        key,
        lane: aggregateText,
        kind,
        aggregate,
        aggregateText,
        fact: ref,
        target: undefined,
        loaded: fact,
        characters: fact.content.length,
        origin: this.origin,
        order: '',
        upTo: () => next,
        late: undefined,
        before: undefined,
        known: undefined,
        attempt,
        failures,
        calls: undefined,
        done: new Set(),
      });
    }
  }

  private leave(entry: Entry): void {
    const page = this.pageOf.get(entry.key)!;
    this.pageOf.delete(entry.key);
    page.left--;
    page.keys.push(entry.key);
    this.ledger.record(entry.key);
    // As a whole it is done or parked: that says more than which calls of it are done.
    for (const call of entry.done) this.ledger.forgetCall(call);
  }

  /** The checkpoint moves up to the first page that is not all done or parked: nothing is passed over. */
  beforeSave(): void {
    let passed: Page | undefined;
    while (this.taken[0]?.left === 0) {
      passed = this.taken.shift()!;
      for (const key of passed.keys) this.ledger.forget(key);
    }
    if (passed !== undefined) this.ledger.moveTo(passed.next.toString());
  }

  saved(): void {
    // The ledger knows what is stored; nothing else is kept here.
  }
}
