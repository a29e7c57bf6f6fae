/**
 * Persistent handlers: events wait in the order of their event time, in the handler's own view, until the watermark passes
 * them. One index holds what waits, what is released and not done, stragglers and corrections of what was released:
 *
 *   <time>0<stream, sequence, name, type, id, tenant, digest, as recorded>   an event at its effective time
 *   <time>1<number>                                                          what came when that time was settled: a straggler, a correction
 *
 * so that the order of the index is the order of the calls, before and after a restart, and the released part of it only
 * grows at its end. What is done is removed. A retracted event that was never released is noted as withheld, because a
 * correction may bring it back.
 *
 * Released or not is decided fact by fact, as the feed has them, never by the page or the time of a read.
 */
import { aggregateKeyOf, aggregateKeyText, type AggregateKey, type Fact, type WireValue } from '../model/event.js';
import { compareProcessingIds } from '../model/processing-id.js';
import type { Position } from '../model/position.js';
import type { EventFeed } from '../ports/event-feed.js';
import type { EventStore } from '../ports/event-store.js';
import type { ViewStore } from '../ports/view-store.js';
import type { EffectLedger } from './effect-ledger.js';
import {
  changeBy,
  correctionsOf,
  meaningOf,
  sameMeaning,
  siblingsOf,
  targetsOf,
  type EffectPlan,
} from './effect-plan.js';
import type { EffectWindow } from './effect-window.js';
import type { Entry, Origin } from './entry.js';
import { correctionKey, effectKey, momentOf, refOf, type FactRef } from './fact-ref.js';
import { WINDOW_CHARACTERS, WINDOW_FACTS, type Intake } from './feed-intake.js';
import type { FeedReader } from './feed-pages.js';
import type { HandlerModel } from './handlers.js';
import type { WatermarkSource } from './watermark-source.js';

const QUEUE = 'queue';
const WITHHELD = 'withheld';
/** Facts admitted by one look, and entries taken from the index at once. */
const PAGE = 250;

/** What an index entry holds; absent fields are left out. */
interface Queued {
  readonly aggregate: readonly [string, string, string];
  readonly fact: FactRef;
  readonly target?: FactRef;
  readonly late?: number;
  readonly before?: string;
  readonly known?: string;
}

/** A fact of a page with everything that must be read to admit it. */
type Prepared = { readonly fact: Fact } & (
  | { readonly kind: 'none' }
  | { readonly kind: 'event'; readonly meaning: Fact | null }
  | {
      readonly kind: 'correction';
      readonly targets: readonly {
        readonly target: Fact;
        readonly before: Fact | null;
        readonly after: Fact | null;
        readonly queued: Queued | undefined;
        readonly withheld: boolean;
        readonly foreign: boolean;
      }[];
    }
);

export interface QueueParts {
  readonly store: EventStore;
  readonly feed: EventFeed;
  readonly pages: FeedReader;
  readonly views: ViewStore;
  readonly context: string;
  readonly watermark: WatermarkSource;
  readonly plan: EffectPlan;
}

export class PersistentQueue implements Intake {
  position: Position;
  more = true;
  atEnd = false;
  uncorrected = 0;
  private settledUpTo: number;
  /** As the last commit has it: only what was released by then is taken from the index, so that nothing is put in before it. */
  private savedUpTo: number;
  private cursor: string | undefined;
  /** What a straggler or correction gets as its place among those of one settled time. */
  private number: number;
  /** Entries in memory by their order: a correction that comes now must not change what they mean. */
  private readonly loaded = new Map<string, Entry>();
  private readonly origin: Origin = {
    leave: (entry) => {
      this.loaded.delete(entry.order);
      this.ledger.remove(QUEUE, entry.order);
    },
    called: (_entry, key) => this.ledger.recordCall(key),
  };

  private constructor(
    private readonly parts: QueueParts,
    private readonly model: HandlerModel,
    private readonly ledger: EffectLedger,
    private readonly window: EffectWindow,
    private readonly accept: (entry: Entry) => void,
    settledUpTo: number,
    number: number,
  ) {
    this.position = parts.feed.parsePosition(ledger.checkpoint);
    this.settledUpTo = settledUpTo;
    this.savedUpTo = settledUpTo;
    this.number = number;
  }

  static async open(
    parts: QueueParts,
    model: HandlerModel,
    ledger: EffectLedger,
    window: EffectWindow,
    accept: (entry: Entry) => void,
  ): Promise<PersistentQueue> {
    const [saved] = await parts.views.readNotes(model.view, 'queue');
    const { settledUpTo, number } = (saved?.value ?? { settledUpTo: null, number: 0 }) as {
      readonly settledUpTo: number | null;
      readonly number: number;
    };
    return new PersistentQueue(parts, model, ledger, window, accept, settledUpTo ?? Number.NEGATIVE_INFINITY, number);
  }

  /** Event time up to which everything was released; `-Infinity` before the first. */
  get settled(): number {
    return this.settledUpTo;
  }

  async fill(): Promise<void> {
    const released = await this.release();
    const page = await this.parts.pages.read(this.position, PAGE, { accepts: WINDOW_FACTS });
    this.atEnd = page.facts.length === 0 && this.position.covers(page.next);
    if (!this.atEnd) {
      // Everything is read first: what follows happens as a whole or not at all.
      const prepared = await this.prepare(page.facts, page.next);
      for (const one of prepared) this.admit(one);
      this.position = page.next;
    }
    this.more = released || !this.atEnd;
  }

  beforeSave(): void {
    const checkpoint = this.position.toString();
    if (checkpoint === this.ledger.checkpoint) return;
    // The checkpoint moves in the commit that holds what was admitted up to it.
    this.ledger.moveTo(checkpoint);
    for (const { key, value } of this.parts.watermark.changes()) this.ledger.note(`w${key}`, value);
    const settledUpTo = Number.isFinite(this.settledUpTo) ? this.settledUpTo : null;
    this.ledger.note('queue', { settledUpTo, number: this.number });
  }

  saved(): void {
    this.parts.watermark.saved();
    this.savedUpTo = this.settledUpTo;
  }

  /** Takes released entries into the window; true when there are more than it has room for now. */
  private async release(): Promise<boolean> {
    const { window } = this;
    const room = WINDOW_FACTS - window.size;
    if (!Number.isFinite(this.savedUpTo) || room <= 0 || window.characters >= WINDOW_CHARACTERS) return false;
    const limit = Math.min(room, PAGE);
    const options = this.cursor === undefined ? { limit } : { limit, after: this.cursor };
    const entries = await this.parts.views.readIndex(this.model.view, QUEUE, '', options);
    const end = `${timeOrder(this.savedUpTo)}2`;
    for (const { order, value } of entries) {
      if (order >= end) return false;
      this.cursor = order;
      // What is done in the commit to come is still read.
      if (this.ledger.pending(QUEUE, order) !== null && !this.loaded.has(order)) this.load(order, value);
    }
    return entries.length === limit && window.size < WINDOW_FACTS;
  }

  private load(order: string, value: WireValue): void {
    const queued = (this.ledger.pending(QUEUE, order) ?? value) as unknown as Queued;
    const [tenant, type, id] = queued.aggregate;
    const aggregate: AggregateKey = { tenant, type, id };
    const aggregateText = aggregateKeyText(tenant, type, id);
    const { fact, target } = queued;
    const { context } = this.parts;
    const key =
      target === undefined
        ? effectKey(context, this.model.name, aggregate, fact)
        : correctionKey(context, this.model.name, aggregate, fact, target);
    const [attempt, failures] = this.ledger.attemptOf(key);
    const entry: Entry = {
      key,
      lane: this.model.oneLane ? '' : aggregateText,
      kind: target === undefined ? 'event' : 'correction',
      aggregate,
      aggregateText,
      fact,
      target,
      loaded: undefined,
      characters: order.length,
      origin: this.origin,
      order,
      upTo: () => this.position,
      late: queued.late,
      before: queued.before,
      known: queued.known,
      attempt,
      failures,
      calls: undefined,
      done: new Set(),
    };
    this.loaded.set(order, entry);
    this.accept(entry);
  }

  private async prepare(facts: readonly Fact[], upTo: Position): Promise<Prepared[]> {
    const prepared: Prepared[] = [];
    for (const fact of facts) {
      const kind = this.model.kindOf(fact);
      if (kind === undefined) prepared.push({ fact, kind: 'none' });
      else {
        const aggregate = aggregateKeyOf(fact);
        const moment = await momentOf(this.parts.store, aggregate, fact.eventTime, upTo);
        if (kind === 'event') {
          const earlier = correctionsOf(moment, refOf(fact)).filter(
            (one) => compareProcessingIds(one.processingId, fact.processingId) < 0,
          );
          prepared.push({ fact, kind, meaning: meaningOf(own(moment, fact), siblingsOf(moment, fact, fact), earlier) });
        } else prepared.push(await this.prepareCorrection(own(moment, fact), aggregate, moment));
      }
    }
    return prepared;
  }

  private async prepareCorrection(fact: Fact, aggregate: AggregateKey, moment: readonly Fact[]): Promise<Prepared> {
    const before = targetsOf(moment, fact).filter(
      (target) => compareProcessingIds(target.processingId, fact.processingId) < 0,
    );
    const foreign = before.length === 0 ? undefined : await this.parts.plan.beforeStart(aggregate, fact.eventTime);
    const targets: Extract<Prepared, { kind: 'correction' }>['targets'][number][] = [];
    for (const target of before) {
      const change = changeBy(moment, target, fact);
      const order = change.before === null ? undefined : eventOrder(change.before, target);
      const [queued, withheld] = await Promise.all([
        order === undefined ? undefined : this.read(QUEUE, order),
        this.read(WITHHELD, this.parts.plan.keyOf(aggregate, target)),
      ]);
      targets.push({
        target,
        ...change,
        queued: queued as unknown as Queued | undefined,
        withheld: withheld !== undefined,
        foreign: foreign!.has(target.processingId),
      });
    }
    return { fact, kind: 'correction', targets };
  }

  private async read(row: string, order: string): Promise<WireValue | undefined> {
    const [entry] = await this.parts.views.readIndex(this.model.view, row, '', { prefix: order, limit: 1 });
    return entry?.order === order ? entry.value : undefined;
  }

  /** Admits one fact; nothing is awaited here. */
  private admit(prepared: Prepared): void {
    const { fact } = prepared;
    if (prepared.kind === 'event') {
      const key = effectKey(this.parts.context, this.model.name, aggregateKeyOf(fact), refOf(fact));
      if (prepared.meaning === null) this.ledger.put(WITHHELD, key, 1);
      else this.place(fact, prepared.meaning, { before: fact.processingId });
    } else if (prepared.kind === 'correction') {
      for (const one of prepared.targets) if (!one.foreign) this.correct(fact, one);
    }
    this.parts.watermark.take(fact);
    const { inputWatermark } = this.parts.watermark;
    if (inputWatermark > this.settledUpTo) this.settledUpTo = Math.floor(inputWatermark);
  }

  /** An event at its time: to wait for the watermark, or, when that has passed already, late and at once. */
  private place(fact: Fact, meaning: Fact, asOf: { readonly before: string } | { readonly known: string }): void {
    const queued = { aggregate: aggregateOf(fact), fact: refOf(fact) };
    if (meaning.eventTime > this.settledUpTo) this.put(eventOrder(meaning, fact), queued);
    else this.put(this.lateOrder(), { ...queued, late: this.settledUpTo, ...asOf });
  }

  private correct(correction: Fact, one: Extract<Prepared, { kind: 'correction' }>['targets'][number]): void {
    const { target, before, after } = one;
    if (sameMeaning(before, after)) return;
    const key = effectKey(this.parts.context, this.model.name, aggregateKeyOf(target), refOf(target));
    if (before === null ? this.present(WITHHELD, key, one.withheld) : false) {
      this.ledger.remove(WITHHELD, key);
      if (after !== null) this.place(target, after, { known: correction.processingId });
      return;
    }
    const order = before === null ? undefined : eventOrder(before, target);
    const queued = order === undefined ? undefined : this.queued(order, one.queued);
    if (queued !== undefined && before!.eventTime > this.settledUpTo) {
      // It waits: it takes its new place, or none.
      this.ledger.remove(QUEUE, order!);
      if (after === null) this.ledger.put(WITHHELD, key, 1);
      else this.place(target, after, { known: correction.processingId });
      return;
    }
    // Released: it keeps the meaning it was released with, and what changed comes behind it.
    if (queued !== undefined && queued.before === undefined) {
      this.put(order!, { ...queued, before: correction.processingId });
      const entry = this.loaded.get(order!);
      if (entry !== undefined) entry.before = correction.processingId;
    }
    if (this.model.correctionOf(target.aggregateType, target.name) === undefined) {
      this.uncorrected++;
      return;
    }
    this.put(this.lateOrder(), {
      aggregate: aggregateOf(target),
      fact: refOf(correction),
      target: refOf(target),
      late: this.settledUpTo,
    });
  }

  private present(row: string, order: string, stored: boolean): boolean {
    const pending = this.ledger.pending(row, order);
    return pending === undefined ? stored : pending !== null;
  }

  private queued(order: string, stored: Queued | undefined): Queued | undefined {
    const pending = this.ledger.pending(QUEUE, order);
    if (pending === undefined) return stored;
    return pending === null ? undefined : (pending as unknown as Queued);
  }

  private put(order: string, queued: Queued): void {
    this.ledger.put(QUEUE, order, queued as unknown as WireValue);
  }

  private lateOrder(): string {
    return `${timeOrder(this.settledUpTo)}1${integerOrder(this.number++)}`;
  }
}

/** The fact of this moment that is the given one: `amends` and rulings compare objects. */
function own(moment: readonly Fact[], fact: Fact): Fact {
  return moment.find((one) => one.processingId === fact.processingId) ?? fact;
}

function aggregateOf(fact: Fact): readonly [string, string, string] {
  return [fact.tenant, fact.aggregateType, fact.aggregateId];
}

/** 16 digits that sort as safe integers from -1 do. */
export function integerOrder(value: number): string {
  return String(value + 1).padStart(16, '0');
}

/** 16 digits that sort as event times do. */
export function timeOrder(ms: number): string {
  return String(Math.floor(ms) + 1e15).padStart(16, '0');
}

/**
 * (event time, stream, sequence, name, type, id, digest), as the handler is told them: NUL is in none of them, so it ends each
 * part in order. Two events that an amendment made alike in all of these are told apart by what each was recorded with.
 */
function eventOrder(meaning: Fact, recorded: Fact): string {
  const { streamId, sequence, name, aggregateType, aggregateId, tenant, digest } = meaning;
  const parts = [
    streamId,
    integerOrder(sequence) + name,
    aggregateType,
    aggregateId,
    tenant,
    digest,
    timeOrder(recorded.eventTime),
    ...(recorded.digest === digest ? [] : [recorded.digest]),
  ];
  return `${timeOrder(meaning.eventTime)}0${parts.join('\u0000')}`;
}
