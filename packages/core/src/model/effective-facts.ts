/**
 * What a history means once its corrections are taken into account: a pure function of the set of its facts, so that
 * arrival decides nothing. Every fold, view, index and timer reads facts that went through here; reads as they were
 * recorded (audits, the feed, stores) do not.
 */
import { correctionOf, isCorrection, type Correction } from './correction.js';
import { Fact } from './event.js';
import { compareIdentity, compareKey } from './event-order.js';
import { compareText } from './text.js';

/**
 * What becomes of several contents under one identity: `both` fold, in digest order · `neither`, until a correction leaves one ·
 * a pure function of the set of contents, given in digest order, that returns those that count.
 */
export type ConflictPolicy = 'both' | 'neither' | ((contents: readonly Fact[]) => readonly Fact[] | Fact);

/** A correction's fact and what it says. */
export interface Ruling {
  readonly fact: Fact;
  readonly correction: Correction;
}

/** Which of two corrections rules: the greatest (`decidedAt`, stream, sequence, digest). */
export function compareRuling(a: Ruling, b: Ruling): number {
  return (
    a.correction.decidedAt - b.correction.decidedAt ||
    compareText(a.fact.streamId, b.fact.streamId) ||
    a.fact.sequence - b.fact.sequence ||
    compareText(a.fact.digest, b.fact.digest)
  );
}

function targetKey(time: number, stream: string, sequence: number, name: string): string {
  return `${time}\u0000${stream}\u0000${sequence}\u0000${name}`;
}

/** The corrections of one aggregate, by what they correct. */
export class Rulings {
  private readonly byTarget = new Map<string, Ruling[]>();
  /** Original event times whose events an amendment may put elsewhere, and where. */
  readonly moves: { readonly from: number; readonly to: number }[] = [];

  /** @param facts the aggregate's corrections, in any order; other facts are passed over */
  constructor(facts: Iterable<Fact>) {
    for (const fact of facts) {
      if (!isCorrection(fact)) continue;
      const correction = correctionOf(fact);
      const { eventTime, streamId, sequence, name } = correction.target;
      const key = targetKey(eventTime, streamId, sequence, name);
      const known = this.byTarget.get(key);
      if (known === undefined) this.byTarget.set(key, [{ fact, correction }]);
      else known.push({ fact, correction });
      if (correction.at !== undefined && correction.at !== eventTime) {
        this.moves.push({ from: eventTime, to: correction.at });
      }
    }
  }

  get isEmpty(): boolean {
    return this.byTarget.size === 0;
  }

  /** The correction that rules a stored content, or undefined. */
  of(fact: Fact): Ruling | undefined {
    const all = this.byTarget.get(targetKey(fact.eventTime, fact.streamId, fact.sequence, fact.name));
    if (all === undefined) return undefined;
    let ruling: Ruling | undefined;
    for (const one of all) {
      const { digest } = one.correction.target;
      if (digest !== undefined && digest !== fact.digest) continue;
      if (ruling === undefined || compareRuling(one, ruling) > 0) ruling = one;
    }
    return ruling;
  }

  /** What is left of the stored contents of one identity, given in digest order: corrected, then judged by the policy. */
  apply(contents: readonly Fact[], policy: ConflictPolicy): readonly Fact[] {
    if (this.byTarget.size === 0) return judge(contents, policy);
    const left: Fact[] = [];
    const whole = new Set<Fact>();
    for (const fact of contents) {
      const ruling = this.of(fact);
      if (ruling === undefined || ruling.correction.kind === 'reinstate') left.push(fact);
      else if (ruling.correction.kind === 'amend') {
        // One that covers every content leaves one event: the first of them stands for all.
        if (ruling.correction.target.digest === undefined && ruling.correction.content !== undefined) {
          if (whole.has(ruling.fact)) continue;
          whole.add(ruling.fact);
        }
        left.push(amended(fact, ruling.correction));
      }
    }
    return judge(left, policy);
  }
}

function judge(contents: readonly Fact[], policy: ConflictPolicy): readonly Fact[] {
  if (contents.length < 2 || policy === 'both') return contents;
  if (policy === 'neither') return [];
  const chosen = policy(contents);
  return Array.isArray(chosen) ? (chosen as readonly Fact[]) : [chosen as Fact];
}

/** The fact as an amendment has it: of the same identity (`amends`), with its new time and content. */
export function amended(fact: Fact, correction: Correction): Fact {
  return new Fact(
    {
      tenant: fact.tenant,
      aggregateType: fact.aggregateType,
      aggregateId: fact.aggregateId,
      name: fact.name,
      version: correction.content === undefined ? fact.version : (correction.version ?? fact.version),
      eventTime: correction.at ?? fact.eventTime,
      streamId: fact.streamId,
      sequence: fact.sequence,
      characteristics: fact.characteristics,
      content: correction.content ?? fact.content,
      metadata: fact.metadata,
      amends: fact.amends ?? fact,
    },
    fact.processingId,
    fact.processedAt,
  );
}

/** Whether a history, in key order, has anything that makes it mean something else than what it holds. */
export function isPlain(facts: readonly Fact[], policy: ConflictPolicy): boolean {
  for (let i = 0; i < facts.length; i++) {
    if (isCorrection(facts[i]!)) return false;
    if (policy !== 'both' && i > 0 && compareIdentity(facts[i - 1]!, facts[i]!) === 0) return false;
  }
  return true;
}

/**
 * The facts of one aggregate that count, in key order of their effective times. The same array when nothing was corrected.
 * @param facts stored facts in key order, corrections among them
 * @param rulings all corrections of the aggregate; by default those among `facts`
 */
export function effectiveFacts(facts: readonly Fact[], policy: ConflictPolicy, rulings?: Rulings): readonly Fact[] {
  if ((rulings === undefined || rulings.isEmpty) && isPlain(facts, policy)) return facts;
  const ruled = rulings ?? new Rulings(facts);
  const out: Fact[] = [];
  let moved = false;
  for (let i = 0; i < facts.length;) {
    const first = facts[i]!;
    if (isCorrection(first)) {
      i++;
      continue;
    }
    let end = i + 1;
    while (end < facts.length && compareIdentity(first, facts[end]!) === 0) end++;
    for (const fact of ruled.apply(facts.slice(i, end), policy)) {
      if (fact.eventTime !== first.eventTime) moved = true;
      out.push(fact);
    }
    i = end;
  }
  return moved || out.some((fact) => fact.amends !== undefined) ? out.sort(compareEffective) : out;
}

/** Key order of effective facts; those that an amendment made alike go by their recorded identities. */
export function compareEffective(a: Fact, b: Fact): number {
  return (
    compareKey(a, b) ||
    (a.amends === undefined && b.amends === undefined ? 0 : compareKey(a.amends ?? a, b.amends ?? b))
  );
}
