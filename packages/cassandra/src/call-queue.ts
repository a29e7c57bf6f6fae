/** Calls that wait to be recorded, and which of them go together: no two groups at once are at one aggregate. */
import type { Append, AppendResult, Fact } from '@concursus/core';
import { textOf } from './append-decision.js';
import { checkAppendSize, overloadedError } from './errors.js';

const GROUP_CALLS = 256;
const GROUP_FACTS = 2_000;
const GROUP_CHARACTERS = 524_288;
/** Calls looked at for one group: behind these, a free aggregate waits its turn. */
const SCAN_MAX = 1_024;
/** Facts that may wait, some 500 bytes each. */
const WAITING_FACTS_MAX = 200_000;

export interface Call {
  readonly appends: readonly Append[];
  readonly aggregates: readonly string[];
  readonly facts: number;
  readonly characters: number;
  readonly resolve: (results: readonly AppendResult[]) => void;
  readonly reject: (error: unknown) => void;
}

export class CallQueue {
  private waiting: Call[] = [];
  private waitingFacts = 0;
  private readonly busy = new Set<string>();

  get isEmpty(): boolean {
    return this.waiting.length === 0;
  }

  /** Its answer. @throws InvalidEventError `LIMIT_EXCEEDED` @throws UnavailableError `OVERLOADED` */
  add(appends: readonly Append[]): Promise<readonly AppendResult[]> {
    return new Promise((resolve, reject) => {
      let facts = 0;
      let characters = 0;
      const aggregates = new Set<string>();
      for (const append of appends) {
        checkAppendSize(append.facts.length);
        facts += append.facts.length;
        for (const fact of append.facts) {
          characters += fact.content.length;
          aggregates.add(textOf(fact));
        }
      }
      if (facts === 0) return resolve([]);
      if (this.waitingFacts + facts > WAITING_FACTS_MAX && this.waitingFacts > 0)
        throw overloadedError(this.waitingFacts);
      this.waiting.push({ appends, aggregates: [...aggregates], facts, characters, resolve, reject });
      this.waitingFacts += facts;
    });
  }

  /** Calls whose aggregates nobody is at, none of which overtakes another of one aggregate. @param alone nothing is under way */
  take(alone: boolean): Call[] {
    const group: Call[] = [];
    const passed = new Set<string>();
    const left: Call[] = [];
    // Alone a group would wait for its log while nothing is written: two take turns.
    const callsMax = alone ? Math.ceil(this.waiting.length / 2) : GROUP_CALLS;
    let facts = 0;
    let characters = 0;
    let i = 0;
    for (; i < this.waiting.length && i < SCAN_MAX; i++) {
      const call = this.waiting[i]!;
      const full =
        group.length > 0 &&
        (group.length >= Math.min(callsMax, GROUP_CALLS) ||
          facts + call.facts > GROUP_FACTS ||
          characters + call.characters > GROUP_CHARACTERS);
      if (full) break;
      if (call.aggregates.some((text) => this.busy.has(text) || passed.has(text))) {
        for (const text of call.aggregates) passed.add(text);
        left.push(call);
        continue;
      }
      group.push(call);
      facts += call.facts;
      characters += call.characters;
    }
    if (group.length === 0) return group;
    this.waiting = left.length === 0 ? this.waiting.slice(i) : [...left, ...this.waiting.slice(i)];
    this.waitingFacts -= facts;
    for (const call of group) for (const text of call.aggregates) this.busy.add(text);
    return group;
  }

  /** Its aggregates are free for the next ones. */
  done(group: readonly Call[]): void {
    for (const call of group) for (const text of call.aggregates) this.busy.delete(text);
  }
}

export function factsByAggregate(group: readonly Call[]): Map<string, Fact[]> {
  const byAggregate = new Map<string, Fact[]>();
  for (const call of group) {
    for (const { facts } of call.appends) {
      for (const fact of facts) {
        const text = textOf(fact);
        const of = byAggregate.get(text);
        if (of === undefined) byAggregate.set(text, [fact]);
        else of.push(fact);
      }
    }
  }
  return byAggregate;
}

/** Rows of a group's unit, at most: each but the last is full. */
export function rowsOf(group: readonly Call[]): number {
  let characters = 0;
  for (const call of group) characters += call.characters + call.facts * 1_500;
  return Math.ceil(characters / 131_072) + 1;
}
