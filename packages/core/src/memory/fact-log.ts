/** All facts of one in-memory context: the log in recorded order, and each aggregate's history. Store and feed stand on it. */
import { Fact, type AggregateKey } from '../model/event.js';
import { OrdinalPosition } from '../model/position.js';
import {
  formatProcessingIdLow,
  nextProcessingTime,
  processingIdLow,
  processingIdPrefix,
  randomNode,
  type ProcessingTime,
} from '../model/processing-id.js';
import type { Clock } from '../ports/clock.js';
import type { Append, AppendOutcome, AppendResult } from '../ports/event-store.js';
import { compareText } from '../model/text.js';
import { Bell } from '../ports/bell.js';
import { FactHistory } from './fact-history.js';

/** Below the 429.5 s after which the first 8 digits of ids come round: within it the others change only when those do. */
const SLOW_PART_MS = 429_000;

/** The last 100 ns of a millisecond: a floor of it covers the whole millisecond. */
const LAST_TICK = 9_999;

export class FactLog {
  /** In recorded order, which is the order of their processing ids; a position is an index. */
  readonly facts: Fact[] = [];
  readonly bell = new Bell();
  private readonly byTenant = new Map<string, Map<string, Map<string, FactHistory>>>();
  private last: ProcessingTime = { ms: Number.NEGATIVE_INFINITY, tick: 0 };
  private readonly node: string;
  // The ids' text is put together from parts that many of them share: see `startIds`.
  private low = 0;
  private idsSinceMs = Number.NEGATIVE_INFINITY;
  private slow = '';
  private tails: string[] = [];
  private firstTails: string[] = [];
  private high = -1;
  private highDigits = '';
  // Most facts are of the same tenant and type as the one before, and those of one append mostly of one aggregate.
  private recentTenant = '';
  private recentType = '';
  private recent: Map<string, FactHistory> = new Map();
  private recentId = '';
  private recentHistory: FactHistory | undefined = undefined;

  constructor(clock: Clock) {
    this.node = randomNode((n) => clock.randomBytes(n));
    this.byTenant.set('', new Map([['', this.recent]]));
  }

  /** Stores one append under one processing time, drawn only when something of it is new. */
  append(append: Append): AppendResult {
    const { facts } = append;
    // Of its full length at once: pushed to, an array of one would hold room for seventeen.
    const outcomes = Array<AppendOutcome>(facts.length);
    let digits = '';
    let index = 0;
    for (let i = 0; i < facts.length; i++) {
      const given = facts[i]!;
      // A fact stamped by another store stays that store's.
      const fact = given.processingId === '' ? given : new Fact(given);
      const outcome = this.historyOf(fact).add(fact);
      outcomes[i] = outcome;
      if (outcome !== 'recorded') this.count(fact.streamId, outcome);
      if (outcome === 'repeated') continue;
      if (index === 0) {
        this.startIds(nextProcessingTime(this.last, append.receivedAt));
        fact.processingId = this.firstId();
      } else {
        if (index === 1) digits = formatProcessingIdLow(this.low);
        fact.processingId = digits + this.tail(index);
      }
      fact.processedAt = this.last.ms;
      index += 1;
      this.facts.push(fact);
    }
    return { outcomes, position: new OrdinalPosition(this.facts.length) };
  }

  /**
   * Only the first 8 digits of ids change with each append, and of them mostly the last two. The rest is shared by all
   * ids of some seven minutes: an id costs one join of two strings, and keeps no characters of its own in memory.
   */
  private startIds(time: ProcessingTime): void {
    // The usual next time is the next tick of the same millisecond.
    const low = time.ms === this.last.ms ? (this.low + 1) >>> 0 : processingIdLow(time);
    if (low < this.low || !(time.ms - this.idsSinceMs < SLOW_PART_MS)) {
      this.slow = processingIdPrefix(time).slice(8);
      this.tails = [];
      this.firstTails = [];
      this.idsSinceMs = time.ms;
    }
    this.low = low;
    this.last = time;
  }

  /** The id of an append's first event, mostly the only one. */
  private firstId(): string {
    const high = this.low >>> 8;
    if (high !== this.high) {
      this.high = high;
      this.highDigits = formatProcessingIdLow(this.low).slice(0, 6);
    }
    const last = this.low & 0xff;
    return this.highDigits + (this.firstTails[last] ??= formatProcessingIdLow(last).slice(6) + this.tail(0));
  }

  /** The end of the id of an append's event at this place. */
  private tail(index: number): string {
    return (this.tails[index] ??= [this.slow, (0x8000 | index).toString(16), '-', this.node].join(''));
  }

  /** Afterwards no fact is stamped at or below `ms`. */
  keepFloor(ms: number): void {
    if (ms >= this.last.ms) this.last = { ms, tick: LAST_TICK };
  }

  /** Repeats and conflicts by source. */
  readonly counts = new Map<string, { repeated: number; conflicting: number }>();

  private count(streamId: string, outcome: 'repeated' | 'conflicting'): void {
    let counts = this.counts.get(streamId);
    if (counts === undefined) this.counts.set(streamId, (counts = { repeated: 0, conflicting: 0 }));
    counts[outcome]++;
  }

  /** All aggregates that have a history, sorted by tenant, type and id. */
  aggregates(): AggregateKey[] {
    const keys: AggregateKey[] = [];
    for (const [tenant, byType] of this.byTenant)
      for (const [type, byId] of byType) for (const id of byId.keys()) keys.push({ tenant, type, id });
    return keys.sort(compareAggregates);
  }

  find(tenant: string, type: string, id: string): FactHistory | undefined {
    return this.byTenant.get(tenant)?.get(type)?.get(id);
  }

  private historyOf(fact: Fact): FactHistory {
    if (fact.aggregateType !== this.recentType || fact.tenant !== this.recentTenant) this.turnTo(fact);
    else if (fact.aggregateId === this.recentId && this.recentHistory !== undefined) return this.recentHistory;
    let history = this.recent.get(fact.aggregateId);
    if (history === undefined) {
      history = new FactHistory();
      this.recent.set(fact.aggregateId, history);
    }
    this.recentId = fact.aggregateId;
    return (this.recentHistory = history);
  }

  private turnTo(fact: Fact): void {
    let byType = this.byTenant.get(fact.tenant);
    if (byType === undefined) this.byTenant.set(fact.tenant, (byType = new Map()));
    let byId = byType.get(fact.aggregateType);
    if (byId === undefined) byType.set(fact.aggregateType, (byId = new Map()));
    this.recent = byId;
    this.recentTenant = fact.tenant;
    this.recentType = fact.aggregateType;
  }
}

export function compareAggregates(a: AggregateKey, b: AggregateKey): number {
  return compareText(a.tenant, b.tenant) || compareText(a.type, b.type) || compareText(a.id, b.id);
}
