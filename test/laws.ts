/**
 * Laws 2, 3, 4 and 6 of the design, for a provider: for any multiset of events and any delivery of it (order,
 * repeats, batches), histories, outcomes, states and views equal those of a plain model: arrays, filter, sort, fold.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { SystemClock, ViewMirror, type EventBus, type EventInput, type Position } from '@concursus/core';
import {
  distinct,
  EPOCH_MS,
  factOf,
  historiesOf,
  identityOf,
  inputFor,
  onProvider,
  rowsFor,
  stateOf,
  type EventDraft,
  type Tested,
  type Thing,
} from './things.js';

// U+FB01 sorts before U+1F600 by UTF-8 bytes, and after it by UTF-16 units.
const draft: fc.Arbitrary<EventDraft> = fc.record({
  kind: fc.constant('event' as const),
  id: fc.constantFrom('a', 'b:/ü', '😀'),
  name: fc.constantFrom('begun' as const, 'prepared' as const, 'moved' as const, 'moved' as const, 'ended' as const),
  time: fc.integer({ min: 0, max: 4 }),
  stream: fc.constantFrom('', 's', '\ufb01', '😀'),
  sequence: fc.constantFrom(-1, 0, 1),
  who: fc.constantFrom('x', 'y', 'é'),
  amount: fc.integer({ min: -3, max: 3 }),
});

const facts = fc.array(draft, { minLength: 1, maxLength: 14 });
/** A delivery: places in the list of facts, each at least once, cut into batches. */
const delivery = (n: number) =>
  fc.tuple(
    fc.shuffledSubarray([...Array(n).keys()], { minLength: n }),
    fc.array(fc.nat(n - 1), { maxLength: n }),
    fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }),
    fc.boolean(),
  );
const world = facts.chain((list) =>
  fc.record({ list: fc.constant(list), one: delivery(list.length), two: delivery(list.length) }),
);

const VIEWS = ['by-state', 'by-event'] as const;
const sorted = (o: Record<string, unknown>): string =>
  JSON.stringify(Object.fromEntries(Object.entries(o).sort(([a], [b]) => (a < b ? -1 : 1))));
let run = 0;

/** Registers the laws for a provider; `LAW_RUNS` says otherwise how often. */
export function laws(tested: Tested, runs = 1_000): void {
  const RUNS = Number(process.env['LAW_RUNS'] ?? runs);
  onProvider(tested, `${RUNS} runs`, new SystemClock(), ['both'], (place) => {
    /** Delivers under a tenant of its own and checks everything against the model. */
    async function deliver(
      list: readonly EventDraft[],
      [order, repeats, sizes, stream]: [number[], number[], number[], boolean],
    ): Promise<void> {
      const { bus, histories, states, projections } = place('both').process;
      const tenant = `r${run++}`;
      const known = distinct(list);
      const model = historiesOf(known, 'both');
      const places = [...order];
      for (const [i, place] of repeats.entries())
        places.splice((place * 7 + i) % (places.length + 1), 0, order[place % order.length]!);
      const inputs = places.map((place) => inputFor(list[place]!, tenant));
      const batches: EventInput[][] = [];
      for (let i = 0, b = 0; i < inputs.length; b++) {
        const size = sizes[b % sizes.length]!;
        batches.push(inputs.slice(i, i + size));
        i += size;
      }
      const totals = { recorded: 0, repeated: 0, conflicting: 0, received: 0 };
      let all: Position | undefined;
      const count = (summary: Awaited<ReturnType<EventBus['record']>>): void => {
        for (const key of ['recorded', 'repeated', 'conflicting', 'received'] as const) totals[key] += summary[key];
        const { position } = summary;
        all = all === undefined || position === undefined ? (all ?? position) : all.join(position);
      };
      if (stream) {
        count(
          await bus.record(
            (async function* () {
              for (const input of inputs) yield input;
            })(),
          ),
        );
      } else for (const batch of batches) count(await bus.record(batch));

      // Law 3: one identity and content is one event; further contents of an identity are conflicts.
      const contents = new Set(list.map(factOf)).size;
      const identities = new Set(list.map(identityOf)).size;
      expect(totals).toEqual({
        received: inputs.length,
        recorded: identities,
        conflicting: contents - identities,
        repeated: inputs.length - contents,
      });

      // Laws 2 and 4: the same histories in the same order, the same states.
      for (const [id, history] of model) {
        const read = await histories.collect('thing', id, { tenant });
        expect(
          read.map((fact) => [fact.name, fact.eventTime - EPOCH_MS, fact.streamId, fact.sequence, fact.digest]),
        ).toEqual(history.map((d) => [d.name, d.time, d.stream, d.sequence, d.digest]));
        const { path, total } = (await states.get('thing', id, { tenant }))!.state as Thing;
        // No -0: it is not what is compared here.
        expect({ path, total: total + 0 }).toMatchObject({
          path: stateOf(history)!.path,
          total: stateOf(history)!.total,
        });
      }
      // Laws 2 and 6: the same views.
      for (const name of VIEWS) {
        await projections.view(name).caughtUp({ position: all! });
        const { rows } = await projections.view(name).find({ prefix: `${tenant}/`, limit: 100 });
        const held = Object.fromEntries(rows.map((row) => [row.key, row.value]));
        expect(sorted(held)).toBe(sorted(rowsFor(name, model, tenant)));
      }
    }

    it('any delivery of any facts gives the histories, outcomes, states and views of the plain model', async () => {
      await fc.assert(
        fc.asyncProperty(world, async ({ list, one, two }) => {
          await deliver(list, one);
          await deliver(list, two);
        }),
        { numRuns: RUNS },
      );
    }, 600_000);

    it('the views that grew through all of it equal their rebuilds, and a mirror of their changes holds the same', async () => {
      const { projections } = place('both').process;
      for (const name of VIEWS) {
        const audit = await projections.audit(name);
        expect(audit.differences).toEqual([]);
        expect(audit.rows).toBeGreaterThan(RUNS);
        const view = projections.view<Record<string, unknown>>(name);
        const end = await view.lastChange();
        // It refuses a change that retracts what was not asserted.
        const mirror = new ViewMirror<Record<string, unknown>>();
        for await (const change of view.changes()) {
          mirror.apply(change);
          if (mirror.sequence >= end) break;
        }
        const held = new Map(mirror.rows());
        let after: string | undefined;
        let rows = 0;
        do {
          const page = await view.find(after === undefined ? {} : { after });
          for (const row of page.rows) expect(JSON.stringify(row.value)).toBe(JSON.stringify(held.get(row.key)));
          rows += page.rows.length;
          after = page.next;
        } while (after !== undefined);
        expect(held.size).toBe(rows);
      }
    }, 120_000);
  });
}
