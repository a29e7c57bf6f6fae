/**
 * What a page of the feed may have changed of what settles: for each aggregate of it, the items that are kept and those that
 * stand there now. Nothing is staged here: all is read first, so that a step happens as a whole or not at all.
 *
 * Of a deadline, the next event of an aggregate that had one lately is judged by what is known of it, without a read: the open
 * items, and the last event that ends them. That only saves work; what is corrected, or was not seen lately, is looked up.
 */
import { correctionOf, isCorrection } from '../model/correction.js';
import { aggregateKeyOf, aggregateKeyText, type AggregateKey, type Fact } from '../model/event.js';
import type { Position } from '../model/position.js';
import type { WorkParts } from '../processing/work-model.js';
import { LruMap } from '../processing/lru.js';
import { factsOfType, type FactsOfType } from '../processing/page-facts.js';
import { timeOrder } from '../processing/persistent-queue.js';
import { isPassing } from '../processing/retry-policy.js';
import { ITEMS_MAX, settlingItems, type Settling } from '../time/settled-items.js';
import { ITEMS, REVISIONS, type AggregateParts, type Item } from './rows.js';
import type { SettlingName } from './settling-name.js';
import { itemsAround, type Around, type ItemNow, type KeptItems } from './touched-items.js';

/** Items of one aggregate read at once. */
const ITEMS_PAGE = 1_000;
/** Aggregates and open items known, some 300 bytes each. */
const KNOWN_MAX = 50_000;

type Deadline = Extract<Settling, { readonly kind: 'deadline' }>;

/** Everything that must be read of one aggregate to put its timers right. */
export interface Looked {
  readonly aggregate: AggregateParts;
  readonly text: string;
  readonly revision: number;
  readonly around: Around;
  /** Of a deadline without corrections: when the last event was that ends it. */
  readonly met?: number;
  readonly error: string | undefined;
}

/** The deadlines of one aggregate, as the last step left them. */
interface Known {
  readonly revision: number;
  readonly met: number;
  readonly items: readonly Item[];
}

export class PageLook {
  private readonly known = new LruMap<string, Known>(KNOWN_MAX, ({ items }) => 1 + items.length);

  private constructor(
    private readonly parts: Pick<WorkParts, 'store' | 'views'>,
    private readonly model: SettlingName,
    /** Whether anything was ever corrected. */
    private revised: boolean,
  ) {}

  static async open(parts: Pick<WorkParts, 'store' | 'views'>, model: SettlingName): Promise<PageLook> {
    const revisions = await parts.views.readIndex(model.view, REVISIONS, '', { limit: 1 });
    return new PageLook(parts, model, revisions.length > 0);
  }

  /** Aggregates of which an event of the page concerns what settles, in the order of these. */
  async at(facts: readonly Fact[], upTo: Position): Promise<readonly Looked[]> {
    const own = factsOfType(facts, this.model.aggregate.type);
    if (own === undefined || !this.mayConcern(own)) return [];
    const byAggregate = new Map<string, Fact[]>();
    for (const fact of own.facts) {
      if (!this.concerns(fact)) continue;
      const text = aggregateKeyText(fact.tenant, fact.aggregateType, fact.aggregateId);
      const list = byAggregate.get(text);
      if (list === undefined) byAggregate.set(text, [fact]);
      else list.push(fact);
    }
    if (byAggregate.size === 0) return [];
    const { store } = this.parts;
    const { aggregate: model, settling } = this.model;
    const texts = [...byAggregate.keys()];
    const keys = texts.map((text) => aggregateKeyOf(byAggregate.get(text)![0]!));
    const corrections = await store.readCorrections(keys, { upTo });
    const looked: Looked[] = new Array<Looked>(texts.length);
    const waits: Promise<void>[] = [];
    const at = (i: number, look: Promise<Looked>): void => {
      const wait = look.then((one) => void (looked[i] = one));
      // Met at once: it may fail before all are waited for.
      wait.catch(() => undefined);
      waits.push(wait);
    };
    const unknown: number[] = [];
    for (let i = 0; i < texts.length; i++) {
      const [text, key] = [texts[i]!, keys[i]!];
      const own = byAggregate.get(text)!;
      if (settling.kind === 'deadline' && corrections[i]!.length === 0 && model.conflicts === 'both') {
        const known = this.byKnown(settling, text, key, own);
        if (known === undefined) unknown.push(i);
        else looked[i] = known;
        continue;
      }
      const parts = { store, model, settling, aggregate: key, upTo, kept: this.keptOf(text) };
      at(
        i,
        this.lookUp(text, key, () => itemsAround(parts, own, corrections[i]!)),
      );
    }
    if (settling.kind === 'deadline' && unknown.length > 0) {
      const names = [...new Set([...settling.after, ...settling.unless])];
      const histories = await store.readMany(
        unknown.map((i) => keys[i]!),
        { names, upTo },
      );
      unknown.forEach((i, n) => at(i, this.lookUpDeadline(settling, texts[i]!, keys[i]!, histories[n]!)));
    }
    await Promise.all(waits);
    return looked;
  }

  /** What the step that is being staged makes of an aggregate's items. */
  remember({ text, met }: Pick<Looked, 'text' | 'met'>, revision: number, items: readonly Item[]): void {
    if (met === undefined) this.known.delete(text);
    else this.known.set(text, { revision, met, items });
  }

  /** It is looked up again. */
  forget(text: string): void {
    this.known.delete(text);
  }

  /** A timer came due. */
  told(text: string, key: string): void {
    const known = this.known.get(text);
    if (known === undefined) return;
    const items = known.items.map((item) => (item.key === key ? { ...item, told: true } : item));
    this.known.set(text, { ...known, items });
  }

  /** Something of an aggregate was corrected: from now on aggregates are asked how often they were. */
  corrected(): void {
    this.revised = true;
  }

  /** Deadlines look at some events only; most pages have none of them. */
  private mayConcern({ names, hasCorrections }: FactsOfType): boolean {
    const { settling } = this.model;
    if (settling.kind !== 'deadline' || hasCorrections) return true;
    for (const name of names) if (settling.after.has(name) || settling.unless.has(name)) return true;
    return false;
  }

  /** A fact of the aggregate's type. */
  private concerns(fact: Fact): boolean {
    const { settling } = this.model;
    if (settling.kind !== 'deadline') return true;
    const name = isCorrection(fact) ? correctionOf(fact).target.name : fact.name;
    return settling.after.has(name) || settling.unless.has(name);
  }

  private byKnown(settling: Deadline, text: string, key: AggregateKey, facts: readonly Fact[]): Looked | undefined {
    const known = this.known.get(text);
    if (known === undefined) return undefined;
    const met = metBy(settling, facts, known.met);
    const now: ItemNow[] = known.items.filter(({ from }) => from > met);
    for (const item of settlingItems(settling, facts)) if (item.from > met) now.push(item);
    // Too many, which the look-up says.
    if (now.length > ITEMS_MAX) return undefined;
    const around = { stored: known.items, now };
    return { aggregate: partsOf(key), text, revision: known.revision, around, met, error: undefined };
  }

  private async lookUpDeadline(
    settling: Deadline,
    text: string,
    key: AggregateKey,
    history: readonly Fact[],
  ): Promise<Looked> {
    const looked = await this.lookUp(text, key, async () => ({
      now: settlingItems(settling, history),
      stored: await this.keptOf(text).all(),
    }));
    return looked.error === undefined ? { ...looked, met: metBy(settling, history, Number.NEGATIVE_INFINITY) } : looked;
  }

  private async lookUp(text: string, key: AggregateKey, look: () => Promise<Around>): Promise<Looked> {
    const found = { aggregate: partsOf(key), text, revision: this.revised ? await this.revisionOf(text) : 0 };
    try {
      return { ...found, around: await look(), error: undefined };
    } catch (error) {
      if (isPassing(error)) throw error;
      // Its timers stay as they are; the reason is parked, where a person sees it.
      return { ...found, around: { stored: [], now: [] }, error: String(error) };
    }
  }

  private async revisionOf(text: string): Promise<number> {
    const [kept] = await this.parts.views.readIndex(this.model.view, REVISIONS, '', { prefix: text, limit: 1 });
    return kept?.order === text ? (kept.value as number) : 0;
  }

  private keptOf(text: string): KeptItems {
    const { views } = this.parts;
    const { view } = this.model;
    const prefix = `${text}\u0000`;
    const pages = async (from: string, to: string | undefined): Promise<Item[]> => {
      const items: Item[] = [];
      for (let after = from; ;) {
        const page = await views.readIndex(view, ITEMS, '', { prefix, limit: ITEMS_PAGE, after });
        for (const { order, value } of page) {
          if (to !== undefined && order > to) return items;
          items.push(value as unknown as Item);
          after = order;
        }
        if (page.length < ITEMS_PAGE) return items;
      }
    };
    return {
      all: () => pages(prefix, undefined),
      between: async (from, to) => {
        if (from !== to) return await pages(prefix + timeOrder(from - 1), prefix + timeOrder(to));
        const order = prefix + timeOrder(from);
        const [entry] = await views.readIndex(view, ITEMS, '', { prefix: order, limit: 1 });
        return entry === undefined ? [] : [entry.value as unknown as Item];
      },
      before: async (time) => {
        const after = prefix + timeOrder(time);
        const [entry] = await views.readIndex(view, ITEMS, '', { prefix, limit: 1, after, descending: true });
        return entry?.value as unknown as Item | undefined;
      },
    };
  }
}

function partsOf({ tenant, type, id }: AggregateKey): AggregateParts {
  return [tenant, type, id];
}

/** The latest event that ends a deadline, or `before`. */
function metBy({ unless }: Deadline, facts: readonly Fact[], before: number): number {
  let met = before;
  for (const { name, eventTime } of facts) if (unless.has(name) && eventTime > met) met = eventTime;
  return met;
}
