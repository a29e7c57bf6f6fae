/**
 * Timers in event time: the feed is read page by page, the items that a page may have changed are looked up anew, and what
 * `settledUpTo` has passed is put into a queue of calls. Items, timers, queue, sources, settlement and checkpoint are changed by
 * one commit, so that a process that takes over finds exactly what the last one left.
 *
 * One step is either a page of timers that came due, or a page of the feed: so what a step reads of the view is what the
 * last commit left there. Everything due is released before the next page is read, hence what is told is what was settled
 * at the end of a page; a straggler of the same page is in it and corrects nothing.
 */
import { canonicalJson } from '../model/canonical-json.js';
import { sha256Hex } from '../model/digest.js';
import { aggregateKeyText, type WireValue } from '../model/event.js';
import type { Position } from '../model/position.js';
import type { WorkParts } from '../processing/work-model.js';
import type { Entry, Origin } from '../processing/entry.js';
import { WINDOW_CHARACTERS, WINDOW_FACTS, type Intake } from '../processing/feed-intake.js';
import { integerOrder } from '../processing/persistent-queue.js';
import { regroup } from '../time/settled-items.js';
import { Settlement, SETTLEMENT_NOTES } from '../time/settlement.js';
import {
  DEADLINES,
  DUE,
  ITEMS,
  placeOf,
  QUEUE,
  REVISIONS,
  timerOrder,
  type AggregateParts,
  type Item,
  type Queued,
  type Span,
  type Timer,
} from './rows.js';
import { PageLook, type Looked } from './page-look.js';
import type { SettlingName } from './settling-name.js';
import type { SettlingPlan } from './settling-plan.js';
import type { ToldStates } from './told-states.js';
import type { ItemNow } from './touched-items.js';

/** Timers or calls taken at once. */
const PAGE = 250;
/** Facts of one step; while there is more to read, steps double up to the second, as each costs a commit. As projections step, so that they share pages. */
const FACTS = 1_000;
const FACTS_BEHIND = 8_000;

export class SettlingQueue implements Intake {
  position: Position;
  more = true;
  atEnd = false;
  private cursor: string | undefined;
  private pageSize = FACTS;
  /** The queue may hold something behind the cursor. */
  private mayHold = true;
  /** Something was put into the queue and is not saved. */
  private enqueued = false;
  /** No timer is due before it. */
  private nextTimer = Number.NEGATIVE_INFINITY;
  /** Something was staged and is not saved: the view is not read for timers meanwhile. */
  private staged = false;
  private readonly origin: Origin = {
    leave: (entry) => this.parts.ledger.remove(QUEUE, entry.order),
    called: () => undefined,
    prepared: (entry) => this.parts.ledger.put(QUEUE, entry.order, entry.item!),
  };

  private constructor(
    private readonly parts: WorkParts,
    private readonly model: SettlingName,
    private readonly plan: SettlingPlan,
    private readonly told: ToldStates,
    private readonly page: PageLook,
    private readonly settlement: Settlement,
    private number: number,
    /** Nothing is told before this position is reached: what is settled by then is told once, as it is then. */
    private silentUpTo: Position | undefined,
  ) {
    this.position = parts.feed.parsePosition(parts.ledger.checkpoint);
  }

  static async open(
    parts: WorkParts,
    model: SettlingName,
    plan: SettlingPlan,
    told: ToldStates,
  ): Promise<SettlingQueue> {
    const { views, feed, ledger } = parts;
    const settlement = new Settlement(await views.readNotes(model.view, SETTLEMENT_NOTES));
    const [queue] = await views.readNotes(model.view, 'queue');
    const [silent] = await views.readNotes(model.view, 'silent');
    let silentUpTo = silent === undefined ? undefined : feed.parsePosition(silent.value as string);
    if (silentUpTo === undefined && model.fromBeginning && ledger.checkpoint === feed.start().toString()) {
      silentUpTo = await feed.end();
      ledger.note('silent', silentUpTo.toString());
    }
    const page = await PageLook.open(parts, model);
    return new SettlingQueue(parts, model, plan, told, page, settlement, (queue?.value ?? 0) as number, silentUpTo);
  }

  get uncorrected(): number {
    return this.plan.uncorrected;
  }

  /** Event time up to which everything is told; `-Infinity` before anything settled. */
  get settledUpTo(): number {
    return this.settlement.settledUpTo;
  }

  async fill(): Promise<void> {
    const loaded = await this.load();
    this.more = true;
    if (this.staged) return;
    if ((await this.release()) || (await this.forget())) return;
    const { pages, window } = this.parts;
    const page = await pages.read(this.position, this.pageSize, { accepts: FACTS_BEHIND, waits: window.size === 0 });
    this.atEnd = page.facts.length === 0 && this.position.covers(page.next);
    if (!this.atEnd) {
      // Everything is read first: what follows happens as a whole or not at all.
      const looked = await this.page.at(page.facts, page.next);
      const isBehind = !page.atEnd && page.facts.length >= FACTS;
      this.pageSize = isBehind ? Math.min(this.pageSize * 2, FACTS_BEHIND) : FACTS;
      this.parts.watermark.takePage(page.facts);
      this.position = page.next;
      this.settlement.advance(this.parts.watermark.inputWatermark);
      for (const one of looked) this.put(one);
      this.staged = true;
    }
    this.more = loaded || !this.atEnd;
  }

  beforeSave(): void {
    const { ledger, watermark } = this.parts;
    const checkpoint = this.position.toString();
    if (checkpoint === ledger.checkpoint) return;
    ledger.moveTo(checkpoint);
    for (const { key, value } of watermark.changes()) ledger.note(`w${key}`, value);
    for (const { key, value } of this.settlement.changes()) ledger.note(key, value);
  }

  saved(): void {
    this.parts.watermark.saved();
    this.settlement.saved();
    this.staged = false;
    if (this.enqueued) this.mayHold = true;
    this.enqueued = false;
  }

  /** Takes what is to be told into the window; true when there is more than it has room for now. */
  private async load(): Promise<boolean> {
    const { window, views, ledger } = this.parts;
    const room = WINDOW_FACTS - window.size;
    if (!this.mayHold || room <= 0 || window.characters >= WINDOW_CHARACTERS) return false;
    const limit = Math.min(room, PAGE);
    const options = this.cursor === undefined ? { limit } : { limit, after: this.cursor };
    const entries = await views.readIndex(this.model.view, QUEUE, '', options);
    for (const { order, value } of entries) {
      this.cursor = order;
      if (ledger.pending(QUEUE, order) !== null) this.parts.accept(this.entryOf(order, value));
    }
    this.mayHold = entries.length === limit;
    return this.mayHold && window.size < WINDOW_FACTS;
  }

  private entryOf(order: string, value: WireValue): Entry {
    const { kind, aggregate, settlesAt, revision, old, now, upTo, ready } = value as unknown as Queued;
    const [tenant, type, id] = aggregate;
    const aggregateText = aggregateKeyText(tenant, type, id);
    const first = (old[0] ?? now[0])?.key ?? '';
    const { ledger, feed, context } = this.parts;
    const key = sha256Hex(canonicalJson([context, this.model.name, tenant, type, id, kind, first, revision]));
    const [attempt, failures] = ledger.attemptOf(key);
    const position = feed.parsePosition(upTo);
    const states = [...(ready?.old ?? []), ...(ready?.now ?? [])];
    return {
      key,
      lane: aggregateText,
      kind,
      aggregate: { tenant, type, id },
      aggregateText,
      fact: [settlesAt, '', -1, `${kind} ${first}`, '', ''],
      target: undefined,
      loaded: undefined,
      characters: states.reduce((sum, { state }) => sum + (state?.length ?? 0), 200),
      origin: this.origin,
      order,
      upTo: () => position,
      late: undefined,
      before: undefined,
      known: undefined,
      item: value,
      attempt,
      failures,
      calls: undefined,
      done: new Set(),
    };
  }

  /** Queues what the line has passed, a page of it; false when there is nothing. */
  private async release(): Promise<boolean> {
    const line = this.settlement.settledUpTo;
    if (!Number.isFinite(line) || (this.silentUpTo !== undefined && !this.position.covers(this.silentUpTo)))
      return false;
    this.silentUpTo = undefined;
    if (line < this.nextTimer) return false;
    const timers = await this.parts.views.readIndex(this.model.view, DUE, '', { limit: PAGE });
    const { ledger } = this.parts;
    for (const { order, value } of timers) {
      const { aggregate, ...item } = value as unknown as Timer;
      if (item.settlesAt > line) {
        this.nextTimer = item.settlesAt;
        return this.staged;
      }
      const [tenant, type, id] = aggregate;
      const place = placeOf(this.model.settling, item);
      ledger.remove(DUE, order);
      const text = aggregateKeyText(tenant, type, id);
      this.page.told(text, item.key);
      ledger.put(ITEMS, `${text}\u0000${place}`, {
        ...item,
        told: true,
      } satisfies Item as unknown as WireValue);
      if (this.model.consumer.settled !== undefined) this.enqueue('settled', aggregate, item, [], [spanOf(item)]);
      this.staged = true;
    }
    if (timers.length < PAGE) this.nextTimer = Number.POSITIVE_INFINITY;
    return this.staged;
  }

  /** Frees what is kept of what was told long ago, a page of it; false when there is nothing. */
  private async forget(): Promise<boolean> {
    const line = this.settlement.settledUpTo;
    if (Number.isFinite(line) && (await this.told.forget(line))) this.staged = true;
    return this.staged;
  }

  private enqueue(
    kind: Queued['kind'],
    aggregate: AggregateParts,
    of: { readonly settlesAt: number; readonly revision: number },
    old: readonly Span[],
    now: readonly Span[],
    error?: string,
  ): void {
    const { ledger } = this.parts;
    const { settlesAt, revision } = of;
    const queued: Queued = {
      kind,
      aggregate,
      settlesAt,
      revision,
      old,
      now,
      upTo: this.position.toString(),
      line: this.settlement.settledUpTo,
      ...(error === undefined ? {} : { error }),
    };
    ledger.put(QUEUE, integerOrder(this.number++), queued as unknown as WireValue);
    ledger.note('queue', this.number);
    this.enqueued = true;
  }

  /** Puts the timers of one aggregate right, and queues what was told and is not so any more; nothing is awaited here. */
  private put(looked: Looked): void {
    const { aggregate, text, revision: corrected, around, error } = looked;
    if (error !== undefined) {
      this.page.forget(text);
      this.parts.logger.error(
        `What settles under "${this.model.name}" of ${aggregate[1]} ${aggregate[2]} cannot be told: ${error}`,
      );
      const settlesAt = this.settlement.settledUpTo;
      const of = { settlesAt: Number.isFinite(settlesAt) ? settlesAt : 0, revision: this.number };
      this.enqueue('settled', aggregate, of, [], [], error);
      return;
    }
    const { ledger } = this.parts;
    const { settling } = this.model;
    const line = this.settlement.settledUpTo;
    const isSettled = (item: ItemNow): boolean => item.settlesAt <= line;
    const told = around.stored.filter((item) => item.told);
    /** Items of `now` that need no telling of their own. */
    const stands = new Set<ItemNow>();
    const revision = corrected + 1;
    let isCorrected = false;
    if (settling.kind === 'deadline') {
      const byKey = new Map(around.now.map((item) => [item.key, item]));
      for (const old of told) {
        const now = byKey.get(old.key);
        if (now !== undefined && now.to === old.to && isSettled(now)) stands.add(now);
        else {
          isCorrected = true;
          this.enqueue('withdrawn', aggregate, { settlesAt: old.settlesAt, revision }, [spanOf(old)], []);
        }
      }
    } else {
      for (const group of regroup(settling, told, around.now)) {
        isCorrected = true;
        const now = group.now.filter(isSettled);
        for (const one of now) stands.add(one);
        const { settlesAt } = group.old[0]!;
        this.enqueue('corrected', aggregate, { settlesAt, revision }, group.old.map(spanOf), now.map(spanOf));
      }
    }
    if (isCorrected) {
      this.page.corrected();
      ledger.put(REVISIONS, text, revision);
    }
    this.replace(looked, stands, isCorrected ? revision : corrected);
  }

  private replace(looked: Looked, stands: ReadonlySet<ItemNow>, revision: number): void {
    const { aggregate, text, around } = looked;
    const { ledger } = this.parts;
    const { settling } = this.model;
    const before = new Map(around.stored.map((item) => [placeOf(settling, item), item]));
    const after = new Map(around.now.map((item) => [placeOf(settling, item), item]));
    for (const [place, item] of before) {
      const now = after.get(place);
      const order = timerOrder(item.settlesAt, text, place);
      if (now?.settlesAt !== item.settlesAt) {
        if (settling.kind === 'deadline') ledger.remove(DEADLINES, order);
        if (!item.told) ledger.remove(DUE, order);
      }
      if (now === undefined) ledger.remove(ITEMS, `${text}\u0000${place}`);
    }
    const items: Item[] = [];
    for (const [place, now] of after) {
      const known = before.get(place);
      const told = stands.has(now);
      const kept = known !== undefined && known.from === now.from && known.to === now.to;
      if (kept && known.settlesAt === now.settlesAt && known.told === told && known.revision === revision) {
        items.push(known);
        continue;
      }
      const { key, from, to, settlesAt } = now;
      const item: Item = { key, from, to, settlesAt, revision, told };
      items.push(item);
      const order = timerOrder(settlesAt, text, place);
      const timer = { aggregate, key, from, to, settlesAt, revision } satisfies Timer as unknown as WireValue;
      ledger.put(ITEMS, `${text}\u0000${place}`, item as unknown as WireValue);
      if (!told) {
        ledger.put(DUE, order, timer);
        this.nextTimer = Math.min(this.nextTimer, settlesAt);
      }
      if (settling.kind === 'deadline') ledger.put(DEADLINES, order, timer);
    }
    this.page.remember(looked, revision, items);
  }
}

function spanOf({ key, from, to }: Span): Span {
  return { key, from, to };
}
