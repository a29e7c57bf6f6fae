/** The end of a history that is kept: whatever comes late in whatever pages, it is folded as the whole history would be, and a late one folds its distance. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Aggregate, Event, EventHandler, EventRegistry, Fact, type EventContext } from '@concursus/core';
import { canonicalJson } from '../../src/model/canonical-json.js';
import { compareInFold } from '../../src/projection/fold-place.js';
import { FoldTail, type Progress } from '../../src/projection/fold-tail.js';

@Event({ initial: true })
class Opened {
  constructor(readonly by: string) {}
}
@Event()
class Written {
  constructor(readonly line: string) {}
}
@Event({ terminal: true })
class Closed {}

let folds = 0;

/** Nothing of it commutes: a fact in another place makes another page. */
@Aggregate('page')
class Page {
  static readonly events = { Opened, Written, Closed };
  text = '';
  lines: string[] = [];
  @EventHandler(Opened) opened(event: Opened, { at }: EventContext): void {
    this.add(`${at} opened by ${event.by}`);
  }
  @EventHandler(Written) written(event: Written, { at }: EventContext): void {
    this.add(`${at} ${event.line}`);
  }
  @EventHandler(Closed) closed(_: Closed, { at }: EventContext): void {
    this.add(`${at} closed`);
  }
  private add(line: string): void {
    folds++;
    this.text = `${this.text.length * 31 + line.length} ${line}`;
    this.lines = [...this.lines.slice(-3), line];
  }
}

const model = new EventRegistry('specs', [Page]).aggregate(Page);

function fact(at: number, kind = 1): Fact {
  return new Fact({
    tenant: '',
    aggregateType: 'page',
    aggregateId: 'a',
    name: ['opened', 'written', 'closed'][kind]!,
    version: '0',
    eventTime: at,
    streamId: '',
    sequence: -1,
    characteristics: [1, 0, 2][kind]!,
    content: canonicalJson(kind === 0 ? { by: `${at}` } : kind === 1 ? { line: 'x'.repeat(at % 40) } : {}),
  });
}

const begun = (): Progress => ({
  state: model.newState(),
  events: 0,
  initials: 0,
  eventTimeMax: Number.NEGATIVE_INFINITY,
  last: undefined,
});

function take(tail: FoldTail, to: Progress, page: Fact[], stretches: number): number | undefined {
  const sorted = model.sortFold(page.slice());
  if (to.last !== undefined && compareInFold(model, sorted[0]!, to.last) <= 0) {
    return tail.insert(model, to, sorted, stretches);
  }
  for (const one of sorted) tail.append(model, to, one, stretches);
  return 0;
}

describe('the tail of a history', () => {
  it('is folded as the whole history, whatever came late, together or again', () => {
    let missed = 0;
    let within = 0;
    fc.assert(
      fc.property(
        fc.array(fc.array(fc.tuple(fc.nat(400), fc.constantFrom(0, 1, 1, 1, 1, 2)), { minLength: 1, maxLength: 30 }), {
          minLength: 1,
          maxLength: 25,
        }),
        fc.constantFrom(1, 2, 4, 16),
        (pages, stretches) => {
          let tail = new FoldTail(0);
          let to = begun();
          const known = new Map<string, Fact>();
          for (const page of pages) {
            const facts = new Map(page.map(([at, kind]) => [`${at} ${kind}`, fact(at, kind)]));
            const reach = take(tail, to, [...facts.values()], stretches);
            for (const [key, one] of facts) if (!known.has(key)) known.set(key, one);
            const whole = model.sortFold([...known.values()]);
            if (reach === undefined) {
              missed++;
              tail = new FoldTail(0);
              to = begun();
              for (const one of whole) tail.append(model, to, one, stretches);
            } else if (reach > 0) within++;
            const { state, info } = model.foldAll(whole);
            expect(to.state).toEqual(state);
            expect(to.events).toBe(info.events);
            expect(to.initials).toBe(whole.filter(({ name }) => name === 'opened').length);
            expect(to.last).toBe(whole.at(-1));
            expect(tail.stretches).toBeLessThanOrEqual(stretches);
          }
          while (tail.stretches > 0) tail.shorten();
          expect(tail.bytes).toBe(0);
        },
      ),
      { numRuns: 300 },
    );
    expect(Math.min(missed, within)).toBeGreaterThan(100);
  });

  it('folds the distance of a late fact and fifteen more at most, however many came before it', () => {
    const tail = new FoldTail(0);
    const to = begun();
    const times = Array.from({ length: 200 }, (_, i) => i * 1_000);
    for (const at of times) tail.append(model, to, fact(at), 64);
    let random = 7;
    for (let n = 1; n <= 400; n++) {
      random = (random * 48_271) % 2_147_483_647;
      const distance = 1 + (random % 60);
      const at = (200 - distance) * 1_000 - n;
      const behind = times.filter((time) => time > at).length;
      folds = 0;
      expect(tail.insert(model, to, [fact(at)], 64)).toBeGreaterThan(0);
      expect(folds).toBeGreaterThan(behind);
      expect(folds).toBeLessThanOrEqual(behind + 1 + 15);
      times.push(at);
    }
  });
});
