/**
 * Laws 2, 3, 4 and 6 of the design, on whatever provider is given: for any multiset of events and any delivery of it (order,
 * repeats, batches), histories, outcomes, states and views equal those of a plain model: arrays, filter, sort, fold.
 *
 * Over 400 lines, and one subject: the model and the laws it decides.
 *
 * All runs share one store and one running view, each under a tenant of its own, so a run also meets what others left.
 */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  Aggregate,
  Count,
  Earliest,
  Event,
  EventBus,
  EventHandler,
  EventRegistry,
  Histories,
  inMemory,
  Latest,
  Max,
  Min,
  Projection,
  projectionModel,
  ProjectionRunner,
  Projections,
  SetOf,
  States,
  Sum,
  SystemClock,
  type EventContext,
  type EventInput,
  type LayerProvider,
  type Position,
  type Rows,
  type RowsContext,
  type ViewChange,
} from '@concursus/core';

@Event({ initial: true })
class Begun {
  constructor(readonly who: string) {}
}
@Event({ order: 1 })
class Prepared {
  constructor(readonly who: string) {}
}
@Event()
class Moved {
  constructor(
    readonly who: string,
    readonly amount: number,
  ) {}
}
@Event({ terminal: true })
class Ended {
  constructor(readonly who: string) {}
}

@Aggregate('thing')
class Thing {
  static readonly events = { Begun, Prepared, Moved, Ended };
  /** Order-dependent on purpose: another order gives another path. */
  path = '';
  total = 0;
  @EventHandler(Begun) begun(e: Begun): void {
    this.path += `B${e.who}`;
  }
  @EventHandler(Prepared) prepared(e: Prepared): void {
    this.path += `P${e.who}`;
  }
  @EventHandler(Moved) moved(e: Moved): void {
    this.path += `M${e.who}`;
    this.total += e.amount * this.path.length;
  }
  @EventHandler(Ended) ended(e: Ended): void {
    this.path += `E${e.who}`;
  }
}

class Cell {
  @Count() things = 0;
  @Sum() total = 0;
  @Min() least: string | null = null;
  @Max() greatest: number | null = null;
  @Latest() last: string | null = null;
  @Earliest() first: string | null = null;
  @SetOf() paths: string[] = [];
}

@Projection({ name: 'by-state', of: Thing, view: Cell })
class ByState {
  rows(thing: Thing, context: RowsContext): Rows<Cell> {
    const value = {
      things: 1,
      total: thing.total,
      least: thing.path,
      greatest: thing.total,
      last: thing.path,
      first: thing.path,
      paths: [thing.path],
    } as never;
    return [
      [`${context.tenant}/${context.incomplete ? 'incomplete' : 'whole'}`, value],
      [`${context.tenant}/length ${thing.path.length}`, { things: 1 }],
    ];
  }
}

@Projection({ name: 'by-event', of: Thing, view: Cell })
class ByEvent {
  @EventHandler(Moved) moved(e: Moved, context: EventContext): Rows<Cell> {
    return [
      [
        `${context.tenant}/${e.who}`,
        {
          things: 1,
          total: e.amount,
          least: context.aggregateId,
          greatest: e.amount,
          last: `${e.amount}`,
          first: `${e.amount}`,
          paths: [context.streamId],
        } as never,
      ],
    ];
  }
}

interface Draft {
  readonly id: string;
  readonly name: 'begun' | 'prepared' | 'moved' | 'ended';
  readonly time: number;
  readonly stream: string;
  readonly sequence: number;
  readonly who: string;
  readonly amount: number;
}

const T0 = Date.parse('2026-03-01T00:00:00Z');
// U+FB01 sorts before U+1F600 by UTF-8 bytes, and after it by UTF-16 units.
const draft: fc.Arbitrary<Draft> = fc.record({
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

const parametersOf = (d: Draft): Record<string, unknown> =>
  d.name === 'moved' ? { who: d.who, amount: d.amount } : { who: d.who };
const inputOf = (d: Draft, tenant: string): EventInput => ({
  tenant,
  aggregateType: 'thing',
  aggregateId: d.id,
  name: d.name,
  at: T0 + d.time,
  streamId: d.stream,
  sequence: d.sequence,
  // Keys in both orders: content does not depend on it.
  parameters: d.name === 'moved' && d.amount % 2 === 0 ? { amount: d.amount, who: d.who } : parametersOf(d),
});

// The plain model, written without a line of the library.
const sha = (d: Draft): string => {
  const p =
    d.name === 'moved' ? `{"amount":${d.amount},"who":${JSON.stringify(d.who)}}` : `{"who":${JSON.stringify(d.who)}}`;
  return createHash('sha256').update(`{"name":"${d.name}","parameters":${p},"version":"0"}`).digest('hex');
};
const identity = (d: Draft): string => JSON.stringify([d.id, d.time, d.stream, d.sequence, d.name]);
const rank = { begun: 0, prepared: 1, moved: 2, ended: 3 };
const bytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
const foldOrder = (a: Draft, b: Draft): number =>
  rank[a.name] - rank[b.name] ||
  a.time - b.time ||
  bytes(a.stream, b.stream) ||
  a.sequence - b.sequence ||
  bytes(a.name, b.name) ||
  bytes(sha(a), sha(b));

interface Model {
  readonly histories: Map<string, Draft[]>;
  readonly states: Map<string, { path: string; total: number }>;
  readonly byState: Record<string, unknown>;
  readonly byEvent: Record<string, unknown>;
}

function plain(list: readonly Draft[], tenant: string): Model {
  const distinct = [...new Map(list.map((d) => [identity(d) + sha(d), d])).values()];
  const histories = new Map<string, Draft[]>();
  for (const d of distinct) histories.set(d.id, [...(histories.get(d.id) ?? []), d]);
  const states = new Map<string, { path: string; total: number }>();
  interface Add {
    row: string;
    id: string;
    time: number;
    tie: string;
    things: number;
    total?: number;
    least?: string;
    greatest?: number;
    last?: string;
    paths?: string[];
  }
  const stateAdds: Add[] = [];
  const eventAdds: Add[] = [];
  for (const [id, history] of histories) {
    history.sort(foldOrder);
    let path = '';
    let total = 0;
    for (const d of history) {
      path += d.name[0]!.toUpperCase() + d.who;
      if (d.name === 'moved') {
        total += d.amount * path.length;
        const tie = [String(d.stream), d.sequence + 1, d.name, sha(d)].join('\0');
        eventAdds.push({
          row: `${tenant}/${d.who}`,
          id,
          time: d.time,
          tie,
          things: 1,
          total: d.amount,
          least: id,
          greatest: d.amount,
          last: `${d.amount}`,
          paths: [d.stream],
        });
      }
    }
    states.set(id, { path, total });
    const whole = history.some((d) => d.name === 'begun') ? 'whole' : 'incomplete';
    stateAdds.push({
      row: `${tenant}/${whole}`,
      id,
      time: history.at(-1)!.time,
      tie: '',
      things: 1,
      total,
      least: path,
      greatest: total,
      last: path,
      paths: [path],
    });
    stateAdds.push({ row: `${tenant}/length ${path.length}`, id, time: history.at(-1)!.time, tie: '', things: 1 });
  }
  const rows = (adds: Add[]): Record<string, unknown> => {
    const found: Record<string, unknown> = {};
    for (const row of new Set(adds.map((add) => add.row))) {
      const mine = adds.filter((add) => add.row === row);
      const valued = mine.filter((add) => add.least !== undefined);
      const timed = [...valued].sort((a, b) => a.time - b.time || bytes(a.id, b.id) || bytes(a.tie, b.tie));
      found[row] = {
        things: mine.reduce((n, add) => n + add.things, 0),
        total: mine.reduce((n, add) => n + (add.total ?? 0), 0),
        least: valued.map((add) => add.least!).sort(bytes)[0] ?? null,
        greatest: valued.length === 0 ? null : Math.max(...valued.map((add) => add.greatest!)),
        last: timed.at(-1)?.last ?? null,
        first: timed[0]?.last ?? null,
        paths: [...new Set(valued.flatMap((add) => add.paths!))].sort(bytes),
      };
    }
    return found;
  };
  return { histories, states, byState: rows(stateAdds), byEvent: rows(eventAdds) };
}

const sorted = (o: Record<string, unknown>): string =>
  JSON.stringify(Object.fromEntries(Object.entries(o).sort(([a], [b]) => (a < b ? -1 : 1))));

/** Registers them for one provider. @param cleanUp runs when its layer is closed · @param runs deliveries, each made twice; `LAW_RUNS` for others */
export function laws(
  name: string,
  provider: () => LayerProvider<'persistent'>,
  cleanUp: () => Promise<void> | void,
  runs = 1_000,
): void {
  const RUNS = Number(process.env['LAW_RUNS'] ?? runs);
  describe(`on ${name}, ${RUNS} runs`, () => {
    const clock = new SystemClock();
    const logger = { log() {}, warn() {}, error: console.error };
    let close: () => Promise<void>;
    let bus: EventBus;
    let histories: Histories;
    let states: States;
    let projections: Projections;
    let run = 0;

    beforeAll(async () => {
      const layer = await provider().create({ context: 'laws', clock, logger });
      await layer.connect();
      const {
        eventStore: store,
        eventFeed: feed,
        viewStore: views,
        checkpointStore: checkpoints,
        quarantine,
      } = layer.ports;
      const registry = new EventRegistry('laws', [Thing]);
      bus = new EventBus({ registry, store, quarantine, clock, onError: (error) => console.error(error) });
      histories = new Histories(store, registry, clock);
      states = new States(store, registry, histories);
      const thing = registry.aggregate(Thing);
      const parts = { store, feed, views, checkpoints, registry, clock, logger, process: 'laws' };
      const models = [ByState, ByEvent].map((cls) => {
        const instance = new cls();
        const meta = { name: cls === ByState ? 'by-state' : 'by-event', version: 1, of: Thing, view: Cell };
        return projectionModel(
          cls,
          meta,
          cls === ByEvent ? [{ method: 'moved', event: Moved, options: {} }] : [],
          thing as never,
          () => instance as never,
        );
      });
      const runner = new ProjectionRunner(parts, models, { pageSize: 7 });
      await runner.start();
      projections = new Projections(parts, runner, () => {
        const scratch = inMemory().create({ context: 's', clock, logger }) as Awaited<
          ReturnType<LayerProvider<'persistent'>['create']>
        >;
        return { views: scratch.ports.viewStore, checkpoints: scratch.ports.checkpointStore };
      });
      close = async () => {
        await runner.stop();
        await layer.close();
      };
    });
    afterAll(async () => {
      await close();
      await cleanUp();
    });

    /** Delivers under a tenant of its own and checks everything against the model. */
    async function deliver(
      list: readonly Draft[],
      [order, repeats, sizes, stream]: [number[], number[], number[], boolean],
    ): Promise<void> {
      const tenant = `r${run++}`;
      const model = plain(list, tenant);
      const places = [...order];
      for (const [i, place] of repeats.entries())
        places.splice((place * 7 + i) % (places.length + 1), 0, order[place % order.length]!);
      const inputs = places.map((place) => inputOf(list[place]!, tenant));
      const batches: EventInput[][] = [];
      for (let i = 0, b = 0; i < inputs.length; b++) {
        const size = sizes[b % sizes.length]!;
        batches.push(inputs.slice(i, i + size));
        i += size;
      }
      const totals = { recorded: 0, repeated: 0, conflicting: 0, received: 0 };
      /** Covers all of the delivery: the position of its last call covers only what that brought. */
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
      const contents = new Set(list.map((d) => identity(d) + sha(d))).size;
      const identities = new Set(list.map(identity)).size;
      expect(totals).toEqual({
        received: inputs.length,
        recorded: identities,
        conflicting: contents - identities,
        repeated: inputs.length - contents,
      });

      // Laws 2 and 4: the same histories in the same order, the same states.
      for (const [id, history] of model.histories) {
        const read = await histories.collect('thing', id, { tenant });
        expect(read.map((fact) => [fact.name, fact.eventTime - T0, fact.streamId, fact.sequence, fact.digest])).toEqual(
          history.map((d) => [d.name, d.time, d.stream, d.sequence, sha(d)]),
        );
        const state = (await states.get(Thing, id, { tenant }))!;
        expect({ path: state.state.path, total: state.state.total }).toEqual(model.states.get(id));
      }
      // Laws 2 and 6: the same views.
      for (const [view, expected] of [
        ['by-state', model.byState],
        ['by-event', model.byEvent],
      ] as const) {
        await projections.view(view).caughtUp({ position: all });
        const { rows } = await projections.view(view).find({ prefix: `${tenant}/`, limit: 100 });
        expect(sorted(Object.fromEntries(rows.map((row) => [row.key, row.value])))).toBe(sorted(expected));
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
      for (const name of ['by-state', 'by-event']) {
        const audit = await projections.audit(name);
        expect(audit.differences).toEqual([]);
        expect(audit.rows).toBeGreaterThan(RUNS);
        const view = projections.view(name);
        const end = await view.lastChange();
        const mirror = new Map<string, unknown>();
        const stop = new AbortController();
        let seen = 0;
        for await (const change of view.changes({ signal: stop.signal }) as AsyncIterable<ViewChange<object>>) {
          expect(JSON.stringify(change.retract)).toBe(JSON.stringify(mirror.get(change.key) ?? null));
          if (change.assert === null) mirror.delete(change.key);
          else mirror.set(change.key, change.assert);
          if (++seen === end) stop.abort();
        }
        let after: string | undefined;
        let rows = 0;
        do {
          const page = await view.find(after === undefined ? {} : { after });
          for (const row of page.rows) expect(JSON.stringify(row.value)).toBe(JSON.stringify(mirror.get(row.key)));
          rows += page.rows.length;
          after = page.next;
        } while (after !== undefined);
        expect(mirror.size).toBe(rows);
      }
    }, 120_000);
  });
}
