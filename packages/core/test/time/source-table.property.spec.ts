/**
 * Watermarks against an omniscient model: for any sources, bounds, delays, idle spells, retirements, wrong clocks and restarts
 * the table says what the rules say, never goes back, never calls late what is within its bound, and reaches the end.
 */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CORRECTION } from '../../src/model/correction.js';
import type { Fact } from '../../src/model/event.js';
import { completenessOf } from '../../src/time/completeness.js';
import { Settlement } from '../../src/time/settlement.js';
import { readSourceFact } from '../../src/time/source-facts.js';
import { SourceTable } from '../../src/time/source-table.js';
import type { TimeOptions } from '../../src/time/time-options.js';
import { amendment, event, holds, Notes, said, START } from './support.js';

const STREAMS = ['a', 'b', 'c', 'd'];
const SKEW = 20;

/** The rules, said once more, without a thought for speed: everything is computed anew from all facts. */
class Model {
  readonly sources = new Map<
    string,
    { w: number; newest: number; state: string; eventAt: number; provenAt: number; joinedAt: number }
  >();
  input = Number.NEGATIVE_INFINITY;
  greatest = Number.NEGATIVE_INFINITY;
  constructor(
    private readonly boundOf: (stream: string) => number,
    private readonly joins: boolean,
  ) {}

  take(fact: Fact, time: number, correction: boolean): void {
    const about = readSourceFact(fact);
    const stream = about?.stream ?? fact.streamId;
    if (time > fact.processedAt + SKEW || (about?.upTo ?? 0) > fact.processedAt + SKEW) return;
    const known = this.sources.get(stream);
    if (correction && (known === undefined || known.state === 'retired')) return;
    const fresh = {
      w: -Infinity,
      newest: -Infinity,
      state: 'new',
      eventAt: -Infinity,
      provenAt: -Infinity,
      joinedAt: -Infinity,
    };
    const source = known ?? fresh;
    this.sources.set(stream, source);
    const activate = (atInput: boolean): void => {
      if (source.state === 'active') return;
      if (atInput) source.w = Math.max(source.w, this.input);
      source.state = 'active';
      source.joinedAt = this.input;
    };
    const bound = this.boundOf(stream);
    if (about === undefined) {
      activate(source.state === 'retired' || (source.state === 'new' && this.joins));
      source.newest = Math.max(source.newest, time);
      source.w = Math.max(source.w, source.newest - bound);
      source.eventAt = Math.max(source.eventAt, fact.processedAt);
      if (!correction) this.greatest = Math.max(this.greatest, time);
    } else {
      switch (about.kind) {
        case 'complete':
        case 'heartbeat':
          if (source.state === 'new') activate(this.joins);
          source.w = Math.max(source.w, about.kind === 'complete' ? about.at : about.at - bound);
          break;
        case 'idle':
          if (source.state !== 'retired' && about.at > source.eventAt) {
            source.state = 'idle';
            source.provenAt = Math.max(source.provenAt, about.at);
          }
          break;
        case 'declare':
          if (source.state === 'new') activate(false);
          break;
        case 'retire':
          source.state = 'retired';
          source.w = Math.max(source.w, about.upTo ?? -Infinity);
          break;
        case 'rejoin':
          if (source.state === 'new' || source.state === 'retired') activate(true);
      }
    }
    const all = [...this.sources.values()];
    const active = all.filter(({ state }) => state === 'active');
    const idle = all.filter(({ state }) => state === 'idle');
    let next = -Infinity;
    if (active.length > 0) next = Math.min(...active.map(({ w }) => w));
    else if (all.length > 0) {
      const proven = [...this.sources].filter(([, { state }]) => state === 'idle');
      const reaches = (name: string, provenAt: number): number =>
        Math.min(this.greatest, provenAt - this.boundOf(name));
      next = Math.min(...proven.map(([name, one]) => Math.max(one.w, reaches(name, one.provenAt))));
      if (idle.length === 0) next = this.greatest;
    }
    this.input = Math.max(this.input, next);
  }
}

interface Step {
  readonly kind: string;
  readonly stream: string;
  readonly pass: number;
  readonly delay: number;
  readonly restart: boolean;
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.oneof(
    { weight: 12, arbitrary: fc.constant('event') },
    { weight: 5, arbitrary: fc.constantFrom('complete', 'heartbeat', 'idle', 'idle') },
    {
      weight: 3,
      arbitrary: fc.constantFrom('declare', 'retire', 'rejoin', 'amend', 'future', 'future marker', 'repeat'),
    },
  ),
  stream: fc.constantFrom(...STREAMS),
  pass: fc.constantFrom(0, 1, 1, 5, 30, 400),
  delay: fc.oneof(fc.integer({ min: -SKEW, max: 60 }), fc.integer({ min: 0, max: 1_000 })),
  restart: fc.nat({ max: 9 }).map((n) => n === 0),
});

const bounds = fc.record({
  a: fc.constantFrom(0, 1, 50),
  b: fc.constantFrom(10, 50),
  c: fc.constant(50),
  d: fc.constantFrom(1, 300),
});

function optionsOf(bound: Readonly<Record<string, number>>, joins: boolean): TimeOptions {
  return {
    maxSkewMs: SKEW,
    newSources: joins ? 'join' : 'hold',
    sources: STREAMS.map((match) => ({ match, boundMs: bound[match]! })),
  };
}

/** The fact a step stands for, at the clock's time. */
function factOf({ kind, stream, delay }: Step, now: number, last: Fact | undefined): Fact {
  const time = now - delay;
  switch (kind) {
    case 'complete':
      return said.complete(stream, time, now);
    case 'heartbeat':
      return said.heartbeat(stream, time, now);
    case 'idle':
      return said.idle(stream, now - Math.max(0, delay % 7), now);
    case 'declare':
      return said.declare(stream, now);
    case 'retire':
      return said.retire(stream, now, delay % 2 === 0 ? time : undefined);
    case 'rejoin':
      return said.rejoin(stream, now);
    case 'amend':
      return amendment(stream, time, time - 100, now);
    case 'future':
      return event(stream, Date.UTC(2099, 0, 1) + delay, now);
    case 'future marker':
      return said.complete(stream, Date.UTC(2099, 0, 1) + delay, now);
    case 'repeat':
      return last ?? event(stream, time, now);
    default:
      return event(stream, time, now);
  }
}

describe('the input watermark', () => {
  it('is what the rules say, monotone, the same after any restarts, and late for none within its bound', () => {
    holds(
      'the rules',
      fc.property(bounds, fc.boolean(), fc.array(step, { maxLength: 120 }), (bound, joins, steps) => {
        const options = optionsOf(bound, joins);
        const boundOf = (stream: string): number => bound[stream as 'a'] + 1;
        const model = new Model(boundOf, joins);
        const whole = new SourceTable(options);
        let table = new SourceTable(options);
        const notes = new Notes();
        let now = START;
        let last: Fact | undefined;
        for (const one of steps) {
          now += one.pass;
          const fact = factOf(one, now, last);
          last = fact;
          const amends = (fact.characteristics & CORRECTION) !== 0;
          const time = amends ? fact.eventTime - 100 : fact.eventTime;
          const before = table.inputWatermark;
          const source = model.sources.get(one.stream);
          const due = one.kind === 'event' && source?.state === 'active' && time > source.w && time > source.joinedAt;
          if (due) expect(time).toBeGreaterThan(before);
          model.take(fact, time, amends);
          whole.take(fact);
          table.take(fact);
          expect(table.inputWatermark).toBe(model.input);
          expect(table.inputWatermark).toBeGreaterThanOrEqual(before);
          expect(table.inputWatermark).toBeLessThanOrEqual(now + SKEW);
          if (one.restart) {
            notes.write(table.changes());
            table.saved();
            expect(table.changes()).toEqual([]);
            table = SourceTable.load(options, notes.read());
            expect(table.changes()).toEqual([]);
            expect(table.notes()).toEqual(whole.notes());
          }
        }
        expect(table.sources()).toEqual(whole.sources());
        expect(table.inputWatermark).toBe(whole.inputWatermark);
        for (const view of table.sources()) {
          const known = model.sources.get(view.stream);
          if (known === undefined || known.state === 'new') expect(view.future).toBeGreaterThan(0);
          else expect([view.state, view.watermark ?? -Infinity]).toEqual([known.state, known.w]);
        }
      }),
      1_500,
    );
  });

  it('is the same when pages are taken as a whole', () => {
    const paged = fc.record({ one: step, channel: fc.constantFrom('', '', 'c'), ends: fc.nat({ max: 5 }) });
    const expiry = fc.constantFrom(undefined, 1, 40, 500);
    holds(
      'pages',
      fc.property(
        bounds,
        fc.boolean(),
        expiry,
        fc.subarray(STREAMS),
        fc.array(paged, { maxLength: 120 }),
        (bound, joins, expireAfterMs, expected, steps) => {
          const own = optionsOf(bound, joins);
          const sources = own.sources!.map((one) => (expireAfterMs === undefined ? one : { ...one, expireAfterMs }));
          const options = { ...own, sources, expected };
          const single = new SourceTable(options);
          // Two that take the same pages, the second from what the first made of them.
          const paging = [new SourceTable(options), new SourceTable(options)];
          const counting = new SourceTable(options, { statistics: true });
          let now = START;
          let page: Fact[] = [];
          for (const [i, { one, channel, ends }] of steps.entries()) {
            now += one.pass;
            const made = factOf(one, now, page.at(-1));
            page.push(one.kind === 'event' ? event(one.stream, made.eventTime, now, { channel }) : made);
            if (ends > 0 && i < steps.length - 1) continue;
            for (const fact of page) single.take(fact);
            counting.takePage(page);
            for (const table of paging) {
              table.takePage(page);
              expect(table.inputWatermark).toBe(single.inputWatermark);
              expect(table.changes()).toEqual(single.changes());
              expect(table.sources()).toEqual(single.sources());
            }
            expect(counting.inputWatermark).toBe(single.inputWatermark);
            for (const table of [single, ...paging]) table.saved();
            page = [];
          }
        },
      ),
      1_500,
    );
  });

  it('survives a restart under other options without going back', () => {
    holds(
      'other options',
      fc.property(
        bounds,
        bounds,
        fc.array(step, { maxLength: 40 }),
        fc.array(step, { maxLength: 40 }),
        fc.subarray(STREAMS),
        (first, second, early, later, expected) => {
          const notes = new Notes();
          let table = new SourceTable(optionsOf(first, false));
          let now = START;
          for (const one of early) table.take(factOf(one, (now += one.pass), undefined));
          notes.write(table.changes());
          const settled = table.inputWatermark;
          table = SourceTable.load({ ...optionsOf(second, true), expected }, notes.read());
          let before = settled;
          for (const one of later) {
            expect(table.inputWatermark).toBeGreaterThanOrEqual(before);
            before = table.inputWatermark;
            table.take(factOf(one, (now += one.pass), undefined));
          }
          expect(table.inputWatermark).toBeGreaterThanOrEqual(before);
        },
      ),
    );
  });

  it('reaches the end when every source has a marker, is proven idle or is retired', () => {
    holds(
      'liveness',
      fc.property(
        bounds,
        fc.array(step, { minLength: 1, maxLength: 60 }),
        fc.array(fc.constantFrom('complete', 'idle', 'retire'), { minLength: 4, maxLength: 4 }),
        (bound, steps, ends) => {
          const table = new SourceTable({ ...optionsOf(bound, false), expected: ['a'] });
          let now = START;
          for (const one of steps) table.take(factOf(one, (now += one.pass), undefined));
          now += 1_000;
          const end = table.greatestEventTime;
          STREAMS.forEach((stream, i) => {
            if (ends[i] === 'complete') table.take(said.complete(stream, now));
            // Proven again as time goes by, as who reads the channel does.
            else if (ends[i] === 'idle') table.take(said.idle(stream, now));
            else table.take(said.retire(stream, now));
          });
          expect(table.inputWatermark).toBeGreaterThanOrEqual(end);
          expect(table.inputWatermark).toBeLessThanOrEqual(now);
        },
      ),
    );
  });

  it('is settled for nobody by a clock of 2099', () => {
    const future = fc.record({ stream: fc.constantFrom(...STREAMS), at: fc.integer({ min: SKEW + 1, max: 1e12 }) });
    holds(
      'wrong clocks',
      fc.property(bounds, fc.array(step, { maxLength: 30 }), fc.array(future), (bound, steps, wrong) => {
        const right = new SourceTable(optionsOf(bound, false));
        const mixed = new SourceTable(optionsOf(bound, false));
        let now = START;
        steps.forEach((one, i) => {
          now += one.pass;
          const fact = factOf(one, now, undefined);
          right.take(fact);
          mixed.take(fact);
          const bad = wrong[i];
          if (bad === undefined) return;
          const ahead = event(bad.stream, now + bad.at, now);
          expect(mixed.isFuture(ahead)).toBe(true);
          mixed.take(ahead);
          expect(mixed.inputWatermark).toBe(right.inputWatermark);
        });
      }),
    );
  });
});

describe('completeness', () => {
  it('names exactly the missing numbers and the silent sources, in any order of arrival, over restarts', () => {
    const reports = fc.record({
      size: fc.integer({ min: 1, max: 60 }),
      removed: fc.uniqueArray(fc.nat({ max: 59 })),
      channels: fc.integer({ min: 1, max: 3 }),
      whole: fc.nat({ max: 4 }).map((n) => n === 0),
    });
    holds(
      'gaps',
      fc.property(
        fc.array(reports, { minLength: 1, maxLength: 5 }),
        fc.infiniteStream(fc.nat({ max: 1e6 })),
        fc.nat({ max: 20 }),
        (streams, dice, restartEvery) => {
          const names = streams.map((_, i) => `s${i}`);
          const options: TimeOptions = {
            boundMs: 999,
            sources: [{ match: 's*', sequenced: { from: 0 }, expected: names }],
          };
          let table = new SourceTable(options, { statistics: true });
          const notes = new Notes();
          const facts: Fact[] = [];
          streams.forEach(({ size, removed, channels, whole }, s) => {
            if (whole) return;
            for (let n = 0; n < size; n++) {
              if (removed.includes(n)) continue;
              facts.push(event(`s${s}`, START + n, START + n, { sequence: n, channel: `c${n % channels}` }));
            }
            facts.push(said.complete(`s${s}`, START + size, START + size, '', size - 1));
          });
          const order = facts.map((fact) => ({ fact, die: dice.next().value as number }));
          order.sort((x, y) => x.die - y.die);
          order.forEach(({ fact }, i) => {
            table.take(fact);
            if (restartEvery === 0 || i % restartEvery !== 0) return;
            notes.write(table.changes());
            table.saved();
            table = SourceTable.load(options, notes.read(), { statistics: true });
          });
          const found = completenessOf(table, new Settlement());
          const missing = found.gaps.flatMap(({ stream, missing }) =>
            missing.flatMap(([first, last]) =>
              Array.from({ length: last - first + 1 }, (_, i) => `${stream}/${first + i}`),
            ),
          );
          const expected = streams.flatMap(({ size, removed, whole }, s) =>
            whole ? [] : [...removed].filter((n) => n < size).map((n) => `s${s}/${n}`),
          );
          expect(missing.sort()).toEqual(expected.sort());
          expect(found.silent.map(({ stream }) => stream)).toEqual(names.filter((_, i) => streams[i]!.whole));
          expect(JSON.parse(JSON.stringify(found))).toEqual(found);
        },
      ),
    );
  });
});
