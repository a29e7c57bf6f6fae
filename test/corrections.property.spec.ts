/**
 * Retract, amend and reinstate on the whole road, on every embedded provider: for any set of events and corrections and any
 * delivery of it (order, repeats, batches), histories, states and answers as of T, as known at P equal those of a plain
 * model: arrays, filter, sort, fold; under each conflict policy. And what was answered once is answered again, whatever came
 * since (law 5).
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ViewMirror } from '@concursus/core';
import { ManualClock } from '@concursus/testing';
import {
  effective,
  EPOCH_MS,
  factOf,
  inputFor,
  livingOf,
  embedded,
  onProvider,
  rowsFor,
  stateOf,
  type Counted,
  type EventDraft,
  type Policy,
  type Report,
  type Thing,
} from './things.js';

type Row = Record<string, unknown>;

const event: fc.Arbitrary<EventDraft> = fc.record({
  kind: fc.constant('event' as const),
  id: fc.constant('a'),
  name: fc.constantFrom('begun' as const, 'moved' as const, 'moved' as const, 'ended' as const),
  time: fc.integer({ min: 1, max: 5 }),
  stream: fc.constantFrom('', 's'),
  sequence: fc.constant(-1),
  who: fc.constantFrom('x', 'y', 'é'),
  amount: fc.constant(1),
});
const correction: fc.Arbitrary<Report> = fc
  .record({
    does: fc.constantFrom('retract' as const, 'amend' as const, 'reinstate' as const),
    target: event,
    exact: fc.boolean(),
    decidedAt: fc.integer({ min: 1, max: 3 }),
    stream: fc.constantFrom('', 'desk'),
    time: fc.option(fc.integer({ min: 0, max: 7 }), { nil: undefined }),
    who: fc.constantFrom('x', 'y', 'z'),
    amount: fc.integer({ min: 1, max: 2 }),
  })
  .map(({ time, who, amount, ...rest }): Report => {
    const says = rest.does === 'amend' ? { says: { who, amount } } : {};
    const at = rest.does === 'amend' && time !== undefined ? { time } : {};
    return { kind: 'correction', id: 'a', sequence: -1, ...rest, ...says, ...at };
  });
const report: fc.Arbitrary<Report> = fc.oneof({ weight: 3, arbitrary: event }, { weight: 2, arbitrary: correction });

/** What the model knows of a report, and since when. */
interface Known {
  readonly report: Report;
  readonly recordedAt: number;
}

/** What counts as of T, as known at P, in fold order. */
function countingAt(known: readonly Known[], policy: Policy, asOf: number, knownAt: number): Counted[] {
  const seen = known.filter((one) => one.recordedAt <= knownAt).map((one) => one.report);
  return effective(seen, policy).filter(({ time }) => time <= asOf);
}

/** A state as text, all that a fold can change in it; undefined when nothing counts. */
const shownState = (state: object | undefined): string | undefined => {
  if (state === undefined) return undefined;
  const { path, total } = state as Thing;
  // No -0: it is not what is compared here.
  return `${path} ${total + 0}`;
};
const shown = (found: { readonly state: object } | undefined): string | undefined => shownState(found?.state);

const POLICIES = ['both', 'neither', 'greatest'] as const;
const VIEWS = ['by-state', 'by-event'] as const;
const RUNS = Number(process.env['LAW_RUNS'] ?? 300);
const clock = new ManualClock();
let run = 0;

for (const tested of embedded())
  onProvider(tested, `${RUNS} runs`, clock, POLICIES, (place) => {
    const mirrors = new Map<string, ViewMirror<Row>>();

    /** Brings the mirror up to the view's last change; each change must retract what the one before asserted. */
    const follow = async (policy: Policy, name: string): Promise<ViewMirror<Row>> => {
      const view = place(policy).process.projections.view<Row>(name);
      const mirror = mirrors.get(`${policy} ${name}`) ?? new ViewMirror<Row>();
      mirrors.set(`${policy} ${name}`, mirror);
      const last = await view.lastChange();
      if (mirror.sequence >= last) return mirror;
      for await (const change of view.changes({ from: mirror.sequence })) {
        expect(JSON.stringify(change.retract), 'an unchanged output emits nothing').not.toBe(
          JSON.stringify(change.assert),
        );
        mirror.apply(change);
        if (mirror.sequence >= last) break;
      }
      return mirror;
    };

    it('answers as the plain model does, as of every T and as known at every P, and again later', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.constantFrom(...POLICIES),
          fc.array(report, { minLength: 1, maxLength: 12 }),
          fc.array(fc.nat(), { maxLength: 6 }),
          fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 }),
          async (policy, reports, repeats, sizes) => {
            const { process, feed } = place(policy);
            const { bus, states, histories, projections, catalogue } = process;
            const tenant = `run${++run}`;
            const arriving = [...reports, ...repeats.map((i) => reports[i % reports.length]!)];
            const known = new Map<string, Known>();
            const moments: number[] = [];
            const answers: { readonly asOf: number; readonly knownAt: number; readonly text: string | undefined }[] =
              [];
            for (let i = 0, s = 0; i < arriving.length; s++) {
              const batch = arriving.slice(i, i + sizes[s % sizes.length]!);
              i += batch.length;
              await clock.advance(1);
              const now = clock.now();
              await bus.record(batch.map((one) => inputFor(one, tenant)));
              for (const one of batch) {
                if (!known.has(factOf(one))) known.set(factOf(one), { report: one, recordedAt: now });
              }
              moments.push(now);
              for (const asOf of [0, 3, 7]) {
                const state = await states.get('thing', 'a', { tenant, asOf: EPOCH_MS + asOf, knownAt: now });
                answers.push({ asOf, knownAt: now, text: shown(state) });
              }
            }
            const all = [...known.values()];
            const model = (asOf: number, knownAt: number): string | undefined =>
              shownState(stateOf(countingAt(all, policy, asOf, knownAt)));
            for (const { asOf, knownAt, text } of answers) {
              expect(text, `as of ${asOf} known at ${knownAt}`).toBe(model(asOf, knownAt));
              const again = await states.get('thing', 'a', { tenant, asOf: EPOCH_MS + asOf, knownAt });
              expect(shown(again), 'asked again').toBe(text);
            }
            const now = countingAt(all, policy, 99, Number.POSITIVE_INFINITY);
            const state = stateOf(now);
            expect(shown(await states.get('thing', 'a', { tenant }))).toBe(shownState(state));
            expect(shown((await states.getMany('thing', ['a'], { tenant })).get('a'))).toBe(shownState(state));
            const pathOf = (facts: readonly { name: string; parameters: object }[]): string =>
              facts.map((f) => `${f.name[0]!.toUpperCase()}${(f.parameters as { who: string }).who}`).join('');
            expect(pathOf(await histories.collect('thing', 'a', { tenant }))).toBe(state?.path ?? '');
            const down = await histories.collect('thing', 'a', { tenant, order: 'descending' });
            const up = await histories.collect('thing', 'a', { tenant, order: 'ascending' });
            expect(pathOf(down.toReversed())).toBe(pathOf(up));
            const end = await feed.end();
            for (const name of VIEWS) {
              const expected = rowsFor(name, new Map([['a', now]]), tenant);
              const view = projections.view<Row>(name);
              await view.caughtUp({ position: end });
              const { rows } = await view.find({ prefix: `${tenant}/` });
              expect(Object.fromEntries(rows.map(({ key, value }) => [key, value]))).toEqual(expected);
              const held = [...(await follow(policy, name)).rows()].filter(([key]) => key.startsWith(`${tenant}/`));
              expect(Object.fromEntries(held)).toEqual(expected);
            }
            await catalogue.caughtUp({ position: end });
            expect((await catalogue.list('thing', { tenant })).ids).toEqual(livingOf(new Map([['a', now]])));
            const [p1, p2] = [moments[0]!, moments.at(-1)!];
            const changed = await states.whatChanged('thing', 'a', { tenant, asOf: EPOCH_MS + 3, between: [p1, p2] });
            expect(shownState(changed.before)).toBe(model(3, p1));
            expect(shownState(changed.after)).toBe(model(3, p2));
            let last = model(3, p1);
            const moved: string[] = [];
            for (const moment of moments.slice(1)) {
              const then = model(3, moment);
              if (then !== last) moved.push(`${moment} ${then}`);
              last = then;
            }
            expect(changed.learned.map((one) => `${one.recordedAt} ${shownState(one.state)}`)).toEqual(moved);
          },
        ),
        { numRuns: RUNS },
      );
    }, 600_000);
  });
