/** All facts of one in-memory context: the log in recorded order, and each aggregate's history. Store and feed stand on it. */
import { Fact, type AggregateKey } from '../model/event.js';
import { OrdinalPosition } from '../model/position.js';
import { randomNode } from '../model/processing-id.js';
import type { Clock } from '../ports/clock.js';
import type { Append, AppendOutcome, AppendResult } from '../ports/event-store.js';
import { compareText } from '../model/text.js';
import { Bell } from '../ports/bell.js';
import { FactHistory } from './fact-history.js';
import { RecordedFacts } from './recorded-facts.js';
import { Stamps } from './stamps.js';

/** What nearly every append is answered: all of it is new. */
function allRecorded(count: number): readonly AppendOutcome[] {
  return Object.freeze(Array<AppendOutcome>(count).fill('recorded'));
}

export class FactLog {
  /** In recorded order, which is the order of their processing ids; a position is an index. */
  readonly facts = new RecordedFacts();
  readonly bell = new Bell();
  private readonly byTenant = new Map<string, Map<string, Map<string, FactHistory>>>();
  private readonly stamps: Stamps;
  /** Shared by the answers to all appends of its length, until one of another length comes. */
  private recorded = allRecorded(1);
  // Most facts are of the same tenant and type as the one before, and those of one append mostly of one aggregate.
  private recentTenant = '';
  private recentType = '';
  private recent: Map<string, FactHistory> = new Map();
  private recentId = '';
  private recentHistory: FactHistory | undefined = undefined;

  constructor(clock: Clock) {
    this.stamps = new Stamps(randomNode((n) => clock.randomBytes(n)));
    this.byTenant.set('', new Map([['', this.recent]]));
  }

  /** Stores one append under one processing time, drawn only when something of it is new. */
  append({ facts, receivedAt }: Append): AppendResult {
    const { stamps } = this;
    // Made only when something of it was not new.
    let outcomes: AppendOutcome[] | undefined;
    let number = -1;
    for (let i = 0; i < facts.length; i++) {
      const given = facts[i]!;
      // A fact stamped by another store stays that store's.
      const fact = given.isStamped ? new Fact(given) : given;
      const outcome = this.historyOf(fact, i === 0).add(fact);
      if (outcome !== 'recorded') {
        outcomes ??= Array<AppendOutcome>(facts.length).fill('recorded');
        outcomes[i] = outcome;
        this.count(fact.streamId, outcome);
        if (outcome === 'repeated') continue;
      }
      number = number === -1 ? stamps.next(receivedAt) : number + 1;
      fact.stamp(stamps.current, number, stamps.ms);
      this.facts.push(fact);
    }
    if (outcomes === undefined && this.recorded.length !== facts.length) this.recorded = allRecorded(facts.length);
    return { outcomes: outcomes ?? this.recorded, position: new OrdinalPosition(this.facts.length) };
  }

  /** Afterwards no fact is stamped at or below `ms`. */
  keepFloor(ms: number): void {
    this.stamps.keepFloor(ms);
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

  private historyOf(fact: Fact, isFirst: boolean): FactHistory {
    if (fact.aggregateType !== this.recentType || fact.tenant !== this.recentTenant) this.turnTo(fact);
    // Ids that differ are compared for longer than a history is looked up: asked only where they are mostly the same.
    else if (!isFirst && fact.aggregateId === this.recentId && this.recentHistory !== undefined)
      return this.recentHistory;
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
