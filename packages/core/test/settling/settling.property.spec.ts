/**
 * The law of what settles, whatever comes: events, repeats and corrections in any order, markers, retired sources, restarts
 * and crashes at random places. What was told and not taken back is what `settlingItems` says of the plain history, as
 * far as it is settled; what is taken back is exactly what was told; the list of what is overdue is that of the pure function.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  settlingItems,
  viewOfSettling,
  type Fact,
  type HandlerRunner,
  type Settling,
  type SettledContext,
} from '@concursus/core';
import { Faults, ManualClock, type Fault } from '@concursus/testing';
import { readManyEffective } from '../../src/query/effective-history.js';
import { Bulb, world } from '../projection/support.js';
import { complete, correction, event, lists, quiet, record, retire, started, T } from './support.js';

type Step =
  | { readonly kind: 'record'; readonly events: readonly (readonly [number, number, number])[] }
  | {
      readonly kind: 'correct';
      /** Which of all events of this run, recorded by then or not. */
      readonly nth: number;
      readonly to: number;
    }
  | { readonly kind: 'complete'; readonly upTo: number }
  | { readonly kind: 'retire'; readonly upTo: number }
  | { readonly kind: 'restart' }
  | { readonly kind: 'crash'; readonly call: number; readonly after: boolean };

const NAMES = ['switchedOn', 'screwedIn', 'switchedOn', 'burnt'] as const;
const IDS = ['a', 'b', 'c'];
const SPAN = 60;
const of = <K extends Step['kind']>(kind: K) => fc.constant(kind);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: of('record'),
      events: fc.array(fc.tuple(fc.nat(2), fc.nat(SPAN), fc.nat(3)), { minLength: 1, maxLength: 5 }),
    }),
  },
  {
    weight: 7,
    arbitrary: fc.record({
      kind: of('correct'),
      nth: fc.nat(50),
      // Below 0: retracted; above SPAN: reinstated; else moved there.
      to: fc.integer({ min: -30, max: SPAN + 20 }),
    }),
  },
  { weight: 5, arbitrary: fc.record({ kind: of('complete'), upTo: fc.nat(SPAN + 20) }) },
  { weight: 1, arbitrary: fc.record({ kind: of('retire'), upTo: fc.nat(SPAN) }) },
  { weight: 1, arbitrary: fc.record({ kind: of('restart') }) },
  { weight: 1, arbitrary: fc.record({ kind: of('crash'), call: fc.integer({ min: 1, max: 5 }), after: fc.boolean() }) },
);

const KINDS: readonly Settling[] = [
  { kind: 'history', quietMs: undefined },
  { kind: 'history', quietMs: 7 },
  { kind: 'tumbling', sizeMs: 10, offsetMs: 3 },
  { kind: 'sliding', sizeMs: 12, everyMs: 5, offsetMs: 0 },
  { kind: 'session', gapMs: 6 },
  { kind: 'deadline', after: new Set(['screwedIn']), withinMs: 9, unless: new Set(['burnt']) },
];

/** How far behind what is settled the states of what was told are kept. */
const keeping = fc.constantFrom(undefined, undefined, 0, 15);

const plain = (state: object | undefined): Record<string, unknown> => ({ ...state });

it.each(KINDS)('holds for $kind, whatever comes', { timeout: 180_000 }, async (settling) => {
  const isDeadline = settling.kind === 'deadline';
  const nameOf = (id: string, from: number, to: number): string =>
    settling.kind === 'history' ? id : `${id} ${from - T}${isDeadline ? ` ${to - T}` : ''}`;
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 2, maxLength: 24 }),
      fc.nat(5),
      keeping,
      async (steps, late, keepMs) => {
        // Overdue deadlines of one moment are told apart by their states alone.
        const keepToldMs = isDeadline ? undefined : keepMs;
        const clock = new ManualClock(T, 1);
        const w = await world({ clock });
        const model = w.registry.aggregate(Bulb);
        /** What was told and not taken back, by name; deadlines of one moment share one. */
        const told = new Map<string, Record<string, unknown>[]>();
        /** By key: a repeat after a crash says the same. */
        const said = new Map<string, unknown>();
        const isRepeat = (key: string, what: unknown): boolean => {
          if (!said.has(key)) {
            said.set(key, what);
            return false;
          }
          expect(what).toEqual(said.get(key));
          return true;
        };
        const take = (name: string, state: Record<string, unknown> | undefined): void => {
          const list = told.get(name) ?? [];
          if (state === undefined) {
            expect(list, name).toHaveLength(1);
            told.delete(name);
            return;
          }
          const i = list.findIndex((one) => JSON.stringify(one) === JSON.stringify(state));
          expect(i, `${name} ${JSON.stringify(state)} in ${JSON.stringify(list)}`).not.toBe(-1);
          list.splice(i, 1);
          if (list.length === 0) told.delete(name);
        };
        const tell = (name: string, state: Record<string, unknown>): void => {
          told.set(name, [...(told.get(name) ?? []), state]);
          if (!isDeadline) expect(told.get(name)).toHaveLength(1);
        };
        let life = 0;
        let runner: HandlerRunner | undefined;
        let dead = 0;
        const start = async (faults: readonly Fault[] = []): Promise<void> => {
          const mine = ++life;
          const broken = new Faults(clock, faults);
          const alive = (call: () => void): unknown => (mine === life ? call() : new Promise(() => undefined));
          runner = await started(
            w,
            [
              {
                name: 'spec',
                aggregate: model,
                settling,
                from: 'beginning',
                ...(keepToldMs === undefined ? {} : { keepToldMs }),
                settled: (state, context) =>
                  alive(() => {
                    if (isRepeat(context.idempotencyKey, [plain(state), context.from, context.to])) return;
                    tell(nameOf(context.aggregateId, context.from, context.to), plain(state));
                  }),
                ...(isDeadline
                  ? {
                      withdrawn: (before: object | undefined, _now: object, context: SettledContext) =>
                        alive(() => {
                          if (isRepeat(context.idempotencyKey, [plain(before), context.from])) return;
                          take(nameOf(context.aggregateId, context.from, context.to), plain(before));
                        }),
                    }
                  : {
                      corrected: (before, after, context) =>
                        alive(() => {
                          if (isRepeat(context.idempotencyKey, [before.map(plain), after.map(plain)])) return;
                          expect(before).toHaveLength(context.before.length);
                          expect(after).toHaveLength(context.after.length);
                          const id = context.aggregateId;
                          for (const [i, { from, to, forgotten }] of context.before.entries()) {
                            expect(before[i] === undefined).toBe(forgotten === true);
                            if (forgotten === true) expect(keepToldMs).toBeDefined();
                            take(nameOf(id, from, to), forgotten === true ? undefined : plain(before[i]));
                          }
                          for (const [i, { from, to }] of context.after.entries())
                            tell(nameOf(id, from, to), plain(after[i]));
                          expect([before.map(plain), context.before]).not.toEqual([after.map(plain), context.after]);
                        }),
                    }),
              },
            ],
            {
              process: `p${mine}`,
              ports: {
                viewStore: broken.wrap(w.ports.viewStore),
                checkpointStore: broken.wrap(w.ports.checkpointStore),
              },
            },
          );
        };
        const end = async (): Promise<void> => {
          const stopped = runner?.stop();
          await clock.advance(5_000);
          await stopped;
        };
        const settledUpTo = async (): Promise<number> => {
          const [note] = await w.ports.viewStore.readNotes(viewOfSettling('spec'), 'settled/');
          return (note?.value ?? Number.NEGATIVE_INFINITY) as number;
        };
        const check = async (): Promise<void> => {
          await quiet(40);
          const end = (await w.ports.eventFeed.end()).toString();
          for (let i = 0; i < 60; i++) {
            if (
              (await w.ports.viewStore.readCheckpoint(viewOfSettling('spec'))) === end &&
              runner!.states()[0]!.waiting === 0
            )
              break;
            await clock.advance(100);
          }
          await quiet(60);
          const line = await settledUpTo();
          const keys = IDS.map((id) => ({ tenant: '', type: 'bulb', id }));
          const histories = await readManyEffective(w.ports.eventStore, model.conflicts, keys);
          const wanted = new Map<string, Record<string, unknown>[]>();
          const due: string[] = [];
          for (const [i, history] of histories.entries()) {
            for (const item of settlingItems(settling, history)) {
              if (item.settlesAt > line) continue;
              const name = nameOf(IDS[i]!, item.from, item.to);
              const { state } = model.foldAll(model.sortFold([...item.facts] as Fact[]));
              wanted.set(name, [...(wanted.get(name) ?? []), plain(state)]);
              if (isDeadline) due.push(`${item.to - T} ${IDS[i]!} ${item.from - T}`);
            }
          }
          if (!isDeadline) expect(Object.fromEntries(told)).toEqual(Object.fromEntries(wanted));
          else {
            const counts = (of: typeof told) => Object.fromEntries([...of].map(([name, list]) => [name, list.length]));
            expect(counts(told)).toEqual(counts(wanted));
            const { items } = await lists(w, () => runner!).deadlines.overdue('spec', { limit: 1_000 });
            expect(items.map((one) => one.due)).toEqual(items.map((one) => one.due).sort((a, b) => a - b));
            const shown = items.map((one) => `${one.due - T} ${one.aggregate.id} ${one.since - T}`);
            expect(shown.sort()).toEqual(due.sort());
          }
        };

        const events = steps.flatMap((one) => (one.kind === 'record' ? one.events : []));
        for (const [i, one] of steps.entries()) {
          if (i === Math.min(late, steps.length - 1)) await start();
          if (one.kind === 'record') {
            await record(
              w,
              ...one.events.map(([id, at, name]) =>
                event({
                  id: IDS[id]!,
                  at,
                  name: NAMES[name]!,
                  ...(NAMES[name] === 'screwedIn' ? { parameters: { room: 'hall', wattage: at % 2 } } : {}),
                }),
              ),
            );
          } else if (one.kind === 'correct') {
            if (events.length === 0) continue;
            const [id, at, name] = events[one.nth % events.length]!;
            const target = { id: IDS[id]!, at, name: NAMES[name]! };
            const kind = one.to < 0 ? 'retract' : one.to > SPAN ? 'reinstate' : 'amend';
            await record(w, correction(target, kind, { decidedAt: i, ...(kind === 'amend' ? { at: one.to } : {}) }));
          } else if (one.kind === 'complete') await record(w, complete(one.upTo));
          else if (one.kind === 'retire') await record(w, retire(one.upTo));
          else if (runner !== undefined) {
            await end();
            if (one.kind === 'crash') {
              await start([
                { method: 'commit', call: one.call, kind: one.after ? 'crash-after' : 'crash' },
                { method: 'renew', call: 1, kind: 'crash' },
              ]);
              await record(w, event({ id: 'a', at: i % SPAN }));
              await clock.advance(450);
              life++;
              dead++;
              await clock.advance(50);
            }
            await start();
            for (let n = 0; n < (dead > 0 ? 8 : 1); n++) await clock.advance(400);
          }
          await quiet(3);
          if (runner !== undefined && i % 4 === 3) await check();
        }
        await check();
        expect(runner!.states()[0]).toMatchObject({ waiting: 0, inFlight: 0, parked: 0 });
        await end();
        await w.close();
      },
    ),
    { numRuns: Number(process.env['RUNS'] ?? 40) },
  );
});
