/** All facts of one in-memory context: the log in recorded order, and each aggregate's history. Store and feed stand on it. */
import { Fact } from '../model/event.js';
import { OrdinalPosition } from '../model/position.js';
import { nextProcessingTime, processingIdPrefix, randomNode, type ProcessingTime } from '../model/processing-id.js';
import type { Clock } from '../ports/clock.js';
import type { Append, AppendOutcome, AppendResult } from '../ports/event-store.js';
import { Bell } from './bell.js';
import { FactHistory } from './fact-history.js';

/** The last 100 ns of a millisecond: a floor of it covers the whole millisecond. */
const LAST_TICK = 9_999;

export class FactLog {
  /** In recorded order, which is the order of their processing ids; a position is an index. */
  readonly facts: Fact[] = [];
  readonly bell = new Bell();
  private readonly byTenant = new Map<string, Map<string, Map<string, FactHistory>>>();
  private last: ProcessingTime = { ms: Number.NEGATIVE_INFINITY, tick: 0 };
  private readonly node: string;
  // Most facts are of the same tenant and type as the one before.
  private recentTenant = '';
  private recentType = '';
  private recent: Map<string, FactHistory> = new Map();

  constructor(clock: Clock) {
    this.node = randomNode((n) => clock.randomBytes(n));
    this.byTenant.set('', new Map([['', this.recent]]));
  }

  /** Stores one append under one processing time, drawn only when something of it is new. */
  append(append: Append): AppendResult {
    const { facts } = append;
    const outcomes: AppendOutcome[] = [];
    let prefix = '';
    let processedAt = -1;
    let index = 0;
    for (let i = 0; i < facts.length; i++) {
      const given = facts[i]!;
      // A fact stamped by another store stays that store's.
      const fact = given.processingId === '' ? given : new Fact(given);
      const outcome = this.historyOf(fact).add(fact);
      outcomes.push(outcome);
      if (outcome === 'repeated') continue;
      if (index === 0) {
        this.last = nextProcessingTime(this.last, append.receivedAt);
        prefix = processingIdPrefix(this.last);
        processedAt = this.last.ms;
      }
      fact.processingId = `${prefix}${(0x8000 | index).toString(16)}-${this.node}`;
      fact.processedAt = processedAt;
      index += 1;
      this.facts.push(fact);
    }
    return { outcomes, position: new OrdinalPosition(this.facts.length) };
  }

  /** Afterwards no fact is stamped at or below `ms`. */
  keepFloor(ms: number): void {
    if (ms >= this.last.ms) this.last = { ms, tick: LAST_TICK };
  }

  find(tenant: string, type: string, id: string): FactHistory | undefined {
    return this.byTenant.get(tenant)?.get(type)?.get(id);
  }

  private historyOf(fact: Fact): FactHistory {
    if (fact.aggregateType !== this.recentType || fact.tenant !== this.recentTenant) this.turnTo(fact);
    let history = this.recent.get(fact.aggregateId);
    if (history === undefined) {
      history = new FactHistory();
      this.recent.set(fact.aggregateId, history);
    }
    return history;
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
