/**
 * The law of side effects, whatever happens: events and corrections come in any order, handlers fail at random, the store
 * fails or answers late, processes die and others take over. Every event is done or parked, none is passed over, an
 * aggregate's events are done in order, and what is done is not done again but for calls that were under way at a crash.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ParkedEvents, type Fact, type HandlerRunner } from '@concursus/core';
import { Faults, ManualClock, type Fault } from '@concursus/testing';
import { Bulb, world } from '../projection/support.js';
import { consumer, correction, event, kept, quiet, record, run } from './support.js';

const MAX = 4;

type Step =
  | { readonly kind: 'record'; readonly events: readonly (readonly [number, number])[] }
  | {
      readonly kind: 'correct';
      readonly id: number;
      readonly at: number;
      readonly decidedAt: number;
      readonly retract: boolean;
    }
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'stop' }
  | { readonly kind: 'crash'; readonly call: number; readonly after: boolean }
  | { readonly kind: 'fault'; readonly call: number; readonly fault: 'fail' | 'drop-ack' };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('record' as const),
      events: fc.array(fc.tuple(fc.nat(3), fc.nat(40)), { minLength: 1, maxLength: 12 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('correct' as const),
      id: fc.nat(3),
      at: fc.nat(40),
      decidedAt: fc.nat(100),
      retract: fc.boolean(),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 800 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('stop' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('crash' as const),
      call: fc.integer({ min: 1, max: 6 }),
      after: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('fault' as const),
      call: fc.integer({ min: 1, max: 6 }),
      fault: fc.constantFrom('fail' as const, 'drop-ack' as const),
    }),
  },
);

/** A number from 0 to 1 that depends on a text and a seed only. */
function chance(text: string, seed: number): number {
  let hash = seed | 0;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x9e3779b1);
  hash ^= hash >>> 15;
  return (hash >>> 0) / 2 ** 32;
}

it('holds whatever comes, fails and dies', { timeout: 180_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 25 }), fc.integer(), async (steps, seed) => {
      const clock = new ManualClock(undefined, 1);
      const w = await world({ clock });
      const model = w.registry.aggregate(Bulb).events.get('switchedOn')!;
      /** Every call that answered, as `key`, and the order of first answers of each aggregate. */
      const answered = new Map<string, number>();
      const order = new Map<string, string[]>();
      const nameOfKey = new Map<string, string>();
      let dead = 0;
      let inFlight = 0;
      let most = 0;
      const called = async (life: number, id: string, name: string, key: string, attempt: number): Promise<void> => {
        nameOfKey.set(key, name);
        most = Math.max(most, ++inFlight);
        try {
          if (chance(`${key}w`, seed) < 0.5) await clock.sleep(5);
          if (life !== current) return await new Promise<void>(() => undefined);
          // One in ten never works, three in ten work at the third attempt.
          const luck = chance(key, seed);
          if (luck < 0.1 || (luck < 0.4 && attempt < 3)) throw new Error(`unlucky ${name}`);
          answered.set(key, (answered.get(key) ?? 0) + 1);
          const list = order.get(id) ?? [];
          if (!list.includes(name)) order.set(id, [...list, name]);
        } finally {
          inFlight--;
        }
      };
      let current = 0;
      let runner: HandlerRunner | undefined;
      const start = async (faults: readonly Fault[] = []): Promise<void> => {
        const life = ++current;
        inFlight = 0;
        const broken = new Faults(clock, faults);
        runner = await run(
          w,
          [
            consumer(w, ({ id, at, context }) => called(life, id, `e${at}`, context.idempotencyKey, context.attempt), {
              inFlightMax: MAX,
              retry: { attempts: 4, firstMs: 10, jitter: 0.5 },
              from: 'beginning',
              corrections: [
                {
                  model,
                  handle: (_before, _after, context) =>
                    called(
                      life,
                      context.aggregateId,
                      `c${context.at}/${context.correction.decidedAt}`,
                      context.idempotencyKey,
                      context.attempt,
                    ),
                },
              ],
            }),
          ],
          {
            process: `p${life}`,
            ports: {
              viewStore: broken.wrap(w.ports.viewStore),
              checkpointStore: broken.wrap(w.ports.checkpointStore),
            },
          },
        );
      };
      const crash = async (): Promise<void> => {
        current++; // calls of the dead process answer nobody any more
        dead++;
        await clock.advance(50);
        await start();
        for (let i = 0; i < 8; i++) await clock.advance(400);
      };

      const facts: Fact[] = [];
      await start();
      for (const one of steps) {
        if (one.kind === 'record') {
          const list = one.events.map(([id, at]) => event({ id: `b${id}`, at }));
          await record(w, list);
          facts.push(...list.filter((fact) => fact.processingId !== ''));
        } else if (one.kind === 'correct') {
          const kind = one.retract ? 'retract' : 'reinstate';
          await record(w, correction({ id: `b${one.id}`, at: one.at }, kind, { decidedAt: one.decidedAt }));
        } else if (one.kind === 'pass') await clock.advance(one.ms);
        else if (one.kind === 'stop') {
          const stopped = runner!.stop();
          await clock.advance(5_000);
          await stopped;
          await start();
        } else if (one.kind === 'crash') {
          const stopped = runner!.stop();
          await clock.advance(5_000);
          await stopped;
          await start([
            { method: 'commit', call: one.call, kind: one.after ? 'crash-after' : 'crash' },
            // At its first beat at the latest.
            { method: 'renew', call: 1, kind: 'crash' },
          ]);
          await record(w, event({ id: 'b0', at: 41 + facts.length }));
          await clock.advance(450);
          await crash();
        } else {
          const stopped = runner!.stop();
          await clock.advance(5_000);
          await stopped;
          await start([{ method: 'commit', call: one.call, kind: one.fault }]);
        }
        await quiet(2);
      }
      for (let i = 0; i < 60; i++) await clock.advance(250);
      await quiet(10);

      const parked = new ParkedEvents(w.ports.viewStore, () => runner);
      const { events } = await parked.list('spec', { limit: 1_000 });
      const state = runner!.states()[0]!;
      expect(state).toMatchObject({ state: 'running', waiting: 0, inFlight: 0 });
      expect(most).toBeLessThanOrEqual(MAX);
      const left = await kept(w);
      expect(left['checkpoint']).toBe((await w.ports.eventFeed.end()).toString());
      expect(Object.keys(left).filter((key) => /^[acd][0-9a-f]/.test(key))).toEqual([]);

      // Nothing is passed over: in recorded order, each aggregate's events are done, and from the first parked one on parked.
      const recorded = new Map<string, Fact[]>();
      for (let at = w.ports.eventFeed.start(), end = false; !end;) {
        const page = await w.ports.eventFeed.read(at, 1_000);
        for (const fact of page.facts) {
          if (fact.name === 'switchedOn')
            recorded.set(fact.aggregateId, [...(recorded.get(fact.aggregateId) ?? []), fact]);
        }
        at = page.next;
        end = page.atEnd;
      }
      for (const [id, list] of recorded) {
        const waiting = events.filter((one) => one.aggregate.id === id && one.kind === 'event').map((one) => one.at);
        const done = (order.get(id) ?? []).filter((name) => name.startsWith('e'));
        const names = list.map((fact) => `e${fact.eventTime - Date.parse('2026-01-01T00:00:00Z')}`);
        expect(names.slice(0, done.length)).toEqual(done);
        // A parked event may itself be done, when it is its correction that failed.
        const rest = list.slice(list.length - waiting.length).map((fact) => fact.eventTime);
        expect(waiting).toEqual(rest);
        expect(done.length + waiting.length).toBeGreaterThanOrEqual(list.length);
      }
      // What answered is not called again, but for what was under way when a process died.
      const repeats = [...answered.values()].reduce((sum, count) => sum + count - 1, 0);
      expect(repeats).toBeLessThanOrEqual(dead * MAX);
      const stopped = runner!.stop();
      await clock.advance(5_000);
      await stopped;
      await w.close();
    }),
    { numRuns: Number(process.env['RUNS'] ?? 60) },
  );
});
