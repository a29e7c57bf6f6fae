/** A fact holds its parameters as text, as values, or both: nobody can tell which, and nobody can change them. */
import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../src/model/canonical-json.js';
import { Fact } from '../../src/model/event.js';

const parts = {
  tenant: '',
  aggregateType: 'parcel',
  aggregateId: 'p1',
  name: 'received',
  version: '0',
  eventTime: 1,
  streamId: '',
  sequence: -1,
  characteristics: 0,
  metadata: undefined,
};
const values = { at: { depot: 'Lewisham' }, list: [1, { n: 2 }], watts: 60 };
const text = canonicalJson(values);
const copied = (): Fact => new Fact({ ...parts, held: structuredClone(values), flat: false, shape: undefined });
const written = (): Fact => new Fact({ ...parts, content: text });

describe('a fact', () => {
  it('is the same whether it was made of text or of values', () => {
    expect(copied().content).toBe(text);
    expect(copied().parameters).toEqual(written().parameters);
    expect(copied().digest).toBe(written().digest);
    expect(copied().isFlat).toBe(written().isFlat);
    expect(Object.keys(copied())).toEqual(Object.keys(written()));
  });

  it('lets nobody change what its text is still to be made of', () => {
    const fact = copied();
    expect(() => ((fact.parameters as { watts: number }).watts = 61)).toThrow(TypeError);
    expect(() => (fact.parameters['list'] as unknown[]).push(3)).toThrow(TypeError);
    expect(fact.content).toBe(text);
  });

  it('can be copied whole, from a spread, and with another content', () => {
    for (const fact of [copied(), written()]) {
      expect(new Fact(fact).content).toBe(text);
      expect(new Fact({ ...fact } as Fact).content).toBe(text);
      expect(new Fact({ ...fact, eventTime: 7 } as Fact).parameters).toEqual(values);
      const other = new Fact({ ...fact, content: '{"watts":40}' } as Fact);
      expect(other.parameters).toEqual({ watts: 40 });
      expect(other.isFlat).toBe(true);
    }
  });

  it('is not flat with a key that could reach a prototype, however it came into the store', () => {
    expect(new Fact({ ...parts, content: '{"__proto__":1}' }).isFlat).toBe(false);
    expect(new Fact({ ...parts, content: '{"a":null,"b":"x"}' }).isFlat).toBe(true);
  });

  it('is read with many others as it would be by itself', () => {
    const contents = Array.from({ length: 200 }, (_, i) =>
      canonicalJson({ i, text: ','.repeat(i * 10), list: [[], {}] }),
    );
    const facts = contents.map((content) => new Fact({ ...parts, content }));
    Fact.readMany(facts, ({ content }) => content !== contents[7]);
    expect(facts.map((fact) => fact.wire)).toEqual(contents.map((content) => JSON.parse(content) as unknown));
    expect(facts.map((fact) => fact.content)).toEqual(contents);
    const first = facts[0]!.wire;
    Fact.readMany(facts, () => true);
    expect(facts[0]!.wire).toBe(first);
  });

  it.each([
    ['no JSON', '{"a":'],
    ['two values', '{},{}'],
    ['nothing', ''],
  ])('keeps %s to itself when it is read with others', (_, content) => {
    const [before, broken, after] = ['{"a":1}', content, '{"b":2}'].map((one) => new Fact({ ...parts, content: one }));
    Fact.readMany([before!, broken!, after!], () => true);
    expect([before!.wire, after!.wire]).toEqual([{ a: 1 }, { b: 2 }]);
    expect(() => broken!.wire).toThrow(SyntaxError);
  });
});
