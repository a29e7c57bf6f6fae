/**
 * What a history means after its corrections. Method: random stored contents and corrections, in any order, against a plain
 * model written from the rule: of all corrections that cover a content, the greatest (decidedAt, stream, sequence, digest).
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { effectTimeOf } from '../../src/model/correction.js';
import { canonicalJson } from '../../src/model/canonical-json.js';
import { effectiveFacts, type ConflictPolicy } from '../../src/model/effective-facts.js';
import { Fact } from '../../src/model/event.js';
import { compareKey } from '../../src/model/event-order.js';
import type { CorrectionKind } from '../../src/model/correction.js';
import { correctionOfFact, type Decision } from './decided.js';

interface Stored {
  readonly at: number;
  readonly stream: string;
  readonly name: string;
  readonly n: number;
}
interface Decided extends Decision {
  readonly of: Stored;
}

const base = { tenant: '', aggregateType: 'thing', aggregateId: '1', version: '0' };
const factFrom = (one: Stored): Fact =>
  new Fact({
    ...base,
    name: one.name,
    eventTime: one.at,
    streamId: one.stream,
    sequence: -1,
    characteristics: 0,
    content: canonicalJson({ n: one.n }),
  });

const correctionFrom = (one: Decided): Fact => correctionOfFact(factFrom(one.of), one);

const stored = fc.record<Stored>({
  at: fc.integer({ min: 1, max: 4 }),
  stream: fc.constantFrom('', 's'),
  name: fc.constantFrom('moved', 'ended'),
  n: fc.integer({ min: 0, max: 2 }),
});
const decided = fc.record<Decided>({
  kind: fc.constantFrom<CorrectionKind>('retract', 'amend', 'reinstate'),
  of: stored,
  withDigest: fc.boolean(),
  decidedAt: fc.integer({ min: 10, max: 12 }),
  stream: fc.constantFrom('', 'desk'),
  sequence: fc.constantFrom(-1, 0),
  at: fc.option(fc.integer({ min: 0, max: 6 }), { nil: undefined }),
  n: fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined }),
});

/** A correction's parameters, as the model reads them. */
interface Said {
  readonly kind: string;
  readonly target: { readonly streamId: string; readonly name: string; readonly digest?: string };
  readonly decidedAt: number;
  readonly at?: number;
  readonly parameters?: object;
}

/** `time name stream n` of what counts, as a sorted list; conflicts by policy. */
function model(contents: readonly Fact[], corrections: readonly Fact[], policy: 'both' | 'neither'): string[] {
  const said = corrections.map((fact) => ({ fact, body: JSON.parse(fact.content) as Said }));
  const identities = new Map<string, Fact[]>();
  for (const fact of contents) {
    const key = `${fact.eventTime}|${fact.streamId}|${fact.name}`;
    identities.set(key, [...(identities.get(key) ?? []), fact]);
  }
  const out: string[] = [];
  for (const group of identities.values()) {
    const left: { time: number; content: string; whole?: Fact }[] = [];
    for (const fact of group) {
      const rule = said
        .filter(
          ({ fact: c, body }) =>
            c.eventTime === fact.eventTime &&
            body.target.streamId === fact.streamId &&
            body.target.name === fact.name &&
            (body.target.digest === undefined || body.target.digest === fact.digest),
        )
        .sort(
          (a, b) =>
            a.body.decidedAt - b.body.decidedAt ||
            (a.fact.streamId < b.fact.streamId ? -1 : a.fact.streamId > b.fact.streamId ? 1 : 0) ||
            a.fact.sequence - b.fact.sequence ||
            (a.fact.digest < b.fact.digest ? -1 : 1),
        )
        .at(-1);
      if (rule === undefined || rule.body.kind === 'reinstate')
        left.push({ time: fact.eventTime, content: fact.content });
      else if (rule.body.kind === 'amend') {
        const content = rule.body.parameters === undefined ? fact.content : canonicalJson(rule.body.parameters);
        const whole = rule.body.parameters !== undefined && rule.body.target.digest === undefined;
        if (whole && left.some((one) => one.whole === rule.fact)) continue;
        left.push({ time: rule.body.at ?? fact.eventTime, content, ...(whole ? { whole: rule.fact } : {}) });
      }
    }
    if (policy === 'neither' && left.length > 1) continue;
    for (const one of left) out.push(`${one.time} ${group[0]!.name} ${group[0]!.streamId} ${one.content}`);
  }
  return out.sort();
}

const distinct = (facts: readonly Fact[]): Fact[] => {
  const byKey = new Map<string, Fact>();
  for (const fact of facts)
    byKey.set(`${fact.eventTime}|${fact.streamId}|${fact.sequence}|${fact.name}|${fact.content}`, fact);
  return [...byKey.values()];
};
const show = (facts: readonly Fact[]): string[] =>
  facts.map((fact) => `${fact.eventTime} ${fact.name} ${fact.streamId} ${fact.content}`);

describe('effective facts', () => {
  it('equal the plain model for every set of contents and corrections, whatever the order they came in', () => {
    fc.assert(
      fc.property(
        fc.array(stored, { maxLength: 8 }),
        fc.array(decided, { maxLength: 6 }),
        fc.constantFrom<'both' | 'neither'>('both', 'neither'),
        (contents, corrections, policy) => {
          const facts = distinct(contents.map(factFrom));
          const said = distinct(corrections.map(correctionFrom));
          const history = [...facts, ...said].sort(compareKey);
          const counting = effectiveFacts(history, policy);
          expect([...show(counting)].sort()).toEqual(model(facts, said, policy));
          const times = counting.map((fact) => fact.eventTime);
          expect(times).toEqual([...times].sort((a, b) => a - b));
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('are the very array that was given when nothing was corrected', () => {
    const facts = [1, 2, 3].map((at) => factFrom({ at, stream: '', name: 'moved', n: at }));
    expect(effectiveFacts(facts, 'both')).toBe(facts);
    expect(effectiveFacts(facts, 'neither')).toBe(facts);
  });

  it('keep the identity they were recorded with', () => {
    const target: Stored = { at: 5, stream: 's', name: 'moved', n: 1 };
    const amendment = correctionFrom({
      kind: 'amend',
      of: target,
      withDigest: false,
      decidedAt: 10,
      stream: 'desk',
      sequence: -1,
      at: 2,
      n: 7,
    });
    const original = factFrom(target);
    const [moved] = effectiveFacts([amendment, original].sort(compareKey), 'both');
    expect(moved).toMatchObject({ eventTime: 2, content: '{"n":7}', streamId: 's', name: 'moved' });
    expect(moved!.amends).toBe(original);
    expect(effectTimeOf(amendment)).toBe(2);
  });

  it('leaves it to a pure function of the contents which of a conflict count', () => {
    const greatest: ConflictPolicy = (contents) =>
      contents.reduce((a, b) => ((a.parameters['n'] as number) > (b.parameters['n'] as number) ? a : b));
    const facts = [1, 3, 2].map((n) => factFrom({ at: 1, stream: '', name: 'moved', n })).sort(compareKey);
    expect(show(effectiveFacts(facts, greatest))).toEqual(['1 moved  {"n":3}']);
  });
});
